//! Faults to order, for the tests of what the agent does about its own. Not in a release: see `main.rs`.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Deserialize;

use crate::{agent::Handle, lock::lock};

/// What is to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Fault {
    /// The decision loop does nothing else for so long.
    LoopBlocks { seconds: u64 },
    /// Every thread that runs tasks does nothing else for so long.
    SchedulerStalls { seconds: u64 },
    /// The next so many runs of checks panic.
    ProbesPanic { times: u64 },
    /// The next run of a check holds its thread for so long.
    ProbeBlocks { seconds: u64 },
    /// The machine seems to have been suspended for so long.
    Suspended { seconds: u64 },
    /// The kernel refuses whatever it is asked over netlink, with this number; none: it does not any more.
    NetlinkFails { errno: Option<i32> },
    /// The decision loop panics.
    LoopPanics,
}

static SLEPT: AtomicU64 = AtomicU64::new(0);
static PANICS: AtomicU64 = AtomicU64::new(0);
static NETLINK: Mutex<Option<i32>> = Mutex::new(None);
static BLOCKS: Mutex<Option<Duration>> = Mutex::new(None);

/// For how long the machine seems to have been suspended, more than it was.
pub(crate) fn slept() -> Duration {
    Duration::from_secs(SLEPT.load(Ordering::Relaxed))
}

/// What the kernel says instead of an answer.
pub(crate) fn netlink() -> Option<std::io::Error> {
    lock(&NETLINK).map(std::io::Error::from_raw_os_error)
}

/// Called at the begin of every run.
pub(crate) fn probe_begins() {
    let block = lock(&BLOCKS).take();
    if let Some(time) = block {
        std::thread::sleep(time);
    }
    let one_less = |left: u64| left.checked_sub(1);
    if PANICS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
        panic!("ordered");
    }
}

/// Has it happen.
pub(crate) fn order(fault: Fault, agent: &Handle) {
    tracing::warn!(?fault, "a fault was ordered");
    match fault {
        Fault::LoopBlocks { seconds } => {
            let agent = agent.clone();
            let block = move |_: &mut crate::agent::Agent| std::thread::sleep(Duration::from_secs(seconds));
            tokio::spawn(async move {
                // It takes longer than anybody waits for.
                let _ = agent.order(block).await;
            });
        }
        Fault::SchedulerStalls { seconds } => {
            for _ in 0..tokio::runtime::Handle::current().metrics().num_workers() {
                tokio::spawn(async move { std::thread::sleep(Duration::from_secs(seconds)) });
            }
        }
        Fault::ProbesPanic { times } => PANICS.store(times, Ordering::Relaxed),
        Fault::ProbeBlocks { seconds } => {
            *lock(&BLOCKS) = Some(Duration::from_secs(seconds));
        }
        Fault::Suspended { seconds } => drop(SLEPT.fetch_add(seconds, Ordering::Relaxed)),
        Fault::NetlinkFails { errno } => *lock(&NETLINK) = errno,
        Fault::LoopPanics => {
            let agent = agent.clone();
            let panic = |_: &mut crate::agent::Agent| -> () { panic!("ordered") };
            // Nobody is there to answer.
            tokio::spawn(async move {
                let _ = agent.order(panic).await;
            });
        }
    }
}
