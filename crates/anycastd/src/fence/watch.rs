//! The thread that looks at the beats, and acts on what it does not see.

use std::{
    io,
    sync::{
        atomic::Ordering,
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use anycast_core::fence::{self, Change, Subject, pace};
use sd_notify::NotifyState;
use tokio::runtime::Handle;

use super::Fence;
use crate::signal::{Sink, Wake};

/// Looks that the drivers have for ending their sessions themselves.
const LOOKS: u32 = 2;

/// The thread. It ends with this.
#[derive(Debug)]
pub(crate) struct Watcher {
    _end: mpsc::Sender<()>,
}

impl Watcher {
    /// Begins to look. No thread: no agent.
    pub(crate) fn start(fence: Fence, sink: Sink, wake: Wake, runtime: Handle) -> io::Result<Self> {
        let (end, ended) = mpsc::channel();
        let judge = fence::Fence::new(Instant::now());
        let watchdog = sd_notify::watchdog_enabled();
        let mut look = Look { fence, sink, wake, runtime, given: 0, judge, closed: 0, watchdog, fed: None };
        std::thread::Builder::new().name("fence".to_owned()).spawn(move || {
            while ended.recv_timeout(pace(look.fence.stale_after())) == Err(RecvTimeoutError::Timeout) {
                look.take();
            }
        })?;
        Ok(Self { _end: end })
    }
}

struct Look {
    fence: Fence,
    sink: Sink,
    wake: Wake,
    runtime: Handle,
    /// Tasks that the scheduler was given to run.
    given: u64,
    judge: fence::Fence,
    /// Looks since the gate was closed.
    closed: u32,
    /// How long the service manager waits for us, where it does.
    watchdog: Option<Duration>,
    /// When it was last fed.
    fed: Option<Instant>,
}

impl Look {
    fn take(&mut self) {
        let now = Instant::now();
        self.judge.handle_look(&self.fence.beats(), pace(self.fence.stale_after()), now);
        while let Some(change) = self.judge.poll_change() {
            self.handle(change);
        }
        self.nudge();
        for deadline in DEADLINES {
            self.fence.0.metrics.set_age(deadline, self.judge.longest_silence(deadline));
        }
        let fenced: Vec<_> = self.judge.fenced().filter(|subject| subject.is_vital()).collect();
        self.end_sessions(&fenced);
        if fenced.is_empty() {
            self.feed(now);
        }
    }

    fn handle(&mut self, change: Change) {
        let (subject, text) = match change {
            Change::Fenced { subject, silent } => {
                self.fence.0.metrics.count(subject.deadline());
                (subject, format!("silent for {}: {}", words(silent), consequence(subject)))
            }
            Change::Released { subject, silent } => (subject, format!("runs again after {}", words(silent))),
        };
        let heart = if let Subject::Check(id) = subject { self.fence.heart_of(id) } else { None };
        let name =
            heart.as_ref().map_or_else(|| subject.deadline().to_owned(), |heart| format!("check {}", heart.name()));
        if matches!(change, Change::Fenced { .. }) {
            tracing::error!(deadline = subject.deadline(), "fenced: {name} {text}");
            heart.inspect(|heart| heart.lose());
            self.wake.wake();
        } else {
            tracing::warn!(deadline = subject.deadline(), "{name} {text}");
        }
        self.sink.report("fence", name, text);
    }

    /// Has the scheduler show that it runs what it is given. That also helps it: while one of its threads hangs, another may wait to be
    /// woken by the timers that only the first looks after.
    fn nudge(&mut self) {
        if self.fence.0.scheduler_beats.load(Ordering::Relaxed) == self.given {
            self.given += 1;
            let fence = self.fence.clone();
            self.runtime.spawn(async move { fence.0.scheduler_beats.fetch_add(1, Ordering::Relaxed) });
        }
    }

    /// Closes the gate for the sessions' drivers, and does their work where they do not.
    fn end_sessions(&mut self, fenced: &[Subject]) {
        let Some(first) = fenced.first() else {
            self.closed = 0;
            return self.fence.set_fenced(None);
        };
        let why = format!("anycastd: {} has been silent for {}", in_words(*first), words(self.fence.stale_after()));
        self.fence.set_fenced(Some(why));
        self.closed = self.closed.saturating_add(1);
        if self.closed < LOOKS && !fenced.contains(&Subject::Scheduler) {
            return;
        }
        let cut = self.fence.lines().cut();
        if cut > 0 {
            tracing::error!(connections = cut, "ended the connections of sessions whose tasks do not run");
        }
    }

    fn feed(&mut self, now: Instant) {
        let Some(limit) = self.watchdog else { return };
        if self.fed.is_none_or(|at| now.saturating_duration_since(at) >= limit / 4) {
            self.fed = Some(now);
            if let Err(error) = sd_notify::notify(&[NotifyState::Watchdog]) {
                tracing::debug!(%error, "the service manager's watchdog cannot be fed");
            }
        }
    }
}

pub(crate) const DEADLINES: [&str; 3] = ["decision_loop", "scheduler", "check"];

const fn consequence(subject: Subject) -> &'static str {
    match subject {
        Subject::DecisionLoop | Subject::Scheduler => "the sessions end until it runs again",
        Subject::Check(_) => "it is restarted",
    }
}

const fn in_words(subject: Subject) -> &'static str {
    match subject {
        Subject::DecisionLoop => "the decision loop",
        Subject::Scheduler => "the scheduler",
        Subject::Check(_) => "a check",
    }
}

fn words(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
