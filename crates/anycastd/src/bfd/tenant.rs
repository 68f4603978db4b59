//! A session of the thread, with its socket and with what is told of it.

use std::{
    io,
    net::IpAddr,
    num::NonZeroU8,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anycast_bfd::{Cause, Config, Diagnostic, Discard, Entry, Event, Path, Session, State, TTL};
use anycast_core::PeerId;
use prometheus::Histogram;
use tokio::sync::watch;

use super::{
    handover::Left,
    line::{Open, Target},
    seen::Seen,
    sockets::Transmitter,
};

/// How soon a socket that could not be had, or has broken, is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a source address is believed in while nobody answers: routes change.
const STALE: Duration = Duration::from_secs(5);
/// How long a session that another program has left waits for its neighbor's task.
const ORPHANED: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) id: PeerId,
    pub(super) of: PeerId,
    /// Which [`super::Line`] it belongs to.
    pub(super) serial: Option<u64>,
    pub(super) target: Target,
    /// What is configured.
    pub(super) config: Config,
    transmitter: Option<Transmitter>,
    /// When that was last opened, or tried.
    opened: Option<Instant>,
    /// The port that packets come from.
    port: Option<u16>,
    told: Option<Arc<watch::Sender<Seen>>>,
    /// How late its packets leave; noted without a lock and without memory of its own.
    lateness: Option<Histogram>,
    /// When its next periodic packet was to leave.
    planned: Option<Instant>,
    /// When it is over, where it is being ended.
    pub(super) over: Option<Instant>,
    /// When its last packet is said again.
    again: Vec<Instant>,
    since: SystemTime,
    losses: u64,
    /// Those since its neighbor's task began with it, or the one before that left it behind.
    lost: u64,
    last_loss: Option<(String, SystemTime)>,
    last_detection: Option<Duration>,
    discarded: Option<Discarded>,
    /// What the other end said last.
    last_word: Option<(State, Diagnostic)>,
    /// What the kernel says against sending.
    sending: Option<String>,
    /// What it says against hearing.
    pub(super) hearing: Option<String>,
    /// What those who wait were last woken for.
    woken_for: Option<Glance>,
}

/// A packet of the other end's address that was not taken.
#[derive(Debug, Clone)]
struct Discarded {
    why: Discard,
    words: String,
    at: Instant,
    when: SystemTime,
}

/// What somebody may have to do something about.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Glance {
    state: State,
    remote: Option<State>,
    losses: u64,
    problem: Option<String>,
}

impl Tenant {
    /// It belongs to nobody yet, and nothing is known of it.
    fn begin((id, of): (PeerId, PeerId), target: Target, config: Config) -> Self {
        Self {
            id,
            of,
            serial: None,
            target,
            config,
            transmitter: None,
            opened: None,
            port: None,
            told: None,
            lateness: None,
            planned: None,
            over: None,
            again: Vec::new(),
            since: SystemTime::now(),
            losses: 0,
            lost: 0,
            last_loss: None,
            last_detection: None,
            discarded: None,
            last_word: None,
            sending: None,
            hearing: None,
            woken_for: None,
        }
    }

    /// The count of losses goes on.
    pub(super) fn new(open: &Open) -> Self {
        let before = open.told.borrow().clone();
        let last_word = before.admin_down();
        let Seen { losses, last_loss, last_detection, .. } = before;
        let ids = (open.id.clone(), open.of.clone());
        Self {
            losses,
            last_loss,
            last_detection,
            last_word,
            ..Self::begin(ids, open.target.clone(), open.config.clone())
        }
    }

    /// One that another program has left; it waits for its neighbor's task.
    pub(super) fn left(left: &Left, ids: (PeerId, PeerId), config: Config, now: Instant) -> Self {
        let time = |(text, at): &(String, anycast_api::Timestamp)| (text.clone(), at.system_time());
        Self {
            port: left.port,
            over: Some(now + ORPHANED),
            since: left.since.system_time(),
            losses: left.losses,
            lost: left.lost,
            last_word: left.admin_down.then_some((State::AdminDown, Diagnostic::ADMINISTRATIVELY_DOWN)),
            last_loss: left.last_loss.as_ref().map(time),
            last_detection: left.last_detection,
            ..Self::begin(ids, left.target(), config)
        }
    }

    /// It is told of to whoever has opened it.
    pub(super) fn belong(&mut self, open: &Open) {
        (self.serial, self.told, self.over) = (Some(open.serial), Some(Arc::clone(&open.told)), None);
        (self.target, self.config) = (open.target.clone(), open.config.clone());
        self.lateness = Some(open.lateness.clone());
        self.woken_for = None;
    }

    /// Its neighbor's task is gone, and another is to come.
    pub(super) fn orphan(&mut self, now: Instant) {
        (self.serial, self.told, self.over) = (None, None, Some(now + ORPHANED));
    }

    /// Nobody is told of it any more.
    pub(super) fn part(&mut self, now: Instant, farewell: Duration) {
        (self.serial, self.told, self.over) = (None, None, Some(now + farewell));
        // One that is lost would be missed: by itself it is said again after a second only (RFC 5880 §6.8.3).
        self.again = if farewell.is_zero() { Vec::new() } else { vec![now + farewell * 2 / 3, now + farewell / 3] };
    }

    /// Says its last packet once more, where that is due.
    pub(super) fn repeat(&mut self, session: &mut Session, now: Instant) {
        while self.again.pop_if(|at| *at <= now).is_some() {
            if let (Some(packet), Some(transmitter)) = (session.repeat(now), &self.transmitter) {
                // The next one will do.
                let _ = transmitter.send(&packet);
            }
        }
    }

    pub(super) fn repeats_at(&self) -> Option<Instant> {
        self.again.last().copied()
    }

    pub(super) fn leave(&self, session: &Session, router: Option<IpAddr>, now: Instant) -> Left {
        let (min_ttl, interface) = match self.target.path {
            Path::Multihop { min_ttl } => (NonZeroU8::new(min_ttl).or(NonZeroU8::new(1)), None),
            Path::SingleHop { interface } => (None, interface),
        };
        Left {
            id: self.id.to_string(),
            of: self.of.to_string(),
            router,
            remote: self.target.remote,
            scope: self.target.scope,
            source: self.target.source,
            device: self.target.device.clone(),
            min_ttl,
            interface,
            port: self.port,
            since: self.since.into(),
            losses: self.losses,
            lost: self.lost,
            admin_down: self.remote(session).is_some_and(|(state, _)| state == State::AdminDown),
            last_loss: self.last_loss.clone().map(|(text, at)| (text, at.into())),
            last_detection: self.last_detection,
            session: session.hand_over(now),
        }
    }

    /// Sends what the session has to say, if there is a way.
    pub(super) fn transmit(&mut self, session: &mut Session, now: Instant, mut random: impl FnMut() -> u64) {
        // What goes before its time, because something is new, is not late.
        let mut planned = self.planned.filter(|at| *at <= now && session.periodic_at().is_some());
        while let Some(packet) = session.poll_transmit(now) {
            self.equip(session.state(), now, &mut random);
            let Some(transmitter) = &self.transmitter else { continue };
            match transmitter.send(&packet) {
                Ok(()) => {
                    self.sending = None;
                    if let (Some(at), Some(lateness)) = (planned.take(), &self.lateness) {
                        lateness.observe(at.elapsed().as_secs_f64());
                    }
                }
                // Its queue is full, or memory is short: as if it had been lost on the way.
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    self.sending = Some(self.words(&error));
                    self.transmitter = None;
                }
            }
        }
        self.planned = session.periodic_at();
    }

    /// Opens the socket where there is none, or another may lead elsewhere.
    fn equip(&mut self, state: State, now: Instant, random: &mut impl FnMut() -> u64) {
        let age = self.opened.map(|at| now.saturating_duration_since(at));
        let due = match &self.transmitter {
            None => age.is_none_or(|age| age >= AGAIN),
            Some(_) => state == State::Down && self.target.source.is_none() && age.is_none_or(|age| age >= STALE),
        };
        if !due {
            return;
        }
        self.opened = Some(now);
        // Its port is to be had again.
        self.transmitter = None;
        match Transmitter::open(&self.target, self.port, random) {
            Ok(transmitter) => {
                self.port = Some(transmitter.local().port());
                self.transmitter = Some(transmitter);
            }
            Err(error) => self.sending = Some(self.words(&error)),
        }
    }

    fn words(&self, error: &io::Error) -> String {
        let hint = match (error.raw_os_error(), self.target.source) {
            (Some(libc::EADDRNOTAVAIL), Some(source)) => format!(" (is {source} an address of this node?)"),
            (Some(libc::EPERM), _) => " (does a packet filter of this node drop what it sends?)".to_owned(),
            _ => String::new(),
        };
        format!("BFD packets to {} cannot be sent: {error}{hint}", self.target.remote)
    }

    /// A packet that came from there was none for this session.
    pub(super) fn note_discard(&mut self, why: Discard, ttl: u8) {
        let least = match self.target.path {
            Path::SingleHop { .. } => TTL,
            Path::Multihop { min_ttl } => min_ttl,
        };
        let words = match why {
            Discard::Ttl => format!("a TTL of {ttl}, and {least} is the least"),
            other => other.to_string(),
        };
        self.discarded = Some(Discarded { why, words, at: Instant::now(), when: SystemTime::now() });
    }

    /// Takes note of what the session tells; the other end had been silent for so long.
    pub(super) fn note(&mut self, event: Event, silent: Option<Duration>, now: Instant) {
        let Event::Changed { from, to: _, cause } = event else { return };
        self.since = SystemTime::now();
        let lost = match cause {
            Cause::DetectionTimeExpired => {
                self.last_detection = silent;
                // What came meanwhile says why nothing was heard.
                let meanwhile =
                    |it: &&Discarded| silent.is_some_and(|time| now.saturating_duration_since(it.at) <= time);
                let discarded = self.discarded.as_ref().filter(meanwhile);
                let but = discarded.map(|it| format!(", but for what was discarded: {}", it.words)).unwrap_or_default();
                let silent = silent.map(|time| format!(" for {:.0} ms", time.as_secs_f64() * 1000.0));
                let silent = silent.unwrap_or_default();
                format!("nothing was heard of the neighbor{silent}{but}")
            }
            Cause::SignaledDown(why) => format!("the neighbor told that the session is down ({why})"),
            // Nobody says of the path that it is lost (RFC 5882 §3.2).
            Cause::Heard | Cause::SignaledAdminDown | Cause::Administrative | Cause::Suspended => return,
        };
        if from == State::Up {
            self.losses += 1;
            self.lost += 1;
            self.last_loss = Some((lost, self.since));
        }
    }

    /// Tells what is known; those who wait are woken where they may have to do something about it.
    pub(super) fn tell(&mut self, entry: &Entry, quietly: bool) {
        let session = &entry.session;
        self.last_word = session.remote().or(self.last_word);
        let Some(told) = self.told.clone() else { return };
        let glance = Glance {
            state: session.state(),
            remote: self.remote(session).map(|(state, _)| state),
            losses: self.losses,
            problem: self.problem(),
        };
        let wakes = self.woken_for.as_ref() != Some(&glance);
        if !wakes && !quietly {
            return;
        }
        self.woken_for = Some(glance);
        let seen = self.seen(entry);
        told.send_if_modified(|held| {
            *held = seen;
            wakes
        });
    }

    /// What the other end says; that it is taken down it need not say again (RFC 5880 §6.8.16).
    fn remote(&self, session: &Session) -> Option<(State, Diagnostic)> {
        session.remote().or(self.last_word.filter(|(state, _)| *state == State::AdminDown))
    }

    fn problem(&self) -> Option<String> {
        self.hearing.clone().or_else(|| self.sending.clone())
    }

    fn seen(&self, entry: &Entry) -> Seen {
        let session = &entry.session;
        let (ours, theirs) = session.discriminators();
        let local = self.transmitter.as_ref().map(|transmitter| transmitter.local().ip());
        let interface = match self.target.path {
            Path::SingleHop { interface } => interface,
            Path::Multihop { .. } => None,
        };
        Seen {
            state: session.state(),
            diagnostic: session.diagnostic(),
            since: self.since,
            remote: self.remote(session),
            losses: self.losses,
            lost: self.lost,
            last_loss: self.last_loss.clone(),
            last_detection: self.last_detection,
            discriminators: (ours.get(), theirs),
            ends: local.map(|local| (local, self.target.remote)),
            interface,
            multihop: matches!(self.target.path, Path::Multihop { .. }),
            transmit_interval: session.transmit_interval(),
            receive_interval: session.receive_interval(),
            detection_time: session.detection_time(),
            remote_detection_time: session.remote_detection_time(),
            measured: session.measured(),
            counters: session.counters(),
            last_word: self.last_word,
            discarded: self.discarded.clone().map(|it| (it.why, it.words, it.when)),
            problem: self.problem(),
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM | libc::EINTR | libc::ECONNREFUSED | libc::EMSGSIZE)
    )
}
