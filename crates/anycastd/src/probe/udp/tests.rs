use anycast_core::{Cause, Health, Outcome, config::ProbeConfig};
use tokio::net::UdpSocket;

use super::{
    super::{
        Prober,
        testing::{AMPLE, SHORT, nobody_udp, run, udp},
    },
    *,
};

/// Answers every datagram with these bytes.
async fn answering(bind: &str, reply: &'static [u8]) -> SocketAddr {
    let socket = UdpSocket::bind(bind).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut received = [0; 64];
        loop {
            let (length, from) = socket.recv_from(&mut received).await.unwrap();
            assert_eq!(&received[..length], b"ping");
            socket.send_to(reply, from).await.unwrap();
        }
    });
    address
}

async fn ask(addresses: &[SocketAddr], expect: UdpExpect, timeout: Duration) -> Outcome {
    let config = UdpProbe { addresses: addresses.to_vec(), expect, ..udp(([127, 0, 0, 1], 1).into()) };
    run(&Prober::new(&ProbeConfig::Udp(config)), timeout).await
}

fn part(bytes: &[u8]) -> UdpExpect {
    UdpExpect::Holds(bytes.to_vec())
}

#[tokio::test]
async fn any_answer_will_do_unless_one_is_expected() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let address = answering(bind, b"pong\n").await;
        let outcome = ask(&[address], UdpExpect::Any, AMPLE).await;
        assert_eq!(outcome.health, Health::Up, "{outcome:?}");
        assert!(outcome.detail.starts_with(&format!("{address} answered 5 bytes in ")), "{outcome:?}");

        let outcome = ask(&[address], part(b"on"), AMPLE).await;
        assert!(outcome.detail.starts_with(&format!("{address} answered 5 bytes with \"on\" in ")), "{outcome:?}");

        let outcome = ask(&[address], part(b"\x00\xff"), AMPLE).await;
        let words = format!("{address} answered \"pong\", without 0x00ff");
        assert_eq!((outcome.health, outcome.cause, outcome.detail), (Health::Down, Cause::Answered, words));
    }
    let empty = answering("127.0.0.1:0", b"").await;
    assert_eq!(ask(&[empty], UdpExpect::Any, AMPLE).await.health, Health::Up);
    let outcome = ask(&[empty], part(b"pong"), AMPLE).await;
    assert_eq!(outcome.detail, format!("{empty} answered an empty datagram, without \"pong\""));
}

#[tokio::test]
async fn every_address_must_answer() {
    let (one, other) = (answering("127.0.0.1:0", b"pong").await, answering("127.0.0.1:0", b"no").await);
    let outcome = ask(&[one, other], UdpExpect::Any, AMPLE).await;
    assert!(outcome.detail.starts_with("all 2 addresses answered, "), "{outcome:?}");
    let outcome = ask(&[one, other], part(b"pong"), AMPLE).await;
    assert_eq!((outcome.health, outcome.detail), (Health::Down, format!("{other} answered \"no\", without \"pong\"")));
}

#[tokio::test]
async fn nobody_there_is_refused_also_where_no_answer_is_needed() {
    for expect in [UdpExpect::Any, UdpExpect::Nothing] {
        let absent = nobody_udp().await;
        let outcome = ask(&[absent], expect, AMPLE).await;
        let words = format!("{absent}: refused");
        assert_eq!((outcome.health, outcome.cause, outcome.detail), (Health::Down, Cause::Refused, words));
    }
}

#[tokio::test]
async fn silence_is_late_unless_no_answer_is_needed() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let outcome = ask(&[address], UdpExpect::Any, SHORT).await;
    let words = format!("{address}: no answer within 300 ms");
    assert_eq!((outcome.health, outcome.cause, outcome.detail), (Health::Down, Cause::TimedOut, words));
    let outcome = ask(&[address], UdpExpect::Nothing, SHORT).await;
    assert_eq!(outcome.health, Health::Up);
    assert!(outcome.detail.starts_with(&format!("{address} did not refuse within ")), "{outcome:?}");
}

/// Whoever guesses the port still has another address.
#[tokio::test]
async fn what_comes_from_elsewhere_is_no_answer() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    tokio::spawn(async move {
        let (_, from) = socket.recv_from(&mut [0; 64]).await.unwrap();
        stranger.send_to(b"pong", from).await.unwrap();
        std::future::pending::<()>().await;
        drop(socket);
    });
    assert_eq!(ask(&[address], UdpExpect::Any, SHORT).await.cause, Cause::TimedOut);
}

#[test]
fn bytes_are_shown_as_what_they_are() {
    let long = "x".repeat(50);
    let cases: [(&[u8], &str); 5] = [
        (b"pong", "\"pong\""),
        (b"\x00\x01", "0x0001"),
        (&[0xab; 20], "0xabababababababababababababababab…"),
        (long.as_bytes(), "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…\""),
        (b"\x1b[2J", "0x1b5b324a"),
    ];
    for (bytes, words) in cases {
        assert_eq!(shown(bytes), words);
    }
}
