//! What is said of BFD (RFC 5880).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// BFD with a neighbor: what is configured, and how the session is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bfd {
    /// `interval` of the configuration, in seconds.
    pub interval_seconds: f64,
    /// `multiplier` of the configuration.
    pub multiplier: u8,
    /// There is no BGP session before the BFD session is Up.
    pub strict: bool,
    /// How packets are authenticated: `simple`, `keyed-md5`, …; `None`: not at all.
    pub authentication: Option<String>,
    /// The number of its key.
    #[serde(default)]
    pub key_id: Option<u8>,
    /// What the BGP session waits for that ended with the path; `None`: nothing, or it did not end so.
    #[serde(default)]
    pub held_back: Option<BfdHold>,
    /// `None`: there is none now. It begins with the session of BGP, unless `strict`, and ends with it, unless the path is lost. A network
    /// has none: its routers have one each.
    pub session: Option<BfdSession>,
}

/// What a BGP session waits for that ended with the path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BfdHold {
    /// How often it ended so of late, each time within five minutes of the one before.
    pub losses: u32,
    /// For how long the BFD session is to be Up.
    pub up_seconds: f64,
    /// In what time it will have been, if it stays so; `None`: it is not Up.
    pub left_seconds: Option<f64>,
}

/// A BFD session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BfdSession {
    /// AdminDown, Down, Init or Up.
    pub state: String,
    /// Since when.
    pub since: Timestamp,
    /// The same, in seconds.
    pub since_seconds: f64,
    /// Why the state changed last, by the name of RFC 5880 §4.1, as we tell the neighbor.
    pub diagnostic: String,
    /// The state of the neighbor's end, or AdminDown if that was the last that it said; `None`: it is not heard.
    pub remote_state: Option<String>,
    /// Why that changed last, as it tells us.
    pub remote_diagnostic: Option<String>,
    /// How often the path was lost: it went from Up to Down, and that by nobody's will.
    pub losses: u64,
    /// The last loss, in words.
    pub last_loss: Option<String>,
    /// When.
    pub last_loss_at: Option<Timestamp>,
    /// How long the neighbor had been silent when its silence was last noticed.
    pub last_detection_seconds: Option<f64>,
    /// Our My Discriminator.
    pub local_discriminator: Option<u32>,
    /// Theirs.
    pub remote_discriminator: Option<u32>,
    /// Our end; `None`: there is no socket.
    pub local_address: Option<String>,
    /// Their end.
    pub remote_address: Option<String>,
    /// The interface that packets are to come by, where that is known.
    pub interface: Option<String>,
    /// Packets go to the port of multihop sessions (RFC 5883).
    pub multihop: bool,
    /// Between two packets of ours, before the jitter, as it is in force.
    pub transmit_seconds: f64,
    /// Between two packets of theirs, at most, as it is in force.
    pub receive_seconds: f64,
    /// How long they may be silent; `None`: they are not heard.
    pub detection_seconds: Option<f64>,
    /// How long we may be silent for them; `None`: they are not heard.
    pub remote_detection_seconds: Option<f64>,
    /// The mean time between two packets of theirs, as they come.
    pub measured_seconds: Option<f64>,
    /// The longest time between two of them since the session is Up.
    pub longest_gap_seconds: Option<f64>,
    /// Counts since the session began, by name: `packets_received`, `packets_transmitted`, `packets_unauthentic`.
    pub counters: BTreeMap<String, u64>,
    /// Why a packet from the neighbor's address was last discarded.
    #[serde(default)]
    pub last_discard: Option<String>,
    /// When.
    #[serde(default)]
    pub last_discard_at: Option<Timestamp>,
    /// What is wrong, and what to do about it.
    pub problem: Option<String>,
}

/// The thread that runs all BFD sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdThread {
    /// Why it has no real-time priority; `None`: it has one, or there is no session.
    pub without_priority: Option<String>,
    /// Packets that were discarded, by reason.
    pub discards: BTreeMap<String, u64>,
}
