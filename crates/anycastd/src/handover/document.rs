//! The document itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    os::fd::{AsRawFd as _, RawFd},
    time::Duration,
};

use anycast_api::{Event, ServiceState, Timestamp};
use anycast_bfd::{Diagnostic, State};
use anycast_bgp::{Attributes, Handover, Prefix};
use anycast_core::{
    CheckName, Health, Outcome, PeerId, ServiceName,
    check::{Cause, CheckCounters, handover as core},
    drain, path,
};
use serde::{Deserialize, Serialize};

use super::Places;
use crate::{
    bfd::{Parted, Seen},
    checker::Known,
    clock::since_boot,
    flaps,
    peer::Left,
    state::Order,
};

/// Of the document. Another one cannot be read; fields that are added need no other.
const VERSION: u32 = 1;

/// All that goes on in the next agent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Document {
    version: u32,
    /// The version of the agent that has written it.
    pub(crate) agent: String,
    /// The configuration in force, as it was read.
    pub(crate) configuration: Vec<u8>,
    /// When this agent, or the first of those that have gone on since, was started.
    pub(crate) started: Timestamp,
    pub(crate) uptime: Duration,
    /// When this is written, since the machine was booted: all times are as they are then.
    pub(crate) written: Duration,
    /// The addresses that are bound.
    pub(crate) bound: BTreeSet<IpAddr>,
    pub(crate) services: BTreeMap<String, Service>,
    pub(crate) neighbors: BTreeMap<String, Neighbor>,
    /// The orders of operators, by service, and those of files.
    #[serde(default)]
    pub(crate) orders: BTreeMap<String, Order>,
    #[serde(default)]
    pub(crate) disabled: BTreeMap<String, Order>,
    #[serde(default)]
    pub(crate) flaps: BTreeMap<String, flaps::Service>,
    #[serde(default)]
    pub(crate) since: Since,
    /// What has happened, and the number of the next.
    #[serde(default)]
    pub(crate) events: Vec<Event>,
    #[serde(default)]
    pub(crate) next_event: u64,
    /// Descriptors of what is not to be let go of for a moment.
    #[serde(default)]
    pub(super) places: BTreeMap<String, RawFd>,
    /// The state directory that is locked.
    #[serde(default)]
    pub(crate) state_directory: std::path::PathBuf,
    /// Why the last reload was refused, if it was.
    #[serde(default)]
    pub(crate) reload_refused: Option<String>,
    /// What is said of orders that are in force and not on the disk yet, if there are any.
    #[serde(default)]
    pub(crate) unwritten: Option<String>,
    /// Who may change things, where that is in force still; another list waits for a restart.
    #[serde(default)]
    pub(crate) operators: Option<Vec<String>>,
    /// The BFD sessions.
    #[serde(default)]
    pub(crate) bfd: Option<Parted>,
    #[serde(default)]
    paths: Vec<Path>,
    /// Why there is another agent now; `None`: this is a trial.
    #[serde(default)]
    pub(crate) order: Option<Upgrade>,
}

/// What is known of the path to a neighbor.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Path {
    of: String,
    #[serde(default)]
    router: Option<IpAddr>,
    lost: bool,
    returning: bool,
    counted: u64,
    last: Option<Duration>,
    lately: u32,
    /// What was seen of BFD sessions that may be over.
    #[serde(default)]
    losses: u64,
    #[serde(default)]
    last_loss: Option<(String, Timestamp)>,
    #[serde(default)]
    last_detection: Option<Duration>,
    #[serde(default)]
    admin_down: bool,
}

/// Who has ordered that another agent goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Upgrade {
    /// By which who has asked finds what came of it.
    pub(crate) id: String,
    pub(crate) by: String,
    /// The neighbors that were Established and are not handed over, and why.
    #[serde(default)]
    pub(crate) missed: BTreeMap<String, String>,
}

/// Since when everything is as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Since {
    pub(crate) services: BTreeMap<String, (ServiceState, Timestamp)>,
    healths: BTreeMap<String, (Word, Timestamp)>,
    pub(crate) prefixes: BTreeMap<Prefix, (Option<Attributes>, Timestamp)>,
    /// Of those that are bound.
    #[serde(default)]
    pub(crate) addresses: BTreeMap<IpAddr, Bound>,
}

/// Where an address is bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    pub(crate) interface: String,
    /// Somebody else put it there.
    #[serde(default)]
    pub(crate) foreign: bool,
    pub(crate) since: Timestamp,
}

impl Since {
    pub(crate) fn set_healths<'a>(&mut self, healths: impl IntoIterator<Item = (&'a ServiceName, Health, Timestamp)>) {
        let word = |(name, health, at): (&ServiceName, Health, _)| (name.to_string(), (Word::from(health), at));
        self.healths = healths.into_iter().map(word).collect();
    }

    pub(crate) fn healths(&self) -> impl Iterator<Item = (ServiceName, Health, Timestamp)> {
        let known = |(name, (word, at)): (&String, &(Word, Timestamp))| {
            Some((ServiceName::new(name).ok()?, Health::from(*word), *at))
        };
        self.healths.iter().filter_map(known)
    }
}

/// A neighbor whose session goes on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Neighbor {
    /// The configured neighbor that it belongs to.
    pub(crate) of: String,
    /// Where that is a network: the router.
    pub(crate) router: Option<IpAddr>,
    /// The connection.
    pub(crate) descriptor: RawFd,
    pub(crate) unsent: Vec<u8>,
    pub(crate) session: Handover,
}

/// What is known of a service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Service {
    drain: Option<Drain>,
    checks: BTreeMap<String, Check>,
    /// The health that it last served with.
    #[serde(default)]
    served: Option<Word>,
    /// The health that it had before all its checks were replaced, and for how long it is believed.
    #[serde(default)]
    carried: Option<(Word, Duration)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Drain {
    stage: Stage,
    age: Duration,
    left: Option<Duration>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Active,
    Degraded,
    GracefulShutdown,
    Withdrawing,
    Lingering,
    Drained,
}

/// A health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Unknown,
    Down,
    Degraded,
    Up,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Check {
    enabled: bool,
    health: Word,
    since: Timestamp,
    age: Duration,
    streak: Option<(bool, u16, Word)>,
    #[serde(default)]
    on_probation: bool,
    last: Option<Answer>,
    holds: Duration,
    due: Duration,
    returns: Option<Duration>,
    first: Option<Duration>,
    runs: u64,
    failures: u64,
    inconclusive: u64,
    late: u64,
    hints: u64,
    #[serde(default)]
    passed: bool,
}

/// The last answer; what it measured besides is not kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Answer {
    health: Word,
    detail: String,
    took: Duration,
    at: Timestamp,
}

/// A document that cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Bad {
    #[error("what was handed over cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("what was handed over is not there: {0}")]
    Absent(#[from] std::io::Error),
    #[error("what was handed over has format {0}, and this agent knows format {VERSION} only")]
    Version(u32),
}

impl Document {
    /// With nothing in it yet.
    pub(crate) fn new(configuration: Vec<u8>, started: Timestamp, uptime: Duration) -> Self {
        Self {
            version: VERSION,
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            configuration,
            started,
            uptime,
            written: since_boot(),
            bound: BTreeSet::new(),
            services: BTreeMap::new(),
            neighbors: BTreeMap::new(),
            orders: BTreeMap::new(),
            disabled: BTreeMap::new(),
            flaps: BTreeMap::new(),
            since: Since::default(),
            events: Vec::new(),
            next_event: 1,
            places: BTreeMap::new(),
            state_directory: std::path::PathBuf::new(),
            reload_refused: None,
            unwritten: None,
            operators: None,
            bfd: None,
            paths: Vec::new(),
            order: None,
        }
    }

    /// Tells where they are; they are to outlive the document.
    pub(crate) fn set_places(&mut self, places: &[&Places]) {
        let all = places.iter().flat_map(|places| &places.0);
        self.places = all.map(|(place, descriptor)| (place.name().to_owned(), descriptor.as_raw_fd())).collect();
    }

    pub(crate) fn write(&self) -> Result<Vec<u8>, Bad> {
        Ok(serde_json::to_vec(self)?)
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Bad> {
        /// The version is looked at before anything of which it tells.
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let Head { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(Bad::Version(version));
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// How long ago it was written.
    pub(crate) fn age(&self) -> Duration {
        since_boot().saturating_sub(self.written)
    }

    /// The configured neighbor, the router where that is a network, and what is known of the path.
    pub(crate) fn set_paths(&mut self, paths: impl IntoIterator<Item = (PeerId, Option<IpAddr>, path::Left, Seen)>) {
        let path = |(of, router, left, seen): (PeerId, _, _, Seen)| {
            let path::Left { lost, returning, counted, last, lately } = left;
            let admin_down = seen.admin_down().is_some();
            let Seen { losses, last_loss, last_detection, .. } = seen;
            let last_loss = last_loss.map(|(text, at)| (text, at.into()));
            let of = of.to_string();
            Path { of, router, lost, returning, counted, last, lately, losses, last_loss, last_detection, admin_down }
        };
        self.paths = paths.into_iter().map(path).collect();
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = (PeerId, path::Left, Seen)> {
        self.paths.iter().filter_map(|path| {
            let Path { lost, returning, counted, last, lately, losses, last_detection, .. } = *path;
            let last_loss = path.last_loss.as_ref().map(|(text, at)| (text.clone(), at.system_time()));
            let last_word = path.admin_down.then_some((State::AdminDown, Diagnostic::ADMINISTRATIVELY_DOWN));
            let seen = Seen { losses, last_loss, last_detection, last_word, ..Seen::default() };
            Some((ids(&path.of, path.router)?.1, path::Left { lost, returning, counted, last, lately }, seen))
        })
    }

    /// What is known of a service, if anything.
    pub(crate) fn service(&self, name: &ServiceName) -> Option<&Service> {
        self.services.get(name.as_str())
    }
}

fn ids(of: &str, router: Option<IpAddr>) -> Option<(PeerId, PeerId)> {
    let of = PeerId::new(of).ok()?;
    let id = router.map_or_else(|| of.clone(), |router| of.at(router));
    Some((of, id))
}

impl Neighbor {
    pub(crate) fn new(of: String, router: Option<IpAddr>, left: &Left) -> Self {
        let Left { session, stream, unsent } = left;
        let descriptor = stream.as_raw_fd();
        Self { of, router, descriptor, unsent: unsent.clone(), session: session.clone() }
    }

    /// The neighbor that is configured, and the one with whom the session is: itself, or a router of the network that it is. `None`: it
    /// has a name that nobody can give.
    pub(crate) fn ids(&self) -> Option<(PeerId, PeerId)> {
        ids(&self.of, self.router)
    }

    /// Of a session that goes on here, for a trial.
    pub(crate) const fn for_trial(of: String, router: Option<IpAddr>, session: Handover) -> Self {
        Self { of, router, descriptor: -1, unsent: Vec::new(), session }
    }
}

impl Service {
    pub(crate) fn new(
        drain: Option<drain::State>,
        checks: impl IntoIterator<Item = (CheckName, Known)>,
        served: Option<Health>,
        carried: Option<(Health, Duration)>,
    ) -> Self {
        let checks = checks.into_iter().map(|(name, known)| (name.to_string(), Check::from(known)));
        Self {
            drain: drain.map(Drain::from),
            checks: checks.collect(),
            served: served.map(Word::from),
            carried: carried.map(|(health, left)| (health.into(), left)),
        }
    }

    pub(crate) fn carried(&self) -> Option<(Health, Duration)> {
        self.carried.map(|(word, left)| (word.into(), left))
    }

    pub(crate) fn drain(&self) -> Option<drain::State> {
        self.drain.as_ref().map(drain::State::from)
    }

    pub(crate) fn served(&self) -> Option<Health> {
        self.served.map(Health::from)
    }

    pub(crate) fn check(&self, name: &CheckName) -> Option<Known> {
        self.checks.get(name.as_str()).cloned().map(Known::from)
    }
}

impl From<Health> for Word {
    fn from(health: Health) -> Self {
        match health {
            Health::Unknown => Self::Unknown,
            Health::Down => Self::Down,
            Health::Degraded => Self::Degraded,
            Health::Up => Self::Up,
        }
    }
}

impl From<Word> for Health {
    fn from(word: Word) -> Self {
        match word {
            Word::Unknown => Self::Unknown,
            Word::Down => Self::Down,
            Word::Degraded => Self::Degraded,
            Word::Up => Self::Up,
        }
    }
}

impl From<drain::State> for Drain {
    fn from(drain::State { stage, age, left }: drain::State) -> Self {
        let stage = match stage {
            drain::Stage::Active => Stage::Active,
            drain::Stage::Degraded => Stage::Degraded,
            drain::Stage::GracefulShutdown => Stage::GracefulShutdown,
            drain::Stage::Withdrawing => Stage::Withdrawing,
            drain::Stage::Lingering => Stage::Lingering,
            drain::Stage::Drained => Stage::Drained,
        };
        Self { stage, age, left }
    }
}

impl From<&Drain> for drain::State {
    fn from(Drain { stage, age, left }: &Drain) -> Self {
        let stage = match stage {
            Stage::Active => drain::Stage::Active,
            Stage::Degraded => drain::Stage::Degraded,
            Stage::GracefulShutdown => drain::Stage::GracefulShutdown,
            Stage::Withdrawing => drain::Stage::Withdrawing,
            Stage::Lingering => drain::Stage::Lingering,
            Stage::Drained => drain::Stage::Drained,
        };
        Self { stage, age: *age, left: *left }
    }
}

impl From<Known> for Check {
    fn from(Known { check, since, answered, passed }: Known) -> Self {
        let CheckCounters { runs, failures, inconclusive, late, hints } = check.counters;
        let answer = |last: Outcome| Answer {
            health: last.health.into(),
            detail: last.detail,
            took: last.took,
            at: answered.into(),
        };
        Self {
            enabled: check.enabled,
            health: check.health.into(),
            since: since.into(),
            age: check.age,
            streak: check.streak.map(|(rising, count, mildest)| (rising, count, mildest.into())),
            on_probation: check.on_probation,
            last: check.last.map(answer),
            holds: check.holds,
            due: check.due,
            returns: check.returns,
            first: check.first,
            runs,
            failures,
            inconclusive,
            late,
            hints,
            passed,
        }
    }
}

impl From<Check> for Known {
    fn from(check: Check) -> Self {
        let Check { runs, failures, inconclusive, late, hints, .. } = check;
        let answered = check.last.as_ref().map_or(check.since, |last| last.at).system_time();
        let outcome = |last: Answer| Outcome::new(last.health.into(), Cause::Answered, last.detail, last.took);
        Self {
            check: core::State {
                enabled: check.enabled,
                health: check.health.into(),
                age: check.age,
                streak: check.streak.map(|(rising, count, mildest)| (rising, count, mildest.into())),
                on_probation: check.on_probation,
                last: check.last.map(outcome),
                holds: check.holds,
                due: check.due,
                returns: check.returns,
                first: check.first,
                counters: CheckCounters { runs, failures, inconclusive, late, hints },
            },
            since: check.since.system_time(),
            answered,
            passed: check.passed,
        }
    }
}

#[cfg(test)]
mod tests;
