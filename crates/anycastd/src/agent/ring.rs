//! The last state changes, and a place to follow new ones.

use std::{collections::VecDeque, time::SystemTime};

use anycast_api::Event;
use tokio::sync::broadcast;

use crate::signal::Happening;

/// How many changes are kept: a day of a quiet node, an hour of a bad one.
const KEPT: usize = 4096;
/// How far a reader who follows may fall behind before it misses some; it is told how many.
const BEHIND: usize = 1024;

/// The ring.
#[derive(Debug)]
pub(crate) struct Ring {
    events: VecDeque<Event>,
    next: u64,
    live: broadcast::Sender<Event>,
}

impl Default for Ring {
    fn default() -> Self {
        Self { events: VecDeque::new(), next: 1, live: broadcast::channel(BEHIND).0 }
    }
}

impl Ring {
    /// Keeps a change and shows it to those who follow.
    pub(super) fn push(&mut self, happening: Happening) {
        let Happening { at, kind, subject, text } = happening;
        let event = Event { id: self.next, at: at.into(), kind: kind.to_owned(), subject, text };
        self.next += 1;
        if self.events.len() == KEPT {
            self.events.pop_front();
        }
        self.events.push_back(event.clone());
        let _ = self.live.send(event);
    }

    /// What was kept since `since`, oldest first.
    pub(crate) fn since(&self, since: Option<SystemTime>) -> Vec<Event> {
        let wanted = |event: &&Event| since.is_none_or(|since| event.at.system_time() >= since);
        self.events.iter().filter(wanted).cloned().collect()
    }

    /// What was kept, and the number of the next, for another agent that goes on.
    pub(super) fn hand_over(&self) -> (Vec<Event>, u64) {
        (self.events.iter().cloned().collect(), self.next)
    }

    /// Goes on with what another has kept.
    pub(super) fn take_over(&mut self, events: Vec<Event>, next: u64) {
        let first = events.len().saturating_sub(KEPT);
        self.next = next.max(events.last().map_or(0, |last| last.id) + 1);
        self.events = events.into_iter().skip(first).collect();
    }

    /// What comes from now on.
    pub(crate) fn follow(&self) -> broadcast::Receiver<Event> {
        self.live.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_last_and_counts_all() {
        let mut ring = Ring::default();
        let mut live = ring.follow();
        for number in 0..KEPT + 10 {
            ring.push(Happening {
                at: SystemTime::now(),
                kind: "agent",
                subject: number.to_string(),
                text: String::new(),
            });
        }
        let kept = ring.since(None);
        assert_eq!((kept.len(), kept[0].id, kept[KEPT - 1].id), (KEPT, 11, KEPT as u64 + 10));
        assert!(matches!(live.try_recv(), Err(broadcast::error::TryRecvError::Lagged(_))));
    }
}
