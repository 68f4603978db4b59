//! Holds the kernel to a plan: which addresses and anchor routes to add and delete, and when to try again.
//!
//! What the kernel holds comes in as whole listings; events only say that it is time for another one, so an event that
//! is lost costs time and nothing else. What is ours and not wanted is deleted, whoever of us left it there; what is
//! somebody else's is never touched, and an address of theirs that answers is as good as one of ours.

mod pace;
mod track;
mod types;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use self::{pace::ListingClock, track::Track};
pub use self::{
    pace::{AUDIT, delay},
    track::STABLE,
    types::{
        AddressPlan, Binding, Deletion, Failure, Link, Listed, Listing, Operation, Owner, Problem, RouteKind, Target,
    },
};

/// The state machine.
///
/// After each `handle_*` ask for [`operations`](Self::operations), perform them in order, and give each result back; list
/// when [`poll_listing`](Self::poll_listing) says so; otherwise sleep until [`poll_timeout`](Self::poll_timeout).
/// Operations that were not performed need no word: they are named again.
#[derive(Debug, Clone)]
pub struct Reconciler {
    plan: Option<Plan>,
    clock: ListingClock,
    links: BTreeMap<Arc<str>, Link>,
    /// What of ours is there, and whether it answers.
    ours: BTreeMap<Target, bool>,
    /// What somebody else has, by address and interface, and whether it answers.
    foreign: BTreeMap<IpAddr, BTreeMap<Arc<str>, bool>>,
    /// What is remembered of each target that is wanted or ours.
    tracks: BTreeMap<Target, Track>,
    deletions: VecDeque<Deletion>,
}

#[derive(Debug, Clone)]
struct Plan {
    interface: Arc<str>,
    addresses: BTreeSet<IpAddr>,
    wanted: BTreeSet<Target>,
}

impl Plan {
    fn new(plan: &AddressPlan) -> Self {
        let interface: Arc<str> = plan.interface.as_str().into();
        let address = |address: &IpAddr| Target::Address { address: *address, interface: interface.clone() };
        let kind = RouteKind::of(plan.anchor);
        let anchors = kind.map(|kind| plan.anchors.iter().map(move |prefix| Target::Anchor { prefix: *prefix, kind }));
        let wanted = plan.addresses.iter().map(address).chain(anchors.into_iter().flatten()).collect();
        Self { interface, addresses: plan.addresses.clone(), wanted }
    }
}

impl Reconciler {
    /// Knows nothing; a listing is due at once.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            plan: None,
            clock: ListingClock::new(now),
            links: BTreeMap::new(),
            ours: BTreeMap::new(),
            foreign: BTreeMap::new(),
            tracks: BTreeMap::new(),
            deletions: VecDeque::new(),
        }
    }

    /// Takes the whole plan. Until there is one nothing is touched: what is ours may yet be wanted.
    pub fn handle_plan(&mut self, plan: Option<&AddressPlan>) {
        self.plan = plan.map(Plan::new);
        self.forget();
    }

    /// Something changed in the kernel.
    pub fn handle_event(&mut self, now: Instant) {
        self.clock.handle_event(now);
    }

    /// What the kernel holds, and how long it took to say so.
    pub fn handle_listing(&mut self, listing: Listing, took: Duration, now: Instant) {
        self.clock.handle_listing(took, now);
        let links = std::mem::replace(&mut self.links, listing.links);
        let appeared = self.links.iter().any(|(name, link)| link.up && links.get(name) != Some(link));
        let mut ours = BTreeMap::new();
        let mut foreign: BTreeMap<IpAddr, BTreeMap<Arc<str>, bool>> = BTreeMap::new();
        for Listed { address, interface, owner, usable } in listing.addresses {
            // One interface can carry an address twice, with two lengths.
            let answers = match owner {
                Owner::Ours => ours.entry(Target::Address { address, interface: interface.clone() }).or_default(),
                Owner::Foreign => foreign.entry(address).or_default().entry(interface.clone()).or_default(),
            };
            *answers |= usable && self.is_up(&interface);
        }
        ours.extend(listing.anchors.into_iter().map(|(prefix, kind)| (Target::Anchor { prefix, kind }, true)));
        let ours_before = std::mem::replace(&mut self.ours, ours);
        let foreign_before = std::mem::replace(&mut self.foreign, foreign);
        for target in ours_before.into_keys() {
            if !self.ours.contains_key(&target) {
                self.handle_lost(target, &links, now);
            }
        }
        for target in self.ours.keys() {
            let track = self.tracks.entry(target.clone()).or_default();
            track.present(now, self.plan.as_ref().is_some_and(|plan| plan.wanted.contains(target)));
        }
        for (target, track) in &mut self.tracks {
            // What failed for want of an interface, or because somebody had its place, need not wait out its pause.
            let moved = |address| foreign_before.get(&address) != self.foreign.get(&address);
            if appeared || target.address().is_some_and(moved) {
                track.hurry();
            }
        }
        self.forget();
    }

    /// The kernel could not be listed, or its answers stopped. What was last known stands, and nothing is done until
    /// a listing succeeds.
    pub fn handle_unlisted(&mut self, now: Instant) {
        self.clock.handle_failure(now);
    }

    /// How an operation ended.
    pub fn handle_result(&mut self, operation: &Operation, result: Result<(), Failure>, now: Instant) {
        let target = operation.target();
        match (operation, result) {
            (Operation::Add(_), Ok(())) => {
                self.ours.insert(target.clone(), true);
                self.tracks.entry(target.clone()).or_default().present(now, true);
            }
            (Operation::Delete(_), Ok(()) | Err(Failure::Gone)) => {
                self.ours.remove(target);
                self.tracks.remove(target);
            }
            (_, Err(failure)) => {
                // The view it was based on may be out of date.
                self.clock.handle_event(now);
                self.tracks.entry(target.clone()).or_default().failed(failure, now);
            }
        }
    }

    /// Whether it is time to list what the kernel holds.
    #[must_use]
    pub fn poll_listing(&self, now: Instant) -> bool {
        let unproven = || !self.clock.is_fresh(now) && self.surplus().any(|target| self.is_due(target, now));
        self.clock.is_due(now) || (self.clock.is_trusted() && self.clock.not_before() <= now && unproven())
    }

    /// What is to be done now, in this order: what is missing comes first, so that an address that changes its interface
    /// is never missing. Nothing is deleted but on the word of a listing just taken: the kernel deletes an address by its
    /// value, whoever owns it, and ours may have been replaced by somebody else's.
    #[must_use]
    pub fn operations(&self, now: Instant) -> Vec<Operation> {
        if !self.clock.is_trusted() {
            return Vec::new();
        }
        let adds = self.missing().filter(|target| self.is_due(target, now) && self.can_add(target));
        let deletes = self.surplus().filter(|target| self.clock.is_fresh(now) && self.is_due(target, now));
        adds.cloned().map(Operation::Add).chain(deletes.cloned().map(Operation::Delete)).collect()
    }

    /// When [`poll_listing`](Self::poll_listing) or [`operations`](Self::operations) has something new to say. There is
    /// always a next listing.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        if !self.clock.is_trusted() {
            return self.clock.due();
        }
        let retry_at = |target: &Target| self.tracks.get(target).and_then(Track::retry_at);
        let adds = self.missing().filter(|target| self.can_add(target)).filter_map(retry_at);
        let listing = self.clock.not_before();
        let deletes = self.surplus().map(|target| retry_at(target).map_or(listing, |at| at.max(listing)));
        adds.chain(deletes).min().map_or(self.clock.due(), |at| at.min(self.clock.due()))
    }

    /// The next deletion by somebody else that has not been told yet.
    pub fn poll_deletion(&mut self) -> Option<Deletion> {
        self.deletions.pop_front()
    }

    /// Every address of the plan, and every one of ours that is still there.
    #[must_use]
    pub fn addresses(&self) -> BTreeMap<IpAddr, Binding> {
        let ours = self.ours.keys().filter_map(Target::address);
        let planned = self.plan.iter().flat_map(|plan| plan.addresses.iter().copied());
        let known = ours.chain(planned).collect::<BTreeSet<_>>();
        known.into_iter().map(|address| (address, self.binding(address))).collect()
    }

    /// The anchor routes that are not as planned.
    #[must_use]
    pub fn missing_anchors(&self) -> BTreeMap<Target, Problem> {
        let missing = self.missing().filter(|target| matches!(target, Target::Anchor { .. }));
        missing.map(|target| (target.clone(), self.problem(target))).collect()
    }

    /// What of ours should be gone and is not, because deleting it failed.
    #[must_use]
    pub fn leftovers(&self) -> BTreeMap<Target, Problem> {
        let failed = self.surplus().filter(|target| self.tracks.get(*target).is_some_and(Track::has_failed));
        failed.map(|target| (target.clone(), self.problem(target))).collect()
    }

    /// How much of ours the kernel holds; `None` until it was listed.
    #[must_use]
    pub fn ours(&self) -> Option<usize> {
        self.clock.is_known().then_some(self.ours.len())
    }

    /// Whether the kernel holds this for us.
    #[must_use]
    pub fn holds(&self, target: &Target) -> bool {
        self.ours.contains_key(target)
    }

    /// The interface of this name, where there is one.
    #[must_use]
    pub fn link(&self, name: &str) -> Option<Link> {
        self.links.get(name).copied()
    }

    fn binding(&self, address: IpAddr) -> Binding {
        let planned = self.plan.as_ref().map(|plan| &plan.interface);
        let mut ours = self.answered_by_us(address);
        let ours = ours.clone().find(|interface| Some(*interface) == planned).or_else(|| ours.next());
        if let Some(interface) = ours {
            return Binding::Bound { owner: Owner::Ours, interface: interface.clone() };
        }
        if let Some(interface) = self.answered_by_others(address) {
            return Binding::Bound { owner: Owner::Foreign, interface: interface.clone() };
        }
        let interface = planned.cloned().unwrap_or_else(|| "lo".into());
        Binding::Missing(self.problem(&Target::Address { address, interface }))
    }

    fn problem(&self, target: &Target) -> Problem {
        if !self.clock.is_known() {
            return Problem::Unknown;
        }
        if let Some(interface) = target.interface() {
            match self.links.get(interface) {
                None => return Problem::NoInterface(interface.clone()),
                Some(Link { up: false, .. }) => return Problem::InterfaceDown(interface.clone()),
                Some(Link { up: true, .. }) => {}
            }
            if self.ours.get(target) == Some(&false) {
                return Problem::Silent(interface.clone());
            }
        }
        self.tracks.get(target).map_or(Problem::Pending, Track::problem)
    }

    /// Wanted, and neither ours nor answered by somebody else.
    fn missing(&self) -> impl Iterator<Item = &Target> {
        self.plan
            .iter()
            .flat_map(|plan| &plan.wanted)
            .filter(|target| !self.ours.contains_key(*target))
            .filter(|target| target.address().is_none_or(|address| self.answered_by_others(address).is_none()))
    }

    /// Ours, not wanted, and not needed either.
    fn surplus(&self) -> impl Iterator<Item = &Target> {
        self.plan.iter().flat_map(move |plan| {
            self.ours.keys().filter(|target| !plan.wanted.contains(*target)).filter(move |target| {
                let Some(address) = target.address() else { return true };
                // On another interface than planned it is needed until it has come to the planned one.
                let planned = Target::Address { address, interface: plan.interface.clone() };
                !plan.addresses.contains(&address)
                    || self.ours.get(&planned) == Some(&true)
                    || self.answered_by_others(address).is_some()
            })
        })
    }

    fn is_due(&self, target: &Target, now: Instant) -> bool {
        self.tracks.get(target).is_none_or(|track| track.is_due(now))
    }

    /// Whether there is room for it: a route of the other kind has to go first, and an interface has to be up.
    fn can_add(&self, target: &Target) -> bool {
        match target {
            Target::Address { interface, .. } => self.is_up(interface),
            Target::Anchor { prefix, kind } => {
                !self.ours.contains_key(&Target::Anchor { prefix: *prefix, kind: kind.other() })
            }
        }
    }

    /// On which interfaces one of ours answers for it.
    fn answered_by_us(&self, address: IpAddr) -> impl Iterator<Item = &Arc<str>> + Clone {
        let from = Target::Address { address, interface: "".into() };
        let held = self.ours.range(from..).take_while(move |(target, _)| target.address() == Some(address));
        held.filter(|(_, answers)| **answers).filter_map(|(target, _)| target.interface())
    }

    fn answered_by_others(&self, address: IpAddr) -> Option<&Arc<str>> {
        let held = self.foreign.get(&address)?;
        held.iter().find(|(_, answers)| **answers).map(|(interface, _)| interface)
    }

    fn is_up(&self, interface: &str) -> bool {
        self.links.get(interface).is_some_and(|link| link.up)
    }

    /// One of ours is gone that was there, and we did not delete it.
    fn handle_lost(&mut self, target: Target, links_before: &BTreeMap<Arc<str>, Link>, now: Instant) {
        let Some(track) = self.tracks.get_mut(&target) else { return };
        let present_since = track.absent();
        let wanted = self.plan.as_ref().is_some_and(|plan| plan.wanted.contains(&target));
        let answered = target.address().is_some_and(|address| self.answered_by_others(address).is_some());
        // An interface that goes down or away takes its addresses along, and the loopback the IPv6 routes that lead
        // nowhere: nobody deleted those.
        let carrier = target.interface().map_or("lo", |interface| interface);
        let link = self.links.get(carrier);
        let stood = link == links_before.get(carrier) && link.is_some_and(|link| link.up);
        if !wanted || answered || !stood {
            return;
        }
        if let Some(track) = self.tracks.get_mut(&target) {
            let (times, retry_at) = track.deleted(present_since, now);
            self.deletions.push_back(Deletion { target, times, retry_at });
        }
    }

    /// Drops what was remembered of targets that are neither wanted nor there.
    fn forget(&mut self) {
        let wanted = self.plan.as_ref().map(|plan| &plan.wanted);
        self.tracks
            .retain(|target, _| self.ours.contains_key(target) || wanted.is_some_and(|wanted| wanted.contains(target)));
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
