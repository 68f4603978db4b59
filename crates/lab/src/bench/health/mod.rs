//! Health: how soon a dead service is withdrawn, and what it costs to know.
//!
//! The same lab as the speaker's: what watches and what is watched run in one node, the neighbor that is told stands in the
//! other, where the packets are captured. Moments of faults are of the clock that the kernel stamps packets with.

mod busy;
mod config;
mod connections;
mod load;
mod moments;
mod node;
mod reaction;
mod service;
mod watcher;

use std::time::Duration;

use clap::ValueEnum;

use super::{
    Options,
    report::{Report, Section},
    stand::Stand,
};
use crate::programs::Programs;

/// What of health can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// From a kill to the withdraw, and from the return to the announcement
    Reaction,
    /// What a thousand checks take
    Load,
    /// What one check takes
    Idle,
    /// What it takes to watch the listener of a busy server
    Connections,
    /// Withdraws that nothing has called for, while all processors are busy
    Busy,
}

impl Part {
    /// As it is called on the command line.
    pub(super) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Kills for each manner of the agent.
    kills: usize,
    /// The same for the others at 100 ms.
    kills_of_others: usize,
    /// The same for the others at their defaults, which take half a minute for each.
    slow_kills: usize,
    /// Checks at 1 s.
    checks: u32,
    /// From the first answers to when each check runs at its own place in the interval.
    settling: Duration,
    /// For how long they are counted.
    load: Duration,
    /// For how long one check is.
    idle: Duration,
    /// Connections a second that are asked for.
    rate: u32,
    /// For how long, each time.
    connections: Duration,
    /// How often, with and without.
    rounds: usize,
    /// For how long all processors are busy.
    busy: Duration,
}

const FULL: Sizes = Sizes {
    kills: 100,
    kills_of_others: 50,
    slow_kills: 10,
    checks: 1000,
    settling: Duration::from_secs(5),
    load: Duration::from_secs(60),
    idle: Duration::from_secs(120),
    rate: 20_000,
    connections: Duration::from_secs(20),
    rounds: 3,
    busy: Duration::from_secs(600),
};
const QUICK: Sizes = Sizes {
    kills: 2,
    kills_of_others: 2,
    slow_kills: 1,
    checks: 50,
    settling: Duration::from_secs(2),
    load: Duration::from_secs(2),
    idle: Duration::from_secs(2),
    rate: 2000,
    connections: Duration::from_secs(1),
    rounds: 1,
    busy: Duration::from_secs(60),
};

/// Measures these parts, or all where none is named.
///
/// # Errors
/// When the lab does not come up, or the agent does not do what is measured. That somebody else does not is a row.
pub async fn measure(options: &Options, parts: &[Part], programs: &Programs) -> anyhow::Result<Report> {
    let sizes = if options.quick { QUICK } else { FULL };
    let stand = Stand::set(programs).await?;
    let parts = if parts.is_empty() { Part::value_variants() } else { parts };
    let mut sections: Vec<Section> = Vec::new();
    for part in parts {
        match part {
            Part::Reaction => sections.extend(reaction::measure(&stand, &sizes, options.with_others).await?),
            Part::Load => sections.extend(load::measure(&stand, &sizes).await?),
            Part::Idle => sections.push(load::idle(&stand, &sizes).await?),
            Part::Connections => sections.push(connections::measure(&stand, &sizes).await?),
            Part::Busy => sections.push(busy::measure(&stand, &sizes).await?),
        }
    }
    Ok(Report::new(options.quick, sections))
}
