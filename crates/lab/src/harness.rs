//! What the end-to-end tests stand on: a small lab of their own, and words to say what they wait for.

pub mod browser;
pub mod control;
pub(crate) mod service;
pub mod wire;

use std::{net::SocketAddr, path::Path, process::Stdio, sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpListener,
    sync::OnceCell,
    time::{Instant, sleep, timeout},
};

use crate::{
    frr,
    programs::{BIN_DIR, Programs},
    runner::{self, Runner, Streams, namespaces::Namespaces},
    setup,
    topology::Topology,
};

/// No step of a test takes as long, unless it fails.
pub const AMPLE: Duration = Duration::from_secs(30);
/// Between two looks at what is waited for.
const POLL: Duration = Duration::from_millis(100);
/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// What all tests of a process run.
static PROGRAMS: OnceCell<Programs> = OnceCell::const_new();

/// What the tests run: freshly built, unless the environment names others.
///
/// # Errors
/// When they cannot be built, or one is missing.
pub async fn programs() -> anyhow::Result<&'static Programs> {
    PROGRAMS.get_or_try_init(find_or_build).await
}

async fn find_or_build() -> anyhow::Result<Programs> {
    match std::env::var_os(BIN_DIR) {
        Some(directory) => Programs::of(Path::new(&directory)),
        None => Programs::build(false).await,
    }
}

/// A lab for one test; gone when this is dropped.
#[derive(Debug, Clone)]
pub struct Lab {
    runner: Arc<Namespaces>,
}

impl Lab {
    /// Brings up the topology of a file, with freshly built programs.
    ///
    /// # Errors
    /// When the machine lacks something, or a node does not come up.
    pub async fn up(topology: &Path) -> anyhow::Result<Self> {
        setup::root()?;
        let missing = setup::missing(setup::Purpose::Test);
        ensure!(missing.is_empty(), "missing on this machine: {}; `cargo lab test` installs it", missing.join(", "));
        let runner = Namespaces::up(Topology::read(topology)?, programs().await?).await?;
        Ok(Self::of(runner))
    }

    /// One that is up already.
    #[must_use]
    pub fn of(runner: Namespaces) -> Self {
        Self { runner: Arc::new(runner) }
    }

    /// One that is up already, and that others use as well.
    #[must_use]
    pub const fn of_shared(runner: Arc<Namespaces>) -> Self {
        Self { runner }
    }

    /// The runner itself.
    #[must_use]
    pub fn runner(&self) -> &dyn Runner {
        &*self.runner
    }

    /// Does something in the network of a node, from here; see [`Namespaces::within`].
    ///
    /// # Errors
    /// When the node cannot be entered, and whatever goes wrong there.
    pub fn within<T: Send>(&self, node: &str, work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        self.runner.within(node, work)
    }

    /// Listens in the network of a node, from here. With a `window` of octets (RFC 9293 §3.8.6) the kernel takes about as much
    /// of what nobody reads.
    ///
    /// # Errors
    /// When the address is not there, or taken.
    pub fn listen(&self, node: &str, at: SocketAddr, window: Option<usize>) -> anyhow::Result<TcpListener> {
        let listener = self.within(node, || {
            let socket = Socket::new(Domain::for_address(at), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
            socket.set_reuse_address(true)?;
            // Before there is a connection: from then on the window is agreed on.
            window.map_or(Ok(()), |window| socket.set_recv_buffer_size(window))?;
            socket.bind(&at.into()).with_context(|| format!("{node}: cannot listen at {at}"))?;
            socket.listen(BACKLOG)?;
            Ok(socket)
        })?;
        Ok(TcpListener::from_std(listener.into())?)
    }

    /// Runs a command in a node and gives its output.
    ///
    /// # Errors
    /// When it fails.
    pub async fn run(&self, node: &str, argv: &[&str]) -> anyhow::Result<String> {
        runner::output(self.runner(), node, argv, AMPLE).await
    }

    /// Asks a router for something in JSON.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn show(&self, router: &str, command: &str) -> anyhow::Result<Value> {
        frr::show(self.runner(), router, command).await
    }

    /// Writes a file of a node.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn write(&self, node: &str, path: &str, text: &str) -> anyhow::Result<()> {
        let script = r#"mkdir -p "$(dirname "$0")" && cat >"$0.new" && mv "$0.new" "$0""#;
        let streams = Streams { input: Stdio::piped(), output: Stdio::null(), errors: Stdio::null() };
        let mut process = self.runner.spawn(node, &["sh", "-c", script, path], streams)?;
        let writing = async {
            let mut input = process.child.stdin.take().context("it has no input")?;
            input.write_all(text.as_bytes()).await?;
            drop(input);
            anyhow::Ok(process.wait().await?)
        };
        let status =
            timeout(AMPLE, writing).await.with_context(|| format!("{node}: writing {path} takes too long"))??;
        ensure!(status.success(), "{node}: cannot write {path}");
        Ok(())
    }

    /// Starts a program in the background of a node, its output in a log there, and leaves it to itself.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start(&self, node: &str, argv: &[&str], log: &str) -> anyhow::Result<()> {
        let mut shell = vec!["sh", "-c", r#""$@" >>"$0" 2>&1 &"#, log];
        shell.extend(argv);
        self.run(node, &shell).await.map(drop)
    }

    /// The numbers, as the node counts, of the programs of a name.
    ///
    /// # Errors
    /// When the node cannot be asked.
    pub async fn pids(&self, node: &str, program: &str) -> anyhow::Result<Vec<u32>> {
        let script = r#"for file in /proc/[0-9]*/comm; do
            read -r name <"$file" && test "$name" = "$0" && pid=${file#/proc/} && echo "${pid%/comm}"
        done 2>/dev/null; true"#;
        let said = self.run(node, &["sh", "-c", script, program]).await?;
        Ok(said.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
    }

    /// Sends a signal to the programs of a name; there must be one.
    ///
    /// # Errors
    /// When there is none.
    pub async fn kill(&self, node: &str, program: &str, signal: Signal) -> anyhow::Result<()> {
        let pids = self.pids(node, program).await?;
        if pids.is_empty() {
            bail!("{node}: no {program} runs");
        }
        let name = signal.as_str().trim_start_matches("SIG");
        for pid in pids {
            // One may have ended with the one before it.
            let script = r#"kill -s "$0" "$1" || test ! -e "/proc/$1""#;
            self.run(node, &["sh", "-c", script, name, &pid.to_string()]).await?;
        }
        Ok(())
    }

    /// Waits until something is so.
    ///
    /// # Errors
    /// When it is not so in [`AMPLE`] time: then it says what was found instead.
    pub async fn wait<T>(&self, what: &str, look: impl AsyncFn() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
        let deadline = Instant::now() + AMPLE;
        loop {
            let found = look().await;
            match found {
                Ok(Some(found)) => return Ok(found),
                Ok(None) if Instant::now() >= deadline => bail!("within {AMPLE:?} it was not so: {what}"),
                Err(error) if Instant::now() >= deadline => {
                    return Err(error.context(format!("within {AMPLE:?} it was not so: {what}")));
                }
                Ok(None) | Err(_) => sleep(POLL).await,
            }
        }
    }

    /// Waits until a router's session with a neighbor is up.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn established(&self, router: &str, neighbor: &str) -> anyhow::Result<()> {
        self.wait(&format!("{router} has a session with {neighbor}"), async || {
            let all = frr::neighbors(self.runner(), router).await?;
            let named = |n: &frr::Neighbor| n.description == neighbor || n.address == neighbor;
            let up = all.iter().any(named) && all.iter().filter(|n| named(n)).all(frr::Neighbor::is_established);
            Ok(up.then_some(()))
        })
        .await
    }
}
