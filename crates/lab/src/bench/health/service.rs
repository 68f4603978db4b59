//! What is watched: a server in the node, which is killed and comes back.

use std::process::Stdio;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    time::timeout,
};

use crate::{
    harness::{AMPLE, Lab},
    runner::{Process, Streams},
    tools::record::{Nanos, Record},
};

/// A server (`tool server`) that listens; killed when this is dropped.
#[derive(Debug)]
pub(super) struct Service {
    process: Process,
    /// Right before it listened.
    pub(super) listening: Nanos,
}

impl Service {
    /// Starts one in the edge node; it listens when this returns.
    pub(super) async fn start(lab: &Lab, words: &[&str]) -> anyhow::Result<Self> {
        let tool = lab.runner().tool("edge");
        let argv = [&[tool.as_str(), "tool", "server"], words].concat();
        let streams = Streams { input: Stdio::null(), output: Stdio::piped(), errors: Stdio::inherit() };
        let mut process = lab.runner().spawn("edge", &argv, streams)?;
        let output = process.child.stdout.take().context("the server has no output")?;
        let mut line = String::new();
        timeout(AMPLE, BufReader::new(output).read_line(&mut line)).await.context("the server does not listen")??;
        match serde_json::from_str(&line).context("the server does not listen")? {
            Record::Ready { at } => Ok(Self { process, listening: at }),
            other => anyhow::bail!("the server says {other:?}"),
        }
    }

    /// Kills it, and says when that was: right before the call.
    pub(super) fn kill(&self) -> anyhow::Result<Nanos> {
        let at = Nanos::now();
        self.process.signal(Signal::SIGKILL)?;
        Ok(at)
    }

    /// Kills it and waits until it is gone, and its port free for the next.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        self.kill()?;
        self.gone().await
    }

    /// Waits until it is gone.
    pub(super) async fn gone(mut self) -> anyhow::Result<()> {
        timeout(AMPLE, self.process.wait()).await.context("the server does not end")??;
        Ok(())
    }

    /// Its number, as the machine counts.
    pub(super) fn id(&self) -> anyhow::Result<u32> {
        self.process.child.id().context("the server has ended")
    }
}
