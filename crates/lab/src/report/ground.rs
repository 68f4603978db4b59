//! The lab of the report: two regions, a client in each, and one node that fails again and again.

use std::{sync::Arc, time::Duration};

use anycast_api::{Event as Word, Status};
use anyhow::{Context as _, bail};
use tokio::time::sleep;

use super::{
    analysis::{CALM, Watch, around},
    methods::{Routers, Way},
};
use crate::{
    demo::{
        analysis::{Requests, last_trouble},
        book::{Book, Seen},
        watchers::{Lasts, Watchers},
    },
    harness::{
        AMPLE, Lab,
        service::{end, serve, silent},
    },
    programs::{self, Programs},
    runner::{Process, namespaces::Namespaces},
    tools::record::{How, Nanos},
    topology::Topology,
};

/// The node that fails, the one that takes over, and the client that the first one serves.
pub(super) const FAILS: &str = "us-edge";
pub(super) const TAKES_OVER: &str = "eu-edge";
pub(super) const CLIENT: &str = "us-client";
pub(super) const CLIENTS: [&str; 2] = [CLIENT, "eu-client"];
/// The router of the node that fails.
pub(super) const ROUTER: &str = "us-rtr";
pub(super) const TRANSIT: &str = "transit";
/// What is announced, and what the clients ask.
pub(super) const PREFIX: &str = "203.0.113.0/24";
pub(super) const ADDRESS: &str = "203.0.113.80";
/// What each client does all the time: a datagram to the anycast address every 10 ms, no HTTP to speak of.
const PROBE: [&str; 8] = ["probe", "--target", ADDRESS, "--udp-every", "10", "--http-every", "60000", "--timeout=1000"];
/// How long the traffic may take to move, with whatever notices.
pub(super) const MOVE: Duration = Duration::from_secs(30);
const CONFIG: &str = "/etc/anycastd/anycastd.yaml";
const LOG: &str = "/var/log/anycastd.log";
/// Where the agent keeps orders, and what it knows of flaps.
const STATE: &str = "/var/lib/anycastd";

/// What the agent of the node that fails is configured to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Care {
    /// `watch: listener`.
    pub(super) watches: bool,
    /// At 50 ms × 3.
    pub(super) bfd: bool,
}

impl Care {
    /// The defaults, with what makes a dead service known at once.
    pub(super) const HINTED: Self = Self { watches: true, bfd: false };

    pub(super) const fn of(way: Way) -> Self {
        Self { watches: !matches!(way, Way::Polling), bfd: matches!(way, Way::FrozenBfd) }
    }
}

/// Where a series of requests should end up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goal<'a> {
    /// As the book calls the client.
    pub(super) client: &'a str,
    /// The address, or the name.
    pub(super) target: &'a str,
    pub(super) node: &'a str,
}

/// The lab, with everything that runs in it.
pub(super) struct Ground {
    pub(super) lab: Lab,
    pub(super) runner: Arc<Namespaces>,
    pub(super) book: Arc<Book>,
    pub(super) watchers: Watchers,
    routers: Routers,
    /// The agents' `drain`; `None`: the default.
    drain: Option<&'static str>,
    /// Of the node that fails, where it runs.
    pub(super) service: Option<Process>,
    agent: Option<(Care, Process)>,
    /// Of the other node.
    others: Vec<Process>,
}

impl Ground {
    /// Brings the lab up. `names`: what the clients look up and ask besides, each client its own.
    pub(super) async fn set(
        programs: &Programs,
        routers: Routers,
        drain: Option<&'static str>,
        names: [Vec<String>; 2],
    ) -> anyhow::Result<Self> {
        let file = match routers {
            Routers::Frr => "lab/report.clab.yml",
            Routers::Bird => "lab/report-bird.clab.yml",
        };
        let topology = Topology::read(&programs::repository().join(file))?;
        let runner = Arc::new(Namespaces::up(topology, programs).await?);
        let lab = Lab::of_shared(runner.clone());
        let book = Arc::new(Book::new());
        let mut watchers = Watchers::new(runner.clone(), book.clone());
        for (client, words) in CLIENTS.into_iter().zip(&names) {
            let words: Vec<&str> = PROBE.into_iter().chain(words.iter().map(String::as_str)).collect();
            watchers.tool(client, &words, Lasts::Always)?;
        }
        for router in [ROUTER, TRANSIT] {
            watchers.routes(router)?;
        }
        watchers.tool(ROUTER, &["capture", "--bfd"], Lasts::Always)?;
        let others = vec![serve(&lab, TAKES_OVER, "eu")?, agent(&lab, TAKES_OVER, Care::HINTED, drain).await?];
        Ok(Self { lab, runner, book, watchers, routers, drain, service: None, agent: None, others })
    }

    /// Ends all that runs in the lab.
    pub(super) async fn clear(self) -> anyhow::Result<()> {
        self.watchers.stop().await;
        for process in self.service.into_iter().chain(self.agent.map(|(_, agent)| agent)).chain(self.others) {
            end(process).await?;
        }
        Ok(())
    }

    /// Makes the node serve, with an agent so configured, and waits until its client is served by it.
    pub(super) async fn ready(&mut self, care: Care) -> anyhow::Result<()> {
        self.serve()?;
        if self.agent.as_ref().is_none_or(|(running, _)| *running != care) {
            if let Some((_, process)) = self.agent.take() {
                end(process).await?;
            }
            self.lab.run(FAILS, &["rm", "-rf", STATE]).await?;
            self.agent = Some((care, agent(&self.lab, FAILS, care, self.drain).await?));
        }
        let since = Nanos::now();
        let served = self.settled(&self.at_home(), since, AMPLE).await.map(drop);
        if served.is_err() {
            let log = self.lab.run(FAILS, &["tail", "-n", "5", LOG]).await.unwrap_or_default();
            return served.with_context(|| format!("the agent says: {log}"));
        }
        match care.bfd {
            true => self.bfd_is_up().await,
            false => Ok(()),
        }
    }

    /// Starts the service of the node that fails, where it does not run.
    pub(super) fn serve(&mut self) -> anyhow::Result<()> {
        if self.service.is_none() {
            self.service = Some(serve(&self.lab, FAILS, "us")?);
        }
        Ok(())
    }

    /// Each client by the node of its region.
    fn at_home(&self) -> [Goal<'static>; 2] {
        let goal = |client, node| Goal { client, target: ADDRESS, node };
        [goal(CLIENTS[0], FAILS), goal(CLIENTS[1], TAKES_OVER)]
    }

    /// Both clients by the node that takes over.
    pub(super) fn away(&self) -> [Goal<'static>; 2] {
        CLIENTS.map(|client| Goal { client, target: ADDRESS, node: TAKES_OVER })
    }

    async fn bfd_is_up(&self) -> anyhow::Result<()> {
        let routers = self.routers;
        self.lab
            .wait("the router's BFD session is up", async || {
                let up = match routers {
                    Routers::Frr => {
                        let all = self.lab.show(ROUTER, "show bfd peers json").await?;
                        all.as_array().is_some_and(|all| all.iter().any(|session| session["status"] == "up"))
                    }
                    Routers::Bird => {
                        let argv = ["birdc", "-s", "/run/bird.ctl", "show", "bfd", "sessions"];
                        self.lab.run(ROUTER, &argv).await?.split_whitespace().any(|word| word == "Up")
                    }
                };
                Ok(up.then_some(()))
            })
            .await
    }

    /// The agent's process, to be signalled.
    pub(super) fn agent(&self) -> anyhow::Result<&Process> {
        self.agent.as_ref().map(|(_, process)| process).context("there is no agent")
    }

    /// Kills the service; right before the call.
    pub(super) async fn kill_service(&mut self) -> anyhow::Result<Nanos> {
        let process = self.service.take().context("there is no service")?;
        let at = Nanos::now();
        end(process).await?;
        Ok(at)
    }

    /// Kills what is left of the node's programs, and waits for their end.
    pub(super) async fn kill_all(&mut self) -> anyhow::Result<()> {
        for process in self.service.take().into_iter().chain(self.agent.take().map(|(_, process)| process)) {
            end(process).await?;
        }
        Ok(())
    }

    /// Waits until the agent finds its service healthy.
    pub(super) async fn healthy(&self) -> anyhow::Result<()> {
        let healthy = async || {
            let said = self.lab.run(FAILS, &["anycastctl", "--json", "status"]).await?;
            let status: Status = serde_json::from_str(&said)?;
            let well = status.services.iter().all(|service| service.health == anycast_api::Health::Up);
            Ok(well.then_some(()))
        };
        self.lab.wait("the service is healthy", healthy).await
    }

    /// What the agent tells of the time since; nothing where it cannot be asked.
    pub(super) async fn words(&self, since: Nanos) -> Vec<Word> {
        let since = std::time::UNIX_EPOCH + Duration::from_nanos(since.0);
        let since = humantime::format_rfc3339_millis(since).to_string();
        let said =
            self.lab.run(FAILS, &["anycastctl", "--json", "events", "--since", &since]).await.unwrap_or_default();
        said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits until every goal is reached, and has been for a while; until when requests were sent then.
    pub(super) async fn settled(&self, goals: &[Goal<'_>], since: Nanos, limit: Duration) -> anyhow::Result<Nanos> {
        let all = |seen: &Seen| goals.iter().try_fold(since, |end, goal| Some(end.max(reached(seen, goal, since)?)));
        if let Some(end) = self.book.until(limit, all).await? {
            return Ok(end);
        }
        let seen = self.book.seen();
        let open = goals.iter().filter(|goal| reached(&seen, goal, since).is_none());
        let open: Vec<_> =
            open.map(|Goal { client, target, node }| format!("{target} of {client} at {node}")).collect();
        bail!("the traffic is not where it should be within {limit:?}: {}", open.join(", "))
    }

    /// Waits until the fate of all requests sent before is known.
    pub(super) async fn known(&self, clients: &[&str], upto: Nanos) -> anyhow::Result<()> {
        let decided = |seen: &Seen| {
            clients.iter().all(|client| seen.decided.get(*client).is_some_and(|known| *known >= upto)).then_some(())
        };
        self.book.until(AMPLE, decided).await?.context("a probe does not go on")
    }

    /// Lets so much time pass, to fail at a moment that nobody chose.
    pub(super) async fn pass(&self, time: Duration) {
        // Long enough for every port of every client to be in it.
        sleep(Duration::from_secs(1) + time).await;
    }
}

/// Until when a goal has been reached for a while; nothing if it has not.
fn reached(seen: &Seen, goal: &Goal<'_>, since: Nanos) -> Option<Nanos> {
    let requests = requests(seen, goal.client, goal.target)?;
    requests.range(since..).next()?;
    let trouble = last_trouble(requests, since, &[goal.node]).unwrap_or(since);
    let end = trouble.plus(CALM);
    (*seen.decided.get(goal.client)? >= end).then_some(end)
}

/// What a client asked of an address or a name.
pub(super) fn requests<'a>(seen: &'a Seen, client: &str, target: &str) -> Option<&'a Requests> {
    seen.series(client, How::Udp).find(|(series, _)| series.target == target).map(|(_, requests)| requests)
}

/// What several clients asked, around a failure.
pub(super) fn all_around(seen: &Seen, asked: &[(&str, &str)], watch: Watch) -> anyhow::Result<Vec<Requests>> {
    let one = |(client, target): &(&str, &str)| {
        let requests = requests(seen, client, target).with_context(|| format!("{client} does not ask {target}"))?;
        Ok(around(requests, watch))
    };
    asked.iter().map(one).collect()
}

/// Starts the agent of a node.
async fn agent(lab: &Lab, node: &str, care: Care, drain: Option<&str>) -> anyhow::Result<Process> {
    let (own, router, asn) = match node {
        FAILS => ("192.0.2.2", "192.0.2.1", 65101),
        _ => ("192.0.2.18", "192.0.2.17", 65102),
    };
    let bfd = if care.bfd { ", bfd: { interval: 50ms, multiplier: 3 }" } else { "" };
    let watch = if care.watches { "    watch: listener\n" } else { "" };
    let drain = drain.map_or(String::new(), |drain| format!("    drain: {drain}\n"));
    let text = format!(
        "bgp:\n  asn: 65010\n  router_id: {own}\n  neighbors:\n    \
         - {{ name: rtr, address: {router}, asn: {asn}, hold_time: 9s{bfd} }}\n\
         services:\n  - name: web\n    addresses: [{ADDRESS}]\n    prefixes: [{PREFIX}]\n{watch}{drain}    checks:\n      \
         - {{ name: http, type: http, url: \"http://{ADDRESS}/healthz\" }}\nlog: {{ format: text, level: info }}\n"
    );
    lab.write(node, CONFIG, &text).await?;
    lab.runner().spawn(node, &["sh", "-c", &format!("exec anycastd --config {CONFIG} >{LOG} 2>&1")], silent())
}
