//! BGP-4 for an announcer: framing, OPEN negotiation, the session state machine and the Adj-RIB-Out.
//!
//! Pure: bytes and time go in, bytes and events come out. There is no best path and no table of received routes.

mod attributes;
mod capability;
mod capture;
mod counters;
mod encoding;
mod extended;
mod fault;
mod framing;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handover;
mod limits;
mod notification;
mod open;
mod pack;
mod peer;
mod quarantine;
mod received;
mod refresh;
mod rib;
mod role;
mod session;
mod terms;
mod timers;
mod types;
mod update;
mod wire;

pub use attributes::{Attributes, BadCommunity, BadLargeCommunity, Community, LargeCommunity, MAX_PREPEND, Routes};
pub use capability::Capability;
pub use counters::{Counters, MessageCounts};
pub use extended::{BadBitRate, BadExtendedCommunity, BitRate, ExtendedCommunity, LinkBandwidth};
pub use fault::{DownReason, Fault};
pub use framing::{HeaderError, MessageType};
pub use handover::{Handover, Unfit};
pub use limits::Limits;
pub use notification::{Farewell, Notification};
pub use open::{Graceful, Negotiated, OpenError};
pub use peer::{GracefulRestart, LinkLocal, Offers, PeerAs, PeerConfig, Timing};
pub use quarantine::{QuarantineEvent, Quarantined};
pub use received::Received;
pub use refresh::RefreshError;
pub use rib::{Advertised, Progress};
pub use role::Role;
pub use session::{Action, Event, Incoming, Session, State};
pub use terms::{NextHopChange, Unsendable};
pub use types::{AS_TRANS, Asn, Family, HoldTime, HostBits, Prefix, RouterId};
pub use update::UpdateError;
