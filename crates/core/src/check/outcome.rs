//! What a run asks and answers.

use std::time::Duration;

use crate::performance::Performance;

/// What a service, or one check of it, is known to be; ordered from worst to best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// Not decided yet, or not checked: counts as not healthy.
    Unknown,
    /// Proven bad.
    Down,
    /// Serves, but others should be preferred.
    Degraded,
    /// Proven good.
    Up,
}

impl std::fmt::Display for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Unknown => "unknown",
            Self::Down => "down",
            Self::Degraded => "degraded",
            Self::Up => "up",
        })
    }
}

/// The answer of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What it says about the service; `Unknown` when the run itself could not be done and proves nothing.
    pub health: Health,
    /// Why, as far as the check must know.
    pub cause: Cause,
    /// What was seen, in words for an operator; one line.
    pub detail: String,
    /// How long it took.
    pub took: Duration,
    /// What it measured besides.
    pub performance: Vec<Performance>,
}

impl Outcome {
    /// An answer that measured nothing.
    #[must_use]
    pub const fn new(health: Health, cause: Cause, detail: String, took: Duration) -> Self {
        Self { health, cause, detail, took, performance: Vec::new() }
    }
}

/// What kind of answer a run has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It was answered, well or badly, or could not be asked.
    Answered,
    /// There was no answer in time.
    TimedOut,
    /// The connection was refused.
    Refused,
    /// The connection was refused, and the kernel has no listener at that address and port.
    Gone,
}

/// What the driver is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The run has failed when it takes longer.
    pub timeout: Duration,
    /// It follows a hint: where a connection is refused, the kernel is asked whether anybody listens there.
    pub confirm: bool,
}

/// Counts over the life of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckCounters {
    /// Runs begun.
    pub runs: u64,
    /// Runs that said Down or took too long.
    pub failures: u64,
    /// Runs that proved nothing because of trouble of our own.
    pub inconclusive: u64,
    /// Runs that began more than an interval late.
    pub late: u64,
    /// Hints that the listener or the process may have gone.
    pub hints: u64,
}
