//! The page, and what it asks for, as a client sees them.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use super::*;
use crate::agent::tests::idle;

const AMPLE: Duration = Duration::from_secs(30);

/// An agent with nothing to do, and its listener.
struct Node {
    address: SocketAddr,
    agent: Handle,
    running: JoinHandle<()>,
    serving: JoinHandle<()>,
    followers: Followers,
    _home: tempfile::TempDir,
}

impl Node {
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let (run, agent) = idle(home.path());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let followers = Followers::default();
        let serving = serve(listener, agent.clone(), metrics::Instruments::new().unwrap(), followers.clone());
        Self { address, agent, running: tokio::spawn(run), serving: tokio::spawn(serving), followers, _home: home }
    }

    /// Sends a request, which ends the connection, and gives all of the answer.
    async fn ask(&self, method: &str, path: &str, fields: &str) -> String {
        let mut stream = self.send(method, path, &format!("Connection: close\r\n{fields}")).await;
        let mut answer = Vec::new();
        timeout(AMPLE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        String::from_utf8(answer).unwrap()
    }

    async fn send(&self, method: &str, path: &str, fields: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let host = if fields.contains("Host:") { "" } else { "Host: 127.0.0.1\r\n" };
        let request = format!("{method} {path} HTTP/1.1\r\n{host}{fields}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn get(&self, path: &str) -> String {
        self.ask("GET", path, "").await
    }

    /// Follows the events; gives what was heard once it has all of `until` in it.
    async fn follow(&self, fields: &str, until: &[&str]) -> (TcpStream, String) {
        let mut stream = self.send("GET", "/api/events", fields).await;
        let heard = hear(&mut stream, until).await;
        (stream, heard)
    }

    async fn happens(&self, text: &'static str) {
        self.agent.order(move |agent| agent.report_own(text.to_owned())).await.unwrap();
    }
}

async fn hear(stream: &mut TcpStream, until: &[&str]) -> String {
    let mut heard = String::new();
    let reading = async {
        while !until.iter().all(|wanted| heard.contains(wanted)) {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(read > 0, "it has ended after {heard}");
            heard.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        }
    };
    timeout(AMPLE, reading).await.unwrap_or_else(|_| panic!("it says no {until:?}"));
    heard
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next().unwrap();
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The ids of the events in a stream, in their order.
fn ids(heard: &str) -> Vec<&str> {
    heard.lines().filter_map(|line| line.strip_prefix("id: ")).collect()
}

#[tokio::test]
async fn each_answer_has_its_type_and_its_guards() {
    let node = Node::new().await;
    let answers = [
        ("/", "200", "text/html; charset=utf-8"),
        ("/assets/page.css", "200", "text/css; charset=utf-8"),
        ("/assets/page.js", "200", "text/javascript; charset=utf-8"),
        ("/assets/parts.js", "200", "text/javascript; charset=utf-8"),
        ("/assets/icon.svg", "200", "image/svg+xml"),
        ("/api/status", "200", "application/json"),
        ("/api/history", "200", "application/json"),
        ("/api/explain?target=nothing", "404", "application/json"),
        ("/api/explain", "400", "application/json"),
        ("/api/explain?target=%ff", "400", "application/json"),
        ("/api", "404", "text/plain; charset=utf-8"),
        ("/assets/../main.rs", "404", "text/plain; charset=utf-8"),
        ("/assets/", "404", "text/plain; charset=utf-8"),
    ];
    for (path, status, kind) in answers {
        let answer = node.get(path).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        assert_eq!(field(&answer, "content-type"), Some(kind), "{path}");
        let policy = field(&answer, "content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; ") && !policy.contains("unsafe"), "{path}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(field(&answer, name), Some(value), "{path}");
        }
        let head = node.ask("HEAD", path, "").await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")) && body(&head).is_empty(), "{path}: {head}");
        let post = node.ask("POST", path, "").await;
        assert!(post.starts_with("HTTP/1.1 405 ") && field(&post, "allow") == Some("GET, HEAD"), "{path}: {post}");
    }
    let told: anycast_api::StatusNow = serde_json::from_str(body(&node.get("/api/status").await)).unwrap();
    assert_eq!(told.status.asn, 65010);
    let head = node.ask("HEAD", "/api/events", "").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && field(&head, "content-type") == Some("text/event-stream"), "{head}");
}

#[tokio::test]
async fn a_name_that_is_not_ours_is_refused_but_for_scrapers() {
    let node = Node::new().await;
    let name = node.agent.ask(|agent| agent.node_name().to_owned()).await.unwrap();
    let own = format!("{}:9273", name.to_uppercase());
    let hosts = [
        ("127.0.0.1:1", true),
        ("[::1]", true),
        ("localhost:9273", true),
        (&own, true),
        ("evil.example", false),
        ("a b", false),
    ];
    for (host, good) in hosts {
        let field = format!("Host: {host}\r\n");
        for path in ["/", "/api/status", "/assets/page.js", "/api/events"] {
            let answer = node.ask("HEAD", path, &field).await;
            let status = if good { "200" } else { "421" };
            // What is no name at all may be refused before it comes to us.
            let refused = host.contains(' ') && answer.starts_with("HTTP/1.1 400 ");
            assert!(refused || answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host} {path}: {answer}");
        }
    }
    let twice = node.ask("GET", "/", "Host: 127.0.0.1\r\nHost: 127.0.0.1\r\n").await;
    assert!(twice.starts_with("HTTP/1.1 400 "), "{twice}");
    for path in ["/metrics", "/healthz"] {
        let answer = node.ask("GET", path, "Host: prometheus.example\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    }
}

#[tokio::test]
async fn pages_of_others_get_nothing() {
    let node = Node::new().await;
    for (site, path, status) in [
        ("cross-site", "/api/events", "403"),
        ("same-site", "/api/status", "403"),
        ("cross-site", "/assets/icon.svg", "403"),
        ("cross-site", "/", "200"),
        ("same-origin", "/api/status", "200"),
        ("none", "/api/status", "200"),
    ] {
        let answer = node.ask("HEAD", path, &format!("Sec-Fetch-Site: {site}\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{site} {path}: {answer}");
    }
}

#[tokio::test]
async fn who_comes_again_is_told_what_has_happened_meanwhile() {
    let node = Node::new().await;
    node.happens("one\n\ndata: two").await;
    let (_first, heard) = node.follow("", &["data: two", "event: status"]).await;
    let last = (*ids(&heard).last().unwrap()).to_owned();
    assert!(heard.contains(r"one\n\ndata: two"), "{heard}");

    node.happens("three").await;
    let (_again, heard) = node.follow(&format!("Last-Event-ID: {last}\r\n"), &["three"]).await;
    let (process, number) = last.split_once('-').unwrap();
    let next = format!("{process}-{}", number.parse::<u64>().unwrap() + 1);
    assert_eq!(ids(&heard), [next.as_str()], "{heard}");

    // Of a process before this one, or of nobody: all is new.
    for other in ["1-4000", "what", "-"] {
        let (_other, heard) = node.follow(&format!("Last-Event-ID: {other}\r\n"), &["three"]).await;
        assert!(heard.contains("data: two") && !heard.contains("event: missed"), "{heard}");
    }
    let mut stream = node.send("GET", &format!("/api/events?after={last}"), "").await;
    assert_eq!(ids(&hear(&mut stream, &["three"]).await), [next.as_str()]);
}

#[tokio::test]
async fn what_happens_is_told_and_how_all_is_since() {
    let node = Node::new().await;
    let (mut stream, _) = node.follow("", &["event: status"]).await;
    node.happens("now").await;
    let heard = hear(&mut stream, &["\"now\"", "event: status"]).await;
    assert!(heard.find("\"now\"") < heard.rfind("event: status"), "{heard}");
    // Where nothing happens the status is told all the same.
    hear(&mut stream, &["event: status"]).await;
    node.running.abort();
    hear(&mut stream, &["event: bye\ndata: {\"reason\":\"end\"}\n\n"]).await;
    assert!(node.ask("GET", "/api/events", "").await.starts_with("HTTP/1.1 503 "));
    assert!(node.get("/api/status").await.starts_with("HTTP/1.1 503 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_is_told_that_another_program_goes_on() {
    let node = Node::new().await;
    let mut following = Vec::new();
    for _ in 0..2 {
        following.push(node.follow("", &["event: status"]).await.0);
    }
    let sent_away = timeout(AMPLE, node.followers.send_away(2 * AMPLE)).await.expect("they have heard it");
    for stream in following {
        // It is with them, and not on its way: everything may end now.
        let (mut stream, mut heard) = (stream.into_std().unwrap(), Vec::new());
        let more = std::io::Read::read_to_end(&mut stream, &mut heard);
        let heard = String::from_utf8(heard).unwrap();
        assert!(heard.contains("event: bye\ndata: {\"reason\":\"upgrade\"}\n\n"), "{heard}, and then {more:?}");
    }
    // They come again at once, and wait for whoever goes on.
    let mut again = node.send("GET", "/api/events", "").await;
    let taken_in = timeout(Duration::from_millis(100), hear(&mut again, &["HTTP/1.1 "])).await;
    assert!(taken_in.is_err(), "nobody is taken in by one that is to end");
    drop(sent_away);
    hear(&mut again, &["event: status"]).await;
}

#[tokio::test]
async fn those_who_follow_leave_room_for_scrapers() {
    let node = Node::new().await;
    let mut following = Vec::new();
    for _ in 0..8 {
        following.push(node.follow("", &["event: status"]).await.0);
    }
    let one_more = node.get("/api/events").await;
    assert!(one_more.starts_with("HTTP/1.1 503 ") && field(&one_more, "retry-after") == Some("5"), "{one_more}");
    for path in ["/metrics", "/healthz", "/api/status", "/"] {
        assert!(node.get(path).await.starts_with("HTTP/1.1 200 "), "{path}");
    }
    following.pop();
    // It is seen at the next word to it at the latest.
    let admitted = async {
        while !node.follow("", &["HTTP/1.1 "]).await.1.starts_with("HTTP/1.1 200 ") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(AMPLE, admitted).await.expect("a place is free again");
    assert!(!node.serving.is_finished());
}

/// Nothing comes from elsewhere, and nothing that is said can become anything but text.
#[test]
fn the_page_is_whole_and_writes_no_html() {
    let [page, style, parts, script, icon] = [
        include_str!("assets/page.html"),
        include_str!("assets/page.css"),
        include_str!("assets/parts.js"),
        include_str!("assets/page.js"),
        include_str!("assets/icon.svg"),
    ];
    const NAMESPACE: &str = "http://www.w3.org/2000/svg";
    for text in [page, style, parts, script, icon] {
        let text = text.replace(NAMESPACE, "");
        for bad in ["http:", "https:", "@import", "url("] {
            assert!(!text.contains(bad), "{bad}");
        }
    }
    for bad in
        ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "DOMParser", "srcdoc"]
    {
        assert!(!script.contains(bad) && !parts.contains(bad), "{bad}");
    }
    for bad in ["style=", " onclick", " onload", "<style", "javascript:"] {
        assert!(!page.contains(bad), "{bad}");
    }
}
