//! `services[].checks`: how a service proves that it works.

use std::{collections::BTreeMap, net::IpAddr, num::NonZeroU16, time::Duration};

use anycast_core::{
    CheckName,
    config::{CheckConfig, CheckTiming, ProbeConfig, Scope},
};

use super::{
    diagnostic::Report,
    names::{Named, Names},
    probes::{self, Aim},
    reader::{Listed, Section, list},
    source::Span,
    values::{self, LONGEST, non_zero, truth},
    yaml::{Kind, Node},
};

/// Faster checks would mostly measure the scheduler.
const SHORTEST: Duration = Duration::from_millis(10);
const USUAL_INTERVAL: Duration = Duration::from_secs(1);
const USUAL_TIMEOUT: Duration = Duration::from_secs(1);
const USUAL_COUNT: NonZeroU16 = NonZeroU16::new(2).expect("it is not zero");

/// The checks of a service, as far as they could be read.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// `None`: something about them is wrong.
    pub(super) configs: Option<BTreeMap<CheckName, CheckConfig>>,
    /// How many are written that may withdraw the service; those that cannot be read are taken for such.
    pub(super) local: usize,
    /// The addresses that the local ones aim at, as far as they are written.
    pub(super) targets: Vec<(Span, IpAddr)>,
    /// Where one of them sends ICMP echoes.
    pub(super) echoes: Vec<Span>,
    /// The `start_delay` of the shared ones, where it is written.
    pub(super) shared_delays: Vec<(Span, Duration)>,
}

/// `addresses` are the service's own, where they are known for certain.
pub(super) fn read(section: &mut Section<'_>, addresses: Option<&[IpAddr]>, report: &mut Report<'_>) -> Checks {
    const HINT: &str = "write at least one, such as `checks: [{ name: accepts, type: tcp, port: 53 }]`";
    let Some(node) = section.require("checks", HINT, report) else { return Checks::default() };
    let mut names = Names::default();
    let mut aim = Aim { addresses, targets: Vec::new(), echoes: Vec::new() };
    let mut shared_delays = Vec::new();
    let checks: Listed<Option<(CheckName, CheckConfig)>> =
        list(node, "checks", "{ name: accepts, type: tcp, port: 53 }", report, |node, report| {
            let mut section = Section::open(node, "a check", "`name: accepts`, `type: tcp` and what it asks", report)?;
            let delayed = section.has("start_delay");
            let check = check(section, &mut names, &mut aim, report);
            let shared = check.as_ref().map(|(_, check)| check).filter(|check| check.scope == Scope::Shared);
            shared_delays.extend(delayed.zip(shared.map(|check| check.timing.start_delay)));
            Some(check)
        });
    let count = match &node.kind {
        Kind::List(items) => items.len(),
        Kind::Null | Kind::Scalar { .. } | Kind::Map(_) => 0,
    };
    if checks.whole && count == 0 {
        report.error(node.span, "a service without checks", HINT);
        return Checks::default();
    }
    let configs: Option<BTreeMap<_, _>> =
        checks.items.into_iter().map(|(_, check)| check).collect::<Option<_>>().filter(|_| checks.whole);
    let shared = |(_, check): &(&CheckName, &CheckConfig)| check.scope == Scope::Shared;
    let shared = configs.iter().flatten().filter(shared).count();
    if shared > 0 && shared == count {
        report.error(
            node.span,
            "every check of the service is `scope: shared`: nothing could withdraw it",
            "add a check of what this node does itself, or write `scope: local`",
        );
    }
    Checks { configs, local: count - shared, targets: aim.targets, echoes: aim.echoes, shared_delays }
}

fn check(
    mut section: Section<'_>,
    names: &mut Names,
    aim: &mut Aim<'_>,
    report: &mut Report<'_>,
) -> Option<(CheckName, CheckConfig)> {
    let name: Option<Named<CheckName>> = names.take(&mut section, "check", CheckName::new, report);
    let kind = probes::kind(&mut section, report);
    let timing = timing(&mut section, report);
    let scope = section.or("scope", Scope::default(), report, scope);
    let hold = section.or("hold_connection", None, report, |node, report| {
        truth(node, "hold_connection", report).map(|hold| hold.then_some(node.span))
    });
    let Some(read) = kind else {
        section.close_open(report);
        return None;
    };
    let targets_before = aim.targets.len();
    let probe = read(&mut section, aim, report);
    let hold_connection = may_hold(hold, probe.as_ref(), report);
    if probe.as_ref().is_some_and(|probe| !connects(probe)) {
        section.untold("hold_connection");
    }
    section.close(report);
    // What every node depends on is elsewhere.
    if scope == Some(Scope::Shared) {
        aim.targets.truncate(targets_before);
    }
    let config = CheckConfig { timing: timing?, scope: scope?, probe: probe?, hold_connection: hold_connection? };
    Some((name?.id?, config))
}

/// Whether checks of this type can hold a connection.
const fn connects(probe: &ProbeConfig) -> bool {
    matches!(probe, ProbeConfig::Tcp(_) | ProbeConfig::Http(_) | ProbeConfig::Grpc(_))
}

/// `global` looks like `local`, and means the opposite.
fn scope(node: &Node, report: &mut Report<'_>) -> Option<Scope> {
    if matches!(&node.kind, Kind::Scalar { text, .. } if text == "global") {
        let hint = "write `shared` for what every node depends on, or `local` for what this node does itself";
        report.error(node.span, "`scope` cannot be `global`", hint);
        return None;
    }
    values::choice(node, "scope", &[("local", Scope::Local), ("shared", Scope::Shared)], report)
}

/// Whether a connection is held; where that is written, if it is. Only one to an address can be.
fn may_hold(hold: Option<Option<Span>>, probe: Option<&ProbeConfig>, report: &mut Report<'_>) -> Option<bool> {
    let Some(span) = hold? else { return Some(false) };
    let probe = probe?;
    if !probe.connections().is_empty() {
        return Some(true);
    }
    let (what, hint) = match probe {
        ProbeConfig::Http(_) => {
            ("a host that is looked up", "write an address in the URL, or leave `hold_connection` out")
        }
        _ => {
            ("a check without a connection", "leave it out: only checks of type `tcp`, `http` and `grpc` can hold one")
        }
    };
    report.error(span, format!("`hold_connection` for {what}"), hint);
    None
}

fn timing(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<CheckTiming> {
    let time = |key: &'static str, least: Duration, section: &mut Section<'_>, report: &mut Report<'_>| {
        section.maybe(key, report, |node, report| {
            values::duration(node, key, least..=LONGEST, report).map(|time| (node.span, time))
        })
    };
    let interval = time("interval", SHORTEST, section, report);
    let fast = time("fast_interval", SHORTEST, section, report);
    let timeout = time("timeout", Duration::from_millis(1), section, report);
    let count = |key, section: &mut Section<'_>, report: &mut Report<'_>| {
        section.or(key, USUAL_COUNT, report, |node, report| non_zero(node, key, report))
    };
    let (rise, fall) = (count("rise", section, report), count("fall", section, report));
    let start_delay = time("start_delay", Duration::ZERO, section, report);

    let interval = interval?.map_or(USUAL_INTERVAL, |(_, interval)| interval);
    let fast_interval = match fast? {
        Some((span, fast)) if fast > interval => {
            let message = format!("`fast_interval` is longer than `interval`, {}", values::in_words(interval));
            report.error(span, message, "write a shorter one, or leave it out for a fifth of the interval");
            return None;
        }
        Some((_, fast)) => fast,
        None => (interval / 5).max(SHORTEST),
    };
    let timeout = timeout?;
    if let Some((span, timeout)) = timeout
        && timeout > interval
    {
        let message = format!("`timeout` is longer than `interval`, {}", values::in_words(interval));
        let hint = "runs never overlap: while nothing answers there is one in each timeout; write a shorter timeout, or a \
                    longer interval";
        report.warning(span, message, hint);
    }
    let timeout = timeout.map_or(interval.min(USUAL_TIMEOUT), |(_, timeout)| timeout);
    let start_delay = start_delay?.map_or(Duration::ZERO, |(_, delay)| delay);
    Some(CheckTiming {
        interval,
        fast_interval,
        timeout,
        rise: rise?,
        fall: fall?,
        start_delay,
        restart_grace: Duration::ZERO,
        stale_after: super::settings::STALE_AFTER,
    })
}
