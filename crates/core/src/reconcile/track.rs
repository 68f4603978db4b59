//! What is remembered of one address or route: failures, and a fight over it.

use std::time::{Duration, Instant};

use super::{
    pace::delay,
    types::{Failure, Problem},
};

/// What stood untouched for this long is not fought over any more.
pub const STABLE: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Default)]
pub(super) struct Track {
    present_since: Option<Instant>,
    /// How often somebody else deleted it, without a stable time in between.
    deletions: u32,
    /// Attempts in a row that failed, and how the last one did.
    failures: u32,
    failure: Option<Failure>,
    retry_at: Option<Instant>,
}

impl Track {
    /// It is there. Where it is wanted, that is the end of its failures; where not, deleting it may still fail.
    pub(super) fn present(&mut self, now: Instant, wanted: bool) {
        self.present_since.get_or_insert(now);
        if wanted {
            self.failures = 0;
            self.failure = None;
            self.retry_at = None;
        }
    }

    /// It is not there; since when it was.
    pub(super) const fn absent(&mut self) -> Option<Instant> {
        self.present_since.take()
    }

    /// Somebody deleted it: how often by now, and when it is put back. The first time at once.
    pub(super) fn deleted(&mut self, present_since: Option<Instant>, now: Instant) -> (u32, Option<Instant>) {
        if present_since.is_some_and(|since| now.saturating_duration_since(since) >= STABLE) {
            self.deletions = 0;
        }
        self.deletions = self.deletions.saturating_add(1);
        self.failure = None;
        self.retry_at = (self.deletions > 1).then(|| now + delay(self.deletions - 1));
        (self.deletions, self.retry_at)
    }

    pub(super) fn failed(&mut self, failure: Failure, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.failure = Some(failure);
        self.retry_at = Some(now + delay(self.failures));
    }

    /// The reason of its failures may be gone. A fight keeps its pace.
    pub(super) fn hurry(&mut self) {
        if self.failure.is_some() {
            self.failures = 0;
            self.retry_at = None;
        }
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.retry_at.is_none_or(|at| at <= now)
    }

    pub(super) const fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    pub(super) const fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    pub(super) fn problem(&self) -> Problem {
        let retry_at = self.retry_at;
        match &self.failure {
            Some(Failure::Exists) => Problem::Taken { retry_at },
            Some(Failure::Gone) => Problem::Failed { why: "it is gone".to_owned(), retry_at },
            Some(Failure::Other(why)) => Problem::Failed { why: why.clone(), retry_at },
            None if self.deletions > 0 => Problem::Deleted { times: self.deletions, retry_at },
            None => Problem::Pending,
        }
    }
}
