//! Maintenance: a withdraw is written to disk before it is obeyed, so that a restart never forgets one. Its end is obeyed whatever the
//! disk does: a restart that does not know of it withdraws again, which loses nothing.
//!
//! The loop never waits for the disk. An order is planned here (a pure step that may refuse it), saved by whoever asked,
//! and then committed here. One lock, held by the askers, keeps two orders from overtaking each other.

mod arriving;
mod dependents;
mod desk;
mod effect;
mod lost;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use anycast_api::{DrainPhase, OrderReply, Timestamp, WaitReply, WithdrawMode, WithdrawRequest};
use anycast_bgp::Prefix;
use anycast_core::{
    Drain, ServiceName,
    config::{Service, Unbind},
    drain::{Mode, Phase},
};
use tokio::sync::oneshot;

pub(crate) use self::desk::OrderDesk;
use super::{Agent, NoAnswer, clock::wall};
use crate::{
    clock::since_boot,
    config,
    state::{self, Book, Order, Orders, StateError},
};

/// How long the disk may take over the few bytes of an order: not as long as whoever ordered waits for the answer.
const DISK: Duration = Duration::from_secs(3);
/// How soon something that no one waits for is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// The problem that the disk has orders which are over.
const STALE: &str = "orders";
/// An order that ends by itself ends within a year: anything longer is a slip of the pen.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
/// The longest reason that is kept, in bytes.
const REASON: usize = 200;

/// Who gives an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Actor(pub(crate) String);

/// Why an order is not obeyed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("no service is named `{name}`{}", nearest(.known, .name))]
    NoSuchService { name: String, known: Vec<String> },
    #[error("service `{service}` has no check `{name}`{}", nearest(.known, .name))]
    NoSuchCheck { service: String, name: String, known: Vec<String> },
    #[error("no neighbor is named `{name}`{}", nearest(.known, .name))]
    NoSuchNeighbor { name: String, known: Vec<String> },
    #[error("`{name}` is no service, prefix or address of this node{}", nearest(.known, .name))]
    NoSuchTarget { name: String, known: Vec<String> },
    #[error("this node has no services")]
    NoServices,
    #[error("the agent is stopping")]
    Stopping,
    #[error("{0}")]
    Bad(String),
    #[error(transparent)]
    Disk(#[from] StateError),
    #[error("the disk did not take the order within {} s; nothing was changed", DISK.as_secs())]
    DiskHangs,
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
}

/// `; did you mean …?`, or what there is.
fn nearest(known: &[String], name: &str) -> String {
    match config::nearest(name, known.iter().map(String::as_str)) {
        Some(best) => format!("; did you mean `{best}`?"),
        None if known.is_empty() => String::new(),
        None => format!("; there is {}", known.join(", ")),
    }
}

/// The order book, as it will be once it is on disk.
pub(crate) struct Plan {
    orders: Orders,
    file: PathBuf,
    names: Vec<ServiceName>,
    /// The services that there are.
    services: BTreeSet<ServiceName>,
    /// What is held down is not any more.
    clears: bool,
}

impl Plan {
    fn book(&self) -> Book {
        book(&self.orders, || self.services.clone())
    }
}

/// What is written of the orders; `services` are those that there are.
fn book(orders: &Orders, services: impl FnOnce() -> BTreeSet<ServiceName>) -> Book {
    let whole = orders.values().any(|order| order.whole_node);
    Book { orders: orders.clone(), services: if whole { services() } else { BTreeSet::new() } }
}

/// Somebody who waits for drains to end.
pub(super) struct Waiter {
    names: Vec<ServiceName>,
    reply: oneshot::Sender<()>,
}

impl Agent {
    fn plan_withdraw(&self, request: &WithdrawRequest, by: &Actor) -> Result<Plan, Refusal> {
        let names = self.named(&request.services)?;
        if let Some(reason) = &request.reason
            && (reason.len() > REASON || reason.chars().any(char::is_control))
        {
            return Err(Refusal::Bad(format!("a reason is one line of at most {REASON} bytes")));
        }
        // As a script has it whose variable is not set: that is no reason.
        let reason = request.reason.as_ref().filter(|reason| !reason.trim().is_empty());
        let until = request.for_seconds.map(ends_at).transpose()?;
        let boot = request.boot.then(this_boot).transpose()?;
        if until.is_some() && boot.is_some() {
            return Err(Refusal::Bad(
                "a maintenance ends after a time or with the next start of the machine: name one".to_owned(),
            ));
        }
        let mut orders = self.orders.clone();
        for name in &names {
            let before = orders.get(name);
            // It would be announced again, by what was meant to make it less so.
            if request.mode == WithdrawMode::Degrade && before.is_some_and(|order| order.mode != WithdrawMode::Degrade)
            {
                let text = format!("`{name}` is withdrawn already; end that first (`anycastctl announce {name}`)");
                return Err(Refusal::Bad(text));
            }
            let order = Order {
                mode: request.mode,
                by: by.0.clone(),
                at: Timestamp::now(),
                reason: reason.cloned(),
                until,
                whole_node: request.services.is_empty(),
                boot: boot.clone(),
                file: None,
            };
            let order = match before {
                Some(before) => together(before, order),
                None => order,
            };
            orders.insert(name.clone(), order);
        }
        Ok(Plan { orders, file: self.orders_file.clone(), names, services: self.services(), clears: false })
    }

    fn plan_announce(&self, services: &[String], force: bool, by: &Actor) -> Result<Plan, Refusal> {
        let names = self.named(services)?;
        tracing::info!(by = %by.0, force, "announce ordered");
        let mut orders = self.orders.clone();
        names.iter().for_each(|name| drop(orders.remove(name)));
        Ok(Plan { orders, file: self.orders_file.clone(), names, services: self.services(), clears: force })
    }

    fn services(&self) -> BTreeSet<ServiceName> {
        self.settings.core.services.keys().cloned().collect()
    }

    /// What the disk is to have.
    pub(super) fn book(&self) -> Book {
        book(&self.orders, || self.services())
    }

    /// Has every neighbor told again what it refused.
    fn release(&self, services: &[String]) -> Result<(), Refusal> {
        let services = self.named(services)?;
        let services = services.iter().filter_map(|name| self.settings.core.services.get(name));
        let prefixes: BTreeSet<Prefix> = services.flat_map(|service| service.prefixes.iter().copied()).collect();
        self.peers.values().for_each(|peer| peer.release(prefixes.clone()));
        Ok(())
    }

    /// The services of an order; all of them when none is named.
    pub(super) fn named(&self, services: &[String]) -> Result<Vec<ServiceName>, Refusal> {
        if self.is_stopping() {
            return Err(Refusal::Stopping);
        }
        let known = &self.settings.core.services;
        if known.is_empty() {
            return Err(Refusal::NoServices);
        }
        if services.is_empty() {
            return Ok(known.keys().cloned().collect());
        }
        let names: BTreeSet<&String> = services.iter().collect();
        let find = |name: &&String| match known.get_key_value(name.as_str()) {
            Some((name, _)) => Ok(name.clone()),
            None => Err(Refusal::NoSuchService {
                name: (*name).clone(),
                known: known.keys().map(ToString::to_string).collect(),
            }),
        };
        names.iter().map(find).collect()
    }

    /// The plan is on disk: obey it, and say what moves.
    fn commit(&mut self, plan: Plan) -> OrderReply {
        let before = self.announced_prefixes();
        let were: BTreeMap<_, _> =
            plan.names.iter().map(|name| (name.clone(), self.before(name, plan.clears))).collect();
        self.orders = plan.orders;
        // A reload came between the plan and its commit: an order for what is gone would never end.
        self.orders.retain(|name, _| self.settings.core.services.contains_key(name));
        for name in &plan.names {
            self.follow(name);
        }
        if plan.clears {
            self.clear_holds(&plan.names);
        }
        self.settle_lost();
        self.turn();
        let services = were.iter().map(|(name, was)| self.ordered(name, was, &before)).collect();
        OrderReply { services, dependents: self.left_behind(&plan.names), warning: None }
    }

    /// Brings one drain in line with the order that it stands under.
    pub(super) fn follow(&mut self, name: &ServiceName) {
        let order = self.standing(name).cloned();
        // What is withdrawn does not become degraded by an order; here one ends that stood above it.
        let degrades = order.as_ref().is_some_and(|order| order.mode == WithdrawMode::Degrade);
        if degrades && self.phase_of(name).is_withdrawn() {
            self.obey(name, None);
        }
        self.obey(name, order.as_ref());
    }

    /// The order that a service stands under: of an operator, or of its `disable_file`, which withdraws also what is ordered to be
    /// degraded.
    pub(super) fn standing(&self, name: &ServiceName) -> Option<&Order> {
        stands(self.orders.get(name), self.disabled.get(name))
    }

    /// All services that stand under an order.
    pub(super) fn under_orders(&self) -> BTreeSet<ServiceName> {
        self.orders.keys().chain(self.disabled.keys()).cloned().collect()
    }

    /// Brings one drain in line with its order.
    fn obey(&mut self, name: &ServiceName, order: Option<&Order>) {
        let Some(text) = self.turn_drain(name, order) else { return };
        tracing::info!(service = %name, "{text}");
        self.sink.report("drain", name, text);
    }

    /// After a restart: the order stands, and was not given now.
    pub(super) fn resume(&mut self, name: &ServiceName, order: &Order) {
        if let Some(text) = self.turn_drain(name, Some(order)) {
            let text = format!("still in force since {}: {text}", order.at);
            tracing::info!(service = %name, "{text}");
            self.sink.report("drain", name, text);
        }
    }

    /// What to say of it, if anything changed.
    fn turn_drain(&mut self, name: &ServiceName, order: Option<&Order>) -> Option<String> {
        let held = self.held();
        let service = self.settings.core.services.get(name)?;
        // Where nobody holds anything there is nobody to say goodbye to.
        let is_held = held.values().any(|held| service.prefixes.iter().any(|prefix| held.contains(prefix)));
        let now = Instant::now();
        let drain = self.drains.entry(name.clone()).or_insert_with(|| Drain::new(service.drain, now));
        let before = drain.phase();
        match order.map(|order| mode(order.mode)) {
            Some(Mode::Graceful) if !is_held => drain.handle_withdraw(Mode::Now, now),
            Some(mode) => drain.handle_withdraw(mode, now),
            None => drain.handle_announce(now),
        }
        if before == drain.phase() {
            return None;
        }
        Some(match order {
            Some(order) => {
                let reason = order.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
                format!("withdraw ordered by {}{reason}", order.by)
            }
            None => "maintenance ended".to_owned(),
        })
    }

    /// Whether its addresses are not bound because an operator has withdrawn it.
    pub(super) fn is_unbound_by_order(&self, name: &ServiceName) -> bool {
        let unbinds = |service: &Service| service.unbind == Unbind::Drained;
        self.phase_of(name) == Phase::Drained && self.settings.core.services.get(name).is_some_and(unbinds)
    }

    /// The service by which an order for a prefix is given: one that is under no order, if there is one, for `announce` would end
    /// that too.
    pub(super) fn of_prefix(&self, prefix: Prefix) -> Option<&ServiceName> {
        let of = self.settings.core.services.iter().filter(|(_, service)| service.prefixes.contains(&prefix));
        of.map(|(name, _)| name).min_by_key(|name| self.orders.contains_key(*name))
    }

    fn announced_prefixes(&self) -> BTreeSet<Prefix> {
        let announced = self.desired.prefixes.iter().filter(|(_, verdict)| verdict.announced.is_some());
        announced.map(|(prefix, _)| *prefix).collect()
    }

    /// Waits until the services are drained, or one of them is not withdrawn any more; the asker bounds for how long. All of them when
    /// none is named.
    pub(crate) fn wait(&mut self, services: &[String]) -> Result<oneshot::Receiver<()>, Refusal> {
        let names = self.named(services)?;
        let (reply, waiting) = oneshot::channel();
        self.waiters.push(Waiter { names, reply });
        self.answer_waiters();
        Ok(waiting)
    }

    /// What a waiter would still wait for.
    pub(crate) fn wait_reply(&self, services: &[String]) -> WaitReply {
        let known = &self.settings.core.services;
        let wanted = |name: &&ServiceName| services.is_empty() || services.iter().any(|one| one == name.as_str());
        let (under, ended): (Vec<_>, Vec<_>) =
            known.keys().filter(wanted).partition(|name| self.standing(name).is_some());
        // One that has gone from the configuration was withdrawn by that, and is not under an order.
        let gone: Vec<_> = services.iter().filter(|name| !known.contains_key(name.as_str())).cloned().collect();
        let open = under.iter().filter(|name| self.phase_of(name) != Phase::Drained);
        let open: Vec<String> = open.map(|name| self.waiting_for(name)).collect();
        let ended: Vec<String> = ended.into_iter().map(ToString::to_string).chain(gone).collect();
        WaitReply { done: open.is_empty() && ended.is_empty(), waiting_for: open, ended, traffic: None }
    }

    fn waiting_for(&self, name: &ServiceName) -> String {
        match self.phase_of(name) {
            Phase::Active => format!("{name}: it is announced again"),
            Phase::Degraded => format!("{name}: it is degraded, not withdrawn"),
            Phase::GracefulShutdown { until } => format!("{name}: graceful shutdown until {}", wall(until)),
            Phase::Withdrawing => {
                let prefixes = self.settings.core.services.get(name).map(|service| &service.prefixes);
                let holds = |peer: &crate::peer::Peer| {
                    let state = peer.state.borrow();
                    prefixes.is_some_and(|prefixes| prefixes.iter().any(|prefix| state.advertised.contains_key(prefix)))
                };
                let peers: Vec<_> =
                    self.peers.iter().filter(|(_, peer)| holds(peer)).map(|(id, _)| id.to_string()).collect();
                format!("{name}: the acknowledgement of {}", peers.join(", "))
            }
            Phase::Lingering { until } => format!("{name}: packets under way until {}", wall(until)),
            Phase::Drained => format!("{name}: nothing"),
        }
    }

    fn phase_of(&self, name: &ServiceName) -> Phase {
        self.drains.get(name).map_or(Phase::Active, Drain::phase)
    }

    /// The drain of a service that is under an order.
    pub(super) fn drain_of(&self, name: &ServiceName) -> Option<(&Order, &Drain)> {
        self.standing(name).zip(self.drains.get(name))
    }

    pub(super) fn answer_waiters(&mut self) {
        let waiters = std::mem::take(&mut self.waiters);
        for waiter in waiters {
            let over = |name: &ServiceName| self.phase_of(name) == Phase::Drained;
            let ended = waiter.names.iter().any(|name| self.standing(name).is_none());
            if ended || waiter.names.iter().all(over) {
                let _ = waiter.reply.send(());
            } else if !waiter.reply.is_closed() {
                self.waiters.push(waiter);
            }
        }
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        if self.forgetting {
            return None;
        }
        self.expiries.next(since_boot()).map(|left| Instant::now() + left)
    }

    /// Ends the orders whose time is over, on disk first.
    pub(super) fn expire_orders(&mut self) {
        self.expiries.settle(&self.orders, SystemTime::now(), since_boot());
        let over = self.expiries.over(since_boot());
        if over.is_empty() || self.forgetting || self.is_stopping() {
            return;
        }
        self.forgetting = true;
        let (agent, desk) = (self.handle.clone(), self.desk.clone());
        tokio::spawn(async move {
            if let Err(error) = desk.expire(&agent, over).await {
                tracing::warn!(%error, "a maintenance is over, and its order cannot be ended; trying again in 10 s");
                tokio::time::sleep(AGAIN).await;
            }
            let _ = agent.order(|agent| agent.forgetting = false).await;
        });
    }
}

/// Which of the order of an operator and that of a file a service stands under.
pub(super) fn stands<'a>(order: Option<&'a Order>, file: Option<&'a Order>) -> Option<&'a Order> {
    match (order, file) {
        (Some(order), Some(file)) if order.mode == WithdrawMode::Degrade => Some(file),
        (Some(order), _) => Some(order),
        (None, file) => file,
    }
}

/// Two people who withdraw one service have two reasons: neither is forgotten, and the later end holds.
fn together(before: &Order, order: Order) -> Order {
    // Without an end it lasts until `announce`; with two it lasts until both are over.
    let endless = [before, &order].iter().any(|order| order.until.is_none() && order.boot.is_none());
    let until = before.until.max(order.until).filter(|_| !endless);
    let boot = order.boot.as_ref().or(before.boot.as_ref()).cloned().filter(|_| !endless);
    let both = |one: &str, other: &str| match one.contains(other) {
        true => one.to_owned(),
        false => format!("{one}; {other}"),
    };
    let reason = match (&before.reason, order.reason) {
        (Some(one), Some(other)) => Some(both(one, &other)).filter(|both| both.len() <= REASON).or(Some(other)),
        (one, other) => other.or_else(|| one.clone()),
    };
    let by = Some(both(&before.by, &order.by)).filter(|by| by.len() <= REASON).unwrap_or(order.by);
    let whole_node = before.whole_node || order.whole_node;
    Order { mode: order.mode, by, at: before.at, reason, until, whole_node, boot, file: None }
}

fn this_boot() -> Result<String, Refusal> {
    let boot = state::boot_id();
    if boot.is_empty() {
        let text = "this kernel does not tell one start of the machine from another (/proc/sys/kernel/random/boot_id)";
        return Err(Refusal::Bad(text.to_owned()));
    }
    Ok(boot)
}

fn mode(mode: WithdrawMode) -> Mode {
    match mode {
        WithdrawMode::Graceful => Mode::Graceful,
        WithdrawMode::Now => Mode::Now,
        WithdrawMode::Degrade => Mode::Degrade,
    }
}

fn ends_at(seconds: f64) -> Result<Timestamp, Refusal> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|time| (Duration::from_secs(1)..=LONGEST).contains(time))
        .map(|time| (SystemTime::now() + time).into())
        .ok_or_else(|| Refusal::Bad("a maintenance lasts from one second to a year".to_owned()))
}

/// What the phase is called outside; an active service is in none.
pub(super) fn phase_outside(phase: Phase) -> Option<DrainPhase> {
    match phase {
        Phase::Active => None,
        Phase::Degraded => Some(DrainPhase::Degraded),
        Phase::GracefulShutdown { .. } => Some(DrainPhase::GracefulShutdown),
        Phase::Withdrawing => Some(DrainPhase::Withdrawing),
        Phase::Lingering { .. } => Some(DrainPhase::Lingering),
        Phase::Drained => Some(DrainPhase::Drained),
    }
}
