//! Bytes as a kernel sent them (6.18, x86-64), and what they mean.

use proptest::prelude::*;

use super::*;

/// A listener on [::]:5354 that was closed, up to what the kernel adds about the connection.
const GONE_V6: &str = "7c0100001400000000000000000000000a07000014ea00000000000000000000000000000000000000000000000000000000 \
    000000000000000000000200000000000000000000000000000000000000000000000000000005000a00060000001c010200";
/// A UDP socket on 127.0.0.1:5355 that was closed.
const GONE_UDP: &str = "600000001400000000000000000000000207000014eb00007f00000100000000000000000000000000000000000000000000 \
    0000000000000000000003000000000000000000000000000000ffffffff000000000000000005000a0011000000";
/// A listener on 0.0.0.0:5353.
const LISTENS_V4: &str = "7c0000001400020007000000022d0000020a000014e900000000000000000000000000000000000000000000000000000000 \
    00000000000000000000011000000000000000000000000000008000000000000000f0650500050008000000000008000f00 \
    000000000c00150001000000000000000600160052000000";
/// A listener on [::]:5353 with IPV6_V6ONLY.
const LISTENS_V6: &str = "840000001400020007000000022d00000a0a000014e900000000000000000000000000000000000000000000000000000000 \
    00000000000000000000021000000000000000000000000000008000000000000000f1650500050008000000000005000b00 \
    0100000008000f00000000000c00150001000000000000000600160012000000";
/// The end of a list of sockets of a protocol that the kernel does not know: ENOENT.
const UNKNOWN: &str = "140000000300020007000000022d0000feffffff";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn listener(protocol: Option<Protocol>, address: &str, only_v6: Option<bool>) -> Socket {
    Socket { protocol, address: address.parse().unwrap(), connected: false, only_v6, cgroup: None }
}

#[test]
fn what_the_kernel_sent_is_read() {
    let cgroup = Some(1);
    let gone_v6 = format!("{GONE_V6}{}", "00".repeat(0x118));
    let cases = [
        (gone_v6.as_str(), vec![Said::Socket(listener(Some(Protocol::Tcp), "[::]:5354", None))]),
        (GONE_UDP, vec![Said::Socket(listener(Some(Protocol::Udp), "127.0.0.1:5355", None))]),
        (LISTENS_V4, vec![Said::Socket(Socket { cgroup, ..listener(None, "0.0.0.0:5353", None) })]),
        (LISTENS_V6, vec![Said::Socket(Socket { cgroup, ..listener(None, "[::]:5353", Some(true)) })]),
        (UNKNOWN, vec![Said::Failed(2)]),
        ("14000000030002000700000000000000 00000000", vec![Said::Done]),
        ("14000000030012000700000000000000 00000000", vec![Said::Changed, Said::Done]),
        ("2400000002000000070000000000000 0ffffffff 00000000000000000000000000000000", vec![Said::Failed(1)]),
        ("", vec![]),
        ("0000", vec![]),
        ("00000000000000000000000000000000", vec![]),
    ];
    for (hex, expected) in cases {
        assert_eq!(read(&bytes(hex)), expected, "{hex}");
    }
    let both = [bytes(LISTENS_V4), bytes(LISTENS_V6), bytes(UNKNOWN)].concat();
    assert_eq!(read(&both).len(), 3, "one datagram holds many messages");
}

#[test]
fn the_question_is_the_one_that_was_answered() {
    let asked = question(Protocol::Tcp, false, 5353);
    let hex: String = asked.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hex,
        format!("48000000 14000103 00000000 00000000 02060000 00040000 14e9{}", "00".repeat(46)).replace(' ', "")
    );
}

#[test]
fn a_listener_takes_what_is_for_it() {
    use Protocol::{Tcp, Udp};
    // (listener, V6ONLY, target, whether it may take it)
    let cases = [
        ("0.0.0.0:80", None, "203.0.113.80:80", true),
        ("203.0.113.80:80", None, "203.0.113.80:80", true),
        ("203.0.113.80:80", None, "203.0.113.81:80", false),
        ("203.0.113.80:80", None, "203.0.113.80:81", false),
        ("0.0.0.0:80", None, "[2001:db8::80]:80", false),
        ("[::]:80", Some(true), "[2001:db8::80]:80", true),
        ("[::]:80", Some(false), "203.0.113.80:80", true),
        ("[::]:80", None, "203.0.113.80:80", true),
        ("[::]:80", Some(true), "203.0.113.80:80", false),
        ("[::ffff:203.0.113.80]:80", Some(false), "203.0.113.80:80", true),
        ("[::ffff:0.0.0.0]:80", Some(false), "203.0.113.80:80", true),
        ("[::ffff:203.0.113.80]:80", Some(false), "[::ffff:203.0.113.80]:80", true),
        ("[2001:db8::80]:80", None, "[2001:db8::80]:80", true),
        ("[2001:db8::81]:80", None, "[2001:db8::80]:80", false),
    ];
    for (address, only_v6, target, expected) in cases {
        let socket = listener(Some(Tcp), address, only_v6);
        assert_eq!(socket.may_take(Tcp, target.parse().unwrap()), expected, "{address} {only_v6:?} {target}");
        assert!(!socket.may_take(Udp, target.parse().unwrap()));
    }
    let unsaid = listener(None, "0.0.0.0:53", None);
    let target = "192.0.2.1:53".parse().unwrap();
    assert!(unsaid.may_take(Udp, target) && unsaid.may_take(Tcp, target), "what the kernel does not say may be either");
}

proptest! {
    #[test]
    fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0..0x7c_usize) {
        read(&bytes);
        let mut whole = self::bytes(LISTENS_V6);
        for (byte, other) in whole.iter_mut().zip(&bytes).skip(cut) {
            *byte = *other;
        }
        read(&whole);
        whole.truncate(cut);
        read(&whole);
    }
}
