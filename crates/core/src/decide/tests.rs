use std::{num::NonZeroUsize, time::Instant};

use anycast_bgp::{Community, Family, MAX_PREPEND};
use proptest::prelude::*;

use super::*;
use crate::{
    config::{Require, Scope, Towards},
    testing::{config, ip, prefix, service},
};

fn name(text: &str) -> ServiceName {
    ServiceName::new(text).unwrap()
}

fn peer(text: &str) -> PeerId {
    PeerId::new(text).unwrap()
}

/// Every check of every service has this health, and every address is bound.
fn all_well(config: &Config, health: Health) -> View {
    let checks = config.services.iter().map(|(name, service)| {
        let checks =
            service.checks.keys().map(|check| (check.clone(), CheckView { health, counts: true, awaited: false }));
        (name.clone(), checks.collect())
    });
    let bound: BTreeSet<IpAddr> =
        config.services.values().flat_map(|service| service.addresses.iter().copied()).collect();
    View { checks: checks.collect(), ours: bound.clone(), bound, ..View::default() }
}

fn announced(desired: &Desired, to: &str) -> Vec<String> {
    desired.routes[&peer(to)].keys().map(ToString::to_string).collect()
}

#[test]
fn a_healthy_bound_service_is_announced_to_its_neighbors() {
    let config = config(
        &["a", "b"],
        vec![service("dns", &["203.0.113.53", "2001:db8:53::53"], &["203.0.113.0/24", "2001:db8:53::/48"], &["a"])],
    );
    let desired = decide(&config, &all_well(&config, Health::Up));
    assert_eq!(announced(&desired, "a"), ["203.0.113.0/24", "2001:db8:53::/48"]);
    assert_eq!(announced(&desired, "b"), [""; 0]);
    assert_eq!(desired.addresses, [ip("203.0.113.53"), ip("2001:db8:53::53")].into());
    assert_eq!(desired.anchors, [prefix("203.0.113.0/24"), prefix("2001:db8:53::/48")].into());
}

/// Each neighbor is asked in the way it understands, and hears of nothing else.
#[test]
fn a_neighbor_is_drained_in_its_own_way() {
    let services = vec![service("dns", &["203.0.113.53"], &["203.0.113.0/24"], &["gshut", "prepend", "none"])];
    let mut config = config(&["gshut", "prepend", "none"], services);
    config.neighbors.get_mut("prepend").unwrap().drain_by = DrainBy::Prepend;
    config.neighbors.get_mut("none").unwrap().drain_by = DrainBy::None;
    let service = config.services.values_mut().next().unwrap();
    service.up = Attributes { as_path_prepend: 1, local_pref: Some(200), ..service.up.clone() };
    let told = |view: &View, to: &str| {
        let desired = decide(&config, view);
        let attributes = &desired.routes[&peer(to)][&prefix("203.0.113.0/24")];
        let gshut = attributes.communities.contains(&Community::GRACEFUL_SHUTDOWN);
        (gshut, attributes.as_path_prepend, attributes.local_pref)
    };
    let mut view = all_well(&config, Health::Up);
    for to in ["gshut", "prepend", "none"] {
        assert_eq!(told(&view, to), (false, 1, Some(200)), "{to}");
    }
    view.drains = [(name("dns"), Phase::GracefulShutdown { until: Instant::now() })].into();
    assert_eq!(told(&view, "gshut"), (true, 1, Some(0)));
    assert_eq!(told(&view, "prepend"), (false, 4, Some(0)));
    assert_eq!(told(&view, "none"), (false, 1, Some(200)));
}

/// The service's state, then the neighbor, then the service for that neighbor; and what says that it is leaving on top of all.
#[test]
fn attributes_are_changed_for_a_neighbor_in_order() {
    let community = |text: &str| text.parse::<Community>().unwrap();
    let services = vec![service("dns", &["203.0.113.53"], &["203.0.113.0/24"], &["plain", "odd"])];
    let mut config = config(&["plain", "odd"], services);
    config.neighbors.get_mut(&peer("odd")).unwrap().attributes = Attributes {
        med: Some(20),
        local_pref: Some(70),
        as_path_prepend: 2,
        communities: [community("65010:2")].into(),
        ..Attributes::default()
    };
    let service = config.services.values_mut().next().unwrap();
    service.up = Attributes { med: Some(10), communities: [community("65010:1")].into(), ..Attributes::default() };
    service.neighbors.get_mut(&peer("odd")).unwrap().attributes = Attributes {
        med: Some(30),
        as_path_prepend: 30,
        communities: [community("65010:3")].into(),
        ..Attributes::default()
    };
    let told = |config: &Config, view: &View, to: &str| {
        let attributes = decide(config, view).routes[&peer(to)][&prefix("203.0.113.0/24")].clone();
        let communities: Vec<String> = attributes.communities.iter().map(ToString::to_string).collect();
        (attributes.med, attributes.local_pref, attributes.as_path_prepend, communities.join(" "))
    };
    let is = |med, local_pref, prepend, communities: &str| (med, local_pref, prepend, communities.to_owned());
    let mut view = all_well(&config, Health::Up);
    assert_eq!(told(&config, &view, "plain"), is(Some(10), None, 0, "65010:1"));
    assert_eq!(told(&config, &view, "odd"), is(Some(30), Some(70), MAX_PREPEND, "65010:1 65010:2 65010:3"));
    view = all_well(&config, Health::Degraded);
    assert_eq!(told(&config, &view, "plain"), is(None, None, 3, ""));
    assert_eq!(told(&config, &view, "odd"), is(Some(30), Some(70), MAX_PREPEND, "65010:2 65010:3"));

    view = all_well(&config, Health::Up);
    view.drains = [(name("dns"), Phase::GracefulShutdown { until: Instant::now() })].into();
    let all = "65010:1 65010:2 65010:3 graceful-shutdown";
    assert_eq!(told(&config, &view, "odd"), is(Some(30), Some(0), MAX_PREPEND, all));
    let odd = |config: &mut Config, way| config.neighbors.get_mut(&peer("odd")).unwrap().drain_by = way;
    odd(&mut config, DrainBy::Prepend);
    assert_eq!(told(&config, &view, "odd"), is(Some(30), Some(0), MAX_PREPEND, "65010:1 65010:2 65010:3"));
    odd(&mut config, DrainBy::None);
    assert_eq!(told(&config, &view, "odd"), is(Some(30), Some(70), MAX_PREPEND, "65010:1 65010:2 65010:3"));
    let neighbor = config.neighbors.get_mut(&peer("odd")).unwrap();
    (neighbor.drain_by, neighbor.attributes) = (DrainBy::Prepend, Attributes::default());
    config.services.values_mut().next().unwrap().neighbors.insert(peer("odd"), Towards::default());
    assert_eq!(told(&config, &view, "odd"), is(Some(10), Some(0), 3, "65010:1"));
}

/// The one whose state decides speaks: with what is changed for it, and not for the other.
#[test]
fn of_two_services_one_speaks_for_their_prefix() {
    let shared = |name, address| service(name, &[address], &["203.0.113.0/24"], &["a"]);
    let mut config = config(&["a"], vec![shared("one", "203.0.113.1"), shared("two", "203.0.113.2")]);
    for (number, service) in (1..).zip(config.services.values_mut()) {
        service.neighbors.get_mut(&peer("a")).unwrap().attributes.med = Some(number);
    }
    let mut med_while = |combine, degraded: &str| {
        config.prefixes.insert(prefix("203.0.113.0/24"), combine);
        let mut view = all_well(&config, Health::Up);
        view.checks.get_mut(degraded).unwrap().values_mut().for_each(|check| check.health = Health::Degraded);
        decide(&config, &view).routes[&peer("a")][&prefix("203.0.113.0/24")].med
    };
    assert_eq!(med_while(Combine::All, "one"), Some(1));
    assert_eq!(med_while(Combine::All, "two"), Some(2));
    assert_eq!(med_while(Combine::Any, "one"), Some(2));
    assert_eq!(med_while(Combine::Any, "two"), Some(1));
}

#[test]
fn prefixes_of_one_service_share_their_attributes_whatever_is_changed() {
    let services =
        vec![service("dns", &["203.0.113.53", "198.51.100.1"], &["203.0.113.0/24", "198.51.100.0/24"], &["a", "b"])];
    let mut config = config(&["a", "b"], services);
    config.neighbors.get_mut(&peer("b")).unwrap().attributes.med = Some(7);
    let desired = decide(&config, &all_well(&config, Health::Up));
    for (peer, med) in [("a", None), ("b", Some(7))] {
        let sets: Vec<_> = desired.routes[peer].values().collect();
        let [one, other] = sets[..] else { panic!("two prefixes: {sets:?}") };
        assert!(Arc::ptr_eq(one, other) && one.med == med, "{peer}");
    }
}

#[test]
fn a_service_may_give_a_neighbor_one_of_its_families() {
    let services = vec![service(
        "dns",
        &["203.0.113.53", "2001:db8:53::53"],
        &["203.0.113.0/24", "2001:db8:53::/48"],
        &["both", "v4"],
    )];
    let mut config = config(&["both", "v4"], services);
    let service = config.services.values_mut().next().unwrap();
    service.neighbors.get_mut(&peer("v4")).unwrap().families = [Family::Ipv4Unicast].into();
    let desired = decide(&config, &all_well(&config, Health::Up));
    assert_eq!(announced(&desired, "both"), ["203.0.113.0/24", "2001:db8:53::/48"]);
    assert_eq!(announced(&desired, "v4"), ["203.0.113.0/24"]);
}

#[test]
fn each_neighbor_is_told_of_the_families_it_carries() {
    let services = vec![service(
        "dns",
        &["203.0.113.53", "2001:db8:53::53"],
        &["203.0.113.0/24", "2001:db8:53::/48"],
        &["v4", "v6"],
    )];
    let mut config = config(&["v4", "v6"], services);
    config.neighbors.get_mut("v4").unwrap().families = [Family::Ipv4Unicast].into();
    config.neighbors.get_mut("v6").unwrap().families = [Family::Ipv6Unicast].into();
    let desired = decide(&config, &all_well(&config, Health::Up));
    assert_eq!(announced(&desired, "v4"), ["203.0.113.0/24"]);
    assert_eq!(announced(&desired, "v6"), ["2001:db8:53::/48"]);
}

#[test]
fn nothing_is_announced_that_is_not_proven_healthy() {
    let config = config(&["a"], vec![service("dns", &["203.0.113.53"], &["203.0.113.0/24"], &["a"])]);
    for (health, blocker) in [(Health::Unknown, Blocker::Unknown(None)), (Health::Down, Blocker::Down(None))] {
        let desired = decide(&config, &all_well(&config, health));
        assert_eq!(announced(&desired, "a"), [""; 0]);
        let verdict = &desired.prefixes[&prefix("203.0.113.0/24")];
        assert_eq!(verdict.services[&name("dns")], Contribution::Blocked(blocker));
        assert_eq!(
            desired.addresses,
            [ip("203.0.113.53")].into(),
            "the address stays, or the checks could not pass again"
        );
    }
    let view = View { bound: [ip("203.0.113.53")].into(), ..View::default() };
    assert_eq!(announced(&decide(&config, &view), "a"), [""; 0], "a check nobody has heard of");
}

#[test]
fn only_the_prefix_of_the_missing_address_goes() {
    let config = config(
        &["a"],
        vec![service("dns", &["203.0.113.53", "2001:db8:53::53"], &["203.0.113.0/24", "2001:db8:53::/48"], &["a"])],
    );
    let mut view = all_well(&config, Health::Up);
    view.bound.remove(&ip("2001:db8:53::53"));
    let desired = decide(&config, &view);
    assert_eq!(announced(&desired, "a"), ["203.0.113.0/24"]);
    let blocked = Contribution::Blocked(Blocker::NotBound([ip("2001:db8:53::53")].into()));
    assert_eq!(desired.prefixes[&prefix("2001:db8:53::/48")].services[&name("dns")], blocked);
    assert!(desired.addresses.contains(&ip("2001:db8:53::53")));
}

#[test]
fn require_says_how_many_checks_must_pass() {
    use Health::{Degraded, Down, Unknown, Up};
    let two = NonZeroUsize::new(2).unwrap();
    let table = [
        (Require::All, [Up, Up, Up], Up),
        (Require::All, [Up, Degraded, Up], Degraded),
        (Require::All, [Up, Unknown, Degraded], Unknown),
        (Require::All, [Up, Unknown, Down], Down),
        (Require::Any, [Down, Unknown, Up], Up),
        (Require::Any, [Down, Degraded, Unknown], Degraded),
        (Require::Any, [Down, Down, Unknown], Unknown),
        (Require::Any, [Down, Down, Down], Down),
        (Require::AtLeast(two), [Up, Up, Down], Up),
        (Require::AtLeast(two), [Up, Degraded, Down], Degraded),
        (Require::AtLeast(two), [Up, Unknown, Down], Unknown),
        (Require::AtLeast(two), [Up, Down, Down], Down),
    ];
    for (require, checks, expected) in table {
        let mut service = service("s", &["203.0.113.1"], &["203.0.113.1/32"], &["a"]).1;
        service.require = require;
        let check = service.checks.values().next().unwrap().clone();
        service.checks = ["c0", "c1", "c2"].map(|name| (CheckName::new(name).unwrap(), check.clone())).into();
        let seen = service
            .checks
            .keys()
            .cloned()
            .zip(checks.map(|health| CheckView { health, counts: true, awaited: false }))
            .collect();
        assert_eq!(service_health(&service, Some(&seen), None), expected, "{require:?} {checks:?}");
    }
}

#[test]
fn a_check_on_probation_does_not_count() {
    let mut service = service("s", &["203.0.113.1"], &["203.0.113.1/32"], &["a"]).1;
    let check = service.checks.values().next().unwrap().clone();
    service.checks = ["old", "new"].map(|name| (CheckName::new(name).unwrap(), check.clone())).into();
    let view = |counts| {
        BTreeMap::from([
            (CheckName::new("old").unwrap(), CheckView { health: Health::Up, counts, awaited: false }),
            (CheckName::new("new").unwrap(), CheckView { health: Health::Unknown, counts: false, awaited: false }),
        ])
    };
    assert_eq!(service_health(&service, Some(&view(true)), None), Health::Up);
    assert_eq!(service_health(&service, Some(&view(false)), None), Health::Unknown);
    assert_eq!(service_health(&service, Some(&view(false)), Some(&Health::Up)), Health::Up, "all checks were replaced");
}

#[test]
fn a_drain_says_goodbye_then_withdraws() {
    let mut config = config(&["a"], vec![service("dns", &["203.0.113.53"], &["203.0.113.0/24"], &["a"])]);
    let mut view = all_well(&config, Health::Up);
    let mut at = |phase| {
        view.drains.insert(name("dns"), phase);
        decide(&config, &view)
    };
    let leaving = at(Phase::GracefulShutdown { until: std::time::Instant::now() });
    let attributes = &leaving.routes[&peer("a")][&prefix("203.0.113.0/24")];
    assert!(attributes.communities.contains(&Community::GRACEFUL_SHUTDOWN));
    assert_eq!(attributes.local_pref, Some(0));
    let degraded = at(Phase::Degraded);
    assert_eq!(degraded.routes[&peer("a")][&prefix("203.0.113.0/24")].as_path_prepend, 3);
    for phase in [Phase::Withdrawing, Phase::Drained] {
        let desired = at(phase);
        assert_eq!(announced(&desired, "a"), [""; 0]);
        assert_eq!(desired.addresses.len(), 1, "unbind: never");
    }
    config.services.get_mut(&name("dns")).unwrap().unbind = Unbind::Drained;
    for (phase, bound) in [(Phase::Withdrawing, 1), (Phase::Drained, 0)] {
        view.drains.insert(name("dns"), phase);
        assert_eq!(decide(&config, &view).addresses.len(), bound, "{phase:?}");
    }
}

#[test]
fn an_address_outlives_its_service_until_nobody_holds_the_prefix() {
    let config = config(&["a"], vec![service("dns", &["203.0.113.53"], &["203.0.113.0/24"], &["a"])]);
    let mut view = all_well(&config, Health::Up);
    bind(&mut view, &["198.51.100.1", "198.51.100.2"]);
    view.held.insert(peer("a"), [prefix("198.51.100.0/25"), prefix("198.51.100.1/32")].into());
    let desired = decide(&config, &view);
    assert_eq!(desired.addresses, [ip("198.51.100.1"), ip("198.51.100.2"), ip("203.0.113.53")].into());
    assert_eq!(desired.anchors, [prefix("198.51.100.0/25"), prefix("203.0.113.0/24")].into());
    view.held.clear();
    assert_eq!(decide(&config, &view).addresses, [ip("203.0.113.53")].into());
}

fn bind(view: &mut View, addresses: &[&str]) {
    view.bound.extend(addresses.iter().map(|address| ip(address)));
    view.ours.extend(addresses.iter().map(|address| ip(address)));
}

/// What goes on being announced is for the addresses that a service still has.
#[test]
fn an_address_that_no_service_has_waits_for_no_prefix_that_stays() {
    let services = vec![service("dns", &["203.0.113.53"], &["203.0.113.0/24"], &["a"])];
    let config = config(&["a", "b"], services);
    let (own, wide, other) = (prefix("203.0.113.54/32"), prefix("203.0.113.0/24"), prefix("203.0.113.54/31"));
    let table: [(&str, &[Prefix], &str, bool); 6] = [
        ("a", &[wide], "the prefix stays", false),
        ("a", &[wide, own], "its own route is still to go", true),
        ("a", &[wide, other], "a route that covered it is still to go", true),
        ("b", &[wide], "this neighbor is not to hold it any more", true),
        ("gone", &[wide], "nor is one that is being left", true),
        ("a", &[], "nobody holds anything", false),
    ];
    for (neighbor, held, why, stays) in table {
        let mut view = all_well(&config, Health::Up);
        bind(&mut view, &["203.0.113.54"]);
        view.held.insert(peer(neighbor), held.iter().copied().collect());
        assert_eq!(decide(&config, &view).addresses.contains(&ip("203.0.113.54")), stays, "{why}");
        view.ours.remove(&ip("203.0.113.54"));
        assert!(!decide(&config, &view).addresses.contains(&ip("203.0.113.54")), "{why}: it is somebody else's");
    }
    // Where the prefix is withdrawn meanwhile, packets may still come.
    let mut view = all_well(&config, Health::Down);
    bind(&mut view, &["203.0.113.54"]);
    view.held.insert(peer("a"), [wide].into());
    assert!(decide(&config, &view).addresses.contains(&ip("203.0.113.54")));
}

/// Who drains a service does not take its addresses away from a prefix that another service goes on with.
#[test]
fn what_is_drained_stays_bound_while_its_prefix_is_held_for_another() {
    let shared = |name, address| service(name, &[address], &["203.0.113.0/24"], &["a"]);
    let mut config = config(&["a"], vec![shared("one", "203.0.113.1"), shared("two", "203.0.113.2")]);
    config.prefixes.insert(prefix("203.0.113.0/24"), Combine::Any);
    config.services.get_mut("two").unwrap().unbind = Unbind::Drained;
    let mut view = all_well(&config, Health::Up);
    view.drains.insert(name("two"), Phase::Drained);
    view.held.insert(peer("a"), [prefix("203.0.113.0/24")].into());
    assert_eq!(announced(&decide(&config, &view), "a"), ["203.0.113.0/24"]);
    assert_eq!(decide(&config, &view).addresses.len(), 2);
    view.held.clear();
    assert_eq!(decide(&config, &view).addresses, [ip("203.0.113.1")].into());
}

#[test]
fn stopping_unbinds_what_is_drained() {
    let config = config(&["a"], vec![service("dns", &["203.0.113.53"], &["203.0.113.0/24"], &["a"])]);
    let mut view = all_well(&config, Health::Up);
    view.stopping = true;
    let lingering = Phase::Lingering { until: Instant::now() };
    for (phase, bound) in [(Phase::Active, 1), (Phase::Withdrawing, 1), (lingering, 0), (Phase::Drained, 0)] {
        view.drains.insert(name("dns"), phase);
        let desired = decide(&config, &view);
        assert_eq!((desired.addresses.len(), desired.anchors.len()), (bound, bound), "{phase:?}");
    }
}

#[test]
fn services_of_one_prefix_combine_as_the_rule_says() {
    let shared = |name, address| service(name, &[address], &["203.0.113.0/24"], &["a"]);
    let mut config = config(&["a"], vec![shared("one", "203.0.113.1"), shared("two", "203.0.113.2")]);
    let serves = |health, phase| {
        let mut view = all_well(&config, Health::Up);
        for check in view.checks.get_mut(&name("two")).unwrap().values_mut() {
            check.health = health;
        }
        view.drains.insert(name("two"), phase);
        view
    };
    let leaving = Phase::GracefulShutdown { until: std::time::Instant::now() };
    let views = [
        serves(Health::Up, Phase::Active),
        serves(Health::Degraded, Phase::Active),
        serves(Health::Up, leaving),
        serves(Health::Down, Phase::Active),
        serves(Health::Up, Phase::Drained),
    ];
    let summary = |config: &Config| {
        views.each_ref().map(|view| {
            let routes = decide(config, view).routes.remove(&peer("a")).unwrap();
            routes.into_values().next().map(|attributes| {
                (attributes.as_path_prepend, attributes.communities.contains(&Community::GRACEFUL_SHUTDOWN))
            })
        })
    };
    let plain = Some((0, false));
    assert_eq!(summary(&config), [plain, Some((3, false)), Some((0, true)), None, None]);
    config.prefixes.insert(prefix("203.0.113.0/24"), Combine::Any);
    assert_eq!(summary(&config), [plain; 5]);
}

#[test]
fn a_drain_waits_only_for_what_it_withdraws() {
    let config = config(&["a", "b"], vec![service("dns", &["203.0.113.53"], &["203.0.113.0/24"], &["a", "b"])]);
    let dns = &config.services[&name("dns")];
    let mut view = all_well(&config, Health::Up);
    view.held.insert(peer("a"), [prefix("203.0.113.0/24")].into());
    let still_wanted = decide(&config, &view);
    assert!(!awaits_withdraw(dns, &still_wanted, &view), "another service keeps it announced");
    view.drains.insert(name("dns"), Phase::Withdrawing);
    let withdrawn = decide(&config, &view);
    assert!(awaits_withdraw(dns, &withdrawn, &view));
    view.held.clear();
    assert!(!awaits_withdraw(dns, &withdrawn, &view));
}

/// Any view of a node with three services, two of which share a prefix.
fn any_view() -> impl Strategy<Value = (Config, View)> {
    let health = prop::sample::select(vec![Health::Unknown, Health::Down, Health::Degraded, Health::Up]);
    let until = Instant::now();
    let phase = prop::sample::select(vec![
        Phase::Active,
        Phase::Degraded,
        Phase::GracefulShutdown { until },
        Phase::Withdrawing,
        Phase::Lingering { until },
        Phase::Drained,
    ]);
    let services = ["dns", "web", "mail"];
    // The last of each is of no service.
    let addresses = ["203.0.113.53", "203.0.113.80", "2001:db8:53::53", "198.51.100.25", "203.0.113.99"];
    let prefixes = ["203.0.113.0/24", "2001:db8:53::/48", "198.51.100.25/32", "203.0.113.99/32"];
    (
        prop::collection::vec((health, any::<bool>(), phase, any::<bool>()), services.len()),
        prop::sample::subsequence(addresses.to_vec(), 0..=addresses.len()),
        prop::collection::vec(prop::sample::subsequence(prefixes.to_vec(), 0..=prefixes.len()), 2),
        prop::option::of(prop::sample::select(addresses.to_vec())),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(move |(states, bound, held, foreign, combine_any, stopping)| {
            let mut config = config(
                &["leaf1", "leaf2"],
                vec![
                    service(
                        "dns",
                        &["203.0.113.53", "2001:db8:53::53"],
                        &["203.0.113.0/24", "2001:db8:53::/48"],
                        &["leaf1", "leaf2"],
                    ),
                    service("web", &["203.0.113.80"], &["203.0.113.0/24"], &["leaf1", "leaf2"]),
                    service("mail", &["198.51.100.25"], &["198.51.100.25/32"], &["leaf2"]),
                ],
            );
            if combine_any {
                config.prefixes.insert(prefix("203.0.113.0/24"), Combine::Any);
            }
            let bound: BTreeSet<IpAddr> = bound.into_iter().map(ip).collect();
            let ours = bound.iter().copied().filter(|address| Some(*address) != foreign.map(ip)).collect();
            let mut view = View { stopping, bound, ours, ..View::default() };
            for (service, (health, counts, phase, unbinds)) in services.iter().zip(states) {
                let check = (CheckName::new("check").unwrap(), CheckView { health, counts, awaited: false });
                view.checks.insert(name(service), [check].into());
                view.drains.insert(name(service), phase);
                if unbinds {
                    config.services.get_mut(*service).unwrap().unbind = Unbind::Drained;
                }
            }
            for (peer_name, held) in ["leaf1", "leaf2"].iter().zip(held) {
                view.held.insert(peer(peer_name), held.into_iter().map(prefix).collect());
            }
            (config, view)
        })
}

proptest! {
    #[test]
    fn whatever_is_seen_only_what_is_proven_is_announced_and_nothing_in_use_is_unbound((config, view) in any_view()) {
        let desired = decide(&config, &view);
        prop_assert_eq!(&desired, &decide(&config, &view), "the same view gives the same sets");
        for (prefix, verdict) in &desired.prefixes {
            let serves = |name: &ServiceName| {
                let service = &config.services[name];
                let bound = service.addresses.iter().filter(|address| prefix.contains(**address)).all(|address| view.bound.contains(address));
                let proven = view.checks[name].values().all(|check| check.counts && check.health >= Health::Degraded);
                bound && proven && !view.drains[name].is_withdrawn()
            };
            let combine = config.prefixes.get(prefix).copied().unwrap_or_default();
            let mut members = config.services.keys().filter(|name| config.services[*name].prefixes.contains(prefix));
            let expected = match combine {
                Combine::All => members.all(serves),
                Combine::Any => members.any(serves),
            };
            prop_assert_eq!(verdict.announced.is_some(), expected, "{}", prefix);
        }
        for (peer, routes) in &desired.routes {
            for prefix in routes.keys() {
                prop_assert!(desired.prefixes[prefix].announced.is_some());
                prop_assert!(config.services.values().any(|service| service.neighbors.contains_key(peer) && service.prefixes.contains(prefix)));
                prop_assert!(desired.addresses.iter().any(|address| prefix.contains(*address)), "announced is bound");
            }
        }
        // Whoever holds a prefix may send to its addresses: none of them goes before the withdraw is acknowledged, nor while its
        // own service has the prefix. What somebody else bound, and no service has, is none of ours.
        let has = |address: &IpAddr, prefix: Option<&Prefix>| config.services.values().any(|service| {
            service.addresses.contains(address) && prefix.is_none_or(|prefix| service.prefixes.contains(prefix))
        });
        for (peer, held) in &view.held {
            for prefix in held {
                let ends = !desired.routes[peer].contains_key(prefix);
                for address in view.ours.iter().filter(|address| prefix.contains(**address)) {
                    let needed = ends || has(address, Some(prefix));
                    prop_assert!(!needed || desired.addresses.contains(address), "{} is still held", prefix);
                }
            }
        }
        for address in &desired.addresses {
            prop_assert!(has(address, None) || view.ours.contains(address), "{} was never ours", address);
        }
    }
}

mod cover;
mod states;
