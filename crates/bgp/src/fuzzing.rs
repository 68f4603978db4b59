//! Doors for the fuzz targets in `fuzz/`: the readers of what a neighbor sends, without a session round them. No interface of this
//! crate, and nothing that is not there without them.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::{
    capability::{Capability, Restart},
    framing::{Framer, HeaderError, MessageType},
    notification::Notification,
    open::{Negotiated, Open, OpenError},
    peer::PeerConfig,
    session::Session,
    types::Family,
    update::{self, Context, UpdateError},
};

/// The messages in a stream that comes in those parts, and the header that ended it, if one did.
pub fn frames<'a>(
    parts: impl IntoIterator<Item = &'a [u8]>,
    extended: bool,
) -> (Vec<(MessageType, Bytes)>, Option<HeaderError>) {
    let (mut framer, mut messages) = (Framer::default(), Vec::new());
    if extended {
        framer.extend();
    }
    for part in parts {
        framer.push(part);
        loop {
            match framer.next() {
                Ok(Some(frame)) => messages.push((frame.kind, frame.bytes)),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

/// An OPEN that is good by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerOpen(Open);

impl PeerOpen {
    /// # Errors
    /// What is wrong with the body.
    pub fn parse(body: &[u8]) -> Result<Self, OpenError> {
        Open::parse(body).map(Self)
    }

    /// The message, header included.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        self.0.encode()
    }

    /// The capabilities of all its parameters.
    #[must_use]
    pub fn capabilities(&self) -> &[Capability] {
        &self.0.capabilities
    }

    /// # Errors
    /// Why there is no session with this neighbor.
    pub fn negotiate(&self, config: &PeerConfig) -> Result<Negotiated, OpenError> {
        Negotiated::new(config, &Open::ours(config, Restart::default()), &self.0)
    }
}

/// What of a session an UPDATE is read by.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The neighbor is of another AS.
    pub external: bool,
    /// AS_PATH carries four octets for each number.
    pub four_octet_as: bool,
    /// The families in force.
    pub families: BTreeSet<Family>,
    /// IPv4 routes may have an IPv6 next hop.
    pub extended_next_hop: bool,
}

/// What of an UPDATE is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Prefixes announced.
    pub announced: usize,
    /// Prefixes withdrawn, and those treated so.
    pub withdrawn: usize,
    /// Treated as a withdraw (RFC 7606 §2).
    pub treated_as_withdraw: bool,
    /// Attributes discarded (RFC 7606 §2).
    pub discarded: usize,
}

/// # Errors
/// Why the UPDATE ends the session.
pub fn update(body: &[u8], terms: &Terms) -> Result<Tally, UpdateError> {
    let context = Context {
        external: terms.external,
        four_octet_as: terms.four_octet_as,
        families: &terms.families,
        extended_next_hop: terms.extended_next_hop,
    };
    update::check(body, context).map(|tally| Tally {
        announced: tally.announced,
        withdrawn: tally.withdrawn,
        treated_as_withdraw: tally.treated_as_withdraw,
        discarded: tally.discarded,
    })
}

/// The message that says so.
#[must_use]
pub fn encode(notification: &Notification) -> Bytes {
    notification.encode()
}

/// What a session keeps, beside the routes it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Octets of a message that is not whole yet.
    pub octets: usize,
    /// Messages other than UPDATEs, actions and events that wait to be taken.
    pub waiting: usize,
    /// UPDATEs handed out and not acknowledged.
    pub in_flight: usize,
}

/// What `session` keeps.
#[must_use]
pub fn kept(session: &Session) -> Kept {
    let (octets, waiting, in_flight) = session.kept();
    Kept { octets, waiting, in_flight }
}
