//! Where the nodes of a topology run: in namespaces of this machine, or in containers that containerlab deployed.

pub mod containerlab;
pub mod namespaces;

use std::{
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use futures_util::future::try_join;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{io::AsyncReadExt as _, process::Child, time::timeout};

use crate::topology::Topology;

/// A lab that is up.
///
/// Everything that is done to a node goes through here, so that probes, captures and orders run the same way wherever the
/// nodes are.
pub trait Runner: Send + Sync {
    /// What runs.
    fn topology(&self) -> &Topology;

    /// Starts `argv` in `node`, in all of its namespaces, standard streams as given. The program does not outlive the node.
    fn spawn(&self, node: &str, argv: &[&str], stdio: Streams) -> anyhow::Result<Process>;

    /// Starts `argv` in `node` for somebody who sits at this terminal.
    fn attach(&self, node: &str, argv: &[&str]) -> anyhow::Result<Process>;

    /// The path, as seen in `node`, of this very program: it brings the lab's own tools.
    fn tool(&self, node: &str) -> String;
}

/// The standard streams of a program in a node.
#[derive(Debug)]
pub struct Streams {
    /// Its input.
    pub input: Stdio,
    /// Its output.
    pub output: Stdio,
    /// Its errors.
    pub errors: Stdio,
}

impl Streams {
    /// No input; output and errors to be read.
    #[must_use]
    pub fn captured() -> Self {
        Self { input: Stdio::null(), output: Stdio::piped(), errors: Stdio::piped() }
    }
}

/// A program in a node.
#[derive(Debug)]
pub struct Process {
    /// The program, or the client that stands for it; killed when this is dropped.
    pub child: Child,
    /// Where the program is, when the child only stands for it.
    pub(crate) remote: Option<containerlab::Remote>,
}

impl Process {
    /// Sends it a signal; to one that has ended none.
    ///
    /// # Errors
    /// When it may not be signalled, or cannot be found in its container.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        // Until the child is reaped, which its handle knows, the number is its own.
        let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) else { return Ok(()) };
        match &self.remote {
            Some(remote) => remote.signal(signal),
            None => kill(Pid::from_raw(id), signal).with_context(|| format!("cannot send {signal} to process {id}")),
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        if let Some(remote) = &mut self.remote {
            remote.set_ended(status);
        }
        Ok(status)
    }

    /// To be told, once it was waited for, that an interrupt came from the terminal: to the program itself or, and then this
    /// returns true, only to the client that stands for it. That has ended without its program, which is killed when this is
    /// dropped.
    pub const fn interrupted(&mut self) -> bool {
        match &mut self.remote {
            Some(remote) => {
                remote.set_interrupted();
                true
            }
            None => false,
        }
    }
}

/// What a program that has ended said.
#[derive(Debug)]
pub struct Said {
    /// How it ended.
    pub status: ExitStatus,
    /// Its output.
    pub output: String,
    /// Its errors.
    pub errors: String,
}

/// Runs a program in a node to its end.
///
/// # Errors
/// When it cannot be started or has not ended, output and all, within `limit`.
pub async fn run(runner: &dyn Runner, node: &str, argv: &[&str], limit: Duration) -> anyhow::Result<Said> {
    let mut process = runner.spawn(node, argv, Streams::captured())?;
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let (out, err) = (process.child.stdout.take(), process.child.stderr.take());
    let ended = async {
        let reading = try_join(read(out, &mut output), read(err, &mut errors));
        let (status, _) = try_join(process.wait(), reading).await?;
        io::Result::Ok(status)
    };
    let status = timeout(limit, ended)
        .await
        .with_context(|| format!("{node}: `{}` has not ended within {limit:?}", argv.join(" ")))?
        .with_context(|| format!("{node}: `{}`", argv.join(" ")))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Said { status, output: text(&output), errors: text(&errors) })
}

/// Runs a program in a node to its end, and gives its output.
///
/// # Errors
/// When it cannot be started, has not ended within `limit`, or says that it failed.
pub async fn output(runner: &dyn Runner, node: &str, argv: &[&str], limit: Duration) -> anyhow::Result<String> {
    let Said { status, output, errors } = run(runner, node, argv, limit).await?;
    if !status.success() {
        let said = if errors.trim().is_empty() { output.trim() } else { errors.trim() };
        bail!("{node}: `{}` failed ({status}): {said}", argv.join(" "));
    }
    Ok(output)
}

async fn read<R: tokio::io::AsyncRead + Unpin>(from: Option<R>, to: &mut Vec<u8>) -> io::Result<()> {
    if let Some(mut from) = from {
        from.read_to_end(to).await?;
    }
    Ok(())
}
