//! Times and durations as text.

use std::time::{Duration, SystemTime};

use anycast_api::Timestamp;

const DAY: u64 = 86_400;

/// A duration: `00:02:10`, `3d 04:12`.
pub(super) fn clock(seconds: f64) -> String {
    // A number that is none, or below zero, is a clock that was set meanwhile.
    let seconds = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    let (days, hours, minutes) = (seconds / DAY, seconds / 3600 % 24, seconds / 60 % 60);
    if days > 0 {
        format!("{days}d {hours:02}:{minutes:02}")
    } else {
        format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
    }
}

/// For how long something holds.
pub(super) fn age(since: Timestamp, now: SystemTime) -> String {
    clock(since.age(now).as_secs_f64())
}

/// How long it is until then.
pub(super) fn left(until: Timestamp, now: SystemTime) -> String {
    clock(until.system_time().duration_since(now).unwrap_or_default().as_secs_f64())
}

/// A point in time to the second, in UTC: `2026-11-23 20:16:21Z`.
pub(super) fn stamp(time: Timestamp) -> String {
    let text = time.to_string();
    format!("{} {}Z", text.get(..10).unwrap_or(&text), text.get(11..19).unwrap_or_default())
}

/// A point in time to the millisecond, in UTC.
pub(super) fn exact_stamp(time: Timestamp) -> String {
    time.to_string().replacen('T', " ", 1)
}

/// A point in time ahead, in UTC, with its date where it is not the next such hour by far: `15:00Z`.
pub(super) fn until(time: Timestamp, now: SystemTime) -> String {
    let far = time.system_time().duration_since(now).unwrap_or_default() >= Duration::from_secs(DAY / 2);
    let text = stamp(time);
    let start = if far { 0 } else { 11 };
    format!("{}Z", text.get(start..16).unwrap_or(&text))
}

/// How long something took: `0.4 ms`, `120 ms`, `1.2 s`.
pub(super) fn took(seconds: f64) -> String {
    let millis = seconds * 1000.0;
    if millis < 10.0 {
        format!("{millis:.1} ms")
    } else if millis < 999.5 {
        format!("{millis:.0} ms")
    } else {
        format!("{seconds:.1} s")
    }
}

/// A short while ahead: `3 s`, `00:05:00`.
pub(super) fn soon(seconds: f64) -> String {
    if seconds < 120.0 { format!("{:.0} s", seconds.max(0.0).ceil()) } else { clock(seconds) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (seconds, text) in [
            (0.0, "00:00:00"),
            (130.9, "00:02:10"),
            (86_399.9, "23:59:59"),
            (86_400.0, "1d 00:00"),
            (274_320.0, "3d 04:12"),
            (-1.0, "00:00:00"),
            (f64::NAN, "00:00:00"),
        ] {
            assert_eq!(clock(seconds), text);
        }
        for (seconds, text) in [(0.0004, "0.4 ms"), (0.0123, "12 ms"), (0.9996, "1.0 s"), (1.23, "1.2 s")] {
            assert_eq!(took(seconds), text);
        }
        assert_eq!((soon(2.1), soon(300.0)), ("3 s".into(), "00:05:00".into()));
    }

    #[test]
    fn points_in_time() {
        let time: Timestamp = "2026-11-23T15:00:21.042Z".parse().unwrap();
        let before = |seconds| time.system_time() - Duration::from_secs(seconds);
        assert_eq!(stamp(time), "2026-11-23 15:00:21Z");
        assert_eq!(exact_stamp(time), "2026-11-23 15:00:21.042Z");
        assert_eq!(until(time, before(3_600)), "15:00Z");
        assert_eq!(until(time, before(2 * DAY)), "2026-11-23 15:00Z");
        assert_eq!(left(time, before(42)), "00:00:42");
        assert_eq!(age(time, before(42)), "00:00:00");
    }
}
