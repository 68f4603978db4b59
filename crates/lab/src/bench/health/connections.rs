//! What it takes to watch the listener of a server to which very many connect.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::{
    Sizes,
    config::{self, ADDRESS, PORT},
    node::Agent,
    service::Service,
    watcher::Pace,
};
use crate::{
    bench::{
        report::{Figure, Outcome, Row, Section},
        speaker::thousands,
        stand::Stand,
    },
    burden::{self, Machine},
    harness::AMPLE,
    runner,
    tools::record::Record,
};

/// Where the clients come from: all of these are the peer's.
const CLIENTS: &str = "192.0.2.64/26";

/// What one row has come to.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    time: Duration,
    connections: u64,
    failed: u64,
    hints: u64,
    agent: Duration,
    programs: Duration,
    system: Duration,
    interrupts: Duration,
}

/// With and without, in turn.
pub(super) async fn measure(stand: &Stand, sizes: &Sizes) -> anyhow::Result<Section> {
    let (mut without, mut with) = (Sum::default(), Sum::default());
    for round in 1..=sizes.rounds {
        eprintln!("anycast-lab: measuring many connections, round {round} of {}", sizes.rounds);
        for (pace, sum) in [(Pace::Default, &mut without), (Pace::Listener, &mut with)] {
            measured(stand, sizes, pace, sum).await?;
        }
    }
    let rows = vec![row("watch: none", without), row("watch: listener", with)];
    Ok(Section {
        title: format!("A server with {} connections a second", thousands(sizes.rate)),
        meaning: "Or as many as the machine can do, clients, server and agent together. A client connects from the other node, is \
                  greeted and closes. HINTS: how often the agent was told that the listener may have gone, or that not all could \
                  be told: each is a probe for nothing. PCT: percent of one core. AGENT: of the agent alone; USER, SYS, IRQ: of the \
                  whole machine, for programs, for the kernel on their behalf, and for interrupts, received packets mostly. US \
                  EACH: all that the machine did, by connection.",
        rows,
    })
}

async fn measured(stand: &Stand, sizes: &Sizes, pace: Pace, sum: &mut Sum) -> anyhow::Result<()> {
    let at = format!("0.0.0.0:{PORT}");
    let server = Service::start(&stand.lab, &["tcp", "--at", &at]).await?;
    let agent = Agent::start(stand, &config::anycastd_tcp(pace), 1).await?;
    let look = || anyhow::Ok((agent.burden()?.processor, burden::machine()?));
    let (agent_before, before) = look()?;
    let (took, made, failed) = connect(stand, sizes).await?;
    let (agent_after, after) = look()?;
    let status = agent.status(stand).await?;
    let failures: u64 = status.services.iter().flat_map(|service| &service.checks).map(|check| check.failures).sum();
    agent.end(stand).await?;
    server.end().await?;
    ensure!(failures == 0, "the check failed {failures} times: the server was not there");
    let spent = |time: fn(&Machine) -> Duration| time(&after).saturating_sub(time(&before));
    sum.time += took;
    sum.connections += made;
    sum.failed += failed;
    sum.hints += status.watch.hints.values().sum::<u64>();
    sum.agent += agent_after.saturating_sub(agent_before);
    sum.programs += spent(|machine| machine.programs);
    sum.system += spent(|machine| machine.system);
    sum.interrupts += spent(|machine| machine.interrupts);
    Ok(())
}

/// From the peer's node.
async fn connect(stand: &Stand, sizes: &Sizes) -> anyhow::Result<(Duration, u64, u64)> {
    let runner = stand.lab.runner();
    let (tool, to) = (runner.tool("peer"), format!("{ADDRESS}:{PORT}"));
    let (rate, time) = (sizes.rate.to_string(), format!("{}s", sizes.connections.as_secs()));
    stand.lab.run("peer", &["ip", "route", "replace", ADDRESS, "via", "192.0.2.254"]).await?;
    let argv = [tool.as_str(), "tool", "client", &to, "--rate", &rate, "--time", &time, "--from", CLIENTS];
    let said = runner::output(runner, "peer", &argv, sizes.connections + AMPLE).await?;
    match serde_json::from_str(&said).context("the clients say nothing")? {
        Record::Connections { took, made, failed, .. } => Ok((Duration::from_nanos(took), made, failed)),
        other => anyhow::bail!("the clients say {other:?}"),
    }
}

fn row(name: &str, sum: Sum) -> Row {
    let seconds = sum.time.as_secs_f64();
    let percent = |time: Duration| time.as_secs_f64() / seconds * 100.0;
    let all = sum.programs + sum.system + sum.interrupts;
    let figures = vec![
        Figure::new("a_second", sum.connections as f64 / seconds, 0),
        Figure::new("failed", sum.failed as f64, 0),
        Figure::new("hints", sum.hints as f64, 0),
        Figure::new("agent_pct", percent(sum.agent), 2),
        Figure::new("user_pct", percent(sum.programs), 1),
        Figure::new("sys_pct", percent(sum.system), 1),
        Figure::new("irq_pct", percent(sum.interrupts), 1),
        Figure::new("us_each", all.as_secs_f64() * 1e6 / sum.connections.max(1) as f64, 2),
    ];
    Row { subject: name.to_owned(), outcome: Outcome::Figures(figures) }
}
