//! The beat of a check's task.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// Nothing is promised: the task waits for others.
const NEVER: u64 = u64::MAX;
/// Far enough away.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

/// Shared by a check's task, by who restarts it and by the fence. A check may be silent for its whole interval, so it promises
/// when it beats again: that costs no wake-up.
#[derive(Debug)]
pub(crate) struct Heart {
    name: String,
    began: Instant,
    count: AtomicU64,
    /// In milliseconds since `began`.
    due: AtomicU64,
    /// Which of the tasks that followed each other may beat, and say what the check knows.
    turn: AtomicU64,
    lost: AtomicBool,
    told: Notify,
}

impl Heart {
    pub(super) fn new(name: String, began: Instant) -> Self {
        Self {
            name,
            began,
            count: AtomicU64::new(0),
            due: AtomicU64::new(NEVER),
            turn: AtomicU64::new(0),
            lost: AtomicBool::new(false),
            told: Notify::new(),
        }
    }

    /// `SERVICE/CHECK`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A new task takes over; the one before it has nothing to say any more.
    pub(crate) fn next_turn(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether that task is still the one.
    pub(crate) fn is_turn(&self, turn: u64) -> bool {
        self.turn.load(Ordering::Relaxed) == turn
    }

    /// The task of this turn lives, and has nothing to do before `at`; `None`: before somebody asks it to.
    pub(crate) fn beat(&self, turn: u64, at: Option<Instant>) {
        if !self.is_turn(turn) {
            return;
        }
        let due = at.map_or(NEVER, |at| super::millis(at.saturating_duration_since(self.began)));
        self.due.store(due, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.lost.store(false, Ordering::Relaxed);
    }

    /// Until the fence says that the task hangs.
    pub(crate) async fn lost(&self) {
        self.told.notified().await;
    }

    /// The task hangs, and no other has taken over yet.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    pub(super) fn lose(&self) {
        self.lost.store(true, Ordering::Relaxed);
        self.told.notify_one();
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn due(&self) -> Instant {
        match self.due.load(Ordering::Relaxed) {
            NEVER => Instant::now() + LONG,
            due => self.began + Duration::from_millis(due),
        }
    }
}
