//! One request whose answer takes long: a connection that is open while routes move.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Args;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, Response, Uri,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::HOST,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time};

use super::{
    HTTP_PORT, LONGEST_NAME, NODE_HEADER,
    output::{self, Lines},
    record::{self, How, Nanos, Record},
};

/// How long nothing may come: the service sends a byte every 100 ms.
const SILENCE: Duration = Duration::from_secs(3);
/// How much of an answer is read.
const LONGEST: usize = 1 << 20;

/// `slow`.
#[derive(Debug, Args)]
pub struct Slow {
    /// Whom to ask
    #[arg(long, value_name = "ADDRESS")]
    target: IpAddr,
    /// How long the answer is to take
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    seconds: u64,
    /// Where the service answers HTTP
    #[arg(long, value_name = "PORT", default_value_t = HTTP_PORT)]
    port: u16,
}

impl Slow {
    /// Asks once.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let mut lines = Lines::new();
        let (sent, started) = (Nanos::now(), Instant::now());
        let (mut flow, mut node) = (0, None);
        let end = tokio::select! {
            end = self.ask(&mut lines, &mut flow, &mut node) => end,
            ended = output::ending() => ended.and_then(|()| bail!("given up by the asker")),
        };
        lines.say(&Record::Request(record::Request {
            how: How::Long,
            target: self.target,
            name: None,
            flow,
            sent,
            took: end.is_ok().then(|| u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)),
            node,
            error: end.err().map(|error| format!("{error:#}, {} ms after it began", started.elapsed().as_millis())),
        }));
        Ok(())
    }

    async fn ask(&self, lines: &mut Lines, flow: &mut u16, node: &mut Option<String>) -> anyhow::Result<()> {
        let mut answer = patiently(async {
            let asking = Asking::connect(SocketAddr::new(self.target, self.port)).await?;
            *flow = asking.flow();
            asking.get(&format!("/slow?seconds={}", self.seconds)).await
        })
        .await?;
        *node = Some(answer.node().to_owned());
        lines.say(&Record::Open { at: Nanos::now(), node: answer.node().to_owned() });
        while patiently(answer.next()).await?.is_some() {}
        Ok(())
    }
}

async fn patiently<T>(step: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    match time::timeout(SILENCE, step).await {
        Ok(result) => result,
        Err(_) => bail!("silence for {} s", SILENCE.as_secs()),
    }
}

/// A connection for one request. It closes when this, or the answer, is dropped.
#[derive(Debug)]
pub(super) struct Asking {
    sender: http1::SendRequest<Empty<Bytes>>,
    connection: Connection,
    target: SocketAddr,
    flow: u16,
}

/// The task that moves the bytes.
#[derive(Debug)]
struct Connection(tokio::task::JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Asking {
    pub(super) async fn connect(target: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(target).await.context("connect")?;
        let flow = stream.local_addr()?.port();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // What goes wrong is told to whoever waits for the answer.
        let connection = Connection(tokio::spawn(async move { drop(connection.await) }));
        Ok(Self { sender, connection, target, flow })
    }

    /// The source port.
    pub(super) const fn flow(&self) -> u16 {
        self.flow
    }

    /// Asks, and waits for the head of the answer.
    pub(super) async fn get(mut self, path: &str) -> anyhow::Result<Answer> {
        let request = Request::get(path.parse::<Uri>()?).header(HOST, self.target.to_string()).body(Empty::new())?;
        let response = self.sender.send_request(request).await.map_err(in_words)?;
        if !response.status().is_success() {
            bail!("answered with {}", response.status());
        }
        let node = node(&response).context("the answer names no node")?;
        Ok(Answer { node, body: response.into_body(), read: 0, _connection: self.connection })
    }
}

fn node(response: &Response<Incoming>) -> Option<String> {
    let name = response.headers().get(NODE_HEADER)?.to_str().ok()?;
    (1..=LONGEST_NAME).contains(&name.len()).then(|| name.to_owned())
}

/// An answer, as far as it has come.
#[derive(Debug)]
pub(super) struct Answer {
    node: String,
    body: Incoming,
    read: usize,
    _connection: Connection,
}

impl Answer {
    /// Who answers.
    pub(super) fn node(&self) -> &str {
        &self.node
    }

    /// How many bytes come next; nothing at the end.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<usize>> {
        let Some(frame) = self.body.frame().await else { return Ok(None) };
        let length = frame.map_err(in_words)?.data_ref().map_or(0, Bytes::len);
        self.read += length;
        if self.read > LONGEST {
            bail!("the answer does not end");
        }
        Ok(Some(length))
    }
}

/// What the kernel said, where it is the cause: `Connection reset by peer`, not `error reading a body from connection`.
fn in_words(error: hyper::Error) -> anyhow::Error {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    anyhow::anyhow!("{cause}")
}
