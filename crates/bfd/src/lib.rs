//! BFD (RFC 5880) for single-hop (RFC 5881) and multihop (RFC 5883) paths over IPv4 and IPv6: packets, authentication and the
//! state machine of a session, and the table that finds the session of a packet.
//!
//! Pure: packets and time go in, packets and events come out. Asynchronous mode; demand mode of the other end is honoured, echoes
//! are declined.

mod auth;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod packet;
mod session;
mod table;
#[cfg(test)]
mod testing;

pub use auth::{AuthType, BadKey, Key, Unauthentic};
pub use packet::{Diagnostic, LONGEST, Malformed, Micros, Packet, Received, State};
pub use session::{Cause, Config, Counters, Event, Handover, Measured, Session, Unfit};
pub use table::{Arrival, Discard, Entry, MULTIHOP_PORT, Path, SINGLE_HOP_PORT, TTL, Table};
