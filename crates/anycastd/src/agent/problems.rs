//! What is not as it should be, in the words of `status`.

use std::time::Duration;

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
    pub(super) fn problems(&self) -> Vec<(&'static str, String)> {
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
