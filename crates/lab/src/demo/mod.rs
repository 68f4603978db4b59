//! The demonstration: what fails over, how fast, and what is lost.
//!
//! Clients ask the anycast addresses all the time, captures and route monitors run in the nodes, and what they say goes into
//! one [`book`]. An act ([`acts`]) does something to a node, waits on the [`stage`] until the book shows that the traffic has
//! moved, and has the [`analysis`] tell when each step was reached and what was lost. The agent's own word is used for one
//! thing only, when a check turned, and is marked as such. The bench of drains stands on the same book.

mod acts;
pub(crate) mod analysis;
pub(crate) mod book;
mod hands;
mod places;
mod report;
mod screen;
mod stage;
pub(crate) mod watchers;

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail};

use self::{
    report::{Act, Report},
    screen::Screen,
    stage::Stage,
};
use crate::{runner::Runner, tools::record::Nanos};

/// How it is shown.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Write all that was measured into this file as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Keep each edge node's BGP packets in this directory, for tshark and its kind
    #[arg(long, value_name = "DIR")]
    pub keep_pcap: Option<PathBuf>,
}

/// Shows it.
///
/// # Errors
/// When it cannot be shown, or when what is shown is not what was expected.
pub async fn run(runner: Arc<dyn Runner>, options: Options) -> anyhow::Result<()> {
    if let Some(file) = &options.json {
        // Before half a minute is spent on what cannot be written.
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(file);
        opened.with_context(|| format!("cannot write {}", file.display()))?;
    }
    let started = Nanos::now();
    let screen = Screen::new();
    let mut stage = Stage::set(runner, screen, options.keep_pcap.is_some()).await?;
    let mut shown = Vec::new();
    let played = play(&mut stage, &mut shown).await;
    stage.clear(options.keep_pcap.as_deref()).await?;
    let report = Report::new(started, shown);
    let written = options.json.as_ref().map_or(Ok(()), |file| report.write(file));
    played?;
    screen.act("=", "In short");
    screen.lines(&report.table());
    for line in LEGEND {
        screen.aside(line);
    }
    written?;
    if report.failures() > 0
        && let Some(busy) = busy()
    {
        screen.act("!", &busy);
    }
    match report.failures() {
        0 => Ok(()),
        1 => bail!("one expectation was not met; it is marked FAILED above"),
        many => bail!("{many} expectations were not met; they are marked FAILED above"),
    }
}

/// Whether this machine has so much else to do that it may be the cause: routers that are not scheduled for a tenth of a
/// second tell of routes that they have not installed yet, and packets loop.
fn busy() -> Option<String> {
    let load: f64 = std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()?;
    let processors = std::thread::available_parallelism().ok()?.get();
    let text = format!("This machine is busy (load {load:.0}, {processors} processors): try again when it is not.");
    (load > 2.0 * processors as f64).then_some(text)
}

/// What the table's columns are.
const LEGEND: [&str; 2] = [
    "Milliseconds after the fault or the order. CHECK: the agent's own word. ON WIRE: a capture of the node's BGP session. \
     ROUTER: the routing table of the region's router. ANSWER: the client's first from elsewhere, or from the node that is \
     back.",
    "LOST: a client's requests, UDP every 5 ms in each family, HTTP every 100 ms. GAP: the longest time without an answered \
     one.",
];

/// The acts, one after the other; each begins as the one before left the stage.
async fn play(stage: &mut Stage, shown: &mut Vec<Act>) -> anyhow::Result<()> {
    shown.push(acts::own_region(stage).await?);
    if shown.iter().any(|act| !act.failures.is_empty()) {
        bail!("the lab does not stand as it should; there is no point in breaking it");
    }
    acts::service_dies(stage, shown).await?;
    acts::service_returns(stage, shown).await?;
    acts::maintenance(stage, shown).await?;
    acts::agent_dies(stage, shown).await?;
    acts::node_cut_off(stage, shown).await
}
