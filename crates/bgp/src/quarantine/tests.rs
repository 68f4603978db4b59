use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

fn attributes(med: u32) -> Arc<Attributes> {
    Arc::new(Attributes { med: Some(med), ..Attributes::default() })
}

fn prefix(number: usize) -> Prefix {
    format!("10.{}.{}.0/24", number / 256, number % 256).parse().expect("a prefix")
}

fn malformed(subcode: u8) -> Notification {
    Notification::new(3, subcode, &[])
}

/// A neighbor that refuses some routes, and us with our quarantine, on a clock that is turned by hand.
struct World {
    quarantine: Quarantine,
    desired: Routes,
    refuses: Box<dyn Fn(&Route) -> bool>,
    now: Instant,
    sessions: usize,
}

impl World {
    /// `meds[n]` is what tells the attributes of the n-th prefix.
    fn new(meds: &[u32], refuses: impl Fn(&Route) -> bool + 'static) -> Self {
        let desired = meds.iter().enumerate().map(|(number, med)| (prefix(number), attributes(*med))).collect();
        let (quarantine, now) = (Quarantine::default(), Instant::now());
        Self { quarantine, desired, refuses: Box::new(refuses), now, sessions: 0 }
    }

    fn held(&self) -> BTreeSet<Prefix> {
        self.quarantine.held_back(&self.desired).into_keys().collect()
    }

    fn told(&self) -> Vec<Route> {
        let held = self.held();
        let told = self.desired.iter().filter(|(prefix, _)| !held.contains(prefix));
        told.map(|(prefix, attributes)| (*prefix, Arc::clone(attributes))).collect()
    }

    /// One session, until the neighbor ends it (true) or nothing moves any more within `time`.
    fn session(&mut self, subcode: u8, time: Duration) -> bool {
        self.sessions += 1;
        let (mut acked, end) = (BTreeMap::new(), self.now + time);
        loop {
            let told = self.told();
            acked.retain(|route, _| told.contains(route));
            for route in &told {
                acked.entry(route.clone()).or_insert(self.now);
            }
            if told.iter().any(&self.refuses) {
                self.now += SECOND;
                let told: Vec<_> = acked
                    .iter()
                    .map(|(route, acked)| Told { route: route.clone(), acked: Some(*acked), quoted: false })
                    .collect();
                self.quarantine.handle_refused(&malformed(subcode), &told, self.now);
                return true;
            }
            let standing = |route: &Route| acked.get(route).map_or(Standing::Absent, |acked| Standing::Acked(*acked));
            if self.quarantine.step(true, standing, self.now) {
                continue;
            }
            match self.quarantine.poll_timeout().filter(|at| *at <= end) {
                Some(at) => {
                    assert!(at > self.now, "it is due again at once");
                    self.now = at;
                }
                None => {
                    self.now = end;
                    let told: Vec<_> = acked
                        .into_iter()
                        .map(|(route, acked)| Told { route, acked: Some(acked), quoted: false })
                        .collect();
                    self.quarantine.handle_ended(&told, self.now);
                    return false;
                }
            }
        }
    }

    /// Sessions until one lasts.
    fn settle(&mut self) {
        while self.session(5, HOUR / 2) {
            assert!(self.sessions < 2_000, "it never ends");
        }
    }

    fn news(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.quarantine.poll_event()).map(|event| event.to_string()).collect()
    }
}

fn prefixes(numbers: impl IntoIterator<Item = usize>) -> BTreeSet<Prefix> {
    numbers.into_iter().map(prefix).collect()
}

#[test]
fn the_same_refusal_twice_holds_the_route_back() {
    let mut world = World::new(&[1], |_| true);
    assert!(world.session(5, HOUR));
    assert_eq!(world.held(), prefixes([]), "once may be chance");
    assert!(world.session(5, HOUR));
    assert_eq!(world.held(), prefixes([0]));
    let why = world.quarantine.held_back(&world.desired).remove(&prefix(0)).expect("held");
    assert_eq!(why, Quarantined { notification: malformed(5), until: Some(world.now + HOUR) });
    assert!(!world.session(5, HOUR / 2), "and the session stays");
    assert_eq!(
        world.news(),
        [
            "quarantine: 10.0.0.0/24 held back for 1 h, refused with NOTIFICATION 3/5 (UPDATE Message Error, Attribute Length Error)"
        ]
    );
}

#[test]
fn with_another_next_hop_it_is_another_route() {
    let hop = |text: &str| Some(NextHop::Ipv4(text.parse().expect("an address")));
    let mut world = World::new(&[1, 2], |(refused, _)| *refused == prefix(0));
    let tell = |world: &mut World, next_hop| {
        world.quarantine.handle_next_hop(Family::Ipv4Unicast, next_hop, world.now);
        (world.held(), world.news())
    };
    tell(&mut world, hop("192.0.2.1"));
    while world.session(10, HOUR / 2) {}
    assert_eq!((world.held(), world.news().len()), (prefixes([0]), 2), "that it is searched, and found");

    let released = vec!["quarantine: 10.0.0.0/24 announced again".to_owned()];
    assert_eq!(tell(&mut world, hop("192.0.2.9")), (prefixes([]), released));
    assert_eq!(tell(&mut world, None), (prefixes([]), vec![]), "a session that is down says nothing of it");
    let (held, news) = tell(&mut world, hop("192.0.2.1"));
    assert_eq!((held, news.len()), (prefixes([0]), 1), "what it refused it would refuse again: {news:?}");
    assert!(news[0].starts_with("quarantine: 10.0.0.0/24 held back for 30 min, "), "what is left of it: {news:?}");

    // One refusal with each of two next hops are not two of the same.
    let mut world = World::new(&[1], |_| true);
    for next_hop in ["192.0.2.1", "192.0.2.9", "192.0.2.1"] {
        tell(&mut world, hop(next_hop));
        assert!(world.session(10, HOUR));
        assert_eq!(world.held(), prefixes([]));
    }
    assert!(world.session(10, HOUR));
    assert_eq!(world.held(), prefixes([0]));
}

#[test]
fn refusals_of_two_kinds_are_not_the_same() {
    let mut world = World::new(&[1], |_| true);
    for subcode in [5, 6, 5, 6] {
        assert!(world.session(subcode, HOUR));
        assert_eq!(world.held(), prefixes([]));
    }
    assert!(world.session(6, HOUR));
    assert_eq!(world.held(), prefixes([0]));
}

#[test]
fn one_of_many_is_found_and_the_others_are_told() {
    let meds: Vec<u32> = (0..64).collect();
    let mut world = World::new(&meds, |(_, attributes)| attributes.med == Some(37));
    world.settle();
    assert_eq!(world.held(), prefixes([37]));
    assert!(world.sessions <= 2 + 6 + 1, "{} sessions", world.sessions);
}

/// A set of attributes that is refused is refused with every prefix: nobody wants to wait until each was found.
#[test]
fn attributes_that_are_refused_go_as_a_whole() {
    let meds: Vec<u32> = (0..300).map(|number| u32::from(number >= 100)).collect();
    let mut world = World::new(&meds, |(_, attributes)| attributes.med == Some(1));
    world.settle();
    assert_eq!(world.held(), prefixes(100..300));
    assert!(world.sessions <= 6, "{} sessions", world.sessions);
}

#[test]
fn one_prefix_among_its_like_is_found() {
    let mut world = World::new(&[0; 64], |(bad, _)| *bad == prefix(11));
    world.settle();
    assert_eq!(world.held(), prefixes([11]));
}

#[test]
fn what_worked_is_no_suspect() {
    let mut world = World::new(&[0, 1, 2], |(_, attributes)| attributes.med == Some(9));
    assert!(!world.session(5, HOUR));
    world.desired.insert(prefix(3), attributes(9));
    assert!(world.session(5, HOUR) && world.session(5, HOUR));
    assert_eq!(world.held(), prefixes([3]), "without a search");
    assert_eq!(world.sessions, 3);
}

/// A router whose rules were changed refuses what it took before.
#[test]
fn what_worked_is_a_suspect_when_there_is_no_other() {
    let mut world = World::new(&[0, 1], |_| false);
    assert!(!world.session(5, HOUR));
    world.refuses = Box::new(|(_, attributes)| attributes.med == Some(1));
    world.settle();
    assert_eq!(world.held(), prefixes([1]));
}

#[test]
fn the_time_doubles_with_each_offence_and_the_second_needs_no_proof() {
    let mut world = World::new(&[0, 1], |(_, attributes)| attributes.med == Some(1));
    world.settle();
    for hours in [2, 4, 8, 16, 24, 24] {
        let before = world.sessions;
        assert!(world.session(5, 48 * HOUR), "it is told again");
        assert_eq!((world.held(), world.sessions), (prefixes([1]), before + 1), "one session each");
        let until = world.quarantine.held_back(&world.desired)[&prefix(1)].until;
        assert_eq!(until, Some(world.now + hours * HOUR));
    }
    world.refuses = Box::new(|_| false);
    assert!(!world.session(5, 48 * HOUR));
    assert_eq!(world.held(), prefixes([]));
    world.refuses = Box::new(|(_, attributes)| attributes.med == Some(1));
    world.settle();
    let until = world.quarantine.held_back(&world.desired)[&prefix(1)].until;
    assert!(until.is_some_and(|until| until <= world.now + HOUR), "an offence of old is forgiven");
}

#[test]
fn other_attributes_are_another_route_and_the_old_ones_are_remembered() {
    let mut world = World::new(&[1], |(_, attributes)| attributes.med == Some(1));
    world.settle();
    world.desired.insert(prefix(0), attributes(2));
    world.quarantine.handle_desired(&world.desired);
    assert_eq!(world.held(), prefixes([]));
    world.desired.insert(prefix(0), attributes(1));
    world.quarantine.handle_desired(&world.desired);
    assert_eq!(world.held(), prefixes([0]));
}

#[test]
fn a_notification_that_quotes_the_attribute_spares_the_search() {
    let (mut quarantine, now) = (Quarantine::default(), Instant::now());
    let told: Vec<_> = (0..50)
        .map(|number| Told { route: (prefix(number), attributes(0)), acked: None, quoted: number == 7 })
        .collect();
    let desired: Routes = told.iter().map(|told| told.route.clone()).collect();
    quarantine.handle_refused(&malformed(4), &told, now);
    quarantine.handle_refused(&malformed(4), &told, now);
    assert_eq!(quarantine.held_back(&desired).into_keys().collect::<Vec<_>>(), [prefix(7)]);
}

#[test]
fn a_session_that_carried_no_route_blames_none() {
    let (mut quarantine, now) = (Quarantine::default(), Instant::now());
    for _ in 0..3 {
        quarantine.handle_refused(&malformed(1), &[], now);
    }
    assert!(quarantine.is_idle() && quarantine.poll_event().is_none());
}

#[test]
fn what_is_not_desired_any_more_is_not_searched_for() {
    let meds: Vec<u32> = (0..16).collect();
    let mut world = World::new(&meds, |(_, attributes)| attributes.med == Some(3));
    assert!(world.session(5, HOUR) && world.session(5, HOUR));
    assert_eq!(world.held().len(), 8);
    world.desired.clear();
    world.quarantine.handle_desired(&world.desired);
    world.settle();
    world.desired = meds.iter().map(|med| (prefix(usize::try_from(*med).unwrap()), attributes(*med + 100))).collect();
    world.settle();
    assert_eq!(world.held(), prefixes([]));
}

#[test]
fn an_operator_releases_at_once() {
    let mut world = World::new(&[0, 1], |(_, attributes)| attributes.med == Some(1));
    world.settle();
    world.quarantine.handle_release(|wanted| *wanted == prefix(0), world.now);
    assert_eq!(world.held(), prefixes([1]));
    world.quarantine.handle_release(|wanted| *wanted == prefix(1), world.now);
    assert_eq!(world.held(), prefixes([]));
    assert!(world.session(5, HOUR));
    assert_eq!(world.held(), prefixes([1]), "the neighbor is as it was");
    world.refuses = Box::new(|_| false);
    world.quarantine.handle_release(|_| true, world.now);
    assert!(!world.session(5, HOUR));
    assert_eq!((world.held(), world.quarantine.is_idle()), (prefixes([]), true));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever is refused, for its attributes or for itself, and whatever comes and goes meanwhile: in the end a session lasts, all
    /// that is refused is held back, and nothing else but routes that share their attributes with two that are refused.
    #[test]
    fn in_the_end_a_session_lasts_and_only_what_is_refused_is_held(
        meds in proptest::collection::vec(0_u32..12, 1..60),
        bad_meds in proptest::collection::btree_set(0_u32..12, 0..3),
        bad_numbers in proptest::collection::btree_set(0_usize..60, 0..3),
        changes in proptest::collection::vec((0_usize..60, proptest::option::of(0_u32..12)), 0..12),
    ) {
        let bad_prefixes = prefixes(bad_numbers);
        let refuses = move |(prefix, attributes): &Route| {
            bad_prefixes.contains(prefix) || attributes.med.is_some_and(|med| bad_meds.contains(&med))
        };
        let mut world = World::new(&meds, refuses.clone());
        for (number, med) in changes {
            world.session(5, HOUR / 4);
            match med {
                Some(med) => world.desired.insert(prefix(number), attributes(med)),
                None => world.desired.remove(&prefix(number)),
            };
            world.quarantine.handle_desired(&world.desired);
        }
        world.settle();
        let held = world.held();
        for (prefix, attributes) in &world.desired {
            let bad = refuses(&(*prefix, Arc::clone(attributes)));
            if bad {
                prop_assert!(held.contains(prefix), "{prefix} is told");
            } else if held.contains(prefix) {
                let like = world.desired.iter().filter(|(_, other)| *other == attributes);
                let bad = like.filter(|(prefix, other)| refuses(&(**prefix, Arc::clone(other)))).count();
                prop_assert!(bad > 1, "{prefix} is held back for nothing");
            }
        }
    }
}
