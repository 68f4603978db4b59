//! All processors are busy with something else: nothing is withdrawn for that.

use std::{process::Stdio, thread, time::Duration};

use anyhow::Context as _;
use tokio::time::{Instant, timeout_at};

use super::{Sizes, config, node::Agent, service::Service};
use crate::{
    bench::{
        report::{Figure, Outcome, Row, Section},
        stand::Stand,
    },
    runner::Streams,
};

/// Busy threads for each processor.
const EACH: usize = 2;
/// Checks that run meanwhile.
const CHECKS: u32 = 20;
/// Where the server listens first.
const FIRST: u16 = 20_000;

pub(super) async fn measure(stand: &Stand, sizes: &Sizes) -> anyhow::Result<Section> {
    eprintln!("anycast-lab: measuring with all processors busy, {} s", sizes.busy.as_secs());
    let at = format!("0.0.0.0:{FIRST}");
    let server = Service::start(&stand.lab, &["http", "--at", &at, "--ports", "10"]).await?;
    // Half of them by http, half of them programs, with every default: 1 s, and two failures in a row.
    let check = |address: &str, n: u32| match n % 2 {
        0 => format!("type: http, url: \"http://{address}:{}/\"", u32::from(FIRST) + n),
        _ => "type: exec, command: [/bin/true]".to_owned(),
    };
    let mut agent = Agent::start(stand, &config::anycastd_of(CHECKS, check), CHECKS.div_ceil(10) as usize).await?;
    let before = agent.checks(stand).await?;
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let threads = (EACH * processors).to_string();
    let tool = stand.lab.runner().tool("edge");
    let streams = Streams { input: Stdio::null(), output: Stdio::null(), errors: Stdio::null() };
    let spin = stand.lab.runner().spawn("edge", &[tool.as_str(), "tool", "spin", "--threads", &threads], streams)?;
    let withdraws = withdraws(&mut agent, sizes.busy).await?;
    drop(spin);
    let after = agent.checks(stand).await.context("the agent does not answer any more")?;
    agent.end(stand).await?;
    server.end().await?;
    let sum = |count: fn(&anycast_api::Check) -> u64| {
        let of = |checks: &[anycast_api::Check]| checks.iter().map(count).sum::<u64>();
        of(&after).saturating_sub(of(&before)) as f64
    };
    let figures = vec![
        Figure::new("minutes", sizes.busy.as_secs_f64() / 60.0, 0),
        Figure::new("busy_threads", (EACH * processors) as f64, 0),
        Figure::new("runs", sum(|check| check.runs), 0),
        Figure::new("late", sum(|check| check.late), 0),
        Figure::new("failed", sum(|check| check.failures), 0),
        Figure::new("unknown", sum(|check| check.inconclusive), 0),
        Figure::new("withdraws", withdraws as f64, 0),
    ];
    Ok(Section {
        title: "All processors are busy".to_owned(),
        meaning: "Twenty checks of two services with every default, ten by http and ten programs, while threads that do nothing but spin take all \
                  processors. LATE: runs that began more than an interval late; UNKNOWN: runs that proved nothing. WITHDRAWS: UPDATEs \
                  that withdraw something, in the capture at the neighbor.",
        rows: vec![Row { subject: "anycastd".to_owned(), outcome: Outcome::Figures(figures) }],
    })
}

/// How many UPDATEs withdraw something in this time.
async fn withdraws(agent: &mut Agent, time: Duration) -> anyhow::Result<usize> {
    let (end, mut count) = (Instant::now() + time, 0);
    loop {
        // The wire has a patience of its own, shorter than this: nothing to be told is what is hoped for.
        match timeout_at(end, agent.wire.withdraw()).await {
            Err(_) => return Ok(count),
            Ok(update) => {
                update?;
                count += 1;
            }
        }
    }
}
