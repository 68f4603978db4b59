//! System calls that may hang, as those of a file system whose server is away: on a thread that may block, and never two
//! at a time of one check, or each run would leave a thread behind.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, task, time};

use super::{Finding, words};

/// A check's leave to block one thread.
#[derive(Debug)]
pub(super) struct Slot(Arc<Semaphore>);

impl Slot {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// Runs `ask` and waits for it until the timeout. A call that hangs keeps the slot until it comes back: until then
    /// nothing is known of `what`.
    pub(super) async fn run(
        &self,
        what: &str,
        timeout: Duration,
        ask: impl FnOnce() -> Finding + Send + 'static,
    ) -> Finding {
        let Ok(permit) = self.0.clone().try_acquire_owned() else {
            return Finding::late(format!("{what}: the file system has not answered the last run yet"));
        };
        let asked = task::spawn_blocking(move || {
            let _permit = permit;
            ask()
        });
        match time::timeout(timeout, asked).await {
            Ok(Ok(finding)) => finding,
            Ok(Err(error)) => Finding::unknown(format!("cannot ask for {what}: {error}")),
            Err(_) => Finding::late(format!("{what}: no answer from the file system within {}", words::time(timeout))),
        }
    }
}

#[cfg(test)]
mod tests {
    use anycast_core::Cause;

    use super::{
        super::testing::{AMPLE, SHORT},
        *,
    };

    #[tokio::test]
    async fn what_hangs_is_late_and_is_not_begun_again() {
        let slot = Slot::new();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let hanging = move || {
            let _ = wait.recv();
            Finding::up("at last")
        };
        let late = slot.run("/x", SHORT, hanging).await;
        assert_eq!(
            (late.cause, late.detail.as_str()),
            (Cause::TimedOut, "/x: no answer from the file system within 300 ms")
        );
        let second = slot.run("/x", SHORT, || unreachable!("the first still holds the slot")).await;
        assert_eq!(second, Finding::late("/x: the file system has not answered the last run yet"));
        drop(go);
        // The thread comes back when it likes.
        let deadline = std::time::Instant::now() + AMPLE;
        while slot.0.available_permits() == 0 {
            assert!(std::time::Instant::now() < deadline);
            time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(slot.run("/x", AMPLE, || Finding::up("there")).await, Finding::up("there"));
    }
}
