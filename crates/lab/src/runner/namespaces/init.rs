//! A node's first process: makes the node's own view of the machine, then reaps what ends in it.
//!
//! It is process 1 of the node's PID namespace, so nothing in the node outlives it; and it ends when its input does, so it
//! does not outlive whoever brings the lab up, however that one ends. A lab that is to stay is told so: `stay`.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead as _, Write as _},
    process::ExitCode,
    thread,
};

use anyhow::Context as _;
use nix::{
    errno::Errno,
    sys::{
        signal::{SigSet, Signal},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{sethostname, setsid},
};
use serde::{Deserialize, Serialize};

use super::mounts;
use crate::topology::Bind;

/// The line that ends the tie to whoever brought the node up.
pub(super) const STAY: &str = "stay\n";

/// What a node is to be; the first line of input.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Birth {
    pub(super) hostname: String,
    pub(super) sysctls: BTreeMap<String, String>,
    pub(super) binds: Vec<Bind>,
}

/// What became of it; the only line of output.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    Ready,
    Failed(String),
}

/// The hidden verb `init`: to be started as process 1 of a node's fresh namespaces.
#[must_use]
pub fn run() -> ExitCode {
    let report = match be_born() {
        Ok(()) => Report::Ready,
        Err(error) => Report::Failed(format!("{error:#}")),
    };
    let failed = matches!(report, Report::Failed(_));
    let line = serde_json::to_string(&report).unwrap_or_default();
    let told = writeln!(io::stdout(), "{line}");
    if failed || told.is_err() {
        return ExitCode::FAILURE;
    }
    reap()
}

fn be_born() -> anyhow::Result<()> {
    // Before any thread is there, so that none of them takes the signal.
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    children.thread_block().context("cannot block SIGCHLD")?;
    let mut line = String::new();
    io::stdin().read_line(&mut line).context("cannot read what to be")?;
    let birth: Birth = serde_json::from_str(&line).context("cannot understand what to be")?;
    thread::spawn(hold_the_lifeline);
    // Out of the terminal's reach.
    setsid().context("cannot begin a session")?;
    sethostname(&birth.hostname).context("cannot set the host name")?;
    mounts::arrange(&birth.binds)?;
    for (key, value) in &birth.sysctls {
        let file = format!("/proc/sys/{}", key.replace('.', "/"));
        fs::write(&file, value).with_context(|| format!("cannot set {key} to {value}"))?;
    }
    Ok(())
}

/// Ends the process, and with it the node, when nobody holds the other end any more.
fn hold_the_lifeline() {
    let mut line = String::new();
    let told = io::stdin().lock().read_line(&mut line);
    if told.is_err() || line != STAY {
        std::process::exit(0);
    }
}

/// Reaps, for ever.
fn reap() -> ExitCode {
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => {
                if children.wait().is_err() {
                    return ExitCode::FAILURE;
                }
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return ExitCode::FAILURE,
        }
    }
}
