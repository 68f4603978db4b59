//! What a BGP message says, by somebody else's decoder: the agent is not asked about its own words.

use std::{collections::BTreeSet, net::SocketAddr};

use bgpkit_parser::{
    models::{AsnLength, AttributeValue, BgpMessage, BgpUpdateMessage, Community, NetworkPrefix},
    parser::bgp::messages::parse_bgp_message,
};
use bytes::Bytes;

use crate::tools::record::{Message, Nanos};

/// RFC 4271 §4.3.
pub(super) const UPDATE: &str = "UPDATE";

/// Reads one whole message.
pub(super) fn decode(at: Nanos, from: SocketAddr, to: SocketAddr, bytes: &Bytes) -> Message {
    let kind = match bytes.get(18) {
        Some(1) => "OPEN",
        Some(2) => UPDATE,
        Some(3) => "NOTIFICATION",
        Some(4) => "KEEPALIVE",
        Some(5) => "ROUTE-REFRESH",
        _ => "unknown",
    };
    let empty = Vec::new();
    let mut message = Message {
        at,
        from,
        to,
        kind: kind.to_owned(),
        octets: bytes.len(),
        announced: empty.clone(),
        withdrawn: empty.clone(),
        communities: empty,
        note: None,
    };
    // All speakers of the lab offer four-octet AS numbers (RFC 6793), and none offers ADD-PATH.
    match parse_bgp_message(&mut bytes.clone(), false, &AsnLength::Bits32) {
        Ok(BgpMessage::Update(update)) => read_update(&update, &mut message),
        Ok(BgpMessage::Notification(notification)) => {
            let (code, subcode) = notification.error.get_codes();
            message.note = Some(notification_in_words(code, subcode));
        }
        Ok(_) => {}
        Err(error) => message.note = Some(format!("cannot be read: {error}")),
    }
    message
}

fn read_update(update: &BgpUpdateMessage, message: &mut Message) {
    let mut announced = names(&update.announced_prefixes);
    let mut withdrawn = names(&update.withdrawn_prefixes);
    let mut communities = Vec::new();
    for attribute in &update.attributes {
        match attribute {
            AttributeValue::MpReachNlri(nlri) => announced.extend(names(&nlri.prefixes)),
            AttributeValue::MpUnreachNlri(nlri) => withdrawn.extend(names(&nlri.prefixes)),
            AttributeValue::Communities(list) => communities.extend(list.iter().map(community)),
            AttributeValue::LargeCommunities(list) => communities.extend(list.iter().map(ToString::to_string)),
            _ => {}
        }
    }
    message.announced = announced.into_iter().collect();
    message.withdrawn = withdrawn.into_iter().collect();
    message.communities = communities;
}

fn names(prefixes: &[NetworkPrefix]) -> BTreeSet<String> {
    prefixes.iter().map(|prefix| prefix.prefix.to_string()).collect()
}

/// By name where the registry of IANA has one that matters here.
fn community(community: &Community) -> String {
    match community {
        // RFC 8326 §5: 65535:0.
        Community::Custom(high, 0) if u32::from(*high) == 65535 => "graceful-shutdown".to_owned(),
        other => other.to_string(),
    }
}

/// RFC 4271 §4.5, RFC 4486 §3.
fn notification_in_words(code: u8, subcode: u8) -> String {
    let name = match (code, subcode) {
        (4, _) => "Hold Timer Expired",
        (6, 2) => "Cease: Administrative Shutdown",
        (6, 4) => "Cease: Administrative Reset",
        (6, 7) => "Cease: Connection Collision Resolution",
        (6, _) => "Cease",
        (5, _) => "Finite State Machine Error",
        (3, _) => "UPDATE Message Error",
        (2, _) => "OPEN Message Error",
        (1, _) => "Message Header Error",
        _ => "unknown error",
    };
    format!("{name} ({code}/{subcode})")
}

#[cfg(test)]
mod tests {
    use super::{super::stream::tests::message, *};

    fn read(bytes: Vec<u8>) -> Message {
        let (from, to) = ("192.0.2.50:40000".parse().unwrap(), "192.0.2.49:179".parse().unwrap());
        decode(Nanos(1), from, to, &bytes.into())
    }

    #[test]
    fn prefixes_of_both_families_are_told() {
        // Withdrawn 203.0.113.0/24, and MP_UNREACH_NLRI (RFC 4760 §4) of 2001:db8:53::/48.
        let mut body = vec![0, 4, 24, 203, 0, 113, 0, 13, 0x80, 15, 10, 0, 2, 1, 48, 0x20, 0x01, 0x0d, 0xb8, 0, 0x53];
        let withdrawn = read(message(2, &body));
        assert_eq!(withdrawn.withdrawn, ["2001:db8:53::/48", "203.0.113.0/24"]);
        assert_eq!((withdrawn.kind.as_str(), withdrawn.announced.len(), withdrawn.note), ("UPDATE", 0, None));

        // ORIGIN, AS_PATH 65010, NEXT_HOP, COMMUNITIES 65010:100 and GRACEFUL_SHUTDOWN, NLRI 203.0.113.0/24.
        body = vec![0, 0, 0, 34, 0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xFD, 0xF2, 0x40, 3, 4, 192, 0, 2, 50];
        body.extend([0xC0, 8, 8, 0xFD, 0xF2, 0, 100, 0xFF, 0xFF, 0, 0, 24, 203, 0, 113]);
        body[3] = 31;
        let announced = read(message(2, &body));
        assert_eq!(announced.announced, ["203.0.113.0/24"]);
        assert_eq!(announced.communities, ["65010:100", "graceful-shutdown"]);
    }

    #[test]
    fn other_messages_are_told_by_name() {
        for (kind, body, name, note) in [
            (4, &[][..], "KEEPALIVE", None),
            (3, &[4, 0][..], "NOTIFICATION", Some("Hold Timer Expired (4/0)")),
            (3, &[6, 2, 0][..], "NOTIFICATION", Some("Cease: Administrative Shutdown (6/2)")),
            (2, &[0, 0, 0, 0][..], "UPDATE", None),
        ] {
            let message = read(message(kind, body));
            assert_eq!((message.kind.as_str(), message.note.as_deref()), (name, note));
        }
    }

    #[test]
    fn odd_messages_are_told_as_such() {
        for (kind, body) in [(9, &[][..]), (2, &[0xFF][..]), (1, &[][..]), (3, &[][..]), (2, &[0, 9, 0, 0][..])] {
            let message = read(message(kind, body));
            assert!(message.note.is_some_and(|note| note.starts_with("cannot be read: ")), "{kind} {body:?}");
        }
    }
}
