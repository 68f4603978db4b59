//! What the kernel is asked to tell of, and what is said of it.

use std::collections::BTreeSet;

use anycast_core::{
    CheckName, ServiceName,
    config::{CheckConfig, ProbeConfig, Protocol, Service, Watch as Setting},
};

use super::Agent;
use crate::hints::{Followed, Origin, Plan, Watched};

impl Agent {
    /// Has the kernel tell the checks what the configuration wants them to be told.
    pub(super) fn settle_watch(&self) {
        let mut plan = Plan::default();
        for (name, service) in &self.settings.core.services {
            let Some(checkers) = self.checkers.get(name) else { continue };
            match service.watch {
                Setting::None => {}
                Setting::Listener => {
                    let watched = service.checks.iter().filter_map(|(check, config)| {
                        let sockets: BTreeSet<_> = config.probe.sockets().into_iter().collect();
                        let hinter = checkers.get(check)?.hinter();
                        (!sockets.is_empty()).then_some(Watched { sockets, hinter })
                    });
                    plan.listeners.extend(watched);
                }
                Setting::Process => {
                    let hinters = checkers.values().map(crate::checker::Checker::hinter).collect();
                    plan.processes.insert(name.clone(), Followed { origins: origins(service), hinters });
                }
            }
        }
        self.watch.set_plan(plan);
    }

    /// Has those checks ask at once whose networks were lost since this was last looked at.
    pub(super) fn hint_of_losses(&mut self) {
        let kernel = self.kernel.borrow().clone();
        for loss in kernel.losses.since(std::mem::replace(&mut self.losses_seen, kernel.losses.count())) {
            for (name, service) in &self.settings.core.services {
                for (check, config) in &service.checks {
                    let Some(checker) = self.checkers.get(name).and_then(|checkers| checkers.get(check)) else {
                        continue;
                    };
                    if loss.is_of_everything()
                        || config.probe.targets().iter().any(|target| loss.network().contains(target))
                    {
                        self.watch.lost(&checker.hinter(), loss);
                    }
                }
            }
        }
    }

    /// What gives a check its hints, in words.
    pub(super) fn watched(&self, service: &ServiceName, check: &CheckName) -> Option<String> {
        let all = [self.told_by_kernel(service, check), self.held_by(service, check)];
        let all: Vec<String> = all.into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// The connections that a check holds open.
    fn held_by(&self, service: &ServiceName, check: &CheckName) -> Option<String> {
        let config = self.settings.core.services.get(service)?.checks.get(check)?;
        let open = self.checkers.get(service)?.get(check)?.open();
        let addresses: Vec<String> = config.probe.connections().iter().map(ToString::to_string).collect();
        let missing =
            if open < addresses.len() { format!(" ({open} of {} open)", addresses.len()) } else { String::new() };
        config.hold_connection.then(|| format!("connection to {}{missing}", addresses.join(", ")))
    }

    fn told_by_kernel(&self, service: &ServiceName, check: &CheckName) -> Option<String> {
        let configured = self.settings.core.services.get(service)?;
        match configured.watch {
            Setting::None => None,
            Setting::Listener => self.listeners_of(configured.checks.get(check)?),
            Setting::Process => {
                let seen = self.watch.seen();
                Some(seen.processes.get(service).cloned().unwrap_or_default().words)
            }
        }
    }

    /// What will give no hints though it should.
    pub(super) fn watch_problems(&self) -> impl Iterator<Item = String> {
        let seen = self.watch.seen();
        let missed = seen.processes.into_iter().filter(|(_, followers)| followers.missed).map(|(name, followers)| {
            format!(
                "service {name}: {}; `watch: process` gives no hints, its checks go on at their intervals",
                followers.words
            )
        });
        seen.problem.into_iter().chain(missed)
    }

    pub(super) fn watch_counters(&self) -> anycast_api::WatchCounters {
        let (lists, lists_failed) = self.watch.listeners().counts();
        let hints = self.watch.hints().map(|(kind, count)| (kind.to_owned(), count)).into();
        anycast_api::WatchCounters { hints, lists, lists_failed }
    }

    fn listeners_of(&self, check: &CheckConfig) -> Option<String> {
        let listeners = self.watch.listeners();
        let words = |(protocol, address): &(Protocol, std::net::SocketAddr)| {
            let place = crate::hints::in_words(*protocol, *address);
            let here =
                if listeners.is_known(*protocol, *address) { "" } else { " (not seen in this network namespace)" };
            format!("{place}{here}")
        };
        let all: Vec<String> = check.probe.sockets().iter().map(words).collect();
        (!all.is_empty()).then(|| format!("listener {}", all.join(", ")))
    }
}

/// Where the processes of a service are known from, the surest first.
fn origins(service: &Service) -> Vec<Origin> {
    let probes = || service.checks.values().map(|check| &check.probe);
    let units = probes().filter_map(|probe| match probe {
        ProbeConfig::Systemd(systemd) => Some(Origin::Unit(systemd.unit.clone())),
        _ => None,
    });
    let files = probes().filter_map(|probe| match probe {
        ProbeConfig::Process(process) => Some(Origin::PidFile(process.pid_file.clone())),
        _ => None,
    });
    let sockets: BTreeSet<_> = probes().flat_map(ProbeConfig::sockets).collect();
    let sockets = sockets.into_iter().map(|(protocol, address)| Origin::Socket(protocol, address));
    units.chain(files).chain(sockets).collect()
}
