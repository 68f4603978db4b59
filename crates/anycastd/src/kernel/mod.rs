//! The kernel's side: addresses on the interface and anchor routes, held to the plan over netlink.
//!
//! One task ([`keeper`]) owns both sockets: one for questions ([`netlink`]), one that only hears that something changed
//! ([`events`]). The plan comes in by `watch`, what is known goes out by `watch`; what is to be done, and when, the pure
//! [`anycast_core::Reconciler`] says. Dropping the plan's sender ends the task; what it has bound stays.

mod events;
mod intents;
mod keeper;
mod links;
mod losses;
mod netlink;
mod show;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::SystemTime,
};

pub(crate) use anycast_core::reconcile::{AddressPlan, Owner};
use tokio::{sync::watch, task::JoinHandle};

pub(crate) use self::{
    links::{Interface, Links, Own},
    losses::{Loss, Losses, was_removed},
};

use crate::signal::Sink;

/// Marks what is ours: IFA_PROTO on an address, RTPROT on a route. 0xAC as in anycast; neither the kernel (up to 18, and
/// 42, 99, 186 to 192 in rtnetlink.h) nor FRR (up to 199), Calico (80) or the registry of iproute2 has it.
pub(crate) const TAG: u8 = 0xAC;

/// The metric of an anchor route: anything else that leads somewhere is to be preferred, be it a connected network or a
/// route of a routing daemon. Above what network managers set, and below the last resort of FRR's VRFs (4278198272).
pub(crate) const ANCHOR_METRIC: u32 = 0xFF00_00AC;

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
    /// What is wrong besides, in words: anchor routes that are missing, things of ours that cannot be removed.
    pub(crate) problems: Vec<String>,
    /// Why nothing newer is known, where netlink itself fails; in words. The addresses are as they were last seen: an
    /// agent that is deaf for a moment must not give up what works.
    pub(crate) error: Option<String>,
    /// What went of the networks that the node is connected to.
    pub(crate) losses: Losses,
    /// How many addresses and routes of ours there are; `None`: not known yet.
    ours: Option<usize>,
    /// Whether the plan that was taken last wants nothing.
    wants_nothing: bool,
    /// Whether there is a plan, and all that can be done now to have the kernel follow it is done.
    reconciled: bool,
}

impl KernelState {
    /// As another program has left it: these addresses are bound.
    pub(crate) fn left(addresses: BTreeMap<IpAddr, AddressState>) -> Self {
        Self { addresses, ..Self::default() }
    }

    /// Whether nothing of ours is left in the kernel, nor on its way there.
    pub(crate) fn nothing_is_ours(&self) -> bool {
        self.wants_nothing && self.ours == Some(0)
    }

    /// Whether the kernel was brought to the plan: what is not as planned failed and is tried again later.
    pub(crate) const fn is_reconciled(&self) -> bool {
        self.reconciled
    }
}

/// How the task works; the tests make it work as on other kernels.
#[derive(Debug, Clone, Copy)]
struct Options {
    /// Whether addresses are tagged: no kernel before 5.18 does.
    tags: bool,
    /// How many bytes of events may wait; `None`: the kernel's default.
    receive_buffer: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self { tags: true, receive_buffer: None }
    }
}

/// Starts the task. Until `plan` is `Some` it touches nothing and only looks. `intents` is where it writes what it is
/// about to add, on a kernel that cannot tag. `links` is told of interfaces before anything is done about addresses.
pub(crate) fn start(
    plan: watch::Receiver<Option<Arc<AddressPlan>>>,
    intents: PathBuf,
    sink: Sink,
    links: watch::Sender<Links>,
    known: KernelState,
) -> (watch::Receiver<Arc<KernelState>>, JoinHandle<()>) {
    start_from(plan, intents, sink, links, known, Options::default())
}

/// The addresses of ours that are bound now. None where the kernel does not say.
pub(crate) async fn left_behind(intents: PathBuf) -> BTreeSet<IpAddr> {
    keeper::left_behind(intents).await.unwrap_or_else(|fault| {
        tracing::warn!("cannot see what the last process left: netlink: {fault}");
        BTreeSet::new()
    })
}

#[cfg(test)]
fn start_with(
    plan: watch::Receiver<Option<Arc<AddressPlan>>>,
    intents: PathBuf,
    sink: Sink,
    links: watch::Sender<Links>,
    options: Options,
) -> (watch::Receiver<Arc<KernelState>>, JoinHandle<()>) {
    start_from(plan, intents, sink, links, KernelState::default(), options)
}

/// `known` is shown until the kernel itself has been asked.
fn start_from(
    plan: watch::Receiver<Option<Arc<AddressPlan>>>,
    intents: PathBuf,
    sink: Sink,
    links: watch::Sender<Links>,
    known: KernelState,
    options: Options,
) -> (watch::Receiver<Arc<KernelState>>, JoinHandle<()>) {
    let (state, seen) = watch::channel(Arc::new(known));
    let keeper = keeper::Keeper::new(plan, intents, sink, state, links, options);
    (seen, tokio::spawn(keeper.run()))
}

#[cfg(test)]
pub(crate) mod tests;
