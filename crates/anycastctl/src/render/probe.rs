//! What checks saw that were run on request.

use anycast_api::{ProbeReply, ProbedCheck};

use super::{
    Page, View, health,
    line::{Line, Style},
    nothing, number,
    service::measured,
    table::{Cell, Column, Table},
    when,
};

/// One check a row.
pub(crate) fn page(reply: &ProbeReply, view: View) -> Page {
    let mut page = Page::default();
    if reply.checks.is_empty() {
        page.line(Line::plain(&format!("{} has no checks", reply.service)));
        return page;
    }
    let mut table = Table::new(vec![
        Column::fixed("CHECK"),
        Column::fixed("TYPE"),
        Column::fixed("SAYS"),
        Column::fixed("TOOK"),
        Column::flexible("ANSWER", 24),
    ]);
    for check in &reply.checks {
        let answer = check.answer.as_ref();
        table.row(vec![
            Cell::wrap(Line::plain(&check.name)),
            Line::plain(&check.kind).into(),
            answer.map_or_else(nothing, |answer| health(answer.health)).into(),
            number(answer.map(|answer| when::took(answer.took_seconds))).into(),
            Cell::Wrap(words(check)),
        ]);
    }
    page.section(table.lay_out(view.width));
    page
}

fn words(check: &ProbedCheck) -> Vec<Line> {
    let mut lines: Vec<Line> = check.not_run.iter().map(|why| Line::styled(Style::Warn, why)).collect();
    if let Some(answer) = &check.answer {
        lines.push(Line::plain(&answer.detail));
        let measured = answer.performance.iter().map(measured).collect::<Vec<_>>();
        if !measured.is_empty() {
            lines.push(Line::plain(&measured.join("  ")));
        }
    }
    if lines.is_empty() { vec![nothing()] } else { lines }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;
    use crate::render::testing::{answer, read, view};

    #[test]
    fn each_check_says_what_it_sees() {
        let mut load = answer("degraded", "exit 1: load 9.1", 0.0121);
        load["performance"] =
            json!([{"label": "load1", "value": 9.1, "unit": "", "warn": "8", "crit": "16", "min": 0.0, "max": null}]);
        let reply = read(json!({"service": "web", "checks": [
            {"name": "serves", "kind": "http", "answer": answer("up", "status 200 in 0.4 ms", 0.0004), "not_run": null},
            {"name": "load", "kind": "exec", "answer": load, "not_run": null},
            {"name": "accepts", "kind": "tcp", "answer": answer("down", "connect 203.0.113.80:80: refused\u{1b}[2J", 0.0001), "not_run": null},
            {"name": "rests", "kind": "dns", "answer": null, "not_run": "not checked: its address is not bound here"},
        ]}));
        assert_snapshot!(page(&reply, view()).paint(false), @r#"
        CHECK    TYPE  SAYS      TOOK    ANSWER
        serves   http  up        0.4 ms  status 200 in 0.4 ms
        load     exec  degraded  12 ms   exit 1: load 9.1
                                         load1 9.1
        accepts  tcp   down      0.1 ms  connect 203.0.113.80:80: refused\u{1b}[2J
        rests    dns   –         –       not checked: its address is not bound here
        "#);
        let none = read(json!({"service": "web", "checks": []}));
        assert_snapshot!(page(&none, view()).paint(false), @"web has no checks");
    }
}
