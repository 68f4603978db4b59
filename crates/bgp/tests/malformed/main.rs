//! What comes back for every malformed message, in every state in which it can arrive: code, subcode and data of the NOTIFICATION, or
//! that the session stays and what is counted. Tables that read like a specification; UPDATEs have their own.

mod bench;
mod update;

use anycast_bgp::State;
use bench::{
    ALL, ESTABLISHED, MP_IPV4, MP_IPV6, Neighbor, OPEN_CONFIRM, OPEN_SENT, Outcome, capabilities, claims, ends, expect,
    hex, message, open, taken,
};

/// One line: what it is, the message, the states, and what comes back.
type Line<'a> = (&'a str, Vec<u8>, &'a [State], Outcome);

fn hold(table: &[Line<'_>]) {
    for (name, message, states, outcome) in table {
        expect(name, Neighbor::External, message, states, outcome);
    }
}

/// RFC 4271 §6.1; for the length of a ROUTE-REFRESH see its own table.
#[test]
fn headers() {
    let mut marker = [message(4, &[]), message(4, &[]), message(4, &[])];
    (marker[0][0], marker[1][15], marker[2][7]) = (0xFE, 0, 0x7F);
    let [first, last, middle] = marker;
    hold(&[
        ("the marker's first octet", first, ALL, ends(1, 1, &[])),
        ("the marker's last octet", last, ALL, ends(1, 1, &[])),
        ("the marker's middle", middle, ALL, ends(1, 1, &[])),
        ("no BGP at all", b"GET / HTTP/1.1\r\nHost: router\r\n\r\n".to_vec(), ALL, ends(1, 1, &[])),
        ("length 0", claims(0, 4), ALL, ends(1, 2, &[0, 0])),
        ("length 18", claims(18, 2), ALL, ends(1, 2, &[0, 18])),
        ("OPEN of 28", claims(28, 1), ALL, ends(1, 2, &[0, 28])),
        ("UPDATE of 22", claims(22, 2), ALL, ends(1, 2, &[0, 22])),
        ("NOTIFICATION of 20", claims(20, 3), ALL, ends(1, 2, &[0, 20])),
        ("KEEPALIVE of 20", claims(20, 4), ALL, ends(1, 2, &[0, 20])),
        ("KEEPALIVE of 23", message(4, &[0; 4]), ALL, ends(1, 2, &[0, 23])),
        ("type 0", claims(19, 0), ALL, ends(1, 3, &[0])),
        ("type 6", claims(19, 6), ALL, ends(1, 3, &[6])),
        ("type 255 of 4096", claims(4096, 255), ALL, ends(1, 3, &[255])),
        ("a bad length comes before a bad type", claims(5, 99), ALL, ends(1, 2, &[0, 5])),
    ]);
}

/// RFC 8654 §4: what may be longer than 4096 octets, and from when on.
#[test]
fn long_messages() {
    let claim = |kind| claims(4097, kind);
    hold(&[
        ("UPDATE before the OPEN", claim(2), OPEN_SENT, ends(1, 2, &[0x10, 0x01])),
        ("OPEN", claim(1), ALL, ends(1, 2, &[0x10, 0x01])),
        ("KEEPALIVE", claim(4), ALL, ends(1, 2, &[0x10, 0x01])),
        ("UPDATE in a state that hears none", long_withdraw(5000), OPEN_CONFIRM, ends(5, 2, &[2])),
        ("UPDATE", long_withdraw(5000), ESTABLISHED, taken(0, 4977)),
        ("the longest UPDATE", long_withdraw(65_535), ESTABLISHED, taken(0, 65_512)),
        ("NOTIFICATION", message(3, &[6; 5000]), &[State::OpenConfirm, State::Established], Outcome::Closes),
        ("ROUTE-REFRESH with filters", message(5, &[&[0, 2, 0, 1][..], &[0; 5000]].concat()), ESTABLISHED, taken(0, 0)),
    ]);
    for kind in [1, 2, 3, 4, 5] {
        expect("not offered", Neighbor::Old, &claim(kind), ALL, &ends(1, 2, &[0x10, 0x01]));
    }
    expect("not offered", Neighbor::Old, &claims(65_535, 2), ALL, &ends(1, 2, &[0xFF, 0xFF]));
}

/// An UPDATE of that length in all which withdraws 0.0.0.0/0 again and again.
fn long_withdraw(length: u16) -> Vec<u8> {
    let count = length - 23;
    message(2, &[&count.to_be_bytes()[..], &vec![0; count.into()], &[0, 0]].concat())
}

/// RFC 6608 §3: the state is the subcode, the type the data. Nothing of the body is looked at.
#[test]
fn messages_that_do_not_belong_in_the_state() {
    let (good, bad) = (message(1, &open(65001, &[0])), message(1, &[3; 10]));
    hold(&[
        ("UPDATE", message(2, &[0; 4]), OPEN_SENT, ends(5, 1, &[2])),
        ("UPDATE that overruns", message(2, &[0xFF; 4]), OPEN_SENT, ends(5, 1, &[2])),
        ("KEEPALIVE", message(4, &[]), OPEN_SENT, ends(5, 1, &[4])),
        ("ROUTE-REFRESH", message(5, &[0, 1, 0, 1]), OPEN_SENT, ends(5, 1, &[5])),
        ("OPEN", good.clone(), OPEN_CONFIRM, ends(5, 2, &[1])),
        ("OPEN of version 3", bad.clone(), OPEN_CONFIRM, ends(5, 2, &[1])),
        ("UPDATE", message(2, &[0; 4]), OPEN_CONFIRM, ends(5, 2, &[2])),
        ("ROUTE-REFRESH", message(5, &[0, 1, 0, 1]), OPEN_CONFIRM, ends(5, 2, &[5])),
        ("OPEN", good, ESTABLISHED, ends(5, 3, &[1])),
        ("OPEN of version 3", bad, ESTABLISHED, ends(5, 3, &[1])),
        ("KEEPALIVE", message(4, &[]), ESTABLISHED, taken(0, 0)),
    ]);
}

/// RFC 4271 §6.2, field by field.
#[test]
fn the_fields_of_an_open() {
    let with = |at: usize, octets: &[u8]| {
        let mut body = open(65001, &[0]);
        body[at..at + octets.len()].copy_from_slice(octets);
        message(1, &body)
    };
    let offers = |list: &[&[u8]]| message(1, &open(65001, &capabilities(list)));
    let four = |asn: u32| [&[65, 4][..], &asn.to_be_bytes()].concat();
    hold(&[
        ("good, without parameters", with(0, &[4]), OPEN_SENT, Outcome::Confirms),
        ("version 0", with(0, &[0]), OPEN_SENT, ends(2, 1, &[0, 4])),
        ("version 3", with(0, &[3]), OPEN_SENT, ends(2, 1, &[0, 4])),
        ("version 5", with(0, &[5]), OPEN_SENT, ends(2, 1, &[0, 4])),
        ("version 3, and all else wrong", with(0, &[3, 0, 0, 0, 1, 0, 0, 0, 0, 9]), OPEN_SENT, ends(2, 1, &[0, 4])),
        ("another AS", with(1, &[0xFD, 0xEA]), OPEN_SENT, ends(2, 2, &[])),
        ("our AS", with(1, &[0xFD, 0xF2]), OPEN_SENT, ends(2, 2, &[])),
        ("AS 0 (RFC 7607 §2)", with(1, &[0, 0]), OPEN_SENT, ends(2, 2, &[])),
        ("AS_TRANS that nothing explains", with(1, &[0x5B, 0xA0]), OPEN_SENT, ends(2, 2, &[])),
        ("another AS in four octets", offers(&[&four(65002)]), OPEN_SENT, ends(2, 2, &[])),
        ("AS 0 in four octets", offers(&[&four(0)]), OPEN_SENT, ends(2, 2, &[])),
        ("hold time 1", with(3, &[0, 1]), OPEN_SENT, ends(2, 6, &[])),
        ("hold time 2", with(3, &[0, 2]), OPEN_SENT, ends(2, 6, &[])),
        ("hold time 0", with(3, &[0, 0]), OPEN_SENT, Outcome::Confirms),
        ("hold time 3", with(3, &[0, 3]), OPEN_SENT, Outcome::Confirms),
        ("identifier 0.0.0.0 (RFC 6286 §2.2)", with(5, &[0; 4]), OPEN_SENT, ends(2, 3, &[])),
        ("our identifier, from another AS (RFC 6286 §2.1)", with(5, &[10, 0, 0, 1]), OPEN_SENT, Outcome::Confirms),
        ("an identifier that is no host's address", with(5, &[255; 4]), OPEN_SENT, Outcome::Confirms),
    ]);
    let mut ours = open(65010, &[0]);
    ours[8] = 1;
    expect("our identifier (RFC 6286 §2.2)", Neighbor::Internal, &message(1, &ours), OPEN_SENT, &ends(2, 3, &[]));
    let theirs = message(1, &open(65001, &[0]));
    expect("another AS than ours", Neighbor::Internal, &theirs, OPEN_SENT, &ends(2, 2, &[]));
}

/// RFC 4271 §4.2 and RFC 9072 §2: how parameters fill their length.
#[test]
fn the_parameters_of_an_open() {
    let with = |parameters: &[u8]| message(1, &open(65001, parameters));
    let table: &[(&str, &[u8], Outcome)] = &[
        ("one of no capability", &[2, 2, 0], Outcome::Confirms),
        ("type 1, authentication (deprecated)", &[4, 1, 2, 0, 0], ends(2, 4, &[])),
        ("type 0", &[2, 0, 0], ends(2, 4, &[])),
        ("type 3 after a good one", &[6, 2, 2, 2, 0, 3, 0], ends(2, 4, &[])),
        ("length without parameters", &[1], ends(2, 0, &[])),
        ("half a parameter", &[1, 2], ends(2, 0, &[])),
        ("they end early", &[5, 2, 2, 2, 0], ends(2, 0, &[])),
        ("octets behind them", &[4, 2, 2, 2, 0, 9], ends(2, 0, &[])),
        ("octets behind none", &[0, 2, 0], ends(2, 0, &[])),
        ("a parameter overruns", &[4, 2, 3, 2, 0], ends(2, 0, &[])),
        ("extended, of no parameter", &[255, 255, 0, 0], Outcome::Confirms),
        ("extended, one of no capability", &[255, 255, 0, 3, 2, 0, 0], Outcome::Confirms),
        ("extended, whatever the short length is", &[1, 255, 0, 3, 2, 0, 0], Outcome::Confirms),
        ("extended, with a short length of 0", &[0, 255, 0, 3, 2, 0, 0], ends(2, 0, &[])),
        ("extended, type 1", &[255, 255, 0, 3, 1, 0, 0], ends(2, 4, &[])),
        ("extended within extended", &[255, 255, 0, 3, 255, 0, 0], ends(2, 4, &[])),
        ("extended, its length cut off", &[255, 255, 0], ends(2, 0, &[])),
        ("extended, they end early", &[255, 255, 0, 9, 2, 0, 0], ends(2, 0, &[])),
        ("extended, octets behind them", &[255, 255, 0, 3, 2, 0, 0, 0], ends(2, 0, &[])),
        ("extended, a parameter overruns", &[255, 255, 0, 3, 2, 0, 1], ends(2, 0, &[])),
        ("extended, half a parameter's length", &[255, 255, 0, 2, 2, 0], ends(2, 0, &[])),
    ];
    for (name, parameters, outcome) in table {
        expect(name, Neighbor::External, &with(parameters), OPEN_SENT, outcome);
    }
}

/// RFC 5492: one that nobody knows never ends a session; RFC 9234 §4.2: the roles do.
#[test]
fn the_capabilities_of_an_open() {
    let ours = [MP_IPV4, MP_IPV6].concat();
    let many = [199, 0].repeat(120);
    let table: &[(&str, &[&[u8]], Outcome)] = &[
        ("unknown", &[&[199, 3, 1, 2, 3]], Outcome::Confirms),
        ("code 0", &[&[0, 0]], Outcome::Confirms),
        ("very many", &[&many], Outcome::Confirms),
        ("dynamic (FRR 10)", &[&[67, 0], &[67, 3, 1, 2, 3]], Outcome::Confirms),
        ("all twice", &[&ours, &ours], Outcome::Confirms),
        ("one overruns", &[&[199, 4, 1, 2, 3]], ends(2, 0, &[])),
        ("half of one", &[&[199]], ends(2, 0, &[])),
        ("multiprotocol of 3", &[&[1, 3, 0, 1, 0]], ends(2, 0, &[])),
        ("multiprotocol of 5", &[&[1, 5, 0, 1, 0, 1, 0]], ends(2, 0, &[])),
        ("multiprotocol, reserved octet set", &[&[1, 4, 0, 1, 7, 1]], Outcome::Confirms),
        ("no family in common", &[&[1, 4, 0, 1, 0, 128]], ends(2, 7, &ours)),
        ("one family unknown, one not", &[&[1, 4, 0x40, 4, 0, 71], &MP_IPV6], Outcome::Confirms),
        ("four-octet AS of 2", &[&[65, 2, 0xFD, 0xE9]], ends(2, 0, &[])),
        ("route refresh with a value", &[&[2, 1, 0]], ends(2, 0, &[])),
        ("extended message with a value (RFC 8654 §3)", &[&[6, 1, 0]], Outcome::Confirms),
        ("enhanced route refresh with a value (RFC 7313 §3)", &[&[70, 1, 0]], Outcome::Confirms),
        ("extended next hop of 5", &[&[5, 5, 0, 1, 0, 1, 0]], Outcome::Confirms),
        ("graceful restart of 3", &[&[64, 3, 0, 0, 0]], Outcome::Confirms),
        ("the role that fits ours", &[&[9, 1, 3]], Outcome::Confirms),
        ("the same role twice", &[&[9, 1, 3, 9, 1, 3]], Outcome::Confirms),
        ("our own role", &[&[9, 1, 0]], ends(2, 11, &[])),
        ("a role of nobody", &[&[9, 1, 5]], ends(2, 11, &[])),
        ("two roles", &[&[9, 1, 3], &[9, 1, 4]], ends(2, 11, &[])),
        ("a role of two octets is none", &[&[9, 2, 3, 3]], Outcome::Confirms),
    ];
    for (name, list, outcome) in table {
        let body = open(65001, &capabilities(list));
        expect(name, Neighbor::External, &message(1, &body), OPEN_SENT, outcome);
    }
}

/// RFC 4271 §6.4: whatever is wrong with a NOTIFICATION, it is not answered with one. Only what is too short to be one is an error
/// of the header (§6.1).
#[test]
fn notifications() {
    let table: &[(&str, Vec<u8>)] = &[
        ("code 0", vec![0, 0]),
        ("code 255", vec![255, 255]),
        ("an unknown subcode of Cease", vec![6, 99]),
        ("version 3 is theirs", vec![2, 1, 0, 3]),
        ("a text that overruns", vec![6, 2, 200, b'x']),
        ("a text that is not UTF-8", vec![6, 2, 2, 0xC3, 0x28]),
        ("a text that clears the screen", [&[6, 4, 7], &b"\x1b[2J\r\n\0"[..]].concat()),
        ("octets behind the text", vec![6, 2, 1, b'x', 1, 2, 3]),
        ("a hard reset of nothing (RFC 8538 §3.1)", vec![6, 9]),
        ("a hard reset of hard resets", [6, 9].repeat(500)),
        ("as long as can be", vec![3; 4077]),
    ];
    for (name, body) in table {
        expect(name, Neighbor::External, &message(3, body), ALL, &Outcome::Closes);
    }
}

/// RFC 2918 and RFC 7313 §5.
#[test]
fn route_refreshes() {
    let refresh = |body: &[u8]| message(5, body);
    let (short, long) = (refresh(&[0, 1, 1]), refresh(&[0, 1, 2, 1, 0]));
    hold(&[
        ("of 19", claims(19, 5), ALL, ends(1, 2, &[0, 19])),
        ("of 21", claims(21, 5), ALL, ends(1, 2, &[0, 21])),
        ("of 22, which has no SAFI", refresh(&[0, 1, 0]), ESTABLISHED, ends(1, 2, &[0, 22])),
        ("an unknown family", refresh(&[0x40, 4, 0, 71]), ESTABLISHED, taken(0, 0)),
        ("an unknown subtype", refresh(&[0, 1, 3, 1]), ESTABLISHED, taken(0, 0)),
        ("subtype 255", refresh(&[0, 1, 255, 1, 9, 9]), ESTABLISHED, taken(0, 0)),
        ("BoRR", refresh(&[0, 1, 1, 1]), ESTABLISHED, taken(0, 0)),
        ("EoRR without BoRR", refresh(&[0, 2, 2, 1]), ESTABLISHED, taken(0, 0)),
        ("BoRR of 22", short.clone(), ESTABLISHED, ends(7, 1, &short)),
        ("EoRR of 24", long.clone(), ESTABLISHED, ends(7, 1, &long)),
    ]);
    // RFC 7313 §5: its error is for those who offered the capability; for others the octet is reserved (RFC 2918 §3).
    expect("EoRR of 24", Neighbor::Old, &long, ESTABLISHED, &taken(0, 0));
    expect("of 22", Neighbor::Old, &short, ESTABLISHED, &ends(1, 2, &[0, 22]));
}

/// Messages that made routers crash or reset, as they were seen.
#[test]
fn messages_that_crashed_others() {
    let crashes = [
        "ffffffffffffffffffffffffffffffff002b0200000003c0ff00010100eb00ac100b0b001ad908ac100b0b",
        "ffffffffffffffffffffffffffffffff003c0200000014ff1f001000040146464646460004464646464646464646f50d05800100010200ffff000000",
    ];
    for crash in crashes.map(hex) {
        expect("crash", Neighbor::External, &crash, OPEN_SENT, &ends(5, 1, &[2]));
        expect("crash", Neighbor::External, &crash, OPEN_CONFIRM, &ends(5, 2, &[2]));
        for neighbor in [Neighbor::External, Neighbor::Internal, Neighbor::Old] {
            expect("crash", neighbor, &crash, ESTABLISHED, &ends(3, 10, &[]));
        }
    }
}
