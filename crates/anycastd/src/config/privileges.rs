//! What a configuration needs that not every process may do, and the drop-in of the unit that gives it.
//!
//! A process that starts looks at its own capabilities. Whoever only checks the file may be root elsewhere: then it is said what the
//! unit needs.

use std::{collections::BTreeSet, net::SocketAddr};

use anycast_core::config::{Bfd, Connect, Endpoint, ExecProbe, ProbeConfig, Watch};
use rustix::{
    process::{Resource, getrlimit},
    thread::{CapabilitySet, capabilities},
};

use super::{Settings, diagnostic::Report, neighbors::Draft, reader::Listed, values::in_words};
use crate::drop_in;

/// Ports from here on are anybody's, unless the kernel says otherwise.
const FIRST_PORT: u16 = 1024;

/// What this process may not do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lacks {
    /// It may not listen below this port; 0: on every port.
    pub(super) below: u16,
    /// It may neither send nor hear router advertisements.
    pub(super) raw: bool,
    /// It may not run programs as another user.
    pub(super) users: bool,
    /// It may not take a real-time priority.
    pub(super) real_time: bool,
}

impl Lacks {
    /// Of this process.
    pub(super) fn here() -> Self {
        // A process that does not know what it has finds out when it tries.
        let Ok(held) = capabilities(None).map(|sets| sets.effective) else { return Self::default() };
        let lowest = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
        let lowest = lowest.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(FIRST_PORT);
        let users = CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::KILL;
        Self {
            below: if held.contains(CapabilitySet::NET_BIND_SERVICE) { 0 } else { lowest },
            raw: !held.contains(CapabilitySet::NET_RAW),
            users: !held.contains(users),
            real_time: !held.contains(CapabilitySet::SYS_NICE) && !may_be_real_time(),
        }
    }
}

/// sched(7): RLIMIT_RTPRIO is the highest real-time priority that an unprivileged process can take.
fn may_be_real_time() -> bool {
    let limit = getrlimit(Resource::Rtprio).current;
    limit.is_none_or(|limit| limit >= drop_in::PRIORITY.into())
}

/// Warns of neighbors that could not be had.
pub(super) fn judge(
    neighbors: &Listed<Draft>,
    listen: Option<&BTreeSet<SocketAddr>>,
    lacks: Lacks,
    report: &mut Report<'_>,
) {
    let endpoints = || neighbors.values().filter_map(|draft| draft.endpoint.as_ref().map(|(at, it)| (draft, *at, it)));
    let waits = |draft: &Draft| draft.neighbor.as_ref().is_some_and(|it| it.connect == Connect::Passive);
    let low = listen.and_then(|listen| listen.iter().find(|address| address.port() < lacks.below));
    // One for all: they connect to the same place.
    if let (Some(address), Some((_, at, _))) = (low, endpoints().find(|(draft, ..)| waits(draft))) {
        let message = format!("this process may not listen on {address}: no neighbor could connect");
        report.warning(at, message, format!("give the agent {}", drop_in::BIND));
    }
    let unnumbered = endpoints().filter(|(.., endpoint)| lacks.raw && matches!(endpoint, Endpoint::Interface(_)));
    for (_, at, _) in unnumbered {
        let message = "this process may not send router advertisements: the neighbor would never be found";
        report.warning(at, message, format!("give the agent {}", drop_in::RAW));
    }
    real_time(neighbors, lacks, report);
}

/// BFD goes on without the priority, and then takes a busy machine for a dead path now and then. Who only checks the file does not know
/// what the agent may do there.
fn real_time(neighbors: &Listed<Draft>, lacks: Lacks, report: &mut Report<'_>) {
    let wanting = neighbors.values().filter_map(|draft| {
        let bfd = draft.neighbor.as_ref()?.bfd.as_ref().filter(|bfd| needs_real_time(bfd))?;
        Some((draft.bfd?.interval, bfd.interval))
    });
    for (at, interval) in wanting.filter(|_| lacks.real_time || report.only_checks()).collect::<Vec<_>>() {
        let without = match report.only_checks() {
            true => "unless the agent may take a real-time priority",
            false => "and this process may not take a real-time priority",
        };
        let message = format!(
            "`interval: {}` {without}: where the processors are busy packets are late, and the neighbor takes the path for dead",
            in_words(interval)
        );
        report.warning(at, message, format!("give the agent {}; or write 50ms or more", drop_in::REAL_TIME));
    }
}

fn needs_real_time(bfd: &Bfd) -> bool {
    bfd.interval < super::bfd::NEEDS_REAL_TIME
}

/// The drop-ins that the packaged unit needs for this, each with the reason.
pub(crate) fn drop_ins(settings: &Settings) -> Vec<(&'static str, String)> {
    let core = &settings.core;
    let checks = || core.services.values().flat_map(|service| service.checks.values()).map(|check| &check.probe);
    let mut found = Vec::new();
    let low = core.listen.iter().chain(&settings.http).find(|address| address.port() < FIRST_PORT);
    found.extend(low.map(|address| ("bind.conf", format!("it listens on {address}"))));
    let unnumbered = core.neighbors.values().any(|neighbor| matches!(neighbor.endpoint, Endpoint::Interface(_)));
    if unnumbered {
        found.push(("raw.conf", "a neighbor is named by its `interface`".to_owned()));
    } else if checks().any(|probe| matches!(probe, ProbeConfig::Icmp(_))) {
        let why = "a check is of type `icmp`; not where net.ipv4.ping_group_range has the agent's group";
        found.push(("raw.conf", why.to_owned()));
    }
    let other = |probe: &ProbeConfig| match probe {
        ProbeConfig::Exec(ExecProbe { user: Some(user), .. }) => (user != drop_in::USER).then(|| user.clone()),
        _ => None,
    };
    found.extend(checks().find_map(other).map(|user| ("users.conf", format!("a check runs as `{user}`"))));
    let watches = core.services.values().any(|service| service.watch == Watch::Process);
    if watches || checks().any(|probe| matches!(probe, ProbeConfig::Process(_))) {
        found.push(("processes.conf", "processes are watched; not where they are the agent's own user's".to_owned()));
    }
    let fast = core.neighbors.iter().find(|(_, neighbor)| neighbor.bfd.as_ref().is_some_and(needs_real_time));
    found.extend(
        fast.map(|(name, _)| ("real-time.conf", format!("BFD with neighbor `{name}` has an interval under 50ms"))),
    );
    let group = settings.control.group.as_ref().filter(|group| *group != drop_in::USER);
    found.extend(group.map(|group| ("control-group.conf", format!("the control socket is for the group `{group}`"))));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{load::parse, settings::Host};

    const HEAD: &str = "node: { name: here }\nbgp:\n  asn: 65010\n  router_id: 192.0.2.2\n";
    const SERVICE: &str = "services:\n  - name: dns\n    addresses: [203.0.113.53]\n";

    fn read(text: &str, lacks: Lacks) -> crate::config::Loaded {
        parse("anycastd.yaml", &format!("{HEAD}{text}"), &Host { lacks, ..Host::default() })
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// The neighbors and services of a file, what a process that lacks everything is told, and what the unit needs.
    #[test]
    fn whoever_lacks_what_is_needed_is_told_the_drop_in() {
        let nothing = Lacks { below: 1024, raw: true, users: true, real_time: true };
        let neighbor =
            |keys: &str| format!("  neighbors:\n    - {{ name: leaf1, asn: 65001, {keys} }}\nservices: []\n");
        let check = |keys: &str| format!("  neighbors: []\n{SERVICE}    checks: [{{ name: c, {keys} }}]\n");
        let table = [
            (neighbor("address: 192.0.2.1"), "", ""),
            (neighbor("address: 192.0.2.1, connect: passive"), "may not listen on 0.0.0.0:179 bind.conf", "bind.conf"),
            (neighbor("address: 192.0.2.1, bfd: { interval: 50ms }"), "", ""),
            (neighbor("address: 192.0.2.1, bfd: true"), "", ""),
            (
                neighbor("address: 192.0.2.1, bfd: { interval: 49ms }"),
                "may not take a real-time priority real-time.conf",
                "real-time.conf",
            ),
            (neighbor("interface: eth1"), "may not send router advertisements raw.conf", "raw.conf"),
            (format!("  listen: [\"0.0.0.0:1790\"]\n{}", neighbor("address: 192.0.2.1, connect: passive")), "", ""),
            (check("type: tcp, port: 53"), "", ""),
            (check("type: exec, command: [/bin/true], user: nobody"), "", "users.conf"),
            (check("type: exec, command: [/bin/true], user: anycastd"), "", ""),
            (check("type: icmp"), "", "raw.conf"),
            (check("type: process, pid_file: /run/x.pid"), "", "processes.conf"),
            ("  neighbors: []\nservices: []\ncontrol: { group: noc }\n".to_owned(), "", "control-group.conf"),
        ];
        for (text, told, needed) in table {
            let loaded = read(&text, nothing);
            let lines: Vec<String> = loaded.warnings.lines().filter(|line| line.contains("this process")).collect();
            let (words, file) = told.rsplit_once(' ').unwrap_or_default();
            match &lines[..] {
                [] => assert_eq!(told, "", "{text}"),
                [line] => assert!(!told.is_empty() && line.contains(words) && line.contains(file), "{text}: {line}"),
                several => panic!("{several:?}"),
            }
            let files: Vec<&str> = drop_ins(&loaded.settings).into_iter().map(|(file, _)| file).collect();
            assert_eq!(files.join(" "), needed, "{text}");
            let quiet = read(&text, Lacks::default());
            assert!(!quiet.warnings.lines().any(|line| line.contains("this process")), "{text}");
        }
    }

    /// The tests may run as anybody: what is lacking is what is not held.
    #[test]
    fn what_this_process_may_do_is_known() {
        let lacks = Lacks::here();
        let may = std::net::TcpListener::bind("127.0.0.1:1").map(drop);
        let denied = matches!(may, Err(ref error) if error.kind() == std::io::ErrorKind::PermissionDenied);
        assert_eq!(denied, 1 < lacks.below, "{lacks:?} {may:?}");
    }
}
