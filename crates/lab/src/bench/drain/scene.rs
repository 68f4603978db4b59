//! The lab with the two nodes, the client that asks, and what is done to the near node.

use std::{sync::Arc, time::Duration};

use anycast_api::Status;
use anyhow::{Context as _, ensure};
use tokio::sync::Mutex;

use super::count::{self, Counted, Family, Stretch};
use crate::{
    demo::{
        analysis::{Requests, last_trouble},
        book::{Book, Seen},
        watchers::{Lasts, Watchers},
    },
    frr,
    harness::{
        AMPLE, Lab,
        service::{end, serve, silent},
    },
    programs::{self, Programs},
    runner::{self, Process, namespaces::Namespaces},
    tools::record::{How, Nanos},
    topology::Topology,
};

/// The node that goes out of service, and the one that takes over.
const NEAR: &str = "near";
const FAR: &str = "far";
const CLIENT: &str = "client";
/// What the services call their region.
pub(in crate::bench) const REGION: &str = "bench";
/// Those whose routes move.
const ROUTERS: [&str; 2] = ["near-rtr", "transit"];
/// How long all must have been well for the traffic to have moved.
const CALM: Duration = Duration::from_millis(500);
/// How long after the kill it is looked whether anybody still came.
const AFTER: Duration = Duration::from_millis(500);
/// How long `withdraw --wait` may take, and so long again the traffic.
const DRAIN: Duration = Duration::from_secs(60);
const PROBE: [&str; 12] = [
    "probe",
    "--target",
    Family::V4.target(),
    "--target",
    Family::V6.target(),
    "--udp-every",
    "1",
    "--http-every",
    "20",
    "--http-path",
    "/slow?ms=300",
    "--timeout=1000",
];

/// The lab, with everything that runs in it.
pub(super) struct Scene {
    lab: Lab,
    book: Arc<Book>,
    watchers: Watchers,
    /// The near node's service, where it runs.
    service: Mutex<Option<Process>>,
    /// The far node's, and both agents.
    others: Vec<Process>,
}

/// How a node went out of service.
#[derive(Debug)]
pub(super) struct Away {
    stretch: Stretch,
    /// From the order to when it was said to be safe to stop.
    pub(super) waited: Option<Duration>,
}

impl Scene {
    /// Brings the lab up, both nodes announcing.
    pub(super) async fn set(programs: &Programs, drain: Option<&str>) -> anyhow::Result<Self> {
        let topology = Topology::read(&programs::repository().join("lab/drain.clab.yml"))?;
        let runner: Arc<Namespaces> = Arc::new(Namespaces::up(topology, programs).await?);
        let lab = Lab::of_shared(runner.clone());
        let (near, far) = (serve(&lab, NEAR, REGION)?, serve(&lab, FAR, REGION)?);
        let others = vec![
            far,
            agent(&lab, FAR, "192.0.2.18", "192.0.2.17", 65102, drain).await?,
            agent(&lab, NEAR, "192.0.2.2", "192.0.2.1", 65101, drain).await?,
        ];
        frr::settle(&*runner, AMPLE).await?;
        let book = Arc::new(Book::new());
        let mut watchers = Watchers::new(runner, book.clone());
        watchers.tool(CLIENT, &PROBE, Lasts::Always)?;
        for router in ROUTERS {
            watchers.routes(router)?;
        }
        let scene = Self { lab, book, watchers, service: Mutex::new(Some(near)), others };
        scene.served_by(NEAR, Nanos::now(), AMPLE).await?;
        // What was asked before there was an answer.
        scene.forget();
        Ok(scene)
    }

    /// Ends all that runs in the lab. A node is not gone before whoever was started in it from here was waited for.
    pub(super) async fn clear(self) -> anyhow::Result<()> {
        self.watchers.stop().await;
        for process in self.service.into_inner().into_iter().chain(self.others) {
            end(process).await?;
        }
        Ok(())
    }

    /// Drains the near node as an operator does, and kills its service when that is safe.
    pub(super) async fn drain(&self, now: bool) -> anyhow::Result<Away> {
        let mut argv = vec!["anycastctl", "withdraw", "--reason", "bench", "--wait", "--timeout", "60s"];
        argv.extend(now.then_some("--now"));
        let from = Nanos::now();
        let said = runner::output(self.lab.runner(), NEAR, &argv, DRAIN + AMPLE).await?;
        let waited = Nanos::now().after(from);
        ensure!(said.trim_end().ends_with("safe to stop"), "it is not said to be safe to stop: {said}");
        let killed = self.kill_service().await?;
        let to = killed.plus(AFTER);
        let decided = |seen: &Seen| (*seen.decided.get(CLIENT)? >= to).then_some(());
        self.book.until(AMPLE, decided).await?.context("the probe does not go on")?;
        // It is where it should be, or the next run begins with what this one left.
        self.served_by(FAR, killed, AMPLE).await?;
        Ok(Away { stretch: Stretch { from, to }, waited: Some(waited) })
    }

    /// Kills the near node's service without a word.
    pub(super) async fn kill(&self) -> anyhow::Result<Away> {
        let from = self.kill_service().await?;
        let to = self.served_by(FAR, from, DRAIN).await?;
        Ok(Away { stretch: Stretch { from, to }, waited: None })
    }

    /// Starts the service again, announces where that was not to be, and waits for the traffic.
    pub(super) async fn bring_back(&self, announce: bool) -> anyhow::Result<Stretch> {
        let mut from = Nanos::now();
        *self.service.lock().await = Some(serve(&self.lab, NEAR, REGION)?);
        if announce {
            let healthy = async || {
                let said = self.lab.run(NEAR, &["anycastctl", "--json", "status"]).await?;
                let status: Status = serde_json::from_str(&said)?;
                let well = status.services.iter().all(|service| service.health == anycast_api::Health::Up);
                Ok(well.then_some(()))
            };
            self.lab.wait("the service is healthy again", healthy).await?;
            from = Nanos::now();
            self.lab.run(NEAR, &["anycastctl", "announce"]).await?;
        }
        Ok(Stretch { from, to: self.served_by(NEAR, from, DRAIN).await? })
    }

    /// What became of the requests of a run.
    pub(super) fn count(&self, family: Family, away: &Away, back: &Stretch) -> anyhow::Result<Counted> {
        let seen = self.book.seen();
        let asked = |how| requests(&seen, family, how).with_context(|| format!("nobody asks by {how}"));
        Ok(count::count(asked(How::Udp)?, asked(How::Http)?, NEAR, away.stretch, *back))
    }

    /// What was lost when, in words.
    pub(super) fn lost(&self, family: Family, away: &Away, back: &Stretch) -> String {
        let seen = self.book.seen();
        let Some(udp) = requests(&seen, family, How::Udp) else { return "all".to_owned() };
        let lost = |stretch: &Stretch| count::lost_in_words(udp, stretch.from, stretch.to);
        let told = ROUTERS.map(|router| {
            let changes = seen.routes.get(router).into_iter().flatten();
            let changes = changes.filter(|change| change.prefix == family.prefix() && change.at >= away.stretch.from);
            let told: Vec<_> = changes
                .map(|change| {
                    let after = change.at.millis_since(away.stretch.from);
                    format!(
                        "{} {} at {after:.1} ms",
                        if change.deleted { "without" } else { "via" },
                        change.via.join(" ")
                    )
                })
                .collect();
            format!("{router} {}", told.join(", "))
        });
        format!("{}; on the way back: {}; {}", lost(&away.stretch), lost(back), told.join("; "))
    }

    /// Keeps nothing of what was asked so far: a run is thousands of requests.
    pub(super) fn forget(&self) {
        self.book.seen().forget();
    }

    /// Right before the call.
    async fn kill_service(&self) -> anyhow::Result<Nanos> {
        let process = self.service.lock().await.take().context("there is no service")?;
        let at = Nanos::now();
        end(process).await?;
        Ok(at)
    }

    /// Waits until every request by UDP is answered by `node`, and has been for a while; until when they were sent.
    async fn served_by(&self, node: &str, since: Nanos, limit: Duration) -> anyhow::Result<Nanos> {
        let settled = |seen: &Seen| {
            let decided = *seen.decided.get(CLIENT)?;
            let mut end = since.plus(CALM);
            for family in Family::ALL {
                let asked = requests(seen, family, How::Udp)?;
                asked.range(since..).next()?;
                end = last_trouble(asked, since, &[node]).map_or(end, |trouble| end.max(trouble.plus(CALM)));
            }
            (decided >= end).then_some(end)
        };
        let found = self.book.until(limit, settled).await?;
        match found {
            Some(end) => Ok(end),
            None => {
                let log = self.lab.run(NEAR, &["tail", "-n", "5", LOG]).await.unwrap_or_default();
                anyhow::bail!("the traffic has not come to {node} within {limit:?}; the near agent says: {log}")
            }
        }
    }
}

fn requests(seen: &Seen, family: Family, how: How) -> Option<&Requests> {
    seen.series(CLIENT, how).find(|(series, _)| series.target == family.target()).map(|(_, requests)| requests)
}

const LOG: &str = "/var/log/anycastd.log";

pub(in crate::bench) async fn agent(
    lab: &Lab,
    node: &str,
    own: &str,
    router: &str,
    asn: u32,
    drain: Option<&str>,
) -> anyhow::Result<Process> {
    let drain = drain.map_or(String::new(), |drain| format!("    drain: {drain}\n"));
    let text = format!(
        "bgp:\n  asn: 65010\n  router_id: {own}\n  neighbors:\n    - {{ name: rtr, address: {router}, asn: {asn}, hold_time: 9s }}\n\
         services:\n  - name: web\n    addresses: [{v4}, \"{v6}\"]\n    prefixes: [203.0.113.0/24, \"2001:db8:53::/48\"]\n    \
         watch: listener\n{drain}    checks:\n      - {{ name: ipv4, type: http, url: \"http://{v4}/healthz\" }}\n      \
         - {{ name: ipv6, type: http, url: \"http://[{v6}]/healthz\" }}\nlog: {{ format: text, level: info }}\n",
        v4 = Family::V4.target(),
        v6 = Family::V6.target(),
    );
    lab.write(node, "/etc/anycastd/anycastd.yaml", &text).await?;
    let start = format!("exec anycastd --config /etc/anycastd/anycastd.yaml >{LOG} 2>&1");
    lab.runner().spawn(node, &["sh", "-c", &start], silent())
}
