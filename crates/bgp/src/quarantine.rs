//! Routes that a neighbor must not be told of, because it ends the session when it is.
//!
//! A speaker that announces the same route after every reset to a neighbor that refuses it loses all its routes there, for ever. So
//! when the same NOTIFICATION of an UPDATE Message Error ends two sessions in a row, the routes that were under way both times are
//! suspects. They are held back by halves, one test after the other, until those that the neighbor refuses are found and the others
//! are proven. A route that was taken before is no suspect as long as there are others.
//!
//! What is found is held back until its attributes or its next hop change, or a time has passed that doubles with each offence.

mod search;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    attributes::{Attributes, Routes},
    handover,
    notification::Notification,
    terms::NextHop,
    types::{Family, Prefix},
};
use search::{Group, Search};

/// A neighbor that holds a route for so long, acknowledged, has taken it: routers judge UPDATEs as they read them.
const TAKEN: Duration = Duration::from_secs(10);
/// How long a route is held back the first time, and at most.
const FIRST: Duration = Duration::from_secs(3_600);
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// What the neighbor may refuse: a prefix with just these attributes.
pub(crate) type Route = (Prefix, Arc<Attributes>);

/// Why a route is held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// How the neighbor ended the session when it was told.
    pub notification: Notification,
    /// When it is told again; `None`: it is one of several suspects that are tried in turn.
    pub until: Option<Instant>,
}

impl fmt::Display for Quarantined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let notification = &self.notification;
        match self.until {
            Some(_) => write!(
                f,
                "in quarantine: the neighbor ends the session with NOTIFICATION {notification} whenever it is told; change its attributes \
                 or its next hop, or mend the neighbor"
            ),
            None => write!(
                f,
                "held back for the moment: the neighbor ends the session with NOTIFICATION {notification}, and it is found out for \
                 which route"
            ),
        }
    }
}

/// What became of routes that a neighbor refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuarantineEvent {
    /// So many routes are tried in turn.
    Searching(Notification, usize),
    /// These are held back for so long.
    Held(Notification, BTreeSet<Prefix>, Duration),
    /// These are told again.
    Released(BTreeSet<Prefix>),
    /// Every suspect was taken: whatever the neighbor refused, it refuses no more.
    Cleared,
}

impl fmt::Display for QuarantineEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Searching(notification, suspects) => write!(
                f,
                "quarantine: ended twice with NOTIFICATION {notification}; {suspects} routes are tried in turn to find what it refuses"
            ),
            Self::Held(notification, prefixes, time) => write!(
                f,
                "quarantine: {} held back for {}, refused with NOTIFICATION {notification}",
                list(prefixes),
                in_words(*time)
            ),
            Self::Released(prefixes) => write!(f, "quarantine: {} announced again", list(prefixes)),
            Self::Cleared => f.write_str("quarantine: every suspect was taken, nothing is held back"),
        }
    }
}

/// `2 h`; what is left of a time that has begun is no whole number of them.
fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds % 3_600 == 0 => format!("{} h", seconds / 3_600),
        seconds => format!("{} min", seconds.div_ceil(60)),
    }
}

/// The first few by name.
fn list(prefixes: &BTreeSet<Prefix>) -> String {
    const NAMED: usize = 8;
    let mut named: Vec<_> = prefixes.iter().take(NAMED).map(ToString::to_string).collect();
    if prefixes.len() > NAMED {
        named.push(format!("{} more", prefixes.len() - NAMED));
    }
    named.join(", ")
}

/// A route that was told over the connection that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) route: Route,
    /// Since when it was acknowledged; `None`: not yet.
    pub(crate) acked: Option<Instant>,
    /// The NOTIFICATION quotes some of its attributes.
    pub(crate) quoted: bool,
}

/// How far a route has come at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// On its way.
    Pending,
    /// Acknowledged.
    Acked(Instant),
    /// It is not desired, or cannot be sent.
    Absent,
}

/// A route that was found to be refused.
#[derive(Debug)]
struct Sentence {
    notification: Notification,
    times: u32,
    until: Instant,
    /// With which it was refused: with another it is another route.
    next_hop: Option<NextHop>,
    /// Its time is over; it is told again, and the next refusal needs no second proof.
    probation: bool,
}

impl Sentence {
    /// Whether the prefix is told with the next hop that was refused.
    fn is_in_force(&self, prefix: Prefix, next_hops: &BTreeMap<Family, NextHop>) -> bool {
        self.next_hop.as_ref() == next_hops.get(&prefix.family())
    }
}

/// What ended the last session that was refused, and what was under way.
#[derive(Debug)]
struct Strike {
    notification: Notification,
    suspects: BTreeSet<Route>,
}

#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    sentences: BTreeMap<Route, Sentence>,
    strike: Option<Strike>,
    search: Option<Search>,
    /// What the neighbor has taken.
    proven: BTreeSet<Route>,
    timeout: Option<Instant>,
    news: VecDeque<QuarantineEvent>,
    /// What the routes are told with.
    next_hops: BTreeMap<Family, NextHop>,
}

impl Quarantine {
    /// The routes of a family are told with this next hop from now on, if there is one. With another than before nothing is known of
    /// them that was found out: they are neither proven nor suspects. What was refused with this very one stays so.
    pub(crate) fn handle_next_hop(&mut self, family: Family, next_hop: Option<NextHop>, now: Instant) {
        let Some(next_hop) = next_hop else { return };
        let Some(before) = self.next_hops.insert(family, next_hop).filter(|before| *before != next_hop) else { return };
        let other = |(prefix, _): &Route| prefix.family() != family;
        self.proven.retain(other);
        if let Some(strike) = &mut self.strike {
            strike.suspects.retain(other);
        }
        if let Some(search) = &mut self.search {
            search.retain(other);
        }
        let with = |hop: NextHop| {
            let held = move |(route, sentence): &(&Route, &Sentence)| {
                !other(route) && !sentence.probation && sentence.next_hop == Some(hop)
            };
            self.sentences.iter().filter(held)
        };
        let released: BTreeSet<Prefix> = with(before).map(|((prefix, _), _)| *prefix).collect();
        let held = with(next_hop).map(|((prefix, _), held)| (held.notification.clone(), *prefix, held.until));
        let held: Vec<_> = held.collect();
        if !released.is_empty() {
            self.news.push_back(QuarantineEvent::Released(released));
        }
        for (notification, prefix, until) in held {
            let left = until.saturating_duration_since(now);
            self.news.push_back(QuarantineEvent::Held(notification, BTreeSet::from([prefix]), left));
        }
    }

    /// What was found, for another process.
    pub(crate) fn hand_over(&self, now: Instant) -> Vec<handover::Sentence> {
        let sentence = |((prefix, attributes), sentence): (&Route, &Sentence)| handover::Sentence {
            prefix: *prefix,
            attributes: (**attributes).clone(),
            next_hop: sentence.next_hop,
            notification: {
                let Notification { code, subcode, data } = &sentence.notification;
                (*code, *subcode, data.to_vec())
            },
            times: sentence.times,
            left: sentence.until.saturating_duration_since(now),
            probation: sentence.probation,
        };
        self.sentences.iter().map(sentence).collect()
    }

    /// What another process has found.
    pub(crate) fn take_over(&mut self, found: &[handover::Sentence], now: Instant) {
        let sentence = |from: &handover::Sentence| {
            let (code, subcode, data) = &from.notification;
            let sentence = Sentence {
                notification: Notification::new(*code, *subcode, data),
                times: from.times,
                until: now + from.left.min(LONGEST),
                next_hop: from.next_hop,
                probation: from.probation,
            };
            ((from.prefix, Arc::new(from.attributes.clone())), sentence)
        };
        self.sentences.extend(found.iter().map(sentence));
        self.timeout = self.next_release();
    }

    /// The neighbor ended the session because of an UPDATE.
    pub(crate) fn handle_refused(&mut self, notification: &Notification, told: &[Told], now: Instant) {
        let suspects = self.suspects(told, now);
        self.learn(told, now);
        if suspects.is_empty() || self.sentence_again(notification, &suspects, now) {
            return;
        }
        if let Some(search) = &mut self.search {
            let found = search.refused(&suspects);
            self.hold(found, now);
            return;
        }
        let both = match self.strike.take() {
            Some(last) if same(&last.notification, notification) => &last.suspects & &suspects,
            Some(_) | None => BTreeSet::new(),
        };
        if both.is_empty() {
            self.strike = Some(Strike { notification: notification.clone(), suspects });
            return;
        }
        if both.len() > 1 {
            self.news.push_back(QuarantineEvent::Searching(notification.clone(), both.len()));
        }
        let (search, found) = Search::new(notification.clone(), both);
        self.search = Some(search);
        self.hold(found, now);
    }

    /// The session ended otherwise: that proves nothing against anybody.
    pub(crate) fn handle_ended(&mut self, told: &[Told], now: Instant) {
        self.learn(told, now);
    }

    /// What is desired has changed: nobody needs to find out about what is gone.
    pub(crate) fn handle_desired(&mut self, desired: &Routes) {
        let wanted = |(prefix, attributes): &Route| desired.get(prefix).is_some_and(|wanted| wanted == attributes);
        self.proven.retain(wanted);
        if let Some(search) = &mut self.search {
            search.retain(wanted);
        }
    }

    /// Looks at the routes of a session that is up, and at the clock. True: something may be told now that could not before.
    pub(crate) fn step(&mut self, established: bool, standing: impl Fn(&Route) -> Standing, now: Instant) -> bool {
        self.timeout = None;
        if self.is_idle() {
            return false;
        }
        let released = self.release(now);
        let probation = self.end_probation(established, &standing, now);
        let searched = match self.advance_search(established, &standing, now) {
            Advance::Moved => return true,
            Advance::Wait(until) => until,
        };
        self.timeout = self.next_release().into_iter().chain(probation).chain(searched).min();
        released
    }

    /// An operator wants these to be told again, before their time.
    pub(crate) fn handle_release(&mut self, wanted: impl Fn(&Prefix) -> bool, now: Instant) {
        for ((prefix, _), sentence) in &mut self.sentences {
            if wanted(prefix) {
                sentence.until = sentence.until.min(now);
            }
        }
        self.release(now);
    }

    /// What of the desired routes is not to be told.
    pub(crate) fn held_back(&self, desired: &Routes) -> BTreeMap<Prefix, Quarantined> {
        let in_force = |((prefix, _), sentence): &(&Route, &Sentence)| {
            !sentence.probation && sentence.is_in_force(*prefix, &self.next_hops)
        };
        let sentenced = self.sentences.iter().filter(in_force).map(|(route, sentence)| {
            (route, Quarantined { notification: sentence.notification.clone(), until: Some(sentence.until) })
        });
        let waiting = self.search.iter().flat_map(|search| {
            let why = Quarantined { notification: search.notification.clone(), until: None };
            search.waiting().map(move |route| (route, why.clone()))
        });
        // A sentence says more than a suspicion, and stands last.
        let wanted =
            |((prefix, attributes), _): &(&Route, _)| desired.get(prefix).is_some_and(|wanted| wanted == attributes);
        waiting.chain(sentenced).filter(wanted).map(|((prefix, _), why)| (*prefix, why)).collect()
    }

    /// What happened since this was last asked.
    pub(crate) fn poll_event(&mut self) -> Option<QuarantineEvent> {
        self.news.pop_front()
    }

    /// When [`Self::step`] is due.
    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.timeout
    }

    fn is_idle(&self) -> bool {
        self.sentences.is_empty() && self.search.is_none()
    }

    /// Who it may have been. The order of the choices keeps what worked out of it as long as it can.
    fn suspects(&self, told: &[Told], now: Instant) -> BTreeSet<Route> {
        let quoted = told.iter().any(|told| told.quoted);
        let fresh = |told: &&Told| told.acked.is_none_or(|acked| acked + TAKEN > now);
        let unproven = |told: &&Told| !self.proven.contains(&told.route);
        let among = |choice: &dyn Fn(&&Told) -> bool| -> BTreeSet<Route> {
            let named = told.iter().filter(|told| told.quoted || !quoted);
            named.filter(choice).map(|told| told.route.clone()).collect()
        };
        let choices: [&dyn Fn(&&Told) -> bool; 3] = [&|told| fresh(told) && unproven(told), &fresh, &|_| true];
        choices.into_iter().map(among).find(|suspects| !suspects.is_empty()).unwrap_or_default()
    }

    fn learn(&mut self, told: &[Told], now: Instant) {
        let taken = told.iter().filter(|told| told.acked.is_some_and(|acked| acked + TAKEN <= now));
        self.proven.extend(taken.map(|told| told.route.clone()));
    }

    /// Routes on probation are the first to be blamed.
    fn sentence_again(&mut self, notification: &Notification, suspects: &BTreeSet<Route>, now: Instant) -> bool {
        let again = |route: &&Route| self.sentences.get(*route).is_some_and(|sentence| sentence.probation);
        let again: Group = suspects.iter().filter(again).cloned().collect();
        let blamed = !again.is_empty();
        self.sentence(notification, again, now);
        blamed
    }

    fn hold(&mut self, found: Group, now: Instant) {
        let Some(search) = &self.search else { return };
        let notification = search.notification.clone();
        let over = search.is_over();
        let cleared = over && search.found_nothing() && found.is_empty();
        self.sentence(&notification, found, now);
        if cleared {
            self.news.push_back(QuarantineEvent::Cleared);
        }
        if over {
            self.search = None;
        }
    }

    fn sentence(&mut self, notification: &Notification, found: Group, now: Instant) {
        let mut terms: BTreeMap<Duration, BTreeSet<Prefix>> = BTreeMap::new();
        for route in found {
            let next_hop = self.next_hops.get(&route.0.family()).copied();
            let before = self.sentences.get(&route).filter(|sentence| sentence.next_hop == next_hop);
            let times = before.map_or(0, |sentence| sentence.times) + 1;
            let term = FIRST.saturating_mul(1 << (times - 1).min(8)).min(LONGEST);
            terms.entry(term).or_default().insert(route.0);
            self.proven.remove(&route);
            let until = now + term;
            let sentence = Sentence { notification: notification.clone(), times, until, next_hop, probation: false };
            self.sentences.insert(route, sentence);
        }
        let held = |(term, prefixes)| QuarantineEvent::Held(notification.clone(), prefixes, term);
        self.news.extend(terms.into_iter().map(held));
        self.timeout = self.next_release();
    }

    fn next_release(&self) -> Option<Instant> {
        self.sentences.values().filter(|sentence| !sentence.probation).map(|sentence| sentence.until).min()
    }

    /// Whether the time of any was over.
    fn release(&mut self, now: Instant) -> bool {
        let mut released = BTreeSet::new();
        let hops = &self.next_hops;
        self.sentences.retain(|(prefix, _), sentence| {
            if sentence.probation || now < sentence.until {
                return true;
            }
            // What is told with another next hop meanwhile is not told again.
            let told_again = sentence.is_in_force(*prefix, hops);
            if told_again {
                sentence.probation = true;
                released.insert(*prefix);
            }
            told_again
        });
        let any = !released.is_empty();
        if any {
            self.news.push_back(QuarantineEvent::Released(released));
        }
        any
    }

    /// What was taken after all is forgotten; so is what nobody wanted told for a long time. Gives when to look again.
    fn end_probation(
        &mut self,
        established: bool,
        standing: &impl Fn(&Route) -> Standing,
        now: Instant,
    ) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let proven = &mut self.proven;
        self.sentences.retain(|route, sentence| {
            if !sentence.probation {
                return true;
            }
            match standing(route) {
                Standing::Acked(since) if established && since + TAKEN <= now => {
                    proven.insert(route.clone());
                    false
                }
                Standing::Acked(since) if established => {
                    next = [next, Some(since + TAKEN)].into_iter().flatten().min();
                    true
                }
                Standing::Acked(_) | Standing::Pending | Standing::Absent => sentence.until + LONGEST > now,
            }
        });
        next
    }

    /// Whether what is on test was taken, so that the next is, or the search is over; else when to look again.
    fn advance_search(&mut self, established: bool, standing: &impl Fn(&Route) -> Standing, now: Instant) -> Advance {
        let Some(search) = self.search.as_mut().filter(|_| established) else { return Advance::Wait(None) };
        let mut passes = now;
        for route in search.on_test() {
            match standing(route) {
                Standing::Pending => return Advance::Wait(None),
                Standing::Acked(since) => passes = passes.max(since + TAKEN),
                Standing::Absent => {}
            }
        }
        if passes > now {
            return Advance::Wait(Some(passes));
        }
        self.proven.extend(search.on_test().cloned());
        let found = search.passed();
        self.hold(found, now);
        Advance::Moved
    }
}

/// What became of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Advance {
    Moved,
    Wait(Option<Instant>),
}

/// What is the same to one who asks whether the neighbor says the same again.
fn same(one: &Notification, other: &Notification) -> bool {
    let subcode = |notification: &Notification| notification.update_error().map(|(subcode, _)| subcode);
    subcode(one) == subcode(other)
}

#[cfg(test)]
mod tests;
