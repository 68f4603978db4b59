//! BFD in the words of the control socket: what is configured, what is seen, and what follows when the two do not fit.

use std::time::{Duration, Instant, SystemTime};

use anycast_api::{self as api, Timestamp};
use anycast_bfd::{Diagnostic, Discard, MULTIHOP_PORT, SINGLE_HOP_PORT, State};
use anycast_bgp as bgp;
use anycast_core::{
    PeerId,
    config::{Bfd, Neighbor},
    path::Hold,
};

use super::Agent;
use crate::{bfd::Seen, kernel::Links, peer::Peer};

/// A session that both ends want is Up by then: while it is not, each sends every second (RFC 5880 §6.8.3).
const BEGINS: Duration = Duration::from_secs(10);

/// BFD with a neighbor; `None`: it is not configured.
pub(super) fn bfd(
    neighbor: &Neighbor,
    seen: Option<&Seen>,
    hold: Option<api::BfdHold>,
    links: &Links,
) -> Option<api::Bfd> {
    let Bfd { interval, multiplier, strict, multihop: _, min_ttl: _, authentication } = neighbor.bfd.as_ref()?;
    Some(api::Bfd {
        interval_seconds: interval.as_secs_f64(),
        multiplier: multiplier.get(),
        strict: *strict,
        authentication: authentication.as_ref().map(|with| with.auth_type.name().to_owned()),
        key_id: authentication.as_ref().map(|with| with.key_id),
        held_back: hold,
        session: seen.filter(|seen| has_begun(seen)).map(|seen| session(seen, links)),
    })
}

/// What the BGP session waits for that ended with the path.
pub(super) fn held_back(hold: Hold, now: Instant) -> api::BfdHold {
    api::BfdHold {
        losses: hold.losses,
        up_seconds: hold.steady.as_secs_f64(),
        left_seconds: hold.until.map(|until| until.saturating_duration_since(now).as_secs_f64()),
    }
}

/// Where the neighbor is not known yet there is no session, and nobody to answer.
const fn has_begun(seen: &Seen) -> bool {
    seen.discriminators.0 != 0 || seen.problem.is_some()
}

fn session(seen: &Seen, links: &Links) -> api::BfdSession {
    let known = |discriminator| Some(discriminator).filter(|discriminator| *discriminator != 0);
    let heard = |time: Duration| seen.remote.map(|_| time.as_secs_f64()).filter(|seconds| *seconds > 0.0);
    let interface = |index: u32| {
        let all = links.iter().flat_map(|links| links.iter());
        all.filter(|(_, interface)| interface.index == index).map(|(name, _)| name.to_string()).next()
    };
    let since = Timestamp::from(seen.since);
    api::BfdSession {
        state: seen.state.to_string(),
        since,
        since_seconds: since.age(SystemTime::now()).as_secs_f64(),
        diagnostic: seen.diagnostic.to_string(),
        remote_state: seen.remote.map(|(state, _)| state.to_string()),
        remote_diagnostic: seen.remote.map(|(_, diagnostic)| diagnostic.to_string()),
        losses: seen.losses,
        last_loss: seen.last_loss.as_ref().map(|(text, _)| text.clone()),
        last_loss_at: seen.last_loss.as_ref().map(|(_, at)| (*at).into()),
        last_detection_seconds: seen.last_detection.map(|time| time.as_secs_f64()),
        local_discriminator: known(seen.discriminators.0),
        remote_discriminator: known(seen.discriminators.1),
        local_address: seen.ends.map(|(local, _)| local.to_string()),
        remote_address: seen.ends.map(|(_, remote)| remote.to_string()),
        interface: seen.interface.and_then(interface),
        multihop: seen.multihop,
        transmit_seconds: seen.transmit_interval.as_secs_f64(),
        receive_seconds: seen.receive_interval.as_secs_f64(),
        detection_seconds: heard(seen.detection_time),
        remote_detection_seconds: heard(seen.remote_detection_time),
        measured_seconds: seen.measured.interval.map(|time| time.as_secs_f64()),
        longest_gap_seconds: Some(seen.measured.longest).filter(|gap| !gap.is_zero()).map(|gap| gap.as_secs_f64()),
        counters: [
            ("packets_received", seen.counters.received),
            ("packets_transmitted", seen.counters.transmitted),
            ("packets_unauthentic", seen.counters.unauthentic),
        ]
        .map(|(name, count)| (name.to_owned(), count))
        .into(),
        last_discard: seen.discarded.as_ref().map(|(_, words, _)| words.clone()),
        last_discard_at: seen.discarded.as_ref().map(|(.., at)| (*at).into()),
        problem: seen.problem.clone(),
    }
}

/// Why BFD does not notice a dead path to a neighbor, although it is to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ailment {
    /// We cannot have a session: why.
    Ours(String),
    /// The neighbor is not heard; `before`: it was.
    Unanswered { before: bool },
    /// Something comes from its address, and is not taken: why, and the same in words.
    Discarded(Discard, String),
    /// It is heard, and the session is not Up: its state and its diagnostic.
    NotUp(String),
    /// Whoever operates the neighbor has taken the session down.
    AdminDown,
}

impl Ailment {
    /// `None`: it is well, or may be so in a moment, or it is we who have taken it down. `now` is on the clock of [`Seen::since`].
    pub(crate) fn of(seen: &Seen, now: SystemTime) -> Option<Self> {
        let Seen { state, since, remote, last_word, discarded, problem, losses, .. } = seen;
        if let Some(problem) = problem {
            return Some(Self::Ours(problem.clone()));
        }
        // A clock that was set back says nothing.
        let lately = |at: &SystemTime| now.duration_since(*at).is_ok_and(|age| age < BEGINS);
        if matches!(state, State::Up | State::AdminDown) || lately(since) || !has_begun(seen) {
            return None;
        }
        Some(match (remote, discarded) {
            (Some((State::AdminDown, _)), _) => Self::AdminDown,
            (Some((state, Diagnostic::NONE)), _) => Self::NotUp(state.to_string()),
            (Some((state, diagnostic)), _) => Self::NotUp(format!("{state}, {diagnostic}")),
            (None, Some((why, words, at))) if lately(at) => Self::Discarded(*why, words.clone()),
            (None, _) => Self::Unanswered { before: *losses > 0 || last_word.is_some() },
        })
    }

    /// What is seen of it, after `the router`.
    pub(crate) fn seen(&self) -> String {
        match self {
            Self::Ours(problem) => format!("cannot be spoken to: {problem}"),
            Self::Unanswered { before: false } => "does not answer".to_owned(),
            Self::Unanswered { before: true } => "does not answer any more".to_owned(),
            Self::Discarded(Discard::Discriminator, _) => {
                "answers a session of ours that is gone, so it does not hear this one".to_owned()
            }
            Self::Discarded(_, words) => format!("sends packets that are discarded: {words}"),
            Self::NotUp(state) => format!("answers, and the session is not Up; it says {state}"),
            Self::AdminDown => "has taken the session down (AdminDown)".to_owned(),
        }
    }

    /// What to do about it, in a few words.
    fn remedy(&self, multihop: bool) -> Option<String> {
        let port = if multihop { MULTIHOP_PORT } else { SINGLE_HOP_PORT };
        Some(match self {
            Self::Ours(_) | Self::AdminDown => return None,
            Self::Unanswered { before: false } => {
                format!("configure BFD for this node there and let UDP port {port} through, or take `bfd` out here")
            }
            Self::Unanswered { before: true } => {
                format!("see whether its BFD runs, and whether UDP port {port} is still let through")
            }
            Self::Discarded(Discard::Unauthentic(_), _) => {
                "see `bfd.authentication`: type, key ID and password are the same at both ends".to_owned()
            }
            Self::Discarded(Discard::Ttl, _) if multihop => {
                "`bfd.min_ttl` is to be what comes over the hops that there are, where that may be".to_owned()
            }
            Self::Discarded(Discard::Ttl | Discard::Port, _) => {
                "both ends are to take the path for one hop, or both for several (`bfd.multihop`)".to_owned()
            }
            Self::NotUp(_) | Self::Discarded(Discard::Discriminator, _) => {
                format!("it does not hear us: let UDP port {port} through to it")
            }
            Self::Discarded(..) => "`anycastctl doctor` looks further".to_owned(),
        })
    }
}

/// What it means that BFD does not see to it.
fn noticed_by(hold: Option<Duration>) -> String {
    match hold {
        Some(hold) => format!("a dead path is noticed by the hold timer only, after {} s", hold.as_secs()),
        None => "nothing notices a dead path (hold time 0)".to_owned(),
    }
}

/// BFD of a neighbor that does not do what it is to.
fn problem(
    id: &PeerId,
    bfd: &Bfd,
    seen: &Seen,
    established: Option<(Duration, Option<Duration>)>,
    hold: Option<&str>,
    now: SystemTime,
) -> Option<String> {
    let Some(ailment) = Ailment::of(seen, now) else {
        return hold.map(|hold| format!("neighbor {id}: the path to the router came and went: {hold}"));
    };
    let follows = match established {
        // Another session that just began: it may be that one's first moment.
        Some((since, _)) if since < BEGINS => return None,
        // What the operator of the router does is that one's affair.
        _ if ailment == Ailment::AdminDown => return None,
        Some((_, hold)) => noticed_by(hold),
        None if bfd.strict => "there is no session before it is Up (`bfd.strict`)".to_owned(),
        None => match hold {
            Some(hold) => format!("the session ended with the path; {hold}"),
            None => "the session ended with the path, and does not come back before it is Up".to_owned(),
        },
    };
    let remedy = ailment.remedy(seen.multihop).map_or_else(String::new, |remedy| format!("; {remedy}"));
    Some(format!("neighbor {id}: BFD is configured, and the router {}: {follows}{remedy}", ailment.seen()))
}

impl Agent {
    /// What is wrong with BFD, a line for each neighbor.
    pub(super) fn bfd_problems(&self) -> impl Iterator<Item = String> {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let of = move |(id, peer): (&PeerId, &Peer)| {
            let (bfd, seen) = (peer.neighbor.bfd.as_ref()?, peer.bfd()?);
            let state = peer.state.borrow();
            let established = (state.state == bgp::State::Established).then(|| {
                let hold = state.negotiated.as_ref().and_then(|session| session.hold_time.duration());
                (now.saturating_duration_since(state.since), hold)
            });
            // The first time it is but a second.
            let hold = peer.hold(state.state).filter(|hold| hold.losses > 1);
            problem(id, bfd, &seen, established, hold.map(|hold| held_words(hold, now)).as_deref(), wall)
        };
        self.peers.iter().filter_map(of)
    }

    /// The thread of BFD.
    pub(super) fn bfd_thread(&self) -> api::BfdThread {
        let discards = self.bfd.discards().into_iter().map(|(reason, count)| (reason.to_owned(), count));
        api::BfdThread {
            without_priority: self.bfd.without_priority().map(str::to_owned),
            discards: discards.collect(),
        }
    }
}

/// What the BGP session waits for that ended with the path, in words.
pub(super) fn held_words(hold: Hold, now: Instant) -> String {
    let steady = hold.steady.as_secs();
    let often = match hold.losses {
        0 | 1 => String::new(),
        losses => format!(" (it was lost {losses} times of late)"),
    };
    match hold.until {
        Some(until) => {
            let left = until.saturating_duration_since(now).as_secs_f64().ceil();
            format!("BGP comes back when BFD has been Up for {steady} s, in {left} s{often}")
        }
        None => format!("BGP comes back when BFD is Up and has been for {steady} s{often}"),
    }
}

/// For the chain of `explain`: that there is no session because it waits for the path.
pub(super) fn awaited(peer: &Peer, state: bgp::State, now: Instant) -> String {
    match (peer.bfd(), peer.hold(state)) {
        (Some(seen), Some(hold)) if state == bgp::State::Idle => {
            let down = if hold.until.is_some() { String::new() } else { format!("BFD is {}: ", seen.state) };
            format!("; {down}{}", held_words(hold, now))
        }
        (Some(seen), None) if state == bgp::State::Idle && has_begun(&seen) => {
            format!("; it waits for BFD, which is {}", seen.state)
        }
        (Some(_) | None, _) => String::new(),
    }
}

/// For the chain of `explain`: how a dead path to an Established neighbor is noticed, where BFD is to.
pub(super) fn in_chain(peer: &Peer) -> &'static str {
    match (&peer.neighbor.bfd, peer.bfd()) {
        (None, _) => "",
        (Some(_), Some(Seen { state: State::Up, .. })) => ", BFD Up",
        (Some(_), _) => ", BFD not Up: a dead path is noticed by the hold timer only",
    }
}

#[cfg(test)]
mod tests {
    use anycast_bfd::Unauthentic;
    use anycast_core::config::Endpoint;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    /// Of a BGP session that is Established for long.
    const LONG: Option<(Duration, Option<Duration>)> = Some((DAY, Some(Duration::from_secs(90))));

    fn seen(state: State, remote: Option<State>) -> Seen {
        let remote = remote.map(|state| (state, Diagnostic::DETECTION_TIME_EXPIRED));
        Seen { state, remote, since: SystemTime::UNIX_EPOCH + DAY, discriminators: (1, 0), ..Seen::default() }
    }

    fn told(bfd: &Bfd, seen: &Seen, established: Option<(Duration, Option<Duration>)>) -> String {
        let now = SystemTime::UNIX_EPOCH + 2 * DAY;
        problem(&PeerId::new("leaf1").unwrap(), bfd, seen, established, None, now).unwrap_or_default()
    }

    #[test]
    fn one_that_does_not_speak_it_is_said_plainly_and_one_that_is_well_is_not() {
        let bfd = Bfd::default();
        let down = seen(State::Down, None);
        assert_eq!(
            told(&bfd, &down, LONG),
            "neighbor leaf1: BFD is configured, and the router does not answer: a dead path is noticed by the hold timer only, after 90 s; \
             configure BFD for this node there and let UDP port 3784 through, or take `bfd` out here"
        );
        assert!(told(&bfd, &Seen { multihop: true, ..down.clone() }, LONG).contains("UDP port 4784"));
        assert!(told(&bfd, &down, Some((DAY, None))).contains("nothing notices a dead path (hold time 0)"));
        assert_eq!(told(&bfd, &seen(State::Up, Some(State::Up)), LONG), "");
        assert_eq!(told(&bfd, &down, Some((Duration::from_secs(3), None))), "", "it may begin yet");
        let since = SystemTime::UNIX_EPOCH + 2 * DAY - Duration::from_secs(9);
        assert_eq!(told(&bfd, &Seen { since, ..down.clone() }, LONG), "", "it may begin yet");
        assert_eq!(told(&bfd, &Seen { discriminators: (0, 0), ..down.clone() }, LONG), "", "it has not begun");
        assert_eq!(told(&bfd, &seen(State::AdminDown, None), LONG), "", "we have ended it");
        let held = told(&bfd, &seen(State::Init, Some(State::Down)), None);
        assert!(held.contains("the session ended with the path, and does not come back before it is Up"), "{held}");
        let strict = Bfd { strict: true, ..bfd.clone() };
        assert!(told(&strict, &down, None).contains("there is no session before it is Up (`bfd.strict`)"));
        let before = told(&bfd, &Seen { losses: 1, ..down }, LONG);
        assert!(before.contains("the router does not answer any more"), "{before}");
        assert!(
            before.ends_with("see whether its BFD runs, and whether UDP port 3784 is still let through"),
            "{before}"
        );
    }

    #[test]
    fn what_is_waited_for_is_said() {
        let now = Instant::now();
        let hold = Hold { losses: 1, steady: Duration::from_secs(1), until: None };
        assert_eq!(held_words(hold, now), "BGP comes back when BFD is Up and has been for 1 s");
        let until = Some(now + Duration::from_millis(22_300));
        let hold = Hold { losses: 6, steady: Duration::from_secs(32), until };
        let words = held_words(hold, now);
        assert_eq!(words, "BGP comes back when BFD has been Up for 32 s, in 23 s (it was lost 6 times of late)");
        let told = |seen: &Seen| {
            let (id, wall) = (PeerId::new("leaf1").unwrap(), SystemTime::UNIX_EPOCH + 2 * DAY);
            problem(&id, &Bfd::default(), seen, None, Some(&words), wall).unwrap()
        };
        let up = told(&seen(State::Up, Some(State::Up)));
        assert_eq!(up, format!("neighbor leaf1: the path to the router came and went: {words}"));
        let down = told(&seen(State::Down, None));
        assert!(
            down.contains(&format!("does not answer: the session ended with the path; {words}; configure")),
            "{down}"
        );
        let hold = held_back(hold, now);
        assert_eq!((hold.losses, hold.up_seconds, hold.left_seconds), (6, 32.0, Some(22.3)));
    }

    #[test]
    fn each_ailment_has_its_words() {
        let told = |seen: &Seen| told(&Bfd::default(), seen, LONG);
        let down = seen(State::Down, Some(State::Down));
        assert!(told(&down).contains("it says Down, Control Detection Time Expired"), "{}", told(&down));
        assert!(told(&down).ends_with("it does not hear us: let UDP port 3784 through to it"), "{}", told(&down));
        assert_eq!(told(&seen(State::Down, Some(State::AdminDown))), "", "the router's operator wants it so");
        let ours = Seen { problem: Some("port 3784: in use".to_owned()), ..seen(State::Down, None) };
        assert!(
            told(&ours).contains("the router cannot be spoken to: port 3784: in use: a dead path"),
            "{}",
            told(&ours)
        );
        let plain = Seen { remote: Some((State::Down, Diagnostic::NONE)), ..seen(State::Down, None) };
        assert!(told(&plain).contains("not Up; it says Down: a dead path"), "{}", told(&plain));
        let discarded = |why| {
            let at = SystemTime::UNIX_EPOCH + 2 * DAY - Duration::from_secs(1);
            told(&Seen { discarded: Some((why, why.to_string(), at)), ..seen(State::Down, None) })
        };
        let key = discarded(Discard::Unauthentic(Unauthentic::Digest));
        assert!(key.contains("discarded: not authentic: another password or digest"), "{key}");
        assert!(key.ends_with("type, key ID and password are the same at both ends"), "{key}");
        assert!(discarded(Discard::Port).contains("`bfd.multihop`"), "{}", discarded(Discard::Port));
        let gone = discarded(Discard::Discriminator);
        assert!(gone.contains("it does not hear us"), "{gone}");
        let word = Some((State::AdminDown, Diagnostic::ADMINISTRATIVELY_DOWN));
        let silent = Seen { remote: word, ..seen(State::Down, None) };
        assert_eq!(told(&silent), "", "its operator's affair");
        let old =
            Seen { discarded: Some((Discard::Ttl, String::new(), SystemTime::UNIX_EPOCH)), ..seen(State::Down, None) };
        assert!(told(&old).contains("does not answer"), "what was discarded yesterday says nothing of today");
    }

    #[test]
    fn what_is_unknown_is_not_shown_as_a_number() {
        let endpoint = Endpoint::Address([192, 0, 2, 1].into());
        let mut neighbor = Neighbor::new(endpoint, bgp::PeerAs::External);
        assert_eq!(bfd(&neighbor, None, None, &None), None);
        neighbor.bfd = Some(Bfd::default());
        let configured = bfd(&neighbor, None, None, &None).unwrap();
        assert_eq!((configured.interval_seconds, configured.multiplier, &configured.session), (0.3, 3, &None));
        assert_eq!(bfd(&neighbor, Some(&Seen::default()), None, &None), Some(configured), "it has not begun");
        let session = |seen: &Seen| bfd(&neighbor, Some(seen), None, &None).unwrap().session.unwrap();
        let unheard = session(&Seen { discriminators: (7, 0), ..seen(State::Down, None) });
        assert_eq!((unheard.local_discriminator, unheard.remote_discriminator), (Some(7), None));
        assert_eq!((unheard.detection_seconds, unheard.remote_state, unheard.local_address), (None, None, None));
        let up = session(&Seen {
            detection_time: Duration::from_millis(900),
            ends: Some(([192, 0, 2, 2].into(), [192, 0, 2, 1].into())),
            ..seen(State::Up, Some(State::Up))
        });
        assert_eq!((up.state.as_str(), up.detection_seconds), ("Up", Some(0.9)));
        assert_eq!(up.remote_diagnostic.as_deref(), Some("Control Detection Time Expired"));
        assert_eq!(up.local_address.as_deref(), Some("192.0.2.2"));
        let links: Links = Some(std::sync::Arc::new(
            [("eth1".into(), crate::kernel::Interface { index: 4, ..Default::default() })].into(),
        ));
        let by = |index| bfd(&neighbor, Some(&Seen { interface: index, ..seen(State::Up, None) }), None, &links);
        let by = |index| by(index).unwrap().session.unwrap().interface;
        assert_eq!((by(Some(4)).as_deref(), by(Some(5)), by(None)), (Some("eth1"), None, None));
    }
}
