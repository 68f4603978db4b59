//! BFD sessions with the neighbors (RFC 5880 to 5883): a dead path is noticed within a few intervals.
//!
//! One thread of the operating system has their sockets and timers ([`thread`]), at a real-time priority where that is allowed; nothing
//! that goes on in the rest of the process delays it. What it knows of a session goes out by a `watch` ([`Seen`]); what sessions there
//! are to be comes in by a queue ([`Line`]). It does not outlive the decision loop's heartbeat: while that is missing, no session is Up.

mod handover;
mod line;
mod priority;
mod seen;
mod sockets;
mod tenant;
mod thread;
mod timers;

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use anycast_bfd::{Config, Discard, Micros, Path};
use anycast_core::{
    PeerId,
    config::{self, Distance},
};
use prometheus::HistogramVec;
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::oneshot;

pub(crate) use self::{
    handover::Parted,
    line::{Line, Target},
    seen::Seen,
};
use self::{line::Command, thread::Thread};
use crate::{fence::Fence, handover::Places};

/// How long the other end waits for us at least while one program takes the place of another.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// How long it may take to agree on that.
const AGREED: Duration = Duration::from_millis(1500);
/// How long the thread may take to answer.
const ANSWERS: Duration = Duration::from_secs(1);

/// Where the thread is told what to do. Clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Bfd {
    /// There always are, but for the moment of the end.
    commands: Option<mpsc::Sender<Command>>,
    bell: Arc<OwnedFd>,
    shared: Arc<Shared>,
    /// How late packets leave, by neighbor.
    lateness: HistogramVec,
}

/// What is to be known of the thread itself.
#[derive(Debug, Default)]
struct Shared {
    /// Why it has no real-time priority, if it has none.
    priority: OnceLock<Result<(), String>>,
    discards: [AtomicU64; REASONS.len()],
    /// Sessions that are being ended.
    parting: AtomicUsize,
    serial: AtomicU64,
}

/// Why packets are discarded, as labels of a metric.
const REASONS: [&str; 8] =
    ["malformed", "ttl", "discriminator", "unknown_sender", "address", "port", "interface", "authentication"];

impl Shared {
    fn count(&self, why: &Discard) {
        let place = match why {
            Discard::Malformed(_) => 0,
            Discard::Ttl => 1,
            Discard::Discriminator => 2,
            Discard::Sender => 3,
            Discard::Address => 4,
            Discard::Port => 5,
            Discard::Interface => 6,
            Discard::Unauthentic(_) => 7,
        };
        if let Some(count) = self.discards.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Bfd {
    /// Begins with the sessions that another program has left, if any did.
    ///
    /// # Errors
    /// There is no thread, or no descriptor to wake it by.
    pub(crate) fn start(fence: Fence, lateness: HistogramVec, left: Option<Begin<'_>>) -> io::Result<Self> {
        let (commands, obeyed) = mpsc::channel();
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let shared = Arc::new(Shared::default());
        let mut thread = Thread::new(obeyed, Arc::clone(&bell), Arc::clone(&shared), fence);
        if let Some(Begin { left, neighbors, places }) = left {
            thread.take_over(left, neighbors, places);
        }
        std::thread::Builder::new().name("bfd".to_owned()).spawn(move || thread.run())?;
        Ok(Self { commands: Some(commands), bell, shared, lateness })
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self::start(Self::fence_for_tests(), Self::lateness_for_tests(), None).expect("a thread")
    }

    #[cfg(test)]
    pub(crate) fn lateness_for_tests() -> HistogramVec {
        crate::metrics::Instruments::new().expect("names are different").lateness()
    }

    /// One whose loop, which there is not, may be silent.
    #[cfg(test)]
    pub(crate) fn fence_for_tests() -> Fence {
        let fence = Fence::for_tests();
        fence.set_stale_after(Duration::from_secs(3_600));
        fence
    }

    /// Why it has no real-time priority; `None`: it has one, or has not tried yet.
    pub(crate) fn without_priority(&self) -> Option<&str> {
        self.shared.priority.get()?.as_ref().err().map(String::as_str)
    }

    /// How many packets were discarded, by reason.
    pub(crate) fn discards(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.shared.discards.iter().map(|count| count.load(Ordering::Relaxed));
        REASONS.into_iter().zip(counts).collect()
    }

    /// Whether no session is being ended any more: the neighbors were told for as long as they wait for a packet.
    pub(crate) fn is_quiet(&self) -> bool {
        self.shared.parting.load(Ordering::Acquire) == 0
    }

    /// Has the neighbors wait longer for us, and comes back when they all have agreed, or do not answer.
    pub(crate) async fn slow_down(&self) {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::SlowDown { until: Instant::now() + AGREED, reply });
        let _ = tokio::time::timeout(AGREED + ANSWERS, answer).await;
    }

    /// The sessions as they are; from now on nothing is sent and nothing is heard, until [`go_on`](Self::go_on).
    pub(crate) async fn hand_over(&self) -> Option<(Parted, Places)> {
        let (reply, answer) = oneshot::channel();
        self.tell(Command::HandOver(reply));
        tokio::time::timeout(ANSWERS, answer).await.ok()?.ok()
    }

    /// Nobody has taken over, or they need not wait so long any more.
    pub(crate) fn go_on(&self) {
        self.tell(Command::GoOn);
    }

    fn tell(&self, command: Command) {
        // It ends with the process only.
        if self.commands.as_ref().is_some_and(|commands| commands.send(command).is_ok()) {
            ring(&self.bell);
        }
    }
}

impl Drop for Bfd {
    fn drop(&mut self) {
        // The last one lets the thread end.
        self.commands = None;
        ring(&self.bell);
    }
}

/// What another program has left.
pub(crate) struct Begin<'a> {
    pub(crate) left: Parted,
    /// What is configured.
    pub(crate) neighbors: &'a BTreeMap<PeerId, config::Neighbor>,
    pub(crate) places: &'a mut Places,
}

fn ring(bell: &OwnedFd) {
    // A bell that has been rung 2^64 - 2 times is heard as well.
    let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
}

/// What the session is told of its configuration.
pub(crate) fn session_config(bfd: &config::Bfd) -> Config {
    let interval = Micros::from_duration(bfd.interval);
    let authentication = bfd.authentication.as_ref();
    Config {
        desired_min_tx: interval,
        required_min_rx: interval,
        detect_mult: bfd.multiplier,
        passive: false,
        // The configuration was refused if it does not fit.
        key: authentication.and_then(|with| anycast_bfd::Key::new(with.auth_type, with.key_id, with.key.expose()).ok()),
    }
}

/// How packets get to a neighbor: `on_link`: an interface of ours leads there, of this number where that is known.
pub(crate) fn path(bfd: &config::Bfd, distance: Distance, external: bool, on_link: Option<u32>) -> Path {
    let direct = distance.is_direct(external) || on_link.is_some() && distance == Distance::Usual;
    if bfd.multihop.unwrap_or(!direct) {
        // RFC 5883 has no rule for the TTL, and BIRD sends with that of its kernel: only who wants to be protected is.
        let min_ttl = bfd.min_ttl.map(std::num::NonZeroU8::get).or(distance.min_ttl()).unwrap_or(1);
        Path::Multihop { min_ttl }
    } else {
        Path::SingleHop { interface: on_link }
    }
}
