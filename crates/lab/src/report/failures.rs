//! A node whose address is anycast fails, in each way.

use std::time::Duration;

use anyhow::{bail, ensure};
use nix::sys::signal::Signal;

use super::{
    analysis::{self, CALM, Watch},
    chance::Chance,
    data::{Event, Run},
    events::{Scope, sorted},
    ground::{ADDRESS, CLIENT, CLIENTS, Care, FAILS, Ground, MOVE, PREFIX, ROUTER, TRANSIT, all_around, requests},
    methods::Way,
};
use crate::{
    harness::AMPLE,
    runner,
    tools::record::{Nanos, Record},
};

/// How long `withdraw --wait` may take.
const DRAIN: Duration = Duration::from_secs(60);

/// Something that was done to the node.
struct Deed {
    at: Nanos,
    text: String,
}

impl Ground {
    /// Has the node fail, and come back; what was seen of it.
    pub(super) async fn fail(&mut self, way: Way, chance: &mut Chance) -> anyhow::Result<Run> {
        self.book.seen().forget();
        self.ready(Care::of(way)).await?;
        let wait = chance.below(way.spread());
        self.pass(wait).await;
        let deeds = self.strike(way).await?;
        let Some(from) = deeds.first().map(|deed| deed.at) else { bail!("nothing was done") };
        let last = deeds.last().map_or(from, |deed| deed.at);
        let settled = self.settled(&self.away(), from, MOVE).await?;
        let watch = Watch { from, to: settled.max(last.plus(CALM)) };
        self.known(&CLIENTS, watch.to).await?;
        // Who is killed or stands still cannot be asked.
        let words = match way {
            Way::Listener | Way::Polling | Way::Drain => self.words(from).await,
            Way::AgentKilled | Way::FrozenBfd | Way::FrozenHoldTime => Vec::new(),
        };
        let mut run = {
            let seen = self.book.seen();
            let series = all_around(&seen, &CLIENTS.map(|client| (client, ADDRESS)), watch)?;
            let mut run = analysis::run(&series, FAILS, watch);
            let scope = Scope { seen: &seen, watch, failed: FAILS, client: CLIENT };
            run.events = told(&scope, &deeds);
            run.events.extend(scope.words(&words));
            match way {
                Way::FrozenHoldTime => run.events.extend(scope.last_word(ROUTER)),
                Way::FrozenBfd => run.events.extend(scope.bfd(ROUTER)),
                Way::Listener | Way::Polling | Way::AgentKilled | Way::Drain => {}
            }
            run
        };
        if let Some(failure) = run.events.first_mut() {
            failure.text += &format!(" ({} ms of the wait before were left to chance)", wait.as_millis());
        }
        run.events = sorted(run.events);
        self.mend(way).await?;
        Ok(run)
    }

    /// What was done, in order; the first is the failure, or the order, and is right before it.
    async fn strike(&mut self, way: Way) -> anyhow::Result<Vec<Deed>> {
        let deed = |at, text: &str| Deed { at, text: text.to_owned() };
        match way {
            Way::Listener | Way::Polling => Ok(vec![deed(self.kill_service().await?, "the service is killed")]),
            Way::AgentKilled => {
                let at = self.kill_both()?;
                self.kill_all().await?;
                Ok(vec![deed(at, "the service and the agent are killed")])
            }
            Way::FrozenBfd | Way::FrozenHoldTime => {
                let said = self.lab.run(FAILS, &[&self.lab.runner().tool(FAILS), "tool", "freeze"]).await?;
                let record: Record = serde_json::from_str(said.lines().next().unwrap_or_default())?;
                let Record::Killed { at, .. } = record else { bail!("it says {said}") };
                Ok(vec![deed(at, "every program of the node is stopped")])
            }
            Way::Drain => {
                let at = Nanos::now();
                let argv = ["anycastctl", "withdraw", "--reason", "report", "--wait", "--timeout", "60s"];
                let said = runner::output(self.lab.runner(), FAILS, &argv, DRAIN + AMPLE).await?;
                let safe = Nanos::now();
                ensure!(said.trim_end().ends_with("safe to stop"), "it is not said to be safe to stop: {said}");
                let killed = self.kill_service().await?;
                Ok(vec![
                    deed(at, "anycastctl withdraw --wait"),
                    deed(safe, "\"safe to stop\""),
                    deed(killed, "the service is killed"),
                ])
            }
        }
    }

    /// Kills the service and then the agent, without waiting between the two.
    fn kill_both(&self) -> anyhow::Result<Nanos> {
        let agent = self.agent()?;
        let at = Nanos::now();
        if let Some(service) = &self.service {
            service.signal(Signal::SIGKILL)?;
        }
        agent.signal(Signal::SIGKILL)?;
        Ok(at)
    }

    /// Takes back what was done; whoever is missing then is started before the next failure.
    async fn mend(&mut self, way: Way) -> anyhow::Result<()> {
        match way {
            Way::Listener | Way::Polling | Way::AgentKilled => Ok(()),
            Way::FrozenBfd | Way::FrozenHoldTime => {
                // As they are: they would say goodbye else.
                self.kill_all().await?;
                self.lab.run(FAILS, &[&self.lab.runner().tool(FAILS), "tool", "freeze", "--thaw"]).await.map(drop)
            }
            Way::Drain => {
                self.serve()?;
                self.healthy().await?;
                self.lab.run(FAILS, &["anycastctl", "announce"]).await.map(drop)
            }
        }
    }
}

/// What happened, the failure first.
fn told(scope: &Scope<'_>, deeds: &[Deed]) -> Vec<Event> {
    let mut events: Vec<Event> = deeds.iter().map(|deed| scope.failure(deed.at, deed.text.as_str())).collect();
    if let Some(asked) = requests(scope.seen, CLIENT, ADDRESS) {
        events.extend(scope.users(asked));
    }
    events.extend(scope.packets(ROUTER));
    for router in [ROUTER, TRANSIT] {
        events.extend(scope.routes(router, PREFIX));
    }
    events
}
