//! From the clock that never jumps to the one that people read.

use std::time::{Instant, SystemTime};

use anycast_api::Timestamp;

/// When `at` was, or will be, on the wall clock as it is set now.
pub(super) fn wall(at: Instant) -> Timestamp {
    let (now, wall) = (Instant::now(), SystemTime::now());
    let time = match at.checked_duration_since(now) {
        Some(ahead) => wall.checked_add(ahead),
        None => wall.checked_sub(now.duration_since(at)),
    };
    time.unwrap_or(wall).into()
}
