use std::collections::BTreeMap;

use anycast_core::{
    Cause, Health, Outcome, Secret,
    config::{HttpMethod, ProbeConfig, TlsOptions},
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

use crate::blocking::Span;

use super::{
    super::{
        Prober,
        testing::{AMPLE, Deaf, SHORT, answers, http, nobody, run, serve2},
        tls::tests::{Authority, GOOD},
    },
    judge::BODY_LIMIT,
    request::AGENT,
    *,
};

/// What the server does once it has read the request.
#[derive(Clone)]
enum Answer {
    /// Writes this and closes.
    Whole(Vec<u8>),
    /// Writes this and keeps the connection open.
    Held(Vec<u8>),
    /// Writes the first, then the second again and again.
    Drip(Vec<u8>, Vec<u8>),
}

/// Serves one answer to every connection, and hands out the requests.
async fn serve(answer: Answer) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (requests, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
            let _ = requests.send(String::from_utf8(request).unwrap());
            let answer = answer.clone();
            tokio::spawn(async move {
                let _ = write(&mut stream, answer).await;
            });
        }
    });
    (address, seen)
}

async fn write(stream: &mut TcpStream, answer: Answer) -> io::Result<()> {
    match answer {
        Answer::Whole(bytes) => stream.write_all(&bytes).await?,
        Answer::Held(bytes) => {
            stream.write_all(&bytes).await?;
            stream.read_to_end(&mut Vec::new()).await?;
        }
        Answer::Drip(head, drop) => {
            stream.write_all(&head).await?;
            loop {
                stream.write_all(&drop).await?;
                time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    Ok(())
}

async fn ask(answer: Answer, body: Option<&str>, timeout: Duration) -> Outcome {
    let (address, _requests) = serve(answer).await;
    let config = HttpProbe { expect_body: body.map(str::to_owned), ..http(address) };
    run(&Prober::new(&ProbeConfig::Http(config)), timeout).await
}

fn whole(text: &str) -> Answer {
    Answer::Whole(text.as_bytes().to_vec())
}

/// Compares the words but for a time at their end.
fn check(outcome: &Outcome, health: Health, words: &str) {
    let fits = words.strip_suffix("in …").map_or(outcome.detail == words, |start| outcome.detail.starts_with(start));
    assert!(outcome.health == health && fits, "expected {health} and {words:?}, got {outcome:?}");
}

#[tokio::test]
async fn the_status_decides() {
    let cases = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Health::Up, "status 200 in …"),
        ("HTTP/1.1 204 No Content\r\n\r\n", Health::Up, "status 204 in …"),
        ("HTTP/1.0 200 OK\r\n\r\nok", Health::Up, "status 200 in …"),
        ("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", Health::Down, "status 503, expected 200-299"),
        (
            "HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1:1/\r\n\r\n",
            Health::Down,
            "status 301, expected 200-299 (redirects are not followed)",
        ),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Health::Up, "status 200 in …"),
    ];
    for (answer, health, words) in cases {
        check(&ask(whole(answer), None, AMPLE).await, health, words);
    }
}

#[tokio::test]
async fn a_status_is_expected_from_several_ranges() {
    let (address, _requests) = serve(whole("HTTP/1.1 301 Moved\r\ncontent-length: 0\r\n\r\n")).await;
    let config = |expect_status| ProbeConfig::Http(HttpProbe { expect_status, ..http(address) });
    let outcome = run(&Prober::new(&config(vec![200..=204, 301..=301])), AMPLE).await;
    check(&outcome, Health::Up, "status 301 in …");
    let outcome = run(&Prober::new(&config(vec![200..=204, 404..=404])), AMPLE).await;
    check(&outcome, Health::Down, "status 301, expected 200-204, 404 (redirects are not followed)");
}

#[tokio::test]
async fn the_body_is_searched_where_a_text_is_expected() {
    let padded = |length: usize| {
        let body = format!("{}ok", "-".repeat(length));
        whole(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
    };
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n--o\r\n3\r\nk--\r\n0\r\n\r\n";
    let cases = [
        (padded(0), Health::Up, "status 200, body has \"ok\", in …"),
        (padded(BODY_LIMIT - 2), Health::Up, "status 200, body has \"ok\", in …"),
        (padded(BODY_LIMIT - 1), Health::Down, "first 64 KiB of the body lack \"ok\""),
        (padded(2_000_000), Health::Down, "first 64 KiB of the body lack \"ok\""),
        (whole(chunked), Health::Up, "status 200, body has \"ok\", in …"),
        (whole("HTTP/1.1 200 OK\r\n\r\nuntil the end: ok"), Health::Up, "status 200, body has \"ok\", in …"),
        (whole("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine"), Health::Down, "body lacks \"ok\""),
        (whole("HTTP/1.1 204 No Content\r\n\r\n"), Health::Down, "body lacks \"ok\""),
        (whole("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfine"), Health::Down, "connection closed within the body"),
        // Found is enough: the rest need not come.
        (
            Answer::Held(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok".to_vec()),
            Health::Up,
            "status 200, body has \"ok\", in …",
        ),
    ];
    for (answer, health, words) in cases {
        check(&ask(answer, Some("ok"), AMPLE).await, health, words);
    }
}

#[tokio::test]
async fn an_empty_text_is_in_every_body() {
    let outcome = ask(whole("HTTP/1.1 204 No Content\r\n\r\n"), Some(""), AMPLE).await;
    check(&outcome, Health::Up, "status 204, body has \"\", in …");
}

#[tokio::test]
async fn what_is_not_http_is_down() {
    let many: String = (0..200).map(|number| format!("x-{number}: y\r\n")).collect();
    let cases = [
        (whole("SSH-2.0-OpenSSH_9.2\r\n"), "the answer is not HTTP/1.1"),
        (Answer::Whole(vec![0xff; 3000]), "the answer is not HTTP/1.1"),
        (whole("HTTP/1.1 ok\r\n\r\n"), "the answer is not HTTP/1.1"),
        (whole(""), "connection closed before an answer"),
        (whole("HTTP/1.1 200 OK\r\ncont"), "connection closed before an answer"),
        (whole(&format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(200_000))), "header of the answer is too large"),
        (whole(&format!("HTTP/1.1 200 OK\r\n{many}\r\n")), "header of the answer is too large"),
    ];
    for (answer, words) in cases {
        check(&ask(answer, None, AMPLE).await, Health::Down, words);
    }
}

#[tokio::test]
async fn what_comes_too_slowly_is_down_at_the_timeout() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let cases = [
        (Answer::Held(Vec::new()), "connected, no answer within 300 ms"),
        (Answer::Held(ok.into()), "connected, no answer within 300 ms"),
        (Answer::Drip(ok.into(), b"x: y\r\n".to_vec()), "connected, no answer within 300 ms"),
        (Answer::Drip(format!("{ok}\r\n").into(), b"-".to_vec()), "status 200, but no whole body within 300 ms"),
    ];
    for (answer, words) in cases {
        check(&ask(answer, Some("ok"), SHORT).await, Health::Down, words);
    }
}

#[tokio::test]
async fn the_request_is_what_the_configuration_says() {
    let (address, mut requests) = serve(whole("HTTP/1.1 200 OK\r\n\r\n")).await;
    let config = HttpProbe { authority: Some("www.example.net:8080".to_owned()), ..http(address) };
    run(&Prober::new(&ProbeConfig::Http(config)), AMPLE).await;
    let agent = format!("user-agent: {AGENT}");
    let mut lines: Vec<String> = requests.recv().await.unwrap().lines().map(str::to_owned).collect();
    lines.retain(|line| !line.is_empty());
    let expected =
        ["GET /healthz?full=1 HTTP/1.1", "host: www.example.net:8080", &agent, "accept: */*", "connection: close"];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_down() {
    let absent = nobody().await;
    let outcome = run(&Prober::new(&ProbeConfig::Http(http(absent))), AMPLE).await;
    check(&outcome, Health::Down, &format!("connect {absent}: refused"));

    let deaf = Deaf::new().await;
    let outcome = run(&Prober::new(&ProbeConfig::Http(http(deaf.address))), SHORT).await;
    assert_eq!(outcome.health, Health::Down);
    assert!(outcome.detail.starts_with(&format!("connect {}: no answer within ", deaf.address)), "{outcome:?}");
}

#[tokio::test]
async fn addresses_are_tried_in_order_and_share_the_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (there, absent, deaf) = (listener.local_addr().unwrap(), nobody().await, Deaf::new().await);
    let stream = connect_in_order(&[absent, deaf.address, there], SHORT * 3).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), there);
    let failure = connect_in_order(&[absent, absent], AMPLE).await.unwrap_err();
    assert_eq!(failure.health, Health::Down);
    assert_eq!(failure.detail, format!("connect {absent}: refused; connect {absent}: refused"));
    assert_eq!(failure.refused, [(anycast_core::config::Protocol::Tcp, absent); 2]);
}

#[tokio::test]
async fn a_name_is_looked_up() {
    let (address, _requests) = serve(whole("HTTP/1.1 200 OK\r\n\r\n")).await;
    let named = |host: &str| {
        let target = HttpTarget::Name { host: host.to_owned(), port: address.port() };
        Prober::new(&ProbeConfig::Http(HttpProbe { target, ..http(address) }))
    };
    check(&run(&named("localhost"), AMPLE).await, Health::Up, "status 200 in …");
    // Not a name at all: no resolver is asked.
    let outcome = run(&named("not a name"), AMPLE).await;
    assert_eq!(outcome.health, Health::Unknown);
    assert!(outcome.detail.starts_with("cannot look up not a name: "), "{outcome:?}");
}

#[tokio::test]
async fn a_lookup_that_hangs_is_not_repeated() {
    let target = HttpTarget::Name { host: "hangs.test".to_owned(), port: 1 };
    let prober = || HttpProber::new(&HttpProbe { target: target.clone(), ..http("127.0.0.1:1".parse().unwrap()) });
    let slot = prober().lookup.unwrap();
    // As many as may hang there.
    let mut hang = vec![];
    while let Ok(taken) = slot.take(Span::of(Duration::from_millis(50))).await {
        hang.push(taken);
    }
    let expected = Finding::unknown("cannot look up hangs.test: no answer within 300 ms");
    assert_eq!(prober().run(SHORT).await, expected, "nor by the prober after a reload");
}

#[tokio::test]
async fn a_request_that_cannot_be_made_proves_nothing() {
    let config = HttpProbe { authority: Some("a\nb".to_owned()), ..http("127.0.0.1:1".parse().unwrap()) };
    let outcome = run(&Prober::new(&ProbeConfig::Http(config)), AMPLE).await;
    assert_eq!(outcome.health, Health::Unknown);
    assert!(outcome.detail.starts_with("cannot ask for http://127.0.0.1:1/healthz?full=1: "), "{outcome:?}");
}

fn header(answer: &str, expected: &[(&str, Option<&str>)]) -> (Answer, BTreeMap<String, Option<String>>) {
    let expected = expected.iter().map(|(name, text)| ((*name).to_owned(), text.map(str::to_owned))).collect();
    (whole(&format!("HTTP/1.1 200 OK\r\n{answer}content-length: 0\r\n\r\n")), expected)
}

#[tokio::test]
async fn fields_of_the_answer_are_looked_at() {
    let cases = [
        (header("Content-Type: text/html; charset=utf-8\r\n", &[("content-type", Some("text/html"))]), Ok(())),
        (header("ETag: x\r\n", &[("etag", None)]), Ok(())),
        (header("via: a\r\nvia: b\r\n", &[("via", Some("b"))]), Ok(())),
        (header("", &[("etag", None)]), Err("header lacks `etag`")),
        (header("", &[("etag", Some("x"))]), Err("header lacks `etag`")),
        (header("ETag: y\r\n", &[("etag", Some("x"))]), Err("header `etag` is \"y\" and lacks \"x\"")),
        (header("ETag:\r\n", &[("etag", Some("x"))]), Err("header `etag` is \"\" and lacks \"x\"")),
    ];
    for ((answer, expect_headers), expected) in cases {
        let (address, _requests) = serve(answer).await;
        let config = HttpProbe { expect_headers, ..http(address) };
        let outcome = run(&Prober::new(&ProbeConfig::Http(config)), AMPLE).await;
        match expected {
            Ok(()) => check(&outcome, Health::Up, "status 200 in …"),
            Err(words) => check(&outcome, Health::Down, words),
        }
    }
}

#[tokio::test]
async fn fields_and_the_method_are_sent() {
    let (address, mut requests) = serve(whole("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")).await;
    let headers = [("authorization", "Bearer hunter2"), ("user-agent", "me")];
    let headers = headers.map(|(name, value)| (name.to_owned(), Secret::new(value.into()))).into();
    let config = HttpProbe { method: HttpMethod::Head, authority: None, headers, ..http(address) };
    let prober = Prober::new(&ProbeConfig::Http(config));
    check(&run(&prober, AMPLE).await, Health::Up, "status 200 in …");
    let request = requests.recv().await.unwrap();
    assert!(request.starts_with("HEAD /healthz?full=1 HTTP/1.1\r\n"), "{request}");
    for line in [format!("host: {address}"), "authorization: Bearer hunter2".to_owned(), "user-agent: me".to_owned()] {
        assert_eq!(request.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line}: {request}");
    }
    assert!(!request.contains(AGENT), "{request}");
    assert!(!format!("{prober:?}").contains("hunter2"), "{prober:?}");
}

#[tokio::test]
async fn every_address_is_asked() {
    let (good, _first) = serve(whole("HTTP/1.1 200 OK\r\n\r\n")).await;
    let (busy, _second) = serve(whole("HTTP/1.1 503 Busy\r\n\r\n")).await;
    let absent = nobody().await;
    let ask = async |all: &[SocketAddr]| {
        let target = HttpTarget::Addresses(all.to_vec());
        run(&Prober::new(&ProbeConfig::Http(HttpProbe { target, ..http(good) })), AMPLE).await
    };
    check(&ask(&[good, good]).await, Health::Up, "all 2 addresses: status 200 in …");
    check(&ask(&[good, busy]).await, Health::Down, &format!("{busy}: status 503, expected 200-299"));
    check(&ask(&[absent, good]).await, Health::Down, &format!("connect {absent}: refused"));
}

/// Says what it was asked, in a field.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let question = format!("{} {} {:?}", request.method(), request.uri(), request.version());
    let answer = Response::builder().header("x-question", question);
    Ok(answer.body(Full::new(Bytes::from_static(b"all is ok"))).unwrap())
}

fn http2(address: SocketAddr, tls: Option<TlsOptions>, question: &str) -> Prober {
    let expect_headers = [("x-question".to_owned(), Some(question.to_owned()))].into();
    let config = HttpProbe {
        tls,
        version: HttpVersion::Http2,
        authority: Some("www.example.net".to_owned()),
        expect_headers,
        expect_body: Some("is ok".to_owned()),
        ..http(address)
    };
    Prober::new(&ProbeConfig::Http(config))
}

#[tokio::test]
async fn http2_is_spoken_in_the_clear_and_over_tls() {
    let plain = serve2(None, service_fn(echo)).await;
    let prober = http2(plain, None, "GET http://www.example.net/healthz?full=1 HTTP/2.0");
    check(&run(&prober, AMPLE).await, Health::Up, "status 200, body has \"is ok\", in …");

    let authority = Authority::new("ours");
    let tls = || Some(TlsOptions { name: "a.example.net".to_owned(), ca_file: Some(authority.file()), verify: true });
    let question = "GET https://www.example.net/healthz?full=1 HTTP/2.0";
    let acceptor = |alpn: &[&[u8]]| Some(authority.acceptor(&["a.example.net"], GOOD, alpn));
    let good = serve2(acceptor(&[&b"h2"[..], b"http/1.1"]), service_fn(echo)).await;
    check(&run(&http2(good, tls(), question), AMPLE).await, Health::Up, "status 200, body has \"is ok\", in …");
    for alpn in [&[][..], &[&b"http/1.1"[..]]] {
        let old = serve2(acceptor(alpn), service_fn(echo)).await;
        let outcome = run(&http2(old, tls(), question), AMPLE).await;
        check(&outcome, Health::Down, "the server does not offer HTTP/2 over TLS");
    }
}

#[tokio::test]
async fn what_is_not_http2_is_down() {
    let cases: [(&'static [u8], &str); 4] = [
        (b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "the answer is not HTTP/2"),
        (b"", "connection closed before an answer"),
        // An empty SETTINGS frame, then GOAWAY with ENHANCE_YOUR_CALM.
        (
            b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b",
            "the server ended it before an answer: ENHANCE_YOUR_CALM",
        ),
        (&[0xff; 64], "the answer is not HTTP/2"),
    ];
    for (bytes, words) in cases {
        let address = answers(bytes).await;
        check(&run(&http2(address, None, "x"), AMPLE).await, Health::Down, words);
    }
    let deaf = Deaf::new().await;
    let outcome = run(&http2(deaf.address, None, "x"), SHORT).await;
    assert!(outcome.detail.starts_with(&format!("connect {}: no answer within ", deaf.address)), "{outcome:?}");
}

/// hyper moves the bytes of HTTP/2 in tasks of its own.
#[tokio::test]
async fn nothing_goes_on_when_a_run_is_over() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let prober = http2(silent.local_addr().unwrap(), None, "x");
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    check(&run(&prober, SHORT).await, Health::Down, "connected, no answer within 300 ms");
    // And the connection is closed.
    let (mut stream, _) = silent.accept().await.unwrap();
    let mut said = Vec::new();
    let _ = time::timeout(AMPLE, stream.read_to_end(&mut said)).await.expect("it is closed");
    let deadline = Instant::now() + AMPLE;
    while tasks() > before {
        assert!(Instant::now() < deadline, "{} tasks", tasks());
        time::sleep(Duration::from_millis(5)).await;
    }
}

/// How a server goes on without end once it has read the request.
struct Flood {
    first: &'static [u8],
    again: &'static [u8],
}

/// hyper passes over interim answers, over frames without content, and looks at no timeout meanwhile; so it is not the time
/// that ends such a run. The server writes as fast as the kernel takes it, on a thread of its own.
const FLOODS: [(HttpVersion, &str, Flood); 5] = [
    (HttpVersion::Http1, "interim answers", Flood { first: b"", again: b"HTTP/1.1 100 Continue\r\n\r\n" }),
    (HttpVersion::Http1, "early hints", Flood { first: b"", again: b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" }),
    (HttpVersion::Http2, "SETTINGS", Flood { first: SETTINGS, again: SETTINGS }),
    (HttpVersion::Http2, "PING", Flood { first: SETTINGS, again: b"\0\0\x08\x06\0\0\0\0\0\0\0\0\0\0\0\0\0" }),
    // One octet more for the connection each time: 2^31 of them are an error, and do not fit.
    (HttpVersion::Http2, "WINDOW_UPDATE", Flood { first: SETTINGS, again: b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01" }),
];
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

fn flood(Flood { first, again }: Flood) -> SocketAddr {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut other = stream.try_clone().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            // What the client says is taken, or it would wait for us.
            std::thread::spawn(move || while other.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {});
            let again = again.repeat(4096);
            let _ = stream.write_all(first);
            while stream.write_all(&again).is_ok() {}
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_comes_to_the_answer_is_given_up_and_holds_nobody_up() {
    let (good, _requests) = serve(whole("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    for (version, what, means) in FLOODS {
        let address = flood(means);
        let config = HttpProbe { version, ..http(address) };
        // More of them than there are threads.
        let floods = (0..4).map(|_| {
            let prober = Prober::new(&ProbeConfig::Http(config.clone()));
            tokio::spawn(async move { run(&prober, AMPLE).await })
        });
        let floods: Vec<_> = floods.collect();
        let other = run(&Prober::new(&ProbeConfig::Http(http(good))), AMPLE).await;
        check(&other, Health::Up, "status 200 in …");
        for outcome in futures_util::future::join_all(floods).await {
            let outcome = outcome.unwrap();
            assert_eq!((outcome.health, outcome.cause), (Health::Down, Cause::Answered), "{what}: {outcome:?}");
            assert_eq!(outcome.detail, "more than 512 KiB were sent before an answer", "{what}");
        }
    }
}

/// Slower than would reach the cap: the timeout ends it.
#[tokio::test]
async fn a_server_that_takes_its_time_over_no_answer_has_timed_out() {
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
    let outcome = ask(Answer::Drip(interim.to_vec(), interim.to_vec()), None, SHORT).await;
    check(&outcome, Health::Down, "connected, no answer within 300 ms");
    assert_eq!(outcome.cause, Cause::TimedOut);
}
