//! The lab: a node that something happens to, another that takes over, the client that asks, and the near router.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::{sync::Mutex, time::timeout};

use super::{
    super::drain::{count::Family, scene},
    subject::{LOG, Subject},
};
use crate::{
    demo::{
        analysis::{Requests, first_elsewhere, last_trouble},
        book::{Book, Seen},
        watchers::{Lasts, Watchers},
    },
    harness::{
        AMPLE, Lab,
        service::{self, serve},
    },
    programs::{self, Programs},
    runner::{Process, namespaces::Namespaces},
    tools::record::{How, Nanos, Record},
    topology::Topology,
};

/// The node that something happens to, and the one that takes over.
pub(super) const NEAR: &str = "near";
const FAR: &str = "far";
const CLIENT: &str = "client";
pub(super) const ROUTER: &str = "near-rtr";
/// How long all must have been well for the traffic to be where it should.
const CALM: Duration = Duration::from_millis(500);
/// Until the traffic has moved, with or without BFD.
const MOVE: Duration = Duration::from_secs(30);
/// One datagram each millisecond to either address; HTTP is of no interest here.
const PROBE: [&str; 10] = [
    "probe",
    "--target",
    Family::V4.target(),
    "--target",
    Family::V6.target(),
    "--udp-every",
    "1",
    "--http-every",
    "60000",
    "--timeout=1000",
];
/// Everything that comes from the node or goes to it is gone, without a word to anybody: interfaces stay up.
const CUT: &str = "table netdev cut {\n  chain in { type filter hook ingress device \"edge\" priority 0; policy drop; }\n}\n\
                   table inet cut {\n  chain out { type filter hook output priority 0; oifname \"edge\" drop; }\n  \
                   chain through { type filter hook forward priority 0; oifname \"edge\" drop; }\n}\n";
const MEND: &str = "delete table netdev cut\ndelete table inet cut\n";

/// What happens to the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Every program of it stops where it is; its kernel goes on.
    Frozen,
    /// Packets to and from it are dropped at its router.
    CutOff,
}

/// Milliseconds after the fault, of the family that was later.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moved {
    /// Until the router had the route no more, or another.
    pub(super) route: f64,
    /// Until an answer came from elsewhere.
    pub(super) answer: f64,
}

/// The lab, with everything that runs in it but the near node's agent.
pub(super) struct Scene {
    pub(super) lab: Lab,
    book: Arc<Book>,
    watchers: Watchers,
    service: Mutex<Option<Process>>,
    others: Vec<Process>,
}

impl Scene {
    /// Brings the lab up: the far node announces.
    pub(super) async fn set(programs: &Programs) -> anyhow::Result<Self> {
        let topology = Topology::read(&programs::repository().join("lab/bfd.clab.yml"))?;
        let runner: Arc<Namespaces> = Arc::new(Namespaces::up(topology, programs).await?);
        let lab = Lab::of_shared(runner.clone());
        let near = serve(&lab, NEAR, scene::REGION)?;
        let others = vec![
            serve(&lab, FAR, scene::REGION)?,
            scene::agent(&lab, FAR, "192.0.2.18", "192.0.2.17", 65102, None).await?,
        ];
        let book = Arc::new(Book::new());
        let mut watchers = Watchers::new(runner, book.clone());
        watchers.tool(CLIENT, &PROBE, Lasts::Always)?;
        watchers.routes(ROUTER)?;
        let scene = Self { lab, book, watchers, service: Mutex::new(Some(near)), others };
        scene.served_by(FAR, Nanos::now(), AMPLE).await?;
        Ok(scene)
    }

    /// Ends all that runs in the lab.
    pub(super) async fn clear(self) -> anyhow::Result<()> {
        self.watchers.stop().await;
        for process in self.service.into_inner().into_iter().chain(self.others) {
            service::end(process).await?;
        }
        Ok(())
    }

    /// Has the router take these lines into its BGP configuration.
    pub(super) async fn router(&self, lines: &[&str]) -> anyhow::Result<()> {
        let mut argv = vec!["vtysh", "-c", "configure terminal", "-c", "router bgp 65101"];
        argv.extend(lines.iter().flat_map(|line| ["-c", *line]));
        self.lab.run(ROUTER, &argv).await.map(drop)
    }

    /// What the router says of its BFD sessions.
    pub(super) async fn sessions(&self) -> anyhow::Result<Vec<Value>> {
        let said = self.lab.show(ROUTER, "show bfd peers json").await?;
        Ok(said.as_array().cloned().unwrap_or_default())
    }

    /// Waits until so many sessions of the router are up.
    pub(super) async fn up(&self, count: usize) -> anyhow::Result<()> {
        let up = async || {
            let all = self.sessions().await?;
            let down: Vec<_> = all.iter().filter(|session| session["status"] != "up").collect();
            ensure!(all.len() == count && down.is_empty(), "there are {}; not up: {down:?}", all.len());
            Ok(Some(()))
        };
        self.lab.wait(&format!("{count} BFD sessions are up"), up).await
    }

    /// Starts whoever announces, has something happen to the node, and puts all in order again.
    pub(super) async fn run(&self, subject: Subject, fault: Fault, phase: Duration) -> anyhow::Result<Moved> {
        match subject.interval() {
            Some(interval) => self.router(&[&format!("neighbor 192.0.2.2 bfd 3 {interval} {interval}")]).await?,
            None => self.router(&["no neighbor 192.0.2.2 bfd"]).await?,
        }
        let process = subject.start(&self.lab).await?;
        let moved = self.announced(subject, fault, phase).await;
        let said = match moved {
            Ok(_) => String::new(),
            Err(_) => self.lab.run(NEAR, &["tail", "-n", "5", LOG]).await.unwrap_or_default(),
        };
        subject.end(&self.lab, process).await?;
        self.book.seen().forget();
        moved.with_context(|| format!("it says: {said}"))
    }

    async fn announced(&self, subject: Subject, fault: Fault, phase: Duration) -> anyhow::Result<Moved> {
        self.served_by(NEAR, Nanos::now(), AMPLE).await?;
        if subject.interval().is_some() {
            self.up(1).await?;
        }
        // Nobody's packets are sent in step with ours.
        tokio::time::sleep(phase).await;
        let from = self.strike(fault).await?;
        let moved = self.moved(from).await;
        self.mend(fault).await?;
        moved
    }

    /// Right before it happens.
    async fn strike(&self, fault: Fault) -> anyhow::Result<Nanos> {
        match fault {
            Fault::Frozen => {
                let said = self.lab.run(NEAR, &[&self.lab.runner().tool(NEAR), "tool", "freeze"]).await?;
                let record: Record = serde_json::from_str(said.lines().next().unwrap_or_default())?;
                let Record::Killed { at, .. } = record else { anyhow::bail!("it says {said}") };
                Ok(at)
            }
            Fault::CutOff => {
                self.lab.write(ROUTER, "/run/cut", CUT).await?;
                let from = Nanos::now();
                self.lab.run(ROUTER, &["nft", "-f", "/run/cut"]).await?;
                Ok(from)
            }
        }
    }

    async fn mend(&self, fault: Fault) -> anyhow::Result<()> {
        match fault {
            Fault::Frozen => {
                // It is killed as it is: it would say goodbye else.
                if let Some(process) = self.service.lock().await.take() {
                    process.signal(Signal::SIGCONT)?;
                    service::end(process).await?;
                }
                *self.service.lock().await = Some(serve(&self.lab, NEAR, scene::REGION)?);
                Ok(())
            }
            Fault::CutOff => {
                self.lab.write(ROUTER, "/run/mend", MEND).await?;
                self.lab.run(ROUTER, &["nft", "-f", "/run/mend"]).await.map(drop)
            }
        }
    }

    async fn moved(&self, from: Nanos) -> anyhow::Result<Moved> {
        let all = |seen: &Seen| {
            let (mut route, mut answer) = (0.0_f64, 0.0_f64);
            for family in Family::ALL {
                let changes = seen.routes.get(ROUTER)?;
                let gone = changes.iter().find(|change| change.prefix == family.prefix() && change.at >= from)?;
                let (answered, by) = first_elsewhere(requests(seen, family)?, from, NEAR)?;
                debug_assert_eq!(by, FAR);
                route = route.max(gone.at.millis_since(from));
                answer = answer.max(answered.millis_since(from));
            }
            Some(Moved { route, answer })
        };
        let moved = self.book.until(MOVE, all).await?.context("the traffic does not move")?;
        ensure!(moved.answer >= moved.route, "an answer from elsewhere before the route was gone: {moved:?}");
        Ok(moved)
    }

    /// Waits until every request is answered by `node`, and has been for a while.
    async fn served_by(&self, node: &str, since: Nanos, limit: Duration) -> anyhow::Result<()> {
        let settled = |seen: &Seen| {
            let decided = *seen.decided.get(CLIENT)?;
            let mut end = since.plus(CALM);
            for family in Family::ALL {
                let asked = requests(seen, family)?;
                asked.range(since..).next()?;
                end = last_trouble(asked, since, &[node]).map_or(end, |trouble| end.max(trouble.plus(CALM)));
            }
            (decided >= end).then_some(())
        };
        self.book.until(limit, settled).await?.with_context(|| format!("the traffic has not come to {node}"))
    }
}

fn requests(seen: &Seen, family: Family) -> Option<&Requests> {
    seen.series(CLIENT, How::Udp).find(|(series, _)| series.target == family.target()).map(|(_, requests)| requests)
}

/// Ends a process that was started here.
pub(super) async fn end(mut process: Process) -> anyhow::Result<()> {
    process.signal(Signal::SIGTERM)?;
    if timeout(AMPLE, process.wait()).await.is_err() {
        process.signal(Signal::SIGKILL)?;
        process.wait().await?;
    }
    Ok(())
}
