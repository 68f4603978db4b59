//! What the demonstration found: as data, and as the table at its end.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context as _;
use serde::Serialize;

use super::{
    analysis::Losses,
    places::{REGIONS, Region, TARGETS},
};
use crate::tools::record::{How, Nanos, Request};

/// Counts up when a reader of the file would have to know.
const SCHEMA: u32 = 1;

/// Where a time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    /// The demonstration did it.
    Order,
    /// The agent's own word.
    Agent,
    /// Packets of the node's BGP session.
    Capture,
    /// The router's kernel.
    RouteMonitor,
    /// Requests of a client.
    Probe,
}

impl Source {
    /// In a column.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Agent => "agent",
            Self::Capture => "wire",
            Self::RouteMonitor => "route",
            Self::Probe => "probe",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Event {
    pub(super) at: Nanos,
    /// Milliseconds after the act's fault.
    pub(super) ms: f64,
    pub(super) source: Source,
    pub(super) node: String,
    pub(super) text: String,
}

/// An expectation that was not met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Failure {
    pub(super) expected: String,
    pub(super) seen: String,
    /// Where the cause may be found.
    pub(super) look: String,
    /// The end of the log there.
    pub(super) log: Vec<String>,
}

/// What became of the requests of one series.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Traffic {
    pub(super) client: String,
    pub(super) how: How,
    pub(super) target: String,
    /// The stretch of sending times that is counted.
    pub(super) from: Nanos,
    pub(super) to: Nanos,
    #[serde(flatten)]
    pub(super) losses: Losses,
}

/// When each step was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(super) struct Steps {
    /// The agent's check turned (the agent's own word).
    pub(super) check: Option<Nanos>,
    /// An UPDATE, or the end of the connection, left the node (capture).
    pub(super) wire: Option<Nanos>,
    /// The router's kernel had another route (route monitor).
    pub(super) route: Option<Nanos>,
    /// The first answer from elsewhere, or from the node that is back (probe).
    pub(super) answer: Option<Nanos>,
}

/// One act.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Act {
    pub(super) letter: String,
    pub(super) title: String,
    /// In the table: what was done.
    pub(super) method: String,
    /// To which node.
    pub(super) node: String,
    /// Time 0 of the act.
    pub(super) at: Nanos,
    pub(super) steps: Steps,
    pub(super) events: Vec<Event>,
    pub(super) traffic: Vec<Traffic>,
    /// TCP requests that were under way when the route moved; they are not part of `traffic`.
    pub(super) long: Vec<Request>,
    pub(super) failures: Vec<Failure>,
}

impl Act {
    pub(super) fn new(letter: &str, title: &str, method: &str, node: &str) -> Self {
        Self {
            letter: letter.to_owned(),
            title: title.to_owned(),
            method: method.to_owned(),
            node: node.to_owned(),
            at: Nanos::now(),
            steps: Steps::default(),
            events: Vec::new(),
            traffic: Vec::new(),
            long: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Adds an event; the act's time 0 must be set.
    pub(super) fn event(&mut self, at: Nanos, source: Source, node: &str, text: impl Into<String>) {
        let ms = at.millis_since(self.at);
        self.events.push(Event { at, ms, source, node: node.to_owned(), text: text.into() });
    }

    /// All requests of a kind together: how many were sent and lost, the longest gap, and for how long there were losses.
    pub(super) fn sum(&self, how: How) -> Losses {
        let mut sum = Losses::default();
        for Traffic { losses, .. } in self.traffic.iter().filter(|traffic| traffic.how == how) {
            sum.sent += losses.sent;
            sum.lost += losses.lost;
            sum.longest_gap_ms = sum.longest_gap_ms.max(losses.longest_gap_ms);
            sum.longest_silence_ms = sum.longest_silence_ms.max(losses.longest_silence_ms);
            sum.lossy_ms = sum.lossy_ms.max(losses.lossy_ms);
            for (node, count) in &losses.served_by {
                *sum.served_by.entry(node.clone()).or_default() += count;
            }
        }
        sum
    }
}

/// The whole of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    schema: u32,
    started: String,
    took_ms: f64,
    clock: &'static str,
    sources: BTreeMap<&'static str, &'static str>,
    regions: [Region; 3],
    targets: [&'static str; 2],
    acts: Vec<Act>,
    failures: usize,
}

impl Report {
    pub(super) fn new(started: Nanos, acts: Vec<Act>) -> Self {
        let sources = BTreeMap::from([
            ("order", "done by the demonstration itself, timed in the node"),
            ("agent", "the agent's own word (anycastctl events), in milliseconds"),
            ("capture", "packets of the BGP session at the edge node, stamped by the kernel"),
            ("route_monitor", "the routing table of the region's router (ip monitor)"),
            ("probe", "UDP and HTTP requests of the region's client"),
        ]);
        let since = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(started.0);
        Self {
            schema: SCHEMA,
            started: humantime::format_rfc3339_millis(since).to_string(),
            took_ms: Nanos::now().millis_since(started),
            clock: "CLOCK_REALTIME, nanoseconds since 1970 (at, from, to, sent); ms: milliseconds after the act's at",
            sources,
            regions: REGIONS,
            targets: TARGETS,
            failures: acts.iter().map(|act| act.failures.len()).sum(),
            acts,
        }
    }

    /// How many expectations were not met.
    pub(super) const fn failures(&self) -> usize {
        self.failures
    }

    /// Writes it as JSON.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
    }

    /// The table: a line for each act that moved traffic.
    pub(super) fn table(&self) -> Vec<String> {
        let head = ["", "WHAT", "NODE", "CHECK", "ON WIRE", "ROUTER", "ANSWER", "UDP LOST", "GAP", "HTTP LOST"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(self.acts.iter().filter(|act| !act.method.is_empty()).map(row));
        align(&rows)
    }
}

fn row(act: &Act) -> [String; 10] {
    let step = |at: Option<Nanos>| at.map_or("–".to_owned(), |at| ms(at.millis_since(act.at)));
    let (udp, http) = (act.sum(How::Udp), act.sum(How::Http));
    let lost = |losses: &Losses| format!("{} of {}", losses.lost, losses.sent);
    [
        act.letter.clone(),
        act.method.clone(),
        act.node.clone(),
        step(act.steps.check),
        step(act.steps.wire),
        step(act.steps.route),
        step(act.steps.answer),
        lost(&udp),
        if udp.lost == 0 { "–".to_owned() } else { ms(udp.longest_gap_ms) },
        lost(&http),
    ]
}

/// Milliseconds in a column.
pub(super) fn ms(ms: f64) -> String {
    if ms.abs() < 100.0 { format!("{ms:.1}") } else { format!("{ms:.0}") }
}

/// Columns side by side: words to the left, figures to the right.
fn align<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            0..=2 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::screen::WIDTH, *};

    fn traffic(how: How, sent: usize, lost: usize, gap: f64) -> Traffic {
        let losses = Losses { sent, lost, longest_gap_ms: gap, ..Losses::default() };
        let (client, target) = ("ap-client".to_owned(), TARGETS[0].to_owned());
        Traffic { client, how, target, from: Nanos(0), to: Nanos(1), losses }
    }

    fn act() -> Act {
        let mut act = Act::new("b", "The service on ap-edge1 is killed", "service killed", "ap-edge1");
        act.at = Nanos(1_000_000_000);
        act.steps = Steps {
            check: Some(Nanos(1_100_000_000)),
            wire: Some(Nanos(1_100_540_000)),
            route: None,
            answer: Some(Nanos(13_000_000_000)),
        };
        act.traffic =
            vec![traffic(How::Udp, 400, 12, 45.3), traffic(How::Udp, 398, 9, 120.4), traffic(How::Http, 40, 2, 200.0)];
        act
    }

    #[test]
    fn the_table_lines_up_and_fits() {
        let quiet = Act::new("a", "Each region is served by its own", "", "");
        let report = Report::new(Nanos(0), vec![quiet, act()]);
        assert_eq!(
            report.table(),
            [
                "   WHAT            NODE      CHECK  ON WIRE  ROUTER  ANSWER   UDP LOST  GAP  HTTP LOST",
                "b  service killed  ap-edge1    100      101       –   12000  21 of 798  120    2 of 40",
            ]
        );
        assert!(report.table().iter().all(|line| line.chars().count() <= WIDTH));
    }

    #[test]
    fn the_file_tells_every_event_with_its_source() {
        let mut act = act();
        act.event(Nanos(1_100_540_000), Source::Capture, "ap-edge1", "withdraws 203.0.113.0/24");
        let file = tempfile::NamedTempFile::new().unwrap();
        Report::new(Nanos(0), vec![act]).write(file.path()).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&fs::read(file.path()).unwrap()).unwrap();
        let event = &value["acts"][0]["events"][0];
        assert_eq!((&event["at"], &event["ms"]), (&1_100_540_000_u64.into(), &100.54.into()));
        assert_eq!(event["source"], "capture");
        assert_eq!(value["acts"][0]["traffic"][1]["lost"], 9);
        assert_eq!((&value["schema"], &value["failures"]), (&1.into(), &0.into()));
    }
}
