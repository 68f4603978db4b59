//! What the state of a BFD session means for the BGP session over the same path (RFC 5882 §4).

use std::time::{Duration, Instant};

use anycast_bfd::State;

/// A neighbor that has not been heard for so long does not speak BFD, or not any more: whether the path is well is found out by dialling.
/// It is longer than three packets of one whose session is not Up take (RFC 5880 §6.8.3). After repeated losses it is as long as the path
/// is to be Up, where that is longer.
pub const SILENCE: Duration = Duration::from_secs(4);

/// For how long the path is to be Up before the session comes back, the first time. The next times it is twice as long each, up to
/// [`LONGEST`]: one that comes and goes is announced and withdrawn all over the network each time.
pub const STEADY: Duration = Duration::from_secs(1);
/// The longest of these times.
pub const LONGEST: Duration = Duration::from_secs(64);
/// A path that was not lost for so long is as good as one that never was.
pub const MEMORY: Duration = Duration::from_secs(300);

/// What is to be seen of a BFD session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// Its state.
    pub state: State,
    /// What the neighbor says of its own, or has said last if that was AdminDown; `None`: it is not heard.
    pub remote: Option<State>,
    /// How often the path was lost since this began.
    pub lost: u64,
}

/// What the BGP session is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing stands in its way.
    Go,
    /// It may stay if it is up; it must not begin.
    Wait,
    /// It ends, and does not begin anew.
    End,
}

/// What the session that ended with the path waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// How often it ended so of late ([`MEMORY`]).
    pub losses: u32,
    /// For how long the path is to be Up.
    pub steady: Duration,
    /// When it will have been, if it stays so; `None`: it is not Up.
    pub until: Option<Instant>,
}

/// What outlives the BGP and the BFD session: with times as ages, for no clock is handed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// The path is lost.
    pub lost: bool,
    /// The session ended with it, and was not back since.
    pub returning: bool,
    /// How often it was lost as the BFD session counts.
    pub counted: u64,
    /// How long ago the session was last lost with it.
    pub last: Option<Duration>,
    /// How often that was of late.
    pub lately: u32,
}

/// The one follows the other. Call [`handle`](Self::handle) as things change and when [`poll_timeout`](Self::poll_timeout) says.
#[derive(Debug, Clone, Default)]
pub struct Coupling {
    strict: bool,
    state: Option<State>,
    remote: Option<State>,
    counted: u64,
    lost: bool,
    /// It was lost, and the session has not come back since.
    returning: bool,
    silent: Option<Instant>,
    /// Since when it is Up, while it is.
    up: Option<Instant>,
    /// When the session was last lost with it, and how often lately.
    last: Option<Instant>,
    lately: u32,
}

impl Coupling {
    /// Whether there is to be no session before BFD is Up.
    pub const fn set_strict(&mut self, strict: bool) {
        self.strict = strict;
    }

    /// Takes a look.
    pub fn handle(&mut self, sight: Sight, now: Instant) {
        let Sight { state, remote, lost } = sight;
        if lost > self.counted && !std::mem::replace(&mut self.lost, true) {
            let recent = self.last.replace(now).is_some_and(|last| now.saturating_duration_since(last) < MEMORY);
            self.lately = if recent { self.lately.saturating_add(1) } else { 1 };
        }
        self.returning |= self.lost;
        let again = std::mem::replace(&mut self.counted, lost) != lost;
        (self.state, self.remote) = (Some(state), remote);
        self.silent = match remote {
            Some(_) => None,
            None => self.silent.or(Some(now)),
        };
        self.up = match state {
            State::Up => self.up.filter(|_| !again).or(Some(now)),
            State::AdminDown | State::Down | State::Init => None,
        };
        let given_up = self.gives_up_at().is_some_and(|at| at <= now);
        let steady = self.steady_at().is_some_and(|at| at <= now);
        if steady || remote == Some(State::AdminDown) || given_up {
            self.lost = false;
        }
        self.returning &= !given_up;
    }

    /// The session is Established.
    pub const fn handle_established(&mut self) {
        self.returning = self.lost;
    }

    /// Whether the session that is not Established waits for the path, or comes back with it. One that never was over it does not need
    /// it: routers begin their end of BFD anew with BGP, and would take one that is Up by then for lost.
    #[must_use]
    pub const fn is_needed(&self) -> bool {
        self.strict || self.lost || self.returning
    }

    /// When a look is to be taken at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.gives_up_at(), self.steady_at()].into_iter().flatten().min().filter(|_| self.lost)
    }

    /// When the path is found out without BFD; with `strict` it is not.
    fn gives_up_at(&self) -> Option<Instant> {
        self.silent.filter(|_| !self.strict).map(|since| since + SILENCE.max(self.steady()))
    }

    fn steady_at(&self) -> Option<Instant> {
        self.up.map(|since| since + self.steady())
    }

    /// What the session that ended with the path waits for; `None`: it does not wait, or has not ended so.
    #[must_use]
    pub fn hold(&self) -> Option<Hold> {
        self.lost.then(|| Hold { losses: self.lately, steady: self.steady(), until: self.steady_at() })
    }

    /// What another is to know that comes in the place of this one.
    #[must_use]
    pub fn hand_over(&self, now: Instant) -> Left {
        let Self { lost, returning, counted, last, lately, .. } = *self;
        Left { lost, returning, counted, last: last.map(|at| now.saturating_duration_since(at)), lately }
    }

    /// Goes on from what was so at `at`; how the path is has to be seen anew.
    #[must_use]
    pub fn take_over(left: Left, at: Instant) -> Self {
        let Left { lost, returning, counted, last, lately } = left;
        let last = last.map(|ago| at.checked_sub(ago).unwrap_or(at));
        Self { lost, returning, counted, last, lately, ..Self::default() }
    }

    /// There is another BFD session, or none; how often the path was lost is not forgotten.
    pub fn begin_anew(&mut self) {
        let Self { strict, last, lately, .. } = *self;
        *self = Self { strict, last, lately, ..Self::default() };
    }

    /// How long the path is to be Up before the session comes back.
    fn steady(&self) -> Duration {
        let doubled = self.lately.saturating_sub(1).min(LONGEST.as_secs().ilog2());
        (STEADY * (1 << doubled)).min(LONGEST)
    }

    /// As of the last look.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.lost {
            Verdict::End
        } else if self.strict && !self.is_well() {
            Verdict::Wait
        } else {
            Verdict::Go
        }
    }

    /// AdminDown says nothing of the path (RFC 5882 §3.2).
    fn is_well(&self) -> bool {
        self.state == Some(State::Up) || self.remote == Some(State::AdminDown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    /// What is seen, seconds after the start; what follows.
    type Step = (u32, State, Option<State>, u64, Verdict);

    #[test]
    fn bgp_follows_bfd() {
        use State::{AdminDown, Down, Init, Up};
        use Verdict::{End, Go, Wait};
        let stories: [(&str, bool, &[Step]); 9] = [
            ("a neighbor that never speaks it", false, &[(0, Down, None, 0, Go), (60, Down, None, 0, Go)]),
            (
                "lost, and back",
                false,
                &[
                    (0, Up, Some(Up), 0, Go),
                    (1, Down, None, 1, End),
                    (2, Down, Some(Down), 1, End),
                    (9, Init, Some(Down), 1, End),
                    (10, Up, Some(Up), 1, End),
                    (11, Up, Some(Up), 1, Go),
                    (12, Down, None, 2, End),
                    (14, Up, Some(Up), 2, End),
                    (15, Up, Some(Up), 2, End),
                    (16, Up, Some(Up), 2, Go),
                    (17, Down, None, 3, End),
                    (18, Up, Some(Up), 3, End),
                    (20, Down, Some(Down), 4, End),
                    (21, Up, Some(Up), 4, End),
                    (24, Up, Some(Up), 4, End),
                    (25, Up, Some(Up), 4, Go),
                    (317, Down, None, 5, End),
                    (318, Up, Some(Up), 5, End),
                    (319, Up, Some(Up), 5, Go),
                ],
            ),
            (
                "lost and back between two looks",
                false,
                &[
                    (0, Up, Some(Up), 0, Go),
                    (1, Up, Some(Up), 1, End),
                    (2, Up, Some(Up), 1, Go),
                    (3, Down, None, 2, End),
                ],
            ),
            (
                "one that stops speaking it",
                false,
                &[(0, Up, Some(Up), 0, Go), (1, Down, None, 1, End), (4, Down, None, 1, End), (5, Down, None, 1, Go)],
            ),
            (
                "one that is silent in between",
                false,
                &[
                    (1, Down, None, 1, End),
                    (3, Down, Some(Down), 1, End),
                    (6, Down, None, 1, End),
                    (10, Down, None, 1, Go),
                ],
            ),
            (
                "taken down by its operator",
                false,
                &[(0, Up, Some(Up), 0, Go), (1, Down, Some(AdminDown), 0, Go), (5, Down, None, 0, Go)],
            ),
            (
                "lost, then taken down by its operator",
                false,
                &[(0, Down, None, 1, End), (1, Down, Some(AdminDown), 1, Go)],
            ),
            (
                "strict",
                true,
                &[
                    (0, Down, None, 0, Wait),
                    (9, Init, Some(Down), 0, Wait),
                    (10, Up, Some(Up), 0, Go),
                    (11, Down, None, 1, End),
                    (19, Down, None, 1, End),
                    (20, Up, Some(Up), 1, End),
                    (21, Up, Some(Up), 1, Go),
                    (22, Down, None, 2, End),
                    (23, Down, Some(AdminDown), 2, Go),
                    (24, Down, Some(Down), 2, Wait),
                ],
            ),
            (
                "away for a while, again and again",
                false,
                &[
                    (0, Down, None, 1, End),
                    (4, Down, None, 1, Go),
                    (6, Up, Some(Up), 1, Go),
                    (15, Down, None, 2, End),
                    (19, Down, None, 2, Go),
                    (21, Up, Some(Up), 2, Go),
                    (30, Down, None, 3, End),
                    (34, Down, None, 3, Go),
                    (36, Up, Some(Up), 3, Go),
                    (45, Down, None, 4, End),
                    (50, Up, Some(Up), 4, End),
                    (57, Up, Some(Up), 4, End),
                    (58, Up, Some(Up), 4, Go),
                    (60, Down, None, 5, End),
                    (75, Down, None, 5, End),
                    (76, Down, None, 5, Go),
                ],
            ),
        ];
        for (story, strict, steps) in stories {
            let (start, mut coupling) = (Instant::now(), Coupling::default());
            coupling.set_strict(strict);
            for (at, state, remote, lost, expected) in steps {
                coupling.handle(Sight { state: *state, remote: *remote, lost: *lost }, start + S * *at);
                assert_eq!(coupling.verdict(), *expected, "{story}, after {at} s");
            }
        }
    }

    #[test]
    fn it_is_needed_from_a_loss_until_the_session_is_back() {
        let (start, mut coupling) = (Instant::now(), Coupling::default());
        let mut look = |at: u32, state, remote, lost, established: bool| {
            coupling.handle(Sight { state, remote, lost }, start + S * at);
            if established {
                coupling.handle_established();
            }
            coupling.is_needed()
        };
        assert!(!look(0, State::Up, Some(State::Up), 0, true));
        assert!(look(1, State::Down, None, 1, false));
        assert!(look(2, State::Up, Some(State::Up), 1, false));
        assert!(look(3, State::Up, Some(State::Up), 1, false), "until the session is back");
        assert!(!look(3, State::Up, Some(State::Up), 1, true));
        assert!(look(4, State::Down, None, 2, true), "it is about to end");
        assert!(!look(8, State::Down, None, 2, false), "given up");
        coupling.set_strict(true);
        assert!(coupling.is_needed());
    }

    #[test]
    fn it_says_when_to_look_again() {
        let (start, mut coupling) = (Instant::now(), Coupling::default());
        assert_eq!(coupling.poll_timeout(), None);
        coupling.handle(Sight { state: State::Down, remote: None, lost: 0 }, start);
        assert_eq!(coupling.poll_timeout(), None, "nothing hangs on it");
        coupling.handle(Sight { state: State::Down, remote: None, lost: 1 }, start + S);
        let at = coupling.poll_timeout().unwrap();
        assert_eq!(at, start + SILENCE);
        coupling.handle(Sight { state: State::Down, remote: None, lost: 1 }, at);
        assert_eq!((coupling.verdict(), coupling.poll_timeout()), (Verdict::Go, None));
        let lost = Sight { state: State::Down, remote: Some(State::Down), lost: 2 };
        coupling.handle(lost, at);
        assert_eq!((coupling.verdict(), coupling.poll_timeout()), (Verdict::End, None));
        coupling.handle(Sight { state: State::Up, ..lost }, at + S);
        assert_eq!(coupling.poll_timeout(), Some(at + S + STEADY * 2));
        coupling.begin_anew();
        coupling.handle(Sight { lost: 1, ..lost }, at + S);
        coupling.handle(Sight { state: State::Up, lost: 1, ..lost }, at + S);
        assert_eq!(coupling.poll_timeout(), Some(at + S + STEADY * 4), "it is not forgotten");
    }

    #[test]
    fn what_was_lost_is_not_forgotten_by_who_comes_next() {
        let (start, mut coupling) = (Instant::now(), Coupling::default());
        let look = |coupling: &mut Coupling, at: u32, state, lost| {
            coupling.handle(Sight { state, remote: Some(state), lost }, start + S * at);
            coupling.verdict()
        };
        assert_eq!(coupling.hold(), None);
        for (lost, at) in [(1, 0), (2, 10), (3, 20)] {
            assert_eq!(look(&mut coupling, at, State::Down, lost), Verdict::End);
            look(&mut coupling, at + 1, State::Up, lost);
            if lost < 3 {
                assert_eq!(look(&mut coupling, at + 8, State::Up, lost), Verdict::Go);
                coupling.handle_established();
            }
        }
        let hold = Hold { losses: 3, steady: 4 * S, until: Some(start + 25 * S) };
        assert_eq!(coupling.hold(), Some(hold));
        let left = coupling.hand_over(start + 22 * S);
        let expected = Left { lost: true, returning: true, counted: 3, last: Some(2 * S), lately: 3 };
        assert_eq!(left, expected);
        // The session of BFD goes on, or another has begun: how often the path was lost is counted on, or from nothing.
        for counted in [3, 0] {
            let mut next = Coupling::take_over(left, start + 22 * S);
            assert_eq!((next.verdict(), next.is_needed()), (Verdict::End, true));
            assert_eq!(next.hold(), Some(Hold { until: None, ..hold }));
            assert_eq!(look(&mut next, 23, State::Up, counted), Verdict::End);
            assert_eq!(look(&mut next, 26, State::Up, counted), Verdict::End);
            assert_eq!(look(&mut next, 27, State::Up, counted), Verdict::Go);
            assert!(next.is_needed(), "until it is back");
            next.handle_established();
            assert_eq!(look(&mut next, 30, State::Down, counted + 1), Verdict::End);
            assert_eq!(next.hold().map(|hold| hold.steady), Some(8 * S));
        }
        // What was lost while nobody looked.
        let well = Left { lost: false, returning: false, ..left };
        let mut next = Coupling::take_over(well, start + 22 * S);
        assert_eq!((next.verdict(), next.is_needed()), (Verdict::Go, false));
        assert_eq!(look(&mut next, 23, State::Down, 4), Verdict::End);
    }

    #[test]
    fn no_path_is_waited_for_for_ever() {
        let (mut now, mut coupling) = (Instant::now(), Coupling::default());
        for lost in 1..100 {
            coupling.handle(Sight { state: State::Down, remote: Some(State::Down), lost }, now);
            coupling.handle(Sight { state: State::Up, remote: Some(State::Up), lost }, now);
            assert!(coupling.poll_timeout().unwrap() <= now + LONGEST);
            now = coupling.poll_timeout().unwrap();
            coupling.handle(Sight { state: State::Up, remote: Some(State::Up), lost }, now);
            assert_eq!(coupling.verdict(), Verdict::Go);
        }
    }
}
