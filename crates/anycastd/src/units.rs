//! The units of systemd, as it tells of them on its bus.
//!
//! For each bus there is one connection and one task, which all checks share: it reads the state of every watched unit
//! when it begins to watch it, whenever systemd signals that something about it changed, and every ten seconds, should a
//! signal have been lost. Whoever watches a unit reads what is known, and nobody waits for the bus. The task ends with the
//! last [`Unit`].

mod bus;
mod socket;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Weak},
    time::Instant,
};

use crate::lock::lock;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

static BUSES: Mutex<BTreeMap<PathBuf, Weak<Bus>>> = Mutex::new(BTreeMap::new());

/// What is known of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing yet: the bus is being asked.
    Asking,
    /// It cannot be asked, in words.
    Trouble(String),
    /// What systemd said, and when.
    Told(State, Instant),
}

/// The state of a unit, in systemd's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// `loaded`, `not-found`, `masked`, …
    pub(crate) load: String,
    /// `active`, `reloading`, `inactive`, `failed`, `activating`, `deactivating`, …
    pub(crate) active: String,
    /// `running`, `exited`, `auto-restart`, …: depends on the kind of unit.
    pub(crate) sub: String,
    /// Why the last run of a service ended, where it is not active: `exit-code`, `timeout`, …
    pub(crate) result: Option<String>,
}

/// A unit that is being watched, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Unit {
    bus: Arc<Bus>,
    seen: watch::Receiver<Seen>,
}

impl Unit {
    /// Begins to watch a unit. Needs the runtime.
    pub(crate) fn watch(bus: &Path, name: &str) -> Self {
        let bus = Bus::at(bus);
        let seen = bus.watched.add(name);
        let unit = Self { bus, seen };
        unit.bus.wake();
        unit
    }

    /// What is known now.
    pub(crate) fn seen(&self) -> Seen {
        self.bus.keep_going();
        self.seen.borrow().clone()
    }

    /// Another sight of the same, which tells of changes from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<Seen> {
        self.seen.clone()
    }
}

/// One bus, and the task that listens to it.
#[derive(Debug)]
struct Bus {
    socket: PathBuf,
    watched: Arc<Watched>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Bus {
    fn at(socket: &Path) -> Arc<Self> {
        let mut buses = lock(&BUSES);
        if let Some(bus) = buses.get(socket).and_then(Weak::upgrade) {
            return bus;
        }
        buses.retain(|_, bus| bus.strong_count() > 0);
        let bus = Arc::new(Self { socket: socket.to_owned(), watched: Arc::default(), task: Mutex::default() });
        buses.insert(socket.to_owned(), Arc::downgrade(&bus));
        bus
    }

    fn wake(&self) {
        self.keep_going();
        self.watched.wake.notify_one();
    }

    /// Starts the task, and starts it again should it have died.
    fn keep_going(&self) {
        let mut task = lock(&self.task);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            *task = Some(tokio::spawn(bus::Listener::new(&self.socket, self.watched.clone()).run()));
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.task).take() {
            task.abort();
        }
    }
}

/// The units that somebody watches; those that nobody does any more are found by their senders.
#[derive(Debug, Default)]
struct Watched {
    units: Mutex<BTreeMap<String, watch::Sender<Seen>>>,
    wake: Notify,
}

impl Watched {
    fn add(&self, name: &str) -> watch::Receiver<Seen> {
        let mut units = lock(&self.units);
        units.retain(|_, seen| !seen.is_closed());
        units.entry(name.to_owned()).or_insert_with(|| watch::Sender::new(Seen::Asking)).subscribe()
    }

    fn names(&self) -> Vec<String> {
        let units = lock(&self.units);
        units.iter().filter(|(_, seen)| !seen.is_closed()).map(|(name, _)| name.clone()).collect()
    }

    fn told(&self, name: &str, seen: Seen) {
        let units = lock(&self.units);
        if let Some(sender) = units.get(name) {
            sender.send_replace(seen);
        }
    }

    fn all_told(&self, seen: &Seen) {
        for sender in lock(&self.units).values() {
            sender.send_replace(seen.clone());
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;
