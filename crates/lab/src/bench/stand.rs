//! Where it is measured: the lab, the neighbors, and the capture at the neighbors' end.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use anyhow::{Context as _, bail};
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    net::{TcpListener, TcpStream},
    process::ChildStdout,
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    harness::{AMPLE, Lab},
    peer::{Peer, message},
    programs::{self, Programs},
    runner::{Process, Streams, namespaces::Namespaces},
    tools::record::{Message, Record},
    topology::Topology,
};

/// How long after what was waited for more may come that belongs to it.
const AFTER: Duration = Duration::from_millis(500);
/// How soon somebody who does not answer yet is dialled again.
const AGAIN: Duration = Duration::from_millis(1);
/// What the neighbors propose, less than any speaker does: a KEEPALIVE every 3 s.
const HOLD: u16 = 9;

/// The lab.
pub(super) struct Stand {
    pub(super) lab: Lab,
}

impl Stand {
    pub(super) async fn set(programs: &Programs) -> anyhow::Result<Self> {
        let topology = Topology::read(&programs::repository().join("lab/speaker.clab.yml"))?;
        Ok(Self { lab: Lab::of(Namespaces::up(topology, programs).await?) })
    }

    /// The n-th neighbor, before anybody dials it.
    pub(super) fn listen(&self, n: u8) -> anyhow::Result<TcpListener> {
        self.lab.listen("peer", SocketAddr::from(([192, 0, 2, n], message::PORT)), None)
    }

    /// Comes up, as the n-th neighbor, with a speaker that dials us, or that is dialled.
    pub(super) async fn meet(&self, dials: bool, listener: &TcpListener, n: u8) -> anyhow::Result<Peer> {
        let open = message::open(HOLD, [192, 0, 2, n].into());
        if dials {
            return Peer::establish(listener, &open).await;
        }
        let deadline = Instant::now() + AMPLE;
        loop {
            // It may listen before it knows us.
            let met = async { Peer::new(self.dial()?)?.meet(&open).await };
            match met.await {
                Ok(peer) => return Ok(peer),
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => sleep(AGAIN).await,
            }
        }
    }

    fn dial(&self) -> anyhow::Result<TcpStream> {
        let stream = self.lab.within("peer", || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.connect_timeout(&SocketAddr::from(([192, 0, 2, 254], message::PORT)).into(), AMPLE)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })?;
        Ok(TcpStream::from_std(stream.into())?)
    }

    /// Captures at the neighbors' end from now on.
    pub(super) async fn wire(&self) -> anyhow::Result<Wire> {
        let runner = self.lab.runner();
        let streams = Streams { input: Stdio::piped(), output: Stdio::piped(), errors: Stdio::null() };
        let mut capture = runner.spawn("peer", &[&runner.tool("peer"), "tool", "capture"], streams)?;
        let output = capture.child.stdout.take().context("the capture has no output")?;
        let mut wire = Wire { lines: BufReader::with_capacity(1 << 20, output).lines(), _capture: capture };
        let deadline = Instant::now() + AMPLE;
        while !matches!(wire.next(deadline).await?, Record::Ready { .. }) {}
        Ok(wire)
    }
}

/// What passes between the two nodes.
pub(super) struct Wire {
    lines: Lines<BufReader<ChildStdout>>,
    _capture: Process,
}

impl Wire {
    /// The UPDATEs of the speaker, until `last` says so of one.
    pub(super) async fn updates(&mut self, mut last: impl FnMut(&Message) -> bool) -> anyhow::Result<Vec<Message>> {
        let deadline = Instant::now() + 2 * AMPLE;
        let mut updates = Vec::new();
        loop {
            match self.next(deadline).await? {
                Record::Missed { packets, .. } => bail!("the capture has missed {packets} packets"),
                Record::Message(message) if message.kind == "UPDATE" && message.from.ip() == message::SPEAKER => {
                    let enough = last(&message);
                    updates.push(message);
                    if enough {
                        return Ok(updates);
                    }
                }
                _ => {}
            }
        }
    }

    /// The next UPDATE of the speaker that withdraws something, however long it takes. Cancel safe.
    pub(super) async fn withdraw(&mut self) -> anyhow::Result<Message> {
        loop {
            let line = self.lines.next_line().await?.context("the capture has ended")?;
            match serde_json::from_str(&line)? {
                Record::Missed { packets, .. } => bail!("the capture has missed {packets} packets"),
                Record::Message(message) if message.from.ip() == message::SPEAKER && !message.withdrawn.is_empty() => {
                    return Ok(message);
                }
                _ => {}
            }
        }
    }

    /// The UPDATEs of the speaker until there is a pause: what it says after it has said all.
    pub(super) async fn rest(&mut self) -> anyhow::Result<Vec<Message>> {
        let mut rest = Vec::new();
        let pause = async |wire: &mut Self| timeout(AFTER, wire.updates(|_| true)).await.ok();
        while let Some(more) = pause(self).await {
            rest.extend(more?);
        }
        Ok(rest)
    }

    async fn next(&mut self, deadline: Instant) -> anyhow::Result<Record> {
        let line = timeout_at(deadline, self.lines.next_line()).await.context("what is waited for does not come")??;
        Ok(serde_json::from_str(&line.context("the capture has ended")?)?)
    }
}
