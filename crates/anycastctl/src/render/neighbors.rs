//! Neighbors in a table, and one by one in detail.

use anycast_api::{Neighbor, Quarantine, Received, Session, Transport};

use super::{
    Page, View, bfd,
    line::{Line, Style},
    nothing,
    table::{Cell, Column, Table},
    when,
};

/// All of them.
pub(crate) fn page(neighbors: &[Neighbor], view: View) -> Page {
    let mut page = Page::default();
    if neighbors.is_empty() {
        page.line(Line::plain("no neighbors are configured"));
    }
    page.section(table(neighbors, view));
    page
}

/// Each in detail.
pub(crate) fn details(neighbors: &[Neighbor], view: View) -> Page {
    let mut page = Page::default();
    for neighbor in neighbors {
        page.section(detail(neighbor, view));
        page.section(counters(neighbor, view));
    }
    page
}

/// A line for each.
pub(super) fn table(neighbors: &[Neighbor], view: View) -> Vec<Line> {
    let mut table = Table::new(vec![
        Column::fixed("NEIGHBOR"),
        Column::fixed("ADDRESS"),
        Column::fixed("AS"),
        Column::fixed("STATE"),
        Column::fixed("SINCE"),
        Column::fixed("BFD"),
        Column::fixed("ROUTES"),
        Column::flexible("LAST ERROR", 16),
    ]);
    for neighbor in neighbors {
        table.row(vec![
            Cell::wrap(Line::plain(&neighbor.name)),
            Cell::wrap(Line::plain(&neighbor.address)),
            Line::plain(&neighbor.asn).into(),
            state(neighbor).into(),
            Line::plain(&when::clock(neighbor.since_seconds)).into(),
            bfd::cell(neighbor).into(),
            Line::plain(&neighbor.routes.to_string()).into(),
            Cell::Brief(last_error(neighbor), 4),
        ]);
    }
    table.lay_out(view.width)
}

fn is_established(neighbor: &Neighbor) -> bool {
    neighbor.state == "Established"
}

fn state(neighbor: &Neighbor) -> Line {
    let style = match neighbor.state.as_str() {
        "Established" => Style::Good,
        "Listen" => Style::Plain,
        _ => Style::Bad,
    };
    Line::styled(style, &neighbor.state)
}

/// Why there is no session and what follows from it. One that is up has no error to show but an alarm; the detail tells of the
/// last.
fn last_error(neighbor: &Neighbor) -> Line {
    if let Some(received) = neighbor.received.filter(|received| received.exceeded) {
        return Line::styled(
            Style::Warn,
            &format!("announces {} > max_prefixes {}", received.prefixes, received.limit),
        );
    }
    if is_established(neighbor) {
        return nothing();
    }
    let retry = neighbor.retry_seconds.map(|seconds| format!("retry in {}", when::soon(seconds)));
    if neighbor.last_error.is_none() && neighbor.transport.passive && neighbor.state == "Active" {
        return Line::plain("waits for the neighbor to connect");
    }
    let Some(error) = &neighbor.last_error else {
        return retry.map_or_else(nothing, |retry| Line::plain(&retry));
    };
    let after = retry.map_or_else(String::new, |after| format!(" ({after})"));
    Line::plain(&format!("{error}{after}"))
}

fn detail(neighbor: &Neighbor, view: View) -> Vec<Line> {
    let port = if neighbor.transport.passive { String::new() } else { format!(" port {}", neighbor.port) };
    let mut head =
        Line::styled(Style::Bold, &neighbor.name).and(&format!("  {}{port}  AS {}  ", neighbor.address, neighbor.asn));
    head.append(&state(neighbor));
    head = head.and(&format!(" for {}", when::clock(neighbor.since_seconds)));

    let mut table = Table::new(vec![Column::fixed(""), Column::flexible("", 30)]).indented(2);
    let mut row = |name: &str, texts: Vec<String>| {
        if !texts.is_empty() {
            let lines = texts.iter().map(|text| Line::plain(text)).collect();
            table.row(vec![Line::styled(Style::Dim, name).into(), Cell::Wrap(lines)]);
        }
    };
    row("local address", neighbor.local_address.iter().cloned().collect());
    row("remote address", neighbor.remote_address.iter().cloned().collect());
    row("transport", vec![transport(&neighbor.transport)]);
    for (name, texts) in neighbor.bfd.iter().flat_map(|bfd| bfd::rows(bfd, &neighbor.state, view)) {
        row(name, texts);
    }
    if let Some(session) = &neighbor.session {
        row("router id", vec![session.router_id.clone()]);
        row("timers", vec![timers(session)]);
        row("families", vec![session.families.join(", ")]);
        row("next hops", session.next_hops.iter().map(|(family, hop)| format!("{family} {hop}")).collect());
        row("we offered", vec![session.capabilities_sent.join(", ")]);
        row("they offered", vec![session.capabilities_received.join(", ")]);
        if !session.capabilities_in_force.is_empty() {
            row("in force", vec![session.capabilities_in_force.join(", ")]);
        }
    }
    row("routes", vec![neighbor.routes.to_string()]);
    row("announces", neighbor.received.iter().map(announced).collect());
    row("cannot be given", neighbor.unsendable.iter().map(|(prefix, why)| format!("{prefix}: {why}")).collect());
    row("quarantine", neighbor.quarantined.iter().map(|(prefix, held)| quarantine(prefix, held, view)).collect());
    row(
        "last error",
        neighbor
            .last_error
            .iter()
            .map(|error| {
                let at = neighbor.last_error_at;
                let at = at.map(|at| format!(" ({}, {} ago)", when::stamp(at), when::age(at, view.now)));
                format!("{error}{}", at.unwrap_or_default())
            })
            .collect(),
    );
    row("remedy", neighbor.remedy.iter().cloned().collect());
    row("next attempt", neighbor.retry_seconds.iter().map(|seconds| format!("in {}", when::soon(*seconds))).collect());

    let mut lines = head.wrap(view.width);
    lines.extend(table.lay_out(view.width));
    lines
}

fn transport(transport: &Transport) -> String {
    let authentication = match transport.authentication.as_str() {
        "" | "none" => "no authentication".to_owned(),
        "tcp-md5" => "TCP MD5".to_owned(),
        "tcp-ao" => "TCP-AO".to_owned(),
        other => other.to_owned(),
    };
    let ttl = match (transport.ttl, transport.min_ttl) {
        (ttl, Some(least)) => {
            let sent = ttl.map_or_else(String::new, |ttl| format!("TTL {ttl} sent, "));
            Some(format!("GTSM ({sent}at least {least} required)"))
        }
        (Some(1), None) => Some("TTL 1 (same link)".to_owned()),
        (Some(ttl), None) => Some(format!("TTL {ttl}")),
        (None, None) => None,
    };
    let passive = transport.passive.then(|| "the neighbor connects".to_owned());
    let device = transport.device.as_ref().map(|device| format!("bound to {device}"));
    [passive, Some(authentication), ttl, device].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn announced(received: &Received) -> String {
    let Received { prefixes, limit, exceeded } = received;
    let judged = if *exceeded { "more than" } else { "of at most" };
    format!("{prefixes} different prefixes in this session, {judged} max_prefixes {limit}")
}

/// How long a route is held back.
pub(super) fn quarantine(prefix: &str, held: &Quarantine, view: View) -> String {
    held.until.map_or_else(
        || format!("{prefix} until it is found out which route the neighbor refuses"),
        |until| {
            // Without a service it would be an order for the whole node.
            let service = held.service.as_deref().unwrap_or("SERVICE");
            let left = when::left(until, view.now);
            format!("{prefix} for another {left}; `anycastctl announce {service} --force` ends it")
        },
    )
}

fn timers(session: &Session) -> String {
    if session.hold_time_seconds == 0 {
        return "no hold timer, no keepalives".into();
    }
    format!("hold time {} s, keepalive every {} s", session.hold_time_seconds, session.keepalive_seconds)
}

fn counters(neighbor: &Neighbor, view: View) -> Vec<Line> {
    let mut table = Table::new(vec![Column::fixed("COUNTER"), Column::fixed("COUNT")]);
    for (name, count) in &neighbor.counters {
        table.row(vec![Cell::wrap(Line::plain(name)), Line::plain(&count.to_string()).into()]);
    }
    table.lay_out(view.width)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;
    use crate::render::testing::{node, read, view};

    #[test]
    fn in_detail() {
        let mut list = node(json!({})).neighbors;
        list[1].unsendable = [("2001:db8:53::/48".to_owned(), "no IPv6 next hop".to_owned())].into();
        list[1].remedy = Some("`asn: 65003` for this neighbor".to_owned());
        list[1].quarantined = read(json!({"203.0.113.0/24":
            {"reason": "refused", "until": "2026-11-23T15:00:00Z", "service": "dns"}}));
        assert_snapshot!(details(&list, view()).paint(false), @r#"
        leaf1  192.0.2.1 port 179  AS 65001  Established for 3d 04:12
          local address  192.0.2.2:41234
          transport      no authentication
          router id      10.0.0.1
          timers         hold time 9 s, keepalive every 3 s
          families       ipv4, ipv6
          next hops      ipv4 192.0.2.2
                         ipv6 2001:db8::2
          we offered     multiprotocol ipv4, multiprotocol ipv6, route refresh, four-octet AS 65010
          they offered   multiprotocol ipv4, multiprotocol ipv6, route refresh, enhanced route refresh,
                         four-octet AS 65001, graceful restart, long-lived graceful restart
          routes         3

        COUNTER              COUNT
        keepalives_received  91440
        updates_sent         3

        leaf2  eth1 port 179  AS 65002  Active for 00:00:41
          transport        no authentication
          routes           0
          cannot be given  2001:db8:53::/48: no IPv6 next hop
          quarantine       203.0.113.0/24 for another 00:30:00; `anycastctl announce dns --force` ends it
          last error       connect: refused (2026-11-23 14:29:58Z, 00:00:02 ago)
          remedy           `asn: 65003` for this neighbor
          next attempt     in 3 s
        "#);
    }

    #[test]
    fn one_that_announces_too_much() {
        let mut list = node(json!({})).neighbors;
        list.truncate(1);
        list[0].received = Some(Received { prefixes: 99, limit: 100, exceeded: false });
        let details = |list: &[Neighbor]| {
            let text = details(list, view()).paint(false);
            text.lines().find(|line| line.contains("announces")).unwrap_or_default().trim().to_owned()
        };
        assert_eq!(details(&list), "announces      99 different prefixes in this session, of at most max_prefixes 100");
        list[0].received = Some(Received { prefixes: 300, limit: 100, exceeded: true });
        assert_eq!(details(&list), "announces      300 different prefixes in this session, more than max_prefixes 100");
        assert_snapshot!(page(&list, view()).paint(false), @r#"
        NEIGHBOR  ADDRESS    AS     STATE        SINCE     BFD  ROUTES  LAST ERROR
        leaf1     192.0.2.1  65001  Established  3d 04:12  –    3       announces 300 > max_prefixes 100
        "#);
    }

    #[test]
    fn a_neighbor_cannot_paint_our_terminal() {
        let mut list = node(json!({})).neighbors;
        list[1].last_error =
            Some("they said \"\x1b[2J\x1b]0;pwned\x07\r\n\u{9b}1mbye\u{202e}\" and went away for a long, long while, and then some more of it and more".into());
        let text = page(&list, view()).paint(true);
        let others = text.replace("\x1b[0m", "").replace("\x1b[1m", "").replace("\x1b[2m", "");
        let others = others.replace("\x1b[31m", "").replace("\x1b[32m", "");
        assert!(!others.chars().any(|c| c.is_control() && c != '\n'), "{others:?}");
        assert_snapshot!(page(&list, view()).paint(false), @r#"
        NEIGHBOR  ADDRESS    AS     STATE        SINCE     BFD  ROUTES  LAST ERROR
        leaf1     192.0.2.1  65001  Established  3d 04:12  –    3       –
        leaf2     eth1       65002  Active       00:00:41  –    0       they said
                                                                        "\u{1b}[2J\u{1b}]0;pwned\u{7}\r\n\u{
                                                                        9b}1mbye\u{202e}" and went away for
                                                                        a long, long while, and then some…
        "#);
    }

    #[test]
    fn none() {
        assert_snapshot!(page(&[], view()).paint(false), @r#"no neighbors are configured"#);
    }
}
