//! NOTIFICATION (RFC 4271 §4.5): its codes in words, and the text of a shutdown (RFC 9003).

use std::fmt;

use bytes::Bytes;

use crate::{
    framing::{HEADER_LEN, MAX_LEN, MessageType},
    wire::{self, Reader},
};

/// The longest shutdown text sent: peers of RFC 8203, which RFC 9003 replaced, take no more.
const MAX_SHUTDOWN_TEXT: usize = 128;
/// As much of unknown data as is shown.
const MAX_SHOWN: usize = 32;

/// Why a speaker closes the connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Notification {
    /// Error code.
    pub code: u8,
    /// Error subcode; 0 is "unspecific".
    pub subcode: u8,
    /// What the code says it is.
    pub data: Bytes,
}

/// Why an operator's word ends a session (RFC 4486 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Farewell {
    /// Administrative Shutdown, with a text for the neighbor's operator (RFC 9003), of which at most 128 octets are sent.
    Shutdown(String),
    /// Peer De-configured.
    Deconfigured,
    /// Other Configuration Change.
    Reconfigured,
    /// Administrative Reset, with a text as above: the session comes back.
    Reset(String),
    /// BFD Down (RFC 9384): the path is lost, as the text says, which is for us alone. The session comes back.
    BfdDown(String),
    /// Nothing is said: the connection ends, and the neighbor keeps our routes for the restart time (RFC 4724).
    Silence,
}

impl Farewell {
    fn notification(&self) -> Option<Notification> {
        match self {
            Self::Shutdown(text) => Some(Notification::shutdown(text)),
            Self::Reset(text) => Some(Notification::reset(text)),
            Self::Deconfigured => Some(Notification::new(6, 3, &[])),
            Self::Reconfigured => Some(Notification::new(6, 6, &[])),
            Self::BfdDown(_) => Some(Notification::new(6, 10, &[])),
            Self::Silence => None,
        }
    }

    /// What the neighbor is told. Where NOTIFICATIONs do not end a graceful restart, only a hard reset does (RFC 8538 §3.1); an
    /// end that is meant must be one, or the routes would outlive it.
    pub(crate) fn message(&self, hard: bool) -> Option<Bytes> {
        let notification = self.notification()?;
        let notification = if hard { notification.hardened() } else { notification };
        Some(notification.encode())
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Shutdown(text) | Self::Reset(text) | Self::BfdDown(text) => text.clone(),
            Self::Deconfigured => "removed from the configuration".to_owned(),
            Self::Reconfigured => "its configuration changed".to_owned(),
            Self::Silence => "closed without a word: the neighbor keeps the routes for its restart time".to_owned(),
        }
    }
}

impl Notification {
    pub(crate) fn new(code: u8, subcode: u8, data: &[u8]) -> Self {
        // The message must fit: only the complete message that an error quotes could make it too long.
        let room = data.len().min(MAX_LEN - HEADER_LEN - 2);
        Self { code, subcode, data: Bytes::copy_from_slice(data.get(..room).unwrap_or_default()) }
    }

    /// Cease, Administrative Shutdown (RFC 4486 §3), with the reason as RFC 9003 §2 carries it.
    pub(crate) fn shutdown(text: &str) -> Self {
        Self::with_text(2, text)
    }

    /// Cease, Administrative Reset, likewise.
    pub(crate) fn reset(text: &str) -> Self {
        Self::with_text(4, text)
    }

    fn with_text(subcode: u8, text: &str) -> Self {
        let text = cut(text, MAX_SHUTDOWN_TEXT);
        let mut data = vec![u8::try_from(text.len()).unwrap_or(0)];
        data.extend_from_slice(text.as_bytes());
        Self::new(6, subcode, &data)
    }

    /// As a hard reset (RFC 8538 §3.1): Cease/9 with code, subcode and data of this one.
    fn hardened(&self) -> Self {
        let mut data = vec![self.code, self.subcode];
        data.extend_from_slice(&self.data);
        Self::new(6, 9, &data)
    }

    /// `None` when the body is too short, which the framing has refused before.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        Some(Self { code: reader.u8()?, subcode: reader.u8()?, data: Bytes::copy_from_slice(reader.rest()) })
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut body = vec![self.code, self.subcode];
        body.extend_from_slice(&self.data);
        wire::message(MessageType::Notification, &body)
    }

    /// The subcode and the data of an UPDATE Message Error, as such or in a hard reset (RFC 8538 §3.1), which encloses the reason.
    pub(crate) fn update_error(&self) -> Option<(u8, &[u8])> {
        let (code, subcode, data) = match (self.code, self.subcode, &self.data[..]) {
            (6, 9, [code, subcode, data @ ..]) => (*code, *subcode, data),
            (code, subcode, data) => (code, subcode, data),
        };
        (code == 3).then_some((subcode, data))
    }

    /// The name of the code in the IANA registry.
    #[must_use]
    pub const fn code_name(&self) -> Option<&'static str> {
        match self.code {
            1 => Some("Message Header Error"),
            2 => Some("OPEN Message Error"),
            3 => Some("UPDATE Message Error"),
            4 => Some("Hold Timer Expired"),
            5 => Some("Finite State Machine Error"),
            6 => Some("Cease"),
            7 => Some("ROUTE-REFRESH Message Error"),
            8 => Some("Send Hold Timer Expired"),
            _ => None,
        }
    }

    /// The name of the subcode in the IANA registry.
    #[must_use]
    pub const fn subcode_name(&self) -> Option<&'static str> {
        match (self.code, self.subcode) {
            (1, 1) => Some("Connection Not Synchronized"),
            (1, 2) => Some("Bad Message Length"),
            (1, 3) => Some("Bad Message Type"),
            (2, 1) => Some("Unsupported Version Number"),
            (2, 2) => Some("Bad Peer AS"),
            (2, 3) => Some("Bad BGP Identifier"),
            (2, 4) => Some("Unsupported Optional Parameter"),
            (2, 6) => Some("Unacceptable Hold Time"),
            (2, 7) => Some("Unsupported Capability"),
            (2, 11) => Some("Role Mismatch"),
            (3, 1) => Some("Malformed Attribute List"),
            (3, 2) => Some("Unrecognized Well-known Attribute"),
            (3, 3) => Some("Missing Well-known Attribute"),
            (3, 4) => Some("Attribute Flags Error"),
            (3, 5) => Some("Attribute Length Error"),
            (3, 6) => Some("Invalid ORIGIN Attribute"),
            (3, 8) => Some("Invalid NEXT_HOP Attribute"),
            (3, 9) => Some("Optional Attribute Error"),
            (3, 10) => Some("Invalid Network Field"),
            (3, 11) => Some("Malformed AS_PATH"),
            (5, 1) => Some("Receive Unexpected Message in OpenSent State"),
            (5, 2) => Some("Receive Unexpected Message in OpenConfirm State"),
            (5, 3) => Some("Receive Unexpected Message in Established State"),
            (6, 1) => Some("Maximum Number of Prefixes Reached"),
            (6, 2) => Some("Administrative Shutdown"),
            (6, 3) => Some("Peer De-configured"),
            (6, 4) => Some("Administrative Reset"),
            (6, 5) => Some("Connection Rejected"),
            (6, 6) => Some("Other Configuration Change"),
            (6, 7) => Some("Connection Collision Resolution"),
            (6, 8) => Some("Out of Resources"),
            (6, 9) => Some("Hard Reset"),
            (6, 10) => Some("BFD Down"),
            (7, 1) => Some("Invalid Message Length"),
            _ => None,
        }
    }

    /// What a hard reset carries (RFC 8538 §3.1). One within another is not looked into.
    fn hard_reset(&self) -> Option<Self> {
        let inner = ((self.code, self.subcode) == (6, 9)).then(|| Self::parse(&self.data)).flatten()?;
        ((inner.code, inner.subcode) != (6, 9)).then_some(inner)
    }

    /// What the neighbor's operator wrote (RFC 9003 §2), safe to print: no octet of it is trusted.
    #[must_use]
    pub fn shutdown_text(&self) -> Option<String> {
        match (self.code, self.subcode) {
            (6, 2 | 4) => Reader::new(&self.data).counted_by_u8().filter(|text| !text.is_empty()).map(printable),
            _ => None,
        }
    }
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} ({}", self.code, self.subcode, self.code_name().unwrap_or("unknown code"))?;
        match (self.subcode_name(), self.subcode) {
            (Some(name), _) => write!(f, ", {name})")?,
            (None, 0) => f.write_str(")")?,
            (None, _) => f.write_str(", unknown subcode)")?,
        }
        if let Some(inner) = self.hard_reset() {
            return write!(f, " with {inner}");
        }
        if let Some(text) = self.shutdown_text() {
            return write!(f, ": \"{text}\"");
        }
        let shown = self.data.get(..MAX_SHOWN).unwrap_or(&self.data);
        if !shown.is_empty() {
            f.write_str(", data ")?;
            shown.iter().try_for_each(|octet| write!(f, "{octet:02x}"))?;
        }
        if shown.len() < self.data.len() { f.write_str("…") } else { Ok(()) }
    }
}

/// The longest start of `text` that has at most `octets` octets and ends between characters.
fn cut(text: &str, octets: usize) -> &str {
    let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= octets).last().unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// UTF-8 as far as it is some; what could move a terminal's cursor or turn its writing direction is escaped.
fn printable(octets: &[u8]) -> String {
    let mut out = String::new();
    for c in String::from_utf8_lossy(octets).chars() {
        let steers =
            matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}');
        if c.is_control() || steers || c == '"' || c == '\\' { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_shutdown_carries_its_reason_and_is_read_back() {
        let sent = Notification::shutdown("rack power, until 14:00");
        assert_eq!(sent.data.first(), Some(&23));
        let read = Notification::parse(&sent.encode()[HEADER_LEN..]).expect("whole");
        assert_eq!(read, sent);
        assert_eq!(read.to_string(), "6/2 (Cease, Administrative Shutdown): \"rack power, until 14:00\"");
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let sent = Notification::shutdown(&"é".repeat(100));
        assert_eq!(sent.data.len(), 129);
        assert_eq!(sent.shutdown_text(), Some("é".repeat(64)));
        let odd = Notification::shutdown(&format!("x{}", "é".repeat(100)));
        assert_eq!(odd.data.first(), Some(&127), "half an é is left out");
        assert_eq!(Notification::shutdown("").data.as_ref(), [0]);
    }

    #[test]
    fn words_for_what_neighbors_send() {
        let table: &[(u8, u8, &[u8], &str)] = &[
            (4, 0, &[], "4/0 (Hold Timer Expired)"),
            (2, 2, &[0xFD, 0xE8], "2/2 (OPEN Message Error, Bad Peer AS), data fde8"),
            (6, 77, &[], "6/77 (Cease, unknown subcode)"),
            (99, 1, &[1], "99/1 (unknown code, unknown subcode), data 01"),
            (6, 2, &[3, b'a', 0x1B, b'b'], "6/2 (Cease, Administrative Shutdown): \"a\\u{1b}b\""),
            (6, 4, &[2, 0xFF, b'x'], "6/4 (Cease, Administrative Reset): \"\u{FFFD}x\""),
            (6, 2, &[200, b'x'], "6/2 (Cease, Administrative Shutdown), data c878"),
            (6, 9, &[6, 2, 1, b'x'], "6/9 (Cease, Hard Reset) with 6/2 (Cease, Administrative Shutdown): \"x\""),
            (6, 9, &[6], "6/9 (Cease, Hard Reset), data 06"),
            (6, 9, &[6, 9, 6, 9], "6/9 (Cease, Hard Reset), data 06090609"),
            (6, 2, &[0], "6/2 (Cease, Administrative Shutdown), data 00"),
        ];
        for (code, subcode, data, words) in table {
            assert_eq!(Notification::new(*code, *subcode, data).to_string(), *words);
        }
        let long = Notification::new(1, 1, &[0xAB; 5000]);
        assert_eq!(long.encode().len(), MAX_LEN);
        assert!(long.to_string().ends_with("abab…"));
    }

    #[test]
    fn an_update_error_is_known_by_itself_and_within_a_hard_reset() {
        type Case<'a> = (u8, u8, &'a [u8], Option<(u8, &'a [u8])>);
        let table: &[Case<'_>] = &[
            (3, 5, &[1, 2], Some((5, &[1, 2]))),
            (6, 9, &[3, 5, 1, 2], Some((5, &[1, 2]))),
            (6, 9, &[6, 2, 3], None),
            (6, 9, &[3], None),
            (6, 4, &[3, 5], None),
            (1, 3, &[], None),
        ];
        for (code, subcode, data, expected) in table {
            assert_eq!(Notification::new(*code, *subcode, data).update_error(), *expected, "{code}/{subcode} {data:?}");
        }
    }

    proptest! {
        #[test]
        fn any_body_can_be_shown(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let shown = Notification::parse(&body).map(|notification| notification.to_string());
            prop_assert_eq!(shown.is_some(), body.len() >= 2);
            prop_assert!(!shown.unwrap_or_default().chars().any(char::is_control));
        }
    }
}
