//! The clocks. Decisions are made by those that nobody sets; the wall clock is for people.

use std::time::{Duration, Instant};

use anycast_core::fence::Moment;
use rustix::time::{ClockId, clock_gettime};

/// Now, on the clock that stands still while the machine is suspended and on the one that does not.
pub(crate) fn moment() -> Moment {
    Moment { monotonic: Instant::now(), since_boot: since_boot() }
}

/// Since the machine was booted, suspends included.
pub(crate) fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default());
    let whole = seconds + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default());
    #[cfg(debug_assertions)]
    let whole = whole + crate::faults::slept();
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_go_on() {
        let first = moment();
        let second = moment();
        assert!(second.monotonic >= first.monotonic && second.since_boot >= first.since_boot);
        assert!(first.since_boot > Duration::ZERO);
    }
}
