//! Why something is, or is not, announced.

use anycast_api::{Explanation, Link, LinkState, PrefixExplanation};

use super::{
    Page, View,
    line::{Line, Style},
    table::{Cell, Column, Table},
    when,
};

/// For each prefix the answer, then the chain from the checks to the neighbors.
pub(crate) fn page(explanation: &Explanation, view: View) -> Page {
    let mut page = Page::default();
    if explanation.prefixes.is_empty() {
        page.line(Line::plain(&format!("{} concerns no prefix", explanation.target)));
    }
    for prefix in &explanation.prefixes {
        let mut lines = summary(prefix).wrap(view.width);
        lines.extend(chain(&prefix.chain, view));
        page.section(lines);
    }
    page
}

fn summary(prefix: &PrefixExplanation) -> Line {
    let mut line = Line::default();
    if !prefix.summary.contains(&prefix.prefix) {
        line.push(Style::Bold, &format!("{}: ", prefix.prefix));
    }
    line.with(Style::Bold, &prefix.summary)
}

fn chain(links: &[Link], view: View) -> Vec<Line> {
    let columns = [Column::fixed(""), Column::fixed(""), Column::flexible("", 12), Column::flexible("", 30)];
    let mut table = Table::new([&columns[..], &[Column::fixed("")]].concat()).indented(2);
    for link in links {
        let (style, sign) = match link.ok {
            LinkState::Ok => (Style::Good, "✓"),
            LinkState::Warning => (Style::Warn, "!"),
            LinkState::Broken => (Style::Bad, "✗"),
        };
        let mut text = vec![Line::plain(&link.text)];
        text.extend(link.hint.as_ref().map(|hint| Line::styled(Style::Warn, "hint: ").and(hint)));
        let since = link.since.map(|since| format!("{}  {}", when::stamp(since), when::age(since, view.now)));
        table.row(vec![
            Line::styled(style, sign).into(),
            Line::plain(&link.kind).into(),
            Cell::wrap(Line::plain(&link.name)),
            Cell::Wrap(text),
            Line::styled(Style::Dim, &since.unwrap_or_default()).into(),
        ]);
    }
    table.lay_out(view.width)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;
    use crate::render::testing::{read, view};

    #[test]
    fn the_chain() {
        let explanation = read(json!({"target": "dns", "prefixes": [
            {"prefix": "203.0.113.0/24", "announced": true,
             "summary": "203.0.113.0/24 is announced to 1 of 2 neighbors", "chain": [
                {"kind": "check", "name": "dns/resolves", "ok": "ok", "text": "up: answered in 0.4 ms",
                 "since": "2026-11-20T10:18:00Z", "hint": null},
                {"kind": "address", "name": "203.0.113.53", "ok": "warning",
                 "text": "bound to lo by somebody else; it counts, and is never deleted by the agent",
                 "since": "2026-11-23T14:27:50Z", "hint": "ip address show to 203.0.113.53"},
                {"kind": "neighbor", "name": "leaf2", "ok": "broken", "text": "Active: connect: refused",
                 "since": "2026-11-23T14:29:19Z", "hint": "is bgpd running there, and does it listen on port 179?"}]},
            {"prefix": "2001:db8:53::/48", "announced": false, "summary": "not announced: dns is down", "chain": [
                {"kind": "decision", "name": "2001:db8:53::/48", "ok": "broken", "text": "no service carries it",
                 "since": null, "hint": null, "new": 1}]}]}));
        assert_snapshot!(page(&explanation, view()).paint(false), @r#"
        203.0.113.0/24 is announced to 1 of 2 neighbors
          ✓  check     dns/resolves  up: answered in 0.4 ms                   2026-11-20 10:18:00Z  3d 04:12
          !  address   203.0.113.53  bound to lo by somebody else; it         2026-11-23 14:27:50Z  00:02:10
                                     counts, and is never deleted by the
                                     agent
                                     hint: ip address show to 203.0.113.53
          ✗  neighbor  leaf2         Active: connect: refused                 2026-11-23 14:29:19Z  00:00:41
                                     hint: is bgpd running there, and does
                                     it listen on port 179?

        2001:db8:53::/48: not announced: dns is down
          ✗  decision  2001:db8:53::/48  no service carries it
        "#);
    }

    #[test]
    fn nothing_to_tell() {
        let explanation = read(json!({"target": "192.0.2.77", "prefixes": []}));
        assert_snapshot!(page(&explanation, view()).paint(false), @r#"192.0.2.77 concerns no prefix"#);
    }
}
