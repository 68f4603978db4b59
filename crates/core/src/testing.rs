//! Small configurations for the tests of this crate.

use std::{net::IpAddr, num::NonZeroU16, time::Duration};

use anycast_bgp::{Asn, Attributes, PeerAs, Prefix, RouterId};

use crate::{
    config::{
        Anchor, CheckConfig, CheckTiming, Config, DrainTimes, Endpoint, ExecProbe, Neighbor, Node, OnDown, OnExit,
        ProbeConfig, Require, Scope, Service, Towards, Unbind, Watch,
    },
    name::{CheckName, PeerId, ServiceName},
};

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

pub(crate) fn config(neighbors: &[&str], services: Vec<(ServiceName, Service)>) -> Config {
    let neighbor = Neighbor::new(Endpoint::Address(ip("192.0.2.1")), PeerAs::External);
    Config {
        node: Node { name: "test".into(), region: None, country: None },
        asn: Asn::new(65010).unwrap(),
        router_id: RouterId::new([192, 0, 2, 2].into()).unwrap(),
        listen: [].into(),
        on_exit: OnExit::Withdraw,
        neighbors: neighbors.iter().map(|name| (PeerId::new(name).unwrap(), neighbor.clone())).collect(),
        services: services.into_iter().collect(),
        interface: "lo".into(),
        anchor: Anchor::Unreachable,
        prefixes: [].into(),
    }
}

/// A service with one check; degraded means three times prepended.
pub(crate) fn service(name: &str, addresses: &[&str], prefixes: &[&str], neighbors: &[&str]) -> (ServiceName, Service) {
    let one = NonZeroU16::new(1).unwrap();
    let check = CheckConfig {
        timing: CheckTiming {
            interval: Duration::from_secs(1),
            fast_interval: Duration::from_millis(100),
            timeout: Duration::from_millis(300),
            rise: one,
            fall: one,
            start_delay: Duration::ZERO,
            restart_grace: Duration::ZERO,
            stale_after: Duration::from_secs(10),
        },
        scope: Scope::Local,
        probe: ProbeConfig::Exec(ExecProbe::new(vec!["/bin/true".into()])),
        hold_connection: false,
    };
    let service = Service {
        addresses: addresses.iter().map(|text| ip(text)).collect(),
        prefixes: prefixes.iter().map(|text| prefix(text)).collect(),
        neighbors: neighbors.iter().map(|name| (PeerId::new(name).unwrap(), Towards::default())).collect(),
        checks: [(CheckName::new("check").unwrap(), check)].into(),
        require: Require::All,
        depends_on: [].into(),
        on_down: OnDown::Withdraw,
        hold_down: None,
        up: Attributes::default(),
        degraded: Attributes { as_path_prepend: 3, ..Attributes::default() },
        drain: DrainTimes { graceful_shutdown: Duration::from_secs(10), linger: Duration::from_secs(5) },
        unbind: Unbind::Never,
        watch: Watch::None,
        disable_file: None,
        traffic: false,
    };
    (ServiceName::new(name).unwrap(), service)
}
