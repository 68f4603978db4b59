//! The lab's web service, and ends without a word.

use std::process::Stdio;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use tokio::time::timeout;

use super::{AMPLE, Lab};
use crate::runner::{Process, Streams};

/// Starts the web service in a node.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn serve(lab: &Lab, node: &str, region: &str) -> anyhow::Result<Process> {
    let tool = lab.runner().tool(node);
    lab.runner().spawn(node, &[&tool, "tool", "serve", "--node", node, "--region", region], silent())
}

/// Kills a program, and waits for its end.
///
/// # Errors
/// When it does not end.
pub(crate) async fn end(mut process: Process) -> anyhow::Result<()> {
    process.signal(Signal::SIGKILL)?;
    timeout(AMPLE, process.wait()).await.context("a program that is killed does not end")??;
    Ok(())
}

/// No input, and nothing that is read.
pub(crate) fn silent() -> Streams {
    Streams { input: Stdio::null(), output: Stdio::null(), errors: Stdio::null() }
}
