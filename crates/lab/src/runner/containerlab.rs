//! The nodes as containers that `containerlab deploy` made of the same file.
//!
//! A program is started by `docker exec`. Killing that client does not reach the program, so a small wrapper first notes the
//! program's number, which does not change when it becomes the program, in a file of the container.

use std::{
    io::IsTerminal as _,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;

use super::{Process, Runner, Streams};
use crate::{exit::Complaint, topology::Topology};

/// Where the image has the lab's program.
const TOOL: &str = "/usr/local/bin/anycast-lab";
/// `$0` is the file to note the number in.
const NOTE: &str = r#"echo $$ >"$0" && exec "$@""#;
/// The file may not be there yet: the client was started just now.
const KILL: &str =
    r#"i=0; until test -s "$0" || test $i = 50; do i=$((i+1)); sleep 0.1; done; kill -s "$1" "$(cat "$0")""#;

/// A lab in containers.
#[derive(Debug)]
pub struct Containers {
    topology: Topology,
    name: String,
}

impl Containers {
    /// The lab of that name, when containerlab has deployed it.
    ///
    /// # Errors
    /// When Docker cannot be asked.
    pub fn find(topology: Topology, name: &str) -> anyhow::Result<Option<Self>> {
        let mut command = Command::new("docker");
        command.args(["ps", "--quiet", "--filter", &format!("label=containerlab={name}")]).stdin(Stdio::null());
        let said = command.output();
        let said = said.map_err(|error| Complaint::unavailable(format!("cannot run docker: {error}")))?;
        if !said.status.success() {
            let why = String::from_utf8_lossy(&said.stderr);
            return Err(Complaint::unavailable(format!("docker does not answer: {}", why.trim())));
        }
        Ok((!said.stdout.is_empty()).then(|| Self { topology, name: name.to_owned() }))
    }

    /// Has containerlab deploy it.
    ///
    /// # Errors
    /// When containerlab is missing or fails.
    pub fn up(topology: &Topology, name: &str) -> anyhow::Result<()> {
        containerlab(&["deploy", "--topo", &topology.file.to_string_lossy(), "--name", name])
    }

    /// Has containerlab destroy it.
    ///
    /// # Errors
    /// When containerlab is missing or fails.
    pub fn down(topology: &Topology, name: &str) -> anyhow::Result<()> {
        containerlab(&["destroy", "--topo", &topology.file.to_string_lossy(), "--name", name, "--cleanup"])
    }

    fn container(&self, node: &str) -> anyhow::Result<String> {
        if !self.topology.nodes.contains_key(node) {
            return Err(Complaint::usage(format!("there is no node {node}")));
        }
        Ok(format!("clab-{}-{node}", self.name))
    }

    fn start(&self, node: &str, argv: &[&str], streams: Streams, terminal: bool) -> anyhow::Result<Process> {
        let remote = Remote::new(self.container(node)?);
        let mut command = tokio::process::Command::new("docker");
        command.args(remote.exec(argv, terminal)).kill_on_drop(true);
        command.stdin(streams.input).stdout(streams.output).stderr(streams.errors);
        let child = command.spawn().context("cannot run docker")?;
        Ok(Process { child, remote: Some(remote) })
    }
}

impl Runner for Containers {
    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn spawn(&self, node: &str, argv: &[&str], stdio: Streams) -> anyhow::Result<Process> {
        self.start(node, argv, stdio, false)
    }

    fn attach(&self, node: &str, argv: &[&str]) -> anyhow::Result<Process> {
        let streams = Streams { input: Stdio::inherit(), output: Stdio::inherit(), errors: Stdio::inherit() };
        self.start(node, argv, streams, std::io::stdin().is_terminal() && std::io::stdout().is_terminal())
    }

    fn tool(&self, _node: &str) -> String {
        TOOL.to_owned()
    }
}

fn containerlab(arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("containerlab").args(arguments).stdin(Stdio::null()).status();
    let status = status.map_err(|error| Complaint::unavailable(format!("cannot run containerlab: {error}")))?;
    if !status.success() {
        bail!("`containerlab {}` failed ({status})", arguments.join(" "));
    }
    Ok(())
}

/// A program in a container; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Remote {
    container: String,
    note: String,
    /// Its number may be another's by now.
    ended: bool,
}

impl Remote {
    fn new(container: String) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { container, note: format!("/tmp/anycast-lab.{}.{count}", std::process::id()), ended: false }
    }

    /// To be told of its end.
    pub(crate) const fn set_ended(&mut self) {
        self.ended = true;
    }

    /// What Docker's client is to be called with for the program to run.
    fn exec(&self, argv: &[&str], terminal: bool) -> Vec<String> {
        let mode = if terminal { "-it" } else { "-i" };
        let wrapper = ["exec", mode, &self.container, "sh", "-c", NOTE, &self.note];
        wrapper.iter().chain(argv).map(|&word| word.to_owned()).collect()
    }

    /// What it is to be called with for the program to get a signal.
    fn kill(&self, signal: Signal) -> Vec<String> {
        let name = signal.as_str().trim_start_matches("SIG");
        ["exec", &self.container, "sh", "-c", KILL, &self.note, name].map(str::to_owned).into()
    }

    /// Sends the program a signal.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let said = Command::new("docker").args(self.kill(signal)).stdin(Stdio::null()).output();
        let said = said.context("cannot run docker")?;
        if !said.status.success() {
            bail!("{}: cannot send {signal}: {}", self.container, String::from_utf8_lossy(&said.stderr).trim());
        }
        Ok(())
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.signal(Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(container: &str) -> Remote {
        let mut remote = Remote::new(container.to_owned());
        remote.set_ended();
        remote
    }

    #[test]
    fn a_program_is_started_by_the_docker_client() {
        let (remote, other) = (remote("clab-anycast-r1"), remote("clab-anycast-r1"));
        assert_ne!(remote.note, other.note);
        let expected = ["exec", "-i", "clab-anycast-r1", "sh", "-c", NOTE, &remote.note, "vtysh", "-c", "show version"];
        assert_eq!(remote.exec(&["vtysh", "-c", "show version"], false), expected);
        assert_eq!(remote.exec(&["bash"], true)[1], "-it");
    }

    #[test]
    fn a_signal_reaches_the_program_itself() {
        // The container is left out: the same two scripts, on this machine.
        let home = tempfile::tempdir().unwrap();
        let mut remote = remote("any");
        remote.note = home.path().join("note").display().to_string();
        let (exec, kill) = (remote.exec(&["sleep", "600"], false), remote.kill(Signal::SIGTERM));
        let mut program = Command::new(&exec[3]).args(&exec[4..]).spawn().unwrap();
        assert!(Command::new(&kill[2]).args(&kill[3..]).status().unwrap().success());
        let status = program.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(Signal::SIGTERM as i32));
    }
}
