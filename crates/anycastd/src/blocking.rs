//! System calls that may hang, as those of a file system whose server is away, of a resolver or of a user database.
//!
//! They are made on threads of [`Pool`]s that are kept apart from the runtime's own, which reads and writes the configuration,
//! the state and the orders; so that whatever hangs, an operator is heard. And they are made in [`Slot`]s: whoever asks about
//! the same thing shares one, over any number of reloads, so that one thing that hangs takes few threads for as long as it
//! hangs. While nothing hangs nobody waits long for another: who asks [the same](Slot::share) at the same time has the same answer.

mod shared;

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    sync::{AcquireError, Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::{Instant, timeout, timeout_at},
};

use self::shared::Flight;
use crate::lock::lock;

/// Of files that checks look at: as many may hang at a time as the runtime itself would let.
pub(crate) static FILES: Pool = Pool::new("files", 512, 512);
/// For starting programs. Few at a time: a thread for each of a thousand would leave the sessions and the decision loop no time
/// to run, and none of the programs would be done in its own.
pub(crate) static PROGRAMS: Pool = Pool::new("programs", 512, 8);
/// Of the resolver and the user database.
pub(crate) static NAMES: Pool = Pool::new("names", 128, 128);

/// Threads that may block over one thing.
const TURNS: usize = 4;
/// Once one has blocked for so long no other is sent after it.
const SLOW: Duration = Duration::from_secs(1);
/// What takes longer does not count among those that begin.
const BRISK: Duration = Duration::from_millis(100);
/// What takes longer hangs, and that is told, once.
const HANGS: Duration = Duration::from_secs(5);

/// Threads that may block. They come as they are needed, and go when they are idle.
#[derive(Debug)]
pub(crate) struct Pool {
    name: &'static str,
    threads: usize,
    /// One for each thread that has nothing to do: without one nothing is handed to the runtime, where it would pile up.
    free: Semaphore,
    /// One for each that may begin.
    beginning: Semaphore,
    /// Nothing runs on it but its threads that may block.
    runtime: OnceLock<Result<Runtime, String>>,
}

impl Pool {
    const fn new(name: &'static str, threads: usize, beginning: usize) -> Self {
        let (free, beginning) = (Semaphore::const_new(threads), Semaphore::const_new(beginning));
        Self { name, threads, free, beginning, runtime: OnceLock::new() }
    }

    /// Does this work on one of the threads, once one is free. Cancel safe: what has begun goes on, and nobody hears of it.
    async fn work<T: Send + 'static>(&'static self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Hang> {
        let thread = self.free.acquire().await.map_err(closed)?;
        let beginning = self.beginning.acquire().await.map_err(closed)?;
        let runtime = self.runtime().map_err(Hang::Fault)?;
        let mut working = runtime.spawn_blocking(move || {
            let _thread = thread;
            work()
        });
        let done = match timeout(BRISK, &mut working).await {
            Ok(done) => done,
            Err(_) => {
                drop(beginning);
                working.await
            }
        };
        done.map_err(|error| Hang::Fault(error.to_string()))
    }

    /// Waits until none of the threads has anything to do, and keeps it so for as long as the guard is there.
    pub(crate) async fn rest(&'static self) -> Option<SemaphorePermit<'static>> {
        self.free.acquire_many(u32::try_from(self.threads).unwrap_or(u32::MAX)).await.ok()
    }

    /// For how long one may have blocked for another to be sent after it. When half of the threads are gone the rest is for those of
    /// whom nothing is known yet.
    fn patience(&self) -> Duration {
        if self.free.available_permits() > self.threads / 2 { SLOW } else { BRISK }
    }

    fn runtime(&'static self) -> Result<&'static Runtime, String> {
        let build = || {
            let mut builder = Builder::new_current_thread();
            builder.max_blocking_threads(self.threads).thread_name(self.name).build().map_err(|error| error.to_string())
        };
        self.runtime.get_or_init(build).as_ref().map_err(Clone::clone)
    }
}

#[allow(clippy::needless_pass_by_value, reason = "as `map_err` has it")]
fn closed(error: AcquireError) -> Hang {
    Hang::Fault(error.to_string())
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hang {
    /// It was asked, and the answer has not come in time.
    Late,
    /// One who asked before has been waiting for so long, and that is as long as we would.
    Before(Duration),
    /// Our own queue for it has taken the time; of the thing itself that says nothing.
    Busy,
    /// No thread is free: so many wait for what hangs.
    Full(usize),
    /// It could not be asked, in words.
    Fault(String),
}

/// The time that is given for an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    asked: Instant,
    limit: Duration,
}

impl Span {
    /// From now on.
    pub(crate) fn of(limit: Duration) -> Self {
        Self { asked: Instant::now(), limit }
    }

    pub(crate) const fn limit(self) -> Duration {
        self.limit
    }

    pub(crate) fn deadline(self) -> Instant {
        self.asked + self.limit
    }

    /// Whether what began then has had the time, by and large: what our queue took is not counted against it.
    pub(crate) fn is_fair(self, begun: Instant) -> bool {
        begun.saturating_duration_since(self.asked) <= self.limit / 4
    }
}

/// When a thread began with it.
type Begun = Arc<OnceLock<Instant>>;

/// The leave to block threads over one thing.
#[derive(Debug, Clone)]
pub(crate) struct Slot(Arc<Place>);

#[derive(Debug)]
struct Place {
    pool: &'static Pool,
    /// As an operator knows it: a path, a host.
    what: String,
    turns: Arc<Semaphore>,
    /// Since when it is taken, the oldest first.
    taken: Mutex<BTreeMap<u64, Instant>>,
    /// One has been given back.
    ended: Notify,
    /// It was told that it hangs.
    told: AtomicBool,
    /// What it was taken for is under way, see [`Taken::set_running`].
    running: AtomicBool,
    /// What is asked of it, or about to be.
    flights: Mutex<Vec<Flight>>,
}

type Key = (&'static str, String);

/// Those that somebody has, or that a thread hangs in.
static PLACES: Mutex<BTreeMap<Key, Weak<Place>>> = Mutex::new(BTreeMap::new());

impl Slot {
    /// The slot of a thing; that of before, where somebody has it yet.
    pub(crate) fn of(pool: &'static Pool, what: &str) -> Self {
        Self::keyed(pool, what.to_owned(), what, TURNS)
    }

    /// One that only one may have at a time, of what is called otherwise than it is told from others.
    pub(crate) fn single(pool: &'static Pool, key: String, what: &str) -> Self {
        Self::keyed(pool, key, what, 1)
    }

    fn keyed(pool: &'static Pool, key: String, what: &str, turns: usize) -> Self {
        let mut places = lock(&PLACES);
        let key = (pool.name, key);
        if let Some(place) = places.get(&key).and_then(Weak::upgrade) {
            return Self(place);
        }
        places.retain(|_, place| place.strong_count() > 0);
        let slot = Self::with(pool, what, turns);
        places.insert(key, Arc::downgrade(&slot.0));
        slot
    }

    /// One that is shared with nobody, and that only one may have at a time.
    pub(crate) fn alone(pool: &'static Pool, what: &str) -> Self {
        Self::with(pool, what, 1)
    }

    fn with(pool: &'static Pool, what: &str, turns: usize) -> Self {
        Self(Arc::new(Place {
            pool,
            what: what.to_owned(),
            turns: Arc::new(Semaphore::new(turns)),
            taken: Mutex::default(),
            ended: Notify::new(),
            told: AtomicBool::default(),
            running: AtomicBool::default(),
            flights: Mutex::default(),
        }))
    }

    /// What it is for, as an operator knows it.
    pub(crate) fn what(&self) -> &str {
        &self.0.what
    }

    /// Does this work on a thread once there is a turn, and waits for the answer until the time is over. Work that hangs keeps
    /// its turn until it comes back. Cancel safe: what has begun goes on, and nobody hears of it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Hang> {
        self.run_within(Span::of(limit), work).await
    }

    /// The same in a time of which some is over.
    pub(crate) async fn run_within<T: Send + 'static>(
        &self,
        span: Span,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Hang> {
        let begun = Begun::default();
        let working = self.clone().work(Arc::clone(&begun), work);
        match timeout_at(span.deadline(), working).await {
            Ok(done) => done,
            Err(_) => Err(self.late(span, begun.get().copied())),
        }
    }

    /// Without an end of its own.
    async fn work<T: Send + 'static>(self, begun: Begun, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Hang> {
        let turn = self.turn().await?;
        let pool = self.0.pool;
        let work = move || {
            let taken = self.taken(turn);
            let _ = begun.set(Instant::now());
            let done = work();
            drop(taken);
            done
        };
        pool.work(work).await
    }

    /// Takes it for as long as one likes, and not only for a thread.
    pub(crate) async fn take(&self, span: Span) -> Result<Taken, Hang> {
        match timeout_at(span.deadline(), self.turn()).await {
            Ok(turn) => turn.map(|turn| self.taken(turn)),
            Err(_) => Err(self.late(span, None)),
        }
    }

    /// Waits for a turn: in order, and as long as the thing is slow for one who has had his turn before.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, Hang> {
        let turn = Arc::clone(&self.0.turns).acquire_owned().await.map_err(closed)?;
        loop {
            let mut ended = pin!(self.0.ended.notified());
            ended.as_mut().enable();
            if self.0.oldest().is_none_or(|age| age < self.0.pool.patience()) {
                return Ok(turn);
            }
            ended.await;
        }
    }

    fn taken(&self, turn: OwnedSemaphorePermit) -> Taken {
        let mut taken = lock(&self.0.taken);
        let number = taken.last_key_value().map_or(0, |(last, _)| last + 1);
        taken.insert(number, Instant::now());
        Taken { place: Arc::clone(&self.0), number, _turn: turn }
    }

    /// The time is over; a thread has begun with it then, or has not.
    fn late(&self, span: Span, begun: Option<Instant>) -> Hang {
        self.tell();
        match (begun, self.0.oldest()) {
            (Some(begun), _) if span.is_fair(begun) => Hang::Late,
            (None, Some(age)) if age >= span.limit => Hang::Before(age),
            (None, _) if self.0.pool.free.available_permits() == 0 => Hang::Full(self.0.pool.threads),
            _ => Hang::Busy,
        }
    }

    /// Says once that it hangs, if it does.
    fn tell(&self) {
        let Some(hanging) = self.0.oldest().filter(|age| *age >= HANGS) else { return };
        if !self.0.told.swap(true, Ordering::Relaxed) {
            let seconds = hanging.as_secs();
            tracing::warn!("{} has not answered for {seconds} s: a thread waits there until it does", self.0.what);
        }
    }

    /// Whether what it was taken for has begun, see [`Taken::set_running`].
    pub(crate) fn is_running(&self) -> bool {
        self.0.running.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    fn has_told(&self) -> bool {
        self.0.told.load(Ordering::Relaxed)
    }

    /// How many have it.
    #[cfg(test)]
    pub(crate) fn holders(&self) -> usize {
        lock(&self.0.taken).len()
    }
}

impl Place {
    /// For how long the one has had it who has had it for longest.
    fn oldest(&self) -> Option<Duration> {
        lock(&self.taken).first_key_value().map(|(_, since)| since.elapsed())
    }
}

/// A slot that is taken, until this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    place: Arc<Place>,
    number: u64,
    /// Given back after it is said that it is.
    _turn: OwnedSemaphorePermit,
}

impl Taken {
    /// Says that what the slot was taken for has begun, and was not only to be.
    pub(crate) fn set_running(&self) {
        self.place.running.store(true, Ordering::Relaxed);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let place = &self.place;
        let begun = lock(&place.taken).remove(&self.number);
        place.running.store(false, Ordering::Relaxed);
        place.ended.notify_waiters();
        let hangs = place.oldest().is_some_and(|age| age >= HANGS);
        if !hangs && place.told.swap(false, Ordering::Relaxed) {
            let seconds = begun.map_or(0, |begun| begun.elapsed().as_secs());
            tracing::info!("{} answers again, after {seconds} s", place.what);
        }
    }
}

#[cfg(test)]
mod tests;
