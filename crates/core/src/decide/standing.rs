//! What is made of a service's checks, and of the services that it depends on.

use std::collections::BTreeMap;

use super::{CheckView, View};
use crate::{
    check::Health,
    config::{Config, Require, Scope, Service},
    hold_down,
    name::{CheckName, ServiceName},
};

/// What a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// What its own checks say.
    pub checks: Health,
    /// What it is: no better than its checks say, and no better than what it depends on allows.
    pub health: Health,
    /// The service that it lacks, where that is why it is worse than its checks say.
    pub lack: Option<Lack>,
}

/// A service that another one depends on, and that does not serve.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lack {
    /// Which.
    pub service: ServiceName,
    /// What it is.
    pub state: Missing,
}

/// What a service is that another one lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// Down, by its checks or for the lack of another.
    Down,
    /// It works at the moment, and has flapped too often to rely on.
    Held,
    /// Not decided, or not checked.
    Unknown,
}

/// What each service is.
pub(super) fn of_each(config: &Config, view: &View) -> BTreeMap<ServiceName, Standing> {
    let mut known = BTreeMap::new();
    for name in config.services.keys() {
        of_one(config, view, name, &mut known);
    }
    known.into_iter().filter_map(|(name, standing)| Some((name.clone(), standing?))).collect()
}

/// `None`, while it is being found out: the configuration reader sees to it that nothing depends on itself.
type Known<'a> = BTreeMap<&'a ServiceName, Option<Standing>>;

fn of_one<'a>(config: &'a Config, view: &View, name: &'a ServiceName, known: &mut Known<'a>) -> Option<Standing> {
    if let Some(standing) = known.get(name) {
        return standing.clone();
    }
    let service = config.services.get(name)?;
    known.insert(name, None);
    let checks = service_health(service, view.checks.get(name), view.carried.get(name));
    // What is proven is the one to name.
    let lacks = service.depends_on.iter().filter_map(|other| {
        let standing = of_one(config, view, other, known)?;
        Some(Lack { service: other.clone(), state: missing(&standing, view, other)? })
    });
    let lack = lacks.min_by_key(|lack| lack.state);
    let health = match (checks, lack.as_ref().map(|lack| lack.state)) {
        // What others are is of interest once it could serve itself.
        (Health::Unknown | Health::Down, _) | (_, None) => checks,
        (_, Some(Missing::Down | Missing::Held)) => Health::Down,
        (_, Some(Missing::Unknown)) => Health::Unknown,
    };
    let standing = Standing { checks, health, lack: lack.filter(|_| health != checks) };
    known.insert(name, Some(standing.clone()));
    Some(standing)
}

/// What keeps others from relying on a service. That an operator drains it does not: it was ordered for this one alone, and it
/// works for as long as its checks say so.
fn missing(standing: &Standing, view: &View, name: &ServiceName) -> Option<Missing> {
    let held = || matches!(view.holds.get(name), Some(hold_down::Phase::Held(hold)) if !hold.degrades);
    match standing.health {
        Health::Down => Some(Missing::Down),
        Health::Unknown => Some(Missing::Unknown),
        Health::Degraded | Health::Up => held().then_some(Missing::Held),
    }
}

/// What the checks say of a service: the local ones by its rule; a shared one that is not up makes it degraded and no worse.
#[must_use]
pub fn service_health(
    service: &Service,
    checks: Option<&BTreeMap<CheckName, CheckView>>,
    carried: Option<&Health>,
) -> Health {
    let unknown = CheckView { health: Health::Unknown, counts: true, awaited: false };
    let seen = |scope| {
        let of_scope = service.checks.iter().filter(move |(_, check)| check.scope == scope);
        let seen = of_scope.map(|(name, _)| checks.and_then(|checks| checks.get(name)).unwrap_or(&unknown));
        seen.filter(|check| check.counts)
    };
    let local: Vec<Health> = seen(Scope::Local).map(|check| check.health).collect();
    let local = match local[..] {
        [] => carried.copied().unwrap_or(Health::Unknown),
        _ => by_rule(service.require, &local),
    };
    // A service that begins is announced once, as what it is, and not as degraded for the moment that the answer takes.
    if seen(Scope::Shared).any(|check| check.awaited && check.health == Health::Unknown) {
        return if local >= Health::Degraded { Health::Unknown } else { local };
    }
    let shared_well = seen(Scope::Shared).all(|check| check.health == Health::Up);
    if shared_well { local } else { local.min(Health::Degraded) }
}

fn by_rule(require: Require, checks: &[Health]) -> Health {
    let needed = require.of(checks.len());
    let reached = |least: Health| checks.iter().filter(|health| **health >= least).count() >= needed;
    let possible = checks.iter().filter(|health| **health != Health::Down).count() >= needed;
    match (reached(Health::Up), reached(Health::Degraded), possible) {
        (true, _, _) => Health::Up,
        (_, true, _) => Health::Degraded,
        (_, _, true) => Health::Unknown,
        (_, _, false) => Health::Down,
    }
}
