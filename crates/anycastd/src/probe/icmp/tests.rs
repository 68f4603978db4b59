use std::num::NonZeroU16;

use anycast_core::{Cause, Health, Outcome, config::ProbeConfig};
use nix::sched::{CloneFlags, unshare};

use super::{
    super::{
        Prober,
        testing::{AMPLE, SHORT, alone, icmp, run},
    },
    *,
};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

async fn ask(config: IcmpProbe, timeout: Duration) -> Outcome {
    run(&Prober::new(&ProbeConfig::Icmp(config)), timeout).await
}

fn some(packets: u16, max_loss: u16) -> IcmpProbe {
    IcmpProbe { packets: NonZeroU16::new(packets).unwrap(), max_loss, ..icmp(V4) }
}

/// The echoes of one run, over a socket that is never used.
fn echo(address: IpAddr, form: Form) -> Echo {
    let socket = watched(Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap()).unwrap();
    Echo { socket, form, address, id: 0x1234, secret: *b"sixteen octets.." }
}

#[tokio::test]
async fn this_node_answers_itself_in_both_families() {
    if !may_ping() {
        eprintln!("not permitted here");
        return;
    }
    for address in [V4, "::1".parse().unwrap()] {
        let outcome = ask(icmp(address), AMPLE).await;
        assert_eq!(outcome.health, Health::Up, "{outcome:?}");
        assert!(outcome.detail.starts_with(&format!("{address} answered in ")), "{outcome:?}");
    }
    let outcome = ask(some(3, 0), AMPLE).await;
    assert!(outcome.detail.starts_with("127.0.0.1 answered all 3 echoes, the slowest in "), "{outcome:?}");
    let outcome = ask(some(3, 2), AMPLE).await;
    let words = "127.0.0.1 answered 1 echo, enough for `packets: 3` and `max_loss: 2`, ";
    assert!(outcome.detail.starts_with(words), "{outcome:?}");
    let both = IcmpProbe { addresses: vec![V4, "127.0.0.2".parse().unwrap()], ..icmp(V4) };
    let outcome = ask(both, AMPLE).await;
    assert!(outcome.detail.starts_with("all 2 addresses answered, the slowest, 127.0.0."), "{outcome:?}");
}

/// A namespace of its own: one where nobody answers, one without the privilege.
#[test]
fn silence_is_late_and_a_missing_permission_proves_nothing() {
    alone(module_path!(), "namespaces");
}

#[tokio::test(flavor = "current_thread")]
#[ignore = "run alone, by another test"]
async fn namespaces() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    for argv in [
        &["link", "set", "lo", "up"][..],
        // Neighbors are not asked for on it, and nobody takes what is sent.
        &["link", "add", "void", "type", "veth", "peer", "name", "end"],
        &["link", "set", "end", "up"],
        &["link", "set", "void", "arp", "off", "up"],
        &["address", "add", "198.51.100.2/24", "dev", "void"],
    ] {
        assert!(std::process::Command::new("ip").args(argv).status().unwrap().success(), "{argv:?}");
    }
    // Raw: no group has ping sockets in a new namespace.
    assert_eq!(open(V4).unwrap().1, Form::Raw);
    for address in [V4, "::1".parse().unwrap()] {
        assert_eq!(ask(icmp(address), AMPLE).await.health, Health::Up);
    }
    let outcome = ask(icmp("198.51.100.1".parse().unwrap()), SHORT).await;
    let words = "198.51.100.1: no answer within 300 ms".to_owned();
    assert_eq!((outcome.health, outcome.cause, outcome.detail), (Health::Down, Cause::TimedOut, words));
    let outcome = ask(icmp("203.0.113.1".parse().unwrap()), AMPLE).await;
    assert_eq!((outcome.health, outcome.detail.as_str()), (Health::Down, "203.0.113.1: network unreachable"));

    std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").unwrap();
    assert_eq!(open(V4).unwrap().1, Form::Ping);
    for address in [V4, "::1".parse().unwrap()] {
        assert_eq!(ask(icmp(address), AMPLE).await.health, Health::Up);
    }

    std::fs::write("/proc/sys/net/ipv4/ping_group_range", "1 0").unwrap();
    rustix::thread::set_capabilities(
        None,
        rustix::thread::CapabilitySets {
            effective: rustix::thread::CapabilitySet::empty(),
            permitted: rustix::thread::CapabilitySet::empty(),
            inheritable: rustix::thread::CapabilitySet::empty(),
        },
    )
    .unwrap();
    assert!(!may_ping());
    let outcome = ask(icmp(V4), AMPLE).await;
    assert_eq!((outcome.health, outcome.detail.as_str()), (Health::Unknown, FORBIDDEN));
}

#[tokio::test]
async fn only_the_reply_to_what_was_sent_counts() {
    let v6: IpAddr = "::1".parse().unwrap();
    let header_v4 =
        |options: usize| [&[0x45 + u8::try_from(options / 4).unwrap()][..], &vec![0; 19 + options]].concat();
    let reply = |kind: u8| [&[kind, 0, 0, 0, 0x12, 0x34, 0, 7][..], b"sixteen octets.."].concat();
    let good = [
        (V4, Form::Ping, reply(0)),
        (V4, Form::Raw, [header_v4(0), reply(0)].concat()),
        (V4, Form::Raw, [header_v4(40), reply(0)].concat()),
        (v6, Form::Ping, reply(129)),
        (v6, Form::Raw, reply(129)),
    ];
    for (address, form, bytes) in &good {
        let echo = echo(*address, *form);
        assert_eq!(echo.reply(bytes), Some(7), "{address} {form:?}");
        for length in 0..bytes.len() {
            assert_eq!(echo.reply(&bytes[..length]), None, "{address} {form:?}, {length} bytes");
        }
    }
    let raw = echo(v6, Form::Raw);
    for at in [0, 1, 4, 5, 8, 23] {
        let mut bytes = reply(129);
        bytes[at] ^= 1;
        assert_eq!(raw.reply(&bytes), None, "octet {at}");
    }
    assert_eq!(echo(V4, Form::Ping).reply(&reply(8)), None, "our own echo");
    assert_eq!(raw.reply(&[reply(129), vec![0]].concat()), None, "more than was sent");
}

#[test]
fn the_checksum_of_a_message_with_its_checksum_is_zero() {
    for length in [8_u8, 9, 24, 25] {
        let mut bytes: Vec<u8> = (0..length).map(|number: u8| number.wrapping_mul(37)).collect();
        bytes[2..4].fill(0);
        let sum = checksum(&bytes);
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(checksum(&bytes), 0);
    }
}
