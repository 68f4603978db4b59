//! All that a judgement rests on.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;

/// What the agent itself knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) sessions: Vec<Session>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) asked: Vec<Asked>,
    /// Where it is to listen for neighbors.
    pub(crate) listen: BTreeSet<SocketAddr>,
    /// A check is of type `icmp`.
    pub(crate) echoes: bool,
    /// A check runs as another user than the agent.
    pub(crate) other_users: bool,
    pub(crate) checks: usize,
    pub(crate) neighbors: usize,
    pub(crate) state_directory: PathBuf,
    /// Connections closed before a word, by reason.
    pub(crate) refused: BTreeMap<String, u64>,
}

/// A configured neighbor at one address.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) name: String,
    /// `None`: unnumbered, or a network.
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
    pub(crate) passive: bool,
    pub(crate) external: bool,
    pub(crate) established: bool,
    /// There was a session with it since the agent started.
    pub(crate) ever: bool,
    /// For how long it has been so.
    pub(crate) since: Duration,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) routes: usize,
}

/// An address of a service.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) address: IpAddr,
    /// The interface that carries it, as far as the agent knows.
    pub(crate) interface: Option<String>,
    /// Somebody else put it there.
    pub(crate) foreign: bool,
}

/// What a local check asks that is not one of the services' addresses.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) check: String,
    pub(crate) target: IpAddr,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) known: Known,
    pub(crate) interfaces: BTreeMap<String, Interface>,
    /// Listeners and connections of BGP.
    pub(crate) sockets: Vec<Socket>,
    pub(crate) clock: Option<Clock>,
    /// How many files may be open, and how many may be needed.
    pub(crate) files: Option<(u64, u64)>,
    /// The effective capabilities, as a mask.
    pub(crate) capabilities: Option<u64>,
    /// The groups that may open sockets for echoes, and our own.
    pub(crate) ping_groups: Option<(u32, u32, u32)>,
    /// The first port that needs no capability.
    pub(crate) first_port: Option<u16>,
    pub(crate) mtu_probing: Option<u8>,
    pub(crate) state: Option<State>,
    /// What could not be looked at, and why.
    pub(crate) unread: Vec<String>,
}

/// An interface that is up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interface {
    pub(crate) loopback: bool,
    /// It asks and answers who has an address (ARP).
    pub(crate) arp: bool,
    pub(crate) mtu: Option<u32>,
    pub(crate) networks: BTreeSet<IpNet>,
    /// As they are in force: the greater of the interface's own and that of all.
    pub(crate) rp_filter: Option<u8>,
    pub(crate) arp_ignore: Option<u8>,
    pub(crate) arp_announce: Option<u8>,
}

/// A TCP socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Socket {
    pub(crate) local: SocketAddr,
    /// `None`: it listens.
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) ours: bool,
    pub(crate) uid: u32,
}

/// The clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock {
    pub(crate) synchronised: bool,
}

/// The state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// Why nothing can be written there.
    pub(crate) fault: Option<String>,
    /// In bytes.
    pub(crate) free: u64,
    pub(crate) free_inodes: u64,
}
