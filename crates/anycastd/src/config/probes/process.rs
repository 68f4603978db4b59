//! A process check: the file that has its number.

use anycast_core::config::{ProbeConfig, ProcessProbe};

use super::{
    super::{
        diagnostic::{Report, quoted},
        reader::Section,
        values::{path, text},
    },
    Aim,
};

/// What the kernel keeps of a name (`TASK_COMM_LEN`, without the zero at its end).
const LONGEST: usize = 15;

pub(super) fn read(section: &mut Section<'_>, _: &mut Aim<'_>, report: &mut Report<'_>) -> Option<ProbeConfig> {
    let pid_file = section.require("pid_file", "write `pid_file: /run/nginx.pid`", report);
    let pid_file = pid_file.and_then(|node| path(node, "pid_file", report));
    let comm = section.maybe("comm", report, |node, report| {
        let name = text(node, "comm", report)?;
        if name.is_empty() || name.contains(['/', '\0']) {
            let message = format!("`comm` cannot be {}", quoted(name));
            report.error(node.span, message, "write the name as `ps -o comm` shows it: `comm: nginx`");
            return None;
        }
        // The kernel cuts longer ones, and so do we.
        let end = (0..=LONGEST.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or_default();
        Some(name[..end].to_owned())
    });
    Some(ProbeConfig::Process(ProcessProbe { pid_file: pid_file?, comm: comm? }))
}
