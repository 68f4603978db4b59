use super::*;
use crate::testing::{number, octets, packet};

/// What goes over the wire, and what it says (RFC 5880 §4.1).
fn known() -> Vec<(&'static str, Packet)> {
    let quiet = Packet { state: State::Down, your_discriminator: 0, desired_min_tx: Micros(1_000_000), ..packet() };
    vec![
        ("20c0_0318_11223344_55667788_0000c350_000493e0_00000000", packet()),
        // Its bits one by one.
        ("20e0_0318_11223344_55667788_0000c350_000493e0_00000000", Packet { poll: true, ..packet() }),
        ("20d0_0318_11223344_55667788_0000c350_000493e0_00000000", Packet { is_final: true, ..packet() }),
        (
            "20c8_0318_11223344_55667788_0000c350_000493e0_00000000",
            Packet { control_plane_independent: true, ..packet() },
        ),
        ("20c2_0318_11223344_55667788_0000c350_000493e0_00000000", Packet { demand: true, ..packet() }),
        // §6.5 forbids to send it, §6.8.6 does not forbid to take it.
        ("20f0_0318_11223344_55667788_0000c350_000493e0_00000000", Packet { poll: true, is_final: true, ..packet() }),
        // Its states.
        ("2040_0318_11223344_00000000_000f4240_000493e0_00000000", quiet),
        (
            "2700_0318_11223344_00000000_000f4240_000493e0_00000000",
            Packet { state: State::AdminDown, diagnostic: Diagnostic::ADMINISTRATIVELY_DOWN, ..quiet },
        ),
        (
            "2180_0318_11223344_55667788_0000c350_000493e0_00000000",
            Packet { state: State::Init, diagnostic: Diagnostic::DETECTION_TIME_EXPIRED, ..packet() },
        ),
        // Each field as large as it can be.
        (
            "3fc0_ff18_ffffffff_ffffffff_ffffffff_ffffffff_ffffffff",
            Packet {
                diagnostic: Diagnostic::new(31),
                detect_mult: 255,
                my_discriminator: number(u32::MAX),
                your_discriminator: u32::MAX,
                desired_min_tx: Micros(u32::MAX),
                required_min_rx: Micros(u32::MAX),
                required_min_echo_rx: Micros(u32::MAX),
                ..packet()
            },
        ),
    ]
}

#[test]
fn known_octets_are_read_and_written() {
    for (hexadecimal, packet) in known() {
        let datagram = octets(hexadecimal);
        let received = Packet::read(&datagram).unwrap_or_else(|why| panic!("{hexadecimal}: {why}"));
        assert_eq!(received.packet, packet, "{hexadecimal}");
        assert_eq!(received.authentication, None, "{hexadecimal}");
        assert_eq!(received.octets, datagram, "{hexadecimal}");
        assert_eq!(packet.head(0)[..], datagram, "{hexadecimal}");
    }
}

#[test]
fn what_is_malformed_is_named() {
    let table = [
        ("", Malformed::Short),
        ("20c0_0317_11223344_55667788_0000c350_000493e0_000000", Malformed::Short),
        // Versions 0, 2 and 7; the version is looked at before the length.
        ("00c0_0318_11223344_55667788_0000c350_000493e0_00000000", Malformed::Version),
        ("40c0_0300_11223344_55667788_0000c350_000493e0_00000000", Malformed::Version),
        ("e0c0_0318_11223344_55667788_0000c350_000493e0_00000000", Malformed::Version),
        // Lengths of 0, 23, one more than came, and 255.
        ("20c0_0300_11223344_55667788_0000c350_000493e0_00000000", Malformed::Length),
        ("20c0_0317_11223344_55667788_0000c350_000493e0_00000000", Malformed::Length),
        ("20c0_0319_11223344_55667788_0000c350_000493e0_00000000", Malformed::Length),
        ("20c0_03ff_11223344_55667788_0000c350_000493e0_00000000", Malformed::Length),
        // The A bit asks for 26 at least.
        ("20c4_0318_11223344_55667788_0000c350_000493e0_00000000", Malformed::Length),
        ("20c4_0319_11223344_55667788_0000c350_000493e0_00000000_01", Malformed::Length),
        ("20c4_031a_11223344_55667788_0000c350_000493e0_00000000_01", Malformed::Length),
        ("20c0_0018_11223344_55667788_0000c350_000493e0_00000000", Malformed::DetectMult),
        ("20c1_0318_11223344_55667788_0000c350_000493e0_00000000", Malformed::Multipoint),
        ("20c0_0318_00000000_55667788_0000c350_000493e0_00000000", Malformed::MyDiscriminator),
        // Up, and Init, by who does not know us.
        ("20c0_0318_11223344_00000000_0000c350_000493e0_00000000", Malformed::YourDiscriminator),
        ("2080_0318_11223344_00000000_0000c350_000493e0_00000000", Malformed::YourDiscriminator),
        // An authentication section that says to be shorter, and longer, than what is there.
        ("20c4_031d_11223344_55667788_0000c350_000493e0_00000000_0104_07_6161", Malformed::Authentication),
        ("20c4_031d_11223344_55667788_0000c350_000493e0_00000000_0106_07_6161", Malformed::Authentication),
        ("20c4_031a_11223344_55667788_0000c350_000493e0_00000000_0100", Malformed::Authentication),
    ];
    for (hexadecimal, why) in table {
        assert_eq!(Packet::read(&octets(hexadecimal)).map(|received| received.packet), Err(why), "{hexadecimal}");
    }
}

/// §6.8.6 wants no more of the length than that it fits.
#[test]
fn what_follows_is_not_looked_at() {
    let padded = octets("20c0_0318_11223344_55667788_0000c350_000493e0_00000000_ffff");
    let received = Packet::read(&padded).unwrap();
    assert_eq!((received.packet, received.octets.len()), (packet(), 24));
    let longer = octets("20c0_031a_11223344_55667788_0000c350_000493e0_00000000_ffff");
    let received = Packet::read(&longer).unwrap();
    assert_eq!((received.packet, received.octets.len()), (packet(), 26));
    assert_eq!(received.authentication, None);
    let section = octets("20c4_031d_11223344_55667788_0000c350_000493e0_00000000_0105_07_6161_ff");
    let received = Packet::read(&section).unwrap();
    assert_eq!(received.authentication, Some(&section[24..29]));
    assert_eq!(received.octets, &section[..29]);
}

#[test]
fn times_are_as_long_as_the_wire_can_say() {
    let table = [
        (Duration::ZERO, 0),
        (Duration::from_nanos(1_999), 1),
        (Duration::from_millis(50), 50_000),
        (Duration::from_micros(u64::from(u32::MAX)), u32::MAX),
        (Duration::from_micros(u64::from(u32::MAX) + 1), u32::MAX),
        (Duration::MAX, u32::MAX),
    ];
    for (time, micros) in table {
        assert_eq!(Micros::from_duration(time), Micros(micros), "{time:?}");
    }
    assert_eq!(Micros(u32::MAX).duration().as_secs(), 4_294);
}

/// A diagnostic is five bits, on the wire and in what is handed over.
#[test]
fn diagnostics_have_names() {
    for code in 0..=u8::MAX {
        let diagnostic = Diagnostic::new(code);
        assert_eq!(diagnostic.code(), code % 32);
        assert_eq!(diagnostic.to_string().starts_with("Diagnostic "), code % 32 > 9);
    }
}
