//! A node with a speaker that runs and has told its neighbor what it announces.

use std::{
    collections::BTreeSet,
    iter,
    process::Stdio,
    time::{Duration, SystemTime},
};

use anycast_api::{Check, Status};
use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use tokio::time::timeout;

use super::{config::PREFIX, watcher::Watcher};
use crate::{
    bench::stand::{Stand, Wire},
    burden::{self, Burden},
    peer::flood::{Flood, listening},
    runner::{Process, Streams},
    tools::record::Message,
};

/// For a clean end.
const FAREWELL: Duration = Duration::from_secs(10);
/// Where the agent's configuration and log are, in the node.
const FILE: &str = "/run/bench/anycastd.yaml";
const START: &str = "exec anycastd --config /run/bench/anycastd.yaml >/run/bench/log 2>&1";

/// The neighbor's end of a session: it hears all, and says that it lives.
pub(super) struct Session {
    _flood: Flood,
    _heard: tokio::sync::mpsc::UnboundedReceiver<crate::peer::Heard>,
}

/// Comes up with a speaker that has just been started, and waits until all these are announced.
pub(super) async fn announced(
    stand: &Stand,
    wire: &mut Wire,
    dials: bool,
    count: usize,
) -> anyhow::Result<(Session, Vec<Message>)> {
    let listener = stand.listen(1)?;
    let met = async {
        let peer = stand.meet(dials, &listener, 1).await?;
        let session = Session { _heard: listening(peer.ear), _flood: Flood::begin(peer.mouth, iter::empty()) };
        anyhow::Ok(session)
    };
    let mut seen = BTreeSet::new();
    let told = wire.updates(|update| {
        seen.extend(update.announced.iter().cloned());
        seen.len() >= count
    });
    tokio::try_join!(met, told)
}

/// Whoever watches the one service, with its neighbor.
pub(super) struct Watched {
    pub(super) watcher: Watcher,
    pub(super) wire: Wire,
    processes: Vec<Process>,
    _session: Session,
}

impl Watched {
    /// Starts it, and waits until it announces the service.
    pub(super) async fn start(stand: &Stand, watcher: Watcher) -> anyhow::Result<Self> {
        watcher.prepare(&stand.lab).await?;
        let mut wire = stand.wire().await?;
        let processes = watcher.start(&stand.lab)?;
        match announced(stand, &mut wire, watcher.dials(), 1).await {
            Ok((session, updates)) => {
                let ours = updates.iter().any(|update| update.announced.iter().any(|prefix| prefix == PREFIX));
                ensure!(ours, "it announces something else: {updates:?}");
                Ok(Self { watcher, wire, processes, _session: session })
            }
            Err(error) => {
                let said = watcher.said(&stand.lab).await;
                watcher.end(&stand.lab, processes).await?;
                Err(error.context(format!("it does not announce the service; it says: {said}")))
            }
        }
    }

    /// Ends it.
    pub(super) async fn end(self, stand: &Stand) -> anyhow::Result<()> {
        self.watcher.end(&stand.lab, self.processes).await
    }
}

/// The agent with a configuration of its own, and its neighbor.
pub(super) struct Agent {
    process: Process,
    pub(super) wire: Wire,
    _session: Session,
}

impl Agent {
    /// Starts it, and waits until it announces so many prefixes.
    pub(super) async fn start(stand: &Stand, config: &str, count: usize) -> anyhow::Result<Self> {
        stand.lab.write("edge", FILE, config).await?;
        let mut wire = stand.wire().await?;
        let streams = Streams { input: Stdio::null(), output: Stdio::null(), errors: Stdio::null() };
        let process = stand.lab.runner().spawn("edge", &["sh", "-c", START], streams)?;
        match announced(stand, &mut wire, true, count).await {
            Ok((session, _)) => Ok(Self { process, wire, _session: session }),
            Err(error) => {
                let said = stand.lab.run("edge", &["tail", "-n", "5", "/run/bench/log"]).await.unwrap_or_default();
                Err(error.context(format!("the agent does not announce {count} prefixes; it says: {said}")))
            }
        }
    }

    /// What it takes of the machine.
    pub(super) fn burden(&self) -> anyhow::Result<Burden> {
        burden::of(self.id()?)
    }

    /// How often its threads have slept.
    pub(super) fn sleeps(&self) -> anyhow::Result<u64> {
        burden::sleeps(self.id()?)
    }

    fn id(&self) -> anyhow::Result<u32> {
        self.process.child.id().context("the agent has ended")
    }

    /// What it says of everything.
    pub(super) async fn status(&self, stand: &Stand) -> anyhow::Result<Status> {
        let said = stand.lab.run("edge", &["anycastctl", "--json", "status"]).await?;
        serde_json::from_str(&said).context("the agent's status")
    }

    /// What it knows of its checks.
    pub(super) async fn checks(&self, stand: &Stand) -> anyhow::Result<Vec<Check>> {
        Ok(self.status(stand).await?.services.into_iter().flat_map(|service| service.checks).collect())
    }

    /// Ends it.
    pub(super) async fn end(mut self, stand: &Stand) -> anyhow::Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        // One that does not end is killed when this is dropped.
        let _ = timeout(FAREWELL, self.process.wait()).await;
        stand.lab.run("edge", &["rm", "-rf", "/run/bench", "/var/lib/anycastd"]).await.map(drop)
    }
}

/// When a check was last begun, in milliseconds since 1970.
pub(super) fn began(check: &Check) -> Option<f64> {
    let answer = check.last.as_ref()?;
    let ended = answer.at.system_time().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some((ended.as_secs_f64() - answer.took_seconds) * 1000.0)
}
