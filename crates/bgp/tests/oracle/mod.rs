//! What a neighbor makes of our octets, by somebody else's decoder.

use std::collections::BTreeMap;

use anycast_bgp::{Attributes, Prefix};
use bgpkit_parser::{
    models::{AsnLength, AttributeValue, BgpMessage, BgpUpdateMessage},
    parser::bgp::messages::parse_bgp_message,
};
use bytes::Bytes;

use crate::setting::Setting;

/// A request for the routes of a family once more, which our session answers and never asks.
pub(crate) const fn route_refresh(afi: u8) -> [u8; 23] {
    let mut message = [0xFF; 23];
    (message[16], message[17], message[18]) = (0, 23, 5);
    (message[19], message[20], message[21], message[22]) = (0, afi, 0, 1);
    message
}

/// A route in words: everything that must have come through.
pub(crate) type Held = Vec<String>;

/// What the neighbor should hold for `attributes`.
pub(crate) fn expected(setting: &Setting, prefix: Prefix, attributes: &Attributes) -> Held {
    // On iBGP the path is empty: our number in it would be taken for a loop.
    let path = if setting.internal { 0 } else { usize::from(attributes.as_path_prepend) + 1 };
    let mut held = vec![
        "origin IGP".to_owned(),
        format!("path {:?}", vec![setting.asn; path]),
        format!("next hop {}", setting.next_hop(prefix).expect("without one it is not announced")),
    ];
    held.extend(setting.internal.then(|| format!("local preference {}", attributes.local_pref.unwrap_or(100))));
    held.extend(setting.only_to_customer().then(|| format!("only to customer {}", setting.asn)));
    held.extend(attributes.med.map(|med| format!("med {med}")));
    held.extend(
        attributes
            .communities
            .iter()
            .map(|community| format!("community {}:{}", community.0 >> 16, community.0 & 0xFFFF)),
    );
    held.extend(attributes.large_communities.iter().map(|community| format!("large {community}")));
    held.sort();
    held
}

/// Takes every whole message from the front of `stream` and does what it says.
pub(crate) fn apply_all(stream: &mut Vec<u8>, held: &mut BTreeMap<String, Held>) {
    while let Some(length) = stream.get(16..18).map(|field| usize::from(u16::from_be_bytes([field[0], field[1]]))) {
        if stream.len() < length {
            return;
        }
        let mut message: Bytes = stream.drain(..length).collect::<Vec<u8>>().into();
        let message = parse_bgp_message(&mut message, false, &AsnLength::Bits32).expect("what we send can be read");
        if let BgpMessage::Update(update) = message {
            apply(&update, held);
        }
    }
}

fn apply(update: &BgpUpdateMessage, held: &mut BTreeMap<String, Held>) {
    assert!(update.attributes.validation_warnings().is_empty(), "{:?}", update.attributes.validation_warnings());
    let (mut route, mut announced, mut withdrawn) =
        (Held::new(), update.announced_prefixes.clone(), update.withdrawn_prefixes.clone());
    for attribute in &update.attributes {
        match attribute {
            AttributeValue::Origin(origin) => route.push(format!("origin {origin}")),
            AttributeValue::AsPath(path) => {
                route.push(format!("path {:?}", path.to_u32_vec_opt(false).unwrap_or_default()));
            }
            AttributeValue::NextHop(address) => route.push(format!("next hop {address}")),
            AttributeValue::MultiExitDiscriminator(med) => route.push(format!("med {med}")),
            AttributeValue::LocalPreference(preference) => route.push(format!("local preference {preference}")),
            AttributeValue::OnlyToCustomer(asn) => route.push(format!("only to customer {}", u32::from(*asn))),
            AttributeValue::Communities(list) => route.extend(list.iter().map(|community| match community {
                bgpkit_parser::models::Community::Custom(high, low) => format!("community {}:{low}", u32::from(*high)),
                other => panic!("not among the attributes of these tests: {other:?}"),
            })),
            AttributeValue::LargeCommunities(list) => {
                route.extend(list.iter().map(|community| format!("large {community}")));
            }
            AttributeValue::MpReachNlri(nlri) => {
                route.push(format!("next hop {}", nlri.next_hop_addr()));
                announced.extend(&nlri.prefixes);
            }
            AttributeValue::MpUnreachNlri(nlri) => withdrawn.extend(&nlri.prefixes),
            other => panic!("nobody chose this attribute: {other:?}"),
        }
    }
    route.sort();
    for prefix in withdrawn {
        assert!(held.remove(&prefix.to_string()).is_some(), "{prefix} was withdrawn without having been announced");
    }
    for prefix in announced {
        held.insert(prefix.to_string(), route.clone());
    }
}
