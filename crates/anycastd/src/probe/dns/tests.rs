use std::{collections::VecDeque, net::IpAddr, sync::Arc};

use anycast_core::{
    Cause, Health,
    config::{DnsTransport, ProbeConfig},
};
use domain::{
    base::{Name, Rtype, message_builder::AnswerBuilder},
    rdata::{A, Cname},
};
use tokio::net::{TcpListener, UdpSocket};

use proptest::prelude::*;

use super::{
    super::{
        Prober,
        testing::{AMPLE, Deaf, SHORT, dns, nobody_udp, run},
    },
    *,
};

const NAME: &str = "health.example.net";
const GOOD: [u8; 4] = [192, 0, 2, 80];

/// What a server answers to a query: any number of datagrams, or one message over TCP.
type Replies = Arc<dyn Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync>;

fn probe(servers: &[SocketAddr]) -> DnsProbe {
    DnsProbe { servers: servers.to_vec(), ..dns(SocketAddr::from(([127, 0, 0, 1], 53))) }
}

fn prober(config: DnsProbe) -> Prober {
    Prober::new(&ProbeConfig::Dns(config))
}

/// Both transports at one port.
async fn serve(ip: &str, udp: Replies, tcp: Replies) -> SocketAddr {
    let ip: IpAddr = ip.parse().unwrap();
    let (socket, listener) = loop {
        let socket = UdpSocket::bind((ip, 0)).await.unwrap();
        // Somebody else may have the port of the other protocol.
        let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()).await else { continue };
        break (socket, listener);
    };
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut query = [0; 4096];
        loop {
            let (length, from) = socket.recv_from(&mut query).await.unwrap();
            for reply in udp(&query[..length]) {
                socket.send_to(&reply, from).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let Ok(length) = stream.read_u16().await else { continue };
            let mut query = vec![0; usize::from(length)];
            stream.read_exact(&mut query).await.unwrap();
            for reply in tcp(&query) {
                stream.write_u16(u16::try_from(reply.len()).unwrap()).await.unwrap();
                stream.write_all(&reply).await.unwrap();
            }
        }
    });
    address
}

async fn answering(reply: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + Sync + 'static) -> SocketAddr {
    let reply: Replies = Arc::new(reply);
    serve("127.0.0.1", reply.clone(), reply).await
}

type Writer = AnswerBuilder<Vec<u8>>;

/// An answer to the query, with what the closure puts into it.
fn answer(query: &[u8], rcode: Rcode, write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let query = Message::from_octets(query.to_vec()).unwrap();
    let mut answer = MessageBuilder::new_vec().start_answer(&query, rcode).unwrap();
    answer.header_mut().set_ra(true);
    answer.header_mut().set_aa(true);
    write(&mut answer);
    answer.finish()
}

fn address(owner: &str, octets: [u8; 4]) -> (Name<Vec<u8>>, u32, A) {
    (Name::vec_from_str(owner).unwrap(), 60, A::from_octets(octets[0], octets[1], octets[2], octets[3]))
}

fn good(query: &[u8]) -> Vec<u8> {
    answer(query, Rcode::NOERROR, |answer| answer.push(address(NAME, GOOD)).unwrap())
}

#[tokio::test]
async fn a_good_answer_is_up_in_both_families_and_over_both_transports() {
    for ip in ["127.0.0.1", "::1"] {
        let reply: Replies = Arc::new(|query: &[u8]| vec![good(query)]);
        let server = serve(ip, reply.clone(), reply).await;
        for transport in [DnsTransport::Udp, DnsTransport::Tcp] {
            let outcome = run(&prober(DnsProbe { transport, ..probe(&[server]) }), AMPLE).await;
            assert_eq!(outcome.health, Health::Up, "{outcome:?}");
            assert!(outcome.detail.starts_with("NOERROR, 192.0.2.80, aa ra, in "), "{outcome:?}");
        }
        let outcome = run(&prober(DnsProbe { transport: DnsTransport::Both, ..probe(&[server, server]) }), AMPLE).await;
        assert_eq!(outcome.health, Health::Up, "{outcome:?}");
        assert!(outcome.detail.starts_with("all 4 answered NOERROR, 192.0.2.80, aa ra; "), "{outcome:?}");
    }
}

/// What a server may answer, what is expected of it, and what is said.
#[tokio::test]
async fn answers_are_judged() {
    let with = |change: fn(&mut DnsProbe)| {
        let mut config = probe(&[]);
        change(&mut config);
        config
    };
    let plain = || with(|_| ());
    type Reply = fn(&[u8]) -> Vec<u8>;
    let other: Reply =
        |query| answer(query, Rcode::NOERROR, |answer| answer.push(address(NAME, [192, 0, 2, 81])).unwrap());
    let empty: Reply = |query| answer(query, Rcode::NOERROR, |_| ());
    let failing: Reply = |query| answer(query, Rcode::SERVFAIL, |_| ());
    let absent: Reply = |query| answer(query, Rcode::NXDOMAIN, |_| ());
    let many: Reply = |query| {
        answer(query, Rcode::NOERROR, |answer| {
            for last in 80..85 {
                answer.push(address("HEALTH.example.net", [192, 0, 2, last])).unwrap();
            }
        })
    };
    let chain: Reply = |query| {
        answer(query, Rcode::NOERROR, |answer| {
            let alias = |from: &str, to: &str| {
                (Name::vec_from_str(from).unwrap(), 60, Cname::new(Name::vec_from_str(to).unwrap()))
            };
            answer.push(address("end.example.org", GOOD)).unwrap();
            answer.push(alias(NAME, "middle.example.org")).unwrap();
            answer.push(alias("middle.example.org", "end.example.org")).unwrap();
            answer.push(address("stray.example.org", [192, 0, 2, 99])).unwrap();
        })
    };
    let circle: Reply = |query| {
        answer(query, Rcode::NOERROR, |answer| {
            let name = || Name::vec_from_str(NAME).unwrap();
            answer.push((name(), 60, Cname::new(name()))).unwrap();
        })
    };
    let broken: Reply = |query| {
        let mut bytes = good(query);
        bytes.truncate(bytes.len() - 2);
        bytes
    };
    let (up, down) = (Health::Up, Health::Down);
    let cases: Vec<(Reply, DnsProbe, Health, &str)> = vec![
        (good, plain(), up, "NOERROR, 192.0.2.80, aa ra, in "),
        (good, with(|config| config.answers.clear()), up, "NOERROR, 192.0.2.80, aa ra, in "),
        (other, plain(), down, "NOERROR, 192.0.2.81, expected 192.0.2.80"),
        (empty, plain(), down, "NOERROR, no A record, expected 192.0.2.80"),
        (empty, with(|config| config.answers.clear()), down, "NOERROR, no A record in the answer"),
        (failing, plain(), down, "SERVFAIL, expected NOERROR"),
        (absent, plain(), down, "NXDOMAIN, expected NOERROR"),
        (
            absent,
            with(|config| {
                config.rcode = 3;
                config.answers.clear();
                config.min_answers = 0;
            }),
            up,
            "NXDOMAIN, aa ra, in ",
        ),
        (many, plain(), up, "NOERROR, 192.0.2.80, 192.0.2.81, 192.0.2.82 and 2 more, aa ra, in "),
        (
            many,
            with(|config| config.answers.push("192.0.2.90".to_owned())),
            down,
            "NOERROR, 192.0.2.80, 192.0.2.81, 192.0.2.82 and 2 more, expected 192.0.2.90",
        ),
        (many, with(|config| config.min_answers = 6), down, "NOERROR, 5 of at least 6 A records: "),
        (chain, plain(), up, "NOERROR, 192.0.2.80, aa ra, in "),
        (circle, plain(), down, "NOERROR, no A record, expected 192.0.2.80"),
        (broken, plain(), down, "NOERROR, but the answer is malformed"),
        (
            good,
            with(|config| config.flags = vec![(DnsFlag::Aa, true), (DnsFlag::Tc, false)]),
            up,
            "NOERROR, 192.0.2.80, aa ra, in ",
        ),
        (
            good,
            with(|config| config.flags = vec![(DnsFlag::Aa, false)]),
            down,
            "NOERROR with the flag aa; set are aa rd ra",
        ),
        (
            good,
            with(|config| config.flags = vec![(DnsFlag::Ad, true)]),
            down,
            "NOERROR without the flag ad; set are aa rd ra",
        ),
    ];
    for (reply, config, health, words) in cases {
        let server = answering(move |query| vec![reply(query)]).await;
        let outcome = run(&prober(DnsProbe { servers: vec![server], ..config }), AMPLE).await;
        assert_eq!(outcome.health, health, "{outcome:?}, not {words}");
        assert!(outcome.detail.starts_with(words), "{outcome:?}, not {words}");
        assert_eq!(outcome.cause, Cause::Answered);
    }
}

#[tokio::test]
async fn the_query_says_what_was_asked_for() {
    let seen = Arc::new(std::sync::Mutex::new(VecDeque::new()));
    let server = {
        let seen = seen.clone();
        answering(move |query| {
            seen.lock().unwrap().push_back(query.to_vec());
            vec![good(query)]
        })
        .await
    };
    let mut config = probe(&[server]);
    assert_eq!(run(&prober(config.clone()), AMPLE).await.health, Health::Up);
    config.recursion_desired = false;
    config.dnssec_ok = true;
    config.flags = vec![(DnsFlag::Ad, true)];
    run(&prober(config), AMPLE).await;
    let next = || Message::from_octets(seen.lock().unwrap().pop_front().unwrap()).unwrap();
    let (plain, special) = (next(), next());
    assert!(plain.header().rd() && !plain.header().ad() && plain.opt().is_none());
    assert!(!special.header().rd() && special.header().ad());
    let options = special.opt().unwrap();
    assert!(options.dnssec_ok() && options.udp_payload_size() == PAYLOAD);
    assert_eq!(special.sole_question().unwrap().qtype(), Rtype::A);
    assert_ne!(plain.header().id(), special.header().id(), "once in 65536 runs of this test they are equal");
}

/// Datagrams that do not answer the query, each before a good one or alone.
#[tokio::test]
async fn what_does_not_answer_the_query_is_passed_over() {
    type Stray = fn(&[u8]) -> Vec<u8>;
    let strays: [Stray; 7] = [
        |_| b"garbage that is long enough for a header".to_vec(),
        |_| Vec::new(),
        |query| query.to_vec(), // an echo: no answer
        |query| {
            let mut other_id = answer(query, Rcode::SERVFAIL, |_| ());
            other_id[0] ^= 1;
            other_id
        },
        |query| {
            let mut other_name = answer(query, Rcode::SERVFAIL, |_| ());
            other_name[13] ^= 1;
            other_name
        },
        |query| {
            // Without its question only a refusal can be told from an answer to another.
            let mut message = answer(query, Rcode::NOERROR, |_| ())[..12].to_vec();
            message[5] = 0;
            message
        },
        |query| {
            let mut update = answer(query, Rcode::SERVFAIL, |_| ());
            update[2] |= 5 << 3;
            update
        },
    ];
    for (number, stray) in strays.into_iter().enumerate() {
        let patient = answering(move |query| vec![stray(query), good(query)]).await;
        let outcome = run(&prober(probe(&[patient])), AMPLE).await;
        assert_eq!(outcome.health, Health::Up, "stray {number}: {outcome:?}");

        let lost = answering(move |query| vec![stray(query), stray(query)]).await;
        let outcome = run(&prober(probe(&[lost])), SHORT).await;
        let words = format!("{lost}: no answer within 300 ms, but 2 datagrams that do not answer the query");
        assert_eq!((outcome.health, outcome.cause, outcome.detail), (Health::Down, Cause::TimedOut, words), "{number}");
    }
}

#[tokio::test]
async fn a_refusal_may_leave_out_the_question() {
    let server = answering(|query| {
        let mut message = answer(query, Rcode::FORMERR, |_| ())[..12].to_vec();
        message[5] = 0;
        vec![message]
    })
    .await;
    let outcome = run(&prober(probe(&[server])), AMPLE).await;
    assert_eq!((outcome.health, outcome.detail.as_str()), (Health::Down, "FORMERR, expected NOERROR"));
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_over_tcp_unless_that_is_the_question() {
    let truncated: Replies =
        Arc::new(|query: &[u8]| vec![answer(query, Rcode::NOERROR, |answer| answer.header_mut().set_tc(true))]);
    let server = serve("127.0.0.1", truncated.clone(), Arc::new(|query: &[u8]| vec![good(query)])).await;
    let outcome = run(&prober(probe(&[server])), AMPLE).await;
    assert_eq!(outcome.health, Health::Up, "{outcome:?}");
    assert!(outcome.detail.contains("over TCP since it was truncated over UDP"), "{outcome:?}");

    let mut strict = probe(&[server]);
    strict.flags = vec![(DnsFlag::Tc, false)];
    let outcome = run(&prober(strict), AMPLE).await;
    assert_eq!(
        (outcome.health, outcome.detail.as_str()),
        (Health::Down, "NOERROR with the flag tc; set are aa tc rd ra")
    );

    // No server for TCP beside it.
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut query = [0; 4096];
        let (length, from) = socket.recv_from(&mut query).await.unwrap();
        socket.send_to(&truncated(&query[..length])[0], from).await.unwrap();
    });
    let outcome = run(&prober(probe(&[address])), AMPLE).await;
    assert_eq!((outcome.health, outcome.cause), (Health::Down, Cause::Refused), "{outcome:?}");
}

#[tokio::test]
async fn nobody_there_is_refused_at_once() {
    let absent = nobody_udp().await;
    let outcome = run(&prober(probe(&[absent])), AMPLE).await;
    let words = format!("{absent}: refused");
    assert_eq!((outcome.health, outcome.cause, outcome.detail), (Health::Down, Cause::Refused, words));
    assert!(outcome.took < AMPLE);
}

#[tokio::test]
async fn silence_is_late_over_both_transports() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let outcome = run(&prober(probe(&[address])), SHORT).await;
    let words = format!("{address}: no answer within 300 ms");
    assert_eq!((outcome.health, outcome.cause, outcome.detail), (Health::Down, Cause::TimedOut, words));

    let deaf = Deaf::new().await;
    let tcp = |address| DnsProbe { transport: DnsTransport::Tcp, ..probe(&[address]) };
    let outcome = run(&prober(tcp(deaf.address)), SHORT).await;
    assert_eq!((outcome.health, outcome.cause), (Health::Down, Cause::TimedOut), "{outcome:?}");

    // Accepted by the kernel, and never read.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let outcome = run(&prober(tcp(listener.local_addr().unwrap())), SHORT).await;
    assert_eq!((outcome.health, outcome.cause), (Health::Down, Cause::TimedOut), "{outcome:?}");
    assert!(outcome.detail.ends_with("over TCP: no answer within 300 ms"), "{outcome:?}");
}

#[tokio::test]
async fn garbage_over_tcp_is_down() {
    let cases: [(Vec<u8>, &str); 3] = [
        (vec![], "connection closed before an answer"),
        (vec![0, 200, 1, 2, 3], "connection closed before an answer"),
        ([&[0, 16][..], &[7; 16]].concat(), "over TCP: 16 bytes that do not answer the query"),
    ];
    for (bytes, words) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut query = [0; 256];
            let _ = stream.read(&mut query).await;
            let _ = stream.write_all(&bytes).await;
        });
        let outcome = run(&prober(DnsProbe { transport: DnsTransport::Tcp, ..probe(&[address]) }), AMPLE).await;
        assert_eq!(outcome.health, Health::Down, "{outcome:?}");
        assert!(outcome.detail.contains(words), "{outcome:?}, not {words}");
    }
}

#[tokio::test]
async fn every_server_must_answer() {
    let good = answering(|query| vec![good(query)]).await;
    let bad = answering(|query| vec![answer(query, Rcode::REFUSED, |_| ())]).await;
    let outcome = run(&prober(probe(&[good, bad])), AMPLE).await;
    assert_eq!((outcome.health, outcome.detail), (Health::Down, format!("{bad}: REFUSED, expected NOERROR")));
}

proptest! {
    /// Whatever comes, it is judged or passed over.
    #[test]
    fn no_bytes_are_too_strange(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
        noise in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let config = dns(([127, 0, 0, 1], 53).into());
        let prober = DnsProber::new(&config);
        let expected = prober.ready.as_ref().unwrap();
        let query = prober.query(&expected.question).unwrap();
        let mut bytes = answer(&query.bytes, Rcode::NOERROR, |answer| {
            let alias = (Name::vec_from_str(NAME).unwrap(), 60, Cname::new(Name::vec_from_str("end.example.net").unwrap()));
            answer.push(alias).unwrap();
            answer.push(address("end.example.net", GOOD)).unwrap();
        });
        bytes.extend(noise);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let ask = Ask { question: &expected.question, query, asked: (Protocol::Udp, config.servers[0]), strays: 0 };
        if let Some(answer) = ask.answer(&bytes) {
            let _ = expected.judge(&answer, &config);
        }
    }
}
