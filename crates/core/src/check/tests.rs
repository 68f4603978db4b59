use std::num::NonZeroU16;

use proptest::prelude::*;

use super::*;

pub(super) const MS: Duration = Duration::from_millis(1);

pub(super) fn timing(rise: u16, fall: u16) -> CheckTiming {
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
pub(super) struct World {
    pub(super) check: Check,
    pub(super) now: Instant,
}

impl World {
    pub(super) fn new(rise: u16, fall: u16) -> Self {
        let now = Instant::now();
        Self { check: Check::new(timing(rise, fall), 1024, false, now), now }
    }

    /// Waits for the next run and begins it; how long it waited.
    pub(super) fn start(&mut self) -> Duration {
        let due = self.check.poll_timeout().expect("a check always knows its next step");
        let waited = due.saturating_duration_since(self.now);
        self.now = self.now.max(due);
        self.check.handle_timeout(self.now);
        self.check.poll_probe(self.now).expect("a run is due");
        waited
    }

    pub(super) fn answer(&mut self, health: Health) -> Health {
        self.start();
        self.check.handle_outcome(Outcome::new(health, Cause::Answered, String::new(), MS), self.now);
        self.check.health()
    }

    pub(super) fn answers(&mut self, list: &[Health]) -> Vec<Health> {
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
    assert_eq!(world.check.poll_timeout(), Some(world.now + 300 * MS + LAST_WORDS));
    world.now += 300 * MS + LAST_WORDS;
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
fn what_a_run_that_timed_out_says_itself_is_told() {
    let said = || Outcome::new(Down, Cause::TimedOut, "connected, no answer within 300 ms".to_owned(), 300 * MS);
    // At its timeout, and later: a program has to be killed first.
    for late in [Duration::ZERO, MS, 10 * MS, 19 * MS, 20 * MS, 40 * MS, 800 * MS] {
        let mut world = World::new(1, 1);
        world.answer(Up);
        world.start();
        let begun = world.now;
        while world.check.poll_timeout().is_some_and(|at| at < begun + 300 * MS + late) {
            world.now = world.check.poll_timeout().unwrap();
            world.check.handle_timeout(world.now);
        }
        world.now = begun + 300 * MS + late;
        assert_eq!(
            world.check.health(),
            if late <= 20 * MS { Up } else { Down },
            "{late:?}: not judged before its time"
        );
        world.check.handle_outcome(said(), world.now);
        assert_eq!((world.check.health(), world.check.counters().failures), (Down, 1), "{late:?}");
        assert_eq!(world.check.last().map(|last| &**last), Some(&said()), "{late:?}");
    }
    // What others have to say later is not about that.
    let mut world = World::new(1, 1);
    world.start();
    world.now += 300 * MS + LAST_WORDS;
    world.check.handle_timeout(world.now);
    world.check.handle_outcome(Outcome::new(Up, Cause::Answered, "late".to_owned(), MS), world.now + 100 * MS);
    assert_eq!(world.check.last().unwrap().detail, "no answer within 300 ms");
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

fn outcome(health: Health, cause: Cause) -> Outcome {
    Outcome { health, cause, detail: String::new(), took: MS, performance: Vec::new() }
}

/// What a probe says whose own timeout has passed.
fn late() -> Outcome {
    outcome(Down, Cause::TimedOut)
}

/// The agent is stopped while a run is under way. Whatever the order in which it finds, once it goes on, that the time is
/// over: an answer counts, and none is no verdict.
#[test]
fn a_stop_within_a_run_is_no_verdict() {
    type Step = fn(&mut World);
    let timer: Step = |world| world.check.handle_timeout(world.now);
    let answer: Step = |world| world.check.handle_outcome(outcome(Up, Cause::Answered), world.now);
    let gone: Step = |world| world.check.handle_outcome(late(), world.now);
    let wait: Step = |world| world.now += 60 * MS;
    let table: [(&str, &[Step], u64); 7] = [
        ("the answer", &[answer], 0),
        ("the timer, then the answer", &[timer, answer], 0),
        ("the probe's own timeout", &[gone], 1),
        ("the timer, then the probe's own timeout", &[timer, gone], 1),
        ("the timer, then the probe's own timeout a moment later", &[timer, |world| world.now += 10 * MS, gone], 1),
        ("the timer twice, then the probe's own timeout", &[timer, wait, timer, gone], 1),
        ("the timer twice, then an answer, too late to count", &[timer, wait, timer, answer], 1),
    ];
    for stopped in [3000 * MS, 12_000 * MS] {
        for (what, steps, inconclusive) in table {
            let mut world = World::new(1, 1);
            world.answer(Up);
            world.start();
            world.now += stopped;
            steps.iter().for_each(|step| step(&mut world));
            assert_eq!(world.check.health(), Up, "{what}");
            let counters = world.check.counters();
            assert_eq!((counters.failures, counters.inconclusive), (0, inconclusive), "{what}");
            assert!(world.check.poll_timeout().unwrap() <= world.now + 1000 * MS, "{what}: it goes on");
        }
    }
}

#[test]
fn a_run_that_was_not_stopped_has_its_own_timeout_for_a_verdict() {
    let mut world = World::new(1, 1);
    world.answer(Up);
    world.start();
    world.now += 300 * MS;
    world.check.handle_outcome(late(), world.now);
    assert_eq!(world.check.health(), Down);
}

/// What is not proven is not claimed for ever, however slow the machine is that asks.
#[test]
fn a_service_that_hangs_is_not_claimed_for_ever_by_an_agent_that_is_always_late() {
    let mut world = World::new(1, 2);
    world.answer(Up);
    let proven = world.now;
    while world.check.health() == Up {
        world.now = world.now.max(world.check.poll_timeout().unwrap()) + 200 * MS;
        world.check.handle_timeout(world.now);
        if world.check.poll_probe(world.now).is_some() {
            world.now += 700 * MS;
            world.check.handle_timeout(world.now);
            world.check.handle_outcome(late(), world.now);
        }
        assert!(world.now < proven + 15_000 * MS, "{:?}", world.check);
    }
    assert_eq!(world.check.health(), Down, "four answers in a row were late, and five");
}

/// A server that sends so much that the agent is late itself.
#[test]
fn excuses_that_follow_each_other_are_paced_and_come_to_an_end() {
    let mut world = World::new(1, 2);
    world.answer(Up);
    let fast = 100 * MS;
    let mut waited = vec![];
    for failures in [0, 0, 0, 1, 2] {
        waited.push(world.start());
        world.now += 300 * MS + LAST_WORDS + 2 * OVERSLEPT;
        world.check.handle_outcome(late(), world.now);
        assert_eq!(world.check.counters().failures, failures);
    }
    assert_eq!(waited[1..], [Duration::ZERO, fast, fast, fast]);
    assert_eq!(world.check.health(), Down);
    let words = "no answer within 300 ms, 5 times in a row; the agent itself was kept from running for 100 ms";
    assert_eq!(world.check.last().unwrap().detail, words);
    world.answer(Up);
    world.start();
    world.now += 300 * MS + LAST_WORDS + 2 * OVERSLEPT;
    world.check.handle_outcome(late(), world.now);
    assert_eq!(world.check.counters().failures, 2, "an answer has them begin anew");
}

/// The same where the driver's word comes after the verdict.
#[test]
fn an_excuse_at_the_deadline_is_paced_too() {
    let mut world = World::new(1, 2);
    world.answer(Up);
    for wait in [1000 * MS, Duration::ZERO, 100 * MS, 100 * MS] {
        assert_eq!(world.start(), wait);
        world.now += 1000 * MS;
        world.check.handle_timeout(world.now);
        world.now += 60 * MS;
        world.check.handle_timeout(world.now);
        world.check.handle_outcome(late(), world.now);
    }
    assert_eq!(world.check.counters().failures, 1);
}

/// Stopped and let go on again and again: the run after each stop is good.
#[test]
fn a_rhythm_of_stops_is_no_failure() {
    let mut world = World::new(1, 1);
    world.answer(Up);
    for _ in 0..20 {
        world.start();
        world.now += 700 * MS;
        world.check.handle_outcome(late(), world.now);
        assert_eq!(world.start(), Duration::ZERO, "it is asked again at once");
        world.check.handle_outcome(outcome(Up, Cause::Answered), world.now);
    }
    assert_eq!((world.check.health(), world.check.counters().failures), (Up, 0));
}

#[test]
fn a_proof_that_ran_out_while_we_were_away_holds_for_one_run() {
    for (answers, health) in [(vec![Up], Up), (vec![Down], Up), (vec![Down, Down], Down), (vec![], Unknown)] {
        let mut world = World::new(1, 2);
        world.answer(Up);
        world.now += 60_000 * MS;
        world.check.handle_timeout(world.now);
        assert_eq!(world.check.health(), Up);
        for answer in &answers {
            world.answer(*answer);
        }
        if answers.is_empty() {
            assert!(world.check.poll_probe(world.now).is_some(), "it asks at once");
            world.now += 400 * MS;
            world.check.handle_timeout(world.now);
        }
        assert_eq!(world.check.health(), health, "{answers:?}");
    }
}

#[test]
fn after_an_absence_a_claim_must_be_confirmed() {
    // (answers, how long after the absence, what it is then, whether it is confirmed)
    type Case<'a> = (&'a [Health], u64, Health, bool);
    let table: &[Case<'_>] = &[
        (&[], 0, Up, false),
        (&[Up], 1000, Up, true),
        (&[Down], 1000, Up, false),
        (&[Down, Up], 1100, Up, true),
        (&[Down, Down], 1100, Down, true),
        (&[Degraded, Degraded], 1100, Degraded, true),
    ];
    for (answers, within, health, confirmed) in table {
        let mut world = World::new(1, 2);
        world.answer(Up);
        world.start();
        world.now += 12_000 * MS;
        let back = world.now;
        world.check.prove_again(world.now);
        for answer in *answers {
            world.answer(*answer);
        }
        assert!(world.now <= back + Duration::from_millis(*within), "{answers:?}: it hurries");
        assert_eq!((world.check.health(), !world.check.is_unconfirmed()), (*health, *confirmed), "{answers:?}");
    }
}

/// A thousand checks that all asked at the same moment would not have their answers in time.
#[test]
fn after_an_absence_checks_ask_at_their_places() {
    let now = Instant::now();
    for (place, stale_after, wait) in [(0, 10_000, 0), (512, 10_000, 500), (1024, 10_000, 1000), (1024, 1000, 250)] {
        let timing = CheckTiming { stale_after: stale_after * MS, ..timing(1, 1) };
        let mut world = World { check: Check::new(timing, place, false, now), now };
        world.answer(Up);
        world.start();
        world.now += 60_000 * MS;
        world.check.prove_again(world.now);
        assert_eq!(world.start(), wait * MS, "{place}");
        world.now += 300 * MS;
        world.check.handle_outcome(outcome(Up, Cause::Answered), world.now);
        assert_eq!(
            (world.check.health(), world.check.is_unconfirmed()),
            (Up, false),
            "{place}: the claim held so long"
        );
    }
}

#[test]
fn what_is_never_confirmed_is_forgotten() {
    // The proof is renewed by every failure that does not decide yet; the claim is not.
    let mut world = World::new(1, 1000);
    world.answer(Up);
    world.now += 3000 * MS;
    world.check.prove_again(world.now);
    let back = world.now;
    while world.check.health() == Up {
        world.answer(Down);
        assert!(world.now <= back + 10_200 * MS);
    }
    assert_eq!((world.check.health(), world.check.is_unconfirmed()), (Unknown, false));
    assert!(world.now >= back + 10_000 * MS);
}

#[test]
fn who_claims_nothing_has_nothing_to_confirm() {
    let mut world = World::new(1, 1);
    world.check.prove_again(world.now);
    assert!(!world.check.is_unconfirmed());
    world.answer(Down);
    world.check.prove_again(world.now);
    assert!(!world.check.is_unconfirmed());
    world.check.set_enabled(false, world.now);
    world.check.prove_again(world.now);
    assert_eq!(world.check.poll_timeout(), None, "it rests on");
}

#[test]
fn after_a_suspend_nothing_is_known_until_it_is_proven() {
    let mut world = World::new(2, 2);
    world.answers(&[Up, Up]);
    world.start();
    world.check.forget(world.now);
    assert_eq!(world.check.health(), Unknown);
    assert_eq!(world.answers(&[Up, Up]), [Unknown, Up], "as after a start");
}

#[test]
fn a_fault_of_ours_proves_nothing_and_the_check_goes_on() {
    let mut world = World::new(1, 1);
    world.answer(Up);
    let proven = world.now;
    while world.check.health() == Up {
        world.start();
        world.check.handle_fault("a fault of the agent itself".to_owned(), world.now);
        assert!(world.now <= proven + 11_000 * MS);
    }
    assert_eq!(world.check.health(), Unknown);
    assert!(world.now >= proven + 10_000 * MS, "it is believed for as long as without an answer");
    assert_eq!(world.answer(Up), Up);
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Probe,
    Answer(Health),
    Enable(bool),
    Absence,
    Suspend,
    Fault,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u64..3000).prop_map(Step::Wait),
        Just(Step::Probe),
        prop_oneof![Just(Unknown), Just(Down), Just(Degraded), Just(Up)].prop_map(Step::Answer),
        any::<bool>().prop_map(Step::Enable),
        prop_oneof![Just(Step::Absence), Just(Step::Suspend), Just(Step::Fault)],
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
                    // One that hung has been judged, or excused where we were away: its answer comes too late to count.
                    let late = check.running.as_ref().is_some_and(|run| run.expired);
                    if running && !late {
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
                Step::Absence => {
                    check.prove_again(now);
                    running &= !check.enabled();
                }
                Step::Suspend => {
                    check.forget(now);
                    running &= !check.enabled();
                    prop_assert!(check.health() <= Down);
                }
                Step::Fault => {
                    let before = check.health();
                    check.handle_fault(String::new(), now);
                    running = false;
                    prop_assert_eq!(check.health(), before);
                }
            }
            prop_assert!(!check.is_unconfirmed() || check.health() >= Degraded);
            prop_assert!(check.health() <= best);
            prop_assert!(check.poll_timeout().is_some() || !check.enabled() || running);
        }
    }
}

#[test]
fn a_grace_longer_than_an_answer_is_believed_ends_with_down() {
    let mut world = World::new(1, 1);
    let grace = 15_000 * MS;
    world.check.reconfigure(CheckTiming { restart_grace: grace, ..timing(1, 1) }, world.now);
    world.answer(Up);
    let began = world.now;
    world.check.handle_hint(world.now);
    while world.check.health() != Down {
        assert_eq!(world.check.health(), Up, "after {:?}", world.now - began);
        world.start();
        let gone =
            Outcome { health: Down, cause: Cause::Gone, detail: String::new(), took: MS, performance: Vec::new() };
        world.check.handle_outcome(gone, world.now);
        assert!(world.now <= began + grace + 100 * MS);
    }
    assert!(world.now >= began + grace);
}

/// An answer, and whether the kernel saw that nobody listens.
fn confirmed(world: &mut World, health: Health, cause: Cause) -> Health {
    let probe = world.check.poll_probe(world.now).expect("a hint has it ask at once");
    assert!(probe.confirm);
    world.check.handle_outcome(outcome(health, cause), world.now);
    world.check.health()
}

#[test]
fn a_hint_decides_nothing_and_has_it_ask_at_once() {
    // What the run after the hint says, and what the check makes of it with `fall: 3`.
    let table = [
        (Up, Cause::Answered, Up, None),
        (Degraded, Cause::Answered, Up, Some((1, 3))),
        (Down, Cause::Answered, Up, Some((1, 3))),
        (Down, Cause::TimedOut, Up, Some((1, 3))),
        (Down, Cause::Refused, Up, Some((1, 3))),
        (Down, Cause::Gone, Down, None),
        (Unknown, Cause::Answered, Up, None),
    ];
    for (health, cause, expected, turning) in table {
        let mut world = World::new(1, 3);
        world.answer(Up);
        world.check.handle_hint(world.now);
        assert_eq!((world.check.health(), world.check.poll_timeout()), (Up, Some(world.now)));
        assert_eq!(confirmed(&mut world, health, cause), expected, "{health} {cause:?}");
        assert_eq!(world.check.turning(), turning, "{health} {cause:?}");
    }
}

#[test]
fn what_was_under_way_when_the_hint_came_is_asked_again() {
    let mut world = World::new(1, 3);
    world.answer(Up);
    world.start();
    world.check.handle_hint(world.now);
    assert!(world.check.poll_cancel(world.now), "the driver drops the run");
    assert_eq!(confirmed(&mut world, Down, Cause::Gone), Down);

    // The driver has the answer already: a good one may be older than the hint, a bad one is bad.
    for (health, turning) in [(Up, None), (Down, Some((1, 3)))] {
        let mut world = World::new(1, 3);
        world.answer(Up);
        world.start();
        world.check.handle_hint(world.now);
        world.check.handle_outcome(outcome(health, Cause::Answered), world.now);
        assert_eq!(world.check.turning(), turning);
        assert_eq!(confirmed(&mut world, Down, Cause::Gone), Down, "{health}");
    }
}

#[test]
fn listeners_that_come_and_go_all_the_time_neither_starve_nor_drive_it() {
    let mut world = World::new(1, 3);
    world.answer(Up);
    let (began, runs) = (world.now, world.check.counters().runs);
    let mut answers = 0;
    // A hint every millisecond; a run takes two.
    let mut done_at = None;
    while world.now < began + 20_000 * MS {
        world.now += MS;
        world.check.handle_timeout(world.now);
        world.check.handle_hint(world.now);
        if world.check.poll_cancel(world.now) {
            done_at = None;
        }
        if world.check.poll_probe(world.now).is_some() {
            done_at = Some(world.now + 2 * MS);
        }
        if done_at.is_some_and(|at| world.now >= at) {
            done_at = None;
            answers += 1;
            world.check.handle_outcome(outcome(Up, Cause::Answered), world.now);
        }
        assert_eq!(world.check.health(), Up);
    }
    // It goes on at the fast interval.
    assert!(answers >= 190, "{answers} answers in 20 s");
    let runs = world.check.counters().runs - runs;
    assert!(runs <= 210, "{runs} runs in 20 s");
}

#[test]
fn a_service_that_went_is_looked_for_more_often_for_a_while() {
    let mut world = World::new(2, 3);
    world.answer(Up);
    world.answer(Up);
    world.check.handle_hint(world.now);
    assert_eq!(confirmed(&mut world, Down, Cause::Gone), Down);
    let went = world.now;
    while world.now < went + 29_000 * MS {
        assert_eq!(world.start(), 100 * MS);
        world.check.handle_outcome(outcome(Down, Cause::Refused), world.now);
    }
    while world.now < went + 32_000 * MS {
        world.answer(Down);
    }
    assert_eq!(world.start(), 1000 * MS, "not for ever");
}

/// Where the kernel does not see listeners, as in a container, a held connection tells, and answers have to follow in a row.
#[test]
fn a_service_that_fell_after_a_hint_is_looked_for_more_often_too() {
    let mut world = World::new(1, 3);
    world.answer(Up);
    world.check.handle_hint(world.now);
    assert_eq!(confirmed(&mut world, Down, Cause::Refused), Up);
    assert_eq!([world.answer(Down), world.answer(Down)], [Up, Down]);
    let went = world.now;
    while world.now < went + 29_000 * MS {
        assert_eq!(world.start(), 100 * MS);
        world.check.handle_outcome(outcome(Down, Cause::Refused), world.now);
    }
    // One that fell of itself is not.
    let mut world = World::new(1, 2);
    world.answers(&[Up, Down, Down]);
    assert_eq!(world.start(), 1000 * MS);
}

/// The kernel closes a process's sockets one after another.
#[test]
fn an_answer_right_after_a_hint_is_not_the_last_word() {
    for (health, cause) in [(Up, Cause::Answered), (Down, Cause::Refused)] {
        let mut world = World::new(1, 3);
        world.check.reconfigure(CheckTiming { interval: 600_000 * MS, ..timing(1, 3) }, world.now);
        world.answer(Up);
        world.check.handle_hint(world.now);
        assert_eq!(confirmed(&mut world, health, cause), Up);
        world.now += 100 * MS;
        assert_eq!(confirmed(&mut world, Down, Cause::Gone), Down, "asked again after the fast interval: {cause:?}");
    }

    let mut world = World::new(1, 3);
    world.answer(Up);
    world.check.handle_hint(world.now);
    confirmed(&mut world, Up, Cause::Answered);
    world.now += 100 * MS;
    confirmed(&mut world, Up, Cause::Answered);
    assert_eq!(world.start(), 1000 * MS, "a healthy service is asked twice, and then as always");
}

/// A service hangs, and the agent is stopped again and again, each time before a run can say so.
#[test]
fn absences_one_after_another_give_no_more_time_than_one() {
    let mut world = World::new(1, 1);
    let times = CheckTiming { interval: 5000 * MS, timeout: 3000 * MS, ..timing(1, 1) };
    world.check.reconfigure(times, world.now);
    world.answer(Up);
    let began = world.now;
    while world.check.health() == Up {
        world.now += 3000 * MS;
        world.check.prove_again(world.now);
        for _ in 0..20 {
            world.now += 100 * MS;
            world.check.handle_timeout(world.now);
            let _ = world.check.poll_probe(world.now);
        }
        assert!(world.now < began + 30_000 * MS, "still claimed");
    }
}
