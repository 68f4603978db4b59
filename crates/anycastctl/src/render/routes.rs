//! What each neighbor holds from us.

use anycast_api::{NeighborRoutes, Progress, Route};

use super::{
    Page, View,
    line::{Line, Style},
    neighbors::quarantine,
    nothing, number,
    table::{Cell, Column, Table},
    when,
};

/// Neighbor by neighbor; of one, or of the routers of one network, where it is `named`.
pub(crate) fn page(neighbors: &[NeighborRoutes], named: Option<&str>, view: View) -> Page {
    let mut page = Page::default();
    if neighbors.is_empty() {
        // A network is no neighbor to the agent before one of its routers has connected.
        page.line(Line::plain(&match named {
            Some(name) => format!("no router of {name} has connected"),
            None => "no neighbors: none is configured, or no router of a network (`prefix`) has connected".to_owned(),
        }));
    }
    for neighbor in neighbors {
        let head = Line::styled(Style::Bold, &neighbor.neighbor).and("  ");
        let mut lines = match (neighbor.established, neighbor.routes.is_empty()) {
            (false, _) => head.with(Style::Bad, "not Established: it holds nothing from us").wrap(view.width),
            (true, true) => head.and("holds nothing from us").wrap(view.width),
            (true, false) => {
                let mut lines =
                    head.and(&format!("{} in its table or on the way", neighbor.routes.len())).wrap(view.width);
                lines.extend(table(&neighbor.routes, view));
                lines
            }
        };
        for (prefix, held) in &neighbor.quarantined {
            let line = Line::plain("  ").with(Style::Bad, "in quarantine: ").and(&quarantine(prefix, held, view));
            lines.extend(line.wrap(view.width));
        }
        page.section(lines);
    }
    page
}

/// A route on each line; MED and LOCAL_PREF only where one has them.
fn table(routes: &[Route], view: View) -> Vec<Line> {
    let med = routes.iter().any(|route| route.med.is_some());
    let local_pref = routes.iter().any(|route| route.local_pref.is_some());
    let mut columns = vec![
        Column::fixed("PREFIX"),
        Column::fixed("STATE"),
        Column::fixed("SINCE"),
        Column::flexible("NEXT HOP", 15),
        Column::flexible("AS PATH", 11),
    ];
    columns.extend(med.then_some(Column::fixed("MED")));
    columns.extend(local_pref.then_some(Column::fixed("PREF")));
    columns.push(Column::flexible("COMMUNITIES", 17));
    let mut table = Table::new(columns).indented(2);
    for route in routes {
        let mut cells = vec![
            Cell::wrap(Line::plain(&route.prefix)),
            state(route).into(),
            Line::plain(&when::age(route.since, view.now)).into(),
            Cell::wrap(number(route.next_hop.as_ref())),
            flow(route.as_path.iter().map(ToString::to_string)),
        ];
        cells.extend(med.then(|| number(route.med).into()));
        cells.extend(local_pref.then(|| number(route.local_pref).into()));
        let communities = [&route.communities, &route.extended_communities, &route.large_communities];
        cells.push(flow(communities.into_iter().flatten().cloned()));
        table.row(cells);
    }
    table.lay_out(view.width)
}

/// How far the message has come: a route that is acknowledged is held.
fn state(route: &Route) -> Line {
    let progress = match route.progress {
        Progress::Queued => "queued",
        Progress::Written => "sent",
        Progress::Acked => "acked",
    };
    match (route.withdrawn, route.progress) {
        (true, _) => Line::styled(Style::Warn, &format!("withdraw {progress}")),
        (false, Progress::Acked) => Line::styled(Style::Good, progress),
        (false, Progress::Queued | Progress::Written) => Line::styled(Style::Warn, progress),
    }
}

fn flow(items: impl Iterator<Item = String>) -> Cell {
    let mut items: Vec<_> = items.map(|item| (1, Line::plain(&item))).collect();
    if items.is_empty() {
        items.push((1, nothing()));
    }
    Cell::Flow(items)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::{Value, json};

    use super::*;
    use crate::render::testing::{read, view};

    fn route(prefix: &str, withdrawn: bool, progress: &str) -> Value {
        json!({"prefix": prefix, "withdrawn": withdrawn, "progress": progress, "since": "2026-11-23T14:27:50Z",
            "next_hop": "192.0.2.2", "med": null, "local_pref": null, "as_path": [65010], "communities": [],
            "large_communities": []})
    }

    #[test]
    fn neighbor_by_neighbor() {
        let mut long = route("2001:db8:aaaa:bbbb::/64", false, "written");
        long["next_hop"] = "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff".into();
        long["as_path"] = json!([4_200_000_001_u32, 4_200_000_001_u32, 4_200_000_001_u32]);
        long["med"] = 50.into();
        long["communities"] = json!(["graceful-shutdown", "65010:1", "65010:100"]);
        long["extended_communities"] = json!(["rt:65010:100", "link-bandwidth:65010:10Gbps"]);
        long["large_communities"] = json!(["4200000001:4294967295:4294967295"]);
        let list: Vec<NeighborRoutes> = read(json!([
            {"neighbor": "leaf1", "established": true, "routes": [
                route("198.51.100.0/24", true, "queued"), route("203.0.113.0/24", false, "acked"), long]},
            {"neighbor": "leaf2", "established": false, "routes": []},
            {"neighbor": "leaf3", "established": true, "routes": []}]));
        assert_snapshot!(page(&list, None, view()).paint(false), @r#"
        leaf1  3 in its table or on the way
          PREFIX             STATE            SINCE     NEXT HOP         AS PATH      MED  COMMUNITIES
          198.51.100.0/24    withdraw queued  00:02:10  192.0.2.2        65010        –    –
          203.0.113.0/24     acked            00:02:10  192.0.2.2        65010        –    –
          2001:db8:aaaa:bbb  sent             00:02:10  2001:db8:ffff:f  4200000001   50   graceful-shutdown
          b::/64                                        fff:ffff:ffff:f  4200000001        65010:1 65010:100
                                                        fff:ffff         4200000001        rt:65010:100
                                                                                           link-bandwidth:65
                                                                                           010:10Gbps
                                                                                           4200000001:429496
                                                                                           7295:4294967295

        leaf2  not Established: it holds nothing from us

        leaf3  holds nothing from us
        "#);
    }

    #[test]
    fn what_is_held_back_is_told() {
        let quarantined = json!({
            "203.0.113.0/24": {"reason": "it is refused", "until": "2026-11-23T15:00:00Z", "service": "dns"},
            "203.0.115.0/24": {"reason": "an agent of before", "until": "2026-11-23T15:00:00Z"},
            "203.0.114.0/24": {"reason": "it may be refused", "until": null}});
        let list: Vec<NeighborRoutes> = read(json!([{"neighbor": "leaf1", "established": true,
            "routes": [route("198.51.100.0/24", false, "acked")], "quarantined": quarantined}]));
        assert_snapshot!(page(&list, None, view()).paint(false), @r#"
        leaf1  1 in its table or on the way
          PREFIX           STATE  SINCE     NEXT HOP   AS PATH  COMMUNITIES
          198.51.100.0/24  acked  00:02:10  192.0.2.2  65010    –
          in quarantine: 203.0.113.0/24 for another 00:30:00; `anycastctl announce dns --force` ends it
          in quarantine: 203.0.114.0/24 until it is found out which route the neighbor refuses
          in quarantine: 203.0.115.0/24 for another 00:30:00; `anycastctl announce SERVICE --force` ends it
        "#);
    }

    #[test]
    fn a_network_from_which_nobody_connected_holds_nothing() {
        assert_snapshot!(page(&[], Some("leaves"), view()).paint(false), @"no router of leaves has connected");
        assert_snapshot!(page(&[], None, view()).paint(false), @"no neighbors: none is configured, or no router of a network (`prefix`) has connected");
    }

    #[test]
    fn columns_without_a_value_are_left_out() {
        let routes = [route("198.51.100.0/24", true, "written"), route("203.0.113.0/24", false, "acked")];
        let list: Vec<NeighborRoutes> = read(json!([{"neighbor": "leaf1", "established": true, "routes": routes}]));
        assert_snapshot!(page(&list, None, view()).paint(false), @r#"
        leaf1  2 in its table or on the way
          PREFIX           STATE          SINCE     NEXT HOP   AS PATH  COMMUNITIES
          198.51.100.0/24  withdraw sent  00:02:10  192.0.2.2  65010    –
          203.0.113.0/24   acked          00:02:10  192.0.2.2  65010    –
        "#);
    }
}
