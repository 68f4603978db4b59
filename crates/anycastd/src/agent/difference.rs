//! What a new configuration changes, weighed before it is taken over, in words.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use anycast_api::{ReloadChange, WithdrawMode};
use anycast_bgp::{Asn, Attributes, Prefix, State};
use anycast_core::{
    Difference, ServiceName,
    config::{Config, Service},
    difference::{CheckChange, Keys, NeighborChange, RouteChange, ServiceChange, difference},
    drain::Phase,
};

use super::{Agent, orders::stands};
use crate::{
    config::{Lasting, Settings},
    disable::Look,
    state::Order,
};

/// A new configuration as it would change the node at this moment.
#[derive(Debug)]
pub(crate) struct Weighed {
    /// In words.
    pub(crate) changes: Vec<ReloadChange>,
    /// Why it is not to be done without being asked for twice.
    pub(crate) loses_all: Option<String>,
    /// The addresses for the want of which a route would be withdrawn for a moment.
    pub(crate) wanting: BTreeSet<IpAddr>,
    /// The agent is ending.
    pub(crate) stopping: bool,
}

impl Agent {
    /// What would change; nothing does. `looks`: what was seen of [the files](Self::new_disable_files) that disable services anew.
    pub(crate) fn weigh(&mut self, settings: &Settings, looks: &BTreeMap<ServiceName, Look>) -> Weighed {
        let view = self.view();
        let (inherited, disabled) = (self.inherited(settings), self.disabled_after(settings, looks));
        let drains = self.drains_after(settings, &inherited, &disabled);
        let found = difference(&self.settings.core, &settings.core, &view, &drains);
        let wanting = found.routes.values().flat_map(|changes| changes.values()).flat_map(|change| match change {
            RouteChange::Interrupted(addresses) => addresses.clone(),
            _ => BTreeSet::new(),
        });
        let mut changes = in_words(&found, &self.settings, settings, &self.lasting, !self.goes_on_with_one(&found));
        let inherits = |change: &&mut ReloadChange| {
            change.kind == "service" && inherited.keys().any(|name| name.as_str() == change.subject)
        };
        changes
            .iter_mut()
            .filter(inherits)
            .for_each(|change| change.text = "added, under the order for the whole node until `announce`".to_owned());
        changes.extend(drains.iter().filter_map(|(name, phase)| {
            let text = match disabled.get(name)?.file.as_ref().filter(|_| *phase == Phase::Drained)?.display() {
                file if looks.get(name) == Some(&Look::Present) => format!("drained: {file} is there (`disable_file`)"),
                file => format!("drained: whether {file} is there cannot be seen (`disable_file`)"),
            };
            Some(change("service", name, text))
        }));
        Weighed {
            wanting: wanting.collect(),
            loses_all: (!found.loses_all.is_empty()).then(|| loses_all(&found.loses_all)),
            changes,
            stopping: self.is_stopping(),
        }
    }

    /// Some session that is Established does not notice.
    fn goes_on_with_one(&self, found: &Difference) -> bool {
        self.peers.values().any(|peer| {
            let ends =
                found.neighbors.get(&peer.of).is_some_and(|change| !matches!(change, NeighborChange::Changed(_)));
            peer.state.borrow().state == State::Established && !ends
        })
    }

    /// The drains that come or go with a new configuration, as they are in the end.
    fn drains_after(
        &self,
        settings: &Settings,
        inherited: &BTreeMap<ServiceName, Order>,
        disabled: &BTreeMap<ServiceName, Order>,
    ) -> BTreeMap<ServiceName, Phase> {
        let end = |order: Option<&Order>| match order.map(|order| order.mode) {
            None => Phase::Active,
            Some(WithdrawMode::Degrade) => Phase::Degraded,
            Some(WithdrawMode::Graceful | WithdrawMode::Now) => Phase::Drained,
        };
        let other = |name: &ServiceName| {
            let ordered = self.orders.get(name).or_else(|| inherited.get(name));
            let (before, after) = (end(self.standing(name)), end(stands(ordered, disabled.get(name))));
            (before != after).then(|| (name.clone(), after))
        };
        settings.core.services.keys().filter_map(other).collect()
    }

    /// Has addresses bound for a configuration that is about to come, so that no route waits for them. They go again unless it does.
    pub(crate) fn prepare(&mut self, addresses: BTreeSet<IpAddr>) {
        self.preparing = addresses;
        self.turn();
    }

    /// Whether all that was prepared is there.
    pub(crate) fn is_prepared(&mut self) -> bool {
        let bound = self.view().bound;
        self.preparing.is_subset(&bound)
    }

    /// Takes a new configuration over, unless it would withdraw everything and nobody has agreed to that: one step, so that
    /// nothing comes between the weighing and the deed.
    pub(crate) fn reload(
        &mut self,
        settings: Settings,
        looks: &BTreeMap<ServiceName, Look>,
        text: Arc<str>,
        yes: bool,
        by: &str,
    ) -> Weighed {
        let weighed = self.weigh(&settings, looks);
        if weighed.stopping {
            // It would begin what is being ended.
            tracing::warn!("not reloaded: the agent is stopping");
        } else if let Some(why) = weighed.loses_all.clone().filter(|_| !yes) {
            self.preparing.clear();
            tracing::error!("reload by {by} refused, the old configuration stands: {why}");
            self.reload_failed(why);
            self.turn();
        } else {
            let news = match weighed.changes.len() {
                0 => format!("reloaded by {by}: nothing changes"),
                1 => format!("reloaded by {by}: 1 change"),
                count => format!("reloaded by {by}: {count} changes"),
            };
            for change in &weighed.changes {
                let to = change.neighbor.as_ref().map_or(String::new(), |neighbor| format!(" to {neighbor}"));
                tracing::info!("reload: {} {}{to}: {}", change.kind, change.subject, change.text);
            }
            self.text = text;
            self.take_over(settings, looks, news);
        }
        weighed
    }
}

fn loses_all(prefixes: &BTreeSet<Prefix>) -> String {
    format!("it would withdraw everything that this node announces: {}", listed(prefixes, "prefixes"))
}

/// A few by name, the others by number, with the word for several of them.
fn listed<T: ToString>(all: &BTreeSet<T>, several: &str) -> String {
    const NAMED: usize = 8;
    let mut names: Vec<String> = all.iter().take(NAMED).map(ToString::to_string).collect();
    if all.len() > NAMED {
        names.push(format!("{} more {several}", all.len() - NAMED));
    }
    names.join(", ")
}

fn keys(keys: &Keys) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    keys.join(", ")
}

fn change(kind: &str, subject: impl ToString, text: impl Into<String>) -> ReloadChange {
    ReloadChange { kind: kind.to_owned(), subject: subject.to_string(), neighbor: None, text: text.into() }
}

/// Sessions first, for they are the dearest, then what is told, what is bound, and why.
fn in_words(found: &Difference, old: &Settings, new: &Settings, in_force: &Lasting, alone: bool) -> Vec<ReloadChange> {
    let mut changes = sessions(found, &new.core, alone);
    changes.extend(routes(found, &new.core));
    let lines = [
        ("address", found.bound.iter().map(ToString::to_string).collect::<Vec<_>>(), "added"),
        (
            "address",
            found.unbound.iter().map(ToString::to_string).collect(),
            "removed, once no neighbor holds a route that needs it",
        ),
        ("anchor", found.anchored.iter().map(ToString::to_string).collect(), "added"),
        (
            "anchor",
            found.unanchored.iter().map(ToString::to_string).collect(),
            "removed, once no neighbor has the route",
        ),
    ];
    for (kind, subjects, text) in lines {
        changes.extend(subjects.into_iter().map(|subject| change(kind, subject, text)));
    }
    changes.extend(found.services.iter().flat_map(|(name, what)| service(name, what, &new.core)));
    changes.extend(found.node.iter().map(|key| change("setting", key, setting(key))));
    if old.shutdown != new.shutdown {
        changes.push(change("setting", "shutdown", "changes"));
    }
    if old.stale_after != new.stale_after {
        changes.push(change("setting", "stale_after", "changes"));
    }
    changes.extend(later(old, new, in_force));
    changes
}

/// What waits for a restart, or does not any more.
fn later(old: &Settings, new: &Settings, in_force: &Lasting) -> Vec<ReloadChange> {
    let (old, new) = (Lasting::of(old), Lasting::of(new));
    let waiting = in_force.unlike(&new);
    let told = old.unlike(&new).into_iter().map(|key| {
        let text = match waiting.contains(&key) {
            true => "takes effect at the next start of the agent",
            false => "is again what is in force: it waits for no restart any more",
        };
        change("setting", key, text)
    });
    told.collect()
}

fn setting(key: &str) -> &'static str {
    match key {
        "bgp.asn" | "bgp.router_id" => "changes, and with it every session",
        "interface" => "the addresses move to the other interface",
        _ => "changes",
    }
}

/// `alone`: no session that is Established goes on.
fn sessions(found: &Difference, new: &Config, alone: bool) -> Vec<ReloadChange> {
    let told = found.neighbors.iter().map(|(id, what)| {
        let text = match what {
            NeighborChange::Added => "begins: the neighbor is new".to_owned(),
            NeighborChange::Removed => "ends: the neighbor is removed, and all routes to it are withdrawn".to_owned(),
            NeighborChange::Restarts(reasons) => {
                let away = match alone {
                    true => "and with no other session there, all that this node announces is away until it is back",
                    false => "its routes are away until it is back",
                };
                format!("ends and begins anew, {away}: {} changed", keys(reasons))
            }
            NeighborChange::Changed(changed) => {
                // RFC 5882 §3.2 does not want it; they do so.
                let has = |key: &str| changed.iter().any(|it| *it == key);
                let remains = new.neighbors.get(id).is_some_and(|neighbor| neighbor.bfd.is_some());
                let ends = (has("bfd") && !remains) || has("bfd.multihop");
                let but = if ends { " (FRR and BIRD end it with that of BFD, for a moment)" } else { "" };
                format!("stays up{but}; {} changed", keys(changed))
            }
        };
        change("session", id, text)
    });
    told.collect()
}

fn routes(found: &Difference, new: &Config) -> Vec<ReloadChange> {
    let all = found.routes.iter().flat_map(|(id, changes)| changes.iter().map(move |it| (id, it)));
    let told = all.map(|(id, (prefix, what))| {
        // To one that is removed nothing is announced.
        let external = new.neighbors.get(id).is_none_or(|neighbor| neighbor.peer_as.is_external(new.asn));
        let to = To { asn: new.asn, external };
        let text = match what {
            RouteChange::Announced(attributes) => match items(attributes, to).map(|(_, said)| said).concat() {
                said if said.is_empty() => "announced".to_owned(),
                said => format!("announced with {}", said.join(", ")),
            },
            RouteChange::Withdrawn => "withdrawn".to_owned(),
            RouteChange::Interrupted(addresses) => {
                format!(
                    "stays announced once {} {} bound, and is withdrawn if that takes more than a moment",
                    listed(addresses, "addresses"),
                    if addresses.len() == 1 { "is" } else { "are" }
                )
            }
            RouteChange::Replaced { before, after } => format!("announced anew, {}", replaced(before, after, to)),
        };
        ReloadChange { neighbor: Some(id.to_string()), ..change("route", prefix, text) }
    });
    told.collect()
}

/// To whom a route is told.
#[derive(Clone, Copy)]
struct To {
    /// Our own AS.
    asn: Asn,
    external: bool,
}

/// What a route says on the wire, attribute by attribute; what it does not say is empty. LOCAL_PREF is for neighbors of our own AS
/// (RFC 4271 §5.1.5), to which no path grows.
fn items(attributes: &Attributes, To { asn, external }: To) -> [(&'static str, Vec<String>); 6] {
    let one = |name: &str, value: Option<u32>| value.map(|value| format!("{name} {value}")).into_iter().collect();
    let each = |kind: &str, values: Vec<String>| values.iter().map(|value| format!("{kind} {value}")).collect();
    let prepend = Some(u32::from(attributes.as_path_prepend)).filter(|times| *times > 0 && external);
    [
        ("med", one("MED", attributes.med)),
        ("local_pref", one("LOCAL_PREF", attributes.local_pref.filter(|_| !external))),
        ("prepend", one("prepend", prepend)),
        ("community", each("community", attributes.communities.iter().map(ToString::to_string).collect())),
        ("extended", each("extended community", attributes.extended(asn).iter().map(ToString::to_string).collect())),
        ("large", each("large community", attributes.large_communities.iter().map(ToString::to_string).collect())),
    ]
}

/// `with MED 60 for MED 50, with community 65010:200, without community 65010:100`.
fn replaced(before: &Attributes, after: &Attributes, to: To) -> String {
    let mut told = Vec::new();
    for ((_, was), (_, is)) in items(before, to).into_iter().zip(items(after, to)) {
        let gone: Vec<&String> = was.iter().filter(|it| !is.contains(it)).collect();
        let come: Vec<&String> = is.iter().filter(|it| !was.contains(it)).collect();
        match (&gone[..], &come[..]) {
            ([gone], [come]) => told.push(format!("with {come} for {gone}")),
            _ => {
                told.extend(come.iter().map(|it| format!("with {it}")));
                told.extend(gone.iter().map(|it| format!("without {it}")));
            }
        }
    }
    if told.is_empty() { "as it was: what changes is not sent to this neighbor".to_owned() } else { told.join(", ") }
}

fn service(name: &ServiceName, what: &ServiceChange, new: &Config) -> Vec<ReloadChange> {
    match what {
        ServiceChange::Added => vec![change("service", name, added(new.services.get(name)))],
        ServiceChange::Removed => {
            vec![change("service", name, "removed, with its checks and any order to withdraw it")]
        }
        ServiceChange::Changed { keys: changed, checks, all_checks } => {
            let mut told = Vec::new();
            if !changed.is_empty() {
                told.push(change("service", name, format!("{} changed", keys(changed))));
            }
            if *all_checks {
                let text = "all its checks are new: it is believed to be what it was until one of them is decided, for as long as an \
                            answer is believed at most";
                told.push(change("service", name, text));
            }
            told.extend(checks.iter().map(|(check, what)| {
                let text = match what {
                    CheckChange::Added => "added: it counts once it is decided".to_owned(),
                    CheckChange::Removed => "removed".to_owned(),
                    CheckChange::Changed(changed) => format!("keeps what it knows; {} changed", keys(changed)),
                };
                change("check", format!("{name}/{check}"), text)
            }));
            told
        }
    }
}

/// To whom it goes, once it does.
fn added(service: Option<&Service>) -> String {
    let Some(service) = service else { return "added".to_owned() };
    let prefixes = listed(&service.prefixes, "prefixes");
    let are = if service.prefixes.len() == 1 { "is" } else { "are" };
    match service.neighbors.keys().map(ToString::to_string).collect::<BTreeSet<_>>() {
        nobody if nobody.is_empty() => format!("added, for no neighbor: {prefixes}"),
        neighbors => {
            format!("added: {prefixes} {are} announced to {} once its checks pass", listed(&neighbors, "neighbors"))
        }
    }
}

#[cfg(test)]
mod tests {
    use anycast_bgp::Community;

    use super::*;

    /// A route that is announced anew while its service leaves: what a router of another AS, and one of ours, is really sent.
    #[test]
    fn a_neighbor_is_shown_what_it_is_sent() {
        let of = |local_pref, as_path_prepend, communities: &[Community]| Attributes {
            local_pref,
            as_path_prepend,
            communities: communities.iter().copied().collect(),
            ..Attributes::default()
        };
        let gshut = &[Community::GRACEFUL_SHUTDOWN];
        let nothing = "as it was: what changes is not sent to this neighbor";
        let table = [
            (
                of(Some(0), 0, gshut),
                "with community graceful-shutdown",
                "with LOCAL_PREF 0, with community graceful-shutdown",
            ),
            (of(Some(0), 3, &[]), "with prepend 3", "with LOCAL_PREF 0"),
            (of(Some(50), 0, &[]), nothing, "with LOCAL_PREF 50"),
            (of(None, 2, &[]), "with prepend 2", nothing),
        ];
        let asn = Asn::new(65010).unwrap();
        for (after, external, internal) in table {
            let told = |external| replaced(&Attributes::default(), &after, To { asn, external });
            assert_eq!((told(true).as_str(), told(false).as_str()), (external, internal), "{after:?}");
        }
    }
}
