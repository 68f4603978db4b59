use proptest::prelude::*;

use super::*;

const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
const PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xFD, 0xE9];
const HOP: &[u8] = &[0x40, 3, 4, 192, 0, 2, 1];
const NET: &[u8] = &[24, 198, 51, 100];
const MP: &[u8] =
    &[0x80, 14, 26, 0, 2, 1, 16, 0x20, 1, 0xD, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 32, 0x20, 1, 0xD, 0xB8];

fn update(withdrawn: &[u8], attributes: &[&[u8]], nlri: &[u8]) -> Vec<u8> {
    let attributes = attributes.concat();
    let mut body = Vec::new();
    for field in [withdrawn, &attributes] {
        body.extend((field.len() as u16).to_be_bytes());
        body.extend_from_slice(field);
    }
    body.extend_from_slice(nlri);
    body
}

fn check_as(external: bool, four_octet_as: bool, body: &[u8]) -> Result<Tally, UpdateError> {
    check(body, Context { external, four_octet_as, families: &Family::ALL.into(), extended_next_hop: false })
}

fn tally(announced: usize, withdrawn: usize) -> Tally {
    Tally { announced, withdrawn, ..Tally::default() }
}

#[test]
fn good_updates_are_counted() {
    let good = |body: &[u8]| check_as(true, true, body).expect("good");
    assert_eq!(good(&update(&[], &[], &[])), tally(0, 0), "End-of-RIB");
    assert_eq!(good(&update(&[], &[&[0x80, 15, 3, 0, 2, 1]], &[])), tally(0, 0), "End-of-RIB of IPv6");
    assert_eq!(good(&update(&[], &[ORIGIN, PATH, HOP], &[NET, &[0], &[32, 1, 2, 3, 4]].concat())), tally(3, 0));
    assert_eq!(good(&update(NET, &[], &[])), tally(0, 1));
    assert_eq!(good(&update(&[], &[MP, ORIGIN, PATH], &[])), tally(1, 0));
    assert_eq!(good(&update(NET, &[MP, ORIGIN, PATH, HOP], NET)), tally(2, 1));
    assert_eq!(good(&update(&[], &[ORIGIN, PATH, HOP], &[1, 0xFF])), tally(1, 0), "host bits do not matter");
}

#[test]
fn what_is_wrong_with_an_attribute_decides_what_follows() {
    use Verdict::{Discard, Good, TreatAsWithdraw};
    // Each stands beside good mandatory attributes of other types, from an external four-octet neighbor.
    let mut long_path = vec![0x50, 2, 0x0B, 0xEE];
    for _ in 0..3 {
        long_path.extend([2, 254]);
        long_path.extend([0, 0, 0xFD, 0xE9].repeat(254));
    }
    let table: &[(&str, &[u8], Verdict)] = &[
        ("ORIGIN 3", &[0x40, 1, 1, 3], TreatAsWithdraw),
        ("ORIGIN of 2 octets", &[0x40, 1, 2, 0, 0], TreatAsWithdraw),
        ("ORIGIN of 0 octets", &[0x40, 1, 0], TreatAsWithdraw),
        ("ORIGIN optional", &[0xC0, 1, 1, 0], TreatAsWithdraw),
        ("ORIGIN not transitive", &[0, 1, 1, 0], TreatAsWithdraw),
        ("ORIGIN with reserved and partial bits", &[0x6F, 1, 1, 0], Good),
        ("ORIGIN with the long length", &[0x50, 1, 0, 1, 0], Good),
        ("AS_PATH empty", &[0x40, 2, 0], Good),
        ("AS_PATH segment type 5", &[0x40, 2, 6, 5, 1, 0, 0, 0, 1], TreatAsWithdraw),
        ("AS_PATH confederation", &[0x40, 2, 6, 3, 1, 0, 0, 0, 1], TreatAsWithdraw),
        ("AS_PATH segment of none", &[0x40, 2, 2, 2, 0], TreatAsWithdraw),
        ("AS_PATH overruns", &[0x40, 2, 6, 2, 2, 0, 0, 0, 1], TreatAsWithdraw),
        ("AS_PATH underruns", &[0x40, 2, 7, 2, 1, 0, 0, 0, 1, 2], TreatAsWithdraw),
        ("AS_PATH with AS 0", &[0x40, 2, 6, 2, 1, 0, 0, 0, 0], TreatAsWithdraw),
        ("AS_PATH over 750 hops", &long_path, Good),
        ("NEXT_HOP of 16", &[0x40, 3, 16, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], TreatAsWithdraw),
        ("NEXT_HOP 0.0.0.0", &[0x40, 3, 4, 0, 0, 0, 0], TreatAsWithdraw),
        ("NEXT_HOP multicast", &[0x40, 3, 4, 224, 0, 0, 1], TreatAsWithdraw),
        ("MED of 3", &[0x80, 4, 3, 0, 0, 0], TreatAsWithdraw),
        ("MED transitive", &[0xC0, 4, 4, 0, 0, 0, 0], TreatAsWithdraw),
        ("LOCAL_PREF from outside", &[0x40, 5, 4, 0, 0, 0, 100], Discard),
        ("LOCAL_PREF from outside, odd", &[0xC0, 5, 1, 0], Discard),
        ("ATOMIC_AGGREGATE", &[0x40, 6, 0], Good),
        ("ATOMIC_AGGREGATE with a value", &[0x40, 6, 1, 0], Discard),
        ("AGGREGATOR of 8", &[0xC0, 7, 8, 0, 0, 0, 1, 1, 1, 1, 1], Good),
        ("AGGREGATOR of 6", &[0xC0, 7, 6, 0, 1, 1, 1, 1, 1], Discard),
        ("COMMUNITIES of 0", &[0xC0, 8, 0], TreatAsWithdraw),
        ("COMMUNITIES of 5", &[0xC0, 8, 5, 0, 0, 0, 0, 0], TreatAsWithdraw),
        ("ORIGINATOR_ID from outside", &[0x80, 9, 4, 1, 1, 1, 1], Discard),
        ("CLUSTER_LIST from outside", &[0x80, 10, 3, 1, 1, 1], Discard),
        ("link bandwidth shorter than 8", &[0xC0, 16, 4, 0x40, 4, 0, 0], TreatAsWithdraw),
        ("AS4_PATH from a four-octet speaker", &[0xC0, 17, 6, 2, 1, 0, 0, 0, 1], Discard),
        ("LARGE_COMMUNITY of 11", &[0xC0, 32, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], TreatAsWithdraw),
        ("OTC of 3", &[0xC0, 35, 3, 0, 0, 1], TreatAsWithdraw),
        ("28 of length 0", &[0xC0, 28, 0], Good),
        ("28 of length 1", &[0xC0, 28, 1, 0], Good),
        ("28 of length 0, partial", &[0xE0, 28, 0], Good),
        ("28 of length 1, partial", &[0xE0, 28, 1, 0xFF], Good),
        ("40 all zero", &[0xC0, 40, 8, 0, 0, 0, 0, 0, 0, 0, 0], Good),
        ("255 unknown, optional", &[0xC0, 255, 0], Good),
        ("254 unknown, not optional", &[0x40, 254, 0], TreatAsWithdraw),
        ("0 unknown, optional", &[0x80, 0, 0], Good),
        ("an attribute that overruns", &[0xC0, 254, 9, 1], TreatAsWithdraw),
        ("half an attribute", &[0xC0], TreatAsWithdraw),
        ("half a long length", &[0xD0, 254, 1], TreatAsWithdraw),
    ];
    for (name, attribute, verdict) in table {
        let code = attribute.get(1).copied().unwrap_or(0);
        let mut attributes: Vec<&[u8]> = [ORIGIN, PATH, HOP].into_iter().filter(|good| good[1] != code).collect();
        attributes.push(attribute);
        let tally = check_as(true, true, &update(&[], &attributes, NET)).expect(name);
        let expected = match verdict {
            Good => Tally { announced: 1, ..Tally::default() },
            Discard => Tally { announced: 1, discarded: 1, ..Tally::default() },
            TreatAsWithdraw => Tally { withdrawn: 1, treated_as_withdraw: true, ..Tally::default() },
        };
        assert_eq!(tally, expected, "{name}");
    }
}

#[test]
fn the_kind_of_session_decides_too() {
    let with = |attribute: &[u8]| update(&[], &[ORIGIN, &[0x40, 2, 0], HOP, attribute], NET);
    let local_pref = with(&[0x40, 5, 4, 0, 0, 0, 100]);
    assert_eq!(check_as(false, true, &local_pref), Ok(tally(1, 0)), "LOCAL_PREF from inside");
    let short = check_as(false, true, &with(&[0x40, 5, 3, 0, 0, 100])).expect("no reset");
    assert!(short.treated_as_withdraw, "a short LOCAL_PREF from inside");
    let as4 = with(&[0xC0, 17, 6, 2, 1, 0, 1, 0, 0]);
    assert_eq!(check_as(true, false, &as4), Ok(tally(1, 0)), "AS4_PATH from a two-octet speaker");
    let broken = check_as(true, false, &with(&[0xC0, 17, 5, 2, 1, 0, 1, 0])).expect("no reset");
    assert_eq!((broken.discarded, broken.treated_as_withdraw), (1, false), "a malformed one");
    let narrow = update(&[], &[ORIGIN, &[0x40, 2, 4, 2, 1, 0xFD, 0xE9], HOP], NET);
    assert_eq!(check_as(true, false, &narrow), Ok(tally(1, 0)));
    assert!(check_as(true, true, &narrow).expect("no reset").treated_as_withdraw);
}

#[test]
fn missing_and_repeated_attributes() {
    let good =
        |attributes: &[&[u8]], nlri: &[u8]| check_as(true, true, &update(&[], attributes, nlri)).expect("no reset");
    for missing in [&[PATH, HOP][..], &[ORIGIN, HOP], &[ORIGIN, PATH], &[]] {
        assert_eq!(good(missing, NET), Tally { withdrawn: 1, treated_as_withdraw: true, ..Tally::default() });
    }
    assert!(good(&[MP, PATH], &[]).treated_as_withdraw, "ORIGIN beside MP_REACH_NLRI");
    assert!(!good(&[MP, ORIGIN, PATH], &[]).treated_as_withdraw, "NEXT_HOP is not needed there");
    assert_eq!(good(&[ORIGIN, PATH, HOP, ORIGIN], NET), Tally { announced: 1, discarded: 1, ..Tally::default() });
    assert_eq!(
        good(&[ORIGIN, PATH, HOP, &[0x40, 1, 1, 9]], NET),
        Tally { announced: 1, discarded: 1, ..Tally::default() },
        "only the first counts, so the second may be broken"
    );
}

#[test]
fn where_the_session_must_end() {
    let reach = |hop: u8, rest: &[u8]| {
        [&[0x80, 14, 5 + hop + rest.len() as u8, 0, 2, 1, hop][..], &vec![1; hop.into()], &[0], rest].concat()
    };
    let (bad_hop, bad_bits, cut) = (reach(15, &[0]), reach(16, &[129]), reach(16, &[32, 1, 2]));
    let short_unreach: &[u8] = &[0x80, 15, 2, 0, 2];
    let bad_unreach: &[u8] = &[0x80, 15, 4, 0, 2, 1, 129];
    let table: &[(&str, Vec<u8>, u8, &[u8])] = &[
        ("withdrawn routes overrun", vec![0, 9, 0, 0], 1, &[]),
        ("attributes overrun", vec![0, 0, 0, 9, 0x40], 1, &[]),
        ("no attribute length", vec![0, 1, 0], 1, &[]),
        ("a prefix of 33 bits", update(&[], &[ORIGIN, PATH, HOP], &[33, 1, 2, 3, 4, 5]), 10, &[]),
        ("a prefix cut off", update(&[], &[ORIGIN, PATH, HOP], &[24, 1, 2]), 10, &[]),
        ("a withdrawn prefix of 33 bits", update(&[33, 1, 2, 3, 4, 5], &[], &[]), 10, &[]),
        ("MP_REACH_NLRI twice", update(&[], &[MP, ORIGIN, PATH, MP], &[]), 1, &[]),
        ("MP_UNREACH_NLRI twice", update(&[], &[&[0x80, 15, 3, 0, 2, 1], &[0x80, 15, 3, 0, 2, 1]], &[]), 1, &[]),
        ("a next hop of 15", update(&[], &[&bad_hop, ORIGIN, PATH], &[]), 9, &bad_hop),
        ("an IPv6 prefix of 129 bits", update(&[], &[&bad_bits, ORIGIN, PATH], &[]), 9, &bad_bits),
        ("an IPv6 prefix cut off", update(&[], &[&cut, ORIGIN, PATH], &[]), 9, &cut),
        ("MP_UNREACH_NLRI of 2", update(&[], &[short_unreach], &[]), 9, short_unreach),
        ("a withdrawn IPv6 prefix of 129", update(&[], &[bad_unreach], &[]), 9, bad_unreach),
        ("an error and nothing reachable", update(NET, &[&[0x40, 1, 1, 9]], &[]), 1, &[]),
    ];
    for (name, body, subcode, data) in table {
        let error = check_as(true, true, body).expect_err(name);
        assert_eq!(error.notification(), Notification::new(3, *subcode, data), "{name}");
    }
}

#[test]
fn a_family_that_was_not_negotiated_is_passed_over() {
    let vpn: &[u8] = &[0x80, 14, 9, 0, 1, 128, 3, 1, 2, 3, 0, 255];
    assert_eq!(check_as(true, true, &update(&[], &[vpn, ORIGIN, PATH], &[])), Ok(tally(0, 0)));
    let ipv4 = [Family::Ipv4Unicast].into();
    let context = Context { external: true, four_octet_as: true, families: &ipv4, extended_next_hop: false };
    assert_eq!(check(&update(&[], &[MP, ORIGIN, PATH], &[]), context), Ok(tally(0, 0)));
}

proptest! {
    #[test]
    fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..200), external: bool, four: bool) {
        let _ = check_as(external, four, &body);
        let families = Family::ALL.into();
        let context = Context { external, four_octet_as: four, families: &families, extended_next_hop: true };
        each_announced(&body, context, |_| {});
    }

    #[test]
    fn no_attributes_panic(
        attributes in proptest::collection::vec((any::<u8>(), 0u8..42, proptest::collection::vec(any::<u8>(), 0..40)), 0..6),
        external: bool, four: bool,
    ) {
        let encoded: Vec<Vec<u8>> = attributes.into_iter().map(|(flags, code, value)| {
            [&[flags & !0x10, code, value.len() as u8][..], &value].concat()
        }).collect();
        let slices: Vec<&[u8]> = encoded.iter().map(Vec::as_slice).collect();
        if let Ok(tally) = check_as(external, four, &update(&[], &slices, NET)) {
            prop_assert!(tally.announced == 0 || !tally.treated_as_withdraw);
        }
    }
}
