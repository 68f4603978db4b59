use anycast_core::config::Anchor;

use super::*;

const V4: &str = "203.0.113.0/24";
const V6: &str = "2001:db8:53::/48";

fn routes() -> [String; 2] {
    ["route show", "-6 route show"].map(|show| ip(&format!("{show} proto 172")).trim().to_owned())
}

async fn until_routes(kind: &str) {
    let wanted = [V4, V6].map(|prefix| format!("{kind} {prefix} "));
    let there = |(route, wanted): (&String, &String)| {
        route.starts_with(wanted) && route.contains(&format!("metric {ANCHOR_METRIC}")) && route.lines().count() == 1
    };
    eventually(kind, async || routes().iter().zip(&wanted).all(there)).await;
}

#[test]
fn an_anchor_is_put_there_and_put_back_and_changes_its_kind() {
    isolated(async || {
        let mut world = World::start();
        world.plan(plan(&[], &[V4, V6]));
        until_routes("unreachable").await;
        ip("route del unreachable 203.0.113.0/24");
        world.told(V4, "anchor route: deleted by somebody else (once); put back").await;
        ip("-6 route flush proto 172");
        world.told(V6, "anchor route: deleted by somebody else (once); put back").await;
        until_routes("unreachable").await;
        world.plan(AddressPlan { anchor: Anchor::Blackhole, ..plan(&[], &[V4, V6]) });
        until_routes("blackhole").await;
        let world = world.crash().await;
        world.plan(plan(&[], &[V4, V6]));
        until_routes("unreachable").await;
        world.plan(plan(&[], &[V6]));
        eventually("only one is left", async || routes()[0].is_empty() && !routes()[1].is_empty()).await;
        world.plan(AddressPlan { anchor: Anchor::None, ..plan(&[], &[V6]) });
        eventually("none is left", async || routes().concat().is_empty()).await;
        assert_eq!(world.now().problems, [""; 0]);
    });
}

#[test]
fn routes_of_others_are_left_alone() {
    isolated(async || {
        ip("link add br0 type bridge");
        ip("link set br0 up");
        for theirs in [
            "route add 203.0.113.0/24 dev br0",
            "route add unreachable 203.0.113.0/24 metric 20",
            "-6 route add blackhole 2001:db8:53::/48 metric 20",
            // Our number, but nothing that we would do.
            "route add 198.51.100.0/24 dev br0 proto 172",
            "route add unreachable 198.51.100.0/24 metric 7 proto 172",
            "route add unreachable 198.51.100.0/24 table 7 metric 4278190252 proto 172",
        ] {
            ip(theirs);
        }
        let all = || ip("route show table all") + &ip("-6 route show table main");
        let before = all();
        let mut world = World::start();
        world.plan(plan(&[], &[V4, V6]));
        world.until("there", |state| state.ours == Some(2) && state.problems.is_empty()).await;
        let chosen = ip("route get 203.0.113.7");
        assert!(chosen.contains("dev br0"), "a route that leads somewhere is preferred: {chosen}");
        world.plan(plan(&[], &[]));
        world.until("nothing", KernelState::nothing_is_ours).await;
        assert_eq!(all(), before);
    });
}

#[test]
fn a_route_in_our_place_is_named_and_left_alone() {
    isolated(async || {
        let theirs = format!("unreachable 203.0.113.0/24 metric {ANCHOR_METRIC} proto static");
        ip(&format!("route add {theirs}"));
        let mut world = World::start();
        world.plan(plan(&[], &[V4, V6]));
        let state = world.until("named", |state| state.problems.len() == 1).await;
        assert!(state.problems[0].contains("no anchor route for 203.0.113.0/24"), "{state:?}");
        assert!(state.problems[0].contains("somebody else has its place"), "{state:?}");
        ip(&format!("route del {theirs}"));
        world.until("put there", |state| state.problems.is_empty() && state.ours == Some(2)).await;
    });
}

#[test]
fn only_routes_of_ours_wake_us() {
    isolated(async || {
        let mut events = events::Events::open(None).unwrap();
        ip("route add unreachable 198.51.100.0/24 proto static");
        ip("-6 route add unreachable 2001:db8::/48 proto bgp");
        ip("route add unreachable 203.0.113.0/24 proto 172");
        let heard = async |events: &mut events::Events| {
            let heard = tokio::time::timeout(world::AMPLE, events.next()).await;
            assert!(matches!(heard, Ok(events::Heard::Change)), "{heard:?}");
        };
        heard(&mut events).await;
        ip("route del unreachable 198.51.100.0/24");
        let silent = futures_util::FutureExt::now_or_never(events.next());
        assert!(silent.is_none(), "the route of somebody else was heard: {silent:?}");
        for change in [
            "-6 route add unreachable 2001:db8:1::/48 proto 172",
            "addr add 192.0.2.1/32 dev lo",
            "link add br0 type bridge",
        ] {
            ip(change);
            heard(&mut events).await;
        }
    });
}
