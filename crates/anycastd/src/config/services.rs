//! `services`: what is served here.

use std::{collections::BTreeMap, net::IpAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

use anycast_bgp::{Attributes, Family, Prefix};
use anycast_core::{
    ServiceName,
    config::{CheckConfig, DrainTimes, ProbeConfig, Require, Scope, Towards, UdpExpect, Unbind, Watch},
};

use super::{
    attributes,
    checks::{self, Checks},
    diagnostic::{Report, quoted},
    names::{Named, Names},
    neighbors,
    reader::{Listed, Section, list, nearest, set, wrong_type},
    source::Span,
    states::{self, States},
    values::{LONGEST, choice, duration, host_address, path, prefix, text, truth},
    yaml::{Kind, Node},
};

const GRACEFUL_SHUTDOWN: Duration = Duration::from_secs(10);
const LINGER: Duration = Duration::from_secs(5);
/// A service that takes longer to come back is down meanwhile.
const LONGEST_GRACE: Duration = Duration::from_secs(60);

/// A service as far as it could be read.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) name: Option<Named<ServiceName>>,
    pub(super) addresses: Listed<IpAddr>,
    pub(super) prefixes: Listed<Prefix>,
    /// `None`: left out, all of them.
    pub(super) neighbors: Option<Listed<Chosen>>,
    pub(super) checks: Checks,
    pub(super) require: Option<Require>,
    /// While it is up, and while it is degraded.
    pub(super) attributes: Option<(Attributes, Attributes)>,
    pub(super) drain: Option<DrainTimes>,
    pub(super) unbind: Option<Unbind>,
    pub(super) watch: Option<Watch>,
    /// While it is there the service is drained; the inner `None`: left out.
    pub(super) disable_file: Option<Option<PathBuf>>,
    /// What comes for its addresses is counted.
    pub(super) traffic: Option<bool>,
    /// What follows from its state.
    pub(super) states: States,
}

/// A neighbor that a service names.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    pub(super) span: Span,
    pub(super) name: String,
    /// Where its families are written; `None`: left out, all of them.
    pub(super) families: Option<Span>,
    /// `None`: something about it is wrong.
    pub(super) towards: Option<Towards>,
}

impl Chosen {
    /// Whether it is to carry prefixes of that family. It may be, while what it is to carry cannot be read.
    pub(super) fn takes(&self, family: Family) -> bool {
        self.towards.as_ref().is_none_or(|towards| towards.families.contains(&family))
    }
}

pub(super) fn read(node: &Node, report: &mut Report<'_>) -> Listed<Draft> {
    let mut names = Names::default();
    list(node, "services", "{ name: dns, addresses: [203.0.113.53/32], checks: […] }", report, |node, report| {
        let section = Section::open(node, "a service", "`name: dns` and the keys below it", report)?;
        Some(service(section, &mut names, report))
    })
}

fn service(mut section: Section<'_>, names: &mut Names, report: &mut Report<'_>) -> Draft {
    let name = names.take(&mut section, "service", ServiceName::new, report);
    let addresses = addresses(&mut section, report);
    let prefixes = prefixes(&mut section, &addresses, report);
    let neighbors = chosen_neighbors(&mut section, report);
    let known: Option<Vec<IpAddr>> = addresses.whole.then(|| addresses.values().copied().collect());
    let mut checks = checks::read(&mut section, known.as_deref(), report);
    let watch = watch(&mut section, &mut checks, report);
    hollow(&checks, known.as_deref(), section.span, report);
    let require = require(&mut section, checks.local, report);
    let attributes = attributes::read(&mut section, report);
    let drain = drain(&mut section, report);
    let unbind = section.or("unbind", Unbind::default(), report, |node, report| {
        choice(node, "unbind", &[("never", Unbind::Never), ("drained", Unbind::Drained)], report)
    });
    let states = states::read(&mut section, report);
    let disable_file = section.maybe("disable_file", report, |node, report| path(node, "disable_file", report));
    let traffic = section.or("traffic", false, report, |node, report| truth(node, "traffic", report));
    section.close(report);
    Draft {
        name,
        addresses,
        prefixes,
        neighbors,
        checks,
        require,
        attributes,
        drain,
        unbind,
        watch,
        disable_file,
        traffic,
        states,
    }
}

/// What the kernel is to tell of, and how long a listener that goes may take to come back.
fn watch(section: &mut Section<'_>, checks: &mut Checks, report: &mut Report<'_>) -> Option<Watch> {
    let span = section.has("watch");
    let watch = section.or("watch", Watch::None, report, watched);
    let grace = section.maybe("restart_grace", report, |node, report| {
        duration(node, "restart_grace", Duration::ZERO..=LONGEST_GRACE, report).map(|grace| (node.span, grace))
    });
    // Both are read before either is given up: what is written is no unknown key because the other is wrong.
    let (watch, grace) = (watch?, grace?);
    if let (Watch::None, Some((span, grace))) = (watch, grace)
        && !grace.is_zero()
    {
        let hint = "write `watch: listener` or `watch: process`, or leave `restart_grace` out";
        report.error(span, "`restart_grace` without `watch`: nothing tells that the listener goes", hint);
        return None;
    }
    let mut tellable = checks.configs.is_none();
    for check in checks.configs.iter_mut().flat_map(BTreeMap::values_mut) {
        check.timing.restart_grace = grace.map_or(Duration::ZERO, |(_, grace)| grace);
        tellable |= match watch {
            Watch::None | Watch::Listener => !check.probe.sockets().is_empty(),
            Watch::Process => check.probe.names_process(),
        };
    }
    if let (true, Some(span)) = (watch != Watch::None && !tellable, span) {
        let (message, hint) = if watch == Watch::Listener {
            (
                "`watch: listener`, but no check names a socket by which the listener is known",
                "add a check of an address and port, such as `type: tcp`, or write `watch: none`",
            )
        } else {
            (
                "`watch: process`, but no check names a socket, a unit or a pid file by which the process is known",
                "add a check of `type: systemd` or `process`, or of an address and port, or write `watch: none`",
            )
        };
        report.error(span, message, hint);
        return None;
    }
    let heard = |check: &CheckConfig| !check.probe.sockets().is_empty();
    if let (Watch::Process, Some((span, grace)), Some(checks)) = (watch, grace, &checks.configs)
        && !grace.is_zero()
        && !checks.values().any(heard)
    {
        let hint = "leave it out, or add a check of an address and port, such as `type: tcp`";
        report.warning(span, "`restart_grace`, but no check names a socket: there is no listener to wait for", hint);
    }
    Some(watch)
}

/// Warns where nothing of the service itself is ever asked.
fn hollow(checks: &Checks, addresses: Option<&[IpAddr]>, span: Span, report: &mut Report<'_>) {
    let (Some(configs), Some(addresses)) = (&checks.configs, addresses) else { return };
    let local = || configs.values().filter(|check| check.scope == Scope::Local).map(|check| &check.probe);
    let echo = |probe: &ProbeConfig| matches!(probe, ProbeConfig::Icmp(icmp) if icmp.addresses.iter().all(|address| addresses.contains(address)));
    let silent = |probe: &ProbeConfig| matches!(probe, ProbeConfig::Udp(udp) if udp.expect == UdpExpect::Nothing);
    if local().next().is_none() || !local().all(|probe| echo(probe) || silent(probe)) {
        return;
    }
    let hint = "add a check that the service itself must answer, such as `type: tcp`, `http` or `dns`";
    let message = if local().all(echo) {
        "only the kernel is asked: it answers echoes to the service's addresses, whether the service runs or not"
    } else {
        "no check needs an answer of the service: one that hangs would stay up"
    };
    report.warning(span, message, hint);
}

/// One word.
fn watched(node: &Node, report: &mut Report<'_>) -> Option<Watch> {
    const WORDS: [(&str, Watch); 3] =
        [("none", Watch::None), ("listener", Watch::Listener), ("process", Watch::Process)];
    const HINT: &str = "write `watch: listener` for the sockets that its checks ask, `watch: process` for its processes, or \
                        `watch: none`";
    /// What others call them.
    const OTHERS: [(&str, &str); 15] = [
        ("socket", "listener"),
        ("sockets", "listener"),
        ("port", "listener"),
        ("ports", "listener"),
        ("listen", "listener"),
        ("tcp", "listener"),
        ("udp", "listener"),
        ("pid", "process"),
        ("pidfd", "process"),
        ("pid_file", "process"),
        ("unit", "process"),
        ("systemd", "process"),
        ("off", "none"),
        ("no", "none"),
        ("false", "none"),
    ];
    let (word, many) = match &node.kind {
        Kind::Scalar { text, .. } => (text.as_str(), false),
        Kind::List(items) => match &items[..] {
            [Node { kind: Kind::Scalar { text, .. }, .. }] => (text.as_str(), true),
            _ => ("", true),
        },
        Kind::Null | Kind::Map(_) => ("", false),
    };
    let known = WORDS.iter().find(|(known, _)| *known == word);
    if let (Some((_, watch)), false) = (known, many) {
        return Some(*watch);
    }
    let meant = known.map(|(known, _)| *known);
    let meant = meant.or_else(|| OTHERS.iter().find(|(other, _)| *other == word).map(|(_, meant)| *meant));
    let meant = meant.or_else(|| nearest(word, WORDS.iter().map(|(known, _)| *known)));
    let hint = meant.map_or_else(|| HINT.to_owned(), |meant| format!("write `watch: {meant}`"));
    match &node.kind {
        Kind::Scalar { text, .. } => report.error(node.span, format!("`watch` cannot be {}", quoted(text)), hint),
        Kind::List(_) => {
            report.error(node.span, "`watch` is one word, not a list: a service is watched in one way", hint);
        }
        Kind::Null | Kind::Map(_) => wrong_type(node, "`watch`", "one word", &hint, report),
    }
    None
}

fn addresses(section: &mut Section<'_>, report: &mut Report<'_>) -> Listed<IpAddr> {
    const EXAMPLE: &str = "203.0.113.53/32, \"2001:db8:53::53/128\"";
    let hint = format!("write `addresses: [{EXAMPLE}]`");
    let span = section.span;
    let Some(node) = section.require("addresses", &hint, report) else { return Listed::broken(span) };
    let mut addresses = set(node, "addresses", EXAMPLE, report, host_address);
    if addresses.whole && addresses.items.is_empty() {
        report.error(node.span, "a service without addresses", hint);
        addresses.whole = false;
    }
    addresses
}

fn prefixes(section: &mut Section<'_>, addresses: &Listed<IpAddr>, report: &mut Report<'_>) -> Listed<Prefix> {
    const EXAMPLE: &str = "203.0.113.0/24, \"2001:db8:53::/48\"";
    let Some(span) = section.has("prefixes") else {
        let items = addresses.items.iter().map(|(span, address)| (*span, Prefix::host(*address))).collect();
        return Listed { span: addresses.span, items, whole: addresses.whole };
    };
    let Some(node) = section.take("prefixes", report) else { return Listed::broken(span) };
    let mut prefixes = set(node, "prefixes", EXAMPLE, report, prefix);
    if prefixes.whole && prefixes.items.is_empty() {
        report.error(node.span, "a service without prefixes", "leave the key out to announce the addresses themselves");
        prefixes.whole = false;
    }
    prefixes
}

fn chosen_neighbors(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Listed<Chosen>> {
    let span = section.has("neighbors")?;
    let Some(node) = section.take("neighbors", report) else { return Some(Listed::broken(span)) };
    let mut seen = BTreeMap::new();
    let mut chosen = list(node, "neighbors", "leaf1, leaf2", report, |node, report| {
        let chosen = chosen(node, report)?;
        if let Some(first) = seen.insert(chosen.name.clone(), chosen.span) {
            let message = format!("twice in `neighbors`; it is first on line {}", report.line(first));
            report.error(chosen.span, message, "remove one of the two");
        }
        Some(chosen)
    });
    if chosen.whole && chosen.items.is_empty() {
        report.error(node.span, "a service without neighbors", "leave the key out to announce it to all of them");
        chosen.whole = false;
    }
    Some(chosen)
}

/// A name alone, or with what is special there.
fn chosen(node: &Node, report: &mut Report<'_>) -> Option<Chosen> {
    let Kind::Map(_) = node.kind else {
        let name = text(node, "neighbors", report)?.to_owned();
        return Some(Chosen { span: node.span, name, families: None, towards: Some(Towards::default()) });
    };
    const EXAMPLE: &str = "`name: leaf1` and the keys below it";
    let mut section = Section::open(node, "a neighbor of a service", EXAMPLE, report)?;
    let name = section
        .require("name", "write the name of a neighbor: `name: leaf1`", report)
        .and_then(|node| Some((node.span, text(node, "name", report)?.to_owned())));
    let written = section.has("families");
    let families = match written {
        None => Some(Family::ALL.into()),
        Some(span) => {
            let listed = neighbors::families(&mut section, span, report);
            listed.whole.then(|| listed.values().copied().collect())
        }
    };
    let attributes = attributes::changes(&mut section, report);
    section.close(report);
    let towards = families.zip(attributes).map(|(families, attributes)| Towards { families, attributes });
    name.map(|(span, name)| Chosen { span, name, families: written, towards })
}

fn require(section: &mut Section<'_>, checks: usize, report: &mut Report<'_>) -> Option<Require> {
    let Some(node) = section.take("require", report) else {
        return section.has("require").is_none().then_some(Require::All);
    };
    let text = text(node, "require", report)?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = match words[..] {
        ["all"] => return Some(Require::All),
        ["any"] => return Some(Require::Any),
        ["at", "least", number] => number.parse::<NonZeroUsize>().ok(),
        _ => None,
    };
    let Some(number) = number else {
        let message = format!("`require` cannot be {}", quoted(text));
        report.error(node.span, message, "write `all`, `any` or `at least 2`");
        return None;
    };
    // Where there are none, that is the mistake to mend.
    if checks > 0 && number.get() > checks {
        let message = format!("`require: at least {number}` of {checks} check{}", if checks == 1 { "" } else { "s" });
        let hint = "it could never be up: write a smaller number, or `all` (checks of `scope: shared` do not count)";
        report.error(node.span, message, hint);
        return None;
    }
    Some(Require::AtLeast(number))
}

fn drain(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<DrainTimes> {
    if section.has("drain").is_none() {
        return Some(DrainTimes { graceful_shutdown: GRACEFUL_SHUTDOWN, linger: LINGER });
    }
    let mut section = section.inner("drain", "`drain: { graceful_shutdown: 10s, linger: 5s }`", report)?;
    let range = Duration::ZERO..=LONGEST;
    let graceful_shutdown = section.or("graceful_shutdown", GRACEFUL_SHUTDOWN, report, |node, report| {
        duration(node, "graceful_shutdown", range.clone(), report)
    });
    let linger = section.or("linger", LINGER, report, |node, report| duration(node, "linger", range, report));
    section.close(report);
    Some(DrainTimes { graceful_shutdown: graceful_shutdown?, linger: linger? })
}
