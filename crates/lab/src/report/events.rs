//! What happened in a run, in the order of time: pure, from what was seen outside of the agent, and its own words marked as such.

use std::net::SocketAddr;

use anycast_api::Event as Word;

use super::{
    analysis::{Marks, Watch, around},
    data::{Event, Kind},
};
use crate::{
    demo::{analysis::Requests, book::Seen},
    tools::record::{Flag, Message, Nanos, Record},
};

/// The nodes, by their addresses.
const NODES: [(&str, &str); 9] = [
    ("192.0.2.2", "us-edge"),
    ("192.0.2.1", "us-rtr"),
    ("192.0.2.130", "us-rtr"),
    ("192.0.2.129", "transit"),
    ("192.0.2.133", "transit"),
    ("192.0.2.134", "eu-rtr"),
    ("192.0.2.17", "eu-rtr"),
    ("192.0.2.18", "eu-edge"),
    ("192.0.2.66", "dns"),
];
/// More packets, routes or words of one run than this say nothing more.
const MOST: usize = 12;

/// Whose events are told.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) seen: &'a Seen,
    pub(super) watch: Watch,
    /// The node that fails.
    pub(super) failed: &'a str,
    /// The client whose node it is.
    pub(super) client: &'a str,
}

impl Scope<'_> {
    fn event(&self, at: Nanos, kind: Kind, node: &str, text: impl Into<String>) -> Event {
        Event { at_ms: self.watch.at(at), kind, node: node.to_owned(), text: text.into() }
    }

    fn is_within(&self, at: Nanos) -> bool {
        (self.watch.from..self.watch.to).contains(&at)
    }

    /// The failure itself, or an order.
    pub(super) fn failure(&self, at: Nanos, text: impl Into<String>) -> Event {
        self.event(at, Kind::Failure, self.failed, text)
    }

    /// What the client saw.
    pub(super) fn users(&self, requests: &Requests) -> Vec<Event> {
        let marks = Marks::of(&around(requests, self.watch), self.failed, self.watch);
        let last_good = marks.last_good.map(|at| (at, Kind::Good, format!("the last answer from {}", self.failed)));
        let lost = marks.lost.map(|(first, last)| {
            [(first, "the first request that is lost is sent"), (last, "the last request that is lost is sent")]
        });
        let lost = lost.into_iter().flatten().map(|(at, text)| (at, Kind::Lost, text.to_owned()));
        let first_good = marks.first_good.map(|(at, by)| (at, Kind::Good, format!("the first good answer, from {by}")));
        let all = last_good.into_iter().chain(lost).chain(first_good);
        all.map(|(at, kind, text)| self.event(at, kind, self.client, text)).collect()
    }

    /// The failed node's last message of BGP before the failure: its neighbor's hold timer runs from then on.
    pub(super) fn last_word(&self, router: &str) -> Option<Event> {
        let own = |message: &Message| node(&message.from.ip().to_string()) == Some(self.failed);
        let last = self.seen.wire.get(router)?.iter().rev().find_map(|record| match record {
            Record::Message(message) if message.at < self.watch.from && own(message) => Some(message),
            _ => None,
        })?;
        let text = format!("{} → {}: {}, the last message", name(last.from), name(last.to), last.kind);
        Some(self.event(last.at, Kind::Packet, router, text))
    }

    /// The failed node's last packet of BFD before its neighbor noticed, from when on its detection time runs, and what either said anew
    /// since the failure.
    pub(super) fn bfd(&self, router: &str) -> Vec<Event> {
        let records = self.seen.wire.get(router).map_or(&[][..], Vec::as_slice);
        let all: Vec<_> = records
            .iter()
            .filter_map(|record| match record {
                Record::Bfd { at, from, to, state, diagnostic } => {
                    let said = if state == "Up" { state.clone() } else { format!("{state} ({diagnostic})") };
                    Some((*at, *from, format!("{} → {}: BFD {said}", name(*from), name(*to))))
                }
                _ => None,
            })
            .filter(|(at, ..)| *at < self.watch.to)
            .collect();
        let own = |from: &SocketAddr| node(&from.ip().to_string()) == Some(self.failed);
        let mut told = Vec::new();
        // Each end's packets: what it said before is not news.
        for is_own in [true, false] {
            let mut last: Option<&str> = None;
            for (at, _, text) in all.iter().filter(|(_, from, _)| own(from) == is_own) {
                if *at >= self.watch.from && last.is_some_and(|last| last != text) && told.len() < MOST {
                    told.push((*at, text.clone()));
                }
                last = Some(text);
            }
        }
        let noticed = told.iter().map(|(at, _)| *at).min().unwrap_or(self.watch.to);
        let heard = all.iter().rfind(|(at, from, _)| own(from) && *at < noticed);
        told.extend(heard.map(|(at, _, text)| (*at, format!("{text}, the last packet"))));
        told.into_iter().map(|(at, text)| self.event(at, Kind::Packet, router, text)).collect()
    }

    /// The packets of BGP that passed a router.
    pub(super) fn packets(&self, router: &str) -> Vec<Event> {
        let records = self.seen.wire.get(router).map_or(&[][..], Vec::as_slice);
        let told = records.iter().filter_map(|record| match record {
            Record::Message(message) => {
                let said = said(message)?;
                Some((message.at, format!("{} → {}: {said}", name(message.from), name(message.to))))
            }
            Record::Segment { at, from, to, flag } => {
                let flag = match flag {
                    Flag::Syn => return None,
                    Flag::Fin => "FIN",
                    Flag::Rst => "RST",
                };
                Some((*at, format!("{} → {}: {flag}", name(*from), name(*to))))
            }
            _ => None,
        });
        let told = told.filter(|(at, _)| self.is_within(*at)).take(MOST);
        told.map(|(at, text)| self.event(at, Kind::Packet, router, text)).collect()
    }

    /// Changes of a router's route to a prefix.
    pub(super) fn routes(&self, router: &str, prefix: &str) -> Vec<Event> {
        let changes = self.seen.routes.get(router).map_or(&[][..], Vec::as_slice);
        let changes = changes.iter().filter(|change| change.prefix == prefix && self.is_within(change.at)).take(MOST);
        let told = changes.map(|change| {
            let hops: Vec<_> = change.via.iter().map(|hop| node(hop).unwrap_or(hop)).collect();
            let how = if change.deleted { "no route to it any more via" } else { "via" };
            self.event(change.at, Kind::Route, router, format!("{prefix}: {how} {}", hops.join(", ")))
        });
        told.collect()
    }

    /// Other answers to a name, told as those of `by`, as they were seen in the book's `place`.
    pub(super) fn names(&self, place: &str, by: &str, wanted: &str) -> Vec<Event> {
        let told = self
            .changes(place, wanted)
            .map(|(at, addresses)| self.event(at, Kind::Name, by, format!("{wanted} is {addresses} now")));
        told.collect()
    }

    fn changes(&self, place: &str, wanted: &str) -> impl Iterator<Item = (Nanos, String)> {
        let all = self.seen.names.get(place).map_or(&[][..], Vec::as_slice);
        let within = all.iter().filter(move |told| told.name == wanted && self.is_within(told.at));
        within.map(|told| {
            let addresses: Vec<_> = told.addresses.iter().map(|address| named(&address.to_string())).collect();
            (told.at, if addresses.is_empty() { "nothing".to_owned() } else { addresses.join(", ") })
        })
    }

    /// An agent's own.
    pub(super) fn words(&self, words: &[Word]) -> Vec<Event> {
        let told = words.iter().map(|word| (Nanos::from(word.at.system_time()), word));
        let told = told.filter(|(at, _)| self.is_within(*at)).take(MOST);
        told.map(|(at, word)| {
            self.event(at, Kind::Word, self.failed, format!("{} {}: {}", word.kind, word.subject, word.text))
        })
        .collect()
    }
}

/// In the order of time, a failure before what follows from it.
pub(super) fn sorted(mut events: Vec<Event>) -> Vec<Event> {
    events.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms).then(a.kind.cmp(&b.kind)));
    events
}

/// What matters of a message; nothing of one that keeps a session up.
fn said(message: &Message) -> Option<String> {
    match message.kind.as_str() {
        "UPDATE" => {
            let mut parts = Vec::new();
            if !message.withdrawn.is_empty() {
                parts.push(format!("withdraws {}", message.withdrawn.join(", ")));
            }
            if !message.announced.is_empty() {
                let leaving = message.communities.iter().any(|community| community == "graceful-shutdown");
                let how = if leaving { " with GRACEFUL_SHUTDOWN" } else { "" };
                parts.push(format!("announces {}{how}", message.announced.join(", ")));
            }
            (!parts.is_empty()).then(|| format!("UPDATE {}", parts.join(", ")))
        }
        "NOTIFICATION" => {
            Some(format!("NOTIFICATION {}", message.note.as_deref().unwrap_or_default()).trim_end().to_owned())
        }
        _ => None,
    }
}

fn name(end: SocketAddr) -> String {
    let address = end.ip().to_string();
    node(&address).map_or(address.clone(), str::to_owned)
}

fn node(address: &str) -> Option<&'static str> {
    NODES.iter().find(|(known, _)| *known == address).map(|(_, node)| *node)
}

fn named(address: &str) -> String {
    node(address).map_or_else(|| address.to_owned(), |node| format!("{address} ({node})"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tools::{record::Resolved, routes::RouteChange};

    fn at(ms: u64) -> Nanos {
        Nanos(0).plus(Duration::from_millis(10_000 + ms))
    }

    fn message(ms: u64, kind: &str, withdrawn: &[&str]) -> Record {
        Record::Message(Message {
            at: at(ms),
            from: "192.0.2.2:40000".parse().unwrap(),
            to: "192.0.2.1:179".parse().unwrap(),
            kind: kind.to_owned(),
            octets: 27,
            announced: Vec::new(),
            withdrawn: withdrawn.iter().map(|prefix| (*prefix).to_owned()).collect(),
            communities: Vec::new(),
            note: None,
        })
    }

    fn scope(seen: &Seen, from: u64, to: u64) -> Scope<'_> {
        Scope { seen, watch: Watch { from: at(from), to: at(to) }, failed: "us-edge", client: "us-client" }
    }

    #[test]
    fn the_last_packet_of_bfd_is_told_and_what_is_new() {
        let bfd = |ms, is_own: bool, state: &str, diagnostic: &str| {
            let (own, router) = ("192.0.2.2:49152".parse().unwrap(), "192.0.2.1:3784".parse().unwrap());
            let (from, to) = if is_own { (own, router) } else { (router, own) };
            Record::Bfd { at: at(ms), from, to, state: state.to_owned(), diagnostic: diagnostic.to_owned() }
        };
        let expired = "Control Detection Time Expired";
        let mut seen = Seen::default();
        let wire = vec![
            bfd(40, true, "Up", "No Diagnostic"),
            bfd(45, false, "Up", "No Diagnostic"),
            bfd(90, true, "Up", "No Diagnostic"),
            bfd(120, false, "Up", "No Diagnostic"),
            bfd(240, false, "Down", expired),
            bfd(290, false, "Down", expired),
            bfd(700, true, "Down", expired),
        ];
        seen.wire.insert("us-rtr".to_owned(), wire);
        let told = |from, to| {
            let events = sorted(scope(&seen, from, to).bfd("us-rtr"));
            events.into_iter().map(|event| format!("{} {}", event.at_ms, event.text)).collect::<Vec<_>>()
        };
        assert_eq!(
            told(100, 500),
            [
                "-10 us-edge → us-rtr: BFD Up, the last packet",
                "140 us-rtr → us-edge: BFD Down (Control Detection Time Expired)",
            ]
        );
        // It froze while a packet was on its way: that is the last one.
        assert_eq!(told(80, 500)[0], "10 us-edge → us-rtr: BFD Up, the last packet");
        assert_eq!(told(130, 200), ["-40 us-edge → us-rtr: BFD Up, the last packet"]);
        assert_eq!(told(0, 30), Vec::<String>::new());
    }

    #[test]
    fn what_was_seen_is_told_in_words() {
        let mut seen = Seen::default();
        let prefix = "203.0.113.0/24";
        seen.wire.insert(
            "us-rtr".to_owned(),
            vec![message(1, "UPDATE", &[prefix]), message(2, "KEEPALIVE", &[]), message(900, "UPDATE", &[prefix])],
        );
        let change = |ms, deleted, via: &str| RouteChange {
            at: at(ms),
            prefix: prefix.to_owned(),
            deleted,
            via: vec![via.to_owned()],
        };
        seen.routes.insert("us-rtr".to_owned(), vec![change(3, true, "192.0.2.2"), change(90, false, "192.0.2.129")]);
        let told = Resolved {
            at: at(40),
            by: "192.0.2.66:53".parse().unwrap(),
            name: "us-5.lab.example".to_owned(),
            addresses: vec!["192.0.2.18".parse().unwrap()],
            ttl: 5,
        };
        seen.names.insert("dns".to_owned(), vec![told]);
        let scope = scope(&seen, 0, 500);
        let later = Scope { watch: Watch { from: at(500), to: at(600) }, ..scope };
        let last = later.last_word("us-rtr").map(|event| (event.at_ms, event.text));
        assert_eq!(last, Some((-498.0, "us-edge → us-rtr: KEEPALIVE, the last message".to_owned())));
        assert_eq!(scope.last_word("us-rtr"), None);
        let mut all = scope.names("dns", "dns", "us-5.lab.example");
        all.extend(scope.routes("us-rtr", prefix));
        all.extend(scope.packets("us-rtr"));
        all.push(scope.failure(at(0), "the service is killed"));
        let told: Vec<_> =
            sorted(all).into_iter().map(|event| format!("{} {} {}", event.at_ms, event.node, event.text)).collect();
        assert_eq!(
            told,
            [
                "0 us-edge the service is killed",
                "1 us-rtr us-edge → us-rtr: UPDATE withdraws 203.0.113.0/24",
                "3 us-rtr 203.0.113.0/24: no route to it any more via us-edge",
                "40 dns us-5.lab.example is 192.0.2.18 (eu-edge) now",
                "90 us-rtr 203.0.113.0/24: via transit",
            ]
        );
    }
}
