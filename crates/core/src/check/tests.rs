use std::num::NonZeroU16;

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn timing(rise: u16, fall: u16) -> CheckTiming {
    CheckTiming {
        interval: 1000 * MS,
        fast_interval: 100 * MS,
        timeout: 300 * MS,
        rise: NonZeroU16::new(rise).unwrap(),
        fall: NonZeroU16::new(fall).unwrap(),
        start_delay: Duration::ZERO,
        restart_grace: Duration::ZERO,
        stale_after: Duration::from_secs(10),
    }
}

/// A check with a clock that runs it as the driver would.
struct World {
    check: Check,
    now: Instant,
}

impl World {
    fn new(rise: u16, fall: u16) -> Self {
        let now = Instant::now();
        Self { check: Check::new(timing(rise, fall), 1024, false, now), now }
    }

    /// Waits for the next run and begins it; how long it waited.
    fn start(&mut self) -> Duration {
        let due = self.check.poll_timeout().expect("a check always knows its next step");
        let waited = due.saturating_duration_since(self.now);
        self.now = self.now.max(due);
        self.check.handle_timeout(self.now);
        self.check.poll_probe(self.now).expect("a run is due");
        waited
    }

    fn answer(&mut self, health: Health) -> Health {
        self.start();
        self.check.handle_outcome(Outcome::new(health, Cause::Answered, String::new(), MS), self.now);
        self.check.health()
    }

    fn answers(&mut self, list: &[Health]) -> Vec<Health> {
        list.iter().map(|health| self.answer(*health)).collect()
    }
}

use Health::{Degraded, Down, Unknown, Up};

#[test]
fn it_takes_rise_and_fall_answers_in_a_row() {
    let table: &[(u16, u16, &[Health], &[Health])] = &[
        (1, 1, &[Up, Down, Up], &[Up, Down, Up]),
        (2, 2, &[Up, Up, Down, Up, Down, Down, Up, Up], &[Unknown, Up, Up, Up, Up, Down, Down, Up]),
        (3, 1, &[Up, Up, Down], &[Unknown, Unknown, Down]),
        (2, 2, &[Down, Up, Down, Down], &[Unknown, Unknown, Unknown, Down]),
        (2, 2, &[Degraded, Up, Up, Up], &[Unknown, Degraded, Degraded, Up]),
        (1, 2, &[Up, Down, Degraded, Down, Down], &[Up, Up, Degraded, Degraded, Down]),
        (1, 2, &[Up, Unknown, Down, Unknown, Down], &[Up, Up, Up, Up, Down]),
    ];
    for (rise, fall, answers, expected) in table {
        assert_eq!(World::new(*rise, *fall).answers(answers), *expected, "rise {rise} fall {fall} {answers:?}");
    }
}

#[test]
fn it_hurries_while_undecided_and_while_turning() {
    let mut world = World::new(2, 2);
    assert_eq!(world.start(), Duration::ZERO);
    world.check.handle_outcome(Outcome::new(Up, Cause::Answered, String::new(), MS), world.now);
    assert_eq!(world.start(), 100 * MS, "undecided");
    world.check.handle_outcome(Outcome::new(Up, Cause::Answered, String::new(), MS), world.now);
    assert_eq!(world.start(), 1000 * MS, "settled");
    world.check.handle_outcome(Outcome::new(Down, Cause::Answered, String::new(), MS), world.now);
    assert_eq!(world.check.turning(), Some((1, 2)));
    assert_eq!(world.start(), 100 * MS, "falling");
}

#[test]
fn a_run_that_hangs_has_failed_at_its_timeout_and_is_never_doubled() {
    let mut world = World::new(1, 1);
    world.answer(Up);
    world.start();
    assert_eq!(world.check.poll_timeout(), Some(world.now + 300 * MS));
    world.now += 300 * MS;
    world.check.handle_timeout(world.now);
    assert_eq!(world.check.health(), Down);
    assert_eq!(world.check.last().unwrap().detail, "no answer within 300 ms");
    world.now += 5000 * MS;
    assert_eq!(world.check.poll_probe(world.now), None, "one is still under way");
    world.check.handle_outcome(Outcome::new(Up, Cause::Answered, String::new(), MS), world.now);
    assert_eq!(world.check.health(), Down, "the late answer does not count");
    assert!(world.check.poll_probe(world.now).is_some());
}

#[test]
fn without_proof_it_no_longer_claims() {
    let mut world = World::new(1, 1);
    world.answer(Up);
    let proven = world.now;
    while world.check.health() == Up {
        world.answer(Unknown);
        assert!(world.now < proven + 12_000 * MS);
    }
    assert_eq!(world.check.health(), Unknown);
    assert!(world.now >= proven + 10_000 * MS);
}

#[test]
fn a_rest_forgets_and_a_wake_runs_at_once() {
    let mut world = World::new(1, 1);
    world.answer(Up);
    world.start();
    world.check.set_enabled(false, world.now);
    assert_eq!(world.check.health(), Unknown);
    world.check.handle_outcome(Outcome::new(Up, Cause::Answered, String::new(), MS), world.now);
    assert_eq!(world.check.health(), Unknown, "what began before the rest proves nothing");
    assert_eq!(world.check.poll_timeout(), None);
    world.check.set_enabled(true, world.now);
    assert!(world.check.poll_probe(world.now).is_some());
}

#[test]
fn new_times_keep_health_and_counters() {
    let mut world = World::new(1, 1);
    world.answer(Up);
    let runs = world.check.counters().runs;
    world.check.reconfigure(CheckTiming { interval: 200 * MS, ..timing(3, 3) }, world.now);
    assert_eq!((world.check.health(), world.check.counters().runs), (Up, runs));
    assert_eq!(world.start(), 200 * MS, "the shorter interval holds at once");
}

#[test]
fn probation_ends_with_the_first_decision() {
    let now = Instant::now();
    let mut world = World { check: Check::new(timing(2, 2), 1024, true, now), now };
    assert!(!world.check.counts());
    world.answer(Down);
    assert!(!world.check.counts());
    world.answer(Down);
    assert!(world.check.counts());
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Probe,
    Answer(Health),
    Enable(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u64..3000).prop_map(Step::Wait),
        Just(Step::Probe),
        prop_oneof![Just(Unknown), Just(Down), Just(Degraded), Just(Up)].prop_map(Step::Answer),
        any::<bool>().prop_map(Step::Enable),
    ]
}

proptest! {
    #[test]
    fn after_any_order_of_inputs_it_claims_only_what_was_answered(
        steps in prop::collection::vec(step(), 0..200), rise in 1u16..4, fall in 1u16..4,
    ) {
        let mut now = Instant::now();
        let mut check = Check::new(timing(rise, fall), 1024, false, now);
        let mut good_in_a_row = 0;
        let mut running = false;
        let mut best = Health::Down; // a run that hangs needs no answer to be bad
        for step in steps {
            match step {
                Step::Wait(ms) => {
                    now += Duration::from_millis(ms);
                    check.handle_timeout(now);
                }
                Step::Probe => running |= check.poll_probe(now).is_some(),
                Step::Answer(health) => {
                    if running {
                        good_in_a_row = match health {
                            Unknown => good_in_a_row,
                            Down => 0,
                            Degraded | Up => good_in_a_row + 1,
                        };
                        best = best.max(health);
                    }
                    running = false;
                    let before = check.health();
                    check.handle_outcome(Outcome::new(health, Cause::Answered, String::new(), MS), now);
                    if check.health() > before && before <= Down && check.health() >= Degraded {
                        prop_assert!(good_in_a_row >= u32::from(rise) || rise == 1);
                    }
                }
                Step::Enable(enabled) => check.set_enabled(enabled, now),
            }
            prop_assert!(check.health() <= best);
            prop_assert!(check.poll_timeout().is_some() || !check.enabled() || running);
        }
    }
}
