//! Whether anything still comes for what is drained.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use anycast_api::Arrived;
use anycast_core::drain::Phase;

use super::super::Agent;
use crate::traffic::Look;

/// A question to the kernel's counters.
pub(crate) struct Arriving {
    look: Look,
    /// By service.
    addresses: BTreeMap<String, BTreeSet<IpAddr>>,
}

impl Agent {
    /// What is to be asked of these services, or of all that are drained. `None`: none of them counts what comes for it (`traffic`), or
    /// others go on with all of its addresses.
    pub(crate) fn arriving(&self, services: &[String]) -> Option<Arriving> {
        let known = self.settings.core.services.iter();
        let (drained, others): (Vec<_>, Vec<_>) = known.partition(|(name, _)| self.phase_of(name) == Phase::Drained);
        let others: BTreeSet<IpAddr> =
            others.into_iter().flat_map(|(_, service)| &service.addresses).copied().collect();
        let wanted = |name: &str| services.is_empty() || services.iter().any(|one| one == name);
        let counting = drained.into_iter().filter(|(name, service)| service.traffic && wanted(name.as_str()));
        let addresses: BTreeMap<String, BTreeSet<IpAddr>> = counting
            .map(|(name, service)| (name.to_string(), service.addresses.difference(&others).copied().collect()))
            .filter(|(_, addresses): &(_, BTreeSet<IpAddr>)| !addresses.is_empty())
            .collect();
        (!addresses.is_empty()).then(|| Arriving { look: self.traffic.look(), addresses })
    }
}

impl Arriving {
    /// What came, or why that is not known.
    pub(crate) async fn told(self) -> Arrived {
        let Self { look, addresses } = self;
        let unknown = |why: String| Arrived { seconds: 0.0, packets: BTreeMap::new(), unknown: Some(why) };
        let Some(seen) = look.taken().await else { return unknown("the packet filter does not answer".to_owned()) };
        let packets = addresses.into_iter().map(|(service, addresses)| Some((service, seen.packets(&addresses)?)));
        match packets.collect::<Option<_>>() {
            Some(packets) => Arrived { seconds: seen.span().as_secs_f64(), packets, unknown: None },
            None => unknown(seen.ignorance()),
        }
    }
}
