//! What an order does.

use anycast_api::{DrainPhase, OrderReply, OrderedService};

use super::{
    Page, View,
    line::{Line, Style},
    table::{Cell, Column, Table},
};

/// Which order it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Begin a maintenance.
    Withdraw,
    /// Begin one that stays announced.
    Degrade,
    /// End a maintenance.
    Announce,
}

/// Service by service, what moves, what stays and what comes next.
pub(crate) fn page(reply: &OrderReply, order: Order, whole_node: bool, view: View) -> Page {
    let mut page = Page::default();
    if whole_node {
        let count = match reply.services.len() {
            0 => return only("this node has no services: nothing changes"),
            1 => "1 service".to_owned(),
            more => format!("{more} services"),
        };
        let what = match order {
            Order::Withdraw => "the whole node is withdrawn",
            Order::Degrade => "the whole node is degraded",
            Order::Announce if reply.services.iter().any(|service| service.phase.is_some()) => {
                "the maintenance of the whole node has ended"
            }
            Order::Announce => "the whole node is announced again",
        };
        page.line(Line::plain(&format!("{what}: {count}")));
    }
    for service in &reply.services {
        page.section(ordered(service, order, view));
    }
    page.section(left_behind(reply, view));
    let warning = reply.warning.iter().flat_map(|text| Line::styled(Style::Warn, text).wrap(view.width));
    page.section(warning.collect());
    page
}

/// What goes with what is withdrawn, and the order that withdraws it too.
fn left_behind(reply: &OrderReply, view: View) -> Vec<Line> {
    let names = reply.services.iter().map(|service| &service.service);
    let names = names.chain(reply.dependents.iter().map(|dependent| &dependent.service));
    let names: Vec<&str> = names.map(String::as_str).collect();
    let too = |which: &str| format!("withdraw {which} too: anycastctl withdraw {}", names.join(" "));
    let said: Vec<String> = match &reply.dependents[..] {
        [] => return Vec::new(),
        [one] => vec![format!("{}; {}", one.note, too("it"))],
        several => several.iter().map(|one| one.note.clone()).chain([too("them")]).collect(),
    };
    said.iter().flat_map(|text| Line::styled(Style::Warn, text).wrap(view.width)).collect()
}

fn only(text: &str) -> Page {
    let mut page = Page::default();
    page.line(Line::plain(text));
    page
}

fn ordered(service: &OrderedService, order: Order, view: View) -> Vec<Line> {
    let mut head = Line::styled(Style::Bold, &service.service);
    if let Some(phase) = service.phase {
        head = head.and("  ").with(Style::Warn, words(phase));
    }
    let mut table = Table::new(vec![Column::fixed(""), Column::flexible("", 30)]).indented(2);
    let mut row = |name: &str, cell| table.row(vec![Line::styled(Style::Dim, name).into(), cell]);
    let moves = match order {
        Order::Withdraw => "withdraws",
        Order::Degrade => "degrades",
        Order::Announce => "announces",
    };
    let prefixes: Vec<_> = service.moves.iter().map(|prefix| (2, Line::plain(prefix))).collect();
    let none = vec![(2, Line::plain("nothing"))];
    row(moves, Cell::Flow(if prefixes.is_empty() { none } else { prefixes }));
    if !service.stays.is_empty() {
        let stays = service.stays.iter().map(|(prefix, why)| Line::plain(prefix).and(&format!(": {why}")));
        row("unchanged", Cell::Wrap(stays.collect()));
    }
    row("next", Cell::wrap(Line::plain(&service.note)));
    let mut lines = head.wrap(view.width);
    lines.extend(table.lay_out(view.width));
    lines
}

const fn words(phase: DrainPhase) -> &'static str {
    match phase {
        DrainPhase::Degraded => "degraded",
        DrainPhase::GracefulShutdown => "graceful shutdown",
        DrainPhase::Withdrawing => "withdrawing",
        DrainPhase::Lingering => "lingering",
        DrainPhase::Drained => "drained: safe to stop",
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;
    use crate::render::testing::{read, view};

    #[test]
    fn what_moves_and_what_stays() {
        let reply = read(json!({"services": [
            {"service": "dns", "moves": ["203.0.113.0/24", "2001:db8:53::/48"],
             "stays": {"198.51.100.0/24": "web carries it too"},
             "note": "withdrawn in 30 s, safe to stop 10 s after every neighbor has acknowledged",
             "phase": "graceful_shutdown"},
            {"service": "web", "moves": [], "stays": {}, "note": "it is drained already", "phase": "drained"}]}));
        assert_snapshot!(page(&reply, Order::Withdraw, true, view()).paint(false), @r#"
        the whole node is withdrawn: 2 services

        dns  graceful shutdown
          withdraws  203.0.113.0/24  2001:db8:53::/48
          unchanged  198.51.100.0/24: web carries it too
          next       withdrawn in 30 s, safe to stop 10 s after every neighbor has acknowledged

        web  drained: safe to stop
          withdraws  nothing
          next       it is drained already
        "#);
    }

    #[test]
    fn what_goes_with_it() {
        let dependent = |name: &str, on: &[&str]| {
            let note =
                format!("{name} depends on {}: it goes down with it, without a drain", on.join(", which depends on "));
            json!({"service": name, "depends_on": on, "note": note})
        };
        let of = |dependents: &[serde_json::Value]| {
            let reply = read(json!({"dependents": dependents, "services": [
                {"service": "dns", "moves": ["203.0.113.0/24"], "stays": {}, "note": "withdrawn: safe to stop", "phase": "drained"}]}));
            page(&reply, Order::Withdraw, false, view()).paint(false)
        };
        assert_snapshot!(of(&[dependent("web", &["dns"])]), @r#"
        dns  drained: safe to stop
          withdraws  203.0.113.0/24
          next       withdrawn: safe to stop

        web depends on dns: it goes down with it, without a drain; withdraw it too: anycastctl withdraw dns
        web
        "#);
        assert_snapshot!(of(&[dependent("api", &["web", "dns"]), dependent("web", &["dns"])]), @r#"
        dns  drained: safe to stop
          withdraws  203.0.113.0/24
          next       withdrawn: safe to stop

        api depends on web, which depends on dns: it goes down with it, without a drain
        web depends on dns: it goes down with it, without a drain
        withdraw them too: anycastctl withdraw dns api web
        "#);
    }

    #[test]
    fn announced_again() {
        let reply = read(json!({"services": [
            {"service": "dns", "moves": ["203.0.113.0/24"], "stays": {}, "note": "announced", "phase": null}]}));
        assert_snapshot!(page(&reply, Order::Announce, false, view()).paint(false), @r#"
        dns
          announces  203.0.113.0/24
          next       announced
        "#);
    }

    #[test]
    fn an_empty_node() {
        let reply = read(json!({"services": []}));
        assert_snapshot!(page(&reply, Order::Withdraw, true, view()).paint(false), @r#"this node has no services: nothing changes"#);
    }
}
