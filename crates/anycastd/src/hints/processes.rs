//! The processes of a service: found, followed by a pidfd each, and found anew when one ends.
//!
//! How a process is found never needs more than reading files that everybody may read: /proc/*/fd would take the right to
//! trace others.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use anycast_core::config::Protocol;
use futures_util::future::select_all;
use rustix::{
    fd::OwnedFd,
    process::{Pid, PidfdFlags, pidfd_open},
};
use tokio::{
    io::unix::AsyncFd,
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{Listeners, cgroups};
use crate::{
    blocking::{FILES, Hang, Slot},
    pid_file,
};

/// How often the processes are found anew while nothing happens: they fork, and others take over.
const AGAIN: Duration = Duration::from_secs(10);
/// The same while there is none, and after one ended.
const SOON: Duration = Duration::from_millis(250);
/// How long a file may take to be read.
const READ_WITHIN: Duration = Duration::from_secs(2);
/// What is read where a process is looked for by its group.
const CGROUPS: &str = "the control groups";
/// How long there may be none before somebody is to know: a restart takes a moment.
const MISSED_AFTER: Duration = Duration::from_secs(5);
/// The group that everything is in which nobody put elsewhere.
const ROOT: u64 = 1;

/// Where the processes of a service are known from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Those of the control group whose socket listens there.
    Socket(Protocol, SocketAddr),
    /// Those of a systemd unit.
    Unit(String),
    /// The one that this file names.
    PidFile(PathBuf),
}

/// What is known of the processes of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Followers {
    /// In words.
    pub(crate) words: String,
    /// Nothing has been followed for a while: no hint will come.
    pub(crate) missed: bool,
}

impl Default for Followers {
    fn default() -> Self {
        Self { words: "no process yet".to_owned(), missed: false }
    }
}

type Pidfd = AsyncFd<OwnedFd>;

/// Follows the processes of a service; calls `ended` for each that ends. Never returns.
pub(super) async fn follow(
    origins: Vec<Origin>,
    listeners: Listeners,
    shown: watch::Sender<Followers>,
    ended: impl Fn(i32),
) {
    let mut followed: BTreeMap<i32, Pidfd> = BTreeMap::new();
    // Ended, and listed yet: until somebody waits for it a process is there, in name.
    let mut ghosts: BTreeSet<i32> = BTreeSet::new();
    let mut found_at = Instant::now();
    loop {
        let found = find(&origins, &listeners).await;
        let pids = found.as_deref().unwrap_or_default();
        // One that is not there any more may have ended while the others were looked for. Where they cannot be looked for, each tells
        // of its end itself.
        followed.retain(|pid, _| {
            let there = found.is_err() || pids.contains(pid);
            if !there {
                ended(*pid);
            }
            there
        });
        ghosts.retain(|pid| pids.contains(pid));
        for pid in pids {
            if !followed.contains_key(pid)
                && !ghosts.contains(pid)
                && let Some(pidfd) = open(*pid)
            {
                followed.insert(*pid, pidfd);
            }
        }
        if !followed.is_empty() {
            found_at = Instant::now();
            know(&origins, &listeners).await;
        }
        let words = in_words(found.as_deref().map(|_| followed.keys().copied().collect()).map_err(String::as_str));
        tell(&shown, Followers { words, missed: found_at.elapsed() >= MISSED_AFTER });
        let mut again = Instant::now() + if followed.is_empty() { SOON } else { AGAIN };
        loop {
            tokio::select! {
                pid = first_end(&followed) => {
                    followed.remove(&pid);
                    ghosts.insert(pid);
                    ended(pid);
                    again = again.min(Instant::now() + SOON);
                }
                () = sleep_until(again) => break,
            }
        }
    }
}

/// Shows what is known; the log is told when nothing is followed, and when something is again.
fn tell(shown: &watch::Sender<Followers>, news: Followers) {
    shown.send_if_modified(|held| {
        match (held.missed, news.missed) {
            (false, true) => tracing::warn!("{}; the checks go on at their intervals", news.words),
            (true, false) => tracing::info!("{} is followed", news.words),
            (true, true) | (false, false) => {}
        }
        let changed = *held != news;
        *held = news;
        changed
    });
}

/// That somebody listens is to be known before the process ends: nobody does any more only where somebody did.
async fn know(origins: &[Origin], listeners: &Listeners) {
    for origin in origins {
        if let Origin::Socket(protocol, address) = origin
            && !listeners.is_known(*protocol, *address)
        {
            // That it fails is counted, and nothing depends on it.
            let _ = listeners.at(*protocol, *address).await;
        }
    }
}

/// A pidfd is readable once the process has ended, all its threads with it; its sockets are closed by then.
async fn first_end(followed: &BTreeMap<i32, Pidfd>) -> i32 {
    let ends = followed.iter().map(|(pid, pidfd)| {
        Box::pin(async move {
            if pidfd.readable().await.is_err() {
                std::future::pending::<()>().await;
            }
            *pid
        })
    });
    let ends: Vec<_> = ends.collect();
    if ends.is_empty() {
        return std::future::pending().await;
    }
    select_all(ends).await.0
}

#[allow(deprecated, reason = "the successor is unsafe for types that can swap their descriptor; an OwnedFd cannot")]
fn open(pid: i32) -> Option<Pidfd> {
    // One that has gone already was never followed: those who ask find out by themselves.
    let pidfd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::NONBLOCK).ok()?;
    AsyncFd::with_interest(pidfd, tokio::io::Interest::READABLE).ok()
}

/// The processes, or why there are none, in words.
async fn find(origins: &[Origin], listeners: &Listeners) -> Result<Vec<i32>, String> {
    let mut why = None;
    for origin in origins {
        let found = match origin {
            Origin::Socket(protocol, address) => by_socket(*protocol, *address, listeners).await,
            Origin::Unit(unit) => by_unit(unit.clone()).await,
            Origin::PidFile(file) => by_file(file.clone()).await,
        };
        match found {
            Ok(pids) if !pids.is_empty() => return Ok(pids),
            Ok(_) => {}
            // The surest way first, and its trouble.
            Err(error) => drop(why.get_or_insert(error)),
        }
    }
    Err(why.unwrap_or_else(|| "nothing names its process".to_owned()))
}

async fn by_socket(protocol: Protocol, address: SocketAddr, listeners: &Listeners) -> Result<Vec<i32>, String> {
    let place = super::listeners::in_words(protocol, address);
    let found = listeners.at(protocol, address).await.map_err(|error| format!("who listens on {place}: {error}"))?;
    let groups: Vec<u64> = found.iter().filter_map(|socket| socket.cgroup).collect();
    match groups[..] {
        [] if found.is_empty() => Err(format!("nobody listens on {place} in this network namespace")),
        [] => Err(format!("the kernel does not say in which control group the listener on {place} is")),
        _ if groups.iter().all(|group| *group == ROOT) => {
            Err(format!("the listener on {place} is in the root control group, with everything else"))
        }
        _ => {
            read(CGROUPS, move || {
                let mount = cgroups::mount().ok_or("no unified control groups are mounted")?;
                let of = |group: &u64| cgroups::by_id(&mount, *group);
                let paths: Vec<PathBuf> = groups.iter().filter(|group| **group != ROOT).filter_map(of).collect();
                if paths.is_empty() {
                    return Err(format!("the control group of the listener on {place} is not to be seen from here"));
                }
                let mut pids: Vec<i32> = paths.iter().flat_map(|path| cgroups::processes(path)).collect();
                pids.sort_unstable();
                pids.dedup();
                Ok(pids)
            })
            .await
        }
    }
}

async fn by_unit(unit: String) -> Result<Vec<i32>, String> {
    read(CGROUPS, move || {
        let mount = cgroups::mount().ok_or("no unified control groups are mounted")?;
        let group = cgroups::by_unit(&mount, &unit).ok_or_else(|| format!("{unit} does not run"))?;
        Ok(cgroups::processes(&group))
    })
    .await
}

async fn by_file(file: PathBuf) -> Result<Vec<i32>, String> {
    let name = file.display().to_string();
    read(&name, move || pid_file::read(&file).map(|pid| vec![pid.as_raw_nonzero().get()])).await
}

/// Reads what the file system may keep us waiting for, and never a second time meanwhile.
async fn read<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let slow = || format!("{what}: no answer from the file system within {} s", READ_WITHIN.as_secs());
    match Slot::of(&FILES, what).run(READ_WITHIN, work).await {
        Ok(read) => read,
        Err(Hang::Late | Hang::Before(_) | Hang::Busy | Hang::Full(_)) => Err(slow()),
        Err(Hang::Fault(why)) => Err(why),
    }
}

fn in_words(found: Result<Vec<i32>, &str>) -> String {
    match found {
        Err(why) => format!("no process: {why}"),
        Ok(pids) => match pids[..] {
            [] => "no process: it has just ended".to_owned(),
            [pid] => format!("process {pid}{}", name(pid)),
            [pid, ..] => format!("process {pid}{} and {} others", name(pid), pids.len() - 1),
        },
    }
}

fn name(pid: i32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { String::new() } else { format!(" ({})", name.escape_default()) }
}
