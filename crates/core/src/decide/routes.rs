//! What each neighbor is told: the attributes of the service that speaks for a prefix, with what is changed for that neighbor.

use std::{collections::BTreeMap, sync::Arc};

use anycast_bgp::{Attributes, Community, Family, MAX_PREPEND, Prefix, Routes};

use super::{Speaker, Verdict};
use crate::{
    config::{Config, DrainBy, Neighbor, Service, Towards},
    name::PeerId,
};

/// How often our AS number is prepended for a neighbor that is drained that way, beside what the service asks for.
const DRAIN_PREPEND: u8 = 3;

/// What each neighbor is told.
type Said<'a> = Vec<(&'a PeerId, Arc<Attributes>)>;

/// The whole set of each configured neighbor.
pub(super) fn towards_each(config: &Config, prefixes: &BTreeMap<Prefix, Verdict>) -> BTreeMap<PeerId, Routes> {
    let mut routes: BTreeMap<&PeerId, Routes> = config.neighbors.keys().map(|peer| (peer, Routes::new())).collect();
    // What one service says in one state is the same for all of its prefixes of a family, which go on sharing it: the session
    // packs those together, and thousands of them cost one set.
    let mut said: BTreeMap<(&Speaker, Family), Said<'_>> = BTreeMap::new();
    for (prefix, verdict) in prefixes {
        let Some(speaker) = &verdict.speaker else { continue };
        let told =
            said.entry((speaker, prefix.family())).or_insert_with(|| said_to_each(config, speaker, prefix.family()));
        for (peer, attributes) in told {
            if let Some(routes) = routes.get_mut(peer) {
                routes.insert(*prefix, Arc::clone(attributes));
            }
        }
    }
    routes.into_iter().map(|(peer, routes)| (peer.clone(), routes)).collect()
}

/// Services that share a prefix share their neighbors, so any of them knows to whom it goes: the configuration reader sees to it.
fn said_to_each<'a>(config: &'a Config, speaker: &Speaker, family: Family) -> Said<'a> {
    let Speaker { degraded, leaving, .. } = *speaker;
    let Some(service) = config.services.get(&speaker.service) else { return Vec::new() };
    let said = config.audience(service, family).map(|(peer, neighbor, towards)| {
        let way = if leaving { neighbor.drain_by } else { DrainBy::None };
        (peer, Arc::new(attributes(service, degraded, &changes(neighbor, towards), way)))
    });
    said.collect()
}

/// What is changed for a neighbor, in the order in which it is: for all services, then for this one.
const fn changes<'a>(neighbor: &'a Neighbor, towards: &'a Towards) -> [&'a Attributes; 2] {
    [&neighbor.attributes, &towards.attributes]
}

/// What a service says in its state, with the changes on top of it, and on top of all how it says that it is leaving:
/// [`DrainBy::None`] where it is not, or is not to say so.
pub(super) fn attributes(service: &Service, degraded: bool, changes: &[&Attributes], way: DrainBy) -> Attributes {
    let mut attributes = if degraded { service.degraded.clone() } else { service.up.clone() };
    changes.iter().for_each(|change| attributes.change(change));
    match way {
        DrainBy::None => return attributes,
        DrainBy::Gshut => {
            attributes.communities.insert(Community::GRACEFUL_SHUTDOWN);
        }
        DrainBy::Prepend => {
            attributes.as_path_prepend = attributes.as_path_prepend.saturating_add(DRAIN_PREPEND).min(MAX_PREPEND);
        }
    }
    // Routers lower the preference by themselves on eBGP only (RFC 8326 §4.3), and no path grows on iBGP: there we say it.
    attributes.local_pref = Some(0);
    attributes
}
