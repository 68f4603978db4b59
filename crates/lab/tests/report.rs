//! The report measures what it says it does. What the figures are is nobody's promise; what each method waits for is.

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
