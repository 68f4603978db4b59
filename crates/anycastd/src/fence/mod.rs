//! The agent fences itself when it cannot see.
//!
//! The decision loop, the scheduler (the runtime's threads) and the task of each check beat; a thread of the operating system,
//! which depends on none of them, looks at the beats ([`watch`]). When the decision loop or the scheduler has been silent for
//! `stale_after`, nothing that the neighbors hold can be vouched for: the sessions end, and come back with the beats. The
//! drivers do that themselves while they run ([`Gate`]); where they do not, the thread does it on their sockets ([`lines`]).

mod heart;
pub(crate) mod lines;
mod watch;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anycast_bgp::Farewell;
use anycast_core::fence::{Beat, Subject, beat_every, late_after};

use self::lines::Lines;
pub(crate) use self::{
    heart::Heart,
    watch::{DEADLINES, Watcher},
};
use crate::{clock, lock::lock, metrics::Fencings};

/// What sessions may do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Gate {
    /// Why there must be none.
    pub(crate) fenced: Option<Arc<str>>,
    /// The agent was away, and is proving anew what it claims: until then those that are up stay, and none begins.
    pub(crate) proving: bool,
}

/// What a driver is to do with its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// Nothing stands in its way.
    Go,
    /// It may stay if it is up; it must not begin.
    Stay,
    /// It ends.
    End(Farewell),
}

/// The beats of all, and what follows from them. Clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Fence(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    began: Instant,
    /// In milliseconds.
    stale_after: AtomicU64,
    loop_beats: AtomicU64,
    /// When the decision loop last beat, in milliseconds since the machine was booted.
    loop_beat_at: AtomicU64,
    scheduler_beats: AtomicU64,
    checks: Mutex<BTreeMap<u64, Weak<Heart>>>,
    next_check: AtomicU64,
    gate: tokio::sync::watch::Sender<Gate>,
    lines: Lines,
    metrics: Fencings,
}

impl Fence {
    /// Nobody beats yet.
    pub(crate) fn new(stale_after: Duration, metrics: Fencings) -> Self {
        let shared = Shared {
            began: Instant::now(),
            stale_after: AtomicU64::new(millis(stale_after)),
            loop_beats: AtomicU64::new(0),
            loop_beat_at: AtomicU64::new(millis(clock::since_boot())),
            scheduler_beats: AtomicU64::new(0),
            checks: Mutex::default(),
            next_check: AtomicU64::new(0),
            gate: tokio::sync::watch::Sender::default(),
            lines: Lines::default(),
            metrics,
        };
        Self(Arc::new(shared))
    }

    /// How long the beats may be missing.
    pub(crate) fn stale_after(&self) -> Duration {
        Duration::from_millis(self.0.stale_after.load(Ordering::Relaxed))
    }

    /// From now on.
    pub(crate) fn set_stale_after(&self, time: Duration) {
        self.0.stale_after.store(millis(time), Ordering::Relaxed);
    }

    /// How often the decision loop is to beat.
    pub(crate) fn beat_every(&self) -> Duration {
        beat_every(self.stale_after())
    }

    /// The decision loop has gone round.
    pub(crate) fn beat(&self) {
        self.0.loop_beats.fetch_add(1, Ordering::Relaxed);
        self.0.loop_beat_at.store(millis(clock::since_boot()), Ordering::Relaxed);
    }

    /// One whose decision loop is never late.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let instruments = crate::metrics::Instruments::new().expect("names are different");
        let fence = Self::new(Duration::from_secs(10), instruments.fencings());
        fence.0.loop_beat_at.store(u64::MAX, Ordering::Relaxed);
        fence
    }

    /// What [`watch`] does when nobody is alive.
    #[cfg(test)]
    pub(crate) fn close_for_tests(&self, why: Option<&str>) {
        self.set_fenced(why.map(str::to_owned));
    }

    /// A heart for the task of a check.
    pub(crate) fn heart(&self, name: String) -> Arc<Heart> {
        let heart = Arc::new(Heart::new(name, self.0.began));
        let id = self.0.next_check.fetch_add(1, Ordering::Relaxed);
        self.checks().insert(id, Arc::downgrade(&heart));
        heart
    }

    /// The sockets of sessions.
    pub(crate) fn lines(&self) -> &Lines {
        &self.0.lines
    }

    /// To be told when [`order`](Self::order) may have changed.
    pub(crate) fn gate(&self) -> tokio::sync::watch::Receiver<Gate> {
        self.0.gate.subscribe()
    }

    /// What a session is to do now. Before the decision loop has had a turn after an absence, nobody knows yet what holds.
    pub(crate) fn order(&self) -> Order {
        let gate = self.0.gate.borrow();
        if let Some(why) = &gate.fenced {
            return Order::End(Farewell::Reset(why.to_string()));
        }
        let beat = Duration::from_millis(self.0.loop_beat_at.load(Ordering::Relaxed));
        let late = clock::since_boot().saturating_sub(beat) > late_after(self.stale_after());
        if gate.proving || late { Order::Stay } else { Order::Go }
    }

    /// How often the decision loop has beaten.
    pub(crate) fn loop_beats(&self) -> u64 {
        self.0.loop_beats.load(Ordering::Relaxed)
    }

    /// Whether there must be no session.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.gate.borrow().fenced.is_some()
    }

    /// Whether what is claimed is being proven anew.
    pub(crate) fn set_proving(&self, proving: bool) {
        self.0.gate.send_if_modified(|gate| std::mem::replace(&mut gate.proving, proving) != proving);
    }

    /// Which checks' tasks do not run, in words.
    pub(crate) fn problems(&self) -> Vec<String> {
        let hearts: Vec<_> = self.checks().values().filter_map(Weak::upgrade).collect();
        let lost = hearts.iter().filter(|heart| heart.is_lost());
        lost.map(|heart| format!("the task of check {} hangs, and is restarted as soon as it can be", heart.name()))
            .collect()
    }

    fn set_fenced(&self, why: Option<String>) {
        let why: Option<Arc<str>> = why.map(Into::into);
        self.0.gate.send_if_modified(|gate| std::mem::replace(&mut gate.fenced, why.clone()) != why);
    }

    fn checks(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Weak<Heart>>> {
        lock(&self.0.checks)
    }

    fn heart_of(&self, id: u64) -> Option<Arc<Heart>> {
        self.checks().get(&id).and_then(Weak::upgrade)
    }

    /// What is to be seen of everybody now.
    fn beats(&self) -> BTreeMap<Subject, Beat> {
        let patience = self.stale_after();
        let vital = |count: &AtomicU64| Beat { count: count.load(Ordering::Relaxed), due: None, patience };
        let mut beats = BTreeMap::from([
            (Subject::DecisionLoop, vital(&self.0.loop_beats)),
            (Subject::Scheduler, vital(&self.0.scheduler_beats)),
        ]);
        self.checks().retain(|id, heart| {
            let Some(heart) = heart.upgrade() else { return false };
            // A task that is restarted half way there may still prove in time what the check claims.
            let beat = Beat { count: heart.count(), due: Some(heart.due()), patience: patience / 2 };
            beats.insert(Subject::Check(*id), beat);
            true
        });
        beats
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
