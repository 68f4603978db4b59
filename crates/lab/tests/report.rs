//! The report measures what it says it does. What the figures are is nobody's promise; what each method waits for is.

use std::{fs, process::Stdio, time::Duration};

use anycast_lab::{
    harness,
    report::{
        self, Options,
        data::{Event, Failure, Kind, Method, Report, Run, Steering},
    },
    setup,
};
use anyhow::Context as _;
use clap::Parser as _;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::timeout,
};

/// Two failures in a row, 2 s apart: the first at once at the earliest.
const NOTICED_MS: f64 = 1900.0;

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

#[tokio::test(flavor = "multi_thread")]
async fn one_kill_is_measured_by_name_and_by_anycast() -> anyhow::Result<()> {
    setup::root()?;
    let methods = "dns-round-robin,dns-ttl-5,anycast-beside-dns,anycast-drain-bird";
    let words = ["report", "--quick", "--seed", "1", "--parallel", "2", "--methods", methods];
    let report = report::measure(&Line::try_parse_from(words)?.options, harness::programs().await?).await?;
    let told: Vec<_> = report.methods.iter().map(|method| (method.id.as_str(), method.runs.len())).collect();
    assert_eq!(told, [("dns-round-robin", 1), ("dns-ttl-5", 1), ("anycast-beside-dns", 1), ("anycast-drain-bird", 1)]);
    let [round_robin, switched, beside, drain] = &report.methods[..] else { panic!("{told:?}") };
    shares_are_lost(round_robin);
    the_name_waits_for_the_health_check(switched)?;
    anycast_does_not(beside, switched);
    a_drain_goes_before_the_service(drain)?;
    report.methods.iter().flat_map(|method| &method.runs).try_for_each(is_whole)?;
    assert!(report.quick && report.programs.iter().any(|program| program.name == "gdnsd"), "{:?}", report.programs);
    let json = serde_json::to_string(&report)?;
    assert_eq!(serde_json::from_str::<Report>(&json)?.methods.len(), report.methods.len());
    Ok(())
}

/// A lab comes up, and a run of it is made.
const A_RUN: Duration = Duration::from_secs(150);

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_it_writes_and_prints_what_there_is() -> anyhow::Result<()> {
    setup::root()?;
    let programs = harness::programs().await?;
    let home = tempfile::tempdir()?;
    let mut command = Command::new(programs.lab());
    command.args(["report", "--quick", "--runs", "1000", "--methods", "anycast-frozen-bfd-bird", "--output"]);
    command.arg(home.path()).arg("--bin-dir").arg(programs.lab().parent().context("a directory")?);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut said = BufReader::new(child.stderr.take().context("it was piped")?).lines();
    let mut all = Vec::new();
    let first = async {
        while let Some(line) = said.next_line().await? {
            let is_run = line.starts_with("anycast-lab: anycast-frozen-bfd-bird 1 of 1000: ");
            all.push(line);
            if is_run {
                return anyhow::Ok(());
            }
        }
        anyhow::bail!("it ended")
    };
    timeout(A_RUN, first).await?.with_context(|| all.join("\n"))?;
    kill(Pid::from_raw(child.id().context("it runs")?.try_into()?), Signal::SIGINT)?;
    let ended = timeout(harness::AMPLE, child.wait_with_output()).await.context("it goes on")??;
    assert_eq!(ended.status.code(), Some(130));
    let printed = String::from_utf8(ended.stdout)?;
    assert!(printed.contains("Anycast, node frozen, BFD"), "{printed}");
    let report: Report = serde_json::from_str(&fs::read_to_string(home.path().join("report.json"))?)?;
    assert!(report.machine.ends_with("; interrupted before all runs were made"), "{}", report.machine);
    assert!(home.path().join("report.html").is_file());
    let [method] = &report.methods[..] else { panic!("{report:?}") };
    method.runs.iter().try_for_each(bfd_is_silent_and_the_router_says_so)
}

/// The node's last packet, and what the router makes of it.
fn bfd_is_silent_and_the_router_says_so(run: &Run) -> anyhow::Result<()> {
    let told = |text: &str| run.events.iter().find(|event| event.kind == Kind::Packet && event.text == text);
    let last = told("us-edge → us-rtr: BFD Up, the last packet");
    let down = told("us-rtr → us-edge: BFD Down (Control Detection Time Expired)");
    let (last, down) = last.zip(down).with_context(|| format!("{run:?}"))?;
    // RFC 5880 §6.8.4: not before the detection time, 3 times 50 ms here.
    assert!(down.at_ms - last.at_ms >= 149.0 && down.at_ms > 0.0, "{run:?}");
    Ok(())
}

/// About half of the clients were given the dead address, and nobody tells them.
fn shares_are_lost(method: &Method) {
    assert_eq!((method.steering, method.ttl), (Steering::RoundRobin, Some(60)));
    let run = &method.runs[0];
    assert!((0.1..0.9).contains(&(run.lost as f64 / run.requests as f64)), "{run:?}");
    assert_eq!((run.first_good_ms, run.recovered_ms), (None, None), "{run:?}");
}

fn the_name_waits_for_the_health_check(method: &Method) -> anyhow::Result<()> {
    let run = &method.runs[0];
    let told = |node: &str| run.events.iter().find(|event| event.kind == Kind::Name && event.node == node);
    let (authority, resolver) = told("dns").zip(told("us-resolver")).context("no name changed")?;
    assert!(run.first_good_ms > Some(NOTICED_MS) && authority.at_ms > NOTICED_MS, "{run:?}");
    assert!(resolver.at_ms > NOTICED_MS && run.first_good_ms >= Some(resolver.at_ms), "{run:?}");
    assert!(run.lost > 0 && run.recovered_ms.is_some(), "{run:?}");
    Ok(())
}

fn anycast_does_not(method: &Method, switched: &Method) {
    let run = &method.runs[0];
    assert_eq!((method.routers.as_deref(), method.failure), (Some("FRR"), Failure::ServiceKilled));
    assert!(run.first_good_ms.is_some() && run.first_good_ms < switched.runs[0].first_good_ms, "{run:?}");
    let withdraw =
        |event: &Event| event.kind == Kind::Packet && event.text.starts_with("us-edge → us-rtr: UPDATE withdraws");
    assert!(run.events.iter().any(withdraw), "{run:?}");
    let away =
        |event: &Event| event.kind == Kind::Route && event.node == "us-rtr" && event.text.ends_with("via transit");
    assert!(run.events.iter().any(away), "{run:?}");
}

fn a_drain_goes_before_the_service(method: &Method) -> anyhow::Result<()> {
    let run = &method.runs[0];
    assert_eq!((method.routers.as_deref(), method.failure), (Some("BIRD"), Failure::Drained));
    let killed = run.events.iter().rfind(|event| event.kind == Kind::Failure).context("nothing was killed")?;
    assert!(run.first_good_ms < Some(killed.at_ms), "{run:?}");
    assert!(run.events.iter().any(|event| event.text.contains("GRACEFUL_SHUTDOWN")), "{run:?}");
    Ok(())
}

/// The failure is at zero, events are in order, and no figure is of before it.
fn is_whole(run: &Run) -> anyhow::Result<()> {
    assert!(run.requests > 50 && run.lost <= run.requests, "{run:?}");
    let failure = run.events.iter().find(|event| event.kind == Kind::Failure).context("nothing failed")?;
    assert_eq!(failure.at_ms, 0.0);
    assert!(run.events.is_sorted_by(|a, b| a.at_ms <= b.at_ms), "{run:?}");
    assert!(run.first_good_ms.is_none_or(|ms| ms > 0.0 && ms <= run.watched_ms), "{run:?}");
    assert!(run.recovered_ms.is_none_or(|ms| ms >= 0.0 && ms <= run.watched_ms), "{run:?}");
    Ok(())
}
