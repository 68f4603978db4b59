//! `services[].checks`: how a service proves that it works.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    time::Duration,
};

use anycast_core::{
    CheckName,
    config::{CheckConfig, CheckTiming, ExecProbe, ProbeConfig, TcpProbe},
};

use super::{
    diagnostic::{Report, quoted},
    http,
    names::{Named, Names},
    reader::{Listed, Section, in_words, list, nearest, not_supported},
    source::Span,
    values::{self, LONGEST, non_zero, socket_address, text},
    yaml::{Kind, Node},
};

/// Faster checks would mostly measure the scheduler.
const SHORTEST: Duration = Duration::from_millis(10);
const USUAL_INTERVAL: Duration = Duration::from_secs(1);
const USUAL_TIMEOUT: Duration = Duration::from_secs(1);
const USUAL_COUNT: NonZeroU16 = NonZeroU16::new(2).expect("it is not zero");

const BUILT: [&str; 3] = ["tcp", "http", "exec"];
const LATER: [&str; 8] = ["dns", "udp", "grpc", "systemd", "process", "file", "icmp", "tls"];

/// The checks of a service, as far as they could be read.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// `None`: something about them is wrong.
    pub(super) configs: Option<BTreeMap<CheckName, CheckConfig>>,
    /// How many are written.
    pub(super) count: usize,
    /// The addresses they aim at, as far as they are written.
    pub(super) targets: Vec<(Span, IpAddr)>,
}

/// `addresses` are the service's own, where they are known for certain.
pub(super) fn read(section: &mut Section<'_>, addresses: Option<&[IpAddr]>, report: &mut Report<'_>) -> Checks {
    const HINT: &str = "write at least one, such as `checks: [{ name: accepts, type: tcp, port: 53 }]`";
    let Some(node) = section.require("checks", HINT, report) else { return Checks::default() };
    let mut names = Names::default();
    let mut targets = Vec::new();
    let checks: Listed<Option<(CheckName, CheckConfig)>> =
        list(node, "checks", "{ name: accepts, type: tcp, port: 53 }", report, |node, report| {
            let section = Section::open(node, "a check", "`name: accepts`, `type: tcp` and what it asks", report)?;
            Some(check(section, &mut names, addresses, &mut targets, report))
        });
    let count = match &node.kind {
        Kind::List(items) => items.len(),
        Kind::Null | Kind::Scalar { .. } | Kind::Map(_) => 0,
    };
    if checks.whole && count == 0 {
        report.error(node.span, "a service without checks", HINT);
        return Checks::default();
    }
    let configs = checks.items.into_iter().map(|(_, check)| check).collect::<Option<_>>().filter(|_| checks.whole);
    Checks { configs, count, targets }
}

fn check(
    mut section: Section<'_>,
    names: &mut Names,
    addresses: Option<&[IpAddr]>,
    targets: &mut Vec<(Span, IpAddr)>,
    report: &mut Report<'_>,
) -> Option<(CheckName, CheckConfig)> {
    let name: Option<Named<CheckName>> = names.take(&mut section, "check", CheckName::new, report);
    let kind = section.require("type", &format!("write one of {}", in_words(&BUILT)), report);
    let kind = kind.and_then(|node| kind_of(node, report));
    let timing = timing(&mut section, report);
    section.only("scope", "local", &["shared"], report);
    let Some(kind) = kind else {
        section.close_open(report);
        return None;
    };
    let probe = match kind {
        "tcp" => tcp(&mut section, addresses, targets, report).map(ProbeConfig::Tcp),
        "http" => http::read(&mut section, targets, report).map(ProbeConfig::Http),
        _ => exec(&mut section, report).map(ProbeConfig::Exec),
    };
    section.close(report);
    Some((name?.id?, CheckConfig { timing: timing?, probe: probe? }))
}

/// The type, if it is built. The keys of another are not judged: their meaning is not known yet.
fn kind_of<'a>(node: &'a Node, report: &mut Report<'_>) -> Option<&'a str> {
    let kind = text(node, "type", report)?;
    if BUILT.contains(&kind) {
        return Some(kind);
    }
    if LATER.contains(&kind) {
        let hint = format!("there are {}", in_words(&BUILT));
        not_supported(node.span, &format!("`type: {kind}`"), &hint, report);
        return None;
    }
    let hint = match nearest(kind, BUILT.into_iter()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write one of {}", in_words(&BUILT)),
    };
    report.error(node.span, format!("`type` cannot be {}", quoted(kind)), hint);
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
    let timeout = timeout?.map_or(interval.min(USUAL_TIMEOUT), |(_, timeout)| timeout);
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

fn tcp(
    section: &mut Section<'_>,
    addresses: Option<&[IpAddr]>,
    targets: &mut Vec<(Span, IpAddr)>,
    report: &mut Report<'_>,
) -> Option<TcpProbe> {
    const HINT: &str = "write `address: 203.0.113.53:53`, or `port: 53` for each address of the service";
    match (section.has("address"), section.has("port")) {
        (None, None) => {
            report.error(section.span, "a tcp check without `address` or `port`", HINT);
            None
        }
        (Some(_), Some(span)) => {
            report.error(span, "`address` and `port` together", "write the port within the address: `203.0.113.53:53`");
            None
        }
        (Some(_), None) => {
            let node = section.take("address", report)?;
            let address = socket_address(node, "address", HINT, report)?;
            check_target(node.span, address.ip(), targets, report)?;
            Some(TcpProbe { addresses: vec![address] })
        }
        (None, Some(_)) => {
            let node = section.take("port", report)?;
            let port = non_zero(node, "port", report)?;
            let addresses = addresses?.iter().map(|address| SocketAddr::new(*address, port.get())).collect();
            Some(TcpProbe { addresses })
        }
    }
}

/// One machine must answer.
pub(super) fn check_target(
    span: Span,
    target: IpAddr,
    targets: &mut Vec<(Span, IpAddr)>,
    report: &mut Report<'_>,
) -> Option<()> {
    if target.is_unspecified() || target.is_multicast() {
        let message = format!("nobody answers at {target}");
        report.error(span, message, "write the address at which the service answers");
        return None;
    }
    targets.push((span, target));
    Some(())
}

fn exec(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<ExecProbe> {
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
    Some(ExecProbe { command: words.items.into_iter().map(|(_, word)| word).collect() })
}
