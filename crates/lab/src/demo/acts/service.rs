//! The service dies, on one node of Singapore and then on the other, and comes back.

use std::time::Duration;

use crate::demo::{
    hands::Program,
    places::{AP, Region, edges_without},
    report::{Act, Source},
    stage::{Move, Stage, Way},
};

/// How long traffic may take to move.
const LIMIT: Duration = Duration::from_secs(10);

/// Kills the service on both nodes of Singapore.
pub(in crate::demo) async fn service_dies(stage: &mut Stage, shown: &mut Vec<Act>) -> anyhow::Result<()> {
    let title = "The service on one node of Singapore is killed: the other serves";
    shown.push(dies(stage, title, "ap-edge1", vec!["ap-edge2"]).await?);
    let title = "The service on the other is killed too: another region serves";
    shown.push(dies(stage, title, "ap-edge2", edges_without(AP.edges)).await?);
    Ok(())
}

async fn dies(stage: &mut Stage, title: &str, node: &'static str, expected: Vec<&'static str>) -> anyhow::Result<Act> {
    let mut act = Act::new("b", title, "service killed", node);
    stage.screen.act(&act.letter, &act.title);
    let killed = stage.hands.kill(node, Program::Service, "kill").await?;
    act.at = killed.at;
    act.event(killed.at, Source::Order, node, format!("kill -9 of the web service (process {})", killed.pid));
    stage.moved(&mut act, &Move { node, region: AP, expected, limit: LIMIT }, Way::Away).await?;
    stage.show(&act);
    Ok(act)
}

/// Starts it again, one after the other.
pub(in crate::demo) async fn service_returns(stage: &mut Stage, shown: &mut Vec<Act>) -> anyhow::Result<()> {
    let title = "The service on one node of Singapore is started again: traffic returns";
    shown.push(returns(stage, title, "ap-edge1", vec!["ap-edge1"]).await?);
    let title = "And on the other: both serve";
    shown.push(returns(stage, title, "ap-edge2", AP.edges.to_vec()).await?);
    Ok(())
}

async fn returns(
    stage: &mut Stage,
    title: &str,
    node: &'static str,
    expected: Vec<&'static str>,
) -> anyhow::Result<Act> {
    let mut act = Act::new("c", title, "service back", node);
    stage.screen.act(&act.letter, &act.title);
    act.at = stage.hands.start(node, Program::Service).await?;
    act.event(act.at, Source::Order, node, "the web service is started");
    let region: Region = AP;
    stage.moved(&mut act, &Move { node, region, expected, limit: LIMIT }, Way::Back).await?;
    stage.show(&act);
    Ok(act)
}
