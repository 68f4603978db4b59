//! What is not as it should be, in the words of `status`.

use std::{collections::BTreeMap, time::Duration};

use anycast_api::Neighbor;
use anycast_bgp::State;
use anycast_core::PeerId;

use super::Agent;
use crate::peer::Peer;

impl Agent {
    /// Announcements that reach nobody, however well all goes.
    fn announced_to_nobody(&self) -> Vec<String> {
        let core = &self.settings.core;
        if core.neighbors.is_empty() && !core.services.is_empty() {
            return vec!["no neighbors: nothing is announced to anybody".to_owned()];
        }
        let announced = self.desired.prefixes.iter().filter(|(_, verdict)| verdict.announced.is_some());
        let nobodys = announced.filter(|(prefix, _)| self.told(**prefix).1 == 0);
        nobodys.map(|(prefix, _)| format!("no neighbor is to carry {prefix}: it is announced to nobody")).collect()
    }

    /// There are routes to tell, and no session to tell them by; not in the moments that it takes to begin.
    fn off_the_air(&self) -> Option<String> {
        const BEGINS: Duration = Duration::from_secs(5);
        let told = self.desired.prefixes.values().any(|verdict| verdict.announced.is_some());
        let is_up = |peer: &Peer| peer.state.borrow().state == State::Established;
        if !told || self.started.0.elapsed() < BEGINS || self.peers.is_empty() || self.peers.values().any(is_up) {
            return None;
        }
        let why = self.peers.iter().find_map(|(id, peer)| {
            peer.state.borrow().last_error.as_ref().map(|(error, _)| format!(" ({id}: {error})"))
        });
        let why = why.unwrap_or_default();
        Some(format!(
            "no neighbor is Established: nothing is announced to anybody{why}; `anycastctl doctor` looks further"
        ))
    }

    /// Each with what it is about (the table of them is in `docs/src/metrics.md`).
    pub(super) fn problems(&self, neighbors: &[Neighbor]) -> Vec<(&'static str, String)> {
        let kernel = self.kernel.borrow();
        let deaf = self.deaf.borrow();
        let own = self.problems.iter().map(|(subject, text)| (*subject, text.clone()));
        let deaf = deaf.iter().map(|(place, why)| format!("cannot listen on {place}: {why}"));
        let loud = self.peers.iter().filter_map(|(id, peer)| announces_too_much(id, peer));
        let nobody = self.announced_to_nobody().into_iter().chain(self.off_the_air());
        own.chain(about("kernel", kernel.error.iter().chain(&kernel.problems).cloned()))
            .chain(about("watch", self.watch_problems()))
            .chain(about("listen", deaf))
            .chain(about("max_prefixes", loud))
            .chain(about("unsendable", neighbors.iter().flat_map(|it| untold(&it.name, &it.unsendable))))
            .chain(about("bfd", self.bfd_problems()))
            .chain(about("fence", self.fence.problems()))
            .chain(about("traffic", self.traffic.problem()))
            .chain(about("checks", self.checks_that_cannot_run()))
            .chain(about("neighbors", nobody))
            .collect()
    }
}

fn about(
    subject: &'static str,
    texts: impl IntoIterator<Item = String>,
) -> impl Iterator<Item = (&'static str, String)> {
    texts.into_iter().map(move |text| (subject, text))
}

/// The alarm of `max_prefixes`.
fn announces_too_much(id: &PeerId, peer: &Peer) -> Option<String> {
    let received = peer.state.borrow().received.filter(|received| received.exceeded)?;
    let (prefixes, limit) = (received.prefixes, received.limit);
    Some(format!(
        "neighbor {id} announced {prefixes} different prefixes in its session, more than `max_prefixes: {limit}`; nothing is done with \
         them, but it may leak routes to others: see what it is to send here"
    ))
}

/// Routes that a neighbor should hold and cannot be given. Thousands may have one reason, and share a line.
fn untold(neighbor: &str, unsendable: &BTreeMap<String, String>) -> Vec<String> {
    let mut reasons: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    for (prefix, why) in unsendable {
        reasons.entry(why).and_modify(|(_, others)| *others += 1).or_insert((prefix, 0));
    }
    let line = |(why, (prefix, others)): (&str, (&str, usize))| {
        let others = match others {
            0 => String::new(),
            1 => " and 1 other".to_owned(),
            _ => format!(" and {others} others"),
        };
        format!("{neighbor} cannot be given {prefix}{others}: {why}")
    };
    reasons.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_of_one_reason_share_a_line() {
        let (hop, quarantine) = ("there is no IPv6 next hop on this session", "in quarantine: 3/5");
        let unsendable = |routes: &[(&str, &str)]| -> BTreeMap<String, String> {
            routes.iter().map(|(prefix, why)| ((*prefix).to_owned(), (*why).to_owned())).collect()
        };
        let all = [
            ("198.51.100.0/24", quarantine),
            ("2001:db8:53::/48", hop),
            ("2001:db8:54::/48", hop),
            ("2001:db8:55::/48", hop),
        ];
        let alone = "leaf1 cannot be given 198.51.100.0/24: in quarantine: 3/5";
        for (count, lines) in [
            (0, vec![]),
            (1, vec![alone.to_owned()]),
            (2, vec![alone.to_owned(), format!("leaf1 cannot be given 2001:db8:53::/48: {hop}")]),
            (3, vec![alone.to_owned(), format!("leaf1 cannot be given 2001:db8:53::/48 and 1 other: {hop}")]),
            (4, vec![alone.to_owned(), format!("leaf1 cannot be given 2001:db8:53::/48 and 2 others: {hop}")]),
        ] {
            assert_eq!(untold("leaf1", &unsendable(&all[..count])), lines);
        }
    }
}
