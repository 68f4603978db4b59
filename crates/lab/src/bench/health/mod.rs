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

pub(super) use self::moments::{Quantiles, phase};
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
    for warning in [unfit_build(cfg!(debug_assertions)), crowded(loads().as_ref(), cores())].into_iter().flatten() {
        eprintln!("anycast-lab: {warning}");
    }
    let mut sections: Vec<Section> = Vec::new();
    for part in parts {
        eprintln!("anycast-lab: {}, {}", part.name(), lasts(*part, &sizes, options.with_others));
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

/// Figures of it are of no use to anybody.
fn unfit_build(debug: bool) -> Option<String> {
    debug.then(|| {
        "this is a debug build, several times slower than what is installed: its figures mean nothing. Leave `--bin-dir` out, \
         or build with `--release`"
            .to_owned()
    })
}

/// How many processes ran or waited to, over the last minute; `None`: the kernel does not say.
fn loads() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

/// What the machine does besides, where that is enough to be seen in the figures.
fn crowded(load: Option<&f64>, cores: usize) -> Option<String> {
    let load = load.filter(|load| **load > 0.25 * cores as f64)?;
    Some(format!(
        "the machine is not idle (load {load:.2} on {cores} processor{}): times will be longer and their spread wider",
        if cores == 1 { "" } else { "s" }
    ))
}

/// About how long a part takes, in words.
fn lasts(part: Part, sizes: &Sizes, with_others: bool) -> String {
    let kills = |count: usize, each: u64| Duration::from_secs(count as u64 * each);
    let time = match part {
        // With the hint, at 100 ms and at the defaults; each kill with its return.
        Part::Reaction => {
            let others = kills(3 * sizes.kills_of_others, 3) + kills(2 * sizes.slow_kills, 35);
            kills(3 * sizes.kills, 4) + if with_others { others } else { Duration::ZERO }
        }
        Part::Load => 2 * (sizes.settling + sizes.load + Duration::from_secs(5)),
        Part::Idle => sizes.idle + Duration::from_secs(5),
        Part::Connections => {
            2 * u32::try_from(sizes.rounds).unwrap_or(1) * (sizes.connections + Duration::from_secs(2))
        }
        Part::Busy => sizes.busy + Duration::from_secs(10),
    };
    match time.as_secs().div_ceil(60) {
        0 | 1 => "about a minute or less".to_owned(),
        minutes => format!("about {minutes} minutes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_figures_useless_is_said_before_they_are_taken() {
        assert!(unfit_build(true).unwrap().contains("debug build"));
        assert_eq!(unfit_build(false), None);
        let table = [(Some(0.1), 2, false), (Some(0.6), 2, true), (Some(0.6), 64, false), (None, 2, false)];
        for (load, cores, said) in table {
            assert_eq!(crowded(load.as_ref(), cores).is_some(), said, "{load:?} on {cores}");
        }
        let busy = crowded(Some(&3.456), 2).unwrap();
        assert!(busy.contains("load 3.46 on 2 processors"), "{busy}");
    }

    #[test]
    fn how_long_a_part_takes_is_said_before_it_begins() {
        assert_eq!(lasts(Part::Busy, &FULL, false), "about 11 minutes");
        assert_eq!(lasts(Part::Idle, &QUICK, false), "about a minute or less");
        for part in Part::value_variants() {
            assert!(lasts(*part, &FULL, true).starts_with("about "));
        }
    }
}
