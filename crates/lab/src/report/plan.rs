//! Which runs are made in which lab, and in what order.
//!
//! A crew is one lab with its runs, one after the other. Crews whose times are seconds are at work at once; the fast ones have the machine
//! for themselves.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use futures_util::{StreamExt as _, stream};

use super::{
    analysis,
    chance::Chance,
    data::{Method, Run},
    ground::Ground,
    methods::{self, COMPUTED, Measured, Routers, Way},
    names::{self, Kill},
};
use crate::programs::Programs;

/// How often a lab is given up and another brought up before it is said that it cannot be done.
const TRIES: u32 = 3;
/// How long round robin is watched after a kill, and in a quick report: longer than the name server takes to notice, in any case.
const WATCHED: Duration = Duration::from_secs(20);
const WATCHED_QUICKLY: Duration = Duration::from_secs(8);
/// The agents' times in a quick report.
const DRAIN_QUICKLY: &str = "{ graceful_shutdown: 1s, linger: 500ms }";

/// What is to be measured.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) measured: Vec<Measured>,
    pub(super) runs: u32,
    pub(super) seed: u64,
    pub(super) quick: bool,
    /// Labs at once, where that does no harm.
    pub(super) parallel: usize,
}

/// What has been measured so far, each run by its number.
#[derive(Debug, Default)]
pub(super) struct Collected {
    runs: Mutex<BTreeMap<Measured, BTreeMap<u32, Run>>>,
}

/// One lab, and its runs: their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Crew {
    work: Work,
    numbers: Vec<u32>,
}

/// What a crew does in each round.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Work {
    /// One kill, for everything that is measured beside names.
    Names,
    /// One failure in each way.
    Ways(Routers, Vec<Way>),
}

impl Plan {
    /// Makes all runs, and enters them as they come.
    pub(super) async fn carry_out(&self, programs: &Programs, collected: &Collected) -> anyhow::Result<()> {
        for (crews, at_once) in self.phases() {
            let mut working =
                stream::iter(&crews).map(|crew| self.work(crew, programs, collected)).buffer_unordered(at_once);
            while let Some(done) = working.next().await {
                done?;
            }
        }
        Ok(())
    }

    /// Crews, and how many of them are at work at once; one phase after the other.
    fn phases(&self) -> Vec<(Vec<Crew>, usize)> {
        let names = self.measured.iter().any(|measured| measured.is_beside_names());
        let names = if names { self.shares(Work::Names, self.parallel) } else { Vec::new() };
        let of = |slow: bool, crews: usize| -> Vec<Crew> {
            let works = Routers::ALL.map(|routers| Work::Ways(routers, self.ways(routers, slow)));
            let works = works.into_iter().filter(|work| !matches!(work, Work::Ways(_, ways) if ways.is_empty()));
            works.flat_map(|work| self.shares(work, crews)).collect()
        };
        // Both routers share what is at work at once.
        let (slow, fast) = (of(true, self.parallel.div_ceil(2)), of(false, 1));
        if self.quick {
            // Figures mean nothing then.
            return vec![([names, slow, fast].concat(), self.parallel)];
        }
        let phases = [(names, self.parallel), (slow, self.parallel), (fast, 1)];
        phases.into_iter().filter(|(crews, _)| !crews.is_empty()).collect()
    }

    fn ways(&self, routers: Routers, slow: bool) -> Vec<Way> {
        let wanted = |way: &Way| way.is_slow() == slow && self.measured.contains(&Measured::Anycast(*way, routers));
        Way::ALL.into_iter().filter(wanted).collect()
    }

    /// The rounds of a work in so many parts.
    fn shares(&self, work: Work, parts: usize) -> Vec<Crew> {
        let mut shares = vec![Vec::new(); parts.max(1)];
        for number in 0..self.runs {
            let index = number as usize % shares.len();
            shares[index].push(number);
        }
        let shares = shares.into_iter().filter(|numbers| !numbers.is_empty());
        shares.map(|numbers| Crew { work: work.clone(), numbers }).collect()
    }

    /// All rounds of a crew. A lab in which something goes wrong is given up, and the round is made in another.
    async fn work(&self, crew: &Crew, programs: &Programs, collected: &Collected) -> anyhow::Result<()> {
        let mut ground = self.ground(crew, programs).await?;
        let mut tries = 0;
        for number in &crew.numbers {
            while let Err(error) = self.round(&mut ground, crew, *number, collected).await {
                tries += 1;
                let error = error.context(format!("round {} of {}", number + 1, self.runs));
                if tries >= TRIES {
                    return Err(error);
                }
                eprintln!("anycast-lab: {error:#}; again, in another lab");
                // The old one goes first.
                drop(ground);
                ground = self.ground(crew, programs).await?;
            }
        }
        ground.clear().await
    }

    async fn ground(&self, crew: &Crew, programs: &Programs) -> anyhow::Result<Ground> {
        match &crew.work {
            Work::Names => {
                let kill = self.kill();
                let mut ground = Ground::set(programs, Routers::Frr, None, kill.words()).await?;
                ground.watch_names(&kill).await?;
                Ok(ground)
            }
            Work::Ways(routers, _) => {
                let drain = self.quick.then_some(DRAIN_QUICKLY);
                Ground::set(programs, *routers, drain, [Vec::new(), Vec::new()]).await
            }
        }
    }

    fn kill(&self) -> Kill {
        let ttls = self.measured.iter().filter_map(|measured| match measured {
            Measured::Switched(ttl) => Some(*ttl),
            _ => None,
        });
        Kill {
            ttls: ttls.collect(),
            round_robin: self.measured.contains(&Measured::RoundRobin),
            beside: self.measured.contains(&Measured::Beside),
            watched: if self.quick { WATCHED_QUICKLY } else { WATCHED },
        }
    }

    async fn round(&self, ground: &mut Ground, crew: &Crew, number: u32, collected: &Collected) -> anyhow::Result<()> {
        match &crew.work {
            Work::Names => {
                let mut chance = Chance::of(self.seed, "names", number);
                let runs = ground.kill_beside(&self.kill(), &mut chance).await.context("a kill, with names")?;
                for (measured, run) in runs {
                    self.enter(collected, measured, number, run);
                }
            }
            Work::Ways(routers, ways) => {
                for way in ways {
                    let measured = Measured::Anycast(*way, *routers);
                    let mut chance = Chance::of(self.seed, &measured.id(), number);
                    let run = ground.fail(*way, &mut chance).await.with_context(|| measured.id())?;
                    self.enter(collected, measured, number, run);
                }
            }
        }
        Ok(())
    }

    fn enter(&self, collected: &Collected, measured: Measured, number: u32, run: Run) {
        let first = run.first_good_ms.map_or("not any more".to_owned(), |ms| format!("{ms:.0} ms later"));
        eprintln!(
            "anycast-lab: {} {} of {}: {} of {} requests lost, the first good answer {first}",
            measured.id(),
            number + 1,
            self.runs,
            run.lost,
            run.requests
        );
        collected.lock().entry(measured).or_default().insert(number, run);
    }
}

impl Collected {
    /// Each method with its runs, in the order of the table; those without any are left out.
    pub(super) fn methods(&self, quick: bool) -> Vec<Method> {
        let mut methods = Vec::new();
        for (measured, runs) in &*self.lock() {
            let mut method = measured.method();
            if quick && matches!(measured, Measured::Anycast(Way::Drain, _)) {
                method.meaning += &format!(" Not so in this quick report: `drain: {DRAIN_QUICKLY}`.");
            }
            method.runs = runs.values().cloned().collect();
            let computed = (*measured == Measured::Switched(COMPUTED.1)).then(|| computed(&method));
            methods.push(method);
            methods.extend(computed);
        }
        methods
    }

    /// How many runs there are.
    pub(super) fn count(&self) -> usize {
        self.lock().values().map(BTreeMap::len).sum()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Measured, BTreeMap<u32, Run>>> {
        // A panic while entering leaves at worst a run out.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The method that follows from a measured one.
fn computed(from: &Method) -> Method {
    let runs = from.runs.iter().filter_map(|run| Some(analysis::scaled(run, names::switched_ms(run)?)));
    Method { runs: runs.collect(), ..methods::computed() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::data::{Event, Kind};

    fn plan(measured: Vec<Measured>, runs: u32, parallel: usize) -> Plan {
        Plan { measured, runs, seed: 1, quick: false, parallel }
    }

    #[test]
    fn every_run_is_made_once_and_fast_ones_alone() {
        let phases = plan(Measured::all(), 5, 4).phases();
        let told: Vec<_> = phases
            .iter()
            .map(|(crews, at_once)| {
                let numbers: Vec<_> = crews.iter().map(|crew| crew.numbers.clone()).collect();
                (numbers, *at_once)
            })
            .collect();
        let halves = [vec![0, 2, 4], vec![1, 3]];
        assert_eq!(told[0], (vec![vec![0, 4], vec![1], vec![2], vec![3]], 4));
        assert_eq!(told[1], ([halves.clone(), halves].concat(), 4));
        assert_eq!(told[2], (vec![vec![0, 1, 2, 3, 4]; 2], 1));
        let fast = vec![Way::Listener, Way::Polling, Way::AgentKilled, Way::FrozenBfd];
        assert_eq!(phases[2].0[1].work, Work::Ways(Routers::Bird, fast));
        assert_eq!(phases[1].0[0].work, Work::Ways(Routers::Frr, vec![Way::FrozenHoldTime, Way::Drain]));
    }

    #[test]
    fn only_what_is_wanted_is_measured() {
        let phases = plan(vec![Measured::Anycast(Way::Drain, Routers::Bird)], 1, 1).phases();
        let work = Work::Ways(Routers::Bird, vec![Way::Drain]);
        assert_eq!(phases, [(vec![Crew { work, numbers: vec![0] }], 1)]);
        let quick = Plan { quick: true, ..plan(Measured::all(), 1, 2) };
        let at_once: Vec<_> = quick.phases().iter().map(|(crews, at_once)| (crews.len(), *at_once)).collect();
        assert_eq!(at_once, [(5, 2)]);
        let kill = plan(vec![Measured::RoundRobin, Measured::Switched(30)], 1, 1).kill();
        assert_eq!((kill.ttls, kill.round_robin, kill.beside), (vec![30], true, false));
    }

    #[test]
    fn the_longer_ttl_follows_its_measured_one() {
        let collected = Collected::default();
        let dns = |at_ms| Event { at_ms, kind: Kind::Name, node: "dns".to_owned(), text: String::new() };
        let run = |first_good_ms: f64, events| Run {
            requests: 100,
            lost: 10,
            first_good_ms: Some(first_good_ms),
            recovered_ms: Some(first_good_ms),
            watched_ms: 2.0 * first_good_ms,
            events,
        };
        let plan = plan(Vec::new(), 2, 1);
        plan.enter(&collected, Measured::Switched(60), 1, run(13_000.0, vec![dns(3000.0)]));
        plan.enter(&collected, Measured::Switched(60), 0, run(9000.0, Vec::new()));
        plan.enter(&collected, Measured::RoundRobin, 0, run(1.0, Vec::new()));
        let methods = collected.methods(false);
        let told: Vec<_> = methods.iter().map(|method| (method.id.as_str(), method.runs.len())).collect();
        assert_eq!(told, [("dns-round-robin", 1), ("dns-ttl-60", 2), ("dns-ttl-300", 1)]);
        assert_eq!(methods[1].runs[0].first_good_ms, Some(9000.0));
        assert_eq!(methods[2].runs[0].first_good_ms, Some(53_000.0));
        assert_eq!(collected.count(), 3);
    }
}
