//! A systemd check: the unit that must be active.

use anycast_core::config::{ProbeConfig, SystemdProbe};

use super::{
    super::{
        diagnostic::{Report, quoted},
        reader::{Section, in_words},
        values::{path, text},
    },
    Aim,
};

/// Where every system has it.
const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";
/// systemd.unit(5).
const LONGEST: usize = 255;
/// The kinds of unit.
const KINDS: [&str; 11] =
    ["service", "socket", "target", "timer", "mount", "automount", "swap", "path", "slice", "scope", "device"];

pub(super) fn read(section: &mut Section<'_>, _: &mut Aim<'_>, report: &mut Report<'_>) -> Option<ProbeConfig> {
    let node = section.require("unit", "write the unit's full name: `unit: nginx.service`", report);
    let bus = section.or("bus", SYSTEM_BUS.into(), report, |node, report| match text(node, "bus", report)? {
        "system" => Some(SYSTEM_BUS.into()),
        _ => path(node, "bus", report),
    });
    let node = node?;
    let unit = text(node, "unit", report)?;
    match fault(unit) {
        None => Some(ProbeConfig::Systemd(SystemdProbe { unit: unit.to_owned(), bus: bus? })),
        Some((message, hint)) => {
            report.error(node.span, message, hint);
            None
        }
    }
}

/// What is wrong with the name of a unit.
fn fault(unit: &str) -> Option<(String, String)> {
    let fits = |character: char| character.is_ascii_alphanumeric() || ":-_.\\@".contains(character);
    if unit.is_empty() || unit.len() > LONGEST || !unit.chars().all(fits) || unit.starts_with(['.', '@']) {
        let hint = "write it as `systemctl list-units` shows it: `unit: nginx.service`".to_owned();
        return Some((format!("{} is not the name of a unit", quoted(unit)), hint));
    }
    let Some((stem, kind)) = unit.rsplit_once('.').filter(|(_, kind)| KINDS.contains(kind)) else {
        let message = format!("{} does not say what kind of unit it is", quoted(unit));
        return Some((message, format!("write `{unit}.service`; the kinds are {}", in_words(&KINDS))));
    };
    if stem.ends_with('@') {
        let hint = format!("write what follows the `@`: `{stem}1.{kind}`");
        return Some((format!("{} is a template and no unit", quoted(unit)), hint));
    }
    None
}
