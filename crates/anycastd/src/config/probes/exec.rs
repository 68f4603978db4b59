//! An exec check: the program and its arguments.

use anycast_core::config::{ExecProbe, ProbeConfig};

use super::{
    super::{
        diagnostic::{Report, quoted},
        reader::{Section, list},
        values::text,
    },
    Aim,
};

pub(super) fn read(section: &mut Section<'_>, _: &mut Aim<'_>, report: &mut Report<'_>) -> Option<ProbeConfig> {
    const EXAMPLE: &str = "/usr/lib/nagios/plugins/check_load, -w, \"8\", -c, \"16\"";
    let node = section.require("command", &format!("write `command: [{EXAMPLE}]`"), report)?;
    let words = list(node, "command", EXAMPLE, report, |node, report| {
        let word = text(node, "command", report)?;
        if word.contains('\0') {
            report.error(node.span, "a word of `command` with U+0000 in it", "no program can be given it: remove it");
            return None;
        }
        Some(word.to_owned())
    });
    match words.items.first() {
        _ if !words.whole => return None,
        Some((_, program)) if program.starts_with('/') => {}
        Some((span, program)) => {
            let message = format!("`command`: {} is not an absolute path", quoted(program));
            report.error(*span, message, "write the whole path of the program, beginning with `/`; there is no shell");
            return None;
        }
        None => {
            report.error(node.span, "`command` is empty", format!("write `command: [{EXAMPLE}]`"));
            return None;
        }
    }
    Some(ProbeConfig::Exec(ExecProbe { command: words.items.into_iter().map(|(_, word)| word).collect() }))
}
