//! What comes for anycast addresses, counted by the kernel's packet filter for the services that ask for it (`traffic`).
//!
//! The counters are in a table of their own (`inet anycastd`, nf_tables), which a thread keeps as it is to be and reads every second: the
//! kernel may take its time over the packet filter, and nothing that is decided depends on it. The table outlives this process where that
//! ends without being told to, or goes over into another program: the next one finds it, and the counts go on.

mod message;
mod seen;
mod table;

use std::{
    collections::BTreeSet,
    io,
    net::IpAddr,
    path::Path,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    time::{Duration, Instant},
};

use tokio::sync::{oneshot, watch};

pub(crate) use self::seen::Seen;
use self::table::Counts;

/// How often the counters are read.
const EVERY: Duration = Duration::from_secs(1);
/// What is older than that is told no more.
const STALE: Duration = Duration::from_secs(10);
/// What is not older than that need not be read anew, …
const FRESH: Duration = Duration::from_millis(100);
/// … and how long it may take where it is.
const LOOK: Duration = Duration::from_millis(500);
/// How long the end may take.
const END: Duration = Duration::from_secs(1);

/// What came for an address, since it is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) packets: u64,
    /// Those of IP, its headers included.
    pub(crate) bytes: u64,
}

/// Where the thread is told what to count. It ends with this, and takes the table away.
#[derive(Debug)]
pub(crate) struct Meter {
    wanted: Sender<BTreeSet<IpAddr>>,
    seen: watch::Receiver<Seen>,
    set: BTreeSet<IpAddr>,
    told: bool,
}

/// A reading that was asked for.
#[derive(Debug)]
pub(crate) struct Look {
    seen: watch::Receiver<Seen>,
    is_there: bool,
}

impl Look {
    /// `None`: it does not come soon.
    pub(crate) async fn taken(mut self) -> Option<Seen> {
        if !self.is_there {
            tokio::time::timeout(LOOK, self.seen.changed()).await.ok()?.ok()?;
        }
        Some(self.seen.borrow().clone())
    }
}

/// The end of the thread.
#[derive(Debug)]
pub(crate) struct Ended(oneshot::Receiver<()>);

impl Ended {
    /// Waits for it, not for long.
    pub(crate) async fn wait(self) {
        let _ = tokio::time::timeout(END, self.0).await;
    }
}

impl Meter {
    /// Starts the thread; it does nothing before it is told to.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn start() -> io::Result<(Self, Ended)> {
        let (wanted, asked) = mpsc::channel();
        let (told, seen) = watch::channel(Seen::nothing(Instant::now()));
        let (alive, ended) = oneshot::channel();
        std::thread::Builder::new().name("traffic".to_owned()).spawn(move || {
            run(&asked, &told);
            drop(alive);
        })?;
        Ok((Self { wanted, seen, set: BTreeSet::new(), told: false }, Ended(ended)))
    }

    /// What is to be counted from now on.
    pub(crate) fn set(&mut self, addresses: BTreeSet<IpAddr>) {
        if self.told && self.set == addresses {
            return;
        }
        (self.set, self.told) = (addresses.clone(), true);
        // It ends with the process only.
        let _ = self.wanted.send(addresses);
    }

    /// What came for an address; `None`: it is not counted, or that is not known now.
    pub(crate) fn received(&self, address: &IpAddr) -> Option<Received> {
        let seen = self.seen.borrow();
        let counted = self.set.contains(address) && seen.at.elapsed() < STALE;
        seen.counts.get(address).filter(|_| counted).copied()
    }

    /// Has the counters read now, and not within a second.
    pub(crate) fn look(&self) -> Look {
        let mut seen = self.seen.clone();
        let is_there = seen.borrow_and_update().at.elapsed() < FRESH;
        if !is_there {
            // It ends with the process only.
            let _ = self.wanted.send(self.set.clone());
        }
        Look { seen, is_there }
    }

    /// Why it is not counted though it is to be.
    pub(crate) fn problem(&self) -> Option<String> {
        let seen = self.seen.borrow();
        let late = || {
            let age = seen.at.elapsed();
            (age >= STALE).then(|| format!("the packet filter has not answered for {} s", age.as_secs()))
        };
        let why = seen.problem.clone().or_else(late).filter(|_| !self.set.is_empty())?;
        Some(format!("traffic is not counted: {why}"))
    }
}

fn run(asked: &Receiver<BTreeSet<IpAddr>>, told: &watch::Sender<Seen>) {
    // What was left is not touched before it is known whether it goes on.
    let Ok(mut wanted) = asked.recv() else { return };
    let mut is_there = may_be_left();
    loop {
        let outcome = settle(&wanted, &mut is_there);
        let (counts, anew, problem) = match outcome {
            Ok((counts, anew)) => (counts, anew, None),
            Err(error) => (Counts::new(), false, Some(words(&error))),
        };
        if problem.is_some() && told.borrow().problem != problem {
            tracing::warn!("traffic is not counted: {}", problem.as_deref().unwrap_or_default());
        }
        let seen = told.borrow().then(counts, anew, problem, Instant::now());
        told.send_replace(seen);
        let next = match wanted.is_empty() {
            true => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => asked.recv_timeout(EVERY),
        };
        match next {
            Ok(other) => wanted = asked.try_iter().last().unwrap_or(other),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let _ = settle(&BTreeSet::new(), &mut is_there);
}

/// Nothing to count is no table.
fn settle(wanted: &BTreeSet<IpAddr>, is_there: &mut bool) -> io::Result<(Counts, bool)> {
    if !wanted.is_empty() {
        *is_there = true;
        return table::settle(wanted);
    }
    if std::mem::take(is_there)
        && let Err(error) = table::remove()
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(%error, "the table inet anycastd may still be there");
    }
    Ok((Counts::new(), false))
}

/// Whether a table of another process may be there. Where the kernel's module is not loaded there is none, and asking would load it.
fn may_be_left() -> bool {
    let modules = std::fs::read_to_string("/proc/modules");
    let is_loaded = |modules: String| modules.lines().any(|line| line.starts_with("nf_tables "));
    modules.map_or(true, is_loaded) || Path::new("/sys/module/nf_tables").exists()
}

fn words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM) => "CAP_NET_ADMIN is missing".to_owned(),
        Some(libc::EEXIST) => {
            "there is a table `inet anycastd` that is not this agent's (`nft list table inet anycastd`)".to_owned()
        }
        Some(libc::EPROTONOSUPPORT | libc::EOPNOTSUPP | libc::EINVAL | libc::EAFNOSUPPORT) => {
            format!("{error}: it takes nf_tables (`modprobe nf_tables`) of Linux 5.7 or later")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::kernel::tests::world::{AMPLE, isolated};

    fn there() -> bool {
        let listed = Command::new("nft").args(["list", "table", "inet", "anycastd"]).output();
        listed.expect("nft is installed").status.success()
    }

    async fn eventually(what: &str, is: impl Fn() -> bool) {
        let deadline = Instant::now() + AMPLE;
        while !is() {
            assert!(Instant::now() < deadline, "{what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[test]
    fn the_table_comes_and_goes_with_what_is_asked_for() {
        isolated(|| async {
            let address: IpAddr = "203.0.113.80".parse().unwrap();
            // One that was killed has left it.
            table::settle(&[address].into()).unwrap();
            let (mut meter, ended) = Meter::start().unwrap();
            assert!(there(), "nothing is done before it is known what goes on");
            meter.set(BTreeSet::new());
            eventually("what was left goes", || !there()).await;
            meter.set([address].into());
            eventually("it is counted", || meter.received(&address) == Some(Received::default())).await;
            assert_eq!((meter.problem(), meter.received(&"203.0.113.81".parse().unwrap())), (None, None));
            let deadline = Instant::now() + AMPLE;
            while meter.look().taken().await.and_then(|seen| seen.packets(&[address].into())) != Some(0) {
                assert!(Instant::now() < deadline, "nothing has come");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            drop(meter);
            ended.wait().await;
            assert!(!there(), "it goes with the agent");
        });
    }
}
