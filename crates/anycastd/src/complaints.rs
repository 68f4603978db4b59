//! What goes on failing is said once a minute, with how often it has failed: a log that fills a disk is a fault of its own.

use std::time::{Duration, Instant};

/// How often it is said.
const EVERY: Duration = Duration::from_secs(60);

/// One fault that may go on.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    told: Option<Instant>,
    untold: u64,
}

impl Complaints {
    /// It has failed again. How often that was since it was last said, if it is to be said now.
    pub(crate) fn due(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < EVERY) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_at_once_and_then_once_a_minute() {
        let (mut complaints, start) = (Complaints::default(), Instant::now());
        let said = (0..1300).filter_map(|tenth: u32| complaints.due(start + Duration::from_millis(100) * tenth));
        assert_eq!(said.collect::<Vec<_>>(), [1, 600, 600]);
    }
}
