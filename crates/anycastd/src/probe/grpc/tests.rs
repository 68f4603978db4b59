use std::{convert::Infallible, net::SocketAddr};

use anycast_core::{
    Cause, Health, Outcome,
    config::{ProbeConfig, TlsOptions},
};
use hyper::service::service_fn;
use tonic_health::{
    ServingStatus as Told,
    server::{HealthReporter, health_reporter},
};

use super::{
    super::{
        Prober,
        testing::{AMPLE, SHORT, answers, nobody, run, serve2},
        tls::tests::{Authority, GOOD},
    },
    *,
};

/// A server as others have it, and what tells it of the services' health.
async fn server(acceptor: Option<tokio_rustls::TlsAcceptor>) -> (SocketAddr, HealthReporter) {
    let (reporter, health) = health_reporter();
    let service = service_fn(move |request| {
        let mut health = health.clone();
        async move { Service::call(&mut health, request).await }
    });
    (serve2(acceptor, service).await, reporter)
}

fn prober(addresses: &[SocketAddr], service: &str, tls: Option<TlsOptions>) -> Prober {
    Prober::new(&ProbeConfig::Grpc(GrpcProbe { addresses: addresses.to_vec(), service: service.to_owned(), tls }))
}

async fn ask(address: SocketAddr, service: &str) -> Outcome {
    run(&prober(&[address], service, None), AMPLE).await
}

/// Compares the words but for a time at their end.
fn check(outcome: &Outcome, health: Health, words: &str) {
    let fits = words.strip_suffix("in …").map_or(outcome.detail == words, |start| outcome.detail.starts_with(start));
    assert!(outcome.health == health && fits, "expected {health} and {words:?}, got {outcome:?}");
}

#[tokio::test]
async fn the_server_says_how_its_services_are() {
    let (address, reporter) = server(None).await;
    for (told, health, words) in [
        (Told::Serving, Health::Up, "a.v1.A: SERVING in …"),
        (Told::NotServing, Health::Down, "a.v1.A: NOT_SERVING (its gRPC health)"),
        (Told::Unknown, Health::Down, "a.v1.A: UNKNOWN (its gRPC health)"),
    ] {
        reporter.set_service_status("a.v1.A", told).await;
        check(&ask(address, "a.v1.A").await, health, words);
    }
    check(&ask(address, "").await, Health::Up, "SERVING in …");
    check(&ask(address, "b.v1.B").await, Health::Down, "the server does not know the service b.v1.B");
    let both = run(&prober(&[address, address], "", None), AMPLE).await;
    check(&both, Health::Up, "all 2 addresses: SERVING in …");
}

#[tokio::test]
async fn the_certificate_is_judged() {
    let authority = Authority::new("ours");
    let acceptor = authority.acceptor(&["grpc.example.net"], GOOD, &[b"h2"]);
    let (address, _reporter) = server(Some(acceptor)).await;
    let named = |name: &str| TlsOptions { name: name.to_owned(), ca_file: Some(authority.file()), verify: true };
    let outcome = run(&prober(&[address], "", Some(named("grpc.example.net"))), AMPLE).await;
    check(&outcome, Health::Up, "SERVING in …");
    let outcome = run(&prober(&[address], "", Some(named("www.example.net"))), AMPLE).await;
    check(&outcome, Health::Down, "certificate not valid for name www.example.net");
    // And nothing is said in the clear to who wants TLS.
    let outcome = ask(address, "").await;
    assert_eq!(outcome.health, Health::Down, "{outcome:?}");
}

/// A server that answers every call in one way.
async fn always(status: &'static str, message: &'static str, body: &'static [u8]) -> SocketAddr {
    use http_body_util::Full;
    let answer = move |_| async move {
        let answer = Response::builder().header("content-type", "application/grpc");
        let answer = if status.is_empty() { answer } else { answer.header("grpc-status", status) };
        let answer = if message.is_empty() { answer } else { answer.header("grpc-message", message) };
        Ok::<_, Infallible>(answer.body(Full::new(bytes::Bytes::from_static(body))).unwrap())
    };
    serve2(None, service_fn(answer)).await
}

#[tokio::test]
async fn other_answers_are_down_in_words() {
    let cases = [
        (always("12", "no%20such", b"").await, "the server has no grpc.health.v1.Health (UNIMPLEMENTED: no such)"),
        (always("5", "", b"").await, "the server does not tell its own health (service \"\" unknown)"),
        (always("14", "overloaded", b"").await, "UNAVAILABLE: overloaded"),
        (always("7", "", b"").await, "PERMISSION_DENIED"),
        (
            always("0", "", b"\0\0\0\0\x02\x08\x03").await,
            "the server does not tell its own health (service \"\" unknown)",
        ),
        (always("0", "", b"\0\0\0\0\x02\x08\x09").await, "status 9, which the protocol does not have"),
        (
            always("", "", b"<html>hello</html>").await,
            "the server does not speak gRPC health: its answer is no message of gRPC",
        ),
    ];
    for (address, words) in cases {
        check(&ask(address, "").await, Health::Down, words);
    }
    // What only has to be down, whatever it is called.
    for body in [&b""[..], b"\0\0\0\0\x02\x08", b"\0\0\0\0\x01\xff", b"\0\xff\xff\xff\xff", b"\x01\0\0\0\0"] {
        let address = always("0", "", body).await;
        let outcome = run(&prober(&[address], "", None), SHORT).await;
        assert_eq!(outcome.health, Health::Down, "{body:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn what_is_no_grpc_is_down() {
    let absent = nobody().await;
    let outcome = ask(absent, "").await;
    check(&outcome, Health::Down, &format!("connect {absent}: refused"));
    assert_eq!(outcome.cause, Cause::Refused);
    let web = answers(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    check(&ask(web, "").await, Health::Down, "the answer is not HTTP/2 (does it want TLS?)");
    let words = "connection closed before an answer (does it want TLS?)";
    check(&ask(answers(b"").await, "").await, Health::Down, words);
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let outcome = run(&prober(&[silent.local_addr().unwrap()], "", None), SHORT).await;
    check(&outcome, Health::Down, "connected, no answer within 300 ms");
    assert_eq!(outcome.cause, Cause::TimedOut);
}
