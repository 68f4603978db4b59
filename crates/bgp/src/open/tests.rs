use std::str::FromStr;

use bgpkit_parser::{
    models::{AsnLength, BgpMessage},
    parser::bgp::messages::parse_bgp_message,
};
use proptest::prelude::*;

use super::*;
use crate::peer::Offers;

fn asn(number: u32) -> Asn {
    Asn::new(number).expect("not 0")
}

fn config(local_as: u32, peer_as: PeerAs, families: &[Family]) -> PeerConfig {
    PeerConfig {
        families: families.iter().copied().collect(),
        ..PeerConfig::new(asn(local_as), RouterId::new(Ipv4Addr::new(10, 0, 0, 1)).expect("not 0"), peer_as)
    }
}

/// The body of an OPEN of AS 65001 with those octets from the parameters' length on.
fn body(parameters: &[u8]) -> Vec<u8> {
    let mut body = vec![4, 0xFD, 0xE9, 0, 90, 10, 0, 0, 2];
    body.extend_from_slice(parameters);
    body
}

fn judge(config: &PeerConfig, body: &[u8]) -> Result<Negotiated, Notification> {
    let ours = Open::ours(config, Restart::default());
    Open::parse(body).and_then(|open| Negotiated::new(config, &ours, &open)).map_err(|error| error.notification())
}

const MP_IPV4: [u8; 6] = [1, 4, 0, 1, 0, 1];
const MP_IPV6: [u8; 6] = [1, 4, 0, 2, 0, 1];

#[test]
fn each_bad_open_has_its_own_notification() {
    let both = config(65010, PeerAs::Exactly(asn(65001)), &Family::ALL);
    let changed = |at: usize, octets: &[u8]| {
        let mut body = body(&[0]);
        body[at..at + octets.len()].copy_from_slice(octets);
        body
    };
    let ours = [MP_IPV4, MP_IPV6].concat();
    let table: &[(&str, Vec<u8>, u8, &[u8])] = &[
        ("version 3", changed(0, &[3]), 1, &[0, 4]),
        ("version 5", changed(0, &[5]), 1, &[0, 4]),
        ("version 3 before all else", changed(0, &[3, 0, 0, 0, 1, 0, 0, 0, 0]), 1, &[0, 4]),
        ("AS 0", changed(1, &[0, 0]), 2, &[]),
        ("another AS", changed(1, &[0xFD, 0xEA]), 2, &[]),
        ("AS_TRANS without the capability", changed(1, &AS_TRANS.to_be_bytes()), 2, &[]),
        ("another AS in the capability", body(&[8, 2, 6, 65, 4, 0, 0, 0xFD, 0xEA]), 2, &[]),
        ("AS 0 in the capability", body(&[8, 2, 6, 65, 4, 0, 0, 0, 0]), 2, &[]),
        ("hold time 1", changed(3, &[0, 1]), 6, &[]),
        ("hold time 2", changed(3, &[0, 2]), 6, &[]),
        ("identifier 0", changed(5, &[0, 0, 0, 0]), 3, &[]),
        ("authentication parameter", body(&[4, 1, 2, 0, 0]), 4, &[]),
        ("parameter 3", body(&[2, 3, 0]), 4, &[]),
        ("parameters end early", body(&[5, 2, 2, 2, 0]), 0, &[]),
        ("octets after the parameters", body(&[4, 2, 2, 2, 0, 9]), 0, &[]),
        ("a parameter overruns", body(&[4, 2, 3, 2, 0]), 0, &[]),
        ("half a parameter", body(&[1, 2]), 0, &[]),
        ("a capability overruns", body(&[4, 2, 2, 2, 1]), 0, &[]),
        ("a multiprotocol capability of 3", body(&[7, 2, 5, 1, 3, 0, 1, 0]), 0, &[]),
        ("a four-octet AS of 2", body(&[6, 2, 4, 65, 2, 0xFD, 0xE9]), 0, &[]),
        ("route refresh with a value", body(&[5, 2, 3, 2, 1, 0]), 0, &[]),
        ("extended length overruns", body(&[255, 255, 0, 9, 2, 0, 0]), 0, &[]),
        ("extended length cut off", body(&[255, 255, 0]), 0, &[]),
        ("only VPNv4", body(&[8, 2, 6, 1, 4, 0, 1, 0, 128]), 7, &ours),
    ];
    for (name, body, subcode, data) in table {
        assert_eq!(judge(&both, body).expect_err(name), Notification::new(2, *subcode, data), "{name}");
    }
    let only_ipv6 = config(65010, PeerAs::External, &[Family::Ipv6Unicast]);
    assert_eq!(judge(&only_ipv6, &body(&[0])).expect_err("IPv4 is implied"), Notification::new(2, 7, &MP_IPV6));
    let internal = config(65001, PeerAs::Internal, &Family::ALL);
    assert_eq!(judge(&internal, &changed(8, &[1])).expect_err("our identifier"), Notification::new(2, 3, &[]));
    let external = config(65001, PeerAs::External, &Family::ALL);
    assert_eq!(judge(&external, &body(&[0])).expect_err("our AS"), Notification::new(2, 2, &[]));
}

#[test]
fn an_external_neighbor_may_have_our_identifier() {
    let config = config(65010, PeerAs::External, &Family::ALL);
    let mut open = body(&[0]);
    open[8] = 1;
    assert!(judge(&config, &open).expect("RFC 6286").external);
}

#[test]
fn capabilities_come_in_one_parameter_or_many_in_either_format() {
    let config = config(65010, PeerAs::External, &Family::ALL);
    let four = [65, 4, 0, 0, 0xFD, 0xE9];
    let unknown = [199, 3, 1, 2, 3];
    let together = [&[25, 2, 23][..], &MP_IPV4, &MP_IPV6, &four, &unknown].concat();
    let apart = [&[31][..], &[2, 6], &MP_IPV4, &[2, 6], &MP_IPV6, &[2, 6], &four, &[2, 5], &unknown].concat();
    let extended = [&[255, 255, 0, 26, 2, 0, 23][..], &MP_IPV4, &MP_IPV6, &four, &unknown].concat();
    // RFC 9072 §2: the format counts, not the 255 in the length.
    let odd_length = [&[1, 255, 0, 26, 2, 0, 23][..], &MP_IPV4, &MP_IPV6, &four, &unknown].concat();
    for parameters in [together, apart, extended, odd_length] {
        let negotiated = judge(&config, &body(&parameters)).expect("good");
        assert_eq!(negotiated.families, Family::ALL.into());
        assert!(negotiated.four_octet_as && !negotiated.route_refresh && negotiated.external);
        let words: Vec<String> = negotiated.received.iter().map(ToString::to_string).collect();
        let expected = [
            "multiprotocol ipv4 unicast",
            "multiprotocol ipv6 unicast",
            "four-octet AS 65001",
            "unknown capability 199",
        ];
        assert_eq!(words, expected);
    }
}

#[test]
fn what_is_negotiated_is_what_both_can() {
    let mut config = config(65010, PeerAs::External, &Family::ALL);
    let plain = judge(&config, &body(&[0])).expect("good");
    assert_eq!(plain.families, [Family::Ipv4Unicast].into(), "no multiprotocol means IPv4");
    assert!(!plain.four_octet_as);
    assert_eq!((plain.hold_time.to_wire(), plain.keepalive), (90, Some(Duration::from_secs(30))));
    config.hold_time = HoldTime::from_secs(9).expect("allowed");
    assert_eq!(judge(&config, &body(&[0])).expect("good").keepalive, Some(Duration::from_secs(3)));
    config.hold_time = HoldTime::from_secs(0).expect("allowed");
    let none = judge(&config, &body(&[0])).expect("good");
    assert_eq!((none.hold_time.duration(), none.keepalive), (None, None));
}

#[test]
fn our_open_is_read_back_by_us_and_by_the_oracle() {
    for (number, field) in [(65010, 65010), (4_200_000_001, AS_TRANS)] {
        let ours = Open::ours(&config(number, PeerAs::External, &Family::ALL), Restart::default());
        let bytes = ours.encode();
        assert_eq!(Open::parse(&bytes[19..]), Ok(ours.clone()));
        assert_eq!((ours.my_as, ours.asn()), (field, number));
        let BgpMessage::Open(open) = parse_bgp_message(&mut bytes.clone(), false, &AsnLength::Bits32).expect("an OPEN")
        else {
            panic!("not an OPEN")
        };
        assert_eq!((open.version, u32::from(open.asn), open.hold_time), (4, u32::from(field), 90));
        assert_eq!(open.bgp_identifier, Ipv4Addr::from_str("10.0.0.1").expect("an address"));
    }
}

proptest! {
    #[test]
    fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = judge(&config(65010, PeerAs::External, &Family::ALL), &body);
    }

    #[test]
    fn no_parameters_panic(parameters in proptest::collection::vec(prop_oneof![0u8..8, Just(65), Just(255), any::<u8>()], 0..60)) {
        let _ = judge(&config(65010, PeerAs::External, &Family::ALL), &body(&parameters));
    }
}

/// RFC 9234 §4.2: each of ours with each of theirs, with none and with two.
#[test]
fn roles_must_be_a_pair() {
    let with = |role, role_strict| PeerConfig {
        role: Some(role),
        role_strict,
        ..config(65010, PeerAs::External, &[Family::Ipv4Unicast])
    };
    let shows = |codes: &[u8]| {
        let capabilities: Vec<u8> = codes.iter().flat_map(|code| [9, 1, *code]).collect();
        let count = capabilities.len() as u8;
        body(&[[count + 2, 2, count].as_slice(), &capabilities].concat())
    };
    let mismatch = || Err(Notification::new(2, 11, &[]));
    for ours in Role::ALL {
        for theirs in 0..=6 {
            let role = judge(&with(ours, false), &shows(&[theirs])).map(|negotiated| negotiated.role);
            let fits = ours.counterpart().code() == theirs;
            assert_eq!(role, if fits { Ok(Some(ours)) } else { mismatch() }, "{ours} and {theirs}");
        }
        let right = ours.counterpart().code();
        let judge = |strict, codes: &[u8]| judge(&with(ours, strict), &shows(codes)).map(|negotiated| negotiated.role);
        assert_eq!(judge(false, &[]), Ok(Some(ours)));
        assert_eq!(judge(true, &[]), mismatch());
        assert_eq!(judge(true, &[right, right]), Ok(Some(ours)), "the same twice is one");
        assert_eq!(judge(false, &[right, (right + 1) % 5]), mismatch());
    }
    let inside = PeerConfig { local_as: asn(65001), peer_as: PeerAs::Internal, ..with(Role::Peer, true) };
    assert_eq!(judge(&inside, &shows(&[])).map(|negotiated| negotiated.role), Ok(None), "no roles within an AS");
}

#[test]
fn what_is_in_force_needs_both_ends() {
    let offers = Offers { extended_message: true, enhanced_route_refresh: true, extended_next_hop: true };
    let all = PeerConfig { offers, ..config(65010, PeerAs::External, &Family::ALL) };
    let offers = Offers { extended_message: false, enhanced_route_refresh: false, extended_next_hop: false };
    let none = PeerConfig { offers, ..all.clone() };
    let tuple = [5, 12, 0, 1, 0, 128, 0, 2, 0, 1, 0, 1, 0, 2];
    let theirs = [&[24, 2, 22][..], &MP_IPV4, &tuple, &[70, 0]].concat();
    let in_force = |config: &PeerConfig, body: &[u8]| {
        let negotiated = judge(config, body).expect("good");
        (negotiated.extended_message, negotiated.enhanced_route_refresh, negotiated.extended_next_hop)
    };
    assert_eq!(in_force(&all, &body(&theirs)), (false, true, true));
    assert_eq!(in_force(&none, &body(&theirs)), (false, false, false));
    assert_eq!(in_force(&all, &body(&[4, 2, 2, 6, 0])), (true, false, false));
    // A length that is not the defined one makes it a capability nobody knows, and no error.
    assert_eq!(
        in_force(&all, &body(&[17, 2, 15, 6, 1, 0, 70, 1, 0, 5, 5, 0, 1, 0, 1, 0, 9, 0])),
        (false, false, false)
    );
}

/// RFC 4724 §3, RFC 8538 §2.
#[test]
fn graceful_restart_is_offered_and_read_bit_by_bit() {
    use crate::peer::GracefulRestart;

    let graceful = |seconds| GracefulRestart { restart_time: Duration::from_secs(seconds) };
    let mut config = config(65010, PeerAs::External, &Family::ALL);
    assert!(
        !Open::ours(&config, Restart::default()).encode().windows(2).any(|pair| pair == [64, 10]),
        "off by default"
    );
    config.graceful_restart = Some(graceful(120));
    let octets = |restarted, preserved| {
        let open = Open::ours(&config, Restart { restarted, preserved }).encode();
        let at = open.windows(2).position(|pair| pair == [64, 10]).expect("the capability");
        open[at + 2..at + 12].to_vec()
    };
    assert_eq!(octets(false, false), [0x40, 120, 0, 1, 1, 0, 0, 2, 1, 0]);
    assert_eq!(octets(true, true), [0xC0, 120, 0, 1, 1, 0x80, 0, 2, 1, 0x80]);
    config.graceful_restart = Some(graceful(5000));
    assert_eq!(
        Open::ours(&config, Restart::default()).capabilities.iter().find_map(|one| match one {
            Capability::GracefulRestart { restart_time, .. } => Some(*restart_time),
            _ => None,
        }),
        Some(4095),
        "twelve bits"
    );

    let theirs = |value: &[u8]| {
        let mut parameters = vec![u8::try_from(value.len()).expect("short") + 4, 2];
        parameters.extend([
            u8::try_from(value.len()).expect("short") + 2,
            64,
            u8::try_from(value.len()).expect("short"),
        ]);
        parameters.extend(value);
        judge(&config, &body(&parameters)).expect("good")
    };
    assert_eq!(theirs(&[0x40, 120]).graceful_restart, Some(Graceful { notification: true }), "a helper, no families");
    assert_eq!(theirs(&[0x80, 120, 0, 1, 1, 0x80]).graceful_restart, Some(Graceful { notification: false }));
    assert_eq!(
        theirs(&[0x80, 120, 0]).graceful_restart,
        None,
        "a length that cannot be is no reason to end the session"
    );
    config.graceful_restart = None;
    assert_eq!(judge(&config, &body(&[6, 2, 4, 64, 2, 0x40, 120])).expect("good").graceful_restart, None, "we do not");
}
