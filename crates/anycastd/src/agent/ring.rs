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

    /// What was kept after the event of that number, oldest first, `most` at most; and how many there were that are left out or not kept
    /// any more.
    pub(crate) fn after(&self, id: u64, most: usize) -> (Vec<Event>, u64) {
        let all = self.next.saturating_sub(1).saturating_sub(id);
        let told = self.events.len().min(most).min(usize::try_from(all).unwrap_or(usize::MAX));
        (self.events.iter().skip(self.events.len() - told).cloned().collect(), all - told as u64)
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

    #[test]
    fn it_tells_what_came_after_one() {
        let mut ring = Ring::default();
        let happening = || Happening { at: SystemTime::now(), kind: "agent", subject: "a".into(), text: "b".into() };
        assert_eq!(ring.after(0, 9), (Vec::new(), 0));
        (0..KEPT + 10).for_each(|_| ring.push(happening()));
        let last = KEPT as u64 + 10;
        let told = |after, most| {
            let (events, missed) = ring.after(after, most);
            (events.first().map(|event| event.id), events.len(), missed)
        };
        assert_eq!(told(last - 3, 9), (Some(last - 2), 3, 0));
        assert_eq!(told(last - 30, 9), (Some(last - 8), 9, 21));
        assert_eq!(told(0, usize::MAX), (Some(11), KEPT, 10));
        // Of the future, as of another process.
        assert_eq!([told(last, 9), told(last + 7, 9), told(u64::MAX, 9)], [(None, 0, 0); 3]);
    }
}
