use anycast_core::{Health, Outcome, config::ProbeConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

use super::{
    super::{
        Prober,
        testing::{AMPLE, Deaf, SHORT, http, nobody, run},
    },
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
    let config = HttpProbe { authority: "www.example.net:8080".to_owned(), ..http(address) };
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
    let target = HttpTarget::Name { host: "localhost".to_owned(), port: 1 };
    let prober = HttpProber::new(&HttpProbe { target, ..http("127.0.0.1:1".parse().unwrap()) });
    let _hangs = prober.lookup.clone().try_acquire_owned().unwrap();
    let expected = Finding::unknown("cannot look up localhost: no answer within 300 ms");
    assert_eq!(prober.run(SHORT).await, expected);
}

#[tokio::test]
async fn a_request_that_cannot_be_made_proves_nothing() {
    let config = HttpProbe { authority: "a\nb".to_owned(), ..http("127.0.0.1:1".parse().unwrap()) };
    let outcome = run(&Prober::new(&ProbeConfig::Http(config)), AMPLE).await;
    assert_eq!(outcome.health, Health::Unknown);
    assert!(outcome.detail.starts_with("cannot ask for http://127.0.0.1:1/healthz?full=1: "), "{outcome:?}");
}
