//! One task per check: it drives a [`Check`] and runs its probe.
//!
//! Settings and permission come in by `watch`, what the check knows goes out by `watch` ([`CheckState`]). Dropping the
//! handle ends the task; a probe under way is dropped with it, and its child with the probe.

use std::{
    future::Future,
    hash::{DefaultHasher, Hash, Hasher},
    pin::Pin,
    sync::Arc,
    time::{Instant, SystemTime},
};

use anycast_core::{Check, CheckCounters, CheckName, Health, Outcome, ServiceName, config::CheckConfig};
use tokio::sync::watch;

use crate::{
    probe::Prober,
    signal::{Sink, Wake},
};

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

/// The handle of a running task.
#[derive(Debug)]
pub(crate) struct Checker {
    pub(crate) state: watch::Receiver<CheckState>,
    config: watch::Sender<Arc<CheckConfig>>,
    enabled: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Checker {
    /// Starts the task; it rests until [`set_enabled`](Self::set_enabled).
    pub(crate) fn start(
        service: &ServiceName,
        name: &CheckName,
        config: &CheckConfig,
        on_probation: bool,
        wake: Wake,
        sink: Sink,
        times: prometheus::Histogram,
    ) -> Self {
        let mut check = Check::new(config.timing, place(service, name), on_probation, Instant::now());
        check.set_enabled(false, Instant::now());
        let (config, config_seen) = watch::channel(Arc::new(config.clone()));
        let (enabled, enabled_seen) = watch::channel(false);
        let (state, state_seen) = watch::channel(state_of(&check, SystemTime::now(), None));
        let driver = Driver {
            prober: prober(service, name, &config.borrow()),
            service: service.clone(),
            name: name.clone(),
            check,
            config: config_seen,
            enabled: enabled_seen,
            state,
            wake,
            sink,
            times,
            answered: SystemTime::now(),
        };
        let span = tracing::info_span!("check", service = %service, name = %name);
        let task = tokio::spawn(tracing::Instrument::instrument(driver.run(), span));
        Self { state: state_seen, config, enabled, task }
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
    state: watch::Sender<CheckState>,
    wake: Wake,
    sink: Sink,
    times: prometheus::Histogram,
    answered: SystemTime,
}

impl Driver {
    async fn run(mut self) {
        let mut run: Option<Run> = None;
        loop {
            if run.is_none()
                && let Some(probe) = self.check.poll_probe(Instant::now())
            {
                let prober = self.prober.clone();
                run = Some(Box::pin(async move { prober.run(probe.timeout).await }));
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
            let prober = self.prober.clone();
            tokio::select! {
                outcome = answer => {
                    run = None;
                    self.handle_outcome(outcome);
                }
                () = timeout => self.handle_timeout(),
                () = prober.changed() => {
                    let now = Instant::now();
                    self.check.handle_hint(now);
                    if self.check.poll_cancel(now) {
                        run = None;
                    }
                }
                Ok(()) = self.config.changed() => self.reconfigure(),
                Ok(()) = self.enabled.changed() => {
                    let enabled = *self.enabled.borrow_and_update();
                    self.check.set_enabled(enabled, Instant::now());
                    self.publish();
                }
                else => return,
            }
        }
    }

    fn handle_outcome(&mut self, outcome: Outcome) {
        self.times.observe(outcome.took.as_secs_f64());
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
            self.report(was, health, last.as_ref());
        }
        self.state.send_replace(state_of(&self.check, since, last));
        if changed || counted != counts {
            self.wake.wake();
        }
    }

    fn report(&self, was: Health, health: Health, last: Option<&(Outcome, SystemTime)>) {
        let detail = last.map_or("not checked", |(outcome, _)| outcome.detail.as_str());
        if health == Health::Down {
            tracing::warn!(was = %was, "down: {detail}");
        } else {
            tracing::info!(was = %was, "{health}: {detail}");
        }
        let subject = format!("{}/{}", self.service, self.name);
        self.sink.report("check", subject, format!("{was} → {health}: {detail}"));
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
