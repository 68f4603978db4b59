//! One answer for all who ask the same thing at the same time.

use std::{
    any::Any,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use futures_util::{FutureExt as _, future::Shared, future::WeakShared};
use tokio::time::{Instant, timeout_at};

use super::{Begun, Hang, Slot, Span};
use crate::lock::lock;

type Answering<T> = Pin<Box<dyn Future<Output = Result<T, Hang>> + Send>>;

/// A question that waits for its turn, or for its answer.
pub(super) struct Flight {
    question: String,
    /// Gone with the answer, or with the last who waits for it.
    begun: Weak<OnceLock<Instant>>,
    /// A `WeakShared<Answering<T>>`.
    answer: Box<dyn Any + Send>,
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("question", &self.question).field("begun", &self.begun).finish_non_exhaustive()
    }
}

impl Slot {
    /// As [`run`](Self::run), for what many ask: whoever asks the same question before a thread has begun with it has the same
    /// answer; and who asks later too, where an answer may be that `old`.
    pub(crate) async fn share<T: Clone + Send + Sync + 'static>(
        &self,
        limit: Duration,
        question: &str,
        old: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Hang> {
        let span = Span::of(limit);
        let (begun, answer) = self.board(question, old, work);
        match timeout_at(span.deadline(), answer).await {
            Ok(done) => done,
            Err(_) => Err(self.late(span, begun.get().copied())),
        }
    }

    /// To wait for without an end.
    pub(super) fn board<T: Clone + Send + Sync + 'static>(
        &self,
        question: &str,
        old: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> (Begun, Shared<Answering<T>>) {
        let mut flights = lock(&self.0.flights);
        flights.retain(|flight| flight.begun.strong_count() > 0);
        let same = flights.iter().filter(|flight| flight.question == question);
        if let Some(found) = same.rev().find_map(|flight| flight.joined(old)) {
            return found;
        }
        let begun = Begun::default();
        let slot = self.clone();
        let answering: Answering<T> = Box::pin(slot.work(Arc::clone(&begun), work));
        let answer = answering.shared();
        if let Some(weak) = answer.downgrade() {
            let (question, begun) = (question.to_owned(), Arc::downgrade(&begun));
            flights.push(Flight { question, begun, answer: Box::new(weak) });
        }
        (begun, answer)
    }
}

impl Flight {
    fn joined<T: Clone + 'static>(&self, old: Duration) -> Option<(Begun, Shared<Answering<T>>)> {
        let begun = self.begun.upgrade()?;
        if begun.get().is_some_and(|begun| begun.elapsed() >= old) {
            return None;
        }
        let answer = self.answer.downcast_ref::<WeakShared<Answering<T>>>()?.upgrade()?;
        answer.peek().is_none().then_some((begun, answer))
    }
}
