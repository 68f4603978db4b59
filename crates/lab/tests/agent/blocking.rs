//! Nothing that a check meets holds the agent up: servers that send without end, files that cannot be read.

use std::time::Duration;

use serde_json::Value;

use crate::edge::{Edge, PLAIN, V4, story};

/// Four servers, one for each thread that there may be, that never come to an answer: interim answers of HTTP/1.1, and frames of
/// HTTP/2 that carry nothing.
const FLOODS: &str = r#"
import socket, threading
settings = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
floods = {
    8001: b"HTTP/1.1 100 Continue\r\n\r\n",
    8002: settings,
    8003: bytes([0, 0, 8, 6, 0, 0, 0, 0, 0]) + bytes(8),
    8004: bytes([0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
}
def swallow(c):
    try:
        while c.recv(65536): pass
    except OSError: pass
def talk(c, again, first):
    try:
        c.recv(4096)
        threading.Thread(target=swallow, args=[c]).start()
        c.sendall(first)
        while True: c.sendall(again * 1000)
    except OSError: pass
    finally: c.close()
def serve(port, again):
    s = socket.socket(socket.AF_INET6)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("::", port))
    s.listen(16)
    while True:
        c, _ = s.accept()
        threading.Thread(target=talk, args=[c, again, b"" if port == 8001 else settings]).start()
for port, again in floods.items(): threading.Thread(target=serve, args=[port, again]).start()
"#;

/// [`PLAIN`], and beside it a service whose checks are these.
fn with(checks: &str) -> String {
    let other = format!(
        "services:\n  - name: bad\n    addresses: [198.51.100.80]\n    prefixes: [198.51.100.0/24]\n    checks:\n{checks}"
    );
    PLAIN.replacen("services:", &other, 1).replace("timeout: 5s", "timeout: 3s")
}

async fn bad(edge: &Edge) -> anyhow::Result<Vec<Value>> {
    let status = edge.ask(&["status"]).await?;
    let services = status["services"].as_array().cloned().unwrap_or_default();
    let bad = services.iter().find(|service| service["name"] == "bad");
    Ok(bad.and_then(|bad| bad["checks"].as_array().cloned()).unwrap_or_default())
}

/// The service beside is up, was never anything else, and its check went on; nothing was fenced.
async fn nobody_was_held_up(edge: &Edge) -> anyhow::Result<()> {
    let events = edge.ctl(&["events"]).await?.output;
    let fenced = events.lines().any(|line| line.contains("fence") || line.contains("kept from running"));
    let fell =
        events.lines().any(|line| line.contains("web") && (line.contains("→ down") || line.contains("→ unknown")));
    assert!(!fenced && !fell, "{events}");
    let status = edge.ask(&["status"]).await?;
    let web = status["services"].as_array().into_iter().flatten().find(|service| service["name"] == "web").cloned();
    let runs = |web: &Option<Value>| web.as_ref().and_then(|web| web["checks"][0]["runs"].as_u64()).unwrap_or_default();
    let before = runs(&web);
    edge.wait("the check beside goes on", async || {
        let status = edge.ask(&["status"]).await?;
        let web = status["services"].as_array().into_iter().flatten().find(|service| service["name"] == "web").cloned();
        Ok(runs(&web) > before + 5)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_send_without_end_hold_nobody_up() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let check = |number: u16, version: &str| {
            format!(
                "      - {{ name: flood{number}, type: http, url: \"http://198.51.100.80:800{number}/\", http_version: \"{version}\", \
                 interval: 200ms, fast_interval: 100ms, timeout: 200ms }}\n"
            )
        };
        let checks: String =
            [(1, "1.1"), (2, "2"), (3, "2"), (4, "2")].map(|(number, version)| check(number, version)).concat();
        edge.lab.write("edge", "/run/floods.py", FLOODS).await?;
        edge.lab.start("edge", &["/usr/bin/python3", "/run/floods.py"], "/var/log/floods.log").await?;
        edge.configure(&with(&checks)).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        edge.wait("each flood is down, and has been for some runs", async || {
            let checks = bad(edge).await?;
            let down =
                |check: &Value| check["health"] == "down" && check["failures"].as_u64().is_some_and(|runs| runs > 20);
            Ok(checks.len() == 4 && checks.iter().all(down))
        })
        .await?;
        for check in bad(edge).await? {
            let words = check["last"]["detail"].as_str().unwrap_or_default();
            let known = ["more than 512 KiB were sent before an answer", "connected, no answer within 200 ms"];
            assert!(known.contains(&words), "{check}");
            // A busy machine may keep the agent from running now and then; a flood is not to look like that.
            let count = |what: &str| check[what].as_u64().unwrap_or(u64::MAX);
            assert!(count("inconclusive") < count("failures") / 4, "{check}");
        }
        nobody_was_held_up(edge).await
    };
    story(told, Edge::new().await).await
}

/// A pipe that nobody writes to hangs as a file system does whose server is away.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_read_take_one_thread_however_often_it_is_reloaded() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let checks = |timeout: u32| {
            format!(
                "      - {{ name: secure, type: tls, address: \"198.51.100.80:443\", tls: {{ name: x.example.net, ca_file: /run/ca.fifo }}, \
                 interval: 300ms, timeout: {timeout}ms }}\n"
            )
        };
        edge.run(&["mkfifo", "/run/ca.fifo"]).await?;
        edge.configure(&with(&checks(200))).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        let threads = async || {
            let count = r#"grep -h Threads "/proc/$(pidof anycastd)/status" | tr -dc 0-9"#;
            anyhow::Ok(edge.run(&["sh", "-c", count]).await?.trim().parse::<usize>()?)
        };
        let says = async |words: &str| {
            let words = words.to_owned();
            edge.wait(&format!("it says {words:?}"), async || {
                let checks = bad(edge).await?;
                Ok(checks
                    .iter()
                    .any(|check| check["last"]["detail"].as_str().is_some_and(|said| said.contains(&words))))
            })
            .await
        };
        says("/run/ca.fifo").await?;
        let before = threads().await?;
        for number in 0..30 {
            edge.configure(&with(&checks(150 + number))).await?;
            edge.reload().await?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        says("/run/ca.fifo: the file system has not answered for").await?;
        // Idle threads go after ten seconds; those that hang do not.
        let told = r#"test "$(grep -c 'a thread waits there' /var/log/anycastd.log)" = 1"#;
        edge.wait("it is told once", async || Ok(edge.said(&["sh", "-c", told]).await?.status.success())).await?;
        let most = before + 8;
        edge.wait("no more threads hang", async || Ok(threads().await? <= most)).await?;
        assert_eq!(bad(edge).await?[0]["health"], "unknown");
        // And orders are obeyed meanwhile.
        edge.run(&["anycastctl", "withdraw", "web", "--now", "--wait"]).await?;
        edge.run(&["anycastctl", "announce", "web"]).await?;
        edge.announced(V4).await?;
        nobody_was_held_up(edge).await
    };
    story(told, Edge::new().await).await
}
