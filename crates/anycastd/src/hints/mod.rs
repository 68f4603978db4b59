//! The kernel tells: which listeners close, which processes end. What is told is a hint to the checks that ask there; it decides
//! nothing.
//!
//! One task ([`Watcher`]) owns the netlink socket that hears of closed listeners, and one per service follows its processes;
//! connections that checks hold open ([`Holder`]) have a task each, and belong to their check. The
//! plan comes in by `watch`; hints go to the checks by a `watch` each, which loses none. Dropping the handle ends all of them.

mod cgroups;
mod held;
mod listeners;
mod message;
mod processes;
mod sockets;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anycast_core::{ServiceName, config::Protocol};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

use crate::kernel::Loss;

pub(crate) use self::{
    held::{Held, Holder},
    listeners::{Listeners, in_words},
    processes::{Followers, Origin},
};
use self::{
    message::Socket,
    sockets::{Heard, Sockets, Wanted},
};

/// How soon a socket that failed is opened again.
const RETRY: Duration = Duration::from_secs(1);
/// How often it is looked whether somebody listens where we watch.
const LOOK: Duration = Duration::from_secs(30);
/// The same, after the plan changed.
const FIRST_LOOK: Duration = Duration::from_millis(100);

/// What the kernel told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hint {
    /// A listener that took what was sent there was closed.
    Closed(Protocol, SocketAddr),
    /// A process of the service ended.
    Ended(i32),
    /// A connection that was held open to the service ended.
    Dropped(SocketAddr),
    /// The network that is asked there was lost.
    Lost(Loss),
    /// So many sockets closed that not each was told.
    Overrun,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(protocol, address) => {
                write!(f, "listener {} closed", listeners::in_words(*protocol, *address))
            }
            Self::Ended(pid) => write!(f, "process {pid} ended"),
            Self::Dropped(address) => write!(f, "the connection held to {address} was closed"),
            Self::Lost(loss) => loss.fmt(f),
            Self::Overrun => f.write_str("sockets closed faster than the kernel could tell which"),
        }
    }
}

/// Where a check gets its hints. One that was not looked at yet gives way to a later one: that there was one is never lost.
#[derive(Debug, Clone)]
pub(crate) struct Hinter {
    last: watch::Sender<Option<Hint>>,
    bell: Arc<Notify>,
}

impl Hinter {
    /// `bell`: rung after each hint.
    pub(crate) fn new(bell: Arc<Notify>) -> (Self, watch::Receiver<Option<Hint>>) {
        let (last, hints) = watch::channel(None);
        (Self { last, bell }, hints)
    }

    fn hint(&self, hint: Hint) {
        self.last.send_replace(Some(hint));
        self.bell.notify_one();
    }
}

/// A check that is told of listeners.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    /// The sockets that it asks.
    pub(crate) sockets: BTreeSet<(Protocol, SocketAddr)>,
    pub(crate) hinter: Hinter,
}

/// A service whose checks are told of its processes.
#[derive(Debug, Clone)]
pub(crate) struct Followed {
    /// How they are found.
    pub(crate) origins: Vec<Origin>,
    pub(crate) hinters: Vec<Hinter>,
}

/// All that is to be watched.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) listeners: Vec<Watched>,
    pub(crate) processes: BTreeMap<ServiceName, Followed>,
}

impl Plan {
    /// The sockets whose listeners are watched.
    fn sockets(&self) -> BTreeSet<(Protocol, SocketAddr)> {
        self.listeners.iter().flat_map(|watched| watched.sockets.iter().copied()).collect()
    }

    /// Those where it matters who listens: of processes that are followed as well, for after a hint the last word is with that.
    fn asked(&self) -> BTreeSet<(Protocol, SocketAddr)> {
        let of_processes = self.processes.values().flat_map(|followed| &followed.origins);
        let of_processes = of_processes.filter_map(|origin| match origin {
            Origin::Socket(protocol, address) => Some((*protocol, *address)),
            Origin::Unit(_) | Origin::PidFile(_) => None,
        });
        self.sockets().into_iter().chain(of_processes).collect()
    }
}

/// What is known of the watching, as of now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Why listeners cannot be watched, in words.
    pub(crate) problem: Option<String>,
    /// What is followed of each service.
    pub(crate) processes: BTreeMap<ServiceName, Followers>,
}

/// Counts since the agent started.
#[derive(Debug, Default)]
struct Counts {
    listener: AtomicU64,
    process: AtomicU64,
    connection: AtomicU64,
    network: AtomicU64,
    overrun: AtomicU64,
}

/// The handle of the tasks.
#[derive(Debug)]
pub(crate) struct Watch {
    plan: watch::Sender<Arc<Plan>>,
    seen: watch::Receiver<Seen>,
    listeners: Listeners,
    counts: Arc<Counts>,
    _task: AbortOnDropHandle<()>,
}

impl Watch {
    /// Starts the task; it rests until there is something to watch.
    pub(crate) fn start() -> Self {
        let (plan, planned) = watch::channel(Arc::default());
        let (shown, seen) = watch::channel(Seen::default());
        let (listeners, counts) = (Listeners::default(), Arc::<Counts>::default());
        let watcher = Watcher {
            plan: planned,
            shown,
            listeners: listeners.clone(),
            counts: Arc::clone(&counts),
            sockets: None,
            retry: None,
            look: None,
            followers: BTreeMap::new(),
        };
        Self { plan, seen, listeners, counts, _task: AbortOnDropHandle::new(tokio::spawn(watcher.run())) }
    }

    /// What is to be watched from now on.
    pub(crate) fn set_plan(&self, plan: Plan) {
        self.plan.send_replace(Arc::new(plan));
    }

    /// Whom to ask who listens.
    pub(crate) fn listeners(&self) -> Listeners {
        self.listeners.clone()
    }

    /// Tells a check that a network was lost where it asks.
    pub(crate) fn lost(&self, hinter: &Hinter, loss: Loss) {
        self.counts.network.fetch_add(1, Ordering::Relaxed);
        hinter.hint(Hint::Lost(loss));
    }

    /// Who holds connections.
    pub(crate) fn holder(&self) -> Holder {
        Holder(Arc::clone(&self.counts))
    }

    /// What is known of the watching.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Hints that were given, by kind.
    pub(crate) fn hints(&self) -> [(&'static str, u64); 5] {
        let counts = &self.counts;
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("listener", of(&counts.listener)),
            ("process", of(&counts.process)),
            ("connection", of(&counts.connection)),
            ("network", of(&counts.network)),
            ("overrun", of(&counts.overrun)),
        ]
    }
}

/// One that follows the processes of a service.
struct Follower {
    origins: Vec<Origin>,
    hinters: watch::Sender<Vec<Hinter>>,
    shown: watch::Receiver<Followers>,
    _task: AbortOnDropHandle<()>,
}

struct Watcher {
    plan: watch::Receiver<Arc<Plan>>,
    shown: watch::Sender<Seen>,
    listeners: Listeners,
    counts: Arc<Counts>,
    sockets: Option<Sockets>,
    /// When the socket is opened again.
    retry: Option<Instant>,
    /// When it is looked again who listens.
    look: Option<Instant>,
    followers: BTreeMap<ServiceName, Follower>,
}

impl Watcher {
    async fn run(mut self) {
        loop {
            let sockets = &self.sockets;
            let heard = async {
                match sockets {
                    Some(sockets) => sockets.next().await,
                    None => std::future::pending().await,
                }
            };
            let shown = self.followers.values_mut().map(|follower| Box::pin(follower.shown.changed()));
            let shown: Vec<_> = shown.collect();
            let told = async {
                if shown.is_empty() {
                    std::future::pending::<()>().await;
                }
                let _ = futures_util::future::select_all(shown).await;
            };
            let (retry, look) = (at(self.retry), at(self.look));
            tokio::select! {
                heard = heard => self.handle_heard(heard),
                changed = self.plan.changed() => match changed {
                    Ok(()) => self.adopt(),
                    Err(_) => return,
                },
                () = told => {}
                () = retry => self.open(true),
                () = look => self.look().await,
            }
            self.show();
        }
    }

    /// Takes a new plan.
    fn adopt(&mut self) {
        let plan = self.plan.borrow_and_update().clone();
        let asked = plan.asked();
        self.listeners.retain(&asked);
        self.look = (!asked.is_empty()).then(|| Instant::now() + FIRST_LOOK);
        self.followers.retain(|name, follower| {
            plan.processes.get(name).is_some_and(|followed| followed.origins == follower.origins)
        });
        for (name, followed) in &plan.processes {
            if let Some(follower) = self.followers.get(name) {
                follower.hinters.send_replace(followed.hinters.clone());
                continue;
            }
            self.followers.insert(name.clone(), self.follow(name, followed));
        }
        self.open(false);
    }

    fn follow(&self, name: &ServiceName, followed: &Followed) -> Follower {
        let (hinters, told) = watch::channel(followed.hinters.clone());
        let (told_of, shown) = watch::channel(Followers::default());
        let (origins, listeners, counts) = (followed.origins.clone(), self.listeners.clone(), Arc::clone(&self.counts));
        let hint = move |pid| {
            counts.process.fetch_add(1, Ordering::Relaxed);
            told.borrow().iter().for_each(|hinter| hinter.hint(Hint::Ended(pid)));
        };
        let follow = processes::follow(origins.clone(), listeners, told_of, hint);
        let follow = tracing::Instrument::instrument(follow, tracing::info_span!("watch", service = %name));
        Follower { origins, hinters, shown, _task: AbortOnDropHandle::new(tokio::spawn(follow)) }
    }

    /// Hears of what the plan wants. `lost`: for a time nobody heard.
    fn open(&mut self, lost: bool) {
        self.retry = None;
        let wanted = Wanted::new(self.plan.borrow().sockets());
        if wanted.is_empty() {
            self.sockets = None;
            return;
        }
        let kept = self.sockets.as_mut().map(|sockets| sockets.change(&wanted));
        let opened = match kept {
            Some(Ok(true)) => Ok(None),
            Some(Err(error)) => Err(error),
            // The old one hears until there is a new one.
            Some(Ok(false)) | None => Sockets::open(&wanted).map(Some),
        };
        match opened {
            Ok(None) => {}
            Ok(Some(sockets)) => {
                self.sockets = Some(sockets);
                self.problem(None);
                if lost {
                    self.overrun();
                }
            }
            Err(error) => self.broken(&error),
        }
    }

    fn handle_heard(&mut self, heard: Heard) {
        match heard {
            Heard::Closed(closed) => self.closed(&closed),
            Heard::Overrun => self.overrun(),
            Heard::Broken(error) => self.broken(&error),
        }
    }

    fn closed(&self, closed: &[Socket]) {
        let plan = self.plan.borrow();
        for watched in &plan.listeners {
            let hit = |(protocol, address): &&(Protocol, SocketAddr)| {
                closed.iter().any(|socket| socket.may_take(*protocol, *address))
            };
            let mut hits = watched.sockets.iter().filter(hit).peekable();
            if let Some((protocol, address)) = hits.peek().copied().copied() {
                hits.for_each(|(protocol, address)| self.listeners.note(*protocol, *address));
                self.counts.listener.fetch_add(1, Ordering::Relaxed);
                watched.hinter.hint(Hint::Closed(protocol, address));
            }
        }
    }

    /// Any of them may have gone.
    fn overrun(&self) {
        self.counts.overrun.fetch_add(1, Ordering::Relaxed);
        self.plan.borrow().listeners.iter().for_each(|watched| watched.hinter.hint(Hint::Overrun));
    }

    fn broken(&mut self, error: &std::io::Error) {
        tracing::warn!(%error, "listeners cannot be watched; the checks go on at their intervals");
        self.sockets = None;
        self.retry = Some(Instant::now() + RETRY);
        self.problem(Some(format!("listeners cannot be watched ({error}); the checks go on at their intervals")));
    }

    fn problem(&self, problem: Option<String>) {
        self.shown.send_if_modified(|seen| std::mem::replace(&mut seen.problem, problem.clone()) != problem);
    }

    /// Finds out where somebody listens, for those who ask what is watched, and for proofs to come.
    async fn look(&mut self) {
        self.look = Some(Instant::now() + LOOK);
        let sockets = self.plan.borrow().asked();
        for (protocol, address) in sockets {
            if !self.listeners.is_known(protocol, address) {
                // That it fails is counted, and nothing depends on it.
                let _ = self.listeners.at(protocol, address).await;
            }
        }
    }

    fn show(&self) {
        let processes = self.followers.iter().map(|(name, follower)| (name.clone(), follower.shown.borrow().clone()));
        let processes: BTreeMap<_, _> = processes.collect();
        self.shown.send_if_modified(|seen| {
            let changed = seen.processes != processes;
            seen.processes = processes;
            changed
        });
    }
}

async fn at(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
