//! `services`: what is served here, and how it proves that it works.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    num::{NonZeroU16, NonZeroUsize},
    time::Duration,
};

use anycast_bgp::{Attributes, Family, Prefix};

use super::probe::ProbeConfig;
use crate::name::{CheckName, PeerId};

/// A service: addresses it answers on, prefixes that lead to them, and the proof that it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The addresses (as /32 and /128) it answers on.
    pub addresses: BTreeSet<IpAddr>,
    /// What is announced; every address lies in one of them.
    pub prefixes: BTreeSet<Prefix>,
    /// To whom it is announced, and how.
    pub neighbors: BTreeMap<PeerId, Towards>,
    /// Never empty.
    pub checks: BTreeMap<CheckName, CheckConfig>,
    /// How many checks must pass.
    pub require: Require,
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
    /// What it asks.
    pub probe: ProbeConfig,
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
