//! A change of state on a line.

use anycast_api::Event;

use super::{
    Page,
    line::{Line, Style},
    when,
};

/// One event. It is not cut at any width: a line is what is searched for, and nothing stands beside it.
pub(crate) fn page(event: &Event) -> Page {
    let mut line = Line::styled(Style::Dim, &when::exact_stamp(event.at)).and(&format!("  {}", event.kind));
    line.pad(35);
    line = line.and("  ").with(Style::Bold, &event.subject);
    line.pad(55);
    let mut page = Page::default();
    page.line(line.and("  ").and(&event.text));
    page
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;
    use crate::render::testing::read;

    #[test]
    fn one_a_line() {
        let event = |kind: &str, subject: &str, text: &str| {
            let at = "2026-11-23T20:16:21.042Z";
            page(&read(json!({"id": 1, "at": at, "kind": kind, "subject": subject, "text": text}))).paint(false)
        };
        let text = [
            event("service", "dns", "up → down"),
            event("hold_down", "dns", "flap 1 of 3"),
            event("neighbor", "a-rather-long-name", "Established → Idle: hold timer expired"),
            event("address", "203.0.113.53", "two\nlines\x1b[1m"),
        ];
        assert_snapshot!(text.concat(), @r#"
        2026-11-23 20:16:21.042Z  service    dns                 up → down
        2026-11-23 20:16:21.042Z  hold_down  dns                 flap 1 of 3
        2026-11-23 20:16:21.042Z  neighbor   a-rather-long-name  Established → Idle: hold timer expired
        2026-11-23 20:16:21.042Z  address    203.0.113.53        two\nlines\u{1b}[1m
        "#);
    }
}
