//! What one process leaves to the next of a session that goes on: the connection is the same, and the neighbor sees nothing.
//!
//! It is data that another version can read: unknown fields are passed over, and times are ages or what is left of them, for no
//! clock is handed over.

use std::{
    collections::BTreeSet,
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    attributes::Attributes,
    counters::Counters,
    open::OpenError,
    rib::Progress,
    terms::NextHop,
    types::{Family, Prefix},
};

/// An Established session, without its transport and the part of a message that the driver has yet to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// Both OPENs, from which follows what was agreed on.
    pub(crate) opens: [Vec<u8>; 2],
    pub(crate) link: Ends,
    /// Octets of a message of which the rest has not come.
    pub(crate) received: Vec<u8>,
    pub(crate) sent: Octets,
    /// Messages that go before all others.
    #[serde(default)]
    pub(crate) urgent: Vec<Vec<u8>>,
    #[serde(default)]
    pub(crate) keepalive_due: bool,
    pub(crate) left: Left,
    pub(crate) told: Vec<Told>,
    /// What is to be withdrawn and is not handed out yet.
    #[serde(default)]
    pub(crate) withdraws: BTreeSet<Prefix>,
    #[serde(default)]
    pub(crate) marks: Marks,
    #[serde(default)]
    pub(crate) sentences: Vec<Sentence>,
    #[serde(default)]
    pub(crate) counters: Counters,
    /// Since when it is Established, since when there is a session at all, and since when the neighbor has said nothing.
    pub(crate) established: Duration,
    pub(crate) made: Duration,
    pub(crate) silent: Duration,
}

/// The two ends of the connection, and the addresses that next hops are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ends {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) local_ipv6: Option<Ipv6Addr>,
    pub(crate) link_local: Option<Ipv6Addr>,
    #[serde(default)]
    pub(crate) had_global: bool,
}

/// Places in the stream that we send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Octets {
    pub(crate) handed_out: u64,
    pub(crate) written: u64,
    pub(crate) acked: u64,
}

/// Until timers run out; `None`: they do not run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Left {
    pub(crate) hold: Option<Duration>,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) send_hold: Option<Duration>,
}

/// The last that was said of a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) prefix: Prefix,
    /// `None`: a withdraw.
    pub(crate) attributes: Option<Attributes>,
    pub(crate) next_hop: Option<NextHop>,
    pub(crate) progress: Progress,
    /// Since when it is that far.
    pub(crate) age: Duration,
    /// Where its UPDATE ends in the stream.
    pub(crate) end: u64,
    #[serde(default)]
    pub(crate) again: bool,
}

/// What is owed beside routes: End-of-RIB, and the marks of answers to a route refresh.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marks {
    pub(crate) end_of_rib: BTreeSet<Family>,
    pub(crate) begin_refresh: BTreeSet<Family>,
    pub(crate) end_refresh: BTreeSet<Family>,
    pub(crate) refreshed: BTreeSet<Family>,
}

/// A route that the neighbor refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sentence {
    pub(crate) prefix: Prefix,
    pub(crate) attributes: Attributes,
    pub(crate) next_hop: Option<NextHop>,
    /// Code, subcode and data of the NOTIFICATION.
    pub(crate) notification: (u8, u8, Vec<u8>),
    pub(crate) times: u32,
    pub(crate) left: Duration,
    pub(crate) probation: bool,
}

/// A session that cannot go on as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// What was handed over makes no whole.
    #[error("what was handed over of the session is broken: {0}")]
    Broken(&'static str),
    /// With the configuration as it is now it would not have come about.
    #[error("the session would not be accepted now: {0}")]
    Refused(#[from] OpenError),
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
