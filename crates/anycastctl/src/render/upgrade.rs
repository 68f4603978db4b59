//! What came of an upgrade, or would.

use std::{collections::BTreeMap, time::Duration};

use anycast_api::{UpgradeTrial, Upgraded};

use super::{
    Page, View,
    line::{Line, Style},
};

/// What came of it.
pub(crate) fn page(upgraded: &Upgraded, view: View) -> Page {
    let Upgraded { from, to, sessions, lost, stopped_seconds, .. } = upgraded;
    let head = Line::styled(Style::Good, "upgraded").and(&format!(": {}", versions(from, to)));
    let stopped = Duration::from_millis((stopped_seconds * 1000.0).max(0.0) as u64);
    let stopped = format!("nothing was decided for {}", humantime::format_duration(stopped));
    let went_on = match sessions {
        0 if lost.is_empty() => "no session was Established".to_owned(),
        _ => format!("{} went on", count(*sessions)),
    };
    let text = format!("{went_on}; {stopped}");
    laid_out([vec![head, Line::plain(&text)], anew(lost, "began anew")].concat(), view)
}

/// What would.
pub(crate) fn trial(trial: &UpgradeTrial, view: View) -> Page {
    let UpgradeTrial { program, from, to, sessions, lost } = trial;
    let head = format!("nothing was done: {program} would go on ({})", versions(from, to));
    let text = match sessions {
        0 if lost.is_empty() => "no session is Established".to_owned(),
        _ => format!("{} would go on", count(*sessions)),
    };
    laid_out([vec![Line::plain(&head), Line::plain(&text)], anew(lost, "would begin anew")].concat(), view)
}

fn versions(from: &str, to: &str) -> String {
    if from == to { format!("anycastd {to}, as before") } else { format!("anycastd {from} → {to}") }
}

fn count(sessions: usize) -> String {
    if sessions == 1 { "1 session".to_owned() } else { format!("{sessions} sessions") }
}

fn anew(lost: &BTreeMap<String, String>, what: &str) -> Vec<Line> {
    lost.iter().map(|(neighbor, why)| Line::styled(Style::Bad, neighbor).and(&format!(" {what}: {why}"))).collect()
}

fn laid_out(lines: Vec<Line>, view: View) -> Page {
    let mut page = Page::default();
    page.section(lines.into_iter().flat_map(|line| line.wrap(view.width)).collect());
    page
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;
    use crate::render::testing::{read, view};

    #[test]
    fn what_came_of_it() {
        let upgraded = |to: &str, lost: serde_json::Value| {
            read(
                json!({"id": "1", "by": "root", "at": "2026-11-26T20:00:00Z", "from": "0.1.0", "to": to, "sessions": 2,
                "lost": lost, "stopped_seconds": 0.0432}),
            )
        };
        assert_snapshot!(page(&upgraded("0.2.0", json!({})), view()).paint(false), @r"
        upgraded: anycastd 0.1.0 → 0.2.0
        2 sessions went on; nothing was decided for 43ms
        ");
        let lost = json!({"leaf2": "the session would not be accepted now: unsupported capability"});
        assert_snapshot!(page(&upgraded("0.1.0", lost), view()).paint(false), @r"
        upgraded: anycastd 0.1.0, as before
        2 sessions went on; nothing was decided for 43ms
        leaf2 began anew: the session would not be accepted now: unsupported capability
        ");
    }

    #[test]
    fn what_would() {
        let would = json!({"program": "/usr/bin/anycastd", "from": "0.1.0", "to": "0.2.0", "sessions": 1,
            "lost": {"leaf2": "it is not configured"}});
        assert_snapshot!(trial(&read(would), view()).paint(false), @r"
        nothing was done: /usr/bin/anycastd would go on (anycastd 0.1.0 → 0.2.0)
        1 session would go on
        leaf2 would begin anew: it is not configured
        ");
    }
}
