//! What checks take: a thousand of them, and a single one.

use std::time::Duration;

use anycast_api::Check;
use anyhow::{Context as _, ensure};
use tokio::time::{Instant, sleep};

use super::{
    Sizes,
    config::{self, PORT},
    moments::{Quantiles, fullest, off_beat},
    node::{Agent, began},
    service::Service,
    watcher::Pace,
};
use crate::{
    bench::{
        report::{Figure, Outcome, Row, Section},
        speaker::thousands,
        stand::Stand,
    },
    burden,
};

/// The interval of the checks, in milliseconds.
const INTERVAL: f64 = 1000.0;
/// Where the server of many checks listens first.
const FIRST: u16 = 20_000;

/// What a check is and asks, by the address of its service and its number there.
type Question<'a> = &'a dyn Fn(&str, u32) -> String;

/// A thousand checks by http, and a thousand programs.
pub(super) async fn measure(stand: &Stand, sizes: &Sizes) -> anyhow::Result<[Section; 2]> {
    let at = format!("0.0.0.0:{FIRST}");
    let server = Service::start(&stand.lab, &["http", "--at", &at, "--ports", "10"]).await?;
    let http = |address: &str, n: u32| format!("type: http, url: \"http://{address}:{}/\"", u32::from(FIRST) + n);
    let exec = |_: &str, _: u32| "type: exec, command: [/bin/true]".to_owned();
    let kinds: [(_, _, Question<'_>); 2] = [("http", Some(&server), &http), ("exec", None, &exec)];
    let (mut costs, mut times) = (Vec::new(), Vec::new());
    for (kind, server, check) in kinds {
        let [cost, time] = loaded(stand, sizes, kind, server, check).await.with_context(|| format!("{kind} checks"))?;
        costs.push(Row { subject: kind.to_owned(), outcome: Outcome::Figures(cost) });
        times.push(Row { subject: kind.to_owned(), outcome: Outcome::Figures(time) });
    }
    server.end().await?;
    let count = thousands(sizes.checks);
    Ok([
        Section {
            title: format!("{count} checks a second: what they cost"),
            meaning: "Each with an interval of 1 s and everything else as it is by default, ten to a service; http: a connection and a \
                      request each, answered by one server beside it; exec: /bin/true. AGENT: processor time, user and \
                      system, in percent of one core; CHILDREN: of the programs; SERVER: of the server that answers. RSS: the most \
                      so far.",
            rows: costs,
        },
        Section {
            title: format!("{count} checks a second: whether they keep their times"),
            meaning: "LATE: runs that began more than an interval late. FAILED: runs that failed, or proved nothing. OFF: how far \
                      the last start of a check was from a whole number of seconds after an earlier one. FULLEST 10 MS: \
                      starts in the fullest hundredth of a second; were they spread evenly, a hundredth of the checks.",
            rows: times,
        },
    ])
}

/// What they cost, and how well they keep their times.
async fn loaded(
    stand: &Stand,
    sizes: &Sizes,
    kind: &str,
    server: Option<&Service>,
    check: Question<'_>,
) -> anyhow::Result<[Vec<Figure>; 2]> {
    eprintln!("anycast-lab: measuring {} {kind} checks", sizes.checks);
    let services = sizes.checks.div_ceil(10) as usize;
    let agent = Agent::start(stand, &config::anycastd_of(sizes.checks, check), services).await?;
    sleep(sizes.settling).await;
    let first = agent.checks(stand).await?;
    let served = || -> anyhow::Result<Duration> {
        server.map_or(Ok(Duration::ZERO), |server| Ok(burden::of(server.id()?)?.processor))
    };
    let (begun, before, served_before) = (Instant::now(), agent.burden()?, served()?);
    sleep(sizes.load).await;
    let (took, after, served_after) = (begun.elapsed(), agent.burden()?, served()?);
    let second = agent.checks(stand).await?;
    agent.end(stand).await?;
    let percent = |time: Duration| time.as_secs_f64() / took.as_secs_f64() * 100.0;
    let cost = vec![
        Figure::new("agent_pct", percent(after.processor - before.processor), 1),
        Figure::new("children_pct", percent(after.children - before.children), 1),
        Figure::new("server_pct", percent(served_after - served_before), 1),
        Figure::mebibytes("rss_mib", after.peak),
    ];
    Ok([cost, regularity(sizes.checks, &first, &second)?])
}

/// How well the runs between two looks kept to their times.
fn regularity(checks: u32, first: &[Check], second: &[Check]) -> anyhow::Result<Vec<Figure>> {
    ensure!(first.len() == checks as usize && second.len() == first.len(), "{} checks of {checks}", second.len());
    let sum = |checks: &[Check], count: fn(&Check) -> u64| checks.iter().map(count).sum::<u64>();
    let more = |count: fn(&Check) -> u64| sum(second, count).saturating_sub(sum(first, count)) as f64;
    let starts: Vec<(f64, f64)> =
        first.iter().zip(second).filter_map(|(first, second)| Some((began(first)?, began(second)?))).collect();
    let off: Vec<f64> = starts.iter().map(|(first, second)| off_beat(*first, *second, INTERVAL)).collect();
    let latest: Vec<f64> = starts.iter().map(|(_, second)| *second).collect();
    let Quantiles { p50, p99, most, .. } = Quantiles::of(off);
    Ok(vec![
        Figure::new("runs", more(|check| check.runs), 0),
        Figure::new("late", more(|check| check.late), 0),
        Figure::new("failed", more(|check| check.failures + check.inconclusive), 0),
        Figure::new("off_p50_ms", p50, 1),
        Figure::new("off_p99_ms", p99, 1),
        Figure::new("off_max_ms", most, 1),
        Figure::new("fullest_10_ms", fullest(&latest, INTERVAL, 10.0) as f64, 0),
    ])
}

/// An agent with one check, and nothing that happens.
pub(super) async fn idle(stand: &Stand, sizes: &Sizes) -> anyhow::Result<Section> {
    eprintln!("anycast-lab: measuring an idle agent");
    let at = format!("0.0.0.0:{PORT}");
    let server = Service::start(&stand.lab, &["http", "--at", &at]).await?;
    let agent = Agent::start(stand, &config::anycastd(Pace::Default), 1).await?;
    sleep(sizes.settling).await;
    let (begun, before, slept) = (Instant::now(), agent.burden()?, agent.sleeps()?);
    sleep(sizes.idle).await;
    let (took, after, slept) = (begun.elapsed().as_secs_f64(), agent.burden()?, agent.sleeps()?.saturating_sub(slept));
    agent.end(stand).await?;
    server.end().await?;
    let figures = vec![
        Figure::new("cpu_s_an_hour", (after.processor - before.processor).as_secs_f64() / took * 3600.0, 2),
        Figure::new("wake_ups_a_second", slept as f64 / took, 1),
        Figure::mebibytes("rss_mib", after.memory),
    ];
    Ok(Section {
        title: "Nothing happens".to_owned(),
        meaning: "One http check each second, one neighbor. WAKE-UPS: how often a thread of the agent gave its processor up, and so had \
                  been woken (voluntary context switches).",
        rows: vec![Row { subject: "anycastd, one check".to_owned(), outcome: Outcome::Figures(figures) }],
    })
}
