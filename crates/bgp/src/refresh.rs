//! ROUTE-REFRESH (RFC 2918), its subtypes (RFC 7313) and what is wrong with one.

use bytes::Bytes;

use crate::{
    framing::{Frame, MessageType},
    notification::Notification,
    types::Family,
    wire::{self, Reader},
};

/// A ROUTE-REFRESH that ends the session: ROUTE-REFRESH Message Error (RFC 7313 §5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefreshError {
    /// Subcode 1; the whole message.
    #[error("a ROUTE-REFRESH of {} octets has the wrong length", .0.len())]
    BadLength(Bytes),
    /// Bad Message Length of the header: no subtype says that RFC 7313 applies.
    #[error("a ROUTE-REFRESH of {0} octets is too short")]
    TooShort(u16),
}

impl RefreshError {
    /// What the neighbor is told.
    #[must_use]
    pub fn notification(&self) -> Notification {
        match self {
            Self::BadLength(message) => Notification::new(7, 1, message),
            Self::TooShort(length) => Notification::new(1, 2, &length.to_be_bytes()),
        }
    }
}

/// Beginning of Route Refresh (RFC 7313 §3.2): what of the family does not come before the end is stale.
pub(crate) fn begin(family: Family) -> Bytes {
    marked(family, 1)
}

/// End of Route Refresh (RFC 7313 §3.2).
pub(crate) fn end(family: Family) -> Bytes {
    marked(family, 2)
}

fn marked(family: Family, subtype: u8) -> Bytes {
    let (afi, safi) = family.codes();
    let [high, low] = afi.to_be_bytes();
    wire::message(MessageType::RouteRefresh, &[high, low, subtype, safi])
}

/// The family the neighbor wants again; `None` where the message asks for nothing we know. `subtypes` is whether the neighbor said
/// that it knows RFC 7313: from others the octet is reserved, to be ignored (RFC 2918 §3), and no error of RFC 7313 §5 applies.
pub(crate) fn parse(frame: &Frame, subtypes: bool) -> Result<Option<Family>, RefreshError> {
    let body = frame.body();
    let too_short = || RefreshError::TooShort(u16::try_from(frame.bytes.len()).unwrap_or(u16::MAX));
    let mut reader = Reader::new(body);
    let afi = reader.u16().ok_or_else(too_short)?;
    let subtype = reader.u8().ok_or_else(too_short)?;
    match if subtypes { subtype } else { 0 } {
        // RFC 5291 §3: what may follow the SAFI are filters, which were not negotiated.
        0 => Ok(Family::from_codes(afi, reader.u8().ok_or_else(too_short)?)),
        // RFC 7313 §5: BoRR and EoRR have a body of four octets. They mean nothing to who stores nothing.
        1 | 2 if body.len() != 4 => Err(RefreshError::BadLength(frame.bytes.clone())),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{framing::MessageType, wire::message};

    #[test]
    fn what_is_asked_for_and_what_is_wrong() {
        let parse_as = |subtypes, body: &[u8]| {
            let frame = Frame { kind: MessageType::RouteRefresh, bytes: message(MessageType::RouteRefresh, body) };
            parse(&frame, subtypes).map_err(|error| error.notification())
        };
        let parse = |body: &[u8]| parse_as(true, body);
        assert_eq!(parse(&[0, 1, 0, 1]), Ok(Some(Family::Ipv4Unicast)));
        assert_eq!(parse(&[0, 2, 0, 1]), Ok(Some(Family::Ipv6Unicast)));
        assert_eq!(parse(&[0, 2, 0, 1, 1, 128, 0, 0]), Ok(Some(Family::Ipv6Unicast)), "with filters");
        assert_eq!(parse(&[0x40, 4, 0, 71]), Ok(None), "unknown family");
        assert_eq!(parse(&[0, 1, 1, 1]), Ok(None), "BoRR");
        assert_eq!(parse(&[0, 1, 9, 1]), Ok(None), "unknown subtype");
        assert_eq!(parse(&[0, 1, 0]), Err(Notification::new(1, 2, &[0, 22])));
        for body in [&[0, 1, 1][..], &[0, 1, 2, 1, 0]] {
            let whole = message(MessageType::RouteRefresh, body);
            assert_eq!(parse(body), Err(Notification::new(7, 1, &whole)));
        }
        assert_eq!(parse_as(false, &[0, 1, 1, 1]), Ok(Some(Family::Ipv4Unicast)), "a reserved octet");
        assert_eq!(parse_as(false, &[0, 1, 2, 1, 0]), Ok(Some(Family::Ipv4Unicast)), "and no error of RFC 7313");
        assert_eq!(parse_as(false, &[0, 1, 1]), Err(Notification::new(1, 2, &[0, 22])));
    }
}
