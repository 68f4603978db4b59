//! The kernel's side: addresses on the interface and anchor routes, held to the plan over netlink.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::SystemTime,
};

use anycast_bgp::Prefix;
use anycast_core::config::Anchor;

/// What the kernel is to hold for us: whole sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AddressPlan {
    /// The interface that carries the addresses.
    pub(crate) interface: String,
    /// The addresses, as /32 and /128.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// The kind of the anchor routes.
    pub(crate) anchor: Anchor,
    /// The prefixes that are to have one.
    pub(crate) anchors: BTreeSet<Prefix>,
}

/// Who put an address there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// This agent, or one before it on this node.
    Ours,
    /// Somebody else: never touched.
    Foreign,
}

/// One address, as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AddressState {
    /// The kernel answers for it.
    Bound {
        /// Who put it there.
        owner: Owner,
        /// Where.
        interface: String,
        /// Since when, as far as the agent knows.
        since: SystemTime,
    },
    /// It should be there and is not.
    Missing {
        /// Why, in words.
        problem: String,
        /// Since when.
        since: SystemTime,
    },
}

/// What is known of the kernel, as of now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KernelState {
    /// Every address of the plan, and every one of ours that is still there.
    pub(crate) addresses: BTreeMap<IpAddr, AddressState>,
    /// Why nothing is known, where netlink itself fails; in words.
    pub(crate) error: Option<String>,
}

impl KernelState {
    /// What is wrong with the anchor routes, in words.
    pub(crate) fn anchor_problems(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether nothing of ours is left in the kernel.
    pub(crate) fn nothing_is_ours(&self) -> bool {
        self.addresses.is_empty()
    }
}
