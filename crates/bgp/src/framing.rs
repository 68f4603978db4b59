//! The message header (RFC 4271 §4.1, §6.1): from a stream of octets, however it is cut, to whole messages.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

use crate::notification::Notification;

/// Octets of the header.
pub(crate) const HEADER_LEN: usize = 19;
/// The longest message without RFC 8654, and the longest OPEN and KEEPALIVE in any case.
pub(crate) const MAX_LEN: usize = 4096;
/// The longest message with RFC 8654.
pub(crate) const EXTENDED_MAX_LEN: usize = 65_535;
/// What every message starts with.
pub(crate) const MARKER: [u8; 16] = [0xFF; 16];

/// The message types of the IANA registry that this speaker knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageType {
    /// RFC 4271 §4.2.
    Open,
    /// RFC 4271 §4.3.
    Update,
    /// RFC 4271 §4.5.
    Notification,
    /// RFC 4271 §4.4.
    Keepalive,
    /// RFC 2918 §3.
    RouteRefresh,
}

impl MessageType {
    /// The code of the registry.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Open => 1,
            Self::Update => 2,
            Self::Notification => 3,
            Self::Keepalive => 4,
            Self::RouteRefresh => 5,
        }
    }

    /// The type of that code, if this speaker knows it.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Open),
            2 => Some(Self::Update),
            3 => Some(Self::Notification),
            4 => Some(Self::Keepalive),
            5 => Some(Self::RouteRefresh),
            _ => None,
        }
    }

    /// Whether a message of this type may have that length in all (RFC 4271 §6.1). A ROUTE-REFRESH of a wrong length has an
    /// error of its own (RFC 7313 §5), so only what is too short to hold a subtype is refused here.
    const fn allows(self, length: usize) -> bool {
        match self {
            Self::Open => length >= 29 && length <= MAX_LEN,
            Self::Update => length >= 23,
            Self::Notification => length >= 21,
            Self::Keepalive => length == HEADER_LEN,
            Self::RouteRefresh => length >= HEADER_LEN + 3,
        }
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "OPEN",
            Self::Update => "UPDATE",
            Self::Notification => "NOTIFICATION",
            Self::Keepalive => "KEEPALIVE",
            Self::RouteRefresh => "ROUTE-REFRESH",
        })
    }
}

/// A header that no message may have: Message Header Error (RFC 4271 §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Subcode 1.
    #[error("the marker of a message is not all ones: the two ends have lost step, or this is not BGP")]
    NotSynchronized,
    /// Subcode 2.
    #[error("a message says it is {0} octets long, which its type does not allow")]
    BadLength(u16),
    /// Subcode 3.
    #[error("message type {0} is unknown")]
    BadType(u8),
}

impl HeaderError {
    /// What the neighbor is told.
    #[must_use]
    pub fn notification(self) -> Notification {
        match self {
            Self::NotSynchronized => Notification::new(1, 1, &[]),
            Self::BadLength(length) => Notification::new(1, 2, &length.to_be_bytes()),
            Self::BadType(code) => Notification::new(1, 3, &[code]),
        }
    }
}

/// One message whose header was good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: MessageType,
    /// The message, header included.
    pub(crate) bytes: Bytes,
}

impl Frame {
    pub(crate) fn body(&self) -> &[u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }
}

/// Gathers octets until they are a message.
#[derive(Debug, Default)]
pub(crate) struct Framer {
    buffer: BytesMut,
    /// RFC 8654 is in force.
    extended: bool,
}

impl Framer {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// From the next message on, all but OPEN and KEEPALIVE may be of up to 65,535 octets (RFC 8654 §4).
    pub(crate) const fn extend(&mut self) {
        self.extended = true;
    }

    /// The octets that wait for the rest of their message.
    pub(crate) fn waiting(&self) -> &[u8] {
        &self.buffer
    }

    /// How many these are.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn buffered(&self) -> usize {
        self.buffer.remaining()
    }

    /// The next whole message; `None` while octets are missing. After an error the stream is of no more use.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, HeaderError> {
        let Some([marker @ .., high, low, code]) = self.buffer.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        if *marker != MARKER {
            return Err(HeaderError::NotSynchronized);
        }
        let claimed = u16::from_be_bytes([*high, *low]);
        let length = usize::from(claimed);
        let most = if self.extended { EXTENDED_MAX_LEN } else { MAX_LEN };
        if !(HEADER_LEN..=most).contains(&length) {
            return Err(HeaderError::BadLength(claimed));
        }
        let kind = MessageType::from_code(*code).ok_or(HeaderError::BadType(*code))?;
        if !kind.allows(length) {
            return Err(HeaderError::BadLength(claimed));
        }
        if self.buffer.remaining() < length {
            return Ok(None);
        }
        Ok(Some(Frame { kind, bytes: self.buffer.split_to(length).freeze() }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::message;

    fn header(length: u16, code: u8) -> Vec<u8> {
        let mut bytes = MARKER.to_vec();
        bytes.extend(length.to_be_bytes());
        bytes.push(code);
        bytes
    }

    #[test]
    fn each_bad_header_has_its_own_notification() {
        let mut unsynchronized = header(19, 4);
        unsynchronized[7] = 0xFE;
        type Case<'a> = (&'a str, Vec<u8>, u8, u8, &'a [u8]);
        let table: &[Case<'_>] = &[
            ("marker", unsynchronized, 1, 1, &[]),
            ("length 0", header(0, 4), 1, 2, &[0, 0]),
            ("length 18", header(18, 2), 1, 2, &[0, 18]),
            ("length 4097", header(4097, 2), 1, 2, &[0x10, 0x01]),
            ("length 65535", header(65535, 2), 1, 2, &[0xFF, 0xFF]),
            ("KEEPALIVE with a body", header(20, 4), 1, 2, &[0, 20]),
            ("OPEN of 28", header(28, 1), 1, 2, &[0, 28]),
            ("UPDATE of 22", header(22, 2), 1, 2, &[0, 22]),
            ("NOTIFICATION of 20", header(20, 3), 1, 2, &[0, 20]),
            ("ROUTE-REFRESH of 21", header(21, 5), 1, 2, &[0, 21]),
            ("type 0", header(19, 0), 1, 3, &[0]),
            ("type 6", header(19, 6), 1, 3, &[6]),
            ("type 255", header(4096, 255), 1, 3, &[255]),
        ];
        for (name, bytes, code, subcode, data) in table {
            let mut framer = Framer::default();
            framer.push(bytes);
            let error = framer.next().expect_err(name);
            assert_eq!(error.notification(), Notification::new(*code, *subcode, data), "{name}");
        }
    }

    #[test]
    fn messages_come_out_whole_wherever_they_are_cut() {
        let messages = [
            message(MessageType::Keepalive, &[]),
            message(MessageType::Notification, &[6, 2]),
            message(MessageType::Update, &[0; 4]),
        ];
        let stream = messages.concat();
        for cut in 0..=stream.len() {
            let (mut framer, mut out) = (Framer::default(), Vec::new());
            for part in [&stream[..cut], &stream[cut..]] {
                framer.push(part);
                while let Some(frame) = framer.next().expect("good headers") {
                    out.push(frame.bytes);
                }
            }
            assert_eq!(out, messages, "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn octets_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), synchronized: bool) {
            let mut framer = Framer::default();
            if synchronized { framer.push(&MARKER); }
            framer.push(&bytes);
            while let Ok(Some(_)) = framer.next() {}
        }
    }
}
