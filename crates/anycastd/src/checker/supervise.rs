//! Keeps the task of a check running.
//!
//! A task that panics is restarted, later and later while it goes on so; one that hangs is ended first, for no check may have two
//! runs. What the check knew holds meanwhile for as long as it would without an answer, and is then forgotten.

use std::time::{Duration, Instant};

use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::Driver;
use crate::metrics::Instruments;

/// Until a restart: the first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// A task that ran for so long has earned a quick restart.
const STABLE: Duration = Duration::from_secs(10);
/// Between two looks at what a check still claims whose task does not end.
const LOOK: Duration = Duration::from_millis(100);

tokio::task_local! {
    static CHECK: ();
}

/// Whether the task that runs now is one that is restarted.
pub(crate) fn is_check_task() -> bool {
    CHECK.try_with(|()| ()).is_ok()
}

type Task = AbortOnDropHandle<()>;

/// Runs drivers like this one, one after the other, until one ends by itself.
pub(super) async fn keep(template: Driver, instruments: Instruments) {
    let mut pause = PAUSES.0;
    let mut fault: Option<String> = None;
    loop {
        let mut driver = take_over(&template);
        if let Some(fault) = fault.take() {
            driver.recover(fault);
        }
        let began = Instant::now();
        let mut task: Task =
            AbortOnDropHandle::new(tokio::spawn(CHECK.scope((), driver.run()).instrument(tracing::Span::current())));
        let (cause, words) = tokio::select! {
            biased;
            ended = &mut task => match panicked(ended) {
                Some(words) => ("panicked", words),
                None => return,
            },
            () = template.heart.lost() => {
                end(&template, task).await;
                ("hung", "it was hanging".to_owned())
            }
        };
        instruments.count_check_restart(cause);
        pause = if began.elapsed() >= STABLE { PAUSES.0 } else { (pause * 2).min(PAUSES.1) };
        tracing::error!("the task of the check {cause} and is restarted: {words}");
        let subject = template.heart.name();
        template.sink.report(
            "fence",
            format!("check {subject}"),
            format!("its task {cause} and is restarted: {words}"),
        );
        fault = Some(format!("a fault of the agent itself: {words}"));
        // Nobody is to miss a task that is known to be away.
        let turn = template.heart.next_turn();
        template.heart.beat(turn, Some(Instant::now() + pause));
        tokio::time::sleep(pause).await;
    }
}

/// A driver with what the one before it has left; that one has nothing to say any more.
fn take_over(template: &Driver) -> Driver {
    let turn = template.heart.next_turn();
    Driver { check: template.kept.borrow().clone(), turn, ..template.clone() }
}

/// What it panicked with; `None`: it has ended by itself, or with the runtime.
fn panicked(ended: Result<(), JoinError>) -> Option<String> {
    let panic = ended.err()?.try_into_panic().ok()?;
    let words = panic.downcast_ref::<String>().cloned();
    Some(words.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
}

/// Ends a task that hangs. One that holds its thread cannot be ended before it gives that back; meanwhile the check claims
/// nothing for longer than it may.
async fn end(template: &Driver, mut task: Task) {
    task.abort();
    let mut driver = take_over(template);
    driver.recover("a fault of the agent itself: the task of the check hangs".to_owned());
    loop {
        match tokio::time::timeout(LOOK, &mut task).await {
            Ok(_) => return,
            Err(_) => {
                driver.handle_timeout();
                driver.log_change();
            }
        }
    }
}

impl Driver {
    /// The task before this one was lost with the run that was under way.
    fn recover(&mut self, fault: String) {
        let now = Instant::now();
        self.check.handle_fault(fault, now);
        self.check.handle_timeout(now);
        self.answered = std::time::SystemTime::now();
        self.publish();
    }
}
