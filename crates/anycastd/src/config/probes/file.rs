//! A file check: where the file is, and what must be so of it.

use std::time::Duration;

use anycast_core::config::{FileExpected, FileProbe, ProbeConfig};

use super::{
    super::{
        diagnostic::Report,
        reader::Section,
        values::{LONGEST, choice, duration, path},
    },
    Aim,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Present,
    Absent,
    Fresh,
}

pub(super) fn read(section: &mut Section<'_>, _: &mut Aim<'_>, report: &mut Report<'_>) -> Option<ProbeConfig> {
    let path =
        section.require("path", "write `path: /run/dns.ready`", report).and_then(|node| path(node, "path", report));
    let at = section.has("max_age");
    let word = section.or("expect", if at.is_some() { Word::Fresh } else { Word::Present }, report, |node, report| {
        let words = [("present", Word::Present), ("absent", Word::Absent), ("fresh", Word::Fresh)];
        choice(node, "expect", &words, report)
    });
    let age = section
        .maybe("max_age", report, |node, report| duration(node, "max_age", Duration::from_millis(1)..=LONGEST, report));
    let expect = match (word?, age?, at) {
        (Word::Fresh, Some(age), _) => FileExpected::Fresh(age),
        (Word::Fresh, None, _) => {
            let span = section.has("expect").unwrap_or(section.span);
            report.error(span, "`expect: fresh` without `max_age`", "say how old it may be: `max_age: 5m`");
            return None;
        }
        (Word::Present | Word::Absent, _, Some(span)) => {
            report.error(span, "`max_age` of a file that need not be fresh", "leave it out, or write `expect: fresh`");
            return None;
        }
        (Word::Present, _, None) => FileExpected::Present,
        (Word::Absent, _, None) => FileExpected::Absent,
    };
    Some(ProbeConfig::File(FileProbe { path: path?, expect }))
}
