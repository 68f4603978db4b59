//! One task per check: it drives a [`Check`] and runs its probe.
//!
//! Settings, permission and hints of the kernel come in by `watch`, what the check knows goes out by `watch` ([`CheckState`]).
//! Dropping the
//! handle ends the task; a probe under way is dropped with it, and its child with the probe.

use std::{
    future::Future,
    hash::{DefaultHasher, Hash, Hasher},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use anycast_core::{Check, CheckCounters, CheckName, Health, Outcome, ServiceName, config::CheckConfig};
use tokio::sync::watch;

use crate::{
    hints::{Held, Hint, Hinter, Holder, Listeners},
    probe::Prober,
    signal::{Sink, Wake},
};

/// A hint is told of when it is the first for as long; where sockets come and go all the time the counter says enough.
const HINTS_TOLD: Duration = Duration::from_secs(1);

/// What is known of a check, as of now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CheckState {
    pub(crate) health: Health,
    pub(crate) since: SystemTime,
    pub(crate) counts: bool,
    pub(crate) enabled: bool,
    pub(crate) last: Option<(Outcome, SystemTime)>,
    pub(crate) turning: Option<(u16, u16)>,
    pub(crate) counters: CheckCounters,
}

/// What a task tells, and whom it asks.
#[derive(Debug, Clone)]
pub(crate) struct Ties {
    pub(crate) wake: Wake,
    pub(crate) sink: Sink,
    /// Where it notes how long its runs take.
    pub(crate) times: prometheus::Histogram,
    pub(crate) listeners: Listeners,
    pub(crate) holder: Holder,
}

/// The handle of a running task.
#[derive(Debug)]
pub(crate) struct Checker {
    pub(crate) state: watch::Receiver<CheckState>,
    config: watch::Sender<Arc<CheckConfig>>,
    enabled: watch::Sender<bool>,
    hinter: Hinter,
    /// Connections that are held open to the service.
    open: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Checker {
    /// Starts the task; it rests until [`set_enabled`](Self::set_enabled).
    pub(crate) fn start(
        service: &ServiceName,
        name: &CheckName,
        config: &CheckConfig,
        on_probation: bool,
        ties: Ties,
    ) -> Self {
        let mut check = Check::new(config.timing, place(service, name), on_probation, Instant::now());
        check.set_enabled(false, Instant::now());
        let (config, config_seen) = watch::channel(Arc::new(config.clone()));
        let (enabled, enabled_seen) = watch::channel(false);
        let (hinter, hints) = Hinter::new();
        let open = Arc::default();
        let (state, state_seen) = watch::channel(state_of(&check, SystemTime::now(), None));
        let driver = Driver {
            prober: prober(service, name, &config.borrow()),
            service: service.clone(),
            name: name.clone(),
            check,
            config: config_seen,
            enabled: enabled_seen,
            hints,
            hinter: hinter.clone(),
            hint_told: None,
            untold: None,
            held: None,
            open: Arc::clone(&open),
            state,
            ties,
            answered: SystemTime::now(),
            unlogged: None,
        };
        let span = tracing::info_span!("check", service = %service, name = %name);
        let task = tokio::spawn(tracing::Instrument::instrument(driver.run(), span));
        Self { state: state_seen, config, enabled, hinter, open, task }
    }

    /// New settings; what it knows stays.
    pub(crate) fn reconfigure(&self, config: &CheckConfig) {
        self.config.send_if_modified(|held| {
            let changed = **held != *config;
            if changed {
                *held = Arc::new(config.clone());
            }
            changed
        });
    }

    /// Where it gets its hints.
    pub(crate) fn hinter(&self) -> Hinter {
        self.hinter.clone()
    }

    /// How many connections are held open to the service at this moment.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Lets it run, or has it rest because its target is not bound here.
    pub(crate) fn set_enabled(&self, enabled: bool) {
        self.enabled.send_if_modified(|held| std::mem::replace(held, enabled) != enabled);
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A place in the interval, in 1/1024, that is the same at every start and differs between checks.
fn place(service: &ServiceName, name: &CheckName) -> u16 {
    let mut hasher = DefaultHasher::new();
    (service, name).hash(&mut hasher);
    (hasher.finish() % 1024) as u16
}

fn prober(service: &ServiceName, name: &CheckName, config: &CheckConfig) -> Arc<Prober> {
    Arc::new(Prober::new(&config.probe).named(service.as_str(), name.as_str()))
}

type Run = Pin<Box<dyn Future<Output = Outcome> + Send>>;

struct Driver {
    service: ServiceName,
    name: CheckName,
    prober: Arc<Prober>,
    check: Check,
    config: watch::Receiver<Arc<CheckConfig>>,
    enabled: watch::Receiver<bool>,
    hints: watch::Receiver<Option<Hint>>,
    hinter: Hinter,
    hint_told: Option<Instant>,
    /// A hint that is told of only if something comes of it.
    untold: Option<Hint>,
    held: Option<Held>,
    open: Arc<AtomicUsize>,
    state: watch::Sender<CheckState>,
    ties: Ties,
    answered: SystemTime,
    /// A change that the log is not told of yet.
    unlogged: Option<Change>,
}

/// The check changed its mind.
struct Change {
    was: Health,
    health: Health,
    detail: String,
}

impl Driver {
    async fn run(mut self) {
        let mut run: Option<Run> = None;
        loop {
            if let Some(change) = self.unlogged.take() {
                // The decision and the neighbors go first: they wait on this very thread.
                tokio::task::yield_now().await;
                change.log();
            }
            if run.is_none()
                && let Some(probe) = self.check.poll_probe(Instant::now())
            {
                let (prober, listeners) = (self.prober.clone(), self.ties.listeners.clone());
                run = Some(Box::pin(async move {
                    if probe.confirm {
                        prober.run_to_confirm(probe.timeout, &listeners).await
                    } else {
                        prober.run(probe.timeout).await
                    }
                }));
            }
            let timeout = self.check.poll_timeout();
            let timeout = async move {
                match timeout {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let answer = async {
                match &mut run {
                    Some(run) => run.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                outcome = answer => {
                    run = None;
                    self.handle_outcome(outcome);
                }
                () = timeout => self.handle_timeout(),
                Ok(()) = self.hints.changed() => {
                    // What is under way may have been answered before the listener went.
                    if self.handle_hint() {
                        run = None;
                    }
                }
                Ok(()) = self.config.changed() => self.reconfigure(),
                Ok(()) = self.enabled.changed() => {
                    let enabled = *self.enabled.borrow_and_update();
                    self.check.set_enabled(enabled, Instant::now());
                    self.hold();
                    self.publish();
                }
                else => return,
            }
        }
    }

    /// Whether the run under way is to be dropped.
    fn handle_hint(&mut self) -> bool {
        let Some(hint) = *self.hints.borrow_and_update() else { return false };
        let now = Instant::now();
        self.check.handle_hint(now);
        match hint {
            // Servers close what is idle: that a healthy one does so is nobody's news.
            Hint::Dropped(_) => self.untold = Some(hint),
            Hint::Closed(..) | Hint::Ended(_) | Hint::Lost(_) | Hint::Overrun => self.tell_hint(hint, now),
        }
        self.check.poll_cancel(now)
    }

    fn tell_hint(&mut self, hint: Hint, now: Instant) {
        if self.check.enabled() && self.hint_told.is_none_or(|told| now.duration_since(told) >= HINTS_TOLD) {
            self.hint_told = Some(now);
            self.ties.sink.report("check", format!("{}/{}", self.service, self.name), format!("hint: {hint}"));
        }
    }

    fn handle_outcome(&mut self, outcome: Outcome) {
        self.ties.times.observe(outcome.took.as_secs_f64());
        if let Some(hint) = self.untold.take()
            && outcome.health < Health::Up
        {
            self.tell_hint(hint, Instant::now());
        }
        self.check.handle_outcome(outcome, Instant::now());
        self.answered = SystemTime::now();
        self.publish();
    }

    fn handle_timeout(&mut self) {
        let (failures, health) = (self.check.counters().failures, self.check.health());
        self.check.handle_timeout(Instant::now());
        if self.check.counters().failures != failures {
            self.answered = SystemTime::now();
            self.publish();
        } else if self.check.health() != health {
            self.publish();
        }
    }

    fn reconfigure(&mut self) {
        let config = self.config.borrow_and_update().clone();
        self.check.reconfigure(config.timing, Instant::now());
        self.prober = prober(&self.service, &self.name, &config);
        self.hold();
    }

    /// Holds connections open while the check runs, if it is to.
    fn hold(&mut self) {
        let config = self.config.borrow().clone();
        if !(config.hold_connection && self.check.enabled()) {
            self.held = None;
            return;
        }
        let addresses = config.probe.connections();
        if self.held.as_ref().is_none_or(|held| held.addresses != addresses) {
            self.held = Some(self.ties.holder.hold(addresses, &self.hinter, &self.open));
        }
    }

    /// Shows what is known now; wakes the decision loop only when it matters to it.
    fn publish(&mut self) {
        let last = self.check.last().cloned().map(|outcome| (outcome, self.answered));
        let (health, counts) = (self.check.health(), self.check.counts());
        let (was, counted, since) = {
            let old = self.state.borrow();
            (old.health, old.counts, old.since)
        };
        let changed = was != health;
        let since = if changed { SystemTime::now() } else { since };
        if changed {
            // Before the decision loop reports what follows from it.
            let detail = last.as_ref().map_or("not checked", |(outcome, _)| outcome.detail.as_str()).to_owned();
            let subject = format!("{}/{}", self.service, self.name);
            self.ties.sink.report("check", subject, format!("{was} → {health}: {detail}"));
            self.unlogged = Some(Change { was, health, detail });
        }
        self.state.send_replace(state_of(&self.check, since, last));
        if changed || counted != counts {
            self.ties.wake.wake();
        }
    }
}

impl Change {
    fn log(&self) {
        let Self { was, health, detail } = self;
        if *health == Health::Down {
            tracing::warn!(was = %was, "down: {detail}");
        } else {
            tracing::info!(was = %was, "{health}: {detail}");
        }
    }
}

fn state_of(check: &Check, since: SystemTime, last: Option<(Outcome, SystemTime)>) -> CheckState {
    CheckState {
        health: check.health(),
        since,
        counts: check.counts(),
        enabled: check.enabled(),
        last,
        turning: check.turning(),
        counters: check.counters(),
    }
}
