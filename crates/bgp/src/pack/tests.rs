use std::{collections::BTreeMap, net::IpAddr, str::FromStr};

use bgpkit_parser::{
    models::{AsnLength, AttributeValue, Attributes as WireAttributes, BgpMessage, BgpUpdateMessage},
    parser::bgp::messages::parse_bgp_message,
};

use super::*;
use crate::{
    attributes::{Community, LargeCommunity},
    extended::{ExtendedCommunity, LinkBandwidth},
    framing::{EXTENDED_MAX_LEN, MAX_LEN},
    terms::tests::{external, internal},
    types::Asn,
};

fn prefix(text: &str) -> Prefix {
    Prefix::from_str(text).expect("a prefix")
}

fn decode(message: &Bytes, length: AsnLength) -> BgpUpdateMessage {
    assert_eq!(message[16..18], (message.len() as u16).to_be_bytes());
    match parse_bgp_message(&mut message.clone(), false, &length).expect("an UPDATE") {
        BgpMessage::Update(update) => {
            assert!(
                update.attributes.validation_warnings().is_empty(),
                "{:?}",
                update.attributes.validation_warnings()
            );
            update
        }
        other => panic!("not an UPDATE: {other:?}"),
    }
}

fn announce(attributes: &Attributes, terms: &Terms, prefixes: &[&str]) -> Bytes {
    let mut queue: BTreeSet<Prefix> = prefixes.iter().map(|text| prefix(text)).collect();
    let family = queue.first().expect("one at the least").family();
    let (message, sent) =
        Block::new(attributes, terms, family).expect("it fits").announce(&mut queue).expect("a message");
    assert_eq!((sent.len(), queue.len()), (prefixes.len(), 0));
    message
}

fn codes(attributes: &WireAttributes) -> Vec<u8> {
    attributes.iter().map(|attribute| attribute.attr_code()).collect()
}

fn paths(attributes: &WireAttributes) -> Vec<(u8, Vec<u32>)> {
    let numbers = |path: &bgpkit_parser::models::AsPath| path.to_u32_vec_opt(false).unwrap_or_default();
    let path = |attribute: &AttributeValue| match attribute {
        AttributeValue::AsPath(path) => Some((2, numbers(path))),
        AttributeValue::As4Path(path) => Some((17, numbers(path))),
        _ => None,
    };
    attributes.iter().filter_map(path).collect()
}

#[test]
fn the_octets_of_a_plain_ipv4_route() {
    let message = announce(&Attributes::default(), &external(65010, true), &["198.51.100.0/24", "203.0.113.7/32"]);
    let expected = [
        &[0xFF; 16][..],
        &[0, 52, 2, 0, 0, 0, 20],
        &[0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xFD, 0xF2, 0x40, 3, 4, 192, 0, 2, 1],
        &[24, 198, 51, 100, 32, 203, 0, 113, 7],
    ]
    .concat();
    assert_eq!(message, expected);
}

#[test]
fn the_default_route_is_one_octet() {
    let message = announce(&Attributes::default(), &external(65010, true), &["0.0.0.0/0"]);
    assert_eq!(message.last(), Some(&0));
    assert_eq!(message.len(), 23 + 20 + 1);
}

#[test]
fn an_ipv6_route_has_mp_reach_first_and_no_next_hop() {
    let message = announce(&Attributes::default(), &external(65010, true), &["2001:db8::1/128", "2001:db8:5::/48"]);
    let update = decode(&message, AsnLength::Bits32);
    assert_eq!(codes(&update.attributes), [14, 1, 2]);
    let nlri = update.attributes.get_reachable_nlri().expect("MP_REACH_NLRI");
    assert_eq!(nlri.next_hop_addr(), IpAddr::from_str("2001:db8::99").expect("an address"));
    assert_eq!(
        nlri.prefixes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["2001:db8::1/128", "2001:db8:5::/48"]
    );
    assert!(update.announced_prefixes.is_empty() && update.withdrawn_prefixes.is_empty());
}

/// RFC 2545 §3: 16 octets for one address, whatever its kind, and 32 for both, the global one first.
#[test]
fn the_octets_of_the_ipv6_next_hop() {
    let ip = |text: &str| text.parse::<std::net::Ipv6Addr>().expect("an address");
    let (global, link_local) = (ip("2001:db8::1"), ip("fe80::1"));
    let table = [
        (NextHop6::One(global), global.octets().to_vec()),
        (NextHop6::One(link_local), link_local.octets().to_vec()),
        (NextHop6::GlobalAndLinkLocal(global, link_local), [global.octets(), link_local.octets()].concat()),
    ];
    for (next_hop, octets) in table {
        let terms = Terms { next_hop_ipv6: Some(next_hop), ..external(65010, true) };
        let message = announce(&Attributes::default(), &terms, &["2001:db8:5::/48"]);
        let length = u8::try_from(octets.len()).expect("short");
        let expected = [&[0x80, 14, 12 + length, 0, 2, 1, length][..], &octets, &[0, 48]].concat();
        assert_eq!(message[23..23 + expected.len()], expected, "{next_hop}");
        decode(&message, AsnLength::Bits32);
    }
}

#[test]
fn everything_chosen_is_in_the_message_sorted() {
    let attributes = Attributes {
        med: Some(7),
        local_pref: Some(300),
        as_path_prepend: 2,
        communities: [
            Community(65010 << 16 | 2),
            Community::GRACEFUL_SHUTDOWN,
            Community(1),
            "no-export".parse().expect("known"),
        ]
        .into(),
        large_communities: [LargeCommunity { global: 4_200_000_001, local1: 1, local2: 2 }].into(),
        extended_communities: ["rt:65010:100".parse().expect("one")].into(),
        link_bandwidth: None,
    };
    let update = decode(&announce(&attributes, &external(65010, true), &["198.51.100.0/24"]), AsnLength::Bits32);
    assert_eq!(codes(&update.attributes), [1, 2, 3, 4, 8, 16, 32], "no LOCAL_PREF to an external neighbor");
    assert_eq!(paths(&update.attributes), [(2, vec![65010; 3])]);
    let shown: Vec<String> = update.attributes.iter_communities().map(|community| community.to_string()).collect();
    assert_eq!(shown, ["0:1", "65010:2", "65535:0", "no-export", "0:2:65010:00000064", "4200000001:1:2"]);

    let update = decode(&announce(&attributes, &internal(65010), &["198.51.100.0/24"]), AsnLength::Bits32);
    assert_eq!(codes(&update.attributes), [1, 2, 3, 4, 5, 8, 16, 32]);
    assert_eq!(update.attributes.local_preference(), Some(300));
    assert_eq!(paths(&update.attributes), [(2, vec![])], "nothing is prepended inside the AS");
    let default = decode(&announce(&Attributes::default(), &internal(65010), &["198.51.100.0/24"]), AsnLength::Bits32);
    assert_eq!(default.attributes.local_preference(), Some(100));
}

#[test]
fn a_two_octet_neighbor_gets_as_trans_and_as4_path() {
    let attributes = Attributes { as_path_prepend: 1, ..Attributes::default() };
    let big = announce(&attributes, &external(4_200_000_001, false), &["198.51.100.0/24"]);
    let update = decode(&big, AsnLength::Bits16);
    assert_eq!(paths(&update.attributes), [(2, vec![23456; 2]), (17, vec![4_200_000_001; 2])]);
    let small = decode(&announce(&attributes, &external(65010, false), &["198.51.100.0/24"]), AsnLength::Bits16);
    assert_eq!(paths(&small.attributes), [(2, vec![65010; 2])], "AS4_PATH would say nothing new");
    let wide = decode(&announce(&attributes, &external(4_200_000_001, true), &["198.51.100.0/24"]), AsnLength::Bits32);
    assert_eq!(paths(&wide.attributes), [(2, vec![4_200_000_001; 2])]);
}

#[test]
fn more_numbers_than_a_segment_holds_take_two() {
    let attributes = Attributes { as_path_prepend: 255, ..Attributes::default() };
    let update = decode(&announce(&attributes, &external(65010, true), &["198.51.100.0/24"]), AsnLength::Bits32);
    assert_eq!(paths(&update.attributes), [(2, vec![65010; 256])]);
}

#[test]
fn many_communities_take_the_long_length_and_too_many_are_refused() {
    let with = |count: u32| Attributes { communities: (0..count).map(Community).collect(), ..Attributes::default() };
    for (count, flags) in [(63, 0xC0), (64, 0xD0), (1000, 0xD0)] {
        let message = announce(&with(count), &external(65010, true), &["198.51.100.0/24"]);
        assert_eq!(message[43..45], [flags, 8], "{count} communities");
        assert_eq!(decode(&message, AsnLength::Bits32).attributes.iter_communities().count(), count as usize);
    }
    for (count, family) in [(1013, Family::Ipv4Unicast), (1005, Family::Ipv6Unicast), (20_000, Family::Ipv4Unicast)] {
        let refused = Block::new(&with(count), &external(65010, true), family);
        assert_eq!(refused, Err(Unsendable::TooLarge(family, MAX_LEN)), "{count} communities");
    }
}

/// The codec must not touch them, whatever they are; a codec that knew a kind better than we do would not be exact.
#[test]
fn extended_communities_are_on_the_wire_octet_by_octet() {
    let written = [
        "rt:65010:100",
        "rt:192.0.2.1:5",
        "rt:4200000000:1",
        "soo:65010:7",
        "0x030c000000000008",
        "0x0604000102030405",
        "0x4009fdf20a0b0c0d",
        "0x4007fdf2ffffffff",
        "0x800601020304f5f6",
        "0xffffffffffffffff",
    ];
    let attributes = Attributes {
        extended_communities: written.iter().map(|text| text.parse().expect(text)).collect(),
        link_bandwidth: Some(LinkBandwidth { rate: "10Gbps".parse().expect("a rate"), transitive: false }),
        ..Attributes::default()
    };
    let message = announce(&attributes, &external(65010, true), &["198.51.100.0/24"]);
    let mut expected = vec![0xC0, 16, 88];
    for community in attributes.extended(Asn::new(65010).expect("not 0")) {
        expected.extend(community.0);
    }
    assert!(expected.windows(8).any(|octets| octets == [0x40, 4, 0xFD, 0xF2, 0x4E, 0x95, 0x02, 0xF9]));
    assert_eq!(message[43..43 + expected.len()], expected);
    decode(&message, AsnLength::Bits32);
}

#[test]
fn extended_communities_count_against_the_message_size() {
    let with = |count: u64| Attributes {
        extended_communities: (0..count).map(|number| ExtendedCommunity((number << 8).to_be_bytes())).collect(),
        link_bandwidth: Some(LinkBandwidth { rate: "1bps".parse().expect("a rate"), transitive: true }),
        ..Attributes::default()
    };
    // Header and lengths 23, ORIGIN, AS_PATH and NEXT_HOP 20, this one's own header 4, and room for any prefix 17.
    let most = (MAX_LEN - 23 - 20 - 4 - 17) as u64 / 8 - 1;
    let terms = external(65010, true);
    assert!(Block::new(&with(most), &terms, Family::Ipv4Unicast).is_ok());
    let refused = Block::new(&with(most + 1), &terms, Family::Ipv4Unicast);
    assert_eq!(refused, Err(Unsendable::TooLarge(Family::Ipv4Unicast, MAX_LEN)));
    let message = announce(&with(31), &terms, &["198.51.100.0/24"]);
    assert_eq!(message[43..47], [0xD0, 16, 1, 0], "256 octets take the long length");
}

#[test]
fn prefixes_share_updates_up_to_the_message_size() {
    let terms = external(65010, true);
    for (family, per_message) in [(Family::Ipv4Unicast, 810), (Family::Ipv6Unicast, 237)] {
        let all: BTreeSet<Prefix> = (0..2000u32).map(|number| host(family, number)).collect();
        let block = Block::new(&Attributes::default(), &terms, family).expect("it fits");
        let (mut queue, mut seen) = (all.clone(), BTreeSet::new());
        let mut messages = 0;
        while let Some((message, prefixes)) = block.announce(&mut queue) {
            let update = decode(&message, AsnLength::Bits32);
            let mp = update.attributes.get_reachable_nlri().map(|nlri| nlri.prefixes.clone()).unwrap_or_default();
            let decoded: Vec<String> = update.announced_prefixes.iter().chain(&mp).map(ToString::to_string).collect();
            assert_eq!(decoded, prefixes.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert!(message.len() <= MAX_LEN);
            assert!(prefixes.len() == per_message || queue.is_empty(), "{} in a message", prefixes.len());
            seen.extend(prefixes);
            messages += 1;
        }
        assert_eq!(seen, all);
        assert_eq!(messages, 2000usize.div_ceil(per_message));
    }
}

#[test]
fn withdraws_are_of_one_family_and_never_empty() {
    assert_eq!(withdraw(&mut BTreeSet::new(), &external(65010, true)), None);
    let mut queue: BTreeSet<Prefix> = (0..1000u32).flat_map(|n| Family::ALL.map(|family| host(family, n))).collect();
    let mut seen: BTreeMap<Family, usize> = BTreeMap::new();
    while let Some((message, prefixes)) = withdraw(&mut queue, &external(65010, true)) {
        let update = decode(&message, AsnLength::Bits32);
        assert!(message.len() <= MAX_LEN);
        assert!(!update.is_end_of_rib());
        let mp = update.attributes.get_unreachable_nlri().map(|nlri| nlri.prefixes.len()).unwrap_or_default();
        assert_eq!(update.withdrawn_prefixes.len() + mp, prefixes.len());
        assert!(mp == 0 || update.withdrawn_prefixes.is_empty());
        *seen.entry(prefixes[0].family()).or_default() += prefixes.len();
    }
    assert_eq!(seen, Family::ALL.map(|family| (family, 1000)).into());
}

/// RFC 8654: where it is agreed on, one message takes what else needs sixteen.
#[test]
fn messages_grow_to_what_was_agreed() {
    let terms = Terms { max_len: EXTENDED_MAX_LEN, ..external(65010, true) };
    for family in Family::ALL {
        let all: BTreeSet<Prefix> = (0..3000u32).map(|number| host(family, number)).collect();
        let mut queue = all.clone();
        let block = Block::new(&Attributes::default(), &terms, family).expect("it fits");
        let (message, prefixes) = block.announce(&mut queue).expect("prefixes wait");
        assert!(message.len() > MAX_LEN && queue.is_empty());
        let update = decode(&message, AsnLength::Bits32);
        let mp = update.attributes.get_reachable_nlri().map(|nlri| nlri.prefixes.len()).unwrap_or_default();
        assert_eq!((update.announced_prefixes.len() + mp, prefixes.len()), (3000, 3000));
        let mut queue = all;
        let (message, _) = withdraw(&mut queue, &terms).expect("prefixes wait");
        assert!(message.len() > MAX_LEN && queue.is_empty());
    }
    let fat = Attributes { communities: (0..3000).map(Community).collect(), ..Attributes::default() };
    let block = Block::new(&fat, &terms, Family::Ipv4Unicast).expect("it fits now");
    let (message, _) = block.announce(&mut [host(Family::Ipv4Unicast, 1)].into()).expect("a prefix waits");
    assert_eq!(decode(&message, AsnLength::Bits32).attributes.iter_communities().count(), 3000);
}

/// RFC 8950 §3, byte for byte: no NEXT_HOP, and the prefix in MP_REACH_NLRI with the AFI of its own family.
#[test]
fn ipv4_prefixes_go_out_and_come_back_with_an_ipv6_next_hop() {
    let terms = Terms { next_hop_ipv4: None, extended_next_hop: true, ..external(65010, true) };
    let message = announce(&Attributes::default(), &terms, &["198.51.100.0/24"]);
    let mut reach = vec![0x80, 14, 25, 0, 1, 1, 16];
    reach.extend("2001:db8::99".parse::<std::net::Ipv6Addr>().expect("an address").octets());
    reach.extend([0, 24, 198, 51, 100]);
    assert_eq!(message[23..23 + reach.len()], reach);
    let rest = &message[23 + reach.len()..];
    assert_eq!(rest, [0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xFD, 0xF2]);
    let (message, _) = withdraw(&mut [prefix("198.51.100.0/24")].into(), &terms).expect("a prefix waits");
    assert_eq!(message[19..], [0, 0, 0, 10, 0x80, 15, 7, 0, 1, 1, 24, 198, 51, 100]);
}

/// RFC 9234 §5: after all attributes of lower types.
#[test]
fn only_to_customer_is_the_last_attribute() {
    let terms = Terms { only_to_customer: Asn::new(65010), ..external(65010, true) };
    let attributes = Attributes {
        large_communities: [LargeCommunity { global: 1, local1: 2, local2: 3 }].into(),
        ..Attributes::default()
    };
    let message = announce(&attributes, &terms, &["198.51.100.0/24"]);
    let at = message.len() - 4 - 7;
    assert_eq!(message[at..at + 7], [0xC0, 35, 4, 0, 0, 0xFD, 0xF2]);
}

#[test]
fn an_end_of_rib_is_one() {
    for family in Family::ALL {
        assert!(decode(&end_of_rib(family).expect("encodes"), AsnLength::Bits32).is_end_of_rib());
    }
    assert_eq!(end_of_rib(Family::Ipv4Unicast).expect("encodes").len(), 23);
    assert_eq!(end_of_rib(Family::Ipv6Unicast).expect("encodes")[23..], [0x80, 15, 3, 0, 2, 1]);
}

fn host(family: Family, number: u32) -> Prefix {
    match family {
        Family::Ipv4Unicast => Prefix::host(IpAddr::from((0x0A00_0000 + number).to_be_bytes())),
        Family::Ipv6Unicast => prefix(&format!("2001:db8::{number:x}/128")),
    }
}
