//! Drains: what is lost of a client's requests while a node is taken out of service, through real routers.
//!
//! Two edge nodes announce the same prefixes ([`scene`]); the client, beside the near one, asks all the time. The near one is drained
//! and, once that is said to be safe, its service is killed. What became of the requests is what the client saw ([`count`]).

pub(super) mod count;
pub(super) mod scene;

use std::time::Duration;

use anyhow::{Context as _, ensure};

use self::{
    count::{Counted, Family},
    scene::Scene,
};
use super::{
    Options,
    report::{Figure, Outcome, Report, Row, Section, middle_and_most},
};
use crate::programs::Programs;

/// How the near node goes out of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// `anycastctl withdraw --wait`, then the service is killed.
    Drain,
    /// The same with `--now`.
    Now,
    /// The service is killed, and the agent finds out.
    Killed,
}

impl Manner {
    const ALL: [Self; 3] = [Self::Drain, Self::Now, Self::Killed];

    const fn name(self) -> &'static str {
        match self {
            Self::Drain => "withdraw",
            Self::Now => "withdraw --now",
            Self::Killed => "killed",
        }
    }
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Runs of each manner.
    runs: usize,
    /// The agents' `drain`; `None`: the default.
    drain: Option<&'static str>,
}

const FULL: Sizes = Sizes { runs: 20, drain: None };
const QUICK: Sizes = Sizes { runs: 1, drain: Some("{ graceful_shutdown: 1s, linger: 500ms }") };

/// What was seen of each run of one manner.
#[derive(Debug, Default)]
struct Runs {
    by_family: [Vec<Counted>; 2],
    /// From the order to when `--wait` said that it is safe to stop.
    waits: Vec<Duration>,
}

/// Measures.
///
/// # Errors
/// When the lab does not come up, or traffic does not move.
pub async fn measure(options: &Options, programs: &Programs) -> anyhow::Result<Report> {
    ensure!(!options.with_others, "the others have no drain to compare; leave --with-others out");
    let sizes = if options.quick { QUICK } else { FULL };
    let scene = Scene::set(programs, sizes.drain).await?;
    let mut all: Vec<(Manner, Runs)> = Manner::ALL.map(|manner| (manner, Runs::default())).into();
    let measured = rounds(&scene, sizes.runs, &mut all).await;
    scene.clear().await?;
    measured?;
    Ok(Report::new(options.quick, vec![datagrams(&all), connections(&all)]))
}

/// In turn: what else the machine does meanwhile is in the figures of all of them.
async fn rounds(scene: &Scene, count: usize, all: &mut [(Manner, Runs)]) -> anyhow::Result<()> {
    for n in 1..=count {
        eprintln!("anycast-lab: drains, round {n} of {count}");
        for (manner, runs) in &mut *all {
            one(scene, *manner, runs).await.with_context(|| format!("round {n}: {}", manner.name()))?;
        }
    }
    Ok(())
}

/// Out of service and back.
async fn one(scene: &Scene, manner: Manner, runs: &mut Runs) -> anyhow::Result<()> {
    let away = match manner {
        Manner::Drain => scene.drain(false).await?,
        Manner::Now => scene.drain(true).await?,
        Manner::Killed => scene.kill().await?,
    };
    let back = scene.bring_back(manner != Manner::Killed).await?;
    for (family, counted) in Family::ALL.into_iter().zip(&mut runs.by_family) {
        let one = scene.count(family, &away, &back)?;
        if one.away.lost + one.back.lost > 0 {
            let lost = scene.lost(family, &away, &back);
            eprintln!("anycast-lab: {}, {}: lost {lost}", manner.name(), family.name());
        }
        counted.push(one);
    }
    runs.waits.extend(away.waited);
    scene.forget();
    Ok(())
}

/// A row for each manner and family.
fn rows(all: &[(Manner, Runs)], figures: impl Fn(&[Counted], &[Duration]) -> Vec<Figure>) -> Vec<Row> {
    let rows = all.iter().flat_map(|(manner, runs)| {
        let figures = &figures;
        Family::ALL.into_iter().zip(&runs.by_family).map(move |(family, counted)| Row {
            subject: format!("{}, {}", manner.name(), family.name()),
            outcome: Outcome::Figures(figures(counted, &runs.waits)),
        })
    });
    rows.collect()
}

fn datagrams(all: &[(Manner, Runs)]) -> Section {
    let figures = |runs: &[Counted], waits: &[Duration]| {
        let sum = |count: fn(&Counted) -> usize| runs.iter().map(count).sum::<usize>() as f64;
        let most = |value: fn(&Counted) -> f64| runs.iter().map(value).fold(0.0, f64::max);
        let (last, last_most) = middle_and_most(runs.iter().map(|run| run.last_ms).collect());
        let (_, wait) = middle_and_most(waits.iter().map(|wait| wait.as_secs_f64() * 1000.0).collect());
        vec![
            Figure::new("runs", runs.len() as f64, 0),
            Figure::new("requests", sum(|run| run.away.sent), 0),
            Figure::new("lost", sum(|run| run.away.lost), 0),
            Figure::new("lossy_runs", sum(|run| usize::from(run.away.lost > 0)), 0),
            Figure::new("gap_ms", most(|run| run.away.longest_gap_ms), 0),
            Figure::new("last_p50_ms", last, 0),
            Figure::new("last_max_ms", last_most, 0),
            Figure::new("wait_ms", wait, 0),
            Figure::new("lost_back", sum(|run| run.back.lost), 0),
        ]
    };
    Section {
        title: "A node goes out of service: a request by UDP every millisecond".to_owned(),
        meaning: "From right before the order (or the kill) to half a second after the kill of the service, which follows when \
                  `withdraw --wait` returns. LOST: without an answer within a second; LOSSY RUNS: those with one or more; GAP: the longest time \
                  between two answered requests with none but lost ones between, the worst of all runs. LAST: from the order to \
                  the last request that the node got, and answered. WAIT: from the order to \"safe to stop\", the longest. LOST BACK: on \
                  the way back, from the start of the service, or `announce`, on.",
        rows: rows(all, figures),
    }
}

fn connections(all: &[(Manner, Runs)]) -> Section {
    let figures = |runs: &[Counted], _: &[Duration]| {
        let sum = |count: fn(&Counted) -> usize| runs.iter().map(count).sum::<usize>() as f64;
        vec![
            Figure::new("runs", runs.len() as f64, 0),
            Figure::new("requests", sum(|run| run.requests), 0),
            Figure::new("open", sum(|run| run.open), 0),
            Figure::new("open_broken", sum(|run| run.open_broken), 0),
            Figure::new("by_reset", sum(|run| run.open_reset), 0),
            Figure::new("others_broken", sum(|run| run.others_broken), 0),
        ]
    };
    Section {
        title: "The same: a request by TCP every 20 ms, whose answer takes 300 ms".to_owned(),
        meaning: "OPEN: requests that the node had begun to answer when the traffic moved, so that the client's next packets reached the other, \
                  which knows nothing of them. BY RESET: of those that broke, those that the other node's kernel reset. OTHERS: all other \
                  requests, those that found nobody among them.",
        rows: rows(all, figures),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_in_the_row_of_its_manner_and_family() {
        let mut all: Vec<(Manner, Runs)> = Manner::ALL.map(|manner| (manner, Runs::default())).into();
        for (index, (_, runs)) in all.iter_mut().enumerate() {
            for (family, counted) in runs.by_family.iter_mut().enumerate() {
                counted.extend((0..3).map(|_| Counted { requests: 10 * index + family, ..Counted::default() }));
            }
        }
        let section = connections(&all);
        let told: Vec<_> = section.rows.iter().map(|row| (row.subject.as_str(), value(row, "requests"))).collect();
        let expected = [
            ("withdraw, IPv4", 0.0),
            ("withdraw, IPv6", 3.0),
            ("withdraw --now, IPv4", 30.0),
            ("withdraw --now, IPv6", 33.0),
            ("killed, IPv4", 60.0),
            ("killed, IPv6", 63.0),
        ];
        assert_eq!(told, expected);
    }

    fn value(row: &Row, key: &str) -> f64 {
        match &row.outcome {
            Outcome::Figures(figures) => figures.iter().find(|figure| figure.key == key).unwrap().value,
            Outcome::Not(why) => panic!("{why}"),
        }
    }
}
