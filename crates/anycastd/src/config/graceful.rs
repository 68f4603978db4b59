//! Graceful restart: routes that outlive the connection.

use std::time::Duration;

use anycast_bgp::GracefulRestart;
use anycast_core::config::{Neighbor, OnExit};

use super::{
    diagnostic::Report,
    neighbors::Draft,
    reader::{Listed, Section},
    source::Span,
    values::{duration, in_words, truth},
    yaml::Kind,
};

/// What routers propose by default.
const RESTART_TIME: Duration = Duration::from_secs(120);

/// `graceful_restart`: `true`, `false` or `{ restart_time: 120s }`. The inner `None`: off.
pub(super) fn read(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Option<Duration>> {
    if section.has("graceful_restart").is_none() {
        return Some(None);
    }
    let node = section.take("graceful_restart", report)?;
    if !matches!(node.kind, Kind::Map(_)) {
        return truth(node, "graceful_restart", report).map(|on| on.then_some(RESTART_TIME));
    }
    let mut section = section.inner("graceful_restart", "`graceful_restart: { restart_time: 120s }`", report)?;
    let time = section.or("restart_time", RESTART_TIME, report, |node, report| {
        let time = duration(node, "restart_time", Duration::from_secs(1)..=GracefulRestart::LONGEST, report)?;
        if time.subsec_nanos() != 0 {
            report.error(
                node.span,
                format!("`restart_time` of {} is no whole number of seconds", in_words(time)),
                "write it in seconds",
            );
            return None;
        }
        Some(time)
    });
    section.close(report);
    time.map(Some)
}

/// What graceful restart means for a node that does not come back, and `on_exit: keep` without it.
pub(super) fn check(neighbors: &Listed<Draft>, on_exit: Option<(Span, OnExit)>, report: &mut Report<'_>) {
    let known = || neighbors.values().filter_map(|draft| Some((draft, draft.neighbor.as_ref()?)));
    for (draft, neighbor) in known() {
        let Some((time, span)) = neighbor.restart_time.zip(draft.restart_at) else { continue };
        report.warning(span, frozen(neighbor, time), "leave it off unless the node goes on serving without the agent");
    }
    let Some((span, OnExit::Keep)) = on_exit else { return };
    for (draft, _) in known().filter(|(_, neighbor)| neighbor.restart_time.is_none()) {
        let name = draft.name.as_ref().map_or("?", |name| name.text.as_str());
        let message = format!("`on_exit: keep`, but neighbor `{name}` would drop the routes");
        report.error(span, message, "it needs `graceful_restart: true` on every neighbor");
    }
}

fn frozen(neighbor: &Neighbor, restart: Duration) -> String {
    let restart = in_words(restart);
    if neighbor.bfd.is_some() {
        return format!(
            "with graceful restart a node that is frozen or cut off may attract traffic for {restart} more, BFD or not: a router may take \
             the end of the BFD session for the restart that was announced (RFC 5882 §4.3)"
        );
    }
    match neighbor.hold_time.duration() {
        Some(hold) => {
            let hold = in_words(hold);
            format!(
                "with graceful restart a node that is frozen or killed attracts traffic for up to {hold} + {restart} more"
            )
        }
        None => format!(
            "with graceful restart and no hold time a frozen node attracts traffic for ever, a killed one for {restart}"
        ),
    }
}
