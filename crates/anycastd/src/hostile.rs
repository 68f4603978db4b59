//! What comes from those who mean harm, or know no better: ten thousand requests each to the control socket and to the HTTP listener, and
//! clients that hang beside them. Nobody is to be kept from asking, and nothing is to grow.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
    time::timeout,
};

use crate::{
    agent::{OrderDesk, tests::idle},
    control::{self, ControlSocket, Counter, Desk},
    http,
    metrics::Instruments,
    reload::Reloader,
    unread::PATIENCE as PATIENCE_WITH_READERS,
    upgrade::Upgrader,
};

const REQUESTS: u64 = 10_000;
/// What is asked before anything is counted: pools of threads and memory fill.
const WARM: u64 = 2_000;
const AT_A_TIME: u64 = 8;
/// Clients that say nothing, or half of something, all the time; fewer than there are places.
const HANGING: usize = 12;
/// How long a hostile client waits for an answer. What is refused is refused at once; what waits is left.
const PATIENCE: Duration = Duration::from_millis(100);
/// What the allocator and the clients may keep. A leak of one kilobyte a request would be more.
const MAY_GROW: u64 = 8 << 20;
const FOR_EVER: Duration = Duration::from_secs(60);

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// xorshift: the same requests every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.roll(of.len())]
    }

    fn noise(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| u8::try_from(self.roll(256)).unwrap()).collect()
    }
}

fn path(dice: &mut Dice) -> String {
    const PATHS: [&str; 18] = [
        "/v1/status",
        "/v1/explain?target=dns",
        "/v1/explain",
        "/v1/neighbors?name=%ff",
        "/v1/routes?neighbor=%2",
        "/v1/events?since=never",
        "/v1/capture?neighbor=..",
        "/v1/withdraw",
        "/v1/announce",
        "/v1/wait",
        "/v1/probe",
        "/metrics",
        "/healthz",
        "/",
        "/api/status",
        "/api/events?after=1-1",
        "/api/explain?target=%ff",
        "/../../etc/passwd",
    ];
    let path = dice.one(&PATHS).to_owned();
    match dice.roll(6) {
        0 => path + &"a".repeat(dice.roll(20_000)),
        1 => path + "?" + &"x=y&".repeat(dice.roll(3_000)),
        _ => path,
    }
}

fn body(dice: &mut Dice) -> Vec<u8> {
    match dice.roll(8) {
        0 => b"[".repeat(dice.roll(70_000)),
        1 => br#"{"services":"#.repeat(dice.roll(4_000)),
        2 => format!(r#"{{"services":["{}"]}}"#, "a".repeat(dice.roll(60_000))).into_bytes(),
        3 => br#"{"services":[],"timeout_seconds":1e308,"for_seconds":-1}"#.to_vec(),
        4 => br#"{"services":[],"timeout_seconds":86400}"#.to_vec(),
        5 => br#"{"mode":"now","reason":"\u0000\ud800","boot":true}"#.to_vec(),
        6 => {
            let length = dice.roll(4_096);
            dice.noise(length)
        }
        _ => Vec::new(),
    }
}

/// One request, more or less.
fn request(dice: &mut Dice) -> Vec<u8> {
    const METHODS: [&str; 8] = ["GET", "POST", "HEAD", "PUT", "PRI", "CONNECT", "", "G\0T"];
    const HEADS: [&str; 8] = [
        "Host: x",
        "Transfer-Encoding: chunked",
        "Content-Length: -1",
        "Content-Length: 18446744073709551616",
        "Expect: 100-continue",
        "Upgrade: h2c\r\nConnection: Upgrade",
        "X:\0",
        " folded",
    ];
    if dice.roll(10) == 0 {
        let length = dice.roll(2_000);
        return dice.noise(length);
    }
    let body = body(dice);
    let mut text = format!("{} {} HTTP/1.1\r\n", dice.one(&METHODS), path(dice));
    for _ in 0..dice.roll(3) {
        text += dice.one(&HEADS);
        text += "\r\n";
    }
    if dice.roll(20) == 0 {
        text += &"X-Many: many\r\n".repeat(dice.roll(3_000));
    }
    if dice.roll(2) == 0 {
        text += &format!("Content-Length: {}\r\n", body.len() + dice.roll(2) * dice.roll(1_000));
    }
    text += "\r\n";
    let mut bytes = text.into_bytes();
    bytes.extend(body);
    match dice.roll(6) {
        0 => bytes.truncate(dice.roll(bytes.len())),
        1 => {
            for _ in 0..8 {
                let at = dice.roll(bytes.len());
                bytes[at] ^= 1 << dice.roll(8);
            }
        }
        2 => bytes = bytes.repeat(2),
        _ => {}
    }
    bytes
}

/// Sends it, and hears the beginning of the answer, if there is one.
async fn attack(mut stream: impl Stream, request: &[u8], closes: bool) {
    let told = async {
        // It may be closed before all of it is said.
        let _ = stream.write_all(request).await;
        if closes {
            let _ = stream.shutdown().await;
        }
        let _ = stream.read(&mut [0; 4096]).await;
    };
    let _ = timeout(PATIENCE, told).await;
}

async fn attack_many<S: Stream>(from: u64, to: u64, connect: impl AsyncFn() -> S) {
    for seed in (from..to).step_by(usize::try_from(AT_A_TIME).unwrap()) {
        let one = async |seed: u64| {
            let mut dice = Dice((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let request = request(&mut dice);
            attack(connect().await, &request, dice.roll(4) > 0).await;
        };
        futures_util::future::join_all((seed..seed + AT_A_TIME).map(one)).await;
    }
}

/// Asks as one should.
async fn ask(mut stream: impl Stream, path: &str) -> String {
    let asked = async {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    timeout(FOR_EVER, asked).await.expect("it is answered").unwrap_or_else(|error| error.to_string())
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Everything that was opened is closed again, once what hangs has had its time.
async fn settled(most: usize) {
    let end = std::time::Instant::now() + FOR_EVER;
    while descriptors() > most {
        assert!(std::time::Instant::now() < end, "{} descriptors, and {most} before", descriptors());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn besiege<S: Stream + 'static>(connect: impl AsyncFn() -> S, good: &str) {
    let at_rest = descriptors();
    attack_many(0, WARM, &connect).await;
    settled(at_rest).await;
    let before = resident();
    for round in 0..10 {
        let mut hanging = Vec::new();
        for number in 0..HANGING {
            let mut stream = connect().await;
            let head = ["", "GET", "POST /v1/withdraw HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"][number % 3];
            stream.write_all(head.as_bytes()).await.unwrap();
            hanging.push(stream);
        }
        let share = REQUESTS / 10;
        attack_many(WARM + round * share, WARM + (round + 1) * share, &connect).await;
        let answer = ask(connect().await, good).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "round {round}: {answer}");
    }
    settled(at_rest).await;
    let grown = resident().saturating_sub(before);
    assert!(grown < MAY_GROW, "{grown} bytes more than before");
}

/// The control socket of an agent with nothing to do.
async fn controlled(home: &Path) -> (PathBuf, impl Future<Output = ()> + use<>) {
    let (run, agent) = idle(home);
    let path = home.join("control.sock");
    let socket = ControlSocket::bind(&path, None).await.unwrap();
    let operators = Arc::new(BTreeSet::from([nix::unistd::geteuid().as_raw()]));
    let reloader = Reloader::new(agent.clone(), home.join("nothing.yaml"));
    let upgrader = Upgrader::for_tests(agent.clone(), reloader.clone());
    let desk = Desk { agent, orders: OrderDesk::default(), reloader, upgrader, counter: Counter::default(), operators };
    (path, async {
        tokio::join!(run, control::serve(socket, desk));
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_socket_outlives_ten_thousand_hostile_requests() {
    let home = tempfile::tempdir().unwrap();
    let (path, run) = controlled(home.path()).await;
    let running = tokio::spawn(run);
    besiege(async || UnixStream::connect(&path).await.unwrap(), "/v1/status").await;
    assert!(!running.is_finished());
}

/// Asks for something and never reads it, from every place there is; then somebody else asks.
async fn hold_every_place<S: Stream + 'static>(places: usize, connect: impl AsyncFn() -> S, request: &str, good: &str) {
    let mut holding = Vec::new();
    for _ in 0..places {
        let mut stream = connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        holding.push(stream);
    }
    let end = std::time::Instant::now() + FOR_EVER;
    let mut turned_away = 0;
    loop {
        let answer = ask(connect().await, good).await;
        if answer.starts_with("HTTP/1.1 200 OK") {
            break;
        }
        turned_away += 1;
        assert!(std::time::Instant::now() < end, "{answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // They are still there: it is the agent that has let go of them.
    assert!(turned_away > 0 || holding.is_empty(), "nobody was in the way");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_does_not_keep_a_place() {
    let home = tempfile::tempdir().unwrap();
    let (path, run) = controlled(home.path()).await;
    let running = tokio::spawn(run);
    let follow = "GET /v1/events?follow=true HTTP/1.1\r\nHost: x\r\n\r\n";
    hold_every_place(64, async || UnixStream::connect(&path).await.unwrap(), follow, "/v1/status").await;
    assert!(!running.is_finished());
}

/// A follower reads what there is, and then has nothing to read for longer than anybody may leave something unread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_nothing_to_read_stays() {
    let home = tempfile::tempdir().unwrap();
    let (path, run) = controlled(home.path()).await;
    let running = tokio::spawn(run);
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET /v1/events?follow=true HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let read_all = async {
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).await.unwrap() > 0 {}
    };
    assert!(timeout(2 * PATIENCE_WITH_READERS, read_all).await.is_err(), "the agent has closed it");
    assert!(!running.is_finished());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_http_listener_outlives_ten_thousand_hostile_requests() {
    let home = tempfile::tempdir().unwrap();
    let (run, agent) = idle(home.path());
    let running = tokio::spawn(run);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(http::serve(listener, agent, Instruments::new().unwrap(), http::Followers::default()));
    besiege(async || TcpStream::connect(address).await.unwrap(), "/metrics").await;
    assert!(!running.is_finished() && !serving.is_finished());
}

/// As many as there are places ask for one thing after the other, until the kernel takes no more of the answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_does_not_keep_the_scrapers_out() {
    let home = tempfile::tempdir().unwrap();
    let (run, agent) = idle(home.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let running = tokio::spawn(async {
        tokio::join!(run, http::serve(listener, agent, Instruments::new().unwrap(), http::Followers::default()));
    });
    let mut deaf = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        deaf.spawn(async move {
            while stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.is_ok() {}
            // Closed by the agent; this end would be open for as long.
            std::future::pending::<()>().await;
        });
    }
    let asked = timeout(FOR_EVER / 2, ask(TcpStream::connect(address).await.unwrap(), "/metrics")).await;
    assert!(asked.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 OK")));
    assert!(!running.is_finished());
}
