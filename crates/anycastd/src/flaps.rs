//! What is remembered of flaps over a restart, so that an agent that dies again and again is held down like a service that does.
//!
//! One file of the state directory. It is written when a service begins or ceases to serve and when a hold begins or ends, at
//! most once a second, and at the end of an agent that ends as it was told. Nothing waits for it; a disk that is full costs the
//! memory, not the service.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use anycast_api::Timestamp;
use anycast_core::{ServiceName, hold_down::State};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};

use crate::{
    agent::{Agent, Handle},
    state::{kept_aside, recall, write_atomically},
};

/// A service that flaps many times a second must not wear out a disk.
const SPACING: Duration = Duration::from_secs(1);
/// How soon a write that failed is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// The last write has had the whole shutdown already.
pub(crate) const LAST_WRITE: Duration = Duration::from_millis(300);

/// Had by whoever writes, and by whoever must not be written at.
pub(crate) static WRITING: Semaphore = Semaphore::const_new(1);

const VERSION: u32 = 1;

/// What is kept of the services that can be held down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Book {
    /// The agent ended as it was told.
    pub(crate) ended: bool,
    /// When it was so.
    pub(crate) at: Instant,
    pub(crate) services: BTreeMap<ServiceName, State>,
}

impl Book {
    /// Whether a service serves that did not before.
    fn begins_after(&self, before: &Self) -> bool {
        let served = |name| before.services.get(name).is_some_and(|state| state.serving);
        self.services.iter().any(|(name, state)| state.serving && !served(name))
    }
}

/// The loop's end: what the process before left, and where what is to be kept is put.
#[derive(Debug)]
pub(crate) struct Flaps {
    /// Until it is taken; `None`: there was none before, or it cannot be read.
    pub(crate) past: Option<Book>,
    /// Why what was there cannot be read.
    pub(crate) problem: Option<String>,
    keep: watch::Sender<Option<Book>>,
    /// Where nothing can be held down and there is no file, none is made.
    wanted: bool,
}

impl Flaps {
    /// Reads what the process before left, as it is now. It can be read, or it is done without.
    pub(crate) fn load(file: &Path) -> (Self, watch::Receiver<Option<Book>>) {
        let (keep, kept) = watch::channel(None);
        let (past, problem) = match load(file) {
            Ok(past) => (past, None),
            Err(error) => {
                let kept = kept_aside(file).pop();
                let kept = kept.map_or_else(String::new, |kept| format!("; it is kept as {}", kept.display()));
                let text = format!(
                    "{}: {error}; the flaps before this start of the agent are not known{kept}",
                    file.display()
                );
                tracing::warn!("{text}");
                (None, Some(text))
            }
        };
        let wanted = past.is_some() || problem.is_some();
        (Self { past, problem, keep, wanted }, kept)
    }

    /// Goes on with what another agent has left so long ago.
    pub(crate) fn take_over(
        services: BTreeMap<String, Service>,
        age: Duration,
    ) -> (Self, watch::Receiver<Option<Book>>) {
        let (keep, kept) = watch::channel(None);
        let wanted = !services.is_empty();
        (Self { past: Some(Book::take_over(services, age)), problem: None, keep, wanted }, kept)
    }

    /// Has it kept, soon.
    pub(crate) fn keep(&mut self, book: Book) {
        self.wanted |= !book.services.is_empty();
        if self.wanted {
            self.keep.send_if_modified(|held| {
                let changed =
                    held.as_ref().is_none_or(|held| (held.ended, &held.services) != (book.ended, &book.services));
                *held = Some(book);
                changed
            });
        }
    }
}

/// Writes what the loop wants kept until the loop has ended.
pub(crate) async fn run(mut books: watch::Receiver<Option<Book>>, file: PathBuf, agent: Handle) {
    let mut failing = false;
    while books.changed().await.is_ok() {
        let Some(book) = books.borrow_and_update().clone() else { continue };
        let (to, ended, written) = (file.clone(), book.ended, book.clone());
        let Ok(writing) = WRITING.acquire().await else { return };
        let saved = tokio::task::spawn_blocking(move || {
            let _writing = writing;
            save(&to, &book)
        })
        .await;
        let problem = match saved {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => return,
        };
        let problem = problem.map(|error| {
            format!(
                "cannot write {}: {error}; were the agent to end now, it would not know of the flaps before",
                file.display()
            )
        });
        if ended {
            continue;
        }
        let pause = if problem.is_some() { AGAIN } else { SPACING };
        let news = problem.clone().filter(|_| !failing);
        failing = problem.is_some();
        if let Some(text) = &news {
            tracing::warn!("{text}");
        }
        let tell = move |agent: &mut Agent| {
            if let Some(text) = news {
                agent.report_own(text);
            }
            agent.problem("flaps", problem);
        };
        if agent.order(tell).await.is_err() {
            tracing::debug!("the loop does not answer");
        }
        // What comes meanwhile is one write. The end of the agent does not wait, and nor does that a service begins to serve: an
        // agent that is killed right after it has announced something is what is to be counted.
        let urgent = |book: &Option<Book>| book.as_ref().is_some_and(|book| book.ended || book.begins_after(&written));
        let ends = books.wait_for(urgent);
        let _ = tokio::time::timeout(pause, ends).await.map(|ended| ended.map(drop));
        if pause == AGAIN || books.borrow().as_ref() != Some(&written) {
            books.mark_changed();
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Contents {
    version: u32,
    /// The agent ended as it was told.
    ended: bool,
    at: Timestamp,
    services: BTreeMap<String, Service>,
}

/// Times in seconds: what has passed, or is left, at that time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Service {
    serving: bool,
    flaps: Vec<f64>,
    /// For each of the flaps whether it was an end of the agent.
    #[serde(default)]
    agent_ends: Vec<bool>,
    level: u32,
    left: Option<f64>,
    #[serde(default)]
    held_ends: u16,
    forgets_in: Option<f64>,
}

fn load(file: &Path) -> io::Result<Option<Book>> {
    recall(file, understand)
}

fn understand(text: &[u8]) -> io::Result<Book> {
    let contents: Contents = serde_json::from_slice(text)?;
    if contents.version != VERSION {
        return Err(io::Error::other(format!("version {} is not {VERSION}", contents.version)));
    }
    // A clock that was set back: as if it were now.
    let passed = SystemTime::now().duration_since(contents.at.system_time()).unwrap_or_default();
    Ok(Book { ended: contents.ended, at: Instant::now(), services: states(contents.services, passed) })
}

/// What is known of the services when so much time has passed.
fn states(services: BTreeMap<String, Service>, passed: Duration) -> BTreeMap<ServiceName, State> {
    let time = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let states = services.into_iter().filter_map(|(name, service)| {
        let state = State {
            serving: service.serving,
            flaps: service.flaps.into_iter().map(time).collect(),
            agent_ends: service.agent_ends,
            level: service.level,
            left: service.left.map(time),
            held_ends: service.held_ends,
            forgets_in: service.forgets_in.map(time),
        };
        Some((ServiceName::new(&name).ok()?, state.later(passed)))
    });
    states.collect()
}

impl Book {
    /// For another agent that goes on at once.
    pub(crate) fn hand_over(&self) -> BTreeMap<String, Service> {
        // It may have waited: for its turn, or for a disk that could be written again.
        let waited = self.at.elapsed();
        let services = self.services.iter().map(|(name, state)| {
            let state = state.clone().later(waited);
            let service = Service {
                serving: state.serving,
                flaps: state.flaps.iter().map(Duration::as_secs_f64).collect(),
                agent_ends: state.agent_ends,
                level: state.level,
                left: state.left.map(|time| time.as_secs_f64()),
                held_ends: state.held_ends,
                forgets_in: state.forgets_in.map(|time| time.as_secs_f64()),
            };
            (name.to_string(), service)
        });
        services.collect()
    }

    /// What another has left so long ago. It has not ended, and so nothing has flapped with it.
    pub(crate) fn take_over(services: BTreeMap<String, Service>, age: Duration) -> Self {
        Self { ended: true, at: Instant::now(), services: states(services, age) }
    }
}

fn save(file: &Path, book: &Book) -> io::Result<()> {
    let contents = Contents { version: VERSION, ended: book.ended, at: Timestamp::now(), services: book.hand_over() };
    write_atomically(file, &serde_json::to_vec_pretty(&contents)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn book() -> Book {
        let state = State {
            serving: true,
            flaps: vec![Duration::from_secs(5)],
            agent_ends: vec![true],
            level: 2,
            left: Some(Duration::from_secs(40)),
            held_ends: 3,
            forgets_in: None,
        };
        Book { ended: false, at: Instant::now(), services: [(ServiceName::new("dns").unwrap(), state)].into() }
    }

    #[test]
    fn what_is_kept_is_read_again_as_it_is_then() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("flaps.json");
        let (flaps, _kept) = Flaps::load(&file);
        assert_eq!((flaps.past, flaps.problem), (None, None), "there is none at first");
        save(&file, &book()).unwrap();
        let read = load(&file).unwrap().unwrap();
        let state = &read.services["dns"];
        assert!(!read.ended && state.serving && state.level == 2);
        assert_eq!((state.agent_ends.as_slice(), state.held_ends), (&[true][..], 3));
        assert!(
            state.flaps[0] >= Duration::from_secs(5) && state.left.unwrap() <= Duration::from_secs(40),
            "{state:?}"
        );
    }

    #[test]
    fn what_waited_to_be_written_is_written_as_it_is_then() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("flaps.json");
        let waited = Duration::from_secs(30);
        save(&file, &Book { at: Instant::now().checked_sub(waited).unwrap(), ..book() }).unwrap();
        let state = load(&file).unwrap().unwrap().services["dns"].clone();
        assert!(state.flaps[0] >= Duration::from_secs(35), "{state:?}");
        assert!(state.left.unwrap() <= Duration::from_secs(10), "{state:?}");
    }

    #[test]
    fn what_cannot_be_read_is_done_without_and_said() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("flaps.json");
        let strange = r#"{"version":1,"ended":false,"at":"2026-11-23T20:00:00Z","services":{"a b":{"serving":true,
            "flaps":[-1.0,1e300],"level":4294967295,"left":-5.0,"forgets_in":null}}}"#;
        fs::write(&file, strange).unwrap();
        assert_eq!(load(&file).unwrap().unwrap().services.len(), 0, "no such name can be");
        for text in ["", "{", "[]", r#"{"version":2,"ended":true,"at":"2026-11-23T20:00:00Z","services":{}}"#] {
            fs::write(&file, text).unwrap();
            let (flaps, _kept) = Flaps::load(&file);
            assert_eq!(flaps.past, None);
            assert!(flaps.problem.unwrap().contains("flaps.json"), "{text}");
        }
    }

    #[test]
    fn a_directory_in_its_place_is_kept_aside_and_does_not_keep_it_from_being_written() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("flaps.json");
        fs::create_dir(&file).unwrap();
        let (flaps, _kept) = Flaps::load(&file);
        let problem = flaps.problem.unwrap();
        assert!(problem.contains("not a regular file") && problem.contains("; it is kept as /"), "{problem}");
        let kept = kept_aside(&file);
        assert!(kept.len() == 1 && kept[0].is_dir(), "{kept:?}");
        save(&file, &book()).unwrap();
        assert!(load(&file).unwrap().is_some());
    }

    /// Time stands still while a write is under way, and moves while the test looks.
    #[tokio::test(start_paused = true)]
    async fn that_a_service_begins_to_serve_is_written_at_once_and_other_news_in_their_turn() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("flaps.json");
        let (mut flaps, kept) = Flaps::load(&file);
        tokio::spawn(run(kept, file.clone(), Handle::to_nobody()));
        let steps = [(false, 1, true), (true, 1, true), (true, 2, false), (false, 3, false), (true, 3, true)];
        for (serving, level, at_once) in steps {
            let mut next = book();
            let state = next.services.values_mut().next().unwrap();
            (state.serving, state.level) = (serving, level);
            flaps.keep(next);
            let begun = tokio::time::Instant::now();
            while !load(&file).ok().flatten().is_some_and(|read| {
                let state = &read.services["dns"];
                (state.serving, state.level) == (serving, level)
            }) {
                assert!(begun.elapsed() < 10 * SPACING, "serving: {serving}, level {level}");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(begun.elapsed() < SPACING / 2, at_once, "serving: {serving}, level {level}");
        }
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("flaps.json");
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (done, waits) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(Flaps::load(&file).0.problem));
        let problem = waits.recv_timeout(Duration::from_secs(30)).expect("it does not hang").unwrap();
        assert!(problem.contains("flaps.json: not a regular file; the flaps before"), "{problem}");
    }

    #[test]
    fn without_anything_to_keep_no_file_is_made() {
        let home = tempfile::tempdir().unwrap();
        let (mut flaps, kept) = Flaps::load(&home.path().join("flaps.json"));
        flaps.keep(Book { ended: false, at: Instant::now(), services: [].into() });
        assert!(!kept.has_changed().unwrap());
        flaps.keep(book());
        assert!(kept.has_changed().unwrap());
    }
}
