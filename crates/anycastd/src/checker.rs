//! One task per check: it drives a [`Check`] and runs its probe.
//!
//! Settings, permission and hints of the kernel come in by `watch`, what the check knows goes out by `watch` ([`CheckState`]).
//! Dropping the handle ends the task; a probe under way is dropped with it, and its child with the probe. A task that panics or
//! hangs is restarted ([`supervise`]).

mod asked;
mod displaced;
mod supervise;
mod telling;

use std::{
    future::Future,
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use anycast_core::{
    Check, CheckCounters, CheckName, Health, Outcome, ServiceName, check::handover, config::CheckConfig,
};
use tokio::sync::{Notify, oneshot, watch};

pub(crate) use self::{asked::Reply, supervise::is_check_task, telling::Cannot};
use self::{
    asked::{Asked, Asks},
    displaced::SETTLES,
    telling::{Change, state_of},
};
use crate::{
    fence::{Fence, Heart},
    hints::{Held, Hint, Hinter, Holder, Listeners},
    metrics::Instruments,
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
    pub(crate) last: Option<(Arc<Outcome>, SystemTime)>,
    pub(crate) turning: Option<(u16, u16)>,
    /// What it says first is worth waiting for.
    pub(crate) awaited: bool,
    /// When it runs for the first time, if it has not.
    pub(crate) first_run: Option<Instant>,
    pub(crate) counters: CheckCounters,
    /// It claims what it has to confirm, because the agent was away.
    pub(crate) unconfirmed: bool,
    /// The last absence that it was told of.
    pub(crate) absence: u64,
    /// The settings with which it last found the service well.
    pub(crate) passed: Option<Arc<CheckConfig>>,
    /// Until when it claims that the service is good without another answer.
    pub(crate) claims_until: Option<Instant>,
    /// Why its runs cannot be done at present, whatever is known from before.
    pub(crate) cannot: Option<Cannot>,
}

/// The agent was away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Away {
    number: u64,
    /// For so long, or in such a way, that nothing that was known is believed.
    forget: bool,
}

/// Whether a check may run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Permit {
    pub(crate) runs: bool,
    /// The addresses of ours that it asks, all of them bound.
    pub(crate) targets: Vec<IpAddr>,
}

/// What a check knows, for a task of another process that goes on with it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Known {
    pub(crate) check: handover::State,
    /// Since when it is as it is, and when it was last answered.
    pub(crate) since: SystemTime,
    pub(crate) answered: SystemTime,
    /// It has found the service well with the settings that it has.
    pub(crate) passed: bool,
}

/// What the task of a check has to do with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) wake: &'a Wake,
    pub(crate) sink: &'a Sink,
    pub(crate) instruments: &'a Instruments,
    pub(crate) fence: &'a Fence,
    /// Whom to ask who listens.
    pub(crate) listeners: &'a Listeners,
    /// Who holds connections open.
    pub(crate) holder: &'a Holder,
}

/// The handle of a running task.
#[derive(Debug)]
pub(crate) struct Checker {
    pub(crate) state: watch::Receiver<CheckState>,
    kept: watch::Receiver<Check>,
    config: watch::Sender<Arc<CheckConfig>>,
    enabled: watch::Sender<Permit>,
    hinter: Hinter,
    /// Connections that are held open to the service.
    open: Arc<AtomicUsize>,
    away: watch::Sender<Away>,
    asks: Arc<Asks>,
    /// Rung after anything that it is told.
    bell: Arc<Notify>,
    task: tokio::task::JoinHandle<()>,
}

impl Checker {
    /// Starts the task; it rests until [`permit`](Self::permit), or goes on with what is known.
    pub(crate) fn start(
        service: &ServiceName,
        name: &CheckName,
        config: &CheckConfig,
        on_probation: bool,
        known: Option<(Known, Instant)>,
        around: Around<'_>,
    ) -> Self {
        let Around { wake, sink, instruments, fence, listeners, holder } = around;
        let (now, place) = (Instant::now(), place(service, name));
        let (since, answered, passed) = known.as_ref().map_or_else(
            || (SystemTime::now(), SystemTime::now(), false),
            |(known, _)| (known.since, known.answered, known.passed),
        );
        let check = match known {
            Some((known, at)) => Check::take_over(config.timing, place, known.check, at),
            None => {
                let mut check = Check::new(config.timing, place, on_probation, now);
                check.set_enabled(false, now);
                check
            }
        };
        let (config, config_seen) = watch::channel(Arc::new(config.clone()));
        let (enabled, enabled_seen) = watch::channel(Permit::default());
        let bell = Arc::<Notify>::default();
        let (hinter, hints) = Hinter::new(Arc::clone(&bell));
        let (open, asks) = (Arc::default(), Arc::<Asks>::default());
        let (away, away_seen) = watch::channel(Away::default());
        let (state, state_seen) = watch::channel(CheckState {
            passed: passed.then(|| config.borrow().clone()),
            ..state_of(&check, since, check.last().cloned().map(|last| (last, answered)), 0)
        });
        let kept = watch::Sender::new(check.clone());
        let kept_seen = kept.subscribe();
        let driver = Driver {
            prober: prober(service, name, &config.borrow()),
            service: service.clone(),
            name: name.clone(),
            kept,
            check,
            config: config_seen,
            enabled: enabled_seen,
            targets: Vec::new(),
            begun: now,
            settles: None,
            hints,
            hinter: hinter.clone(),
            hint_told: None,
            untold: None,
            holder: holder.clone(),
            held: None,
            open: Arc::clone(&open),
            away: away_seen,
            asks: Arc::clone(&asks),
            bell: Arc::clone(&bell),
            state,
            wake: wake.clone(),
            sink: sink.clone(),
            times: instruments.check_time(service.as_str(), name.as_str()),
            listeners: listeners.clone(),
            answered,
            asking: config.borrow().clone(),
            passed: passed.then(|| config.borrow().clone()),
            cannot: None,
            told_cannot: false,
            unlogged: None,
            heart: fence.heart(format!("{service}/{name}")),
            turn: 0,
        };
        let span = tracing::info_span!("check", service = %service, check = %name);
        let keep = supervise::keep(driver, instruments.clone());
        let task = tokio::spawn(tracing::Instrument::instrument(keep, span));
        Self { state: state_seen, kept: kept_seen, config, enabled, hinter, open, away, asks, bell, task }
    }

    /// What it knows, for another process.
    pub(crate) fn hand_over(&self, now: Instant) -> Known {
        let (state, config) = (self.state.borrow(), self.config.borrow());
        Known {
            check: self.kept.borrow().hand_over(now),
            since: state.since,
            answered: state.last.as_ref().map_or(state.since, |(_, at)| *at),
            passed: state.passed.as_ref().is_some_and(|passed| **passed == **config),
        }
    }

    /// The agent was away: what is claimed must be confirmed, or is forgotten at once.
    pub(crate) fn prove_again(&self, forget: bool) {
        self.away.send_modify(|away| *away = Away { number: away.number + 1, forget });
        self.bell.notify_one();
    }

    /// Whether it knows since the last absence what it claims; where that has made it forget, whether it is decided.
    pub(crate) fn has_proven(&self) -> bool {
        let (state, away) = (self.state.borrow(), self.away.borrow());
        let decided = !away.forget || !state.enabled || state.health != Health::Unknown;
        state.absence == away.number && !state.unconfirmed && decided
    }

    /// New settings; what it knows stays.
    pub(crate) fn reconfigure(&self, config: &CheckConfig) {
        let changed = self.config.send_if_modified(|held| {
            let changed = **held != *config;
            if changed {
                *held = Arc::new(config.clone());
            }
            changed
        });
        if changed {
            self.bell.notify_one();
        }
    }

    /// Has it run once more, when no run is under way. What is found changes nothing. `None`: too many wait for that already.
    pub(crate) fn ask(&self) -> Option<oneshot::Receiver<Reply>> {
        let reply = self.asks.ask();
        self.bell.notify_one();
        reply
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
    pub(crate) fn permit(&self, permit: Permit) {
        let changed = self.enabled.send_if_modified(|held| {
            let changed = *held != permit;
            *held = permit;
            changed
        });
        if changed {
            self.bell.notify_one();
        }
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

/// How long a run may go on past its timeout before its task is taken for one that hangs.
const OVERRUN: Duration = Duration::from_secs(5);

fn is_new<T>(told: &watch::Receiver<T>) -> bool {
    told.has_changed().unwrap_or(false)
}

type Run = Pin<Box<dyn Future<Output = Outcome> + Send>>;

#[derive(Clone)]
struct Driver {
    service: ServiceName,
    name: CheckName,
    prober: Arc<Prober>,
    check: Check,
    /// What whoever takes over from this task begins with.
    kept: watch::Sender<Check>,
    config: watch::Receiver<Arc<CheckConfig>>,
    enabled: watch::Receiver<Permit>,
    /// When the last run began.
    begun: Instant,
    /// The addresses of ours that it asks.
    targets: Vec<IpAddr>,
    /// Until when one of them may have been bound too short a time ago to be reached.
    settles: Option<Instant>,
    hints: watch::Receiver<Option<Hint>>,
    hinter: Hinter,
    hint_told: Option<Instant>,
    /// A hint that is told of only if something comes of it.
    untold: Option<Hint>,
    holder: Holder,
    held: Option<Arc<Held>>,
    open: Arc<AtomicUsize>,
    away: watch::Receiver<Away>,
    asks: Arc<Asks>,
    bell: Arc<Notify>,
    state: watch::Sender<CheckState>,
    wake: Wake,
    sink: Sink,
    times: prometheus::Histogram,
    listeners: Listeners,
    answered: SystemTime,
    /// The settings of the run under way; others may have come meanwhile.
    asking: Arc<CheckConfig>,
    passed: Option<Arc<CheckConfig>>,
    cannot: Option<Cannot>,
    /// It has been told that runs cannot be done.
    told_cannot: bool,
    /// A change that the log is not told of yet.
    unlogged: Option<Change>,
    heart: Arc<Heart>,
    turn: u64,
}

impl Driver {
    async fn run(mut self) {
        let mut run: Option<Run> = None;
        let mut asked: Option<Asked> = None;
        // Turn about: a check that is always due must not keep those waiting who ask, nor they the check.
        let mut own_first = true;
        let bell = Arc::clone(&self.bell);
        // There may be something that the task before this one has not heard any more.
        bell.notify_one();
        self.hold();
        loop {
            if self.unlogged.is_some() {
                // The decision and the neighbors go first: they wait on this very thread.
                tokio::task::yield_now().await;
                self.log_change();
            }
            if run.is_none() && asked.is_none() && !own_first && !self.check.is_hinted() {
                asked = self.next_asked();
            }
            if run.is_none()
                && asked.is_none()
                && let Some(probe) = self.check.poll_probe(Instant::now())
            {
                self.keep();
                self.begun = Instant::now();
                self.asking = self.config.borrow().clone();
                let (prober, listeners) = (self.prober.clone(), self.listeners.clone());
                run = Some(Box::pin(async move {
                    #[cfg(debug_assertions)]
                    crate::faults::probe_begins();
                    if probe.confirm {
                        prober.run_to_confirm(probe.timeout, &listeners).await
                    } else {
                        prober.run(probe.timeout).await
                    }
                }));
            }
            if run.is_none() && asked.is_none() {
                asked = self.next_asked();
            }
            let timeout = match &asked {
                // The next run of its own has to wait, but what it claims does not.
                Some(asked) => Some(self.check.claims_until().map_or(asked.by, |at| at.min(asked.by))),
                None => self.check.poll_timeout(),
            };
            // A run ends by itself: one that does not is a fault of ours.
            let ends = run.is_some().then(|| Instant::now() + OVERRUN);
            self.heart.beat(self.turn, timeout.or(ends));
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
            let told = async {
                match &mut asked {
                    Some(asked) => asked.answer().await,
                    None => std::future::pending().await,
                }
            };
            let prober = Arc::clone(&self.prober);
            // What has been answered counts before any time that is over.
            tokio::select! {
                biased;
                outcome = answer => {
                    run = None;
                    own_first = false;
                    self.handle_outcome(outcome);
                }
                outcome = told => {
                    own_first = true;
                    if let (Some(asked), Some(outcome)) = (asked.take(), outcome) {
                        asked.tell(Ok(outcome));
                    }
                }
                () = timeout => {
                    if let Some(hung) = asked.take_if(|asked| Instant::now() >= asked.by) {
                        hung.tell(Err("the run did not end".to_owned()));
                    }
                    self.handle_timeout();
                }
                () = prober.changed() => {
                    let now = Instant::now();
                    self.put_off(&mut asked);
                    self.check.handle_hint(now);
                    if self.check.poll_cancel(now) {
                        run = None;
                    }
                }
                // One bell for all: to wait for each of them would be most of the work of a run.
                () = bell.notified() => self.hear(&mut run, &mut asked),
            }
        }
    }

    /// Looks at all that it may have been told.
    fn hear(&mut self, run: &mut Option<Run>, asked: &mut Option<Asked>) {
        if is_new(&self.hints) {
            self.put_off(asked);
            // What is under way may have been answered before the listener went.
            if self.handle_hint() {
                *run = None;
            }
        }
        if is_new(&self.config) {
            self.reconfigure();
        }
        if is_new(&self.away) && self.was_away() {
            self.put_off(asked);
            *run = None;
        }
        if is_new(&self.enabled) {
            self.put_off(asked);
            self.handle_permit();
        }
    }

    /// Whether the run under way is to be dropped.
    fn handle_hint(&mut self) -> bool {
        let Some(hint) = *self.hints.borrow_and_update() else { return false };
        let now = Instant::now();
        self.check.handle_hint(now);
        if let Hint::Lost(loss) = hint
            && self.targets.contains(&loss.network().addr())
        {
            self.settles = Some(now + SETTLES);
        }
        match hint {
            // Servers close what is idle: that a healthy one does so is nobody's news.
            Hint::Dropped(_) => self.untold = Some(hint),
            Hint::Closed(..) | Hint::Ended(_) | Hint::Lost(_) | Hint::Overrun => self.tell_hint(hint, now),
        }
        self.check.poll_cancel(now)
    }

    fn handle_outcome(&mut self, outcome: Outcome) {
        let said = outcome.health;
        let outcome = self.unless_displaced(outcome, Instant::now());
        self.times.observe(outcome.took.as_secs_f64());
        if outcome.health < Health::Up
            && let Some(hint) = self.untold.take()
        {
            self.tell_hint(hint, Instant::now());
        }
        if outcome.health >= Health::Degraded {
            self.passed = Some(Arc::clone(&self.asking));
        }
        match (said, outcome.health) {
            (Health::Unknown, _) => self.cannot_be_done(outcome.detail.clone()),
            // What somebody does to an address has been told of already, and says nothing of whether the check can be done.
            (_, Health::Unknown) => {}
            (..) => self.cannot = None,
        }
        self.check.handle_outcome(outcome, Instant::now());
        if !self.check.is_hinted() {
            self.untold = None; // Nothing came of it, also when asked again.
        }
        self.tell_cannot();
        self.answered = SystemTime::now();
        self.publish();
    }

    fn handle_permit(&mut self) {
        let permit = self.enabled.borrow_and_update().clone();
        let now = Instant::now();
        if permit.targets.iter().any(|address| !self.targets.contains(address)) {
            self.settles = Some(now + SETTLES);
        }
        self.targets = permit.targets;
        self.check.set_enabled(permit.runs, now);
        if !permit.runs {
            (self.cannot, self.told_cannot) = (None, false);
        }
        self.hold();
        self.publish();
    }

    fn handle_timeout(&mut self) {
        let judged = |check: &Check| (check.counters().failures, check.counters().inconclusive);
        let (before, health, awaited) = (judged(&self.check), self.check.health(), self.check.is_awaited());
        self.check.handle_timeout(Instant::now());
        if judged(&self.check) != before {
            self.answered = SystemTime::now();
            self.publish();
        } else if self.check.health() != health || self.check.is_awaited() != awaited {
            self.publish();
        }
    }

    /// Whether a run under way is to be dropped. Not told of the same absence twice, whichever task hears of it.
    fn was_away(&mut self) -> bool {
        let away = *self.away.borrow_and_update();
        if away.number == self.state.borrow().absence {
            return false;
        }
        let now = Instant::now();
        if away.forget {
            self.check.forget(now);
        } else {
            self.check.prove_again(now);
        }
        if self.heart.is_turn(self.turn) {
            self.state.send_modify(|state| state.absence = away.number);
        }
        self.publish();
        self.wake.wake();
        true
    }

    /// Leaves what it knows to whoever takes over.
    fn keep(&self) {
        if self.heart.is_turn(self.turn) {
            self.kept.send_replace(self.check.clone());
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
            self.held = Some(Arc::new(self.holder.hold(addresses, &self.hinter, &self.open)));
        }
    }
}
