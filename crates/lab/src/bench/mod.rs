//! Figures: measured and printed, never asserted.
//!
//! Everything runs in a small lab of its own: one node with the speaker that is measured ([`subject`]), one node where scripted
//! neighbors stand and packets are captured ([`stand`]). Times are those of the kernel, from the packets at the neighbor. Drains
//! ([`drain`]) go through real routers.

pub mod bfd;
mod codec;
pub mod drain;
pub mod health;
pub(crate) mod report;
mod speaker;
mod stand;
mod subject;

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};

pub use self::report::{Figure, Outcome, Report, Row, Section};
use self::stand::Stand;
use crate::{
    programs::{BIN_DIR, Programs},
    setup,
};

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// The BGP speaker: starting, withdrawing, a full table, memory, coding; beside ExaBGP and GoBGP where they are installed
    Speaker(Options),
    /// Health: from a kill to the withdraw, what checks cost, and what a busy machine does to them; beside ExaBGP, anycast-healthchecker and GoBGP
    Health {
        /// How it is measured.
        #[command(flatten)]
        options: Options,
        /// What is measured, all of it where nothing is named
        #[arg(value_name = "PART")]
        parts: Vec<health::Part>,
    },
    /// Drains: what is lost of a client's requests through routers, with `withdraw`, with `--now`, and when the service just dies
    Drain(Options),
    /// BFD: how soon a node that hangs or is cut off gets no traffic any more, false alarms, jitter, and what sessions cost; beside BIRD and FRR
    Bfd {
        /// How it is measured.
        #[command(flatten)]
        options: Options,
        /// How much of it.
        #[command(flatten)]
        extent: bfd::Extent,
        /// What is measured, all of it where nothing is named
        #[arg(value_name = "PART")]
        parts: Vec<bfd::Part>,
    },
}

/// How it is measured.
#[derive(Debug, Clone, Default, Args)]
pub struct Options {
    /// Small sizes, to see that it works: the figures mean nothing
    #[arg(long)]
    pub quick: bool,
    /// Give the others the long work as well: the full table, for which ExaBGP takes a gigabyte; services that are killed
    #[arg(long)]
    pub with_others: bool,
    /// Print JSON instead of tables
    #[arg(long)]
    pub json: bool,
    /// Take anycastd, anycastctl and anycast-lab from here instead of building them for release; the last one then measures
    #[arg(long, env = BIN_DIR, hide_env = true, value_name = "DIR")]
    pub bin_dir: Option<PathBuf>,
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Prefixes to withdraw at once.
    prefixes: u32,
    /// Routes of a full table.
    routes: u32,
    /// Starts.
    starts: usize,
    /// Numbers of neighbors.
    neighbors: &'static [u8],
    /// Messages to encode, and to decode.
    messages: u32,
}

const FULL: Sizes = Sizes { prefixes: 1000, routes: 1_000_000, starts: 20, neighbors: &[1, 8, 64], messages: 20_000 };
const QUICK: Sizes = Sizes { prefixes: 20, routes: 20_000, starts: 2, neighbors: &[1, 8], messages: 50 };

/// Measures and prints.
///
/// # Errors
/// When the lab does not come up, or the agent does not do what is measured. That another speaker does not is a row.
pub async fn run(bench: Bench) -> anyhow::Result<()> {
    setup::ensure(setup::Purpose::Test).await?;
    let (Bench::Speaker(options) | Bench::Health { options, .. } | Bench::Drain(options) | Bench::Bfd { options, .. }) =
        &bench;
    let programs = match &options.bin_dir {
        Some(directory) => Programs::of(directory)?,
        None => Programs::build(true).await?,
    };
    // Coding is measured within the process that measures, and servers run as this program: it must be built as the agent is.
    if !std::env::current_exe()?.canonicalize()?.eq(programs.lab()) {
        return Err(become_another(&bench, programs.lab()).into());
    }
    let report = match &bench {
        Bench::Speaker(options) => speaker(options, &programs).await?,
        Bench::Health { options, parts } => health::measure(options, parts, &programs).await?,
        Bench::Drain(options) => drain::measure(options, &programs).await?,
        Bench::Bfd { options, extent, parts } => bfd::measure(options, *extent, parts, &programs).await?,
    };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(())
}

/// Goes on as that program, with the others from where it lies. Returns only if it cannot.
fn become_another(bench: &Bench, lab: &Path) -> std::io::Error {
    let (options, words) = match bench {
        Bench::Speaker(options) => (options, vec!["speaker".to_owned()]),
        Bench::Drain(options) => (options, vec!["drain".to_owned()]),
        Bench::Bfd { options, extent, parts } => {
            let parts = parts.iter().map(|part| part.name());
            (options, std::iter::once("bfd".to_owned()).chain(extent.words()).chain(parts).collect())
        }
        Bench::Health { options, parts } => {
            (options, std::iter::once("health".to_owned()).chain(parts.iter().map(|part| part.name())).collect())
        }
    };
    let mut command = std::process::Command::new(lab);
    command.arg("bench").args(words);
    let flags = [("--quick", options.quick), ("--with-others", options.with_others), ("--json", options.json)];
    command.args(flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag));
    command.arg("--bin-dir").arg(lab.parent().unwrap_or(lab)).exec()
}

/// Measures the BGP speaker.
///
/// # Errors
/// As [`run`].
pub async fn speaker(options: &Options, programs: &Programs) -> anyhow::Result<Report> {
    let sizes = if options.quick { QUICK } else { FULL };
    let stand = Stand::set(programs).await?;
    let mut sections = vec![
        speaker::start(&stand, sizes.starts).await?,
        speaker::withdraw(&stand, sizes.prefixes).await?,
        speaker::table(&stand, sizes.routes, options.with_others).await?,
        speaker::neighbors(&stand, sizes.neighbors).await?,
    ];
    // Alone on the machine: the lab rests meanwhile.
    sections.push(tokio::task::spawn_blocking(move || codec::measure(sizes.messages)).await??);
    Ok(Report::new(options.quick, sections))
}
