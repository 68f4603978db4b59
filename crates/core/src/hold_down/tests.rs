use std::num::NonZeroU16;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Three flaps in a minute, ten seconds, two minutes.
fn times() -> HoldDownTimes {
    HoldDownTimes {
        flaps: NonZeroU16::new(3).unwrap(),
        within: SECOND * 60,
        initial: SECOND * 10,
        max: SECOND * 120,
        on_hold: OnHold::Withdraw,
    }
}

/// A second of the life of a service.
struct Life {
    hold_down: HoldDown,
    now: Instant,
}

impl Life {
    fn new() -> Self {
        let mut life = Self { hold_down: HoldDown::new(Some(times())), now: Instant::now() };
        life.is(Health::Up);
        life
    }

    fn is(&mut self, health: Health) {
        self.hold_down.handle_health(health, self.now);
    }

    /// Down and up again, in no time.
    fn flap(&mut self) {
        self.is(Health::Down);
        self.is(Health::Up);
    }

    /// Flaps until it is held; for how long, in seconds.
    fn flap_until_held(&mut self) -> u64 {
        while self.left().is_none() {
            self.flap();
            self.pass(1);
        }
        self.left().unwrap() + 1
    }

    fn pass(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.now += SECOND;
            self.hold_down.handle_timeout(self.now);
        }
    }

    /// How many seconds it is held for.
    fn left(&self) -> Option<u64> {
        self.hold_down.held().map(|hold| hold.until.duration_since(self.now).as_secs())
    }
}

#[test]
fn the_last_of_so_many_flaps_begins_a_hold() {
    let mut life = Life::new();
    life.flap();
    life.flap();
    assert_eq!(life.left(), None);
    life.flap();
    assert_eq!(life.left(), Some(10));
    let hold = life.hold_down.held().unwrap();
    assert_eq!((hold.flaps, hold.within, hold.degrades), (3, SECOND * 60, false));
    life.pass(9);
    assert_eq!(life.left(), Some(1));
    life.pass(1);
    assert_eq!(life.left(), None);
    assert_eq!(life.hold_down.counts(), (3, 1));
}

#[test]
fn flaps_that_are_far_apart_begin_none() {
    let mut life = Life::new();
    for _ in 0..10 {
        life.flap();
        life.pass(30);
    }
    assert_eq!((life.left(), life.hold_down.counts()), (None, (10, 0)));
}

#[test]
fn each_hold_is_twice_as_long_until_it_is_as_long_as_any_may_be() {
    let mut life = Life::new();
    let mut lengths = Vec::new();
    for _ in 0..6 {
        lengths.push(life.flap_until_held());
        life.pass(120);
    }
    assert_eq!(lengths, [10, 20, 40, 80, 120, 120]);
}

#[test]
fn a_quiet_time_halves_the_next_hold_and_another_halves_it_again() {
    let mut life = Life::new();
    for _ in 0..3 {
        life.flap_until_held();
        life.pass(40);
    }
    let next = |life: &Life| life.hold_down.next().unwrap().as_secs();
    assert_eq!(next(&life), 80);
    life.pass(90);
    life.flap();
    life.pass(110);
    assert_eq!(next(&life), 80, "one flap is no quiet");
    life.pass(10);
    assert_eq!(next(&life), 40);
    life.pass(120 + 120);
    assert_eq!(next(&life), 10);
    assert_eq!(life.hold_down.poll_timeout(), None, "all is forgotten");
}

#[test]
fn whoever_flaps_on_while_it_is_held_is_held_on() {
    let mut life = Life::new();
    life.flap_until_held();
    life.pass(5);
    life.flap();
    life.flap();
    life.flap();
    assert_eq!(life.left(), Some(4), "the hold under way keeps its end");
    life.pass(4);
    assert_eq!(life.left(), Some(20), "and the next one follows at once");
}

#[test]
fn a_flap_is_from_serving_to_down_by_the_checks_and_nothing_else_is() {
    use Health::{Degraded, Down, Unknown, Up};
    let table: [(&[Health], u64); 6] = [
        (&[Up, Down, Down, Unknown, Down], 1),
        (&[Up, Degraded, Up, Degraded], 0),
        (&[Degraded, Down], 1),
        (&[Unknown, Down, Unknown, Down], 0),
        (&[Up, Unknown, Up], 0),
        (&[Up, Unknown, Down], 1),
    ];
    for (healths, flaps) in table {
        let mut hold_down = HoldDown::new(Some(times()));
        healths.iter().for_each(|health| hold_down.handle_health(*health, Instant::now()));
        assert_eq!(hold_down.counts().0, flaps, "{healths:?}");
    }
}

#[test]
fn what_goes_down_in_a_maintenance_was_meant_to() {
    let mut life = Life::new();
    life.hold_down.handle_maintenance(true);
    life.flap();
    life.is(Health::Down);
    life.hold_down.handle_maintenance(false);
    assert_eq!(life.hold_down.counts().0, 0);
    life.is(Health::Down);
    assert_eq!(life.hold_down.counts().0, 0, "it was down when the maintenance ended");
    life.flap();
    life.is(Health::Down);
    assert_eq!(life.hold_down.counts().0, 1, "and then all is as ever");
}

#[test]
fn what_new_checks_find_is_no_flap() {
    let mut life = Life::new();
    life.hold_down.handle_new_checks(life.now + SECOND * 3);
    life.pass(2);
    life.flap();
    assert_eq!(life.hold_down.counts().0, 0);
    life.pass(1);
    life.flap();
    assert_eq!(life.hold_down.counts().0, 1);
}

#[test]
fn new_checks_that_have_passed_excuse_nothing_more() {
    let mut life = Life::new();
    life.hold_down.handle_new_checks(life.now + SECOND * 3);
    life.flap();
    assert!(life.hold_down.is_excused() && life.hold_down.counts().0 == 0);
    life.hold_down.handle_checks_passed();
    life.flap();
    assert!(!life.hold_down.is_excused() && life.hold_down.counts().0 == 1);
}

#[test]
fn the_operator_ends_a_hold_and_all_is_forgotten() {
    let mut life = Life::new();
    life.flap_until_held();
    life.hold_down.handle_clear();
    assert_eq!((life.left(), life.hold_down.poll_timeout()), (None, None));
    assert_eq!(life.flap_until_held(), 10);
}

#[test]
fn without_times_flaps_are_counted_and_nothing_is_held() {
    let mut life = Life::new();
    life.hold_down.reconfigure(None, life.now);
    (0..10).for_each(|_| life.flap());
    assert_eq!((life.hold_down.counts(), life.hold_down.poll_timeout()), ((10, 0), None));
}

#[test]
fn new_times_shorten_a_hold_and_never_prolong_it() {
    let mut life = Life::new();
    life.flap_until_held();
    let longer = HoldDownTimes { initial: SECOND * 100, on_hold: OnHold::Degrade, ..times() };
    life.hold_down.reconfigure(Some(longer), life.now);
    assert_eq!((life.left(), life.hold_down.held().unwrap().degrades), (Some(9), true));
    life.hold_down.reconfigure(Some(HoldDownTimes { initial: SECOND, max: SECOND * 2, ..times() }), life.now);
    assert_eq!(life.left(), Some(2));
    life.hold_down.reconfigure(None, life.now);
    assert_eq!(life.left(), None);
}

#[test]
fn another_process_goes_on_where_this_one_was() {
    let mut life = Life::new();
    life.flap_until_held();
    life.flap();
    let state = life.hold_down.snapshot(life.now);
    assert_eq!((state.serving, state.left, state.level), (true, Some(SECOND * 9), 1));
    let restored = |state: State| HoldDown::restore(Some(times()), state, life.now);
    assert_eq!(restored(state.clone()).snapshot(life.now), State { serving: false, ..state.clone() });

    let later = restored(state.clone().later(SECOND * 5));
    assert_eq!(later.held().unwrap().until, life.now + SECOND * 4);
    let later = restored(state.clone().later(SECOND * 30));
    assert_eq!((later.held(), later.recent(life.now), later.next()), (None, 1, Some(SECOND * 20)));
    // A clock that was set, or a file of somebody's own making.
    let odd = State { left: Some(Duration::MAX), level: u32::MAX, flaps: vec![Duration::MAX], ..state };
    let odd = restored(odd);
    assert_eq!((odd.held().unwrap().until, odd.next()), (life.now + SECOND * 120, Some(SECOND * 120)));
}

#[test]
fn a_hold_knows_which_flaps_were_ends_of_the_agent() {
    let mut life = Life::new();
    life.flap();
    for _ in 0..2 {
        let state = life.hold_down.snapshot(life.now);
        life.hold_down = HoldDown::restore(Some(times()), state, life.now);
        life.hold_down.handle_agent_end(life.now);
        life.pass(1);
    }
    let ends = |life: &Life| life.hold_down.held().map(|hold| (hold.flaps, hold.ends));
    assert_eq!(ends(&life), Some((3, 2)));
    life.hold_down = HoldDown::restore(Some(times()), life.hold_down.snapshot(life.now), life.now);
    assert_eq!(ends(&life), Some((3, 2)), "a restart keeps it");
    // A process of before wrote none of it.
    let state = State { agent_ends: Vec::new(), held_ends: 0, ..life.hold_down.snapshot(life.now) };
    life.hold_down = HoldDown::restore(Some(times()), state, life.now);
    assert_eq!(ends(&life), Some((3, 0)));
}

proptest! {
    /// Whatever happens: no hold is longer than the longest, each ends, and all of it is forgotten in the end.
    #[test]
    fn every_hold_ends(
        steps in prop::collection::vec((0u32..200, prop::sample::select(vec!["up", "down", "unknown", "flap", "drain", "end", "restart"])), 0..200),
    ) {
        let mut life = Life::new();
        for (seconds, step) in steps {
            life.pass(seconds.saturating_sub(100));
            match step {
                "up" => life.is(Health::Up),
                "down" => life.is(Health::Down),
                "unknown" => life.is(Health::Unknown),
                "flap" => life.flap(),
                "drain" => life.hold_down.handle_maintenance(true),
                "end" => life.hold_down.handle_maintenance(false),
                _ => {
                    let state = life.hold_down.snapshot(life.now);
                    life.hold_down = HoldDown::restore(Some(times()), state, life.now);
                }
            }
            prop_assert!(life.left().is_none_or(|left| left <= 120));
            prop_assert!(life.hold_down.recent(life.now) <= 3);
        }
        life.pass(120 + 60);
        prop_assert_eq!(life.left(), None);
        life.pass(120 * 5);
        prop_assert_eq!(life.hold_down.snapshot(life.now).level, 0);
        prop_assert_eq!(life.hold_down.poll_timeout(), None);
    }
}
