//! What a new configuration changes, or why it is not taken over.

use anycast_api::{ReloadChange, ReloadReply, ReloadVerdict};

use super::{
    Page, View,
    line::{Line, Style},
    table::{Cell, Column, Table},
};

/// Whether anything was to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It was.
    Order,
    /// It was not.
    DryRun {
        /// Everything might be withdrawn by it.
        yes: bool,
    },
}

/// The mistakes or the changes, then the verdict.
pub(crate) fn page(reply: &ReloadReply, kind: Kind, view: View) -> Page {
    let mut page = Page::default();
    if let Some(mistakes) = &reply.mistakes {
        // As the agent drew them: a line that is marked must not be broken.
        page.section(mistakes.lines().map(Line::plain).collect());
    }
    let warnings: Vec<Line> = reply.warnings.iter().map(|warning| Line::plain(warning)).collect();
    page.list("WARNINGS", (Style::Warn, "!"), &warnings, view.width);
    page.section(changes(&reply.changes, view));
    page.section(verdict(reply, kind).into_iter().flat_map(|line| line.wrap(view.width)).collect());
    page
}

fn changes(changes: &[ReloadChange], view: View) -> Vec<Line> {
    let columns = [Column::fixed(""), Column::flexible("", 20), Column::flexible("", 8), Column::flexible("", 30)];
    let mut table = Table::new(columns.to_vec());
    for change in changes {
        let neighbor = change.neighbor.as_ref().map(|neighbor| format!("to {neighbor}")).unwrap_or_default();
        table.row(vec![
            Line::styled(Style::Dim, &change.kind).into(),
            Cell::wrap(Line::styled(Style::Bold, &change.subject)),
            Cell::wrap(Line::plain(&neighbor)),
            Cell::wrap(Line::plain(&change.text)),
        ]);
    }
    table.lay_out(view.width)
}

fn verdict(reply: &ReloadReply, kind: Kind) -> Vec<Line> {
    let file = &reply.file;
    let line = match reply.verdict {
        ReloadVerdict::Done => Line::styled(Style::Good, "reloaded").and(&format!(": {file}")),
        ReloadVerdict::WouldBeDone => {
            let yes = if kind == (Kind::DryRun { yes: true }) { " --yes" } else { "" };
            Line::plain(&format!("nothing was done: this is what `anycastctl reload{yes}` would do"))
        }
        ReloadVerdict::Unchanged => Line::plain(&format!("nothing changes: {file} says what is in force")),
        ReloadVerdict::Refused => {
            let what = match kind {
                Kind::Order => "refused, the old configuration stands",
                Kind::DryRun { .. } => "would be refused",
            };
            let why = reply.refused.as_deref().unwrap_or("the agent does not say why");
            Line::styled(Style::Bad, what).and(&format!(": {why}"))
        }
    };
    let hint = reply.hint.as_ref().map(|hint| Line::styled(Style::Warn, "hint: ").and(hint));
    std::iter::once(line).chain(hint).collect()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::{Value, json};

    use super::*;
    use crate::render::testing::{read, view};

    fn reply(verdict: &str, with: Value) -> ReloadReply {
        let mut reply = json!({"file": "/etc/anycastd/anycastd.yaml", "verdict": verdict, "refused": null, "hint": null,
            "mistakes": null, "warnings": [], "changes": []});
        if let (Some(reply), Value::Object(with)) = (reply.as_object_mut(), with) {
            reply.extend(with);
        }
        read(reply)
    }

    fn changes() -> Value {
        json!([
            {"kind": "session", "subject": "leaf1", "neighbor": null,
             "text": "ends and begins anew, its routes are away meanwhile: `hold_time` changed"},
            {"kind": "route", "subject": "203.0.113.0/24", "neighbor": "leaf2", "text": "withdrawn"},
            {"kind": "route", "subject": "2001:db8:53::/48", "neighbor": "leaf2",
             "text": "announced anew, with MED 60 for MED 50, with community 65010:200, without community 65010:100"},
            {"kind": "address", "subject": "203.0.113.53", "neighbor": null, "text": "removed, once no neighbor holds a route that needs it"}])
    }

    #[test]
    fn what_changes() {
        let text = |verdict, kind| page(&reply(verdict, json!({"changes": changes()})), kind, view()).paint(false);
        assert_snapshot!(text("would_be_done", Kind::DryRun { yes: false }), @r##"
        session  leaf1                       ends and begins anew, its routes are away meanwhile:
                                             `hold_time` changed
        route    203.0.113.0/24    to leaf2  withdrawn
        route    2001:db8:53::/48  to leaf2  announced anew, with MED 60 for MED 50, with community
                                             65010:200, without community 65010:100
        address  203.0.113.53                removed, once no neighbor holds a route that needs it

        nothing was done: this is what `anycastctl reload` would do
        "##);
        let agreed = text("would_be_done", Kind::DryRun { yes: true });
        assert!(agreed.ends_with("this is what `anycastctl reload --yes` would do\n"), "{agreed}");
        assert_snapshot!(text("done", Kind::Order).lines().last().unwrap_or_default(), @r##"reloaded: /etc/anycastd/anycastd.yaml"##);
        assert_snapshot!(page(&reply("unchanged", json!({})), Kind::Order, view()).paint(false), @r##"nothing changes: /etc/anycastd/anycastd.yaml says what is in force"##);
    }

    #[test]
    fn what_is_refused() {
        let all = json!({"changes": [changes()[1]], "hint": "if that is meant: `anycastctl reload --yes`",
            "warnings": ["anycastd.yaml:3:5: odd; mend it"],
            "refused": "it would withdraw everything that this node announces: 203.0.113.0/24"});
        assert_snapshot!(page(&reply("refused", all), Kind::DryRun { yes: false }, view()).paint(false), @r##"
        WARNINGS
        ! anycastd.yaml:3:5: odd; mend it

        route  203.0.113.0/24  to leaf2  withdrawn

        would be refused: it would withdraw everything that this node announces: 203.0.113.0/24
        hint: if that is meant: `anycastctl reload --yes`
        "##);
        let bad = json!({"refused": "1 mistake in the file",
            "mistakes": "error: asn is 0\n --> anycastd.yaml:2:8\n  |\n2 |   asn: 0\n  |        ^\n\u{1b}[2J1 mistake in anycastd.yaml"});
        assert_snapshot!(page(&reply("refused", bad), Kind::Order, view()).paint(false), @r##"
        error: asn is 0
         --> anycastd.yaml:2:8
          |
        2 |   asn: 0
          |        ^
        \u{1b}[2J1 mistake in anycastd.yaml

        refused, the old configuration stands: 1 mistake in the file
        "##);
    }
}
