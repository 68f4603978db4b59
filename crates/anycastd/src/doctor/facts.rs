//! All that a judgement rests on.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;

use crate::agent::Ailment;

/// A neighbor that is to connect, or to answer, has had its time.
const BEGINS_WITHIN: Duration = Duration::from_secs(60);

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
    /// The configuration itself holds what is secret: header fields of requests, variables of programs.
    pub(crate) secrets: bool,
    /// The neighbors with BFD.
    pub(crate) bfd: Vec<Bfd>,
    /// Why BFD has no real-time priority, if it has none.
    pub(crate) bfd_without_priority: Option<String>,
    /// By how much the wall clock has gone further than the one that nobody sets, since the agent began; in seconds.
    pub(crate) clock_set: i64,
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
    /// There is none, and a connection came to nothing since.
    pub(crate) came: bool,
    /// Why the last attempt came to nothing.
    pub(crate) last_error: Option<String>,
    /// What to do about that, where it is known.
    pub(crate) remedy: Option<String>,
    /// For how long it has been so.
    pub(crate) since: Duration,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) routes: usize,
    /// How it would be dialled.
    pub(crate) way: Way,
}

impl Session {
    /// It is to connect, has had its time, and has not done so.
    pub(crate) fn is_awaited_in_vain(&self) -> bool {
        self.passive && self.address.is_some() && !self.came && self.is_away()
    }

    /// There never was a session, for as long as one takes to begin.
    pub(crate) fn is_idle(&self) -> bool {
        !self.ever && self.is_away()
    }

    /// There is no session, for as long as one takes to begin.
    fn is_away(&self) -> bool {
        !self.established && self.since >= BEGINS_WITHIN
    }
}

/// BFD with a neighbor.
#[derive(Debug, Clone)]
pub(crate) struct Bfd {
    pub(crate) name: String,
    pub(crate) interval: Duration,
    pub(crate) strict: bool,
    pub(crate) multihop: bool,
    /// Their end and ours, where they are known.
    pub(crate) address: Option<IpAddr>,
    pub(crate) local: Option<IpAddr>,
    /// The session of BGP is.
    pub(crate) established: bool,
    /// Why it is not Up.
    pub(crate) ailment: Option<Ailment>,
    /// What the session of BGP waits for that was lost with the path, in words.
    pub(crate) held: Option<String>,
    /// Where it is configured by interface.
    pub(crate) by_interface: bool,
}

/// How a neighbor is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) source: Option<IpAddr>,
    pub(crate) device: Option<String>,
    /// Segments are signed: what is not is dropped without a word.
    pub(crate) signed: bool,
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
    /// Those of BFD, where a neighbor has it.
    pub(crate) bfd_sockets: Vec<Socket>,
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
    pub(crate) file: Option<File>,
    pub(crate) program: Option<Program>,
    /// What came of connecting to neighbors that are waited for, by their names.
    pub(crate) knocks: BTreeMap<String, Knock>,
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

/// A socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Socket {
    pub(crate) local: SocketAddr,
    /// `None`: it listens, or hears everybody.
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) ours: bool,
    pub(crate) uid: u32,
    /// What TCP knows of the connection.
    pub(crate) flow: Option<Flow>,
}

/// How a connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flow {
    /// The largest packet that the way takes, for all that the kernel knows.
    pub(crate) path_mtu: u32,
    /// The largest segment that is sent, without headers and options.
    pub(crate) segment: u32,
    /// How often the oldest segment has been sent again in vain.
    pub(crate) retransmits: u8,
    /// Octets that were written and are not acknowledged.
    pub(crate) unacknowledged: u32,
}

/// What came of one attempt to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Knock {
    /// The connection was made.
    Listens,
    /// It was refused.
    Refuses,
    /// Nothing came back in time.
    Silent,
}

/// The configuration as it lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// The permissions of the file and of its directory, and who owns them.
    pub(crate) about: Option<[Owned; 2]>,
    /// Why an agent that starts now would not take it: place, fault and remedy.
    pub(crate) mistakes: Vec<[String; 3]>,
}

/// What is at the path from which the agent was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) installed: Installed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Installed {
    /// The program that runs.
    Same,
    /// Another one, and its version in its own words, or why it does not tell it.
    Other(Result<String, String>),
    /// Nothing that can be run, in words.
    Unfit(String),
}

/// Whose something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The user is the agent's own, or root.
    pub(crate) trusted: bool,
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
