//! BFD sessions with the neighbors (RFC 5880 to 5883): a dead path is noticed within a few intervals.
//!
//! One thread of the operating system has their sockets and timers, and nothing that goes on in the rest of the process delays it.
//! What it knows of a session goes out by a `watch` ([`Seen`]); what sessions there are to be comes in by a queue.

mod seen;

pub(crate) use self::seen::Seen;
