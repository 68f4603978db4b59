//! What all acts do: wait until the traffic has moved, and have told what was seen of it.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;

use super::{
    analysis::{self, Requests, Sent, Wire, losses},
    book::{Book, Seen},
    hands::{Hands, Program},
    places::{self, PREFIXES, REGIONS, Region, TARGETS},
    report::{Act, Failure, Source, Traffic, ms},
    screen::Screen,
    watchers::{Lasts, Watchers},
};
use crate::{
    runner::Runner,
    tools::record::{Flag, How, Nanos},
};

/// How long all must have been well for the traffic to have settled.
const CALM: Duration = Duration::from_millis(500);
/// A request that was under way when the fault came is counted.
const UNDER_WAY: Duration = Duration::from_millis(10);
/// The agent tells milliseconds, cut off.
const AGENT_GRAIN: Duration = Duration::from_millis(1);
/// How late a capture or a route monitor may be.
const CATCH_UP: Duration = Duration::from_secs(3);
/// How long the tools may take to start.
const START: Duration = Duration::from_secs(20);
/// Where the captures are kept in their nodes.
const PCAP: &str = "/var/log/bgp.pcap";

/// The lab with everything that watches it.
pub(super) struct Stage {
    pub(super) hands: Hands,
    pub(super) book: Arc<Book>,
    pub(super) screen: Screen,
    watchers: Watchers,
    /// The addresses of each node.
    addresses: BTreeMap<String, Vec<String>>,
}

/// A move of traffic.
#[derive(Debug, Clone)]
pub(super) struct Move {
    /// Away from it, or back to it.
    pub(super) node: &'static str,
    pub(super) region: Region,
    /// Who may answer the region's client once it is over.
    pub(super) expected: Vec<&'static str>,
    /// How long it may take.
    pub(super) limit: Duration,
}

/// In which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Away,
    Back,
}

impl Stage {
    /// Starts what watches, and waits until it does.
    pub(super) async fn set(runner: Arc<dyn Runner>, screen: Screen, keep_pcap: bool) -> anyhow::Result<Self> {
        places::check(runner.topology())?;
        let hands = Hands::new(runner.clone());
        let mut addresses = BTreeMap::new();
        for node in runner.topology().nodes.keys() {
            addresses.insert(node.clone(), hands.addresses(node).await?.own);
        }
        let book = Arc::new(Book::new());
        let mut watchers = Watchers::new(runner, book.clone());
        let since = humantime::format_rfc3339_millis(std::time::SystemTime::now()).to_string();
        for region in REGIONS {
            let targets = TARGETS.iter().flat_map(|target| ["--target", target]);
            let probe: Vec<&str> = ["probe"].into_iter().chain(targets).collect();
            watchers.tool(region.client, &probe, Lasts::Always)?;
            watchers.routes(region.router)?;
            for edge in region.edges {
                let capture: &[&str] = if keep_pcap { &["capture", "--pcap", PCAP] } else { &["capture"] };
                watchers.tool(edge, capture, Lasts::Always)?;
                watchers.agent(edge, since.clone());
            }
        }
        let tools = REGIONS.iter().map(|region| 1 + region.edges.len()).sum::<usize>();
        let ready = book.until(START, |seen| (seen.ready.values().sum::<usize>() == tools).then_some(())).await?;
        ready.with_context(|| format!("the tools that watch have not started within {START:?}"))?;
        Ok(Self { hands, book, screen, watchers, addresses })
    }

    /// Ends what watches, and fetches the captures.
    pub(super) async fn clear(self, keep_pcap: Option<&Path>) -> anyhow::Result<()> {
        self.watchers.stop().await;
        let Some(directory) = keep_pcap else { return Ok(()) };
        tokio::fs::create_dir_all(directory).await.with_context(|| directory.display().to_string())?;
        for edge in REGIONS.iter().flat_map(|region| region.edges) {
            self.hands.fetch(edge, PCAP, &directory.join(format!("{edge}.pcap"))).await?;
        }
        Ok(())
    }

    /// Begins a long request; returns once it is being answered, and by whom.
    pub(super) async fn long_request(&mut self, client: &str, seconds: &str) -> anyhow::Result<Option<String>> {
        let since = Nanos::now();
        self.watchers.tool(client, &["slow", "--target", TARGETS[0], "--seconds", seconds], Lasts::Once)?;
        let begun = |seen: &Seen| {
            let open = seen.open.get(client)?.iter().find(|(at, _)| *at >= since)?;
            Some(open.1.clone())
        };
        self.book.until(START, begun).await
    }

    /// Waits until the traffic has moved, and adds to the act what was seen of it. What does not move is a failure.
    pub(super) async fn moved(&self, act: &mut Act, change: &Move, way: Way) -> anyhow::Result<()> {
        let settled = self.settled(act.at, change, way, CALM).await?;
        self.add_seen(act, change, way, settled).await
    }

    /// Until which time of sending the requests settle the matter: none was lost or answered by the wrong node in the last
    /// stretch of it.
    pub(super) async fn settled(
        &self,
        since: Nanos,
        change: &Move,
        way: Way,
        calm: Duration,
    ) -> anyhow::Result<Option<Nanos>> {
        let client = change.region.client;
        let arrived = |requests: &Requests| match way {
            Way::Away => analysis::first_elsewhere(requests, since, change.node).is_some(),
            Way::Back => analysis::first_from(requests, since, change.node).is_some(),
        };
        let settled = |seen: &Seen| {
            let decided = *seen.decided.get(client)?;
            let mut trouble = since;
            for how in [How::Udp, How::Http] {
                for (_, requests) in seen.series(client, how) {
                    trouble = trouble.max(analysis::last_trouble(requests, since, &change.expected).unwrap_or(since));
                }
            }
            let end = trouble.plus(calm);
            let all_arrived = || seen.series(client, How::Udp).all(|(_, requests)| arrived(requests));
            (decided >= end && all_arrived()).then_some(end)
        };
        self.book.until(change.limit, settled).await
    }

    /// Adds what was seen up to `end`.
    pub(super) async fn add_seen(
        &self,
        act: &mut Act,
        change: &Move,
        way: Way,
        end: Option<Nanos>,
    ) -> anyhow::Result<()> {
        if let Some(end) = end {
            self.catch_up(act.at, change, way, end).await?;
        }
        {
            let seen = self.book.seen();
            let decided = seen.decided.get(change.region.client).copied().unwrap_or_default();
            add_check(act, &seen, change.node, way);
            self.add_wire(act, &seen, change.node, way);
            self.add_routes(act, &seen, change, way);
            add_traffic(act, &seen, change.region.client, end.unwrap_or(decided));
            add_answers(act, &seen, change, way);
        }
        act.events.sort_by_key(|event| event.at);
        if end.is_none() {
            let failure = self.not_moved(change).await;
            act.failures.push(failure);
        }
        Ok(())
    }

    /// The traffic has moved, so the messages and the routes have; those who tell of them may be late on a busy machine.
    async fn catch_up(&self, since: Nanos, change: &Move, way: Way, end: Nanos) -> anyhow::Result<()> {
        let hops = self.addresses.get(change.node).map(Vec::as_slice).unwrap_or_default();
        let told = |seen: &Seen| {
            let changes = seen.routes.get(change.region.router)?;
            let route = |prefix| analysis::route_change(changes, since, prefix, hops, way == Way::Back);
            let routes = PREFIXES.iter().all(|prefix| route(prefix).is_some());
            (routes && *seen.decided.get(change.node)? >= end).then_some(())
        };
        self.book.until(CATCH_UP, told).await.map(drop)
    }

    /// Shows what an act has found.
    pub(super) fn show(&self, act: &Act) {
        for event in &act.events {
            self.screen.event(event);
        }
        if !act.traffic.is_empty() {
            self.screen.say(&in_words(act));
        }
        for failure in &act.failures {
            self.screen.failure(failure);
        }
    }

    /// What the node's BGP session showed.
    fn add_wire(&self, act: &mut Act, seen: &Seen, node: &str, way: Way) {
        let records = seen.wire.get(node).map(Vec::as_slice).unwrap_or_default();
        let wire = Wire { records, own: self.addresses.get(node).map(Vec::as_slice).unwrap_or_default() };
        let at = act.at;
        let mut first = None;
        let mut tell = |act: &mut Act, sent: Option<Sent<'_>>, what: &str| {
            let Some(Sent { message, acked }) = sent else { return };
            let acked = acked.map_or(String::new(), |acked| {
                format!(", acknowledged {} ms later", ms(acked.millis_since(message.at)))
            });
            act.event(message.at, Source::Capture, node, format!("{what}{acked}"));
            first = Nanos::earlier(first, Some(message.at));
        };
        for prefix in PREFIXES {
            match way {
                Way::Away => {
                    tell(act, wire.announce(at, prefix, true), &format!("GRACEFUL_SHUTDOWN on {prefix}"));
                    tell(act, wire.withdraw(at, prefix), &format!("withdraw of {prefix}"));
                }
                Way::Back => tell(act, wire.announce(at, prefix, false), &format!("announcement of {prefix}")),
            }
        }
        if way == Way::Away {
            if let Some((closed, flag)) = wire.close(at) {
                let flag = if flag == Flag::Fin { "FIN" } else { "RST" };
                act.event(closed, Source::Capture, node, format!("its BGP connection closes ({flag})"));
                first = Nanos::earlier(first, Some(closed));
            }
            if let Some(notification) = wire.notification(at) {
                let from = self.name(&notification.from.ip().to_string());
                let note = notification.note.clone().unwrap_or_default();
                act.event(notification.at, Source::Capture, node, format!("NOTIFICATION of {from}: {note}"));
                first = Nanos::earlier(first, Some(notification.at));
            }
        }
        act.steps.wire = first;
    }

    /// The last word of a node on its BGP session before the act began.
    pub(super) fn last_word(&self, act: &Act, node: &str) -> Option<Nanos> {
        let seen = self.book.seen();
        let records = seen.wire.get(node)?;
        Wire { records, own: self.addresses.get(node)? }.last_word(act.at)
    }

    fn add_routes(&self, act: &mut Act, seen: &Seen, change: &Move, way: Way) {
        let router = change.region.router;
        let changes = seen.routes.get(router).map(Vec::as_slice).unwrap_or_default();
        let hops = self.addresses.get(change.node).map(Vec::as_slice).unwrap_or_default();
        for prefix in PREFIXES {
            let found = analysis::route_change(changes, act.at, prefix, hops, way == Way::Back);
            let Some(found) = found else { continue };
            let via: Vec<String> = found.via.iter().map(|hop| self.name(hop)).collect();
            let text = if found.deleted { "gone".to_owned() } else { format!("via {}", via.join(" and ")) };
            act.event(found.at, Source::RouteMonitor, router, format!("{prefix} {text}"));
            act.steps.route = Nanos::earlier(act.steps.route, Some(found.at));
        }
    }

    /// The node that has an address, or the address.
    fn name(&self, address: &str) -> String {
        let node = self.addresses.iter().find(|(_, own)| own.iter().any(|other| other == address));
        node.map_or(address, |(node, _)| node).to_owned()
    }

    async fn not_moved(&self, change: &Move) -> Failure {
        let client = change.region.client;
        let served = {
            let seen = self.book.seen();
            let to = seen.decided.get(client).copied().unwrap_or_default();
            let from = to.minus(Duration::from_secs(1));
            let series = seen.series(client, How::Udp);
            series
                .map(|(series, requests)| format!("{}: {}", series.target, shares(requests, from, to).join(", ")))
                .collect::<Vec<_>>()
        };
        Failure {
            expected: format!(
                "{client} is answered by {} and nobody else, within {} s",
                change.expected.join(" or "),
                change.limit.as_secs()
            ),
            seen: format!("in the last second {}", served.join("; ")),
            look: format!("{} in {}, whose end is", Program::Agent.log(), change.node),
            log: self.hands.tail(change.node, Program::Agent.log()).await,
        }
    }
}

/// Who answered what share of the requests of a stretch of time.
pub(super) fn shares(requests: &Requests, from: Nanos, to: Nanos) -> Vec<String> {
    let losses = losses(requests, from, to);
    if losses.sent == 0 {
        return vec!["nothing asked".to_owned()];
    }
    let share = |count: usize| (100.0 * count as f64 / losses.sent as f64).round();
    let mut parts: Vec<_> = losses.served_by.iter().map(|(node, count)| format!("{node} {}%", share(*count))).collect();
    if losses.lost > 0 {
        parts.push(format!("lost {}%", share(losses.lost)));
    }
    parts
}

/// What was lost. A TCP request that was under way when the route moved is counted apart: no anycast could save it.
fn add_traffic(act: &mut Act, seen: &Seen, client: &str, to: Nanos) {
    let from = act.at.minus(UNDER_WAY);
    let routes = act.events.iter().filter(|event| event.source == Source::RouteMonitor);
    let moves: Vec<Nanos> = routes.map(|event| event.at).collect();
    for how in [How::Udp, How::Http] {
        for (series, requests) in seen.series(client, how) {
            let mut requests: Requests =
                requests.range(from..to.max(from)).map(|(at, one)| (*at, one.clone())).collect();
            if how == How::Http {
                let caught = analysis::caught(&requests, &moves);
                act.long.extend(caught.iter().filter_map(|sent| requests.remove(sent)));
            }
            let (client, target) = (client.to_owned(), series.target.clone());
            act.traffic.push(Traffic { client, how, target, from, to, losses: losses(&requests, from, to) });
        }
    }
}

/// The agent's own word: when it had made up its mind.
fn add_check(act: &mut Act, seen: &Seen, node: &str, way: Way) {
    let turned = if way == Way::Away { "→ down" } else { "→ up" };
    let since = act.at.minus(AGENT_GRAIN);
    let events = seen.agents.get(node).into_iter().flatten();
    let checks = events.filter(|event| event.kind == "check" && event.text.contains(turned));
    let mut checks = checks.map(|event| (Nanos::from(event.at.system_time()), event)).filter(|(at, _)| *at >= since);
    if let Some((at, event)) = checks.next() {
        act.event(at, Source::Agent, node, format!("check {}: {}", event.subject, event.text));
        act.steps.check = Some(at);
    }
}

fn add_answers(act: &mut Act, seen: &Seen, change: &Move, way: Way) {
    let client = change.region.client;
    for how in [How::Udp, How::Http] {
        for (series, requests) in seen.series(client, how) {
            let first = match way {
                Way::Away => analysis::first_elsewhere(requests, act.at, change.node),
                Way::Back => analysis::first_from(requests, act.at, change.node).map(|at| (at, change.node)),
            };
            let Some((at, by)) = first else { continue };
            let text = format!("{how} {}: first answer from {by}", series.target);
            act.event(at, Source::Probe, client, text);
            if how == How::Udp {
                act.steps.answer = Nanos::earlier(act.steps.answer, Some(at));
            }
        }
    }
}

/// What was lost.
fn in_words(act: &Act) -> String {
    let client = act.traffic.first().map_or("", |traffic| &traffic.client);
    let lost = |how: How| {
        let sum = act.sum(how);
        match sum.lost {
            0 => format!("{how} none of {} lost", sum.sent),
            lost if sum.lossy_ms > sum.longest_gap_ms => format!(
                "{how} {lost} of {} lost, over {} ms, longest gap {} ms",
                sum.sent,
                ms(sum.lossy_ms),
                ms(sum.longest_gap_ms)
            ),
            lost => format!("{how} {lost} of {} lost, longest gap {} ms", sum.sent, ms(sum.longest_gap_ms)),
        }
    };
    let caught = act.long.iter().filter(|request| request.how == How::Http).count();
    let apart = match caught {
        0 => String::new(),
        1 => "; 1 HTTP request was under way when the route moved, was reset, and is counted apart".to_owned(),
        many => {
            format!("; {many} HTTP requests were under way when the route moved, were reset, and are counted apart")
        }
    };
    format!("{client}: {}; {}{apart}.", lost(How::Udp), lost(How::Http))
}
