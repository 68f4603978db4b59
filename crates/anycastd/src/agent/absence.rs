//! What follows from not having been there: the process was stopped or starved, or the machine was suspended.
//!
//! What was known before may have changed unseen. So every check proves anew what it claims; sessions that are up stay, with what
//! was told over them, and none begins before that is done: a neighbor that has given the agent up meanwhile is told only of what
//! works now. After a suspend nothing is believed that was known before.

use std::time::Instant;

use anycast_core::fence::Absence;

use super::Agent;
use crate::{checker::Checker, clock::moment};

impl Agent {
    /// Looks whether there has been an absence since the last time.
    pub(super) fn mind_absence(&mut self) {
        let now = moment();
        let before = std::mem::replace(&mut self.turned, now);
        let stale_after = self.fence.stale_after();
        let Some(absence) = Absence::between(before, now, stale_after) else { return };
        let (forget, what) = match absence {
            Absence::NotRun(time) => (false, format!("was not run for {:.1} s", time.as_secs_f64())),
            Absence::Suspended(time) => {
                (true, format!("was suspended for {:.1} s with the machine", time.as_secs_f64()))
            }
        };
        tracing::warn!("the agent {what}; it proves anew what it announces");
        let text = format!("{what}; proves anew what it announces");
        self.sink.report("agent", &self.settings.core.node.name, text);
        // What was to be proven since an earlier absence has no more time for another.
        self.proving_until.get_or_insert(now.monotonic + 2 * stale_after);
        if forget {
            self.carried.clear();
        }
        self.fence.set_proving(true);
        self.all_checkers().for_each(|checker| checker.prove_again(forget));
    }

    /// Lets sessions begin again once every check has proven, or given up, what it claims.
    pub(super) fn settle_absence(&mut self, now: Instant) {
        let Some(until) = self.proving_until else { return };
        if now < until && !self.all_checkers().all(Checker::has_proven) {
            return;
        }
        self.proving_until = None;
        self.fence.set_proving(false);
    }

    fn all_checkers(&self) -> impl Iterator<Item = &Checker> {
        self.checkers.values().flat_map(|checkers| checkers.values())
    }
}
