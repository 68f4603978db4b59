use std::{
    num::{NonZeroU8, NonZeroU16},
    time::Duration,
};

use anycast_bgp::{Asn, HoldTime, PeerAs};

use super::*;

/// No drain is another with the new configuration.
fn difference(old: &Config, new: &Config, view: &View) -> Difference {
    super::difference(old, new, view, &BTreeMap::new())
}

use crate::{
    config::{Bfd, BfdAuthentication, Connect, DrainBy, OnDown, Require},
    drain::Phase,
    testing::{config, ip, prefix, service},
};

const V4: &str = "203.0.113.0/24";

/// Two neighbors and two services, each announced to both.
fn node() -> Config {
    let mut node = config(
        &["a", "b"],
        vec![
            service("dns", &["203.0.113.53"], &[V4], &["a", "b"]),
            service("web", &["198.51.100.80"], &["198.51.100.80/32"], &["a", "b"]),
        ],
    );
    neighbor(&mut node, "b").endpoint = Endpoint::Address(ip("192.0.2.9"));
    node
}

fn neighbor<'a>(config: &'a mut Config, name: &str) -> &'a mut Neighbor {
    config.neighbors.get_mut(name).unwrap()
}

fn of<'a>(config: &'a mut Config, name: &str) -> &'a mut Service {
    config.services.get_mut(name).unwrap()
}

/// Everything is up and bound, and every neighbor holds what it is to hold.
fn well(config: &Config) -> View {
    let up = CheckView { health: Health::Up, counts: true, awaited: false };
    let checks = config
        .services
        .iter()
        .map(|(name, service)| (name.clone(), service.checks.keys().map(|check| (check.clone(), up)).collect()));
    let bound: BTreeSet<IpAddr> =
        config.services.values().flat_map(|service| service.addresses.iter().copied()).collect();
    let mut view = View { checks: checks.collect(), ours: bound.clone(), bound, ..View::default() };
    hold(config, &mut view);
    view
}

fn hold(config: &Config, view: &mut View) {
    let routes = decide(config, view).routes;
    view.held = routes.into_iter().map(|(peer, routes)| (peer, routes.into_keys().collect())).collect();
}

/// `a: -203.0.113.0/24 ~198.51.100.80/32`, in one line.
fn told(difference: &Difference) -> String {
    let sign = |change: &RouteChange| match change {
        RouteChange::Announced(_) => "+",
        RouteChange::Withdrawn => "-",
        RouteChange::Interrupted(_) => "?",
        RouteChange::Replaced { .. } => "~",
    };
    let of = |(peer, changes): (&PeerId, &BTreeMap<Prefix, RouteChange>)| {
        let changes: Vec<_> = changes.iter().map(|(prefix, change)| format!("{}{prefix}", sign(change))).collect();
        format!("{peer}: {}", changes.join(" "))
    };
    difference.routes.iter().map(of).collect::<Vec<_>>().join("; ")
}

fn rename_checks(service: &mut Service, to: &str) {
    let old = std::mem::take(&mut service.checks);
    service.checks = old.into_values().map(|check| (CheckName::new(to).unwrap(), check)).collect();
}

#[test]
fn the_same_again_is_nothing() {
    let node = node();
    assert!(difference(&node, &node, &well(&node)).is_empty());
    assert!(difference(&node, &node, &View::default()).is_empty());
}

/// Each change with what the neighbors are told, and whether all is lost by it.
#[test]
fn what_neighbors_are_told() {
    type Change = fn(&mut Config);
    let table: [(&str, Change, &str, bool); 16] = [
        ("attributes", |new| of(new, "dns").up.med = Some(5), "a: ~203.0.113.0/24; b: ~203.0.113.0/24", false),
        (
            "attributes for one neighbor",
            |new| neighbor(new, "b").attributes.as_path_prepend = 2,
            "b: ~198.51.100.80/32 ~203.0.113.0/24",
            false,
        ),
        ("how a drain is told", |new| neighbor(new, "b").drain_by = DrainBy::Prepend, "", false),
        ("one service goes", |new| drop(new.services.remove("dns")), "a: -203.0.113.0/24; b: -203.0.113.0/24", false),
        (
            "all services go",
            |new| new.services.clear(),
            "a: -198.51.100.80/32 -203.0.113.0/24; b: -198.51.100.80/32 -203.0.113.0/24",
            true,
        ),
        ("one neighbor goes", |new| drop(new.neighbors.remove("a")), "a: -198.51.100.80/32 -203.0.113.0/24", false),
        (
            "all neighbors go",
            |new| new.neighbors.clear(),
            "a: -198.51.100.80/32 -203.0.113.0/24; b: -198.51.100.80/32 -203.0.113.0/24",
            true,
        ),
        (
            "a neighbor is renamed",
            |new| {
                let b = new.neighbors.remove("b").unwrap();
                new.neighbors = [(PeerId::new("c").unwrap(), b)].into();
                for service in new.services.values_mut() {
                    service.neighbors = [(PeerId::new("c").unwrap(), crate::config::Towards::default())].into();
                }
            },
            "a: -198.51.100.80/32 -203.0.113.0/24; b: -198.51.100.80/32 -203.0.113.0/24; c: +198.51.100.80/32 +203.0.113.0/24",
            false,
        ),
        (
            "all neighbors are other routers",
            |new| {
                for (host, neighbor) in (20..).zip(new.neighbors.values_mut()) {
                    neighbor.endpoint = Endpoint::Address(IpAddr::from([192, 0, 2, host]));
                }
            },
            "",
            true,
        ),
        ("all sessions begin anew", |new| new.asn = Asn::new(65011).unwrap(), "", false),
        ("all checks are others", |new| new.services.values_mut().for_each(|it| rename_checks(it, "new")), "", false),
        (
            "all services are renamed",
            |new| {
                let old = std::mem::take(&mut new.services);
                let renamed = |(name, it): (ServiceName, Service)| (ServiceName::new(&format!("{name}2")).unwrap(), it);
                new.services = old.into_iter().map(renamed).collect();
            },
            "a: -198.51.100.80/32 -203.0.113.0/24; b: -198.51.100.80/32 -203.0.113.0/24",
            true,
        ),
        (
            "an address is added",
            |new| of(new, "dns").addresses.extend([ip("203.0.113.54")]),
            "a: ?203.0.113.0/24; b: ?203.0.113.0/24",
            false,
        ),
        (
            "a prefix is replaced by a narrower one",
            |new| of(new, "dns").prefixes = [prefix("203.0.113.0/25")].into(),
            "a: -203.0.113.0/24 +203.0.113.0/25; b: -203.0.113.0/24 +203.0.113.0/25",
            false,
        ),
        (
            "nobody is to carry one",
            |new| of(new, "dns").neighbors.clear(),
            "a: -203.0.113.0/24; b: -203.0.113.0/24",
            false,
        ),
        (
            "nobody is to carry any",
            |new| new.services.values_mut().for_each(|it| it.neighbors.clear()),
            "a: -198.51.100.80/32 -203.0.113.0/24; b: -198.51.100.80/32 -203.0.113.0/24",
            true,
        ),
    ];
    for (what, change, expected, all) in table {
        let old = node();
        let mut new = node();
        change(&mut new);
        let found = difference(&old, &new, &well(&old));
        assert_eq!(told(&found), expected, "{what}");
        assert_eq!(!found.loses_all.is_empty(), all, "{what}: {:?}", found.loses_all);
    }
}

/// An order that comes with the new configuration withdraws by it, and one that goes announces.
#[test]
fn drains_come_and_go_with_it() {
    let (old, new) = (node(), node());
    let all = |phase: Phase| old.services.keys().map(|name| (name.clone(), phase)).collect::<BTreeMap<_, _>>();
    let found = super::difference(&old, &new, &well(&old), &all(Phase::Drained));
    assert!(told(&found).contains("-203.0.113.0/24"), "{}", told(&found));
    assert!(!found.loses_all.is_empty(), "it comes with the file, not by an order of before");
    let drained = View { drains: all(Phase::Drained), ..well(&old) };
    let found = super::difference(&old, &new, &drained, &all(Phase::Active));
    assert!(told(&found).contains("+203.0.113.0/24"), "{}", told(&found));
    assert!(found.loses_all.is_empty());
}

/// What is withdrawn anyway is no loss, and what no neighbor holds is none.
#[test]
fn only_what_is_held_can_be_lost() {
    let old = node();
    let new = Config { services: [].into(), ..node() };
    let mut view = well(&old);
    view.drains = old.services.keys().map(|name| (name.clone(), Phase::Withdrawing)).collect();
    assert!(difference(&old, &new, &view).loses_all.is_empty(), "a withdraw that is under way");
    view = View { held: [].into(), ..well(&old) };
    assert!(difference(&old, &new, &view).loses_all.is_empty(), "no session");
    // A neighbor without a session gives nobody a way here.
    let mut idle = node();
    idle.services.values_mut().for_each(|it| it.neighbors.retain(|id, _| id.as_str() == "b"));
    view = well(&old);
    view.held.insert(PeerId::new("b").unwrap(), [].into());
    assert!(!difference(&old, &idle, &view).loses_all.is_empty(), "all of it goes to one that is away");
    assert!(difference(&old, &idle, &well(&old)).loses_all.is_empty());
    // One is drained, so the other is all there is.
    view = well(&old);
    view.drains = [(ServiceName::new("web").unwrap(), Phase::Drained)].into();
    let mut new = node();
    new.services.remove("dns");
    let lost = difference(&old, &new, &view).loses_all;
    assert_eq!(lost, [prefix(V4)].into());
}

/// As the agent does it: what is known of a check stays with its name, and what a service was is believed for new ones.
#[test]
fn what_is_known_is_carried_over() {
    let old = node();
    let (name, check) = (ServiceName::new("dns").unwrap(), CheckName::new("check").unwrap());
    let added = CheckName::new("added").unwrap();
    let with = |health| {
        let mut view = well(&old);
        view.checks.get_mut(&name).unwrap().get_mut(&check).unwrap().health = health;
        hold(&old, &mut view);
        view
    };
    let mut new = node();
    let config = of(&mut new, "dns").checks[&check].clone();
    of(&mut new, "dns").checks.insert(added.clone(), config);
    let carried = |new: &Config, view: &View| carry(&old, new, view, &decide(&old, view), &BTreeMap::new());

    let after = carried(&new, &with(Health::Up));
    assert!(after.checks[&name][&check].counts && !after.checks[&name][&added].counts, "it does not count yet");
    assert!(after.carried.is_empty());
    let after = carried(&new, &with(Health::Unknown));
    assert!(after.checks[&name][&added].counts, "nothing was decided: each check is needed");

    rename_checks(of(&mut new, "dns"), "other");
    for health in [Health::Up, Health::Down] {
        assert_eq!(carried(&new, &with(health)).carried.get(&name), Some(&health));
    }
    assert_eq!(carried(&new, &with(Health::Unknown)).carried.get(&name), None);
    assert!(carried(&Config { services: [].into(), ..node() }, &with(Health::Up)).checks.is_empty());
}

/// A service that is down and is to stay announced no longer goes, and that may be all there is.
#[test]
fn rules_are_weighed_on_what_is_known() {
    let mut old = node();
    old.services.remove("web");
    of(&mut old, "dns").on_down = OnDown::Degrade;
    let mut view = well(&old);
    for checks in view.checks.values_mut() {
        checks.values_mut().for_each(|check| check.health = Health::Down);
    }
    hold(&old, &mut view);
    let mut new = old.clone();
    of(&mut new, "dns").on_down = OnDown::Withdraw;
    assert_eq!(difference(&old, &new, &view).loses_all, [prefix(V4)].into());
    of(&mut new, "dns").on_down = OnDown::Degrade;
    of(&mut new, "dns").require = Require::Any;
    assert!(difference(&old, &new, &view).loses_all.is_empty());
}

#[test]
fn sessions_begin_anew_for_the_keys_that_are_named() {
    type Change = fn(&mut Config);
    let network = |text: &str, limit| Endpoint::Network(text.parse().unwrap(), NonZeroU16::new(limit).unwrap());
    let table: [(Change, &[&str], &[&str]); 9] = [
        (|new| neighbor(new, "a").bfd = Some(Bfd::default()), &[], &["bfd"]),
        (|new| neighbor(new, "a").hold_time = HoldTime::from_secs(6).unwrap(), &["hold_time"], &[]),
        (|new| neighbor(new, "a").connect = Connect::Passive, &["connect"], &[]),
        (|new| neighbor(new, "a").transport.md5 = Some(crate::Secret::new(b"x".to_vec())), &["password"], &[]),
        (|new| neighbor(new, "a").timing.connect_retry = Duration::from_secs(9), &["connect_retry"], &[]),
        (|new| neighbor(new, "a").peer_as = PeerAs::Internal, &["asn"], &[]),
        (|new| neighbor(new, "a").endpoint = Endpoint::Interface("eth1".into()), &["interface"], &[]),
        (|new| neighbor(new, "a").drain_by = DrainBy::None, &[], &["drain_by"]),
        (|new| neighbor(new, "a").limits.max_prefixes = Some(std::num::NonZeroU64::MIN), &[], &["max_prefixes"]),
    ];
    for (change, restarts, changes) in table {
        let mut new = node();
        change(&mut new);
        let found = difference(&node(), &new, &View::default()).neighbors;
        let expected = match restarts {
            [] => NeighborChange::Changed(changes.iter().copied().collect()),
            keys => NeighborChange::Restarts(keys.iter().copied().collect()),
        };
        assert_eq!(found, [(PeerId::new("a").unwrap(), expected)].into());
    }
    let mut old = node();
    neighbor(&mut old, "a").endpoint = network("10.0.0.0/24", 4);
    let mut new = node();
    neighbor(&mut new, "a").endpoint = network("10.0.0.0/23", 8);
    let found = |new: &Config| difference(&old, new, &View::default()).neighbors;
    assert!(
        matches!(&found(&new)[&PeerId::new("a").unwrap()], NeighborChange::Changed(_)),
        "a wider network keeps them"
    );
    neighbor(&mut new, "a").endpoint = network("10.0.0.0/25", 8);
    assert!(matches!(&found(&new)[&PeerId::new("a").unwrap()], NeighborChange::Restarts(_)), "some are outside of it");
}

/// Of BFD nothing ends the session of BGP, and each key is named.
#[test]
fn bfd_changes_under_the_session() {
    type Change = fn(&mut Bfd);
    let table: [(Change, &str); 6] = [
        (|bfd| bfd.interval = Duration::from_millis(50), "bfd.interval"),
        (|bfd| bfd.multiplier = NonZeroU8::new(5).unwrap(), "bfd.multiplier"),
        (|bfd| bfd.strict = true, "bfd.strict"),
        (|bfd| bfd.multihop = Some(true), "bfd.multihop"),
        (|bfd| bfd.min_ttl = NonZeroU8::new(250), "bfd.min_ttl"),
        (
            |bfd| {
                let key = crate::Secret::new(b"x".to_vec());
                bfd.authentication =
                    Some(BfdAuthentication { auth_type: anycast_bfd::AuthType::KeyedSha1, key_id: 1, key });
            },
            "bfd.authentication",
        ),
    ];
    let with = |bfd: Option<Bfd>| {
        let mut node = node();
        neighbor(&mut node, "a").bfd = bfd;
        node
    };
    let found = |old: Option<Bfd>, new: Option<Bfd>| {
        difference(&with(old), &with(new), &View::default()).neighbors.remove(&PeerId::new("a").unwrap())
    };
    for (change, key) in table {
        let mut new = Bfd::default();
        change(&mut new);
        assert_eq!(found(Some(Bfd::default()), Some(new)), Some(NeighborChange::Changed([key].into())));
    }
    assert_eq!(found(Some(Bfd::default()), None), Some(NeighborChange::Changed(["bfd"].into())));
    assert_eq!(found(Some(Bfd::default()), Some(Bfd::default())), None);
}

#[test]
fn addresses_come_and_go() {
    let mut new = node();
    new.services.remove("dns");
    let (name, web) = service("api", &["203.0.113.9"], &[V4], &["a"]);
    new.services.insert(name.clone(), web);
    let found = difference(&node(), &new, &well(&node()));
    assert_eq!((found.bound, found.unbound), ([ip("203.0.113.9")].into(), [ip("203.0.113.53")].into()));
    assert!(found.anchored.is_empty() && found.unanchored.is_empty(), "the prefix is the same");
    assert_eq!(found.services.get(&name), Some(&ServiceChange::Added));
    assert_eq!(found.services.get("dns"), Some(&ServiceChange::Removed));
}
