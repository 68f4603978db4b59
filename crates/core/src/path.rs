//! What the state of a BFD session means for the BGP session over the same path (RFC 5882 §4).

use std::time::{Duration, Instant};

use anycast_bfd::State;

/// A neighbor that has not been heard for so long does not speak BFD, or not any more: whether the path is well is found out by dialling.
/// It is longer than three packets of one whose session is not Up take (RFC 5880 §6.8.3).
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
    /// What the neighbor says of its own; `None`: it is not heard.
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
        let given_up = self.silent.is_some_and(|since| now.saturating_duration_since(since) >= SILENCE);
        let steady = self.up.is_some_and(|since| now.saturating_duration_since(since) >= self.steady());
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
        let times = [self.silent.map(|since| since + SILENCE), self.up.map(|since| since + self.steady())];
        times.into_iter().flatten().min().filter(|_| self.lost)
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
        let stories: [(&str, bool, &[Step]); 8] = [
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
                    (15, Down, None, 1, Wait),
                    (16, Down, Some(AdminDown), 1, Go),
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
