//! Each region is served by its own.

use std::time::Duration;

use crate::{
    demo::{
        places::{REGIONS, TARGETS},
        report::Act,
        stage::{Move, Stage, Way, shares},
    },
    tools::record::{How, Nanos},
};

/// How long the lab may take until every client is served by its own region.
const LIMIT: Duration = Duration::from_secs(30);
/// For how long it must have been so.
const CALM: Duration = Duration::from_secs(1);

/// Waits until it is so, and shows who serves whom.
pub(in crate::demo) async fn own_region(stage: &mut Stage) -> anyhow::Result<Act> {
    let mut act = Act::new("a", "Each region is served by its own nodes", "", "");
    stage.screen.act(&act.letter, &act.title);
    stage.screen.aside(&format!(
        "Three regions, one anycast prefix: {} and {}. Each client asks both addresses, by UDP every 5 ms and by HTTP, a new \
         connection each, every 100 ms.",
        TARGETS[0], TARGETS[1]
    ));
    let mut lines = vec![row("CLIENT", ["UDP IPv4", "UDP IPv6", "HTTP"])];
    for region in REGIONS {
        let mut settled = act.at;
        for node in region.edges {
            let change = Move { node, region, expected: region.edges.to_vec(), limit: LIMIT };
            match stage.settled(act.at, &change, Way::Back, CALM).await? {
                Some(end) => settled = settled.max(end),
                None => stage.add_seen(&mut act, &change, Way::Back, None).await?,
            }
        }
        lines.push(served(stage, region.client, settled.minus(CALM), settled));
    }
    stage.screen.lines(&lines);
    act.events.clear();
    act.traffic.clear();
    for failure in &act.failures {
        stage.screen.failure(failure);
    }
    Ok(act)
}

/// Who answers a client.
fn served(stage: &Stage, client: &str, from: Nanos, to: Nanos) -> String {
    let seen = stage.book.seen();
    let share = |how: How, target: &str| {
        let series = seen.series(client, how).find(|(series, _)| series.target == target);
        series.map_or_else(String::new, |(_, requests)| shares(requests, from, to))
    };
    let cells = [share(How::Udp, TARGETS[0]), share(How::Udp, TARGETS[1]), share(How::Http, TARGETS[0])];
    row(client, cells.each_ref().map(String::as_str))
}

fn row(client: &str, cells: [&str; 3]) -> String {
    let [first, second, third] = cells;
    format!("   {client:<9}  {first:<27}  {second:<27}  {third}").trim_end().to_owned()
}
