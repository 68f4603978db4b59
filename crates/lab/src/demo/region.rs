//! Each region is served by its own.

use std::time::Duration;

use super::{
    places::{REGIONS, Region, TARGETS},
    report::Act,
    stage::{Move, Stage, Way, shares},
};
use crate::tools::record::{How, Nanos};

/// How long the lab may take until every client is served by its own region.
const LIMIT: Duration = Duration::from_secs(30);
/// For how long it must have been so.
const CALM: Duration = Duration::from_secs(1);
/// The least that is later.
const AFTER: Duration = Duration::from_nanos(1);

/// Waits until it is so, and shows who serves whom.
pub(super) async fn own_region(stage: &mut Stage) -> anyhow::Result<Act> {
    let mut act = Act::new("a", "Each region is served by its own nodes", "", "");
    stage.screen.act(&act.letter, &act.title);
    stage.screen.aside(&format!(
        "Three regions, one anycast prefix: {} and {}. Each client asks both addresses, by UDP every 5 ms and by HTTP, a new \
         connection each, every 100 ms.",
        TARGETS[0], TARGETS[1]
    ));
    let mut lines = vec![row("CLIENT", &["UDP IPv4", "UDP IPv6", "HTTP IPv4", "HTTP IPv6"])];
    for region in REGIONS {
        let mut settled = act.at;
        for node in region.edges {
            let change = Move { node, region, expected: region.edges.to_vec(), limit: LIMIT };
            match stage.settled(act.at, &change, Way::Back, CALM).await? {
                Some(end) => settled = settled.max(end),
                None => stage.add_seen(&mut act, &change, Way::Back, None).await?,
            }
        }
        // The last trouble was right at the beginning of the calm.
        lines.extend(served(stage, region, settled.minus(CALM - AFTER), settled));
    }
    stage.screen.lines(&lines);
    act.events.clear();
    act.traffic.clear();
    for failure in &act.failures {
        stage.screen.failure(failure);
    }
    Ok(act)
}

/// Who answers a region's client: a line for each node.
fn served(stage: &Stage, region: Region, from: Nanos, to: Nanos) -> Vec<String> {
    let seen = stage.book.seen();
    let series = [How::Udp, How::Http].map(|how| TARGETS.map(|target| (how, target)));
    let cells = series.as_flattened().iter().map(|(how, target)| {
        let series = seen.series(region.client, *how).find(|(series, _)| series.target == *target);
        series.map_or_else(Vec::new, |(_, requests)| shares(requests, from, to))
    });
    let cells: Vec<Vec<String>> = cells.collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(0);
    let line = |index: usize| {
        let client = if index == 0 { format!("{} ({})", region.client, region.place) } else { String::new() };
        let cells: Vec<&str> = cells.iter().map(|cell| cell.get(index).map_or("", String::as_str)).collect();
        row(&client, &cells)
    };
    (0..height).map(line).collect()
}

fn row(client: &str, cells: &[&str]) -> String {
    let cells: String = cells.iter().map(|cell| format!("  {cell:<13}")).collect();
    format!("   {client:<21}{cells}").trim_end().to_owned()
}
