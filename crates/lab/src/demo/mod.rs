//! The demonstration: what fails over, how fast, and what is lost.
//!
//! Clients ask the anycast addresses all the time, captures and route monitors run in the nodes, and what they say goes into
//! one [`book`]. A [`scenario`] says what is done to which node; it is [`play`]ed by waiting on the [`stage`] until the book shows
//! that the traffic has moved, and by having the [`analysis`] tell when each step was reached and what was lost. The agent's own word is used for one
//! thing only, when a check turned, and is marked as such. The bench of drains stands on the same book.

pub(crate) mod analysis;
pub(crate) mod book;
mod hands;
mod places;
mod play;
mod region;
mod report;
mod scenario;
mod screen;
mod stage;
pub(crate) mod watchers;

use std::{fmt::Write as _, path::PathBuf, sync::Arc};

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
    /// What to show: names of lab/scenarios, or paths of files like those [default: what the README shows]
    #[arg(value_name = "SCENARIO")]
    pub scenarios: Vec<String>,
    /// List the scenarios, or the steps of those named, and do nothing
    #[arg(long)]
    pub list: bool,
    /// Write all that was measured into this file as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Keep each edge node's BGP packets in this directory, for tshark and its kind
    #[arg(long, value_name = "DIR")]
    pub keep_pcap: Option<PathBuf>,
}

/// Tells which scenarios there are; of those named, each step.
///
/// # Errors
/// When one of them is not understood.
pub fn list(named: &[String]) -> anyhow::Result<String> {
    let mut text = String::new();
    if named.is_empty() {
        for name in scenario::names() {
            writeln!(text, "{name:<16}  {}", scenario::Scenario::find(&name)?.title)?;
        }
        return Ok(text);
    }
    for scenario in scenario::all(named)? {
        writeln!(text, "{}", scenario.title)?;
        scenario.steps.iter().try_for_each(|step| writeln!(text, "  {:<10}  {}", step.node(), step.title))?;
    }
    Ok(text)
}

/// What is to be shown.
#[derive(Debug)]
pub struct Story {
    options: Options,
    scenarios: Vec<scenario::Scenario>,
}

impl Story {
    /// Understands what is to be shown.
    ///
    /// # Errors
    /// When a scenario cannot be read, or says what is not understood.
    pub fn new(options: Options) -> anyhow::Result<Self> {
        Ok(Self { scenarios: scenario::all(&options.scenarios)?, options })
    }
}

/// Shows it.
///
/// # Errors
/// When it cannot be shown, or when what is shown is not what was expected.
pub async fn run(runner: Arc<dyn Runner>, story: Story) -> anyhow::Result<()> {
    let Story { options, scenarios } = story;
    if let Some(file) = &options.json {
        // Before half a minute is spent on what cannot be written.
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(file);
        opened.with_context(|| format!("cannot write {}", file.display()))?;
    }
    let started = Nanos::now();
    let screen = Screen::new();
    let mut stage = Stage::set(runner, screen, options.keep_pcap.is_some()).await?;
    let mut shown = Vec::new();
    let played = play(&mut stage, &scenarios, &mut shown).await;
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

/// The scenarios, one after the other; each begins as the one before left the stage.
async fn play(stage: &mut Stage, scenarios: &[scenario::Scenario], shown: &mut Vec<Act>) -> anyhow::Result<()> {
    shown.push(region::own_region(stage).await?);
    if shown.iter().any(|act| !act.failures.is_empty()) {
        bail!("the lab does not stand as it should; there is no point in breaking it");
    }
    for scenario in scenarios {
        play::play(stage, scenario, shown).await?;
    }
    Ok(())
}
