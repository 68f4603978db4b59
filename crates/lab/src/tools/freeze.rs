//! Stops every program of this node where it is, and tells when: a machine that hangs while its kernel goes on.

use std::process;

use clap::Args;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    kill::processes,
    output::Lines,
    record::{Nanos, Record},
};

/// The node's first process: the kernel lets nobody in the node stop it.
const INIT: i32 = 1;

/// `freeze`.
#[derive(Debug, Args)]
pub struct Freeze {
    /// Let all of them go on
    #[arg(long)]
    thaw: bool,
}

impl Freeze {
    /// Sends the signal to all but this process, as fast as it can.
    pub(super) fn run(self) {
        let signal = if self.thaw { Signal::SIGCONT } else { Signal::SIGSTOP };
        let own = i32::try_from(process::id()).ok();
        let others: Vec<Pid> = processes().filter(|pid| pid.as_raw() != INIT && Some(pid.as_raw()) != own).collect();
        let mut lines = Lines::new();
        let at = Nanos::now();
        for pid in &others {
            // One that has ended meanwhile does nothing any more either.
            let _ = kill(*pid, signal);
        }
        others.iter().for_each(|pid| lines.say(&Record::Killed { at, pid: pid.as_raw() }));
    }
}
