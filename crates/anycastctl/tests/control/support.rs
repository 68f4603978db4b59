//! A stand-in for the agent, and a run of the program against it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// What it answers.
pub(crate) enum Reply {
    /// A status and a whole body.
    Body(u16, String),
    /// Bytes as they are; then the connection is closed.
    Raw(Vec<u8>),
    /// Chunks of a stream, which stays open for a while.
    Stream(Vec<String>, Duration),
    /// Nothing at all, for a while.
    Hang,
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Heard {
    /// Method and target.
    pub(crate) line: String,
    /// The body.
    pub(crate) body: String,
}

/// The agent's end of a control socket.
pub(crate) struct Agent {
    dir: TempDir,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Agent {
    /// Answers each request by its method and target, and how many came before.
    pub(crate) fn start(answer: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("control.sock")).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&heard), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                thread::spawn(move || serve(&stream.unwrap(), &log, answer.as_ref()));
            }
        });
        Self { dir, heard }
    }

    /// Always the same answer.
    pub(crate) fn saying(status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::start(move |_, _| Reply::Body(status, body.clone()))
    }

    /// Always the same bytes.
    pub(crate) fn babbling(bytes: &[u8]) -> Self {
        let bytes = bytes.to_vec();
        Self::start(move |_, _| Reply::Raw(bytes.clone()))
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }

    /// What it was asked.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Runs the program against it.
    pub(crate) fn run(&self, line: &str) -> Ran {
        run_at(&self.socket(), line)
    }
}

fn serve(stream: &UnixStream, log: &Mutex<Vec<Heard>>, answer: &dyn Fn(&str, usize) -> Reply) {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).unwrap() == 0 || header == "\r\n" {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let line = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let before = {
        let mut log = log.lock().unwrap();
        log.push(Heard { line: line.clone(), body: String::from_utf8(body).unwrap() });
        log.len() - 1
    };
    reply(stream, answer(&line, before));
}

/// The other end may have seen enough at any time, so nothing here insists on being heard.
fn reply(mut stream: &UnixStream, reply: Reply) {
    match reply {
        Reply::Body(status, body) => {
            let head = format!("HTTP/1.1 {status} Word\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes());
        }
        Reply::Raw(bytes) => {
            let _ = stream.write_all(&bytes);
        }
        Reply::Stream(chunks, open) => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            for chunk in chunks {
                let _ = stream.write_all(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes());
            }
            thread::sleep(open);
            let _ = stream.write_all(b"0\r\n\r\n");
        }
        Reply::Hang => thread::sleep(Duration::from_secs(30)),
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code.
    pub(crate) code: Option<i32>,
    /// What it printed.
    pub(crate) out: String,
    /// What it complained of.
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// The program, ready to run against a socket; words are split at spaces.
pub(crate) fn command(socket: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anycastctl"));
    command.args(line.split_whitespace()).env("ANYCASTD_SOCKET", socket).stdin(Stdio::null());
    command
}

/// Runs the program against a socket.
pub(crate) fn run_at(socket: &Path, line: &str) -> Ran {
    command(socket, line).output().unwrap().into()
}

/// A node with one service and nothing else.
pub(crate) fn status() -> Value {
    json!({"node": "edge-1", "asn": 65010, "router_id": "192.0.2.2", "region": null, "country": null,
        "version": "0.1.0", "started": "2026-11-20T10:18:00Z", "uptime_seconds": 60.0, "stopping": false,
        "healthy": false, "problems": [], "neighbors": [], "news": 1.50,
        "addresses": [{"address": "203.0.113.53", "bound": true, "foreign": false, "interface": "lo",
            "since": "2026-11-20T10:18:00Z", "problem": null}],
        "services": [{"name": "dns", "state": "up", "health": "up", "since": "2026-11-20T10:19:00Z",
            "since_seconds": 30.0, "prefixes": [{"prefix": "203.0.113.0/24", "announced": true, "notes": []}],
            "addresses": ["203.0.113.53"], "checks": [], "drain": null, "news": "kept"}]})
}

/// An order accepted.
pub(crate) fn ordered() -> String {
    json!({"services": [{"service": "dns", "moves": ["203.0.113.0/24"], "stays": {}, "note": "withdrawn in 30 s",
        "phase": "graceful_shutdown"}]})
    .to_string()
}

/// An event as it travels.
pub(crate) fn event(id: usize) -> String {
    json!({"id": id, "at": "2026-11-23T20:16:21.042Z", "kind": "service", "subject": "dns", "text": "up → down"})
        .to_string()
}
