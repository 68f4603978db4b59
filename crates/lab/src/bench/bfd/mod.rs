//! BFD: how soon a node that hangs or is cut off gets no traffic any more, whether a busy machine is taken for such a one, and what
//! the sessions cost.
//!
//! Faults ([`faults`]) go through the lab of the drains, with a router that speaks BFD: two nodes announce the same prefixes, and a client
//! asks all the time. The other two parts ([`steady`], [`scale`]) need the near node and its router only.

mod faults;
mod scale;
mod scene;
mod steady;
mod subject;

use std::time::Duration;

use clap::{Args, ValueEnum};

use self::scene::Scene;
use super::{Options, Report, Section};
use crate::programs::Programs;

/// What of BFD can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// From a fault to the end of the route, and to the first answer from elsewhere
    Faults,
    /// False alarms and the jitter of packets, idle and with all processors busy
    Steady,
    /// Processor time by number of sessions
    Scale,
}

/// How much of it.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Extent {
    /// Faults of each kind [default: 20]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub runs: Option<u16>,
    /// For how many minutes all processors are busy, each time [default: 10]
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u16).range(1..))]
    pub minutes: Option<u16>,
}

impl Extent {
    /// As words of a command line.
    pub(super) fn words(self) -> Vec<String> {
        let given = [("--runs", self.runs), ("--minutes", self.minutes)];
        let given = given.into_iter().filter_map(|(flag, value)| Some(format!("{flag}={}", value?)));
        given.collect()
    }
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
    /// Faults of each kind.
    runs: usize,
    /// For how long packets are looked at while nothing else happens.
    idle: Duration,
    /// The same while all processors are busy.
    busy: Duration,
    /// Numbers of sessions.
    sessions: &'static [u16],
    /// For how long each of them is looked at.
    load: Duration,
}

const FULL: Sizes = Sizes {
    runs: 20,
    idle: Duration::from_secs(120),
    busy: Duration::from_secs(600),
    sessions: &[1, 64, 512],
    load: Duration::from_secs(30),
};
const QUICK: Sizes = Sizes {
    runs: 1,
    idle: Duration::from_secs(3),
    busy: Duration::from_secs(3),
    sessions: &[1, 8],
    load: Duration::from_secs(2),
};

impl Sizes {
    fn of(options: &Options, extent: Extent) -> Self {
        let sizes = if options.quick { QUICK } else { FULL };
        let busy = extent.minutes.map_or(sizes.busy, |minutes| Duration::from_secs(60 * u64::from(minutes)));
        Self { runs: extent.runs.map_or(sizes.runs, usize::from), busy, idle: sizes.idle.min(busy), ..sizes }
    }
}

/// Measures these parts, or all where none is named.
///
/// # Errors
/// When the lab does not come up, or the agent does not do what is measured.
pub async fn measure(options: &Options, extent: Extent, parts: &[Part], programs: &Programs) -> anyhow::Result<Report> {
    let sizes = Sizes::of(options, extent);
    let parts = if parts.is_empty() { Part::value_variants() } else { parts };
    let scene = Scene::set(programs).await?;
    let measured = all(&scene, options, parts, &sizes).await;
    scene.clear().await?;
    Ok(Report::new(options.quick, measured?))
}

async fn all(scene: &Scene, options: &Options, parts: &[Part], sizes: &Sizes) -> anyhow::Result<Vec<Section>> {
    let mut sections = Vec::new();
    for part in parts {
        match part {
            Part::Faults => sections.extend(faults::measure(scene, sizes, options.with_others).await?),
            Part::Steady => sections.extend(steady::measure(scene, sizes).await?),
            Part::Scale => sections.push(scale::measure(scene, sizes).await?),
        }
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extent_goes_over_to_another_process() {
        assert_eq!(Extent::default().words(), Vec::<String>::new());
        assert_eq!(Extent { runs: Some(3), minutes: Some(1) }.words(), ["--runs=3", "--minutes=1"]);
        let sizes = Sizes::of(&Options::default(), Extent { runs: Some(3), minutes: Some(1) });
        assert_eq!((sizes.runs, sizes.busy, sizes.idle), (3, Duration::from_secs(60), Duration::from_secs(60)));
    }
}
