//! The decision loop: one task that owns everything that is known of the node.
//!
//! It is woken when anything changed ([`Wake`]), reads what the tasks show in their `watch`es, asks
//! [`anycast_core::decide`] what should be true, and hands the whole sets on. Questions and orders come as closures over
//! bounded queues ([`Handle`]) and run between two decisions; nothing in this task waits for a disk or a peer.

mod about;
mod absence;
mod bfd;
mod changes;
mod clock;
mod difference;
mod disabled;
mod doctor;
mod dynamic;
mod expiry;
mod explain;
mod handle;
mod handover;
mod history;
mod holds;
mod orders;
mod paths;
mod probe;
mod problems;
mod reload;
mod report;
mod ring;
mod rule;
mod shutdown;
mod watched;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anycast_bgp::Farewell;
use anycast_core::{
    Desired, Drain, Health, HoldDown, PeerId, ServiceName, View,
    config::ProbeConfig,
    decide::{Blocker, CheckView, Contribution, awaits_withdraw},
};
use tokio::sync::{mpsc, watch};

pub(crate) use self::{
    about::About,
    bfd::Ailment,
    difference::Weighed,
    handle::{Handle, NoAnswer},
    handover::{GoesOn, Seat, collect, glance},
    holds::time_until,
    orders::{Actor, OrderDesk, Refusal},
    probe::answers as probe_answers,
    ring::Ring,
};
use self::{
    changes::{Change, Since},
    handle::Request,
    paths::Paths,
};
use crate::{
    bfd::Bfd,
    checker::{Checker, Permit},
    clock::moment,
    config::{Lasting, Settings, ShutdownMode},
    disable::{DisableFiles, Look},
    fence::Fence,
    flaps::Flaps,
    hints::Watch,
    kernel::{AddressPlan, AddressState, KernelState, Links, Owner},
    listener::{Arrival, Deaf, ListenPlan, Refusals},
    metrics::Instruments,
    peer::Peer,
    signal::{Happening, Sink, Wake},
    state::{Loaded, Order, Orders},
    traffic::Meter,
};

/// How many decisions in a row one wake may take before the loop looks at its queues again.
const TURNS: usize = 16;

/// How soon the loop looks again where nothing will wake it.
const SOON: Duration = Duration::from_millis(10);

/// What the loop is given at the start.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    /// The text of the configuration.
    pub(crate) text: Arc<str>,
    /// The settings that only a restart changes, as they are in force.
    pub(crate) lasting: Lasting,
    pub(crate) loaded: Loaded,
    /// Of which services the `disable_file` is there, as far as could be seen.
    pub(crate) looks: BTreeMap<ServiceName, Look>,
    pub(crate) disable_files: watch::Sender<DisableFiles>,
    pub(crate) orders_file: std::path::PathBuf,
    pub(crate) flaps: Flaps,
    pub(crate) plan: watch::Sender<Option<Arc<AddressPlan>>>,
    pub(crate) kernel: watch::Receiver<Arc<KernelState>>,
    pub(crate) links: watch::Receiver<Links>,
    pub(crate) wake: Wake,
    pub(crate) sink: Sink,
    pub(crate) happenings: mpsc::Receiver<Happening>,
    pub(crate) instruments: Instruments,
    pub(crate) desk: OrderDesk,
    pub(crate) listening: Listening,
    /// The process before this one left its addresses: what it announced goes on working.
    pub(crate) restarted: bool,
    /// How many neighbors may be connected that have dialled us.
    pub(crate) connections: usize,
    pub(crate) fence: Fence,
    pub(crate) bfd: Bfd,
    /// Counts what comes for addresses.
    pub(crate) traffic: Meter,
    /// What another agent has left to this one.
    pub(crate) goes_on: Option<GoesOn>,
}

/// The loop's end of the listener.
pub(crate) struct Listening {
    pub(crate) plan: watch::Sender<ListenPlan>,
    pub(crate) deaf: watch::Receiver<Deaf>,
    pub(crate) arrivals: mpsc::Receiver<Arrival>,
    pub(crate) refusals: Arc<Refusals>,
}

/// Everything known of the node.
pub(crate) struct Agent {
    settings: Settings,
    /// The text of the configuration in force.
    text: Arc<str>,
    /// What of it only a restart changes: as it is in force, whatever is configured.
    lasting: Lasting,
    peers: BTreeMap<PeerId, Peer>,
    /// Neighbors that are no longer configured, until their session has ended.
    parting: Vec<(PeerId, Peer)>,
    paths: Paths,
    listen: watch::Sender<ListenPlan>,
    deaf: watch::Receiver<Deaf>,
    refusals: Arc<Refusals>,
    /// Until when a session may be one that takes over from another process; `None`: there was none, or long ago.
    restarted_until: Option<Instant>,
    /// How many neighbors may be connected that have dialled us.
    connections: usize,
    /// When it was last told that there are too many.
    crowded: Option<Instant>,
    /// Until when the neighbors wait for the rest of the routes; `None`: they have them all.
    complete_by: Option<Instant>,
    checkers: BTreeMap<ServiceName, BTreeMap<anycast_core::CheckName, Checker>>,
    /// What the kernel tells the checks.
    watch: Watch,
    /// How many lost networks the checks were told of.
    losses_seen: u64,
    /// What services were whose checks a reload has all replaced, until one of the new ones is decided.
    carried: BTreeMap<ServiceName, Carried>,
    drains: BTreeMap<ServiceName, Drain>,
    holds: BTreeMap<ServiceName, HoldDown>,
    /// The health that each service last served with.
    served: BTreeMap<ServiceName, Health>,
    /// The checks that have not passed yet since they ask something else, by service.
    unproven: BTreeMap<ServiceName, BTreeSet<anycast_core::CheckName>>,
    /// What is to be known of flaps after a restart.
    flaps: Flaps,
    orders: Orders,
    /// The disk is to have other orders than it has.
    untidy: bool,
    /// The services whose `disable_file` is there.
    disabled: BTreeMap<ServiceName, Order>,
    /// Which files are looked for.
    disable_files: watch::Sender<DisableFiles>,
    expiries: expiry::Expiries,
    orders_file: std::path::PathBuf,
    /// An expired order is being taken off the disk.
    forgetting: bool,
    /// Addresses that are bound beforehand, for a configuration that is about to be taken over.
    preparing: BTreeSet<IpAddr>,
    plan: watch::Sender<Option<Arc<AddressPlan>>>,
    kernel: watch::Receiver<Arc<KernelState>>,
    /// Which interfaces carry packets, for the sessions over them.
    links: watch::Receiver<Links>,
    desired: Desired,
    /// Since when everything is as it is.
    since: Since,
    /// What each service was of late.
    history: history::History,
    /// What changed and is not told yet.
    changes: Vec<Change>,
    /// What is wrong with the agent itself, by subject.
    problems: BTreeMap<&'static str, String>,
    ring: Ring,
    waiters: Vec<orders::Waiter>,
    stop: Option<shutdown::Stop>,
    started: (Instant, SystemTime),
    wake: Wake,
    sink: Sink,
    instruments: Instruments,
    desk: OrderDesk,
    fence: Fence,
    /// The sessions of BFD.
    bfd: Bfd,
    /// Counts what comes for addresses.
    traffic: Meter,
    /// When the loop last went round.
    turned: anycast_core::fence::Moment,
    /// Until when no session begins, because what is claimed is being proven anew.
    proving_until: Option<Instant>,
    /// Nothing is decided: somebody else is to go on.
    frozen: bool,
    /// What goes on here, until everything has begun.
    goes_on: Option<GoesOn>,
    /// What came of the last upgrade.
    upgraded: Option<anycast_api::Upgraded>,
    /// The handle by which tasks that the loop starts come back to it.
    handle: Handle,
}

/// The health that a service had before all its checks were replaced.
#[derive(Debug, Clone, Copy)]
struct Carried {
    health: Health,
    /// It is a claim like any other: so long is it believed without a proof.
    until: Instant,
}

/// The ends of the queues, kept apart from the state so that the loop can wait on them while it owns the state.
struct Queues {
    orders: mpsc::Receiver<Request>,
    questions: mpsc::Receiver<Request>,
    happenings: mpsc::Receiver<Happening>,
    arrivals: mpsc::Receiver<Arrival>,
}

/// Builds the loop and the handle to ask it.
pub(crate) fn new(parts: Parts) -> (impl Future<Output = ()>, Handle) {
    let (orders, ordered) = mpsc::channel(64);
    let (questions, asked) = mpsc::channel(256);
    let handle = Handle { orders, questions };
    let Listening { plan: listen, deaf, arrivals, refusals } = parts.listening;
    let queues = Queues { orders: ordered, questions: asked, happenings: parts.happenings, arrivals };
    let mut agent = Agent {
        settings: parts.settings,
        text: parts.text,
        lasting: parts.lasting,
        peers: BTreeMap::new(),
        parting: Vec::new(),
        paths: Paths::default(),
        listen,
        deaf,
        refusals,
        restarted_until: parts.restarted.then(Instant::now),
        connections: parts.connections,
        crowded: None,
        complete_by: None,
        checkers: BTreeMap::new(),
        watch: Watch::start(),
        losses_seen: 0,
        carried: BTreeMap::new(),
        drains: BTreeMap::new(),
        holds: BTreeMap::new(),
        served: BTreeMap::new(),
        unproven: BTreeMap::new(),
        flaps: parts.flaps,
        orders: Orders::new(),
        untidy: false,
        disabled: BTreeMap::new(),
        disable_files: parts.disable_files,
        expiries: expiry::Expiries::default(),
        orders_file: parts.orders_file,
        forgetting: false,
        preparing: BTreeSet::new(),
        plan: parts.plan,
        kernel: parts.kernel,
        links: parts.links,
        desired: Desired::default(),
        since: Since::default(),
        history: history::History::default(),
        changes: Vec::new(),
        problems: BTreeMap::new(),
        ring: Ring::default(),
        waiters: Vec::new(),
        stop: None,
        started: (Instant::now(), SystemTime::now()),
        wake: parts.wake,
        sink: parts.sink,
        instruments: parts.instruments,
        desk: parts.desk,
        fence: parts.fence,
        bfd: parts.bfd,
        traffic: parts.traffic,
        turned: moment(),
        proving_until: None,
        frozen: false,
        goes_on: parts.goes_on,
        upgraded: None,
        handle: handle.clone(),
    };
    // Sessions may begin from now on.
    agent.fence.beat();
    agent.wait_for_restart();
    agent.begin_disabled(parts.looks);
    agent.begin(parts.loaded);
    (agent.run(queues), handle)
}

impl Agent {
    async fn run(mut self, mut queues: Queues) {
        let wake = self.wake.clone();
        let mut moved = true;
        loop {
            // Before anything else is done with what was known.
            self.mind_absence();
            if moved {
                self.turn();
                if !self.changes.is_empty() {
                    // The neighbors go first: their tasks were woken, and wait on this very thread.
                    tokio::task::yield_now().await;
                    self.tell_changes();
                }
            }
            self.settle_absence(Instant::now());
            self.fence.beat();
            if self.is_over() {
                return;
            }
            let beat = tokio::time::sleep(self.fence.beat_every());
            let timeout = self.poll_timeout();
            let timeout = async move {
                match timeout {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            // A question changes nothing: those who ask all the time must not have us decide all the time.
            moved = tokio::select! {
                () = wake.woken() => true,
                Ok(()) = self.kernel.changed() => true,
                () = timeout => true,
                () = beat => false,
                Some(order) = queues.orders.recv() => {
                    order(&mut self);
                    true
                }
                Some(arrival) = queues.arrivals.recv() => {
                    self.arrived(arrival);
                    true
                }
                Some(happening) = queues.happenings.recv() => {
                    self.ring.push(happening);
                    false
                }
                Some(question) = queues.questions.recv() => {
                    question(&mut self);
                    false
                }
            };
            // Whatever came at the same moment is part of the same decision.
            while let Ok(happening) = queues.happenings.try_recv() {
                self.ring.push(happening);
            }
            while let Ok(order) = queues.orders.try_recv() {
                order(&mut self);
                moved = true;
            }
        }
    }

    /// Decides, and moves on what depends on the decision, until nothing moves any more.
    fn turn(&mut self) {
        if self.frozen {
            return;
        }
        self.hint_of_losses();
        for _ in 0..TURNS {
            let now = Instant::now();
            self.drains.values_mut().for_each(|drain| drain.handle_timeout(now));
            self.end_holds(now);
            self.expire_orders();
            self.carried.retain(|_, carried| now < carried.until);
            let view = self.view();
            let desired = anycast_core::decide(&self.settings.core, &view);
            let moved = self.settle_drains(&desired, &view, now) | self.settle_holds(&desired, now);
            self.adopt(desired, &view, now);
            if !moved {
                break;
            }
        }
        let parting = self.parting.len();
        self.parting.retain(|(_, peer)| !peer.is_finished());
        if self.parting.len() < parting {
            self.keep_times();
        }
        self.forget_gone(Instant::now());
        self.start_peers();
        self.settle_complete(Instant::now());
        self.advance_stop(Instant::now());
        self.answer_waiters();
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.frozen {
            return None;
        }
        let drains = self.drains.values().filter_map(Drain::poll_timeout);
        // The end of a peer's task wakes nobody: look again soon.
        let parted = (!self.parting.is_empty()).then(|| Instant::now() + SOON);
        let holds = self.holds.values().filter_map(HoldDown::poll_timeout);
        let others = [
            self.next_expiry(),
            self.stop_timeout(),
            parted,
            self.next_forgotten(),
            self.complete_by,
            self.proving_until,
            self.carried.values().map(|carried| carried.until).min(),
        ];
        drains.chain(holds).chain(others.into_iter().flatten()).min()
    }

    /// What is known of the world now.
    fn view(&mut self) -> View {
        let checks = self.checkers.iter().map(|(service, checkers)| {
            let seen = checkers.iter().map(|(name, checker)| {
                let state = checker.state.borrow();
                (name.clone(), CheckView { health: state.health, counts: state.counts, awaited: state.awaited })
            });
            (service.clone(), seen.collect())
        });
        let kernel = self.kernel.borrow_and_update().clone();
        let bound = kernel.addresses.iter().filter_map(|(address, state)| match state {
            AddressState::Bound { owner, .. } => Some((*address, *owner)),
            AddressState::Missing { .. } => None,
        });
        let ours = bound.clone().filter(|(_, owner)| *owner == Owner::Ours);
        View {
            checks: checks.collect(),
            carried: self.carried.iter().map(|(name, carried)| (name.clone(), carried.health)).collect(),
            drains: self.drains.iter().map(|(name, drain)| (name.clone(), drain.phase())).collect(),
            holds: self.holds.iter().map(|(name, hold)| (name.clone(), hold.phase())).collect(),
            served: self.served.clone(),
            ours: ours.map(|(address, _)| address).collect(),
            bound: bound.map(|(address, _)| address).collect(),
            held: self.held(),
            stopping: self.is_unbinding(),
        }
    }

    /// What each neighbor holds, those that are being left among them.
    fn held(&mut self) -> BTreeMap<PeerId, BTreeSet<anycast_bgp::Prefix>> {
        let mut held: BTreeMap<PeerId, BTreeSet<_>> = BTreeMap::new();
        let parting = self.parting.iter_mut().map(|(id, peer)| (&*id, peer));
        for (_, peer) in self.peers.iter_mut().chain(parting) {
            let of = peer.of.clone();
            held.entry(of).or_default().extend(peer.held());
        }
        held
    }

    /// Tells each drain whether a neighbor still holds what it withdraws; whether any of them moved on.
    fn settle_drains(&mut self, desired: &Desired, view: &View, now: Instant) -> bool {
        let mut moved = false;
        for (name, service) in &self.settings.core.services {
            if let Some(drain) = self.drains.get_mut(name) {
                let before = view.drains.get(name).copied();
                drain.handle_held(awaits_withdraw(service, desired, view), now);
                moved |= before != Some(drain.phase());
            }
        }
        moved
    }

    /// Tells the neighbors once the routes are all there is to say: every service is decided, or has had its time.
    fn settle_complete(&mut self, now: Instant) {
        let Some(by) = self.complete_by else { return };
        let open = |contribution: &Contribution| {
            matches!(contribution, Contribution::Blocked(Blocker::Unknown(_) | Blocker::NotBound(_)))
        };
        let undecided = self.desired.prefixes.values().any(|verdict| verdict.services.values().any(open));
        if undecided && now < by {
            return;
        }
        self.complete_by = None;
        self.peers.values().for_each(|peer| peer.set_complete(true));
    }

    /// Hands the sets on.
    fn adopt(&mut self, desired: Desired, view: &View, now: Instant) {
        for peer in self.peers.values_mut() {
            if let Some(routes) = desired.routes.get(&peer.of) {
                peer.set_routes(routes, now);
            }
        }
        if view.stopping {
            self.preparing.clear();
        }
        let plan = AddressPlan {
            interface: self.settings.core.interface.clone(),
            addresses: desired.addresses.union(&self.preparing).copied().collect(),
            anchor: self.settings.core.anchor,
            anchors: desired.anchors.clone(),
        };
        self.plan.send_if_modified(|held| {
            let changed = held.as_deref() != Some(&plan);
            if changed {
                *held = Some(Arc::new(plan));
            }
            changed
        });
        self.desired = desired;
        self.enable_checks(view);
        self.note_changes();
    }

    /// A check runs only while what it aims at is bound here: another node must never answer for us.
    fn enable_checks(&self, view: &View) {
        let ours: BTreeSet<IpAddr> =
            self.settings.core.services.values().flat_map(|service| service.addresses.iter().copied()).collect();
        for (name, service) in &self.settings.core.services {
            let any_bound = service.addresses.iter().any(|address| view.bound.contains(address));
            for (check, config) in &service.checks {
                let Some(checker) = self.checkers.get(name).and_then(|checkers| checkers.get(check)) else { continue };
                let targets = config.probe.targets();
                let asked = match &config.probe {
                    // For all that is known it asks any of the service's.
                    ProbeConfig::Exec(_) | ProbeConfig::Http(_) if targets.is_empty() => {
                        service.addresses.iter().copied().collect()
                    }
                    _ => targets,
                };
                let here = |address: &IpAddr| ours.contains(address) && view.bound.contains(address);
                let runs = may_run(&config.probe, &ours, &view.bound, any_bound);
                checker.permit(Permit { runs, targets: asked.into_iter().filter(here).collect() });
            }
        }
    }

    /// The log of what happened, and a place to follow it.
    pub(crate) fn ring(&self) -> &Ring {
        &self.ring
    }

    /// What the metrics are drawn from, besides the status.
    pub(crate) fn dropped_happenings(&self) -> u64 {
        self.sink.dropped()
    }

    /// Something is wrong with the agent itself, or is well again.
    pub(crate) fn problem(&mut self, subject: &'static str, text: Option<String>) {
        match text {
            Some(text) => self.problems.insert(subject, text),
            None => self.problems.remove(subject),
        };
    }

    /// An event of the agent's own.
    pub(crate) fn report_own(&self, text: String) {
        self.sink.report("agent", &self.settings.core.node.name, text);
    }

    fn shutdown_mode(&self) -> ShutdownMode {
        self.settings.shutdown
    }
}

/// Whether a probe may run: every anycast address it names is bound. One that names none (a program, a host name) waits
/// until the service has an address at all.
fn may_run(probe: &ProbeConfig, ours: &BTreeSet<IpAddr>, bound: &BTreeSet<IpAddr>, any_bound: bool) -> bool {
    let targets = probe.targets();
    if targets.is_empty() {
        return any_bound;
    }
    targets.iter().filter(|target| ours.contains(target)).all(|target| bound.contains(target))
}

#[cfg(test)]
pub(crate) mod tests;
