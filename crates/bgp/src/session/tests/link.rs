//! The link under a session goes down, and comes back.

use super::*;

#[test]
fn a_link_that_goes_down_ends_what_runs_over_it_without_a_word() {
    for state in [State::Connect, State::Active, State::OpenSent, State::OpenConfirm, State::Established] {
        let mut bench = Bench::at(state);
        while bench.session.poll_event().is_some() {}
        while bench.session.poll_action().is_some() {}
        bench.write_all();
        bench.session.handle_link_down("eth0", bench.now);
        assert_eq!(bench.session.state(), State::Active, "{state}");
        assert_eq!(bench.session.counters().link_downs, u64::from(state == State::Established), "{state}");
        let down = (state != State::Active).then(|| Event::Down(DownReason::LinkDown("eth0".to_owned())));
        assert_eq!(bench.session.poll_event(), down, "{state}");
        assert_eq!((bench.session.poll_action(), bench.kinds()), (None, vec![]), "{state}: nobody would hear it");
        assert!(bench.session.next_dial().is_some(), "{state}: it is not lost where nobody says that the link is back");

        bench.session.hurry(bench.now);
        assert_eq!((bench.session.poll_action(), bench.session.state()), (Some(Action::Connect), State::Connect));
    }
    assert_eq!(DownReason::LinkDown("eth0".to_owned()).to_string(), "interface eth0 is down");
}

/// The router dials as soon as it sees the link: it must not be sent away for what happened before.
#[test]
fn a_neighbor_that_dials_is_let_in_at_once_when_the_link_is_back() {
    let now = Instant::now();
    let mut bench = Bench { session: Session::new(PeerConfig { passive: true, ..config(90) }, now), now };
    bench.connect();
    bench.hear(&full_open(90));
    bench.hear(&keepalive());
    assert_eq!(bench.session.state(), State::Established);
    bench.session.handle_link_down("eth0", bench.now);
    assert_eq!(bench.session.incoming(bench.now), Incoming::Refuse, "as after any end");
    bench.session.hurry(bench.now);
    assert_eq!(bench.session.incoming(bench.now), Incoming::Take);
}

/// Over IPv4 the IPv6 next hop is an address of the interface: it may come and go while the session stays.
#[test]
fn routes_follow_the_addresses_of_the_interface() {
    const GLOBAL: Option<&str> = Some("2001:db8:1::11");
    const LOCAL: Option<&str> = Some("fe80::11");
    let mut bench = Bench::new(90);
    bench.session.set_routes([route(PREFIX), route("2001:db8::/48")].into_iter().flatten().collect(), bench.now);
    bench.establish(&full_open(90));
    bench.write_all();
    while bench.session.poll_event().is_some() {}
    let hop = |bench: &Bench| bench.session.next_hops().get(&Family::Ipv6Unicast).cloned();
    // The addresses, the next hop then, UPDATEs, routes without one.
    let steps = [
        (None, None, None, 0, 1),
        (GLOBAL, LOCAL, GLOBAL, 1, 0),
        (GLOBAL, None, GLOBAL, 0, 0),
        (Some("2001:db8:1::12"), None, Some("2001:db8:1::12"), 1, 0),
        (None, None, None, 1, 1),
        (LOCAL, LOCAL, None, 0, 1),
    ];
    for (number, (ipv6, link_local, expected, updates, unsent)) in steps.into_iter().enumerate() {
        let before = hop(&bench);
        let ip = |text: Option<&str>| text.map(|text| text.parse().expect("an address"));
        bench.session.handle_addresses(ip(ipv6), ip(link_local), bench.now);
        assert_eq!(hop(&bench).as_deref(), expected, "step {number}");
        assert_eq!(bench.session.unsent().len(), unsent, "step {number}");
        let told = std::iter::from_fn(|| bench.session.poll_event()).find_map(|event| match event {
            Event::NextHop(change) => Some((change.before, change.now)),
            _ => None,
        });
        let change = (before.as_deref() != expected).then(|| (before, expected.map(str::to_owned)));
        assert_eq!(told, change, "step {number}");
        assert_eq!(bench.kinds(), vec![2; updates], "step {number}");
    }
    assert_eq!(bench.session.state(), State::Established);
}

#[test]
fn the_addresses_that_count_are_those_at_the_moment_the_session_is_up() {
    let ip = |text: &str| text.parse().ok();
    let mut bench = Bench::new(90);
    bench.session.handle_addresses(ip("2001:db8:1::9"), None, bench.now);
    bench.hear_open(&full_open(90));
    bench.session.handle_addresses(ip("2001:db8:1::11"), None, bench.now);
    bench.hear(&keepalive());
    let hops: Vec<String> = bench.session.next_hops().into_values().collect();
    assert_eq!(hops, ["192.0.2.1", "2001:db8:1::11"]);
}

#[test]
fn a_configured_next_hop_stays_whatever_the_interface_has() {
    let configured = "2001:db8:1::99".parse().ok();
    let mut bench = Bench::new(90);
    bench.session.config.next_hop_ipv6 = configured;
    bench.session.set_routes(route("2001:db8::/48"), bench.now);
    bench.establish(&full_open(90));
    bench.write_all();
    while bench.session.poll_event().is_some() {}
    for address in ["2001:db8:1::11".parse().ok(), None] {
        bench.session.handle_addresses(address, None, bench.now);
        assert_eq!((bench.session.poll_event(), bench.kinds()), (None, vec![]));
    }
}

#[test]
fn a_change_of_the_next_hop_is_told_in_words() {
    let table = [
        (None, Some("fe80::1"), "IPv6 next hop: now fe80::1, none before"),
        (Some("2001:db8::1"), Some("fe80::1"), "IPv6 next hop: now fe80::1, no longer 2001:db8::1"),
        (Some("2001:db8::1"), None, "IPv6 next hop: none any more, 2001:db8::1 is gone"),
    ];
    for (before, now, expected) in table {
        let (before, now) = (before.map(str::to_owned), now.map(str::to_owned));
        let change = NextHopChange { family: Family::Ipv6Unicast, before, now };
        assert_eq!(change.to_string(), expected);
    }
}
