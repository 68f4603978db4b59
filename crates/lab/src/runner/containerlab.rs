//! The nodes as containers that `containerlab deploy` made of the same file.

mod remote;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io::IsTerminal as _,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

pub(crate) use self::remote::Remote;
use super::{Process, Runner, Streams};
use crate::{exit::Complaint, topology::Topology};

/// Where the image has the lab's program.
const TOOL: &str = "/usr/local/bin/anycast-lab";
/// A Docker that does not answer for so long will not.
const ANSWER: Duration = Duration::from_secs(30);
/// Between two looks at its client.
const POLL: Duration = Duration::from_millis(5);

/// A lab in containers.
#[derive(Debug)]
pub struct Containers {
    topology: Topology,
    name: String,
    /// The containers that run.
    running: BTreeSet<String>,
}

impl Containers {
    /// The lab of that name, when containerlab has deployed it.
    ///
    /// # Errors
    /// When Docker cannot be asked.
    pub fn find(topology: Topology, name: &str) -> anyhow::Result<Option<Self>> {
        let said = answer(&["ps", "--format", "{{.Names}}", "--filter", &label(name)])?;
        let running: BTreeSet<_> = said.lines().map(str::to_owned).collect();
        Ok((!running.is_empty()).then(|| Self { topology, name: name.to_owned(), running }))
    }

    /// Has containerlab deploy it.
    ///
    /// # Errors
    /// When an image of ours was not built, or containerlab is missing or fails.
    pub fn up(topology: &Topology, name: &str) -> anyhow::Result<()> {
        // Without a registry in its name it is nobody's but ours, and containerlab would look for it on the Docker Hub.
        let images: BTreeSet<&str> = topology.nodes.values().map(|node| node.image.as_str()).collect();
        for image in images.into_iter().filter(|image| !image.contains('/')) {
            if !docker(&["image", "inspect", "--format", "{{.Id}}", image])?.status.success() {
                let build = format!("docker build -f deploy/Dockerfile --target lab -t {image} .");
                return Err(Complaint::unavailable(format!("Docker has no image {image}; build it: `{build}`")));
            }
        }
        containerlab(&["deploy", "--topo", &topology.file.to_string_lossy(), "--name", name])
    }

    /// Has containerlab destroy it.
    ///
    /// # Errors
    /// When containerlab is missing or fails, or containers cannot be removed.
    pub fn down(&self) -> anyhow::Result<()> {
        if self.name == self.topology.name {
            return containerlab(&["destroy", "--topo", &self.topology.file.to_string_lossy(), "--cleanup"]);
        }
        // Not every release of `containerlab destroy` minds --name: others destroy the lab of the file's own name.
        let all = answer(&["ps", "--all", "--quiet", "--filter", &label(&self.name)])?;
        let remove = ["rm", "--force", "--volumes"].into_iter().chain(all.lines());
        answer(&remove.collect::<Vec<_>>()).map(drop)
    }

    /// Says no to a lab of which a node is missing.
    ///
    /// # Errors
    /// When one is.
    pub fn whole(self) -> anyhow::Result<Self> {
        let missing = self.topology.nodes.keys().map(|node| self.called(node)).find(|it| !self.running.contains(it));
        if let Some(container) = missing {
            bail!(
                "lab {} is not whole: no container {container} runs; `cargo lab down`, then `cargo lab up`",
                self.name
            );
        }
        Ok(self)
    }

    /// What containerlab calls a node's container.
    fn called(&self, node: &str) -> String {
        format!("clab-{}-{node}", self.name)
    }

    fn container(&self, node: &str) -> anyhow::Result<String> {
        if !self.topology.nodes.contains_key(node) {
            return Err(Complaint::usage(format!("there is no node {node}")));
        }
        Ok(self.called(node))
    }

    fn start(&self, node: &str, argv: &[&str], streams: Streams, seat: Seat) -> anyhow::Result<Process> {
        let remote = Remote::new(self.container(node)?);
        let mut command = tokio::process::Command::new("docker");
        command.args(remote.exec(argv, seat == Seat::Terminal)).kill_on_drop(true);
        command.stdin(streams.input).stdout(streams.output).stderr(streams.errors);
        if seat == Seat::None {
            // An interrupt at the terminal is for us alone: a client that gets it as well ends without its program.
            command.process_group(0);
        }
        let child = command.spawn().context("cannot run docker")?;
        Ok(Process { child, remote: Some(remote) })
    }
}

/// Who sits before a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seat {
    /// Nobody: this program started it for itself.
    None,
    /// Somebody, with a pipe or a file between.
    Pipe,
    /// Somebody at a terminal, which becomes the program's own: an interrupt is a character on its way there.
    Terminal,
}

impl Runner for Containers {
    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn spawn(&self, node: &str, argv: &[&str], stdio: Streams) -> anyhow::Result<Process> {
        self.start(node, argv, stdio, Seat::None)
    }

    fn attach(&self, node: &str, argv: &[&str]) -> anyhow::Result<Process> {
        let streams = Streams { input: Stdio::inherit(), output: Stdio::inherit(), errors: Stdio::inherit() };
        let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        self.start(node, argv, streams, if terminal { Seat::Terminal } else { Seat::Pipe })
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

/// What containerlab puts on a lab's containers.
fn label(name: &str) -> String {
    format!("label=containerlab={name}")
}

/// What Docker says; an error where it cannot do what it was asked.
fn answer(arguments: &[&str]) -> anyhow::Result<String> {
    let said = docker(arguments)?;
    if !said.status.success() {
        let why = String::from_utf8_lossy(&said.stderr);
        let asked = arguments.first().copied().unwrap_or_default();
        return Err(Complaint::unavailable(format!("`docker {asked}` failed: {}", why.trim())));
    }
    Ok(String::from_utf8_lossy(&said.stdout).into_owned())
}

fn client<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new("docker");
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs Docker's client to its end. It must have little to say: nobody reads it before.
fn docker<S: AsRef<OsStr>>(arguments: &[S]) -> anyhow::Result<Output> {
    let child = client(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| Complaint::unavailable(format!("cannot run docker: {error}")))?;
    let end = Instant::now() + ANSWER;
    while child.try_wait().context("cannot wait for docker")?.is_none() {
        if Instant::now() >= end {
            let _ = child.kill().and_then(|()| child.wait());
            return Err(Complaint::unavailable(format!("docker has not answered within {ANSWER:?}")));
        }
        thread::sleep(POLL);
    }
    child.wait_with_output().context("cannot read what docker says")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_with_a_node_missing_is_not_whole() {
        let file = crate::programs::repository().join("lab/topology.clab.yml");
        let topology = Topology::read(&file).unwrap();
        let lab = |running| Containers { topology: topology.clone(), name: "x".to_owned(), running };
        let mut running: BTreeSet<_> = topology.nodes.keys().map(|node| format!("clab-x-{node}")).collect();
        assert!(lab(running.clone()).whole().is_ok());
        running.remove("clab-x-us-rtr");
        let error = lab(running).whole().unwrap_err().to_string();
        assert!(error.contains("lab x") && error.contains("clab-x-us-rtr"), "{error}");
    }
}
