//! UPDATEs by RFC 7606: each attribute with every flag and length it must not have, and the fields round them.

use crate::bench::{
    Counted, ESTABLISHED, Neighbor, OPEN_CONFIRM, OPEN_SENT, Outcome, discarded, ends, expect, message, taken,
    treated_as_withdraw,
};

const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
const PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xFD, 0xE9];
const HOP: &[u8] = &[0x40, 3, 4, 192, 0, 2, 2];
const NET: &[u8] = &[24, 198, 51, 100];
const NET6: &[u8] = &[32, 0x20, 1, 0xD, 0xB8];

fn update(withdrawn: &[u8], attributes: &[&[u8]], nlri: &[u8]) -> Vec<u8> {
    let counted = |field: &[u8]| [&u16::try_from(field.len()).expect("it fits").to_be_bytes()[..], field].concat();
    message(2, &[&counted(withdrawn)[..], &counted(&attributes.concat()), nlri].concat())
}

fn attribute(flags: u8, code: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("it fits").to_be_bytes();
    let length = if flags & 0x10 == 0 { &length[1..] } else { &length[..] };
    [&[flags, code], length, value].concat()
}

/// An announcement of one prefix with `attributes`, and with those mandatory ones whose type is not among them.
fn beside_the_mandatory(neighbor: Neighbor, attributes: &[Vec<u8>]) -> Vec<u8> {
    let path: &[u8] = if neighbor == Neighbor::Old { &[0x40, 2, 4, 2, 1, 0xFD, 0xE9] } else { PATH };
    let mut all: Vec<&[u8]> = attributes.iter().map(Vec::as_slice).collect();
    let chosen = |code: u8| attributes.iter().any(|attribute| attribute.get(1) == Some(&code));
    all.extend([ORIGIN, path, HOP].into_iter().filter(|mandatory| !chosen(mandatory[1])));
    update(&[], &all, NET)
}

/// An attribute as its document defines it.
struct Defined<'a> {
    name: &'a str,
    code: u8,
    /// Optional and Transitive, as they must be.
    flags: u8,
    good: &'a [&'a [u8]],
    bad: &'a [&'a [u8]],
    /// What follows from a bad one.
    outcome: fn() -> Outcome,
    /// From whom it is read at all; from others it is discarded, however it looks.
    from: &'a [Neighbor],
}

const WELL_KNOWN: u8 = 0x40;
const OPTIONAL: u8 = 0x80;
const OPTIONAL_TRANSITIVE: u8 = 0xC0;

const EVERYONE: &[Neighbor] = &[Neighbor::External, Neighbor::Internal, Neighbor::Old];
const NEW: &[Neighbor] = &[Neighbor::External, Neighbor::Internal];
const INSIDE: &[Neighbor] = &[Neighbor::Internal];
const OLD: &[Neighbor] = &[Neighbor::Old];

/// RFC 7606 §7.1 to §7.10, §7.14 and §7.15; RFC 6793 §6 for the two of old neighbors, RFC 8092 §6, RFC 9234 §5; RFC 7607 §2: no AS 0.
#[rustfmt::skip]
const DEFINED: &[Defined<'static>] = &[
    Defined { name: "ORIGIN", code: 1, flags: WELL_KNOWN, outcome: treated_as_withdraw, from: EVERYONE,
        good: &[&[0], &[1], &[2]],
        bad: &[&[3], &[255], &[], &[0, 0]] },
    Defined { name: "AS_PATH", code: 2, flags: WELL_KNOWN, outcome: treated_as_withdraw, from: NEW,
        good: &[&[], &[2, 1, 0, 0, 0, 1], &[1, 2, 0, 0, 0, 1, 0, 0, 0, 2, 2, 1, 0, 0, 0, 3]],
        bad: &[&[2], &[2, 0], &[2, 1, 0, 0, 0], &[2, 1, 0, 0, 0, 1, 2], &[2, 2, 0, 0, 0, 1], &[0, 1, 0, 0, 0, 1],
            &[5, 1, 0, 0, 0, 1], &[2, 1, 0, 0, 0, 0], &[2, 1, 0, 0, 0, 1, 2, 0], &[2, 255, 0, 0, 0, 1]] },
    Defined { name: "AS_PATH of two octets", code: 2, flags: WELL_KNOWN, outcome: treated_as_withdraw, from: OLD,
        good: &[&[], &[2, 1, 0, 1], &[2, 1, 0, 1, 1, 1, 0, 2]],
        bad: &[&[2, 1, 0], &[2, 1, 0, 1, 0], &[2, 1, 0, 0], &[3, 1, 0, 1], &[2, 1, 0, 0, 0, 1]] },
    Defined { name: "NEXT_HOP", code: 3, flags: WELL_KNOWN, outcome: treated_as_withdraw, from: EVERYONE,
        good: &[&[192, 0, 2, 9]],
        bad: &[&[], &[192, 0, 2], &[192, 0, 2, 1, 0], &[0x20; 16], &[0; 4], &[224, 0, 0, 1], &[255; 4]] },
    Defined { name: "MULTI_EXIT_DISC", code: 4, flags: OPTIONAL, outcome: treated_as_withdraw, from: EVERYONE,
        good: &[&[0; 4]],
        bad: &[&[], &[0; 3], &[0; 5]] },
    Defined { name: "LOCAL_PREF", code: 5, flags: WELL_KNOWN, outcome: treated_as_withdraw, from: INSIDE,
        good: &[&[0, 0, 0, 100]],
        bad: &[&[], &[0; 3], &[0; 5]] },
    Defined { name: "ATOMIC_AGGREGATE", code: 6, flags: WELL_KNOWN, outcome: discarded, from: EVERYONE,
        good: &[&[]],
        bad: &[&[0], &[0; 4]] },
    Defined { name: "AGGREGATOR", code: 7, flags: OPTIONAL_TRANSITIVE, outcome: discarded, from: NEW,
        good: &[&[0, 0, 0, 1, 192, 0, 2, 1]],
        bad: &[&[], &[0, 1, 192, 0, 2, 1], &[1; 7], &[1; 9], &[0, 0, 0, 0, 192, 0, 2, 1]] },
    Defined { name: "AGGREGATOR of two octets", code: 7, flags: OPTIONAL_TRANSITIVE, outcome: discarded, from: OLD,
        good: &[&[0, 1, 192, 0, 2, 1]],
        bad: &[&[], &[0, 0, 0, 1, 192, 0, 2, 1], &[0, 0, 192, 0, 2, 1]] },
    Defined { name: "COMMUNITIES", code: 8, flags: OPTIONAL_TRANSITIVE, outcome: treated_as_withdraw, from: EVERYONE,
        good: &[&[0; 4], &[0xFF; 8]],
        bad: &[&[], &[0; 3], &[0; 5], &[0; 6]] },
    Defined { name: "ORIGINATOR_ID", code: 9, flags: OPTIONAL, outcome: treated_as_withdraw, from: INSIDE,
        good: &[&[10, 0, 0, 3]],
        bad: &[&[], &[0; 3], &[0; 5]] },
    Defined { name: "CLUSTER_LIST", code: 10, flags: OPTIONAL, outcome: treated_as_withdraw, from: INSIDE,
        good: &[&[10, 0, 0, 3], &[1; 8]],
        bad: &[&[], &[0; 3], &[0; 7]] },
    Defined { name: "EXTENDED_COMMUNITIES", code: 16, flags: OPTIONAL_TRANSITIVE, outcome: treated_as_withdraw, from: EVERYONE,
        good: &[&[0; 8], &[0x40, 4, 0xFD, 0xE9, 0x4C, 0xBE, 0xBC, 0x20]],
        // A link bandwidth cut short among them.
        bad: &[&[], &[0x40, 4, 0xFD, 0xE9], &[0; 7], &[0; 9], &[0; 12]] },
    Defined { name: "AS4_PATH", code: 17, flags: OPTIONAL_TRANSITIVE, outcome: discarded, from: OLD,
        good: &[&[], &[2, 1, 0, 1, 0, 0], &[3, 1, 0, 1, 0, 0]],
        bad: &[&[2], &[2, 0], &[2, 1, 0, 1], &[5, 1, 0, 1, 0, 0], &[2, 1, 0, 0, 0, 0]] },
    Defined { name: "AS4_AGGREGATOR", code: 18, flags: OPTIONAL_TRANSITIVE, outcome: discarded, from: OLD,
        good: &[&[0, 1, 0, 0, 192, 0, 2, 1]],
        bad: &[&[], &[1; 6], &[1; 9], &[0; 8]] },
    Defined { name: "IPv6 extended communities", code: 25, flags: OPTIONAL_TRANSITIVE, outcome: treated_as_withdraw, from: EVERYONE,
        good: &[&[0; 20], &[0; 40]],
        bad: &[&[], &[0; 8], &[0; 19], &[0; 21]] },
    Defined { name: "LARGE_COMMUNITY", code: 32, flags: OPTIONAL_TRANSITIVE, outcome: treated_as_withdraw, from: EVERYONE,
        good: &[&[0; 12], &[0; 24]],
        bad: &[&[], &[0; 8], &[0; 11], &[0; 13]] },
    Defined { name: "Only To Customer", code: 35, flags: OPTIONAL_TRANSITIVE, outcome: treated_as_withdraw, from: EVERYONE,
        good: &[&[0, 0, 0xFD, 0xE9]],
        bad: &[&[], &[0; 3], &[0; 5]] },
];

/// Every attribute with each value, each pair of Optional and Transitive, with idle flags, with the long length, and twice.
#[test]
fn each_attribute_with_every_flag_and_length() {
    for defined in DEFINED {
        let Defined { name, code, flags, good, bad, outcome, from } = defined;
        for neighbor in from.iter().copied() {
            let expect = |what: &str, attributes: &[Vec<u8>], outcome: &Outcome| {
                let message = beside_the_mandatory(neighbor, attributes);
                expect(&format!("{name}, {what}"), neighbor, &message, ESTABLISHED, outcome);
            };
            for value in *good {
                expect("good", &[attribute(*flags, *code, value)], &taken(1, 0));
                // RFC 4271 §4.3: the lower four bits are ignored; RFC 7606 §3 c looks at Optional and Transitive alone.
                expect("reserved bits and Partial", &[attribute(flags | 0x2F & !0x10, *code, value)], &taken(1, 0));
                expect("long length", &[attribute(flags | 0x10, *code, value)], &taken(1, 0));
                for wrong in [0x00, 0x40, 0x80, 0xC0].into_iter().filter(|wrong| wrong != flags) {
                    expect(&format!("flags {wrong:02x}"), &[attribute(wrong, *code, value)], &outcome());
                }
            }
            for value in *bad {
                expect(&format!("value {value:02x?}"), &[attribute(*flags, *code, value)], &outcome());
                let long = attribute(flags | 0x10, *code, value);
                expect(&format!("value {value:02x?} with the long length"), &[long], &outcome());
            }
            // RFC 7606 §3 g: the first counts, and the others may be as they like.
            let twice = [attribute(*flags, *code, good[0]), attribute(0, *code, &[9; 7])];
            expect("twice", &twice, &discarded());
        }
        // RFC 7606 §7.5, §7.9, §7.10; RFC 6793 §4.1.
        for neighbor in EVERYONE.iter().copied().filter(|neighbor| !from.contains(neighbor)) {
            if matches!(code, 2 | 7) {
                continue;
            }
            for value in good.iter().chain(*bad) {
                for flags in [0x00, 0x40, 0x80, 0xC0] {
                    let message = beside_the_mandatory(neighbor, &[attribute(flags, *code, value)]);
                    let outcome = if matches!(code, 17 | 18) || neighbor != Neighbor::Internal {
                        discarded()
                    } else {
                        taken(1, 0)
                    };
                    expect(&format!("{name}, not theirs to send"), neighbor, &message, ESTABLISHED, &outcome);
                }
            }
        }
    }
}

/// RFC 4271 §9: an optional attribute that is unknown is passed over. One that claims to be well-known has wrong flags (RFC 7606 §3 c).
#[test]
fn attributes_that_are_unknown() {
    let mut codes: Vec<u8> = (0..=255).collect();
    codes.retain(|code| !matches!(code, 14 | 15) && DEFINED.iter().all(|defined| defined.code != *code));
    for code in codes {
        // Attributes 28 and 40 made routers crash: empty, of one octet, and all zero.
        for value in [&[][..], &[0], &[0xFF; 3], &[0; 23]] {
            for flags in [0x80, 0xC0, 0xA0, 0xE0, 0xCF] {
                let message = beside_the_mandatory(Neighbor::External, &[attribute(flags, code, value)]);
                let name = format!("attribute {code} with flags {flags:02x}, {value:02x?}");
                expect(&name, Neighbor::External, &message, ESTABLISHED, &taken(1, 0));
            }
        }
        let message = beside_the_mandatory(Neighbor::External, &[attribute(0x40, code, &[0])]);
        let name = format!("attribute {code}, well-known");
        expect(&name, Neighbor::External, &message, ESTABLISHED, &treated_as_withdraw());
    }
}

/// RFC 7606 §7.2: a confederation's segments do not leave it; RFC 5065 §5: within one AS they may be.
#[test]
fn confederations() {
    for kind in [3, 4] {
        let message = beside_the_mandatory(Neighbor::External, &[attribute(0x40, 2, &[kind, 1, 0, 0, 0, 1])]);
        expect("from outside", Neighbor::External, &message, ESTABLISHED, &treated_as_withdraw());
        expect("from inside", Neighbor::Internal, &message, ESTABLISHED, &taken(1, 0));
    }
}

#[test]
fn a_path_of_more_than_750_hops() {
    let mut value = Vec::new();
    for _ in 0..3 {
        value.extend([2, 254]);
        value.extend([0, 0, 0xFD, 0xE9].repeat(254));
    }
    let message = beside_the_mandatory(Neighbor::External, &[attribute(0x50, 2, &value)]);
    expect("a long path", Neighbor::External, &message, ESTABLISHED, &taken(1, 0));
}

/// RFC 7606 §3 a, i and j, §4, §5.2: what cannot be mended ends the session; in a state that hears no UPDATE it is not looked at.
#[test]
fn fields_and_prefixes() {
    let malformed = &ends(3, 1, &[]);
    let network = &ends(3, 10, &[]);
    let good = &[ORIGIN, PATH, HOP][..];
    let bad: &[u8] = &[0x40, 1, 1, 9];
    let table: &[(&str, Vec<u8>, &Outcome)] = &[
        ("End-of-RIB", update(&[], &[], &[]), &taken(0, 0)),
        ("withdrawn routes overrun", message(2, &[0, 1, 0, 0]), malformed),
        ("withdrawn routes overrun by far", message(2, &[0xFF, 0xFF, 0, 0]), malformed),
        ("attributes overrun", message(2, &[0, 0, 0, 1]), malformed),
        ("no room for the attributes' length", message(2, &[0, 1, 0, 0]), malformed),
        ("half of the attributes' length", message(2, &[0, 1, 0, 0]), malformed),
        ("a prefix of 33 bits", update(&[], good, &[33, 1, 2, 3, 4, 5]), network),
        ("a prefix of 255 bits", update(&[], good, &[255]), network),
        ("a prefix cut off", update(&[], good, &[24, 198, 51]), network),
        ("a good prefix, then one cut off", update(&[], good, &[NET, &[8]].concat()), network),
        ("a withdrawn prefix of 33 bits", update(&[33, 1, 2, 3, 4, 5], &[], &[]), network),
        ("a withdrawn prefix cut off", update(&[24, 198, 51], &[], &[]), network),
        ("a bad prefix comes before a bad attribute", update(&[], &[bad], &[33]), network),
        ("host bits (RFC 4271 §4.3)", update(&[1, 0xFF], good, &[9, 0xFF, 0xFF]), &taken(1, 1)),
        ("a default route", update(&[], good, &[0]), &taken(1, 0)),
        ("the same prefix withdrawn and announced", update(NET, good, NET), &taken(1, 1)),
        ("NLRI and no attributes", update(&[], &[], NET), &treated_as_withdraw()),
        ("no ORIGIN", update(&[], &[PATH, HOP], NET), &treated_as_withdraw()),
        ("no AS_PATH", update(&[], &[ORIGIN, HOP], NET), &treated_as_withdraw()),
        ("no NEXT_HOP", update(&[], &[ORIGIN, PATH], NET), &treated_as_withdraw()),
        ("nothing announced, nothing mandatory", update(NET, &[ORIGIN], &[]), &taken(0, 1)),
        ("attributes alone", update(&[], good, &[]), &taken(0, 0)),
        ("an attribute overruns", update(&[], &[ORIGIN, PATH, HOP, &[0xC0, 99, 9, 0]], NET), &treated_as_withdraw()),
        ("an attribute of one octet", update(&[], &[ORIGIN, PATH, HOP, &[0xC0]], NET), &treated_as_withdraw()),
        ("half a long length", update(&[], &[ORIGIN, PATH, HOP, &[0xD0, 99, 0]], NET), &treated_as_withdraw()),
        ("an error, and nothing that was announced", update(NET, &[bad], &[]), malformed),
        ("an overrun, and nothing that was announced", update(&[], &[&[0x40, 1, 9]], &[]), malformed),
    ];
    for (name, message, outcome) in table {
        for neighbor in NEW {
            expect(name, *neighbor, message, ESTABLISHED, outcome);
        }
        expect(name, Neighbor::External, message, OPEN_SENT, &ends(5, 1, &[2]));
        expect(name, Neighbor::External, message, OPEN_CONFIRM, &ends(5, 2, &[2]));
    }
}

/// RFC 4760 §3 and §7, RFC 2545 §3, RFC 7606 §3 g, §5.3, §7.11.
#[test]
fn mp_reach_nlri() {
    let reach = |family: [u8; 3], hop: &[u8], rest: &[u8]| {
        let count = u8::try_from(hop.len()).expect("it fits");
        attribute(0x80, 14, &[&family[..], &[count], hop, rest].concat())
    };
    let [ipv4, ipv6, vpn] = [[0, 1, 1], [0, 2, 1], [0, 1, 128]];
    let rest = [&[0], NET6].concat();
    let announce = |attribute: &[u8]| update(&[], &[attribute, ORIGIN, PATH], &[]);
    let (global, local) = (
        [0x20, 1, 0xD, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        [0xFE, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    );
    for (name, hop) in [
        ("global", global.to_vec()),
        ("link-local", local.to_vec()),
        ("global and link-local", [global, local].concat()),
        ("link-local twice", [local, local].concat()),
        (":: and link-local", [[0; 16], local].concat()),
    ] {
        for neighbor in EVERYONE.iter().copied().filter(|neighbor| *neighbor != Neighbor::Old) {
            expect(name, neighbor, &announce(&reach(ipv6, &hop, &rest)), ESTABLISHED, &taken(1, 0));
        }
    }

    let unreadable = [
        ("nothing", attribute(0x80, 14, &[])),
        ("half a family", attribute(0x80, 14, &[0, 2])),
        ("no next hop", attribute(0x80, 14, &ipv6)),
        ("a next hop that overruns", attribute(0x80, 14, &[0, 2, 1, 16, 0x20])),
        ("no reserved octet", attribute(0x80, 14, &[&ipv6[..], &[16], &global].concat())),
        ("a next hop of 0", reach(ipv6, &[], &rest)),
        ("a next hop of 4", reach(ipv6, &[192, 0, 2, 1], &rest)),
        ("a next hop of 15", reach(ipv6, &global[1..], &rest)),
        ("a next hop of 17", reach(ipv6, &[&global[..], &[0]].concat(), &rest)),
        ("a next hop of 24", reach(ipv6, &[&[0; 8], &global[..]].concat(), &rest)),
        ("a next hop of 48", reach(ipv6, &[0; 48], &rest)),
        ("a prefix of 129 bits", reach(ipv6, &global, &[&[0, 129][..], &[0; 17]].concat())),
        ("a prefix cut off", reach(ipv6, &global, &[0, 32, 0x20, 1])),
        ("an IPv4 prefix of 33 bits", reach(ipv4, &[192, 0, 2, 1], &[0, 33, 1, 2, 3, 4, 5])),
        ("an IPv4 next hop of 5", reach(ipv4, &[192, 0, 2, 1, 0], &[&[0], NET].concat())),
    ];
    for (name, attribute) in &unreadable {
        expect(name, Neighbor::External, &announce(attribute), ESTABLISHED, &ends(3, 9, attribute));
    }

    let good = reach(ipv6, &global, &rest);
    let ipv4_over_ipv6 = reach(ipv4, &global, &[&[0], NET].concat());
    let mut other_reserved = good.clone();
    other_reserved[3 + 3 + 1 + 16] = 0xFF;
    let zero_hop: &[u8] = &[0x40, 3, 4, 0, 0, 0, 0];
    let two_withdrawn = Outcome::Stays(Counted { withdrawn: 2, treated_as_withdraw: 1, ..Counted::default() });
    let table: &[(&str, Vec<u8>, Outcome)] = &[
        ("without prefixes", announce(&reach(ipv6, &global, &[0])), taken(0, 0)),
        ("IPv4 by the way", announce(&reach(ipv4, &[192, 0, 2, 1], &[&[0], NET].concat())), taken(1, 0)),
        ("IPv4 over IPv6, as agreed (RFC 8950 §3)", announce(&ipv4_over_ipv6), taken(1, 0)),
        ("the reserved octet set", announce(&other_reserved), taken(1, 0)),
        ("a family that was not negotiated", announce(&reach(vpn, &[9; 12], &[0, 255, 255])), taken(0, 0)),
        ("not the first attribute", update(&[], &[ORIGIN, PATH, &good], &[]), taken(1, 0)),
        ("beside NLRI", update(&[], &[&good, ORIGIN, PATH, HOP], NET), taken(2, 0)),
        ("no ORIGIN", update(&[], &[&good, PATH], &[]), treated_as_withdraw()),
        ("no AS_PATH", update(&[], &[&good, ORIGIN], &[]), treated_as_withdraw()),
        ("NEXT_HOP 0.0.0.0, which is ignored", update(&[], &[&good, ORIGIN, PATH, zero_hop], &[]), taken(1, 0)),
        (
            "NEXT_HOP of 16, which is ignored",
            update(&[], &[&good, ORIGIN, PATH, &attribute(0x40, 3, &global)], &[]),
            taken(1, 0),
        ),
        ("NEXT_HOP 0.0.0.0, and NLRI", update(&[], &[&good, ORIGIN, PATH, zero_hop], NET), two_withdrawn),
        ("not optional", announce(&[&[0x40], &good[1..]].concat()), treated_as_withdraw()),
        ("transitive", announce(&[&[0xC0], &good[1..]].concat()), treated_as_withdraw()),
        ("twice", update(&[], &[&good, ORIGIN, PATH, &good], &[]), ends(3, 1, &[])),
    ];
    for (name, message, outcome) in table {
        expect(name, Neighbor::External, message, ESTABLISHED, outcome);
    }
    let old_path: &[u8] = &[0x40, 2, 4, 2, 1, 0xFD, 0xE9];
    let message = update(&[], &[&ipv4_over_ipv6, ORIGIN, old_path], &[]);
    expect("IPv4 over IPv6, not agreed", Neighbor::Old, &message, ESTABLISHED, &ends(3, 9, &ipv4_over_ipv6));
}

/// RFC 4760 §4 and §7, RFC 7606 §5.3, §7.12.
#[test]
fn mp_unreach_nlri() {
    let unreach = |value: &[u8]| attribute(0x80, 15, value);
    let good = unreach(&[&[0, 2, 1], NET6].concat());
    let unreadable = [
        ("nothing", unreach(&[])),
        ("half a family", unreach(&[0, 2])),
        ("a prefix of 129 bits", unreach(&[&[0, 2, 1, 129][..], &[0; 17]].concat())),
        ("a prefix cut off", unreach(&[0, 2, 1, 32, 0x20, 1])),
    ];
    for (name, attribute) in &unreadable {
        let message = update(&[], &[attribute], &[]);
        expect(name, Neighbor::External, &message, ESTABLISHED, &ends(3, 9, attribute));
    }
    let table: &[(&str, Vec<u8>, Outcome)] = &[
        ("End-of-RIB", update(&[], &[&unreach(&[0, 2, 1])], &[]), taken(0, 0)),
        ("alone", update(&[], &[&good], &[]), taken(0, 1)),
        ("with both fields", update(NET, &[&good, ORIGIN, PATH, HOP], NET), taken(1, 2)),
        ("with the long length", update(&[], &[&attribute(0x90, 15, &good[3..])], &[]), taken(0, 1)),
        ("a family that was not negotiated", update(&[], &[&unreach(&[0, 25, 70, 255])], &[]), taken(0, 0)),
        ("twice", update(&[], &[&good, &good], &[]), ends(3, 1, &[])),
        // RFC 7606 §5.2: the flags are wrong, and nothing is there that could be treated as withdrawn.
        ("transitive", update(&[], &[&[&[0xC0], &good[1..]].concat()], &[]), ends(3, 1, &[])),
    ];
    for (name, message, outcome) in table {
        expect(name, Neighbor::External, message, ESTABLISHED, outcome);
    }
}
