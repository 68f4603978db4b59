mod old_kernel;
mod routes;
pub(crate) mod world;

use std::time::{Duration, Instant};

use self::world::{World, address, eventually, held, ip, isolated, plan};
use super::*;

const A: &str = "203.0.113.53";
const B: &str = "2001:db8:53::53";

fn is_bound(state: &KernelState, text: &str) -> bool {
    matches!(state.addresses.get(&address(text)), Some(AddressState::Bound { .. }))
}

#[test]
fn what_is_planned_is_bound_with_our_tag_and_unbound_when_it_is_not() {
    isolated(async || {
        let mut world = World::start();
        world.plan(plan(&[A, B], &[]));
        world.until_bound(&[A, B], "lo").await;
        assert_eq!(held().await, [((address(A), 1), Some(TAG)), ((address(B), 1), Some(TAG))].into());
        let shown = ip("addr show dev lo");
        assert!(shown.contains("inet 203.0.113.53/32 scope global lo"), "{shown}");
        assert!(shown.contains("inet6 2001:db8:53::53/128 scope global nodad noprefixroute"), "{shown}");
        assert_eq!(ip("-6 route show table main"), "", "no route but the one in the table `local`");
        world.told(A, "bound on lo").await;

        world.plan(plan(&[B], &[]));
        world.until("only B", |state| state.addresses.len() == 1).await;
        assert_eq!(held().await, [((address(B), 1), Some(TAG))].into());
        world.told(A, "removed from lo").await;
        assert_eq!(world.intents(), None, "nothing is written down where a tag is kept");
    });
}

#[test]
fn nothing_is_touched_until_there_is_a_plan() {
    isolated(async || {
        let mut world = World::start();
        world.plan(plan(&[A], &[]));
        world.until_bound(&[A], "lo").await;
        let mut world = world.crash().await;
        world.until("it is seen", |state| is_bound(state, A)).await;
        assert!(held().await.contains_key(&(address(A), 1)), "it may yet be wanted");
        assert!(!world.now().nothing_is_ours());
    });
}

/// What was bound before has been told, and is as old as it is; whosever it is.
#[test]
fn what_is_bound_is_no_news_to_another_program() {
    isolated(async || {
        const FOREIGN: &str = "203.0.113.99";
        ip("addr add 203.0.113.99/32 dev lo");
        let mut world = World::start();
        world.plan(plan(&[A, FOREIGN], &[]));
        world.until("both", |state| is_bound(state, A) && is_bound(state, FOREIGN)).await;
        let before = world.now().addresses.clone();
        let mut world = world.hand_over().await;
        // A listing before there is a plan says nothing of what is somebody else's.
        world.until("it is listed", |state| state.ours.is_some()).await;
        assert_eq!(world.now().addresses, before);
        world.plan(plan(&[A, FOREIGN], &[]));
        world.until("it is reconciled", KernelState::is_reconciled).await;
        assert_eq!(world.now().addresses, before);
        assert_eq!(world.told_so_far(), []);
        world.plan(plan(&[A, B], &[]));
        world.told(FOREIGN, "no longer needed").await;
        world.told(B, "bound on lo").await;
    });
}

#[test]
fn after_a_crash_what_is_ours_is_swept_and_nothing_else() {
    isolated(async || {
        ip("link add br0 type bridge");
        ip("addr add 192.0.2.1/24 dev br0");
        ip("addr add 203.0.113.99/32 dev lo");
        let mut world = World::start();
        world.plan(plan(&[A, B, "203.0.113.54"], &[]));
        world.until_bound(&[A, B, "203.0.113.54"], "lo").await;
        let before = held().await;
        let mut world = world.crash().await;
        world.plan(plan(&[B], &[]));
        world.until("swept", |state| state.addresses.len() == 1 && is_bound(state, B)).await;
        let expected = before.into_iter().filter(|((held, _), tag)| *tag != Some(TAG) || *held == address(B));
        assert_eq!(held().await, expected.collect());
    });
}

#[test]
fn what_somebody_else_has_counts_and_is_left_alone() {
    isolated(async || {
        ip("link add br0 type bridge");
        ip("link set br0 up");
        for there in ["203.0.113.53/32 dev lo", "203.0.113.54/24 dev lo", "203.0.113.55/32 dev br0"] {
            ip(&format!("addr add {there}"));
        }
        ip("addr add 2001:db8:53::53/64 dev br0 nodad");
        let before = held().await;
        let all = [A, "203.0.113.54", "203.0.113.55", B];
        let mut world = World::start();
        world.plan(plan(&all, &[]));
        let state = world.until("all bound", |state| all.iter().all(|text| is_bound(state, text))).await;
        let foreign = |state: &AddressState| matches!(state, AddressState::Bound { owner: Owner::Foreign, .. });
        assert!(state.addresses.values().all(foreign), "{state:#?}");
        assert_eq!(held().await, before);
        world.told(B, "by somebody else").await;

        // Its owner takes it away: then it is for us to bind.
        ip("addr del 203.0.113.55/32 dev br0");
        world.until_bound(&["203.0.113.55"], "lo").await;
        world.plan(plan(&[], &[]));
        world.until("all forgotten", KernelState::nothing_is_ours).await;
        let left = before.into_iter().filter(|((held, _), _)| *held != address("203.0.113.55"));
        assert_eq!(held().await, left.collect());
    });
}

#[test]
fn a_place_that_is_taken_is_waited_for() {
    isolated(async || {
        ip("link add br0 type bridge");
        ip("link set br0 up");
        // Nobody is there to answer: without a carrier, detection of a duplicate never ends.
        ip("addr add 2001:db8:53::53/128 dev br0");
        let mut world = World::start();
        world.plan(AddressPlan { interface: "br0".to_owned(), ..plan(&[B], &[]) });
        world.until_missing(B, "somebody else has its place").await;
        ip("addr del 2001:db8:53::53/128 dev br0");
        world.until_bound(&[B], "br0").await;
    });
}

#[test]
fn what_somebody_deletes_is_put_back_and_a_fight_is_named() {
    isolated(async || {
        let mut world = World::start();
        world.plan(plan(&[A, B], &[]));
        world.until_bound(&[A, B], "lo").await;
        ip("addr del 203.0.113.53/32 dev lo");
        world.told(A, "deleted by somebody else (once); put back").await;
        eventually("back", async || held().await.contains_key(&(address(A), 1))).await;
        for (times, pause) in [(2, 100), (3, 200), (4, 400)] {
            let deleted = Instant::now();
            ip("addr del 203.0.113.53/32 dev lo");
            let words = format!("deleted by somebody else {times} times; will be put back at 2");
            world.told(A, &words).await;
            world.until_missing(A, &words).await;
            world.until_bound(&[A], "lo").await;
            assert!(deleted.elapsed() >= Duration::from_millis(pause), "it slows down");
        }
        assert!(is_bound(&world.now(), B), "the other one has no part in it");
    });
}

#[test]
fn an_interface_may_come_later_and_go_and_come_again() {
    isolated(async || {
        let mut world = World::start();
        world.plan(AddressPlan { interface: "br0".to_owned(), ..plan(&[A, B], &[]) });
        world.until_missing(A, "there is no interface br0").await;
        world.told(A, "cannot be bound: there is no interface br0").await;
        ip("link add br0 type bridge");
        world.until_missing(A, "interface br0 is down").await;
        for _ in 0..2 {
            ip("link set br0 up");
            world.until_bound(&[A, B], "br0").await;
            ip("link del br0");
            world.until_missing(B, "there is no interface br0").await;
            ip("link add br0 type bridge");
        }
        ip("link set br0 up");
        world.until_bound(&[A, B], "br0").await;
        ip("addr del 203.0.113.53/32 dev br0");
        world.told(A, "deleted by somebody else (once)").await;
    });
}

#[test]
fn an_address_on_an_interface_that_is_down_is_not_bound() {
    isolated(async || {
        let mut world = World::start();
        world.plan(plan(&[A, B], &["2001:db8:53::/48"]));
        world.until_bound(&[A, B], "lo").await;
        for _ in 0..2 {
            ip("link set lo down");
            world.until_missing(A, "interface lo is down").await;
            world.until_missing(B, "interface lo is down").await;
            ip("link set lo up");
            world.until_bound(&[A, B], "lo").await;
            world.until("the anchor too", |state| state.problems.is_empty()).await;
        }
    });
}

#[test]
fn an_address_that_changes_its_interface_is_there_all_the_time() {
    isolated(async || {
        ip("link add br0 type bridge");
        ip("link set br0 up");
        let mut world = World::start();
        world.plan(plan(&[A], &[]));
        world.until_bound(&[A], "lo").await;
        let mut state = world.watch();
        let watched = tokio::spawn(async move {
            while state.changed().await.is_ok() {
                assert!(is_bound(&state.borrow_and_update(), A));
            }
        });
        world.plan(AddressPlan { interface: "br0".to_owned(), ..plan(&[A], &[]) });
        world.until_bound(&[A], "br0").await;
        eventually("moved", async || held().await.len() == 1).await;
        drop(world);
        watched.await.unwrap();
    });
}

#[test]
fn the_end_leaves_nothing_of_ours() {
    isolated(async || {
        ip("addr add 203.0.113.99/32 dev lo");
        let mut world = World::start();
        assert!(!world.now().nothing_is_ours(), "before it is known, it is not so");
        world.plan(plan(&[A, B], &["203.0.113.0/24", "2001:db8:53::/48"]));
        // The end may come while the beginning is under way.
        world.plan(plan(&[], &[]));
        world.until("nothing", KernelState::nothing_is_ours).await;
        world.plan(plan(&[A, B], &["203.0.113.0/24", "2001:db8:53::/48"]));
        world.until_bound(&[A, B], "lo").await;
        assert!(!world.now().nothing_is_ours());
        world.plan(plan(&[], &[]));
        world.until("nothing", KernelState::nothing_is_ours).await;
        assert_eq!(held().await, [((address("203.0.113.99"), 1), None)].into());
        assert_eq!(ip("route show proto 172") + &ip("-6 route show proto 172"), "");
        world.end().await;
    });
}

#[test]
fn many_addresses_are_bound_at_once() {
    isolated(async || {
        let number = |number: u32| {
            if number.is_multiple_of(2) {
                format!("10.0.{}.{}", number / 256, number % 256)
            } else {
                format!("2001:db8::{number:x}")
            }
        };
        let all: Vec<String> = (0..500).map(number).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let mut world = World::start();
        world.plan(plan(&[], &[]));
        world.until("ready", KernelState::nothing_is_ours).await;
        let began = Instant::now();
        world.plan(plan(&all, &[]));
        world.until_bound(&all, "lo").await;
        let bound = began.elapsed();
        assert_eq!(held().await.len(), 500);
        let began = Instant::now();
        world.plan(plan(&[], &[]));
        world.until("nothing", KernelState::nothing_is_ours).await;
        let unbound = began.elapsed();
        println!("500 addresses: bound in {bound:?}, unbound in {unbound:?}");
        assert!(bound < world::AMPLE / 10 && unbound < world::AMPLE / 10, "{bound:?} {unbound:?}");
    });
}

#[test]
fn lost_events_lose_nothing_else() {
    isolated(async || {
        let tiny = Some(1);
        let mut events = events::Events::open(tiny).unwrap();
        let mut world = World::start_with(Options { receive_buffer: tiny, ..Options::default() });
        world.plan(plan(&[A, B], &[]));
        world.until_bound(&[A, B], "lo").await;
        let since = world.now();
        ip("link add br0 type bridge");
        // While this thread is busy the task cannot read: the socket overflows.
        for round in 0..20 {
            ip(&format!("addr add 192.0.2.{round}/32 dev br0"));
        }
        ip("addr del 203.0.113.53/32 dev lo");
        world.told(A, "deleted by somebody else (once); put back").await;
        assert_eq!(world.now(), since, "it was gone for a moment that nobody saw");
        let heard = events.next().await;
        assert!(matches!(heard, events::Heard::Overrun), "another socket of that size overflowed too: {heard:?}");
    });
}

#[test]
fn a_kernel_that_falls_silent_is_asked_again_and_nothing_is_unbound() {
    isolated(async || {
        let mut world = World::start();
        world.plan(plan(&[A], &[]));
        world.until_bound(&[A], "lo").await;
        world::deafen_netlink();
        world.plan(plan(&[A, B], &[]));
        let state = world.until("it is said", |state| state.error.is_some()).await;
        let error = state.error.as_deref().unwrap_or_default();
        assert!(error.contains("did not answer within 5 s; addresses are shown as last seen"), "{error}");
        assert!(is_bound(&state, A), "what was known stands");
        world.until_bound(&[A, B], "lo").await;
        world.until("it is over", |state| state.error.is_none()).await;
        ip("addr del 203.0.113.53/32 dev lo");
        world.told(A, "put back").await;
    });
}

#[test]
fn without_the_capability_it_says_so() {
    isolated(async || {
        use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
        let none = CapabilitySet::empty();
        set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }).unwrap();
        let mut world = World::start();
        world.plan(plan(&[A, B], &["203.0.113.0/24"]));
        for text in [A, B] {
            world.until_missing(text, "not permitted: the agent needs CAP_NET_ADMIN; next try at").await;
        }
        let state = world.until("the anchor too", |state| state.problems.len() == 1).await;
        assert!(
            state.problems[0].contains("203.0.113.0/24") && state.problems[0].contains("CAP_NET_ADMIN"),
            "{state:?}"
        );
        assert_eq!(state.error, None, "netlink itself works");
    });
}

#[test]
fn it_ends_when_nobody_plans_any_more() {
    isolated(async || {
        let mut world = World::start();
        world.plan(plan(&[A], &[]));
        world.until_bound(&[A], "lo").await;
        world.end().await;
        assert!(held().await.contains_key(&(address(A), 1)), "what is bound stays");
    });
}
