//! System calls that may hang, as those of a file system whose server is away, of a resolver or of a user database.
//!
//! They are made on threads of [`Pool`]s that are kept apart from the runtime's own, which reads and writes the configuration,
//! the state and the orders; so that whatever hangs, an operator is heard. And they are made in [`Slot`]s: whoever asks about
//! the same thing shares one, over any number of reloads, so that one thing that hangs takes one thread for as long as it hangs.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
    time::{Instant, timeout_at},
};

/// Of files that checks look at: as many may hang at a time as the runtime itself would let.
pub(crate) static FILES: Pool = Pool::new("files", 512);
/// For starting programs.
pub(crate) static PROGRAMS: Pool = Pool::new("programs", 512);
/// Of the resolver and the user database.
pub(crate) static NAMES: Pool = Pool::new("names", 128);

/// What takes longer hangs, and that is told, once.
const HANGS: Duration = Duration::from_secs(5);

/// Threads that may block. They come as they are needed, and go when they are idle.
#[derive(Debug)]
pub(crate) struct Pool {
    name: &'static str,
    threads: usize,
    /// Nothing runs on it but its threads that may block.
    runtime: OnceLock<Result<Runtime, String>>,
}

impl Pool {
    const fn new(name: &'static str, threads: usize) -> Self {
        Self { name, threads, runtime: OnceLock::new() }
    }

    /// Does this work on one of the threads, or when one of them comes free.
    ///
    /// # Errors
    /// When there can be no thread at all, in words.
    pub(crate) fn start<T: Send + 'static>(
        &'static self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<T>, String> {
        let build = || {
            let mut builder = Builder::new_current_thread();
            builder.max_blocking_threads(self.threads).thread_name(self.name).build().map_err(|error| error.to_string())
        };
        self.runtime.get_or_init(build).as_ref().map(|runtime| runtime.spawn_blocking(work)).map_err(Clone::clone)
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hang {
    /// It has not come in time.
    Late,
    /// One who asked before has been waiting for so long.
    Before(Duration),
    /// It could not be asked, in words.
    Fault(String),
}

/// The leave to block one thread over one thing.
#[derive(Debug, Clone)]
pub(crate) struct Slot(Arc<Place>);

#[derive(Debug)]
struct Place {
    pool: &'static Pool,
    /// As an operator knows it: a path, a host.
    what: String,
    turn: Arc<Semaphore>,
    /// Since when it is taken.
    begun: Mutex<Option<Instant>>,
    /// It was told that it hangs.
    told: AtomicBool,
}

type Key = (&'static str, String);

/// Those that somebody has, or that a thread hangs in.
static PLACES: Mutex<BTreeMap<Key, Weak<Place>>> = Mutex::new(BTreeMap::new());

impl Slot {
    /// The slot of a thing; that of before, where somebody has it yet.
    pub(crate) fn of(pool: &'static Pool, what: &str) -> Self {
        Self::keyed(pool, what.to_owned(), what)
    }

    /// The same for what is called otherwise than it is told from others.
    pub(crate) fn keyed(pool: &'static Pool, key: String, what: &str) -> Self {
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (pool.name, key);
        if let Some(place) = places.get(&key).and_then(Weak::upgrade) {
            return Self(place);
        }
        places.retain(|_, place| place.strong_count() > 0);
        let slot = Self::alone(pool, what);
        places.insert(key, Arc::downgrade(&slot.0));
        slot
    }

    /// One that is shared with nobody.
    pub(crate) fn alone(pool: &'static Pool, what: &str) -> Self {
        let (turn, begun, told) = (Arc::new(Semaphore::new(1)), Mutex::default(), AtomicBool::default());
        Self(Arc::new(Place { pool, what: what.to_owned(), turn, begun, told }))
    }

    /// Does this work on a thread once nobody else does, and waits for the answer until the time is over. Work that hangs keeps
    /// the slot until it comes back. Cancel safe: what has begun goes on, and nobody hears of it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Hang> {
        let deadline = Instant::now() + limit;
        let permit = match timeout_at(deadline, self.0.turn.clone().acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(closed)) => return Err(Hang::Fault(closed.to_string())),
            Err(_) => return Err(self.late()),
        };
        let taken = self.taken(permit);
        let working = self.0.pool.start(move || {
            let _taken = taken;
            work()
        });
        match timeout_at(deadline, working.map_err(Hang::Fault)?).await {
            Ok(done) => done.map_err(|error| Hang::Fault(error.to_string())),
            Err(_) => {
                self.tell();
                Err(Hang::Late)
            }
        }
    }

    /// Takes it at once, or not at all.
    pub(crate) fn take(&self) -> Result<Taken, Hang> {
        let permit = self.0.turn.clone().try_acquire_owned();
        permit.map(|permit| self.taken(permit)).map_err(|_| self.late())
    }

    fn taken(&self, permit: OwnedSemaphorePermit) -> Taken {
        *self.0.begun() = Some(Instant::now());
        Taken { place: Arc::clone(&self.0), _permit: permit }
    }

    /// Somebody else has it.
    fn late(&self) -> Hang {
        self.tell();
        let begun = *self.0.begun();
        begun.map_or(Hang::Late, |begun| Hang::Before(begun.elapsed()))
    }

    /// Says once that it hangs, if it does.
    fn tell(&self) {
        let Some(hanging) = self.0.begun().map(|begun| begun.elapsed()).filter(|time| *time >= HANGS) else { return };
        if !self.0.told.swap(true, Ordering::Relaxed) {
            let seconds = hanging.as_secs();
            tracing::warn!("{} has not answered for {seconds} s: a thread waits there until it does", self.0.what);
        }
    }

    #[cfg(test)]
    fn has_told(&self) -> bool {
        self.0.told.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    fn is_taken(&self) -> bool {
        self.0.turn.available_permits() == 0
    }
}

impl Place {
    fn begun(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A slot that is taken, until this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    place: Arc<Place>,
    /// Given back after it is said that it is.
    _permit: OwnedSemaphorePermit,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let begun = self.place.begun().take();
        if self.place.told.swap(false, Ordering::Relaxed) {
            let seconds = begun.map_or(0, |begun| begun.elapsed().as_secs());
            tracing::info!("{} answers again, after {seconds} s", self.place.what);
        }
    }
}

#[cfg(test)]
mod tests;
