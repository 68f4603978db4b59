//! What will bite, each with its remedy.

use anycast_api::{DoctorReply, Finding, Severity};

use super::{
    Page, View,
    line::{Line, Style},
};

/// Finding by finding.
pub(crate) fn page(reply: &DoctorReply, view: View) -> Page {
    let mut page = Page::default();
    let bites = reply.findings.iter().any(|finding| finding.severity != Severity::Note);
    if !bites {
        page.line(Line::styled(Style::Good, "nothing was found that bites"));
    }
    for finding in &reply.findings {
        page.section(lines(finding, view));
    }
    let not_looked_at: Vec<Line> = reply.not_looked_at.iter().map(|what| Line::plain(what)).collect();
    page.list("NOT LOOKED AT", (Style::Warn, "!"), &not_looked_at, view.width);
    page
}

fn lines(finding: &Finding, view: View) -> Vec<Line> {
    let (style, word) = match finding.severity {
        Severity::Problem => (Style::Bad, "problem"),
        Severity::Warning => (Style::Warn, "warning"),
        Severity::Note => (Style::Dim, "note"),
    };
    let head = Line::styled(style, word).and("  ").with(Style::Bold, &finding.subject);
    let head = head.and(&format!(": {}", finding.seen)).with(Style::Dim, &format!("  [{}]", finding.id));
    let mut lines = head.wrap(view.width);
    for (name, text) in [("why", &finding.why), ("do", &finding.remedy)] {
        for (index, part) in Line::plain(text).wrap(view.width.saturating_sub(7)).iter().enumerate() {
            let mut line = Line::styled(Style::Dim, &format!("  {:<5}", if index == 0 { name } else { "" }));
            line.append(part);
            lines.push(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;
    use crate::render::testing::{read, view};

    #[test]
    fn findings() {
        let reply = read(json!({"findings": [
            {"id": "same_session", "severity": "problem", "subject": "leaf1",
             "seen": "another process (uid 101) has a BGP connection to 192.0.2.1, from 192.0.2.2:41000",
             "why": "a router has one session with an address of ours: each of the two daemons is refused, or ends the other's session",
             "remedy": "`ss -tnp dst 192.0.2.1` tells which; stop it"},
            {"id": "ebgp_policy", "severity": "note", "subject": "leaf1", "seen": "Established", "why": "a router may use nothing",
             "remedy": "look there"}], "not_looked_at": ["clock: adjtimex is refused"]}));
        assert_snapshot!(page(&reply, view()).paint(false), @r##"
        problem  leaf1: another process (uid 101) has a BGP connection to 192.0.2.1, from 192.0.2.2:41000
        [same_session]
          why  a router has one session with an address of ours: each of the two daemons is refused, or ends
               the other's session
          do   `ss -tnp dst 192.0.2.1` tells which; stop it

        note  leaf1: Established  [ebgp_policy]
          why  a router may use nothing
          do   look there

        NOT LOOKED AT
        ! clock: adjtimex is refused
        "##);
    }

    #[test]
    fn nothing() {
        let reply = read(json!({"findings": [], "not_looked_at": []}));
        assert_snapshot!(page(&reply, view()).paint(false), @r##"nothing was found that bites"##);
    }
}
