use proptest::prelude::*;

use super::*;

const S: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(10);
const PACE: Duration = Duration::from_millis(500);

/// Somebody who looks, and two who beat or do not.
struct World {
    fence: Fence,
    now: Instant,
    beats: BTreeMap<Subject, Beat>,
}

impl World {
    fn new(subjects: &[Subject]) -> Self {
        let now = Instant::now();
        let beat = Beat { count: 0, due: None, patience: PATIENCE };
        let beats = subjects.iter().map(|subject| (*subject, beat)).collect();
        let mut world = Self { fence: Fence::new(now), now, beats };
        world.look(Duration::ZERO);
        world
    }

    fn beat(&mut self, subject: Subject) {
        self.beats.get_mut(&subject).unwrap().count += 1;
    }

    fn look(&mut self, after: Duration) -> Vec<Change> {
        self.now += after;
        self.fence.handle_look(&self.beats, PACE, self.now);
        std::iter::from_fn(|| self.fence.poll_change()).collect()
    }

    /// Looks as it should for so long; who beats all the while, and what came of it.
    fn pass(&mut self, time: Duration, alive: &[Subject]) -> Vec<Change> {
        let looks = time.as_millis() / PACE.as_millis();
        (0..looks)
            .flat_map(|_| {
                alive.iter().for_each(|subject| self.beat(*subject));
                self.look(PACE)
            })
            .collect()
    }
}

use Subject::{Check, DecisionLoop, Scheduler};

#[test]
fn who_is_silent_for_too_long_is_fenced_once_and_released_by_a_beat() {
    let mut world = World::new(&[DecisionLoop, Scheduler]);
    assert_eq!(world.pass(PATIENCE * 3, &[DecisionLoop, Scheduler]), []);
    assert_eq!(world.pass(PATIENCE - PACE, &[Scheduler]), [], "not yet");
    assert_eq!(world.look(PACE), [Change::Fenced { subject: DecisionLoop, silent: PATIENCE }]);
    assert_eq!(world.fence.fenced().collect::<Vec<_>>(), [DecisionLoop]);
    assert_eq!(world.pass(5 * S, &[Scheduler]), [], "it is told once");
    world.beat(DecisionLoop);
    assert_eq!(world.look(PACE), [Change::Released { subject: DecisionLoop, silent: PATIENCE + 5 * S }]);
    assert_eq!(world.fence.fenced().count(), 0);
}

/// SIGSTOP, a suspend, a machine that runs nobody: whoever looks was not there either.
#[test]
fn an_absence_of_all_is_nobodys_fault() {
    for absence in [12 * S, 3600 * S] {
        let mut world = World::new(&[DecisionLoop, Scheduler]);
        world.pass(5 * S, &[DecisionLoop, Scheduler]);
        assert_eq!(world.look(absence), [], "{absence:?}");
        assert_eq!(world.pass(5 * S, &[]), [], "they have their own turns to come back");
        assert_eq!(world.pass(5 * S, &[DecisionLoop, Scheduler]), []);
    }
}

/// Starved for minutes, with a turn now and then: each counts for no more than it should have been.
#[test]
fn a_starved_machine_fences_who_has_no_turn_while_others_have_many() {
    let mut world = World::new(&[DecisionLoop]);
    let looks = PATIENCE.as_millis() / PACE.as_millis();
    for _ in 1..looks {
        assert_eq!(world.look(7 * S), []);
    }
    assert_eq!(world.look(7 * S).len(), 1, "but it is not blind for it");
}

#[test]
fn a_check_may_rest_until_its_next_step_is_due() {
    let mut world = World::new(&[Scheduler, Check(1)]);
    let due = world.now + 60 * S;
    world.beats.insert(Check(1), Beat { count: 0, due: Some(due), patience: 5 * S });
    assert_eq!(world.pass(60 * S, &[Scheduler]), []);
    let told = world.pass(5 * S, &[Scheduler]);
    assert_eq!(told, [Change::Fenced { subject: Check(1), silent: 5 * S }]);
    assert_eq!(world.fence.longest_silence("check"), 5 * S);
}

/// A thousand checks are not to blame for what runs them.
#[test]
fn a_stalled_scheduler_is_not_the_checks_fault() {
    let mut world = World::new(&[DecisionLoop, Scheduler, Check(1), Check(2)]);
    let told = world.pass(60 * S, &[]);
    let subjects: Vec<_> = told
        .iter()
        .map(|change| match change {
            Change::Fenced { subject, .. } | Change::Released { subject, .. } => *subject,
        })
        .collect();
    assert_eq!(subjects, [DecisionLoop, Scheduler]);
}

#[test]
fn who_is_gone_is_forgotten() {
    let mut world = World::new(&[Scheduler, Check(1)]);
    world.pass(PATIENCE, &[Scheduler]);
    assert_eq!(world.fence.fenced().collect::<Vec<_>>(), [Check(1)]);
    world.beats.remove(&Check(1));
    assert_eq!(world.look(PACE), []);
    assert_eq!(world.fence.fenced().count(), 0);
}

#[test]
fn looks_and_beats_fit_the_patience() {
    for patience in [S, 2 * S, 10 * S, 60 * S, 3600 * S] {
        assert!(pace(patience) * 10 <= patience, "{patience:?}: many looks before a verdict");
        assert!(beat_every(patience) * 4 <= patience, "{patience:?}: many beats before a verdict");
        assert!(late_after(patience) > beat_every(patience) * 2, "{patience:?}: a beat may be late");
        assert!(late_after(patience) < patience, "{patience:?}: known before anybody is fenced");
    }
}

#[test]
fn an_absence_is_told_from_a_suspend() {
    let start = Moment { monotonic: Instant::now(), since_boot: 1000 * S };
    let after = |awake: Duration, suspended: Duration| {
        let now = Moment { monotonic: start.monotonic + awake, since_boot: start.since_boot + awake + suspended };
        Absence::between(start, now, PATIENCE)
    };
    let table = [
        (S, Duration::ZERO, None),
        (2400 * MS, Duration::ZERO, None),
        (3 * S, Duration::ZERO, Some(Absence::NotRun(3 * S))),
        (12 * S, Duration::ZERO, Some(Absence::NotRun(12 * S))),
        (S, S, None),
        (S, 3 * S, Some(Absence::NotRun(4 * S))),
        (S, 10 * S, Some(Absence::NotRun(11 * S))),
        (S, 11 * S, Some(Absence::Suspended(11 * S))),
        (Duration::ZERO, 8 * 3600 * S, Some(Absence::Suspended(8 * 3600 * S))),
    ];
    for (awake, suspended, expected) in table {
        assert_eq!(after(awake, suspended), expected, "{awake:?} {suspended:?}");
    }
    let earlier = Moment { since_boot: Duration::ZERO, ..start };
    assert_eq!(Absence::between(start, earlier, PATIENCE), None, "a clock that goes back says nothing");
}

proptest! {
    /// However long looks are apart: no verdict before the patience has passed, nor before as many looks as it takes.
    #[test]
    fn nobody_is_fenced_before_their_time(gaps in prop::collection::vec(0u64..20_000, 1..60)) {
        let mut world = World::new(&[DecisionLoop]);
        let (start, mut looks) = (world.now, 0u32);
        for gap in gaps {
            looks += 1;
            let told = world.look(Duration::from_millis(gap));
            if !told.is_empty() {
                prop_assert!(world.now - start >= PATIENCE);
                prop_assert!(PACE * looks >= PATIENCE);
                return Ok(());
            }
        }
    }

    /// Who beats once in every few looks is never fenced, whatever the machine does to all of them.
    #[test]
    fn whoever_beats_is_never_fenced(gaps in prop::collection::vec(0u64..100_000, 1..200), every in 1usize..19) {
        let mut world = World::new(&[DecisionLoop]);
        for (index, gap) in gaps.into_iter().enumerate() {
            if index % every == 0 {
                world.beat(DecisionLoop);
            }
            prop_assert_eq!(world.look(Duration::from_millis(gap)), []);
        }
    }
}
