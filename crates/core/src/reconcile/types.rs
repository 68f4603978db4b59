//! What goes into the reconciler and comes out of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    sync::Arc,
    time::Instant,
};

use anycast_bgp::Prefix;

use crate::config::Anchor;

/// What the kernel is to hold for us: whole sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressPlan {
    /// The interface that carries the addresses.
    pub interface: String,
    /// The addresses, as /32 and /128.
    pub addresses: BTreeSet<IpAddr>,
    /// The kind of the anchor routes.
    pub anchor: Anchor,
    /// The prefixes that are to have one.
    pub anchors: BTreeSet<Prefix>,
}

/// The kind of an anchor route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteKind {
    /// Who sends to it is told (ICMP).
    Unreachable,
    /// Packets vanish.
    Blackhole,
}

impl RouteKind {
    /// As configured; `None`: no anchor routes.
    #[must_use]
    pub const fn of(anchor: Anchor) -> Option<Self> {
        match anchor {
            Anchor::Unreachable => Some(Self::Unreachable),
            Anchor::Blackhole => Some(Self::Blackhole),
            Anchor::None => None,
        }
    }

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Unreachable => Self::Blackhole,
            Self::Blackhole => Self::Unreachable,
        }
    }
}

/// One thing the kernel can hold for us.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// An address, as /32 or /128.
    Address {
        /// The address.
        address: IpAddr,
        /// Where.
        interface: Arc<str>,
    },
    /// The route of last resort for a prefix.
    Anchor {
        /// The prefix.
        prefix: Prefix,
        /// Its kind.
        kind: RouteKind,
    },
}

impl Target {
    /// The address, of an address.
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address { address, .. } => Some(*address),
            Self::Anchor { .. } => None,
        }
    }

    /// The interface, of an address.
    #[must_use]
    pub const fn interface(&self) -> Option<&Arc<str>> {
        match self {
            Self::Address { interface, .. } => Some(interface),
            Self::Anchor { .. } => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { address, interface } => write!(f, "{address} on {interface}"),
            Self::Anchor { prefix, kind: RouteKind::Unreachable } => write!(f, "the unreachable route for {prefix}"),
            Self::Anchor { prefix, kind: RouteKind::Blackhole } => write!(f, "the blackhole route for {prefix}"),
        }
    }
}

/// Who put something there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// This agent, or one before it on this node.
    Ours,
    /// Somebody else: never touched.
    Foreign,
}

/// An interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Its number; one that is deleted and made again gets another.
    pub index: u32,
    /// Whether it is set up; the addresses of one that is not do not answer.
    pub up: bool,
}

/// An address the kernel holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The address.
    pub address: IpAddr,
    /// Where.
    pub interface: Arc<str>,
    /// Whose.
    pub owner: Owner,
    /// Whether duplicate address detection, if there is any, is over and found no other.
    pub usable: bool,
}

/// What the kernel holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Every interface.
    pub links: BTreeMap<Arc<str>, Link>,
    /// Every address.
    pub addresses: Vec<Listed>,
    /// The anchor routes of ours.
    pub anchors: BTreeMap<Prefix, RouteKind>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Put there what is not: exclusively, so that what is somebody else's is not taken over.
    Add(Target),
    /// Take away what is ours.
    Delete(Target),
}

impl Operation {
    /// With what.
    #[must_use]
    pub const fn target(&self) -> &Target {
        match self {
            Self::Add(target) | Self::Delete(target) => target,
        }
    }
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Its place is taken.
    Exists,
    /// What was to be deleted is not there.
    Gone,
    /// Anything else, in words.
    Other(String),
}

/// Where an address stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// The kernel answers for it.
    Bound {
        /// Who put it there.
        owner: Owner,
        /// Where.
        interface: Arc<str>,
    },
    /// It does not.
    Missing(Problem),
}

/// Why something is not as planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The kernel has not been listed yet.
    Unknown,
    /// Its turn has not come yet.
    Pending,
    /// There is no such interface.
    NoInterface(Arc<str>),
    /// The interface is not set up.
    InterfaceDown(Arc<str>),
    /// It is there and does not answer: the interface still looks for a duplicate, or found one.
    Silent(Arc<str>),
    /// Somebody else deletes it.
    Deleted {
        /// How often, without a stable time in between.
        times: u32,
        /// When it is put back; `None`: now.
        retry_at: Option<Instant>,
    },
    /// Somebody else has its place, and what is there does not answer.
    Taken {
        /// When it is tried again; `None`: now.
        retry_at: Option<Instant>,
    },
    /// The kernel refuses.
    Failed {
        /// Why.
        why: String,
        /// When it is tried again; `None`: now.
        retry_at: Option<Instant>,
    },
}

/// Somebody else deleted something of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// What.
    pub target: Target,
    /// How often by now, without a stable time in between.
    pub times: u32,
    /// When it is put back; `None`: at once.
    pub retry_at: Option<Instant>,
}
