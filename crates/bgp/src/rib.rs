//! Adj-RIB-Out: what the neighbor should hold, what it was sent, and what is left to send.
//!
//! Three facts about each prefix are kept apart. `desired` is what it should hold. `sent` is what the last UPDATE handed out
//! about it said, and how far that has come. `queue` holds the prefixes where the two differ. The table that others see is
//! made from them: the desired attributes with `Queued` where a prefix is in the queue, else what `sent` says.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry},
    num::NonZeroUsize,
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;

use serde::{Deserialize, Serialize};

use crate::{
    attributes::{Attributes, Routes},
    encoding,
    handover::{self, Handover, Unfit},
    pack::{self, Block},
    quarantine::{Quarantined, Standing, Told},
    refresh,
    terms::{NextHop, Terms, Unsendable},
    types::{Family, Prefix},
};

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Progress {
    /// Not yet with the kernel whole.
    Queued,
    /// With the kernel.
    Written,
    /// Acknowledged by the neighbor's TCP.
    Acked,
}

/// One entry of the Adj-RIB-Out: what the neighbor holds, or will when the message has come through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// `None`: a withdraw that is not acknowledged yet. (Acknowledged withdraws leave the table.)
    pub attributes: Option<Arc<Attributes>>,
    /// How far the UPDATE that says so has come.
    pub progress: Progress,
    /// Since when it is that far.
    pub since: Instant,
}

/// The last that was handed out about a prefix.
#[derive(Debug)]
struct Sent {
    said: Advertised,
    /// The next hop it was said with; `None` of a withdraw.
    next_hop: Option<NextHop>,
    /// The place in the stream where that UPDATE ends.
    end: u64,
    /// The neighbor asked for it again since.
    again: bool,
}

/// Prefixes that wait with the same attributes.
#[derive(Debug)]
struct Batch {
    block: Block,
    prefixes: BTreeSet<Prefix>,
}

/// The prefixes of an UPDATE on its way, and where in the stream it ends.
#[derive(Debug)]
struct InFlight {
    end: u64,
    prefixes: Vec<Prefix>,
}

#[derive(Debug, Default)]
pub(crate) struct Rib {
    desired: Routes,
    /// How many prefixes the neighbor may hold.
    cap: Option<NonZeroUsize>,
    /// The desired routes beyond the cap, the last in order: they are not among `desired`.
    excess: Routes,
    /// What of it is not to be told.
    held: BTreeMap<Prefix, Quarantined>,
    /// `None` while there is no session: then nothing is sent, queued or refused.
    terms: Option<Terms>,
    sent: BTreeMap<Prefix, Sent>,
    view: BTreeMap<Prefix, Advertised>,
    unsent: BTreeMap<Prefix, Unsendable>,
    withdraws: BTreeSet<Prefix>,
    announces: BTreeMap<(Family, Arc<Attributes>), Batch>,
    end_of_rib: BTreeSet<Family>,
    /// The desired set is not all there is to say yet: no End-of-RIB until it is.
    incomplete: bool,
    /// Where the answer to a route refresh has yet to be marked as beginning, and as ended (RFC 7313 §4).
    begin_refresh: BTreeSet<Family>,
    end_refresh: BTreeSet<Family>,
    /// Asked for again, and nothing of it handed out since.
    refreshed: BTreeSet<Family>,
    unwritten: VecDeque<InFlight>,
    unacked: VecDeque<InFlight>,
    changed: bool,
}

impl Rib {
    pub(crate) const fn advertised(&self) -> &BTreeMap<Prefix, Advertised> {
        &self.view
    }

    pub(crate) const fn unsent(&self) -> &BTreeMap<Prefix, Unsendable> {
        &self.unsent
    }

    /// On what terms routes are sent, while there is a session.
    pub(crate) const fn terms(&self) -> Option<&Terms> {
        self.terms.as_ref()
    }

    /// The UPDATEs on their way.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn in_flight(&self) -> usize {
        self.unwritten.len() + self.unacked.len()
    }

    /// Whether [`Self::advertised`] changed since this was last asked.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The session is Established: everything is to be sent.
    pub(crate) fn up(&mut self, terms: Terms, now: Instant) {
        self.down();
        self.end_of_rib = terms.families.clone();
        self.terms = Some(terms);
        let desired = std::mem::take(&mut self.desired);
        for (prefix, attributes) in &desired {
            self.retarget(*prefix, Some(attributes), now);
        }
        self.desired = desired;
        self.refuse_excess();
    }

    /// The session goes on with other next hops: what was said with one that is not in force any more is said anew, or taken back
    /// where there is none.
    pub(crate) fn set_terms(&mut self, terms: Terms, now: Instant) {
        let Some(before) = self.terms.replace(terms.clone()) else {
            self.terms = None;
            return;
        };
        let moved = |family: Family| before.next_hop(family) != terms.next_hop(family);
        // What waits is encoded already.
        self.announces.retain(|(family, _), _| !moved(*family));
        let desired = std::mem::take(&mut self.desired);
        for (prefix, attributes) in desired.iter().filter(|(prefix, _)| moved(prefix.family())) {
            self.retarget(*prefix, Some(attributes), now);
        }
        self.desired = desired;
    }

    /// What was said of every prefix, what is to be withdrawn, and what is owed besides, for another process.
    pub(crate) fn hand_over(&self, now: Instant) -> (Vec<handover::Told>, BTreeSet<Prefix>, handover::Marks) {
        let told = |(prefix, sent): (&Prefix, &Sent)| handover::Told {
            prefix: *prefix,
            attributes: sent.said.attributes.as_deref().cloned(),
            next_hop: sent.next_hop,
            progress: sent.said.progress,
            age: now.saturating_duration_since(sent.said.since),
            end: sent.end,
            again: sent.again,
        };
        let marks = handover::Marks {
            end_of_rib: self.end_of_rib.clone(),
            begin_refresh: self.begin_refresh.clone(),
            end_refresh: self.end_refresh.clone(),
            refreshed: self.refreshed.clone(),
        };
        (self.sent.iter().map(told).collect(), self.withdraws.clone(), marks)
    }

    /// What another process has said: what the neighbor holds is what is desired, until somebody says otherwise.
    pub(crate) fn take_over(&mut self, terms: Terms, from: &Handover, now: Instant) -> Result<(), Unfit> {
        self.down();
        let mut on_the_way: BTreeMap<u64, InFlight> = BTreeMap::new();
        for told in &from.told {
            if told.end > from.sent.handed_out {
                return Err(Unfit::Broken("an UPDATE ends where nothing was sent"));
            }
            let since = now.checked_sub(told.age).unwrap_or(now);
            let attributes = told.attributes.clone().map(Arc::new);
            let said = Advertised { attributes: attributes.clone(), progress: told.progress, since };
            let sent = Sent { said, next_hop: told.next_hop, end: told.end, again: told.again };
            self.sent.insert(told.prefix, sent);
            if told.progress != Progress::Acked {
                let update = on_the_way.entry(told.end);
                update.or_insert(InFlight { end: told.end, prefixes: Vec::new() }).prefixes.push(told.prefix);
            }
            if let Some(attributes) = attributes.filter(|_| !from.withdraws.contains(&told.prefix)) {
                self.desired.insert(told.prefix, attributes);
            }
        }
        let written = |update: &InFlight| update.end <= from.sent.written;
        (self.unacked, self.unwritten) = on_the_way.into_values().partition(written);
        let handover::Marks { end_of_rib, begin_refresh, end_refresh, refreshed } = from.marks.clone();
        (self.end_of_rib, self.refreshed) = (end_of_rib, refreshed);
        (self.begin_refresh, self.end_refresh) = (begin_refresh, end_refresh);
        self.terms = Some(terms);
        let desired = std::mem::take(&mut self.desired);
        for told in &from.told {
            self.retarget(told.prefix, desired.get(&told.prefix), now);
        }
        self.desired = desired;
        Ok(())
    }

    /// The session is gone, and with it all that the neighbor held (RFC 4271 §8.2.2).
    pub(crate) fn down(&mut self) {
        let (desired, excess) = (std::mem::take(&mut self.desired), std::mem::take(&mut self.excess));
        let changed = self.changed || !self.view.is_empty() || !self.unsent.is_empty();
        let held = std::mem::take(&mut self.held);
        *self = Self { desired, excess, cap: self.cap, held, changed, incomplete: self.incomplete, ..Self::default() };
    }

    /// How many prefixes of the set may be announced: the first ones.
    pub(crate) fn set_cap(&mut self, cap: Option<NonZeroUsize>, now: Instant) {
        if self.cap != cap {
            self.cap = cap;
            let mut all = self.desired.clone();
            all.extend(std::mem::take(&mut self.excess));
            self.set_desired(all, now);
        }
    }

    /// The whole set. What did not change costs one comparison of pointers.
    pub(crate) fn set_desired(&mut self, mut desired: Routes, now: Instant) {
        let first_beyond = self.cap.and_then(|cap| desired.keys().nth(cap.get()).copied());
        let excess = first_beyond.map(|first| desired.split_off(&first)).unwrap_or_default();
        let no_longer = std::mem::replace(&mut self.excess, excess);
        let old = std::mem::replace(&mut self.desired, desired);
        if self.terms.is_none() {
            return;
        }
        for prefix in no_longer.into_keys() {
            if !self.excess.contains_key(&prefix) {
                self.refuse(prefix, None);
            }
        }
        let new = std::mem::take(&mut self.desired);
        for prefix in old.keys().filter(|prefix| !new.contains_key(prefix)) {
            self.retarget(*prefix, None, now);
        }
        let mut before = old.iter().peekable();
        for (prefix, attributes) in &new {
            while before.next_if(|(other, _)| *other < prefix).is_some() {}
            let same = before.peek().is_some_and(|(other, was)| *other == prefix && same(was, attributes));
            if !same {
                self.retarget(*prefix, Some(attributes), now);
            }
        }
        self.desired = new;
        self.refuse_excess();
    }

    /// What is desired.
    pub(crate) const fn desired(&self) -> &Routes {
        &self.desired
    }

    /// What of the desired set is not to be told: the whole of it.
    pub(crate) fn set_held(&mut self, held: BTreeMap<Prefix, Quarantined>, now: Instant) {
        let before = std::mem::replace(&mut self.held, held);
        if self.terms.is_none() {
            return;
        }
        let changed = |prefix: &&Prefix| before.get(prefix) != self.held.get(prefix);
        let changed: BTreeSet<Prefix> = before.keys().chain(self.held.keys()).filter(changed).copied().collect();
        for prefix in changed {
            let attributes = self.desired.get(&prefix).cloned();
            self.retarget(prefix, attributes.as_ref(), now);
        }
        self.refuse_excess();
    }

    /// The routes that were told over this connection and not taken back: whole, so that the neighbor may have read them. Those
    /// whose attributes hold the octets of `quote` are marked.
    pub(crate) fn told(&self, quote: &[u8]) -> Vec<Told> {
        let told = |(prefix, sent): (&Prefix, &Sent)| {
            let attributes = sent.said.attributes.clone()?;
            let acked = match sent.said.progress {
                Progress::Queued => return None,
                Progress::Written => None,
                Progress::Acked => Some(sent.said.since),
            };
            let quoted = self.is_quoted(quote, *prefix, &attributes);
            Some(Told { route: (*prefix, attributes), acked, quoted })
        };
        self.sent.iter().filter_map(told).collect()
    }

    fn is_quoted(&self, quote: &[u8], prefix: Prefix, attributes: &Attributes) -> bool {
        // Flags, type, length and a value: less is found anywhere.
        let Some(terms) = self.terms.as_ref().filter(|_| quote.len() > 3) else { return false };
        let octets = encoding::path_attributes(attributes, terms, prefix.family()).unwrap_or_default();
        octets.windows(quote.len()).any(|part| part == quote)
    }

    /// How far a route has come.
    pub(crate) fn standing(&self, prefix: Prefix, attributes: &Arc<Attributes>) -> Standing {
        let is = |entry: &&Advertised| entry.attributes.as_ref().is_some_and(|other| same(other, attributes));
        match self.view.get(&prefix).filter(is) {
            None => Standing::Absent,
            Some(Advertised { progress: Progress::Acked, since, .. }) => Standing::Acked(*since),
            Some(_) => Standing::Pending,
        }
    }

    /// RFC 2918 §4: everything of the family once more. Nothing is withdrawn, and what the neighbor holds it goes on holding.
    pub(crate) fn refresh(&mut self, family: Family) {
        // Who asks a thousand times at once gets one answer: each walk over a large table costs time that others wait for.
        if !self.refreshed.insert(family) {
            return;
        }
        let held = |(prefix, sent): (&Prefix, &Sent)| {
            (prefix.family() == family).then(|| Some((*prefix, sent.said.attributes.clone()?))).flatten()
        };
        for (prefix, attributes) in self.sent.iter().filter_map(held).collect::<Vec<_>>() {
            if let Some(sent) = self.sent.get_mut(&prefix) {
                sent.again = true;
            }
            let wanted = self.view.get(&prefix).and_then(|entry| entry.attributes.as_ref());
            if wanted.is_some_and(|wanted| same(wanted, &attributes)) {
                let _refused = self.enqueue(prefix, &attributes);
            }
        }
        // RFC 7313 §4: marked at both ends where that is agreed on, but not before the End-of-RIB, which stays owed.
        if self.terms.as_ref().is_some_and(|terms| terms.enhanced_route_refresh) {
            self.begin_refresh.insert(family);
            self.end_refresh.insert(family);
        }
    }

    /// The next UPDATE, which ends `after` in the stream plus its own length. Withdraws overtake all that waits.
    pub(crate) fn next_update(&mut self, after: u64, now: Instant) -> Option<Bytes> {
        let terms = self.terms.as_ref()?;
        if let Some((message, prefixes)) = pack::withdraw(&mut self.withdraws, terms) {
            self.hand_out(&message, prefixes, None, after, now);
            return Some(message);
        }
        if let Some(message) = self.next_end_of_rib().or_else(|| self.next_refresh_mark()) {
            return Some(message);
        }
        let mut first = self.announces.first_entry()?;
        let packed = first.get().block.clone().announce(&mut first.get_mut().prefixes);
        let attributes = Arc::clone(&first.key().1);
        if first.get().prefixes.is_empty() {
            first.remove();
        }
        let (message, prefixes) = packed?;
        self.hand_out(&message, prefixes, Some(&attributes), after, now);
        Some(message)
    }

    /// Whether the desired set is all there is to say. A neighbor that keeps routes over a restart deletes at the End-of-RIB what
    /// it was not told again (RFC 4724 §4.2): the routes of services whose checks have not run yet.
    pub(crate) const fn set_complete(&mut self, complete: bool) {
        self.incomplete = !complete;
    }

    /// RFC 4724 §2: once the initial routes of the family are out.
    fn next_end_of_rib(&mut self) -> Option<Bytes> {
        if self.incomplete && self.terms.as_ref().is_some_and(|terms| terms.graceful_restart) {
            return None;
        }
        let waits = |family: Family| self.announces.keys().any(|(other, _)| *other == family);
        let family = self.end_of_rib.iter().copied().find(|family| !waits(*family))?;
        self.end_of_rib.remove(&family);
        pack::end_of_rib(family)
    }

    /// RFC 7313 §4: the beginning once the initial routes were marked as all there, the end once nothing of the family waits.
    fn next_refresh_mark(&mut self) -> Option<Bytes> {
        let begins = self.begin_refresh.iter().copied().find(|family| !self.end_of_rib.contains(family));
        if let Some(family) = begins {
            self.begin_refresh.remove(&family);
            return Some(refresh::begin(family));
        }
        let waits = |family: Family| self.announces.keys().any(|(other, _)| *other == family);
        let mut ends = self.end_refresh.iter().copied();
        let family = ends.find(|family| !self.begin_refresh.contains(family) && !waits(*family))?;
        self.end_refresh.remove(&family);
        self.refreshed.remove(&family);
        Some(refresh::end(family))
    }

    pub(crate) fn handle_written(&mut self, total: u64, now: Instant) {
        while let Some(update) = pop_until(&mut self.unwritten, total) {
            self.advance(&update, Progress::Written, now);
            self.unacked.push_back(update);
        }
    }

    pub(crate) fn handle_acked(&mut self, total: u64, now: Instant) {
        while let Some(update) = pop_until(&mut self.unacked, total) {
            self.advance(&update, Progress::Acked, now);
        }
    }

    /// What `prefix` should be from now on: `None` is absent.
    fn retarget(&mut self, prefix: Prefix, attributes: Option<&Arc<Attributes>>, now: Instant) {
        self.dequeue(prefix);
        let refusal = attributes.and_then(|attributes| self.refusal(prefix, attributes));
        let attributes = attributes.filter(|_| refusal.is_none());
        self.refuse(prefix, refusal);
        let sent = self.sent.get(&prefix);
        let said = sent.map(|sent| &sent.said);
        let current = sent.is_some_and(|sent| sent.next_hop == self.next_hop(prefix));
        let held = said.and_then(|said| said.attributes.as_ref());
        let queued = |attributes| Some(Advertised { attributes, progress: Progress::Queued, since: now });
        let entry = match (attributes, held) {
            (Some(wanted), Some(held)) if current && same(wanted, held) => {
                let entry = said.cloned();
                if sent.is_some_and(|sent| sent.again) {
                    let _refused = self.enqueue(prefix, wanted);
                }
                entry
            }
            (Some(wanted), _) => {
                self.enqueue(prefix, wanted).is_ok().then(|| queued(Some(Arc::clone(wanted)))).flatten()
            }
            (None, Some(_)) => {
                self.withdraws.insert(prefix);
                queued(None)
            }
            // Never sent, or its withdraw is already on the way.
            (None, None) => said.cloned(),
        };
        self.show(prefix, entry);
    }

    fn refuse_excess(&mut self) {
        let Some(cap) = self.cap.filter(|_| self.terms.is_some()) else { return };
        for prefix in self.excess.keys().copied().collect::<Vec<_>>() {
            self.refuse(prefix, Some(Unsendable::TooMany(cap)));
        }
    }

    fn refuse(&mut self, prefix: Prefix, refusal: Option<Unsendable>) {
        let before = match &refusal {
            Some(reason) => self.unsent.insert(prefix, reason.clone()),
            None => self.unsent.remove(&prefix),
        };
        self.changed |= before != refusal;
    }

    fn refusal(&self, prefix: Prefix, attributes: &Arc<Attributes>) -> Option<Unsendable> {
        let terms = self.terms.as_ref()?;
        if let Some(held) = self.held.get(&prefix) {
            return Some(Unsendable::Quarantined(held.clone()));
        }
        let key = (prefix.family(), Arc::clone(attributes));
        // A batch that waits with the same attributes has been through this.
        if self.announces.contains_key(&key) { None } else { Block::new(attributes, terms, prefix.family()).err() }
    }

    fn enqueue(&mut self, prefix: Prefix, attributes: &Arc<Attributes>) -> Result<(), Unsendable> {
        let Some(terms) = &self.terms else { return Ok(()) };
        match self.announces.entry((prefix.family(), Arc::clone(attributes))) {
            Entry::Occupied(mut batch) => {
                batch.get_mut().prefixes.insert(prefix);
            }
            Entry::Vacant(free) => {
                let block = Block::new(attributes, terms, prefix.family())?;
                free.insert(Batch { block, prefixes: BTreeSet::from([prefix]) });
            }
        }
        Ok(())
    }

    /// A prefix waits at most once: to be withdrawn, or with the attributes that the table shows.
    fn dequeue(&mut self, prefix: Prefix) {
        self.withdraws.remove(&prefix);
        let Some(attributes) = self.view.get(&prefix).and_then(|entry| entry.attributes.clone()) else { return };
        if let Entry::Occupied(mut batch) = self.announces.entry((prefix.family(), attributes)) {
            batch.get_mut().prefixes.remove(&prefix);
            if batch.get().prefixes.is_empty() {
                batch.remove();
            }
        }
    }

    fn hand_out(
        &mut self,
        message: &Bytes,
        mut prefixes: Vec<Prefix>,
        attributes: Option<&Arc<Attributes>>,
        after: u64,
        now: Instant,
    ) {
        let end = after.saturating_add(message.len() as u64);
        if let Some(first) = prefixes.first() {
            self.refreshed.remove(&first.family());
        }
        // A repetition changes nothing of what the neighbor holds, and nobody waits for it: those who ask again and again pile up
        // nothing.
        prefixes.retain(|prefix| !self.repeats(*prefix, attributes));
        for prefix in &prefixes {
            let said = Advertised { attributes: attributes.cloned(), progress: Progress::Queued, since: now };
            let next_hop = attributes.and(self.next_hop(*prefix));
            self.sent.insert(*prefix, Sent { said, next_hop, end, again: false });
        }
        if !prefixes.is_empty() {
            self.unwritten.push_back(InFlight { end, prefixes });
        }
    }

    /// Whether this is what the neighbor asked for again and holds already; then it has it.
    fn repeats(&mut self, prefix: Prefix, attributes: Option<&Arc<Attributes>>) -> bool {
        let next_hop = self.next_hop(prefix);
        let asked = |sent: &&mut Sent| sent.again && sent.next_hop == next_hop;
        let Some(sent) = self.sent.get_mut(&prefix).filter(asked) else { return false };
        match (&sent.said.attributes, attributes) {
            (Some(held), Some(attributes)) if same(held, attributes) => {
                sent.again = false;
                true
            }
            _ => false,
        }
    }

    /// The UPDATE came as far as `progress`: so did every prefix of which it is the last that was said.
    fn advance(&mut self, update: &InFlight, progress: Progress, now: Instant) {
        for prefix in &update.prefixes {
            let next_hop = self.next_hop(*prefix);
            let Some(sent) = self.sent.get_mut(prefix).filter(|sent| sent.end == update.end) else { continue };
            sent.said.progress = progress;
            sent.said.since = now;
            let said = sent.said.clone();
            // With another next hop than the one in force it is not what the table shows.
            let current = said.attributes.is_none() || sent.next_hop == next_hop;
            let shown = current && self.view.get(prefix).is_some_and(|entry| entry.attributes == said.attributes);
            let gone = progress == Progress::Acked && said.attributes.is_none();
            if gone {
                self.sent.remove(prefix);
            }
            if shown {
                self.show(*prefix, (!gone).then_some(said));
            }
        }
    }

    /// The next hop in force.
    fn next_hop(&self, prefix: Prefix) -> Option<NextHop> {
        self.terms.as_ref()?.next_hop(prefix.family())
    }

    fn show(&mut self, prefix: Prefix, entry: Option<Advertised>) {
        let before = match &entry {
            Some(entry) => self.view.insert(prefix, entry.clone()),
            None => self.view.remove(&prefix),
        };
        self.changed |= before != entry;
    }
}

/// The next UPDATE that ends no later than `total`.
fn pop_until(updates: &mut VecDeque<InFlight>, total: u64) -> Option<InFlight> {
    updates.front().is_some_and(|update| update.end <= total).then(|| updates.pop_front()).flatten()
}

fn same(one: &Arc<Attributes>, other: &Arc<Attributes>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

#[cfg(test)]
mod tests;
