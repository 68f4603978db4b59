//! Clients that ask the service all the time, from where the peer is.

use std::process::Stdio;

use anycast_lab::{
    harness::{AMPLE, Lab},
    runner::{self, Streams},
    tools::record::Record,
};
use anyhow::Context as _;
use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::ChildStdout,
    task::JoinHandle,
};

/// The addresses of the service, and how the peer's node reaches them whatever its daemon does with what it hears.
const WAYS: [[&str; 2]; 2] = [["203.0.113.80", "192.0.2.2"], ["2001:db8:53::80", "2001:db8:1::2"]];

pub(crate) struct Load {
    probe: runner::Process,
    counted: JoinHandle<anyhow::Result<(usize, usize)>>,
}

impl Load {
    pub(crate) async fn begin(lab: &Lab) -> anyhow::Result<Self> {
        let serve = ["anycast-lab", "tool", "serve", "--node", "edge", "--region", "lab"];
        lab.start("edge", &serve, "/var/log/service.log").await?;
        let tool = lab.runner().tool("peer");
        let mut argv = vec![tool.as_str(), "tool", "probe", "--udp-every", "2"];
        for [address, via] in WAYS {
            lab.run("peer", &["ip", "route", "add", address, "via", via, "metric", "4000"]).await?;
            argv.extend(["--target", address]);
        }
        let streams = Streams { input: Stdio::piped(), output: Stdio::piped(), errors: Stdio::inherit() };
        let mut probe = lab.runner().spawn("peer", &argv, streams)?;
        let output = probe.child.stdout.take().context("it has no output")?;
        Ok(Self { probe, counted: tokio::spawn(count(output)) })
    }

    /// How many requests were answered, and how many were lost.
    pub(crate) async fn end(self) -> anyhow::Result<(usize, usize)> {
        self.probe.signal(Signal::SIGTERM)?;
        tokio::time::timeout(AMPLE, self.counted).await??
    }
}

async fn count(output: ChildStdout) -> anyhow::Result<(usize, usize)> {
    let (mut lines, mut answered, mut lost) = (BufReader::new(output).lines(), 0, 0);
    while let Some(line) = lines.next_line().await? {
        if let Record::Request(request) = serde_json::from_str(&line)? {
            *(if request.took.is_some() { &mut answered } else { &mut lost }) += 1;
        }
    }
    Ok((answered, lost))
}
