//! `services`: what is served here, and how it proves that it works.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    num::{NonZeroU16, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use anycast_bgp::{Attributes, Family, Prefix};

use super::probe::ProbeConfig;
use crate::name::{CheckName, PeerId, ServiceName};

/// A service: addresses it answers on, prefixes that lead to them, and the proof that it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The addresses (as /32 and /128) it answers on.
    pub addresses: BTreeSet<IpAddr>,
    /// What is announced; every address lies in one of them.
    pub prefixes: BTreeSet<Prefix>,
    /// To whom it is announced, and how.
    pub neighbors: BTreeMap<PeerId, Towards>,
    /// One of them at least has the scope [`Scope::Local`].
    pub checks: BTreeMap<CheckName, CheckConfig>,
    /// How many checks of scope [`Scope::Local`] must pass.
    pub require: Require,
    /// The services that this one needs; nothing depends on itself, not by way of others either.
    pub depends_on: BTreeSet<ServiceName>,
    /// What becomes of its routes while it is down.
    pub on_down: OnDown,
    /// When it is held down; `None`: never.
    pub hold_down: Option<HoldDownTimes>,
    /// Attributes while it is up.
    pub up: Attributes,
    /// Attributes while it is degraded.
    pub degraded: Attributes,
    /// The times of a planned withdraw.
    pub drain: DrainTimes,
    /// Whether a drained service keeps its addresses.
    pub unbind: Unbind,
    /// What of it the kernel is asked to tell of.
    pub watch: Watch,
    /// While this file is there the service is drained.
    pub disable_file: Option<PathBuf>,
    /// What comes for its addresses is counted.
    pub traffic: bool,
}

/// How a service is announced to one neighbor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Towards {
    /// Of which families its prefixes go there; never empty.
    pub families: BTreeSet<Family>,
    /// What is changed of the attributes for it, on top of what is changed for that neighbor anyway.
    pub attributes: Attributes,
}

impl Default for Towards {
    fn default() -> Self {
        Self { families: Family::ALL.into(), attributes: Attributes::default() }
    }
}

/// How many of a service's checks must pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Require {
    /// Each of them.
    All,
    /// One of them.
    Any,
    /// This many; not more than there are.
    AtLeast(NonZeroUsize),
}

impl Require {
    /// How many that is where there are so many.
    #[must_use]
    pub fn of(self, checks: usize) -> usize {
        match self {
            Self::All => checks,
            Self::Any => 1,
            Self::AtLeast(number) => number.get().min(checks),
        }
    }
}

/// What becomes of the routes of a service that is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDown {
    /// They are withdrawn.
    #[default]
    Withdraw,
    /// They get the degraded attributes: other nodes are preferred, as long as there are any.
    Degrade,
    /// They stay as they were when it was last healthy.
    Keep,
}

/// When a service that flaps is held down, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldDownTimes {
    /// So many flaps …
    pub flaps: NonZeroU16,
    /// … within this time begin a hold.
    pub within: Duration,
    /// How long the first hold lasts; each further one lasts twice as long.
    pub initial: Duration,
    /// No hold lasts longer; at least `initial`.
    pub max: Duration,
    /// What a healthy service is while it is held.
    pub on_hold: OnHold,
}

/// What becomes of the routes of a healthy service that is held down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnHold {
    /// They are withdrawn.
    #[default]
    Withdraw,
    /// They get the degraded attributes.
    Degrade,
}

/// What becomes of a drained service's addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unbind {
    /// They stay, so that the checks go on.
    #[default]
    Never,
    /// They go when the drain is over, and the checks rest.
    Drained,
}

/// What of a service the kernel tells of, so that its checks ask at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Watch {
    /// Nothing: the checks find out at their intervals.
    #[default]
    None,
    /// A socket that its checks ask was closed.
    Listener,
    /// Its process ended.
    Process,
}

/// The times of a planned withdraw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainTimes {
    /// How long GRACEFUL_SHUTDOWN is announced before the withdraw; zero: not at all.
    pub graceful_shutdown: Duration,
    /// How long after the acknowledged withdraw packets may still arrive.
    pub linger: Duration,
}

/// One check of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckConfig {
    /// When it runs and what counts.
    pub timing: CheckTiming,
    /// Whose fault it is when it fails.
    pub scope: Scope,
    /// What it asks.
    pub probe: ProbeConfig,
    /// Whether a connection is held open to the service, whose end has it ask at once; then [`ProbeConfig::connections`] has one.
    pub hold_connection: bool,
}

/// Whose fault it is when a check fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// This node's: the others can do better.
    #[default]
    Local,
    /// That of something every node depends on: were it a reason to withdraw, all of them would, in the same second.
    Shared,
}

/// When a check runs and how many answers change its mind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckTiming {
    /// From start to start while nothing changes; at least 10 ms.
    pub interval: Duration,
    /// From start to start while rising, falling or undecided; at most `interval`.
    pub fast_interval: Duration,
    /// A run that takes longer has failed.
    pub timeout: Duration,
    /// Good answers in a row until it counts as good.
    pub rise: NonZeroU16,
    /// Bad answers in a row until it counts as bad.
    pub fall: NonZeroU16,
    /// How long the first run waits after the check may run: the time that the service takes to start.
    pub start_delay: Duration,
    /// How long a listener that the kernel saw go is waited for, before the check is down for it.
    pub restart_grace: Duration,
    /// Without an answer for this long (or ten intervals, if that is longer) the check no longer knows.
    pub stale_after: Duration,
}
