//! What services are, and what follows from it: scopes, dependencies, hold-downs, and what is done while one is down.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    check::{Cause, Check, Outcome},
    config::CheckConfig,
    hold_down::Phase as HoldPhase,
};

const ALL: [Health; 4] = [Health::Down, Health::Unknown, Health::Degraded, Health::Up];

/// A service with these checks, and what is seen of them.
fn with_checks(require: Require, checks: &[(Scope, Health)]) -> (Service, BTreeMap<CheckName, CheckView>) {
    let mut service = service("s", &["203.0.113.1"], &["203.0.113.1/32"], &["a"]).1;
    let check = service.checks.values().next().unwrap().clone();
    let names = (0..checks.len()).map(|number| CheckName::new(&format!("c{number}")).unwrap());
    let seen = names
        .clone()
        .zip(checks)
        .map(|(name, (_, health))| (name, CheckView { health: *health, counts: true, awaited: false }));
    service.checks =
        names.zip(checks).map(|(name, (scope, _))| (name, CheckConfig { scope: *scope, ..check.clone() })).collect();
    service.require = require;
    (service, seen.collect())
}

fn health_of(require: Require, checks: &[(Scope, Health)]) -> Health {
    let (service, seen) = with_checks(require, checks);
    service_health(&service, Some(&seen), None)
}

/// The table of the book.
#[test]
fn a_shared_check_degrades_and_never_withdraws() {
    use Health::{Degraded, Down, Unknown, Up};
    // What the local checks come to, and the worst of the shared ones.
    let table = [
        (Up, Up, Up),
        (Up, Degraded, Degraded),
        (Up, Down, Degraded),
        (Up, Unknown, Degraded),
        (Degraded, Up, Degraded),
        (Degraded, Down, Degraded),
        (Down, Up, Down),
        (Down, Down, Down),
        (Unknown, Up, Unknown),
        (Unknown, Down, Unknown),
    ];
    for (local, shared, expected) in table {
        for require in [Require::All, Require::Any] {
            let checks = [(Scope::Local, local), (Scope::Shared, Up), (Scope::Shared, shared)];
            assert_eq!(health_of(require, &checks), expected, "{require:?} {local} {shared}");
        }
    }
    let any = [(Scope::Local, Down), (Scope::Local, Up), (Scope::Shared, Up)];
    assert_eq!(health_of(Require::Any, &any), Up);
    assert_eq!(health_of(Require::All, &any), Down);
    let carried = with_checks(Require::All, &[(Scope::Shared, Down)]);
    assert_eq!(service_health(&carried.0, Some(&carried.1), Some(&Up)), Degraded);
    assert_eq!(service_health(&carried.0, Some(&carried.1), None), Unknown, "shared checks alone prove nothing");
}

/// From the worst to the best: what is not known may yet be good.
fn rank(health: Health) -> usize {
    ALL.iter().position(|one| *one == health).unwrap()
}

fn any_checks() -> impl Strategy<Value = (Require, Vec<(Scope, Health)>)> {
    let check = (prop::sample::select(vec![Scope::Local, Scope::Shared]), prop::sample::select(ALL.to_vec()));
    let numbers = (1usize..4).prop_map(|number| Require::AtLeast(NonZeroUsize::new(number).unwrap()));
    (prop_oneof![Just(Require::All), Just(Require::Any), numbers], prop::collection::vec(check, 1..5))
}

proptest! {
    #[test]
    fn a_check_that_gets_better_never_makes_its_service_worse(
        (require, mut checks) in any_checks(),
        which in any::<prop::sample::Index>(),
        better in prop::sample::select(ALL.to_vec()),
    ) {
        let before = health_of(require, &checks);
        let check = which.get(&checks).1;
        prop_assume!(rank(better) >= rank(check));
        let at = which.index(checks.len());
        checks[at].1 = better;
        prop_assert!(rank(health_of(require, &checks)) >= rank(before));
    }

    #[test]
    fn whatever_shared_checks_say_it_serves_or_does_not_by_the_local_ones(
        (require, checks) in any_checks(),
        shared in prop::sample::select(ALL.to_vec()),
    ) {
        let other: Vec<_> = checks.iter().map(|(scope, health)| (*scope, if *scope == Scope::Shared { shared } else { *health })).collect();
        let serves = |checks: &[(Scope, Health)]| health_of(require, checks) >= Health::Degraded;
        prop_assert_eq!(serves(&checks), serves(&other));
    }
}

/// `web` depends on `dns`, and `shop` on `web`.
fn chain() -> Config {
    let mut config = config(
        &["a"],
        vec![
            service("dns", &["203.0.113.53"], &["203.0.113.53/32"], &["a"]),
            service("web", &["203.0.113.80"], &["203.0.113.80/32"], &["a"]),
            service("shop", &["203.0.113.90"], &["203.0.113.90/32"], &["a"]),
        ],
    );
    config.services.get_mut("web").unwrap().depends_on = [name("dns")].into();
    config.services.get_mut("shop").unwrap().depends_on = [name("web")].into();
    config
}

fn set(view: &mut View, service: &str, health: Health) {
    view.checks.get_mut(&name(service)).unwrap().values_mut().for_each(|check| check.health = health);
}

fn hold(degrades: bool) -> HoldPhase {
    let until = Instant::now() + Duration::from_secs(10);
    HoldPhase::Held(Hold { until, flaps: 3, within: Duration::from_secs(60), degrades, ends: 0 })
}

#[test]
fn what_a_service_depends_on_must_serve() {
    let config = chain();
    let well = || all_well(&config, Health::Up);
    let standing = |view: &View, of: &str| {
        let standing = decide(&config, view).services[&name(of)].clone();
        (standing.health, standing.lack.map(|lack| (lack.service.to_string(), lack.state)))
    };
    let lacks = |of: &str, state| Some((of.to_owned(), state));
    assert_eq!(standing(&well(), "shop"), (Health::Up, None));
    let table = [(Health::Down, Health::Down, Missing::Down), (Health::Unknown, Health::Unknown, Missing::Unknown)];
    for (dns, expected, state) in table {
        let mut view = well();
        set(&mut view, "dns", dns);
        assert_eq!(standing(&view, "web"), (expected, lacks("dns", state)), "{dns}");
        assert_eq!(standing(&view, "shop"), (expected, lacks("web", state)), "{dns}: and so on");
        assert_eq!(announced(&decide(&config, &view), "a"), [""; 0]);
        set(&mut view, "web", Health::Down);
        assert_eq!(standing(&view, "web"), (Health::Down, None), "it would not serve anyway");
    }
    let mut view = well();
    set(&mut view, "dns", Health::Degraded);
    assert_eq!(standing(&view, "web"), (Health::Up, None), "it serves");

    let mut view = well();
    view.holds.insert(name("dns"), hold(false));
    assert_eq!(standing(&view, "web"), (Health::Down, lacks("dns", Missing::Held)));
    view.holds.insert(name("dns"), hold(true));
    assert_eq!(standing(&view, "web"), (Health::Up, None), "held and announced");

    let mut view = well();
    for phase in [Phase::Withdrawing, Phase::Drained] {
        view.drains.insert(name("dns"), phase);
        assert_eq!(announced(&decide(&config, &view), "a"), ["203.0.113.80/32", "203.0.113.90/32"], "{phase:?}");
    }
}

/// The configuration reader refuses it; an answer is better than none all the same.
#[test]
fn a_circle_of_dependencies_ends() {
    let mut config = chain();
    config.services.get_mut("dns").unwrap().depends_on = [name("shop"), name("dns"), name("nobody")].into();
    assert_eq!(announced(&decide(&config, &all_well(&config, Health::Up)), "a").len(), 3);
    assert_eq!(announced(&decide(&config, &all_well(&config, Health::Down)), "a").len(), 0);
}

/// `None`: not announced; else how often the path is prepended.
fn prepended(config: &Config, view: &View) -> Option<u8> {
    let desired = decide(config, view);
    desired.routes[&peer("a")].values().next().map(|attributes| attributes.as_path_prepend)
}

#[test]
fn on_down_says_what_becomes_of_the_routes() {
    let mut config = config(&["a"], vec![service("dns", &["203.0.113.53"], &["203.0.113.0/24"], &["a"])]);
    // While it is down: as if it had never served, after it was up, after it was degraded.
    let table = [
        (OnDown::Withdraw, [None, None, None]),
        (OnDown::Degrade, [Some(3), Some(3), Some(3)]),
        (OnDown::Keep, [None, Some(0), Some(3)]),
    ];
    for (on_down, expected) in table {
        config.services.get_mut("dns").unwrap().on_down = on_down;
        let views = [None, Some(Health::Up), Some(Health::Degraded)].map(|served| {
            let mut view = all_well(&config, Health::Down);
            view.served.extend(served.map(|health| (name("dns"), health)));
            view
        });
        assert_eq!(views.each_ref().map(|view| prepended(&config, view)), expected, "{on_down:?}");
        for mut view in views {
            set(&mut view, "dns", Health::Unknown);
            assert_eq!(prepended(&config, &view), None, "{on_down:?}: not known");
            set(&mut view, "dns", Health::Down);
            view.bound.clear();
            assert_eq!(prepended(&config, &view), None, "{on_down:?}: not bound");
        }
    }
}

#[test]
fn what_is_held_is_withdrawn_or_degraded_and_down_is_down() {
    let config = config(&["a"], vec![service("dns", &["203.0.113.53"], &["203.0.113.0/24"], &["a"])]);
    let table = [
        (HoldPhase::Free, Health::Up, Some(0)),
        (hold(false), Health::Up, None),
        (hold(false), Health::Degraded, None),
        (hold(true), Health::Up, Some(3)),
        (hold(true), Health::Down, None),
        (hold(true), Health::Unknown, None),
    ];
    for (phase, health, expected) in table {
        let mut view = all_well(&config, health);
        view.holds.insert(name("dns"), phase);
        assert_eq!(prepended(&config, &view), expected, "{phase:?} {health}");
    }
    let mut view = all_well(&config, Health::Down);
    view.holds.insert(name("dns"), hold(false));
    let blocked = decide(&config, &view).prefixes[&prefix("203.0.113.0/24")].services[&name("dns")].clone();
    assert_eq!(blocked, Contribution::Blocked(Blocker::Down(None)), "that it is down is the reason to mend");
}

#[test]
fn what_serves_speaks_before_what_is_only_kept() {
    let shared = |name, address| service(name, &[address], &["203.0.113.0/24"], &["a"]);
    let mut config = config(&["a"], vec![shared("one", "203.0.113.1"), shared("two", "203.0.113.2")]);
    config.prefixes.insert(prefix("203.0.113.0/24"), Combine::Any);
    config.services.get_mut("one").unwrap().on_down = OnDown::Keep;
    let mut view = all_well(&config, Health::Degraded);
    view.served.insert(name("one"), Health::Up);
    set(&mut view, "one", Health::Down);
    assert_eq!(prepended(&config, &view), Some(3), "the other one serves, and is degraded");
    set(&mut view, "two", Health::Down);
    assert_eq!(prepended(&config, &view), Some(0));
}

#[derive(Debug, Clone)]
struct Life {
    require: Require,
    checks: Vec<(Scope, Health)>,
    on_down: OnDown,
    hold: HoldPhase,
    served: Option<Health>,
    bound: bool,
    drained: bool,
    dependency: Health,
}

fn any_life() -> impl Strategy<Value = Life> {
    let rest = (
        prop::sample::select(vec![OnDown::Withdraw, OnDown::Degrade, OnDown::Keep]),
        prop::sample::select(vec![HoldPhase::Free, hold(false), hold(true)]),
        prop::sample::select(vec![None, Some(Health::Degraded), Some(Health::Up)]),
        any::<bool>(),
        any::<bool>(),
        prop::sample::select(ALL.to_vec()),
    );
    (any_checks(), rest).prop_map(|((require, checks), (on_down, hold, served, bound, drained, dependency))| Life {
        require,
        checks,
        on_down,
        hold,
        served,
        bound,
        drained,
        dependency,
    })
}

/// How `web` is announced, which depends on `dns`.
fn outcome(life: &Life) -> Option<u8> {
    let mut config = chain();
    config.services.remove("shop");
    let (model, seen) = with_checks(life.require, &life.checks);
    let web = config.services.get_mut("web").unwrap();
    (web.checks, web.require, web.on_down) = (model.checks, model.require, life.on_down);
    let mut view = all_well(&config, life.dependency);
    view.checks.insert(name("web"), seen);
    view.holds.insert(name("web"), life.hold);
    view.served.extend(life.served.map(|health| (name("web"), health)));
    if life.drained {
        view.drains.insert(name("web"), Phase::Drained);
    }
    if !life.bound {
        view.bound.remove(&ip("203.0.113.80"));
    }
    let desired = decide(&config, &view);
    desired.routes[&peer("a")].get(&prefix("203.0.113.80/32")).map(|attributes| attributes.as_path_prepend)
}

proptest! {
    #[test]
    fn whatever_is_configured_nothing_is_announced_without_a_reason(life in any_life()) {
        let announced = outcome(&life);
        if life.drained || !life.bound {
            prop_assert_eq!(announced, None);
        }
        let local = |health| life.checks.contains(&(Scope::Local, health));
        if life.require == Require::All && local(Health::Down) && life.on_down == OnDown::Withdraw {
            prop_assert_eq!(announced, None, "a local check that is required fails");
        }
        if life.dependency == Health::Unknown || !life.checks.iter().any(|(scope, _)| *scope == Scope::Local) {
            prop_assert!(announced.is_none() || life.on_down != OnDown::Withdraw);
        }
        match life.hold {
            HoldPhase::Held(hold) if hold.degrades => prop_assert!(announced.is_none_or(|prepended| prepended == 3)),
            HoldPhase::Held(_) => prop_assert_eq!(announced, None),
            HoldPhase::Free => {}
        }
        // All unknown, as at the start: in no mode.
        let start = Life { checks: life.checks.iter().map(|(scope, _)| (*scope, Health::Unknown)).collect(), ..life };
        prop_assert_eq!(outcome(&start), None);
    }

    /// Where what is down is withdrawn, no check that gets better costs a service its routes, or their preference.
    #[test]
    fn a_check_that_gets_better_never_costs_a_route(
        life in any_life(),
        which in any::<prop::sample::Index>(),
        better in prop::sample::select(ALL.to_vec()),
    ) {
        let life = Life { on_down: OnDown::Withdraw, ..life };
        let mut improved = life.clone();
        let at = which.index(life.checks.len());
        prop_assume!(rank(better) >= rank(life.checks[at].1));
        improved.checks[at].1 = better;
        let goodness = |announced: Option<u8>| announced.map_or(0, |prepended| 10 - prepended);
        prop_assert!(goodness(outcome(&improved)) >= goodness(outcome(&life)));
    }
}

/// What a service is, moment by moment, from its start: the local check answers after 10 ms, the shared one after `takes`, with
/// `answer`.
fn from_the_start(takes: Duration, answer: Health, start_delay: Duration) -> Vec<(Duration, Health)> {
    const MS: Duration = Duration::from_millis(1);
    let (mut service, _) = with_checks(Require::All, &[(Scope::Local, Health::Up), (Scope::Shared, Health::Up)]);
    let names: Vec<CheckName> = service.checks.keys().cloned().collect();
    let start = std::time::Instant::now();
    let configs: Vec<&mut CheckConfig> = service.checks.values_mut().collect();
    for config in configs {
        config.timing.stale_after = Duration::from_secs(10);
        config.timing.timeout = 300 * MS;
        config.timing.start_delay = if config.scope == Scope::Shared { start_delay } else { Duration::ZERO };
    }
    let mut checks: Vec<Check> =
        service.checks.values().map(|config| Check::new(config.timing, 0, false, start)).collect();
    let mut runs: [Option<std::time::Instant>; 2] = [None, None];
    let mut seen = Vec::new();
    for tick in 0..20_000_u32 {
        let now = start + tick * MS;
        for (number, check) in checks.iter_mut().enumerate() {
            check.handle_timeout(now);
            let (takes, answer) = if number == 0 { (10 * MS, Health::Up) } else { (takes, answer) };
            if runs[number].is_some_and(|begun| now >= begun + takes) {
                runs[number] = None;
                check.handle_outcome(Outcome::new(answer, Cause::Answered, String::new(), takes), now);
            }
            if check.poll_probe(now).is_some() {
                runs[number] = Some(now);
            }
        }
        let views = names.iter().cloned().zip(&checks).map(|(name, check)| {
            let view = CheckView { health: check.health(), counts: check.counts(), awaited: check.is_awaited() };
            (name, view)
        });
        let health = service_health(&service, Some(&views.collect()), None);
        if seen.last().is_none_or(|(_, before)| *before != health) {
            seen.push((tick * MS, health));
        }
    }
    seen
}

/// A node that begins says once what its service is: a prepended path for the moment that a shared check takes would move traffic
/// twice. But it does not wait for long, and not for one that fails.
#[test]
fn the_first_word_of_a_shared_check_is_waited_for() {
    use Health::{Degraded, Down, Unknown, Up};
    const NO: Duration = Duration::ZERO;
    let ms = Duration::from_millis;
    let states = |seen: &[(Duration, Health)]| seen.iter().map(|(_, health)| *health).collect::<Vec<_>>();
    assert_eq!(states(&from_the_start(ms(200), Up, NO)), [Unknown, Up]);
    for (takes, answer) in [(ms(200), Down), (ms(200), Degraded), (ms(200), Unknown), (ms(60_000), Up)] {
        let seen = from_the_start(takes, answer, NO);
        assert_eq!(states(&seen), [Unknown, Degraded], "{takes:?} {answer}: once, and for good");
        assert!(seen[1].0 <= ms(2000), "it is not waited for until it is decided: {seen:?}");
    }
    let seen = from_the_start(ms(10), Up, ms(15_000));
    assert_eq!(
        states(&seen),
        [Unknown, Degraded, Up],
        "one that begins late is waited for no longer than `stale_after`"
    );
    assert!((ms(10_000)..ms(10_050)).contains(&seen[1].0), "{seen:?}");
}

#[test]
fn a_service_that_is_down_waits_for_nobody() {
    let (service, mut seen) =
        with_checks(Require::All, &[(Scope::Local, Health::Down), (Scope::Shared, Health::Unknown)]);
    seen.values_mut().for_each(|view| view.awaited = true);
    assert_eq!(service_health(&service, Some(&seen), None), Health::Down);
}
