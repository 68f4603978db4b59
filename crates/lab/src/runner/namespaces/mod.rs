//! The nodes as namespaces of this machine, with the machine's own programs: no image, no daemon, up in seconds.
//!
//! ```text
//! runner ──lifeline──► init (process 1 of the node) ── holds: net, mount, pid, uts, ipc
//!    └── setns ──► program in the node, a child of the runner; an orphan of it is reaped by init
//! ```
//!
//! Nothing of a lab is visible in the machine's own network, and nothing is left of it when its first processes are gone.

pub mod init;
mod mounts;
mod node;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use futures_util::future::try_join_all;
use tokio::{io::AsyncWriteExt as _, task, time::timeout};

pub use self::node::Pin;
use self::node::{Bond, Node};
use super::{Process, Runner, Streams};
use crate::{
    frr,
    programs::Programs,
    topology::{Bind, Topology},
};

/// Where a node finds the product's programs, as in the image.
const PROGRAMS: &str = "/usr/local/bin";
/// For a node's mounts and settings.
const BIRTH: Duration = Duration::from_secs(20);
/// For one command of those that are soon done.
const COMMAND: Duration = Duration::from_secs(20);

/// A lab in namespaces.
#[derive(Debug)]
pub struct Namespaces {
    topology: Topology,
    nodes: BTreeMap<String, Node>,
}

impl Namespaces {
    /// Brings a lab up. It ends when this is dropped, or when this process ends in whatever way, unless it is told to
    /// [`stay`](Self::stay).
    ///
    /// # Errors
    /// When the machine refuses something, or a command of the topology fails; then nothing is left.
    pub async fn up(topology: Topology, programs: &Programs) -> anyhow::Result<Self> {
        let nodes = births(&topology, programs).await?;
        let lab = Arc::new(Self { topology, nodes });
        lab.cable().await.context("the links")?;
        lab.each(|name| lab.interfaces_up(name)).await?;
        lab.each(|name| lab.main_process(name)).await?;
        lab.each(|name| lab.exec(name)).await?;
        Arc::try_unwrap(lab).map_err(|_| anyhow!("the lab is still being worked on"))
    }

    /// Finds a lab that stayed.
    ///
    /// # Errors
    /// When one of its nodes is gone.
    pub fn find(topology: Topology, pins: &BTreeMap<String, Pin>) -> anyhow::Result<Self> {
        let found = topology.nodes.iter().map(|(name, spec)| {
            let pin = pins.get(name).with_context(|| format!("the topology has a new node {name}"))?;
            let node = Node::find(name, spec, *pin).with_context(|| format!("{name} is gone"))?;
            Ok((name.clone(), node))
        });
        let nodes = found.collect::<anyhow::Result<_>>()?;
        Ok(Self { topology, nodes })
    }

    /// How to find the nodes again.
    #[must_use]
    pub fn pins(&self) -> BTreeMap<String, Pin> {
        self.nodes.iter().map(|(name, node)| (name.clone(), node.pin())).collect()
    }

    /// Lets go of it: it stays up when this process ends.
    ///
    /// # Errors
    /// When a node is gone already.
    pub fn stay(mut self) -> anyhow::Result<()> {
        self.nodes.values_mut().try_for_each(Node::stay)
    }

    /// Kills all that runs in it.
    ///
    /// # Errors
    /// When this process may not.
    pub fn down(mut self) -> anyhow::Result<()> {
        self.nodes.values_mut().map(Node::kill).fold(Ok(()), anyhow::Result::and)
    }

    /// Does something in the network of a node, on a thread of its own. What is opened there stays there: a socket keeps the
    /// network it was made in, whoever uses it.
    ///
    /// # Errors
    /// When the node cannot be entered, and whatever goes wrong there.
    pub fn within<T: Send>(&self, node: &str, work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        self.node(node)?.within(work)
    }

    fn node(&self, name: &str) -> anyhow::Result<&Node> {
        self.nodes.get(name).ok_or_else(|| anyhow!("there is no node {name}"))
    }

    fn start(&self, node: &str, argv: &[&str], streams: Streams, bond: Bond) -> anyhow::Result<Process> {
        Ok(Process { child: self.node(node)?.start(argv, streams, bond)?, remote: None })
    }

    /// Does something with all nodes at once.
    async fn each<'a, F: Future<Output = anyhow::Result<()>>>(
        &'a self,
        work: impl Fn(&'a str) -> F,
    ) -> anyhow::Result<()> {
        try_join_all(self.nodes.keys().map(|name| work(name))).await.map(drop)
    }

    /// Lays every link, each with both ends in their nodes from the start: no name of them is ever seen, or taken, outside.
    async fn cable(&self) -> anyhow::Result<()> {
        let mut batch = String::new();
        for link in &self.topology.links {
            let [a, b] = &link.ends;
            let (first, second) = (self.node(&a.node)?.pin().pid, self.node(&b.node)?.pin().pid);
            writeln!(
                batch,
                "link add name {} mtu {mtu} netns {first} type veth peer name {} mtu {mtu} netns {second}",
                a.interface,
                b.interface,
                mtu = link.mtu
            )?;
        }
        let mut command = tokio::process::Command::new("ip");
        command
            .args(["-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        fed(command.spawn().context("cannot run ip")?, &batch).await
    }

    async fn interfaces_up(&self, name: &str) -> anyhow::Result<()> {
        let interfaces = std::iter::once("lo").chain(self.topology.interfaces(name));
        let batch: String = interfaces.map(|interface| format!("link set {interface} up\n")).collect();
        let streams = Streams { input: Stdio::piped(), output: Stdio::piped(), errors: Stdio::piped() };
        fed(self.start(name, &["ip", "-batch", "-"], streams, Bond::Handle)?.child, &batch)
            .await
            .context(name.to_owned())
    }

    /// What the container's main process would be.
    async fn main_process(&self, name: &str) -> anyhow::Result<()> {
        let spec = &self.topology.nodes[name];
        match &spec.cmd {
            Some(argv) => {
                let streams = Streams { input: Stdio::null(), output: Stdio::null(), errors: Stdio::null() };
                self.start(name, &words(argv), streams, Bond::None).map(drop)
            }
            None if spec.is_router() => frr::start(self, name).await,
            None => Ok(()),
        }
    }

    async fn exec(&self, name: &str) -> anyhow::Result<()> {
        for argv in &self.topology.nodes[name].exec {
            self.exec_one(name, &words(argv)).await.with_context(|| format!("{name}: exec `{}`", argv.join(" ")))?;
        }
        Ok(())
    }

    /// Its output goes to a file, not to a pipe: what it leaves in the background may hold on to that.
    async fn exec_one(&self, name: &str, argv: &[&str]) -> anyhow::Result<()> {
        let mut said = tempfile::tempfile()?;
        let streams =
            Streams { input: Stdio::null(), output: said.try_clone()?.into(), errors: said.try_clone()?.into() };
        let mut process = self.start(name, argv, streams, Bond::Handle)?;
        let ended = timeout(COMMAND, process.wait()).await;
        let status = ended.with_context(|| format!("it has not ended within {COMMAND:?}"))??;
        if status.success() {
            return Ok(());
        }
        let mut text = String::new();
        said.seek(SeekFrom::Start(0))?;
        said.take(2000).read_to_string(&mut text)?;
        bail!("it failed ({status}): {}", text.trim())
    }
}

impl Runner for Namespaces {
    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn spawn(&self, node: &str, argv: &[&str], stdio: Streams) -> anyhow::Result<Process> {
        self.start(node, argv, stdio, Bond::Handle)
    }

    fn attach(&self, node: &str, argv: &[&str]) -> anyhow::Result<Process> {
        let streams = Streams { input: Stdio::inherit(), output: Stdio::inherit(), errors: Stdio::inherit() };
        self.start(node, argv, streams, Bond::Terminal)
    }

    fn tool(&self, _node: &str) -> String {
        format!("{PROGRAMS}/anycast-lab")
    }
}

/// Brings all nodes to life, at once.
async fn births(topology: &Topology, programs: &Programs) -> anyhow::Result<BTreeMap<String, Node>> {
    let binds: Vec<Bind> = programs
        .all()
        .map(|(name, source)| Bind {
            source: source.to_owned(),
            target: PathBuf::from(PROGRAMS).join(name),
            read_only: true,
        })
        .collect();
    let mut nodes = BTreeMap::new();
    for (name, spec) in &topology.nodes {
        nodes.insert(name.clone(), Node::begin(name, spec, &binds, programs.lab()).with_context(|| name.clone())?);
    }
    let waiting = nodes.into_iter().map(|(name, mut node)| async move {
        let pin = node.pin();
        let ready = task::spawn_blocking(move || node.ready().map(|()| node));
        let node = match timeout(BIRTH, ready).await {
            Ok(done) => done?,
            Err(_) => {
                // Then the thread that waits for its word has nothing to wait for.
                pin.kill()?;
                Err(anyhow!("not ready within {BIRTH:?}"))
            }
        };
        Ok::<_, anyhow::Error>((name.clone(), node.context(name)?))
    });
    try_join_all(waiting).await.map(|nodes| nodes.into_iter().collect())
}

fn words(argv: &[String]) -> Vec<&str> {
    argv.iter().map(String::as_str).collect()
}

/// Gives a program its input and waits until it has done its work.
async fn fed(mut child: tokio::process::Child, input: &str) -> anyhow::Result<()> {
    let work = async {
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not listen says why when it ends.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let said = timeout(COMMAND, work).await.with_context(|| format!("ip has not ended within {COMMAND:?}"))??;
    if !said.status.success() {
        bail!("ip failed ({}): {}", said.status, String::from_utf8_lossy(&said.stderr).trim());
    }
    Ok(())
}
