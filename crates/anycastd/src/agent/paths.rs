//! What is known of the paths to neighbors outlives the tasks of their sessions: a reload or another program does not make a path well.

use std::{collections::BTreeMap, time::Instant};

use anycast_core::{
    PeerId,
    config::{Endpoint, Neighbor},
    path::{Coupling, Left, MEMORY},
};

use crate::{bfd::Seen, peer::Peer};

/// Of neighbors without a task.
#[derive(Debug, Default)]
pub(super) struct Paths(BTreeMap<PeerId, Kept>);

#[derive(Debug)]
struct Kept {
    coupling: Coupling,
    seen: Seen,
    /// Where the neighbor was; `None`: where it is.
    endpoint: Option<Endpoint>,
    at: Instant,
}

impl Paths {
    /// What the task of a neighbor knows that is ending.
    pub(super) fn keep(&mut self, id: &PeerId, peer: &Peer, now: Instant) {
        self.0.retain(|_, kept| now.saturating_duration_since(kept.at) < MEMORY);
        let (coupling, seen) = peer.path();
        let endpoint = Some(peer.neighbor.endpoint.clone());
        self.0.insert(id.clone(), Kept { coupling, seen, endpoint, at: now });
    }

    /// What was so at `at`, in another program or before this one paused.
    pub(super) fn take_over(&mut self, left: impl IntoIterator<Item = (PeerId, Left, Seen)>, at: Instant) {
        let kept = |left, seen| Kept { coupling: Coupling::take_over(left, at), seen, endpoint: None, at };
        self.0.extend(left.into_iter().map(|(id, left, seen)| (id, kept(left, seen))));
    }

    /// For the task that begins.
    pub(super) fn take(&mut self, id: &PeerId, neighbor: &Neighbor, now: Instant) -> (Coupling, Seen) {
        let kept = self.0.remove(id).filter(|kept| {
            let same = kept.endpoint.as_ref().is_none_or(|endpoint| *endpoint == neighbor.endpoint);
            same && now.saturating_duration_since(kept.at) < MEMORY
        });
        kept.map_or_else(Default::default, |Kept { coupling, seen, .. }| {
            // The session of BFD may be another.
            (Coupling::take_over(coupling.hand_over(now), now), seen)
        })
    }

    /// All of it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerId, (Coupling, Seen))> {
        self.0.iter().map(|(id, kept)| (id, (kept.coupling.clone(), kept.seen.clone())))
    }
}

#[cfg(test)]
mod tests {
    use anycast_bgp::PeerAs;
    use anycast_core::path::Verdict;

    use super::*;

    #[test]
    fn a_lost_path_stays_lost_where_it_is() {
        let (now, id) = (Instant::now(), PeerId::new("rtr").unwrap());
        let at = |last| Neighbor::new(Endpoint::Address([192, 0, 2, last].into()), PeerAs::External);
        let left = Left { lost: true, returning: true, counted: 1, last: None, lately: 1 };
        let kept = |endpoint: Option<&Neighbor>| {
            let mut paths = Paths::default();
            paths.take_over([(id.clone(), left, Seen::default())], now);
            let endpoint = endpoint.map(|neighbor| neighbor.endpoint.clone());
            paths.0.values_mut().for_each(|kept| kept.endpoint.clone_from(&endpoint));
            paths
        };
        for (before, later, expected) in [
            (None, now, Verdict::End),
            (Some(at(1)), now, Verdict::End),
            (Some(at(2)), now, Verdict::Go),
            (Some(at(1)), now + MEMORY, Verdict::Go),
        ] {
            let mut paths = kept(before.as_ref());
            assert_eq!(paths.take(&id, &at(1), later).0.verdict(), expected, "{before:?}");
            assert_eq!(paths.take(&id, &at(1), now).0.verdict(), Verdict::Go, "it is given once");
        }
    }
}
