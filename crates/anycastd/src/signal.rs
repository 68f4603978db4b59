//! How tasks tell the decision loop that something changed, and what happened.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::{Notify, mpsc};

/// Wakes the decision loop; what changed it sees in the tasks' `watch`es. Many wakes before it looks are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wake(Arc<Notify>);

impl Wake {
    /// Something changed.
    pub(crate) fn wake(&self) {
        self.0.notify_one();
    }

    /// Until something changed. Cancel safe: a wake that nobody waits for is kept.
    pub(crate) async fn woken(&self) {
        self.0.notified().await;
    }
}

/// A change of state that somebody may want to read of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Happening {
    pub(crate) at: std::time::SystemTime,
    pub(crate) kind: &'static str,
    pub(crate) subject: String,
    pub(crate) text: String,
}

/// Where tasks report what happened; never waits. What does not fit is counted.
#[derive(Debug, Clone)]
pub(crate) struct Sink {
    queue: mpsc::Sender<Happening>,
    dropped: Arc<AtomicU64>,
}

impl Sink {
    /// A sink that holds `capacity` reports the loop has not read yet.
    pub(crate) fn new(capacity: usize) -> (Self, mpsc::Receiver<Happening>) {
        let (queue, read) = mpsc::channel(capacity);
        (Self { queue, dropped: Arc::default() }, read)
    }

    /// Reports that `kind` `subject` did what `text` says.
    pub(crate) fn report(&self, kind: &'static str, subject: impl ToString, text: impl Into<String>) {
        let at = std::time::SystemTime::now();
        let happening = Happening { at, kind, subject: subject.to_string(), text: text.into() };
        if self.queue.try_send(happening).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many reports did not fit.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
