//! What the agent knows of that a look at the machine needs.

use std::time::{Instant, SystemTime};

use anycast_bgp::State;
use anycast_core::config::{Connect, Endpoint, ExecProbe, ProbeConfig, Scope};

use super::{
    Agent,
    bfd::{Ailment, held_words},
};
use crate::{
    doctor::{Address, Asked, Bfd, Known, Session, Way},
    kernel::{AddressState, Owner},
    peer::Peer,
};

impl Agent {
    /// All of it.
    pub(crate) fn known(&self) -> Known {
        let core = &self.settings.core;
        let checks =
            || core.services.iter().flat_map(|(name, service)| service.checks.iter().map(move |it| (name, it)));
        let ours = |target: &std::net::IpAddr| core.services.values().any(|service| service.addresses.contains(target));
        let asked =
            checks().filter(|(_, (_, config))| config.scope == Scope::Local).flat_map(|(name, (check, config))| {
                let targets = config.probe.targets().into_iter().filter(|target| !ours(target));
                targets.map(move |target| Asked { check: format!("{name}/{check}"), target })
            });
        let other_user = |probe: &ProbeConfig| matches!(probe, ProbeConfig::Exec(ExecProbe { user: Some(_), .. }));
        Known {
            sessions: self.peers.iter().map(|(id, peer)| self.session_known(id.as_str(), peer)).collect(),
            addresses: self.addresses_known(),
            asked: asked.collect(),
            listen: core.listen.clone(),
            echoes: checks().any(|(_, (_, config))| matches!(config.probe, ProbeConfig::Icmp(_))),
            other_users: checks().any(|(_, (_, config))| other_user(&config.probe)),
            checks: checks().count(),
            neighbors: core.neighbors.len(),
            state_directory: self.lasting.state.clone(),
            secrets: checks().any(|(_, (_, config))| match &config.probe {
                ProbeConfig::Http(http) => !http.headers.is_empty(),
                ProbeConfig::Exec(exec) => !exec.environment.is_empty(),
                _ => false,
            }),
            bfd: self.peers.iter().filter_map(|(id, peer)| bfd_known(id.as_str(), peer)).collect(),
            bfd_without_priority: self.bfd_thread().without_priority,
            clock_set: set_by(self.started, Instant::now(), SystemTime::now()),
            refused: self.refusals.counts().into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect(),
        }
    }

    fn addresses_known(&self) -> Vec<Address> {
        let kernel = self.kernel.borrow();
        let known = kernel.addresses.iter().map(|(address, state)| match state {
            AddressState::Bound { owner, interface, .. } => {
                Address { address: *address, interface: Some(interface.clone()), foreign: *owner == Owner::Foreign }
            }
            AddressState::Missing { .. } => Address { address: *address, interface: None, foreign: false },
        });
        known.collect()
    }

    fn session_known(&self, name: &str, peer: &Peer) -> Session {
        let state = peer.state.borrow();
        let neighbor = &peer.neighbor;
        let address = match neighbor.endpoint {
            Endpoint::Address(address) => Some(address),
            Endpoint::Interface(_) | Endpoint::Network(..) => None,
        };
        Session {
            name: name.to_owned(),
            address,
            port: neighbor.port.get(),
            passive: neighbor.connect == Connect::Passive,
            external: peer.session.is_external(),
            established: state.state == State::Established,
            ever: state.counters.established > 0,
            came: state.came,
            last_error: state.last_error.as_ref().map(|(error, _)| error.clone()),
            remedy: state.remedy.clone(),
            since: Instant::now().saturating_duration_since(state.since),
            local: state.ends.map(|(local, _)| local),
            way: Way {
                source: neighbor.transport.source,
                device: neighbor.transport.device.clone(),
                signed: neighbor.transport.md5.is_some() || neighbor.transport.tcp_ao.is_some(),
            },
            routes: state.advertised.values().filter(|entry| entry.attributes.is_some()).count(),
        }
    }
}

fn bfd_known(name: &str, peer: &Peer) -> Option<Bfd> {
    let (configured, seen) = (peer.neighbor.bfd.as_ref()?, peer.bfd()?);
    let state = peer.state.borrow().state;
    Some(Bfd {
        name: name.to_owned(),
        interval: configured.interval,
        strict: configured.strict,
        multihop: seen.multihop,
        address: seen.ends.map(|(_, remote)| remote),
        local: seen.ends.map(|(local, _)| local),
        established: state == State::Established,
        ailment: Ailment::of(&seen, SystemTime::now()),
        held: peer.hold(state).map(|hold| held_words(hold, Instant::now())),
        by_interface: matches!(peer.neighbor.endpoint, Endpoint::Interface(_)),
    })
}

/// By how many seconds the wall clock has gone further since then than the one that nobody sets.
fn set_by(then: (Instant, SystemTime), now: Instant, wall: SystemTime) -> i64 {
    let seconds = |time: std::time::Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let walked = match wall.duration_since(then.1) {
        Ok(forward) => seconds(forward),
        Err(back) => -seconds(back.duration()),
    };
    walked.saturating_sub(seconds(now.saturating_duration_since(then.0)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_the_clock_was_set_by_is_what_it_gained_on_the_other() {
        let (then, wall) = (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000));
        let (hour, day) = (Duration::from_secs(3600), Duration::from_secs(86400));
        for (after, set) in [(wall + hour, 0), (wall + day, 82800), (wall, -3600), (wall - day, -90000)] {
            assert_eq!(set_by((then, wall), then + hour, after), set);
        }
    }
}
