//! The one place where it is decided what is announced and what is bound.

mod routes;
mod standing;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use anycast_bgp::{Attributes, Prefix, Routes};
use ipnet::IpNet;

use crate::{
    check::Health,
    config::{Anchor, Combine, Config, DrainBy, OnDown, Service, Unbind},
    drain::Phase,
    hold_down::{self, Hold},
    name::{CheckName, PeerId, ServiceName},
};

pub use self::standing::{Lack, Missing, Standing, service_health};

/// All that is known of the world when a decision is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// What the checks know. A check that is missing here is unknown.
    pub checks: BTreeMap<ServiceName, BTreeMap<CheckName, CheckView>>,
    /// The health a service had when a reload replaced all its checks; it stands until one of them is decided.
    pub carried: BTreeMap<ServiceName, Health>,
    /// Where each drain stands. A service that is missing here is not drained.
    pub drains: BTreeMap<ServiceName, Phase>,
    /// Where each hold-down stands. A service that is missing here is not held.
    pub holds: BTreeMap<ServiceName, hold_down::Phase>,
    /// The health that each service last served with: what is kept is kept as it was then. One that is missing here has not
    /// served since the agent knows of it.
    pub served: BTreeMap<ServiceName, Health>,
    /// The addresses the kernel answers for, whoever put them there.
    pub bound: BTreeSet<IpAddr>,
    /// Those of them that we put there.
    pub ours: BTreeSet<IpAddr>,
    /// What each Established neighbor holds from us, or may still hold: a withdraw counts once it is acknowledged.
    pub held: BTreeMap<PeerId, BTreeSet<Prefix>>,
    /// The agent is ending: a drained service unbinds whatever its configuration says.
    pub stopping: bool,
}

/// One check as a decision sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckView {
    /// What it knows.
    pub health: Health,
    /// False while a check that was added to a decided service is not decided itself.
    pub counts: bool,
    /// It has begun of late and said nothing bad yet: what it says first is worth waiting for.
    pub awaited: bool,
}

/// What should be true: whole sets, with the reasons.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    /// The addresses that are to be bound.
    pub addresses: BTreeSet<IpAddr>,
    /// The prefixes that are to have an anchor route.
    pub anchors: BTreeSet<Prefix>,
    /// What each neighbor is to hold; every configured neighbor has an entry.
    pub routes: BTreeMap<PeerId, Routes>,
    /// What was made of each service's checks, and of what it depends on.
    pub services: BTreeMap<ServiceName, Standing>,
    /// Why each configured prefix is, or is not, announced.
    pub prefixes: BTreeMap<Prefix, Verdict>,
}

/// Why one prefix is, or is not, announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How its services combine.
    pub combine: Combine,
    /// What each of its services contributes.
    pub services: BTreeMap<ServiceName, Contribution>,
    /// The attributes it is announced with; `None`: it is not. What a neighbor is told may differ: [`Desired::routes`] says how.
    pub announced: Option<Arc<Attributes>>,
    /// Whose attributes these are, and in which state.
    speaker: Option<Speaker>,
}

impl Verdict {
    /// Whether it is announced for the last time before a planned withdraw.
    #[must_use]
    pub fn leaving(&self) -> bool {
        self.speaker.as_ref().is_some_and(|speaker| speaker.leaving)
    }
}

/// The service that speaks for a prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Speaker {
    service: ServiceName,
    degraded: bool,
    leaving: bool,
}

/// What one service contributes to one prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contribution {
    /// It can take traffic. Ordered from the best to the worst.
    Serves {
        /// It is announced though it is not well.
        despite: Option<Despite>,
        /// It is being drained: announced with GRACEFUL_SHUTDOWN.
        leaving: bool,
        /// Others should be preferred.
        degraded: bool,
    },
    /// It cannot, for this reason.
    Blocked(Blocker),
}

/// What a service is announced in spite of, because the operator wants it so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Despite {
    /// It is held down (`on_hold: degrade`).
    Held(Hold),
    /// Its checks fail, or it lacks a service that it depends on (`on_down: degrade` or `keep`).
    Down(Option<Lack>),
}

/// Why a service cannot take traffic; the first that holds in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blocker {
    /// An operator has withdrawn it.
    Drained,
    /// These of its addresses in the prefix are not bound.
    NotBound(BTreeSet<IpAddr>),
    /// Its checks are not decided yet, or cannot run; or nothing is known of a service that it depends on.
    Unknown(Option<Lack>),
    /// Its checks fail, or it lacks a service that it depends on.
    Down(Option<Lack>),
    /// It has flapped too often.
    Held(Hold),
}

/// Decides. A pure function: the same view gives the same sets.
#[must_use]
pub fn decide(config: &Config, view: &View) -> Desired {
    let services = standing::of_each(config, view);
    let prefixes: BTreeMap<_, _> = members(config)
        .into_iter()
        .map(|(prefix, members)| (prefix, judge(config, view, &services, prefix, &members)))
        .collect();
    let routes = routes::towards_each(config, &prefixes);
    Desired { addresses: addresses(config, view, &routes), anchors: anchors(config, view), routes, services, prefixes }
}

/// The services of each prefix.
fn members(config: &Config) -> BTreeMap<Prefix, Vec<&ServiceName>> {
    let mut members: BTreeMap<Prefix, Vec<&ServiceName>> = BTreeMap::new();
    for (name, service) in &config.services {
        for prefix in &service.prefixes {
            members.entry(*prefix).or_default().push(name);
        }
    }
    members
}

fn judge(
    config: &Config,
    view: &View,
    standings: &BTreeMap<ServiceName, Standing>,
    prefix: Prefix,
    members: &[&ServiceName],
) -> Verdict {
    let combine = config.prefixes.get(&prefix).copied().unwrap_or_default();
    let services: BTreeMap<ServiceName, Contribution> = members
        .iter()
        .filter_map(|name| {
            let service = config.services.get(*name)?;
            let standing = standings.get(*name)?;
            Some(((*name).clone(), contribution(service, standing, view, name, prefix)))
        })
        .collect();
    // The derived order puts what serves before what blocks, and the better before the worse.
    let decisive = match combine {
        Combine::All => services.iter().max_by_key(|(_, contribution)| *contribution),
        Combine::Any => services.iter().min_by_key(|(_, contribution)| *contribution),
    };
    let speaker = decisive.and_then(|(name, contribution)| {
        let quality = match combine {
            Combine::Any => contribution.clone(),
            Combine::All => worst(services.values())?,
        };
        match quality {
            Contribution::Serves { leaving, degraded, .. } => {
                Some(Speaker { service: name.clone(), degraded, leaving })
            }
            Contribution::Blocked(_) => None,
        }
    });
    let announced = speaker.as_ref().and_then(|speaker| {
        let service = config.services.get(&speaker.service)?;
        let way = if speaker.leaving { DrainBy::Gshut } else { DrainBy::None };
        Some(Arc::new(routes::attributes(service, speaker.degraded, &[], way)))
    });
    Verdict { combine, services, announced, speaker }
}

/// All of them together: as degraded as any of them, as leaving as any of them, blocked if one is.
fn worst<'a>(contributions: impl Iterator<Item = &'a Contribution>) -> Option<Contribution> {
    let (mut any_leaves, mut any_degraded) = (false, false);
    for contribution in contributions {
        match contribution {
            Contribution::Serves { leaving, degraded, .. } => {
                any_leaves |= leaving;
                any_degraded |= degraded;
            }
            Contribution::Blocked(_) => return None,
        }
    }
    Some(Contribution::Serves { despite: None, leaving: any_leaves, degraded: any_degraded })
}

fn contribution(
    service: &Service,
    standing: &Standing,
    view: &View,
    name: &ServiceName,
    prefix: Prefix,
) -> Contribution {
    let phase = view.drains.get(name).copied().unwrap_or(Phase::Active);
    if phase.is_withdrawn() {
        return Contribution::Blocked(Blocker::Drained);
    }
    // Thousands of addresses may lie in thousands of prefixes: those of the others are not looked at.
    let within = service.addresses.range(prefix.addresses());
    let not_bound: BTreeSet<IpAddr> = within.filter(|address| !view.bound.contains(*address)).copied().collect();
    if !not_bound.is_empty() {
        return Contribution::Blocked(Blocker::NotBound(not_bound));
    }
    match quality(service, standing, view, name) {
        Ok((despite, degraded)) => Contribution::Serves {
            despite,
            leaving: matches!(phase, Phase::GracefulShutdown { .. }),
            degraded: degraded || phase == Phase::Degraded,
        },
        Err(blocker) => Contribution::Blocked(blocker),
    }
}

/// Whether it is announced though it is not well, and whether with the degraded attributes; or why it is not announced.
fn quality(
    service: &Service,
    standing: &Standing,
    view: &View,
    name: &ServiceName,
) -> Result<(Option<Despite>, bool), Blocker> {
    let lack = || standing.lack.clone();
    let (down, degraded) = match (standing.health, service.on_down) {
        // Nobody announces what has not been seen to work: nothing is kept of what is not known.
        (Health::Unknown, _) => return Err(Blocker::Unknown(lack())),
        (Health::Down, OnDown::Withdraw) => return Err(Blocker::Down(lack())),
        (Health::Down, OnDown::Degrade) => (true, true),
        (Health::Down, OnDown::Keep) => match view.served.get(name) {
            Some(before) => (true, *before == Health::Degraded),
            None => return Err(Blocker::Down(lack())),
        },
        (Health::Degraded, _) => (false, true),
        (Health::Up, _) => (false, false),
    };
    let despite = down.then(|| Despite::Down(lack()));
    match view.holds.get(name) {
        Some(hold_down::Phase::Held(hold)) if hold.degrades => Ok((despite.or(Some(Despite::Held(*hold))), true)),
        Some(hold_down::Phase::Held(hold)) => Err(Blocker::Held(*hold)),
        Some(hold_down::Phase::Free) | None => Ok((despite, degraded)),
    }
}

/// An address stays bound while its service is configured; and one that we bound longer, while a neighbor may still send to it
/// because of a route that it was needed for.
fn addresses(config: &Config, view: &View, routes: &BTreeMap<PeerId, Routes>) -> BTreeSet<IpAddr> {
    let stays = |name, service: &Service| !is_over(view, name) || (service.unbind == Unbind::Never && !view.stopping);
    let (wanted, over): (Vec<_>, Vec<_>) = config.services.iter().partition(|(name, service)| stays(name, service));
    let mut addresses: BTreeSet<IpAddr> =
        wanted.into_iter().flat_map(|(_, service)| &service.addresses).copied().collect();
    let ended = Cover::of(ended(view, routes));
    addresses.extend(view.ours.iter().filter(|address| ended.contains(**address)));
    // Another service may go on with a prefix of one that is drained: it is held all the same, and packets come.
    for (_, service) in over {
        let held = service.prefixes.iter().filter(|prefix| view.held.values().any(|held| held.contains(*prefix)));
        let held = Cover::of(held.copied());
        addresses.extend(service.addresses.intersection(&view.ours).filter(|address| held.contains(**address)));
    }
    addresses
}

/// What neighbors hold that they are not to hold any more. What goes on being announced is of no concern to an address that no
/// service has: packets for it come as for any other that the prefix covers.
fn ended<'a>(view: &'a View, routes: &'a BTreeMap<PeerId, Routes>) -> impl Iterator<Item = Prefix> {
    view.held.iter().flat_map(|(peer, held)| {
        let wanted = routes.get(peer);
        held.iter().filter(move |prefix| wanted.is_none_or(|routes| !routes.contains_key(*prefix))).copied()
    })
}

/// What some prefixes cover. Asked for each of thousands of addresses, so it does not look at each of thousands of prefixes.
struct Cover {
    prefixes: BTreeSet<Prefix>,
    lengths: BTreeSet<u8>,
}

impl Cover {
    fn of(prefixes: impl Iterator<Item = Prefix>) -> Self {
        let prefixes: BTreeSet<Prefix> = prefixes.collect();
        let lengths = prefixes.iter().map(|prefix| prefix.net().prefix_len()).collect();
        Self { prefixes, lengths }
    }

    fn contains(&self, address: IpAddr) -> bool {
        // A length that is of IPv6 only makes no network of an IPv4 address.
        let networks = self.lengths.iter().filter_map(|length| IpNet::new(address, *length).ok());
        networks.filter_map(|net| Prefix::new(net.trunc()).ok()).any(|prefix| self.prefixes.contains(&prefix))
    }
}

/// Whether the drain of a service has come to its end: nobody sends to it any more. An agent that ends does not wait for what an
/// operator's drain would still linger: it has lingered by itself, and what it does not unbind now it leaves behind.
fn is_over(view: &View, name: &ServiceName) -> bool {
    match view.drains.get(name) {
        Some(Phase::Drained) => true,
        Some(Phase::Lingering { .. }) => view.stopping,
        _ => false,
    }
}

/// A prefix wider than one address needs a route of last resort, or traffic for its other addresses follows the
/// default route back to the router that sent it.
fn anchors(config: &Config, view: &View) -> BTreeSet<Prefix> {
    if config.anchor == Anchor::None {
        return BTreeSet::new();
    }
    let wanted = config.services.iter().filter(|(name, _)| !(view.stopping && is_over(view, name)));
    let configured = wanted.flat_map(|(_, service)| &service.prefixes);
    let held = view.held.values().flatten();
    configured.chain(held).filter(|prefix| prefix.net().prefix_len() < prefix.net().max_prefix_len()).copied().collect()
}

/// Whether a drain still waits for a neighbor: one holds a prefix of the service that is not to be announced.
#[must_use]
pub fn awaits_withdraw(service: &Service, desired: &Desired, view: &View) -> bool {
    view.held.iter().any(|(peer, held)| {
        let wanted = desired.routes.get(peer);
        service
            .prefixes
            .iter()
            .any(|prefix| held.contains(prefix) && wanted.is_none_or(|routes| !routes.contains_key(prefix)))
    })
}

#[cfg(test)]
mod tests;
