//! The service is killed, and clients find another by name: round robin and switched answers at several TTLs, and anycast beside them, all
//! at one kill.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::sleep;

use super::{
    analysis::{self, Watch},
    chance::Chance,
    data::{Event, Run},
    events::{Scope, sorted},
    ground::{
        ADDRESS, CLIENT, CLIENTS, Care, FAILS, Goal, Ground, MOVE, PREFIX, ROUTER, TAKES_OVER, TRANSIT, all_around,
        requests,
    },
    methods::{Measured, TTLS},
};
use crate::{
    demo::{
        book::Seen,
        watchers::{Lasts, Watchers},
    },
    harness::AMPLE,
    tools::record::Nanos,
};

/// The node with the name server, which is asked there for its answers.
const AUTHORITY: &str = "dns";
/// Where it answers, and how often it is asked: that often its change may be seen late.
const SERVER: &str = "192.0.2.66:53";
/// Each client's resolver: its node, and where it answers.
const RESOLVERS: [(&str, &str); 2] = [("us-resolver", "198.51.100.18:53"), ("eu-resolver", "198.51.100.50:53")];
/// Each client's region, with which its names begin.
const REGIONS: [&str; 2] = ["us", "eu"];
/// The name of both nodes.
const ALL: &str = "all.lab.example";
/// What a client does besides: a request to each of its names every 50 ms.
const EVERY: &str = "50";
/// Clients of round robin in each region, each of which asks once a second.
const KEEPERS: &str = "20";
/// How long before the kill they may have looked the name up at most: less than its TTL, so that nobody looks it up again while it is
/// watched.
const LOOKED_UP: Duration = Duration::from_secs(35);
/// And at least: each asks once a second.
const FIRST_REQUESTS: Duration = Duration::from_secs(2);
/// What the name server is authoritative for.
const ZONE: &str = "lab.example";
/// How often the caches are emptied until there is in them what should be, and how long that is waited for each time: the name server
/// gives another answer a second after it says so in its log.
const TIMES: u32 = 8;
const AGAIN: Duration = Duration::from_secs(4);
/// Until the name server's health checks have both nodes well.
const CHECKED: &str = "for node in 192.0.2.2 192.0.2.18; do grep -q \"'$node/web' changed from DOWN.*to UP\" /var/log/gdnsd.log || exit 1; done";

/// What is measured at a kill.
#[derive(Debug, Clone)]
pub(super) struct Kill {
    /// Of switched answers, in seconds.
    pub(super) ttls: Vec<u32>,
    pub(super) round_robin: bool,
    pub(super) beside: bool,
    /// How long round robin is watched.
    pub(super) watched: Duration,
}

impl Kill {
    /// The words for a client's probe.
    pub(super) fn words(&self) -> [Vec<String>; 2] {
        let words = |region: &str, resolver: &str| {
            let names = self.ttls.iter().flat_map(|ttl| ["--lookup".to_owned(), name(region, *ttl)]);
            let how = ["--lookup-every", EVERY, "--resolver", resolver].map(str::to_owned);
            if self.ttls.is_empty() { Vec::new() } else { names.chain(how).collect() }
        };
        [words(REGIONS[0], RESOLVERS[0].1), words(REGIONS[1], RESOLVERS[1].1)]
    }

    /// At the name server: one name, even where none is asked by a client.
    fn watched_ttls(&self) -> impl Iterator<Item = u32> {
        self.ttls.iter().copied().chain(self.ttls.is_empty().then_some(TTLS[0]))
    }

    /// All caches are filled anew at random within this time: the longest TTL.
    fn spread(&self) -> Duration {
        Duration::from_secs(self.ttls.iter().copied().max().unwrap_or(2).into())
    }
}

fn name(region: &str, ttl: u32) -> String {
    format!("{region}-{ttl}.lab.example")
}

/// As the book calls a client's round robin.
fn keeper(client: &str) -> String {
    format!("{client}/{ALL}")
}

impl Ground {
    /// Has the name server's answers watched, and waits until it knows both nodes.
    pub(super) async fn watch_names(&mut self, kill: &Kill) -> anyhow::Result<()> {
        self.serve()?;
        self.ready(Care::HINTED).await?;
        let names: Vec<String> = kill.watched_ttls().map(|ttl| name(REGIONS[0], ttl)).collect();
        let mut words = vec!["names", "--resolver", SERVER, "--every", "100"];
        words.extend(names.iter().flat_map(|name| ["--lookup", name.as_str()]));
        self.watchers.tool(AUTHORITY, &words, Lasts::Always)?;
        let checked = async || Ok(self.lab.run(AUTHORITY, &["sh", "-c", CHECKED]).await.ok());
        self.lab.wait("the name server finds both nodes well", checked).await.map(drop)
    }

    /// Kills the service once, with all caches at a random age, and brings it back.
    pub(super) async fn kill_beside(
        &mut self,
        kill: &Kill,
        chance: &mut Chance,
    ) -> anyhow::Result<Vec<(Measured, Run)>> {
        self.ready(Care::HINTED).await?;
        let names: Vec<[String; 2]> = kill.ttls.iter().map(|ttl| REGIONS.map(|region| name(region, *ttl))).collect();
        let home: Vec<_> =
            names.iter().flat_map(|[us, eu]| [goal(CLIENTS[0], us, FAILS), goal(CLIENTS[1], eu, TAKES_OVER)]).collect();
        self.filled(&home).await?;
        let wait = FIRST_REQUESTS + chance.below(kill.spread());
        let early = (FIRST_REQUESTS + chance.below(LOOKED_UP - FIRST_REQUESTS)).min(wait);
        sleep(wait.saturating_sub(early)).await;
        let keepers = if kill.round_robin { Some(self.keepers().await?) } else { None };
        // A minute of requests that all were well.
        self.book.seen().forget();
        self.pass(early).await;
        let from = self.kill_service().await?;
        let runs = self.watch_kill(kill, &names, from, wait).await;
        if let Some(keepers) = keepers {
            keepers.stop().await;
        }
        let runs = runs?;
        let back = Nanos::now();
        self.serve()?;
        for ttl in kill.watched_ttls() {
            self.found_again(&name(REGIONS[0], ttl), back).await?;
        }
        Ok(runs)
    }

    /// Has all caches filled anew, with each region's own node.
    async fn filled(&self, home: &[Goal<'_>]) -> anyhow::Result<()> {
        for _ in 0..TIMES {
            self.flush(ZONE).await?;
            if self.settled(home, Nanos::now(), AGAIN).await.is_ok() {
                return Ok(());
            }
        }
        bail!("the resolvers do not give each region's own node after {TIMES} times")
    }

    /// Clients that look the name of both nodes up now, and keep what they are told.
    async fn keepers(&self) -> anyhow::Result<Watchers> {
        self.flush(ALL).await?;
        let mut watchers = Watchers::new(self.runner.clone(), self.book.clone());
        for (client, (_, resolver)) in CLIENTS.into_iter().zip(RESOLVERS) {
            let words = [
                "probe",
                "--lookup",
                ALL,
                "--resolver",
                resolver,
                "--keepers",
                KEEPERS,
                "--lookup-every",
                "1000",
                "--timeout=1000",
            ];
            watchers.tool_as(client, &keeper(client), &words, Lasts::Always)?;
        }
        Ok(watchers)
    }

    /// Waits for whatever comes of it.
    async fn watch_kill(
        &self,
        kill: &Kill,
        names: &[[String; 2]],
        from: Nanos,
        wait: Duration,
    ) -> anyhow::Result<Vec<(Measured, Run)>> {
        let text = format!(
            "the service is killed ({:.1} s of the wait before, with which the caches' answers grew older, were left to chance)",
            wait.saturating_sub(FIRST_REQUESTS).as_secs_f64()
        );
        let mut runs = Vec::new();
        if kill.beside {
            let to = self.settled(&self.away(), from, MOVE).await?;
            let asked = CLIENTS.map(|client| (client, ADDRESS));
            runs.push((Measured::Beside, self.run(&asked, Watch { from, to }, &text, routes).await?));
        }
        if kill.round_robin {
            let watch = Watch { from, to: from.plus(kill.watched) };
            let clients = CLIENTS.map(keeper);
            let asked = [(clients[0].as_str(), ALL), (clients[1].as_str(), ALL)];
            runs.push((Measured::RoundRobin, self.run(&asked, watch, &text, |_| Vec::new()).await?));
        }
        for (ttl, [us, eu]) in kill.ttls.iter().zip(names) {
            // Detection, what is left in the cache, and one more life of it: an answer that is fetched right before the switch.
            let limit = MOVE + 2 * Duration::from_secs((*ttl).into());
            let to = self.settled(&[goal(CLIENT, us, TAKES_OVER)], from, limit).await?;
            let asked = [(CLIENTS[0], us.as_str()), (CLIENTS[1], eu.as_str())];
            let told = |scope: &Scope<'_>| switched(scope, us);
            runs.push((Measured::Switched(*ttl), self.run(&asked, Watch { from, to }, &text, told).await?));
        }
        Ok(runs)
    }

    async fn run(
        &self,
        asked: &[(&str, &str)],
        watch: Watch,
        text: &str,
        told: impl Fn(&Scope<'_>) -> Vec<Event>,
    ) -> anyhow::Result<Run> {
        let mut clients: Vec<&str> = asked.iter().map(|(client, _)| *client).collect();
        clients.dedup();
        self.known(&clients, watch.to).await?;
        let seen = self.book.seen();
        let series = all_around(&seen, asked, watch)?;
        let mut run = analysis::run(&series, FAILS, watch);
        let scope = Scope { seen: &seen, watch, failed: FAILS, client: CLIENT };
        let mut events = vec![scope.failure(watch.from, text)];
        if let Some((client, target)) = asked.first()
            && let Some(requests) = requests(&seen, client, target)
        {
            events.extend(scope.users(requests));
        }
        events.extend(told(&scope));
        run.events = sorted(events);
        Ok(run)
    }

    /// Has the resolvers forget a zone, or a name of it.
    async fn flush(&self, zone: &str) -> anyhow::Result<()> {
        for (resolver, _) in RESOLVERS {
            self.lab.run(resolver, &["unbound-control", "-c", "/etc/unbound/lab.conf", "flush_zone", zone]).await?;
        }
        Ok(())
    }

    /// Waits until the name server answers with the node again.
    async fn found_again(&self, name: &str, since: Nanos) -> anyhow::Result<()> {
        let found = |seen: &Seen| {
            let last = seen.names.get(AUTHORITY)?.iter().rfind(|told| told.name == name)?;
            (last.at >= since && last.addresses.iter().any(|address| address.to_string() == "192.0.2.2")).then_some(())
        };
        self.book.until(AMPLE, found).await?.context("the name server does not find the node well again")
    }
}

fn goal<'a>(client: &'a str, target: &'a str, node: &'a str) -> Goal<'a> {
    Goal { client, target, node }
}

/// The way of the routes, at a kill.
fn routes(scope: &Scope<'_>) -> Vec<Event> {
    let routes = [ROUTER, TRANSIT].into_iter().flat_map(|router| scope.routes(router, PREFIX));
    scope.packets(ROUTER).into_iter().chain(routes).collect()
}

/// When the name server had another answer, and when the client's resolver did. All names of a region are switched at once.
fn switched(scope: &Scope<'_>, name: &str) -> Vec<Event> {
    let authority = scope.names(AUTHORITY, AUTHORITY, name);
    authority.into_iter().chain(scope.names(CLIENT, RESOLVERS[0].0, name)).collect()
}

/// When the name server had another answer, in milliseconds after the failure, by a run's events.
pub(super) fn switched_ms(run: &Run) -> Option<f64> {
    run.events.iter().find(|event| event.node == AUTHORITY).map(|event| event.at_ms)
}
