//! The end of the agent: a drain of everything, fast or full, then Cease, then the addresses.

use std::time::{Duration, Instant};

use anycast_core::{
    config::{DrainTimes, OnExit},
    drain::{Mode, Phase},
};

use super::{Agent, Farewell};
use crate::{config::ShutdownMode, listener::ListenPlan, peer::Peer};

/// A fast end stays within 2 s: what the neighbors have not acknowledged by then, the Cease tells them.
const FAST_WITHDRAW: Duration = Duration::from_millis(700);
const CEASE: Duration = Duration::from_millis(600);
/// A router goes on sending until its table has followed (FRR holds a change for 50 ms): the addresses answer that long.
const LINGER: Duration = Duration::from_millis(250);
const UNBIND: Duration = Duration::from_millis(300);
/// All of it. What the first stages did not need is left for the last: a busy kernel, or a thousand addresses, take longer.
const FAST: Duration = Duration::from_millis(1900);
/// How long a full drain waits for the acknowledgement of a neighbor that is Established and silent, past its own times.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);

/// How far the end has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop {
    mode: ShutdownMode,
    stage: Stage,
    /// Who ended it: the name of a signal.
    why: &'static str,
    /// A neighbor held something when the end began: packets may come until it has moved on.
    lingers: bool,
    began: Instant,
    /// Until when the addresses answer at least.
    answers: Instant,
    /// When the next stage begins whatever is missing.
    deadline: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Stage {
    /// Routes and addresses stay where they are; only the connections end.
    Leaving,
    Withdrawing,
    Ceasing,
    Lingering,
    Unbinding,
    Over,
}

impl Stop {
    /// Of the time that the stages before the last may take.
    fn left(&self, now: Instant) -> Duration {
        match self.mode {
            ShutdownMode::Fast => FAST.saturating_sub(now.saturating_duration_since(self.began)),
            ShutdownMode::Drain => FAST,
        }
    }
}

impl Agent {
    /// Begins the end as configured; a second order makes it fast.
    pub(crate) fn stop(&mut self, why: &'static str) {
        let mode = if self.stop.is_some() { ShutdownMode::Fast } else { self.shutdown_mode() };
        if self.stop.is_some_and(|stop| stop.mode == ShutdownMode::Fast || stop.stage != Stage::Withdrawing) {
            return;
        }
        tracing::info!(?mode, "stopping: {why}");
        self.sink.report("agent", &self.settings.core.node.name, format!("stopping: {why}"));
        self.keep_flaps(true);
        let now = Instant::now();
        self.listen.send_replace(ListenPlan::default());
        if self.settings.core.on_exit == OnExit::Keep {
            tracing::info!("the neighbors keep the routes for their restart time, and the addresses stay");
            self.peers.values().for_each(|peer| peer.stop(Farewell::Silence));
            let stop = Stop {
                mode: ShutdownMode::Fast,
                stage: Stage::Leaving,
                why,
                lingers: false,
                began: now,
                answers: now,
                deadline: now + CEASE,
            };
            self.stop = Some(stop);
            return;
        }
        let mut longest = Duration::ZERO;
        for (name, drain) in &mut self.drains {
            let times = self.settings.core.services.get(name).map(|service| service.drain);
            if mode == ShutdownMode::Fast {
                drain.reconfigure(DrainTimes { graceful_shutdown: Duration::ZERO, linger: Duration::ZERO });
                drain.handle_withdraw(Mode::Now, now);
            } else {
                drain.handle_withdraw(Mode::Graceful, now);
                longest = longest.max(times.map_or(Duration::ZERO, |times| times.graceful_shutdown + times.linger));
            }
        }
        let patience = if mode == ShutdownMode::Fast { FAST_WITHDRAW } else { longest + DRAIN_PATIENCE };
        // A full drain lingers by itself; an operator's that was withdrawn a moment ago may be cut short.
        let recent = self.drains.values().any(|drain| matches!(drain.phase(), Phase::Lingering { .. }));
        let lingers = mode == ShutdownMode::Fast && (recent || self.held().values().any(|held| !held.is_empty()));
        let deadline = now + patience;
        self.stop = Some(Stop { mode, stage: Stage::Withdrawing, why, lingers, began: now, answers: now, deadline });
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// What the agent ends on, while it does.
    pub(super) fn ends_on(&self) -> Option<&'static str> {
        self.stop.map(|stop| stop.why)
    }

    pub(super) fn is_unbinding(&self) -> bool {
        self.stop.is_some_and(|stop| stop.stage >= Stage::Unbinding)
    }

    pub(super) fn is_over(&self) -> bool {
        self.stop.is_some_and(|stop| stop.stage == Stage::Over)
    }

    pub(super) fn stop_timeout(&self) -> Option<Instant> {
        let stop = self.stop?;
        // The ends of the peers' tasks wake nobody: look again soon.
        let soon = Instant::now() + super::SOON;
        Some(if matches!(stop.stage, Stage::Leaving | Stage::Ceasing | Stage::Lingering) {
            stop.deadline.min(soon)
        } else {
            stop.deadline
        })
    }

    /// Goes on to the next stage when this one is done, or has had its time.
    pub(super) fn advance_stop(&mut self, now: Instant) {
        let Some(stop) = self.stop else { return };
        let done = match stop.stage {
            Stage::Withdrawing => self.all_withdrawn(stop.mode),
            Stage::Leaving => self.all_finished() && self.bfd.is_quiet(),
            Stage::Ceasing => self.all_finished(),
            // Sessions of BFD that go away without a word are a fault of the path to the neighbor (RFC 5880 §6.8.16).
            Stage::Lingering => now >= stop.answers && self.bfd.is_quiet(),
            Stage::Unbinding => self.nothing_is_ours(),
            Stage::Over => return,
        };
        if !done && now < stop.deadline {
            return;
        }
        if !done && stop.stage != Stage::Lingering {
            tracing::warn!(stage = ?stop.stage, "gave up waiting; going on with the shutdown");
        }
        let (stage, patience) = match stop.stage {
            Stage::Withdrawing => {
                let farewell = Farewell::Shutdown("anycastd is shutting down".to_owned());
                self.peers.values().for_each(|peer| peer.stop(farewell.clone()));
                (Stage::Ceasing, CEASE)
            }
            Stage::Ceasing => (Stage::Lingering, stop.left(now).saturating_sub(UNBIND).max(LINGER)),
            Stage::Lingering => match stop.mode {
                ShutdownMode::Fast => (Stage::Unbinding, stop.left(now).max(UNBIND)),
                ShutdownMode::Drain => (Stage::Unbinding, FAST),
            },
            Stage::Leaving | Stage::Unbinding | Stage::Over => (Stage::Over, Duration::ZERO),
        };
        let answers = if stage == Stage::Lingering && stop.lingers { now + LINGER } else { stop.answers };
        self.stop = Some(Stop { stage, answers, deadline: now + patience, ..stop });
        if stage == Stage::Unbinding {
            self.drains.values_mut().for_each(|drain| {
                drain.reconfigure(DrainTimes { graceful_shutdown: Duration::ZERO, linger: Duration::ZERO });
                drain.handle_withdraw(Mode::Now, now);
            });
        }
        self.wake.wake();
    }

    fn all_finished(&self) -> bool {
        self.peers.values().chain(self.parting.iter().map(|(_, peer)| peer)).all(Peer::is_finished)
    }

    /// A fast end is content once nobody holds anything; a full one waits out the lingering packets too.
    fn all_withdrawn(&self, mode: ShutdownMode) -> bool {
        self.drains.values().all(|drain| match mode {
            ShutdownMode::Fast => matches!(drain.phase(), Phase::Lingering { .. } | Phase::Drained),
            ShutdownMode::Drain => drain.phase() == Phase::Drained,
        })
    }

    fn nothing_is_ours(&self) -> bool {
        self.plan.borrow().as_deref().is_some_and(|plan| plan.addresses.is_empty() && plan.anchors.is_empty())
            && self.kernel.borrow().nothing_is_ours()
    }
}
