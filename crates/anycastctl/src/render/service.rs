//! One service in detail.

use anycast_api::{Address, Check, Performance, Service, ServiceState, Status, Traffic};

use super::{
    Page, View, health,
    line::{Line, Style},
    nothing, number,
    status::{address_table, held, hold, maintenance, state},
    table::{Cell, Column, Table},
    when,
};

/// A service with its maintenance, prefixes, checks and addresses.
pub(crate) fn page(status: &Status, service: &Service, view: View) -> Page {
    let mut page = Page::default();
    for line in header(service).wrap(view.width) {
        page.line(line);
    }
    page.section(lacks(service, view));
    page.section(hold_down(service, view));
    page.section(drain(service, view));
    page.section(prefixes(service, view));
    page.section(checks(service, view));
    page.section(watches(service, view));
    let own = || status.addresses.iter().filter(|address| service.addresses.contains(&address.address));
    page.section(address_table(own(), view, 0));
    page.section(traffic(own(), view));
    page
}

/// What came for the addresses, where that is counted.
fn traffic<'a>(addresses: impl Iterator<Item = &'a Address>, view: View) -> Vec<Line> {
    let mut table = Table::new(vec![Column::fixed("TRAFFIC TO"), Column::fixed("PACKETS"), Column::fixed("BYTES")]);
    let mut any = false;
    for address in addresses {
        if let Some(Traffic { packets, bytes }) = address.traffic {
            any = true;
            let name = Cell::wrap(Line::plain(&address.address));
            table.row(vec![name, number(Some(packets)).into(), number(Some(bytes)).into()]);
        }
    }
    if any { table.lay_out(view.width) } else { Vec::new() }
}

fn header(service: &Service) -> Line {
    let mut line = Line::styled(Style::Bold, &service.name).and("  ");
    line.append(&state(service.state));
    line = line.and(&format!(" for {}", when::clock(service.since_seconds)));
    if matches!(service.state, ServiceState::Held | ServiceState::Draining | ServiceState::Drained) {
        line = line.and("  health ");
        line.append(&health(service.health));
    }
    line
}

/// What it lacks to serve.
fn lacks(service: &Service, view: View) -> Vec<Line> {
    service.lacks.as_ref().map(|lacks| Line::plain(lacks).wrap(view.width)).unwrap_or_default()
}

/// Whether it is held down, or not far from it; nothing is said of a service that does not flap.
fn hold_down(service: &Service, view: View) -> Vec<Line> {
    let Some(hold_down) = &service.hold_down else { return Vec::new() };
    let text = match hold(service) {
        Some(held) => format!("{held}; anycastctl announce {} --force ends it", service.name),
        None if hold_down.recent_flaps == 0 => return Vec::new(),
        None => format!(
            "{} of {} flaps in {} that would have it held down for {}",
            hold_down.recent_flaps,
            hold_down.after_flaps,
            when::clock(hold_down.within_seconds),
            when::clock(hold_down.next_seconds)
        ),
    };
    Line::plain(&text).wrap(view.width)
}

/// Who withdrew it, when and why.
fn drain(service: &Service, view: View) -> Vec<Line> {
    let Some(drain) = &service.drain else { return Vec::new() };
    let words = maintenance(service, view).unwrap_or_default();
    let text = format!("maintenance: {words}, ordered by {} {}", drain.by, when::stamp(drain.ordered));
    Line::plain(&text).wrap(view.width)
}

fn prefixes(service: &Service, view: View) -> Vec<Line> {
    let mut table =
        Table::new(vec![Column::fixed("PREFIX"), Column::fixed("ANNOUNCED"), Column::flexible("NOTES", 24)]);
    for prefix in &service.prefixes {
        let announced =
            if prefix.announced { Line::styled(Style::Good, "yes") } else { Line::styled(Style::Warn, "no") };
        let notes = if prefix.notes.is_empty() { nothing() } else { Line::plain(&prefix.notes.join(", ")) };
        table.row(vec![Cell::wrap(Line::plain(&prefix.prefix)), announced.into(), Cell::wrap(notes)]);
    }
    table.lay_out(view.width)
}

fn checks(service: &Service, view: View) -> Vec<Line> {
    let mut table = Table::new(vec![
        Column::fixed("CHECK"),
        Column::fixed("TYPE"),
        Column::fixed("STATE"),
        Column::fixed("SINCE"),
        Column::fixed("TURNING"),
        Column::fixed("RUNS"),
        Column::fixed("FAILED"),
        Column::fixed("TOOK"),
        Column::flexible("LAST ANSWER", 20),
    ]);
    for check in &service.checks {
        let turning = check.turning.map(|(so_far, needed)| format!("{so_far} of {needed}"));
        table.row(vec![
            Cell::wrap(Line::plain(&check.name)),
            Line::plain(&check.kind).into(),
            health(check.health).into(),
            Line::plain(&when::age(check.since, view.now)).into(),
            number(turning).into(),
            number(Some(check.runs)).into(),
            number(Some(check.failures)).into(),
            number(check.last.as_ref().map(|last| when::took(last.took_seconds))).into(),
            Cell::Wrap(last_answer(check, view)),
        ]);
    }
    table.lay_out(view.width)
}

/// What the kernel tells the checks of.
fn watches(service: &Service, view: View) -> Vec<Line> {
    let mut table = Table::new(vec![Column::fixed("CHECK"), Column::fixed("HINTS"), Column::flexible("WATCHES", 24)]);
    let mut any = false;
    for check in &service.checks {
        if let Some(watches) = &check.watches {
            any = true;
            let hints = number(Some(check.hints)).into();
            table.row(vec![Cell::wrap(Line::plain(&check.name)), hints, Cell::wrap(Line::plain(watches))]);
        }
    }
    if any { table.lay_out(view.width) } else { Vec::new() }
}

/// The last answer with its age, and why there may be no other.
fn last_answer(check: &Check, view: View) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(last) = &check.last {
        lines.push(Line::plain(&last.detail).with(Style::Dim, &format!(" ({} ago)", when::age(last.at, view.now))));
    }
    let measured = check.last.iter().flat_map(|last| &last.performance).map(measured).collect::<Vec<_>>();
    if !measured.is_empty() {
        lines.push(Line::plain(&measured.join("  ")));
    }
    if check.cannot_run.is_some() && check.health != anycast_api::Health::Unknown {
        lines.push(Line::styled(Style::Warn, &format!("cannot be done{}", held(check))));
    }
    lines.extend(check.starts_in_seconds.map(|left| Line::plain(&starts_in(left))));
    lines.extend(check.paused.as_ref().map(|why| Line::styled(Style::Warn, why)));
    if !check.counts {
        lines.push(Line::styled(Style::Warn, "does not count until it is decided"));
    }
    if lines.is_empty() {
        lines.push(nothing());
    }
    lines
}

/// It has not run, on purpose.
pub(super) fn starts_in(left: f64) -> String {
    format!("begins in {} (start_delay)", when::clock(left))
}

/// `load1 0.1`, `time 4ms`, `queue ?` where the program could not tell.
pub(super) fn measured(one: &Performance) -> String {
    let value = one.value.map_or_else(|| "?".to_owned(), |value| value.to_string());
    format!("{} {value}{}", one.label, one.unit)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;
    use crate::render::testing::{node, read, view};

    #[test]
    fn what_the_kernel_tells_of_is_shown() {
        let mut status = node(json!({}));
        status.services[1].checks[0].watches = Some("listener tcp 203.0.113.3:80, tcp 203.0.113.3:443".to_owned());
        status.services[1].checks[0].hints = 3;
        let page = page(&status, &status.services[1], view()).paint(false);
        let shown: Vec<&str> = page.lines().skip_while(|line| !line.contains("WATCHES")).take(2).collect();
        assert_snapshot!(shown.join("\n"), @r"
        CHECK  HINTS  WATCHES
        load   3      listener tcp 203.0.113.3:80, tcp 203.0.113.3:443
        ");
    }

    #[test]
    fn traffic_is_shown_where_it_is_counted() {
        let mut status = node(json!({}));
        status.addresses[0].traffic = Some(Traffic { packets: 20, bytes: 1680 });
        let dns = page(&status, &status.services[0], view()).paint(false);
        let shown: Vec<&str> = dns.lines().skip_while(|line| !line.contains("TRAFFIC")).collect();
        assert_snapshot!(shown.join("\n"), @r"
        TRAFFIC TO   PACKETS  BYTES
        203.0.113.3  20       1680
        ");
    }

    #[test]
    fn a_check_that_has_not_begun_says_when_it_does() {
        let mut status = node(json!({}));
        let check = &mut status.services[0].checks[0];
        (check.last, check.starts_in_seconds) = (None, Some(3.0));
        let shown = page(&status, &status.services[0], view()).paint(false);
        assert!(shown.contains(" begins in 00:00:03 (start_delay)\n"), "{shown}");
        let row = super::super::status::page(&status, view()).paint(false);
        assert!(row.contains("begins in 00:00:03"), "{row}");
    }

    #[test]
    fn what_a_check_measured_is_shown() {
        let one = |label: &str, value: Option<f64>, unit: &str| {
            read::<Performance>(json!({"label": label, "value": value, "unit": unit}))
        };
        assert_eq!(measured(&one("load1", Some(0.1), "")), "load1 0.1");
        assert_eq!(measured(&one("time", Some(4.0), "ms")), "time 4ms");
        assert_eq!(measured(&one("queue", None, "")), "queue ?");
        let mut status = node(json!({}));
        let answer = status.services[0].checks[0].last.as_mut().unwrap();
        answer.performance = vec![one("load1", Some(0.1), ""), one("/", Some(95.0), "%")];
        let page = page(&status, &status.services[0], view()).paint(false);
        assert!(page.contains("200 OK (00:00:02 ago)\n"), "{page}");
        assert!(page.contains(" load1 0.1  / 95%\n"), "{page}");
    }

    #[test]
    fn a_service_in_detail() {
        let status = node(json!({}));
        assert_snapshot!(page(&status, &status.services[0], view()).paint(false), @r#"
        dns  up for 3d 04:11

        PREFIX            ANNOUNCED  NOTES
        203.0.113.0/24    yes        –
        2001:db8:53::/48  yes        –

        CHECK     TYPE  STATE  SINCE     TURNING  RUNS  FAILED  TOOK    LAST ANSWER
        resolves  http  up     3d 04:12  –        9001  3       0.4 ms  200 OK (00:00:02 ago)
        serves    http  up     3d 04:12  –        9001  3       2.1 ms  200 OK (00:00:02 ago)

        ADDRESS      ON  STATE  SINCE     PROBLEM
        203.0.113.3  lo  bound  3d 04:12  –
        "#);
        assert_snapshot!(page(&status, &status.services[1], view()).paint(false), @r#"
        web  degraded for 00:02:10

        PREFIX           ANNOUNCED  NOTES
        198.51.100.0/24  yes        prepend 3

        CHECK  TYPE  STATE     SINCE     TURNING  RUNS  FAILED  TOOK   LAST ANSWER
        load   exec  degraded  3d 04:12  –        9001  3       10 ms  load 9.1 (00:00:02 ago)

        ADDRESS      ON  STATE  SINCE     PROBLEM
        203.0.113.3  lo  bound  3d 04:12  –
        "#);
        assert_snapshot!(page(&status, &status.services[2], view()).paint(false), @r#"
        mail  drained for 00:14:02  health up

        maintenance: "kernel update" until 15:00Z, ordered by root 2026-11-23 14:15:00Z

        PREFIX          ANNOUNCED  NOTES
        192.0.2.128/25  no         –

        CHECK  TYPE  STATE  SINCE     TURNING  RUNS  FAILED  TOOK    LAST ANSWER
        smtp   http  up     3d 04:12  –        9001  3       0.8 ms  200 OK (00:00:02 ago)

        ADDRESS      ON  STATE  SINCE     PROBLEM
        203.0.113.4  lo  bound  3d 04:12  –
        "#);
    }

    #[test]
    fn a_service_that_is_held_or_lacks_another() {
        let node_with = |state: &str, extra: serde_json::Value| {
            let mut status = serde_json::to_value(node(json!({}))).unwrap();
            let service = status["services"][0].as_object_mut().unwrap();
            service.insert("state".into(), state.into());
            service.extend(extra.as_object().unwrap().clone());
            read::<Status>(status)
        };
        let shown = |status: &Status| page(status, &status.services[0], view()).paint(false);
        let hold_down = |held: bool| {
            json!({"hold_down": {"held": held, "until": null, "left_seconds": 34.2, "recent_flaps": 2, "after_flaps": 3,
                "within_seconds": 60.0, "next_seconds": 20.0, "holds": 1}})
        };
        let held = node_with("held", hold_down(true));
        assert!(shown(&held).contains("held for 3d 04:11  health up"), "{}", shown(&held));
        assert!(
            shown(&held).contains("held 00:00:35 more (3 flaps in 00:01:00); anycastctl announce dns --force ends it"),
            "{}",
            shown(&held)
        );
        let row = super::super::status::page(&held, view()).paint(false);
        assert!(row.contains("dns") && row.contains("held 00:00:35 more"), "{row}");
        let near = shown(&node_with("up", hold_down(false)));
        assert!(near.contains("2 of 3 flaps in 00:01:00 that would have it held down for 00:00:20"), "{near}");
        let lacks = node_with("down", json!({"lacks": "depends on db, which is down"}));
        assert!(shown(&lacks).contains("\ndepends on db, which is down\n"), "{}", shown(&lacks));
    }
}
