//! Runs that somebody asks for: what they find is told, and changes nothing.
//!
//! They take turns with the check's own runs, in the one task that has both, so that there are never two of one check. A hint
//! does not wait for them: the run under way is dropped, and begun again later.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use anycast_core::Outcome;
use tokio::sync::oneshot;

use super::{Driver, OVERRUN, Run};
use crate::lock::lock;

/// So many may wait for one check.
const WAITING: usize = 8;

/// What somebody is told: what was seen, or why nothing was asked.
pub(crate) type Reply = Result<Outcome, String>;
type Asker = oneshot::Sender<Reply>;

/// Who waits, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Asks {
    waiting: Mutex<VecDeque<Asker>>,
}

impl Asks {
    /// `None`: too many wait already.
    pub(super) fn ask(&self) -> Option<oneshot::Receiver<Reply>> {
        let mut waiting = self.waiting();
        waiting.retain(|asker| !asker.is_closed());
        if waiting.len() >= WAITING {
            return None;
        }
        let (asker, reply) = oneshot::channel();
        waiting.push_back(asker);
        Some(reply)
    }

    fn next(&self) -> Option<Asker> {
        let mut waiting = self.waiting();
        std::iter::from_fn(|| waiting.pop_front()).find(|asker| !asker.is_closed())
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Asker>> {
        lock(&self.waiting)
    }
}

/// A run that was asked for, under way.
pub(super) struct Asked {
    run: Run,
    asker: Asker,
    /// It has ended by itself until then, or is given up.
    pub(super) by: Instant,
}

impl Asked {
    /// What it found; `None`: nobody waits for it any more. Cancel safe.
    pub(super) async fn answer(&mut self) -> Option<Outcome> {
        tokio::select! {
            biased;
            outcome = &mut self.run => Some(outcome),
            () = self.asker.closed() => None,
        }
    }

    pub(super) fn tell(self, reply: Reply) {
        let _ = self.asker.send(reply);
    }
}

impl Driver {
    /// Begins the next run that somebody waits for.
    pub(super) fn next_asked(&self) -> Option<Asked> {
        loop {
            let asker = self.asks.next()?;
            if self.check.enabled() {
                let (prober, timeout) = (self.prober.clone(), self.config.borrow().timing.timeout);
                let run: Run = Box::pin(async move { prober.run(timeout).await });
                return Some(Asked { run, asker, by: Instant::now() + timeout + OVERRUN });
            }
            let _ = asker.send(Err("not checked: its address is not bound here".to_owned()));
        }
    }

    /// Something happened that the check's own run must not wait with: this one is done again after it.
    pub(super) fn put_off(&self, asked: &mut Option<Asked>) {
        if let Some(Asked { asker, .. }) = asked.take() {
            self.asks.waiting().push_front(asker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_may_wait_and_who_has_gone_is_forgotten() {
        let asks = Asks::default();
        let replies: Vec<_> = (0..WAITING).map(|_| asks.ask().unwrap()).collect();
        assert!(asks.ask().is_none());
        drop(replies);
        assert!(asks.next().is_none());
        let _waits = asks.ask().unwrap();
        assert!(asks.next().is_some());
    }
}
