//! A Docker daemon of our own, which touches nothing of the machine's network, and what is asked of it.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::{exit::Complaint, setup};

/// No single order takes as long; a root of Debian is read in some seconds.
const AMPLE: Duration = Duration::from_secs(120);
/// How long the daemon may take to answer, and to end.
const DAEMON: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);

/// The daemon; with this it ends, and so does all that it runs.
#[derive(Debug)]
pub(super) struct Docker {
    client: PathBuf,
    daemon: Child,
    home: tempfile::TempDir,
}

impl Docker {
    /// Starts it, in a directory of its own.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let client = find("docker")?;
        // Below /var, which is on a disk: images on a memory file system or an overlay would be copied for each container.
        let home = tempfile::Builder::new().prefix("anycast-lab-docker-").tempdir_in("/var/lib");
        let home = home.context("cannot make a directory for Docker in /var/lib")?;
        let log = std::fs::File::create(home.path().join("log"))?;
        let mut command = Command::new(find("dockerd")?);
        for (option, name) in
            [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid"), ("--config-file", "config.json")]
        {
            command.arg(option).arg(home.path().join(name));
        }
        std::fs::write(home.path().join("config.json"), "{}")?;
        command.arg("--host").arg(address(home.path()));
        command.args([
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
            "--ip-forward=false",
            "--ip-masq=false",
        ]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0).kill_on_drop(true);
        let daemon = command.spawn().context("cannot start dockerd")?;
        let mut docker = Self { client, daemon, home };
        docker.answers().await?;
        Ok(docker)
    }

    async fn answers(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + DAEMON;
        loop {
            if self.run(&["version"]).await.is_ok() {
                return Ok(());
            }
            let ended = self.daemon.try_wait()?.is_some();
            if ended || Instant::now() >= deadline {
                let log = std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
                let last = log.lines().rev().take(5).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>();
                let message = format!("this machine cannot run dockerd:\n{}", last.join("\n"));
                return Err(Complaint::unavailable(message));
            }
            sleep(POLL).await;
        }
    }

    /// An order, with what it says.
    pub(super) async fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let said = self.said(arguments).await?;
        if !said.status.success() {
            let errors = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
            bail!("`docker {}` failed ({}): {}", arguments.join(" "), said.status, errors.trim());
        }
        Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
    }

    /// An order, however it ends.
    pub(super) async fn said(&self, arguments: &[&str]) -> anyhow::Result<std::process::Output> {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let what = || format!("`docker {}`", arguments.join(" "));
        timeout(AMPLE, command.output()).await.with_context(|| format!("{} takes too long", what()))?.with_context(what)
    }

    /// The client, to be told what to do.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.client);
        command.arg("--host").arg(address(self.home.path()));
        command
    }

    /// How somebody gets at the node.
    pub(super) fn shell(&self) -> String {
        format!("docker --host {} exec --interactive --tty node bash", address(self.home.path()))
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // Containers are killed first: the daemon waits for those that it asks to end.
        let mut command = std::process::Command::new(&self.client);
        command.arg("--host").arg(address(self.home.path())).args(["rm", "--force", "node", "network"]);
        let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let Some(id) = self.daemon.id().and_then(|id| i32::try_from(id).ok()) else { return };
        let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        let deadline = std::time::Instant::now() + DAEMON;
        while std::time::Instant::now() < deadline && matches!(self.daemon.try_wait(), Ok(None)) {
            std::thread::sleep(POLL);
        }
    }
}

fn address(home: &Path) -> String {
    format!("unix://{}", home.join("socket").display())
}

fn find(program: &str) -> anyhow::Result<PathBuf> {
    setup::find(program).ok_or_else(|| Complaint::unavailable(format!("there is no {program} on this machine")))
}
