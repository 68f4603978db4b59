//! Sessions that are ended for a while.

use super::*;

fn stall() -> Farewell {
    Farewell::Reset("stall".to_owned())
}

const CEASE: [u8; 9] = [3, 6, 4, 5, b's', b't', b'a', b'l', b'l'];

#[test]
fn it_says_why_and_rests_until_it_is_told_to_go_on() {
    for state in [State::Connect, State::Active, State::OpenSent, State::OpenConfirm, State::Established] {
        let mut bench = Bench::at(state);
        bench.session.set_routes(route(PREFIX), bench.now);
        let words = bench.session.last_words(&stall());
        bench.session.suspend(&stall(), bench.now);
        assert_eq!((bench.session.state(), bench.session.poll_action()), (State::Idle, Some(Action::Close)));
        let messages = bench.write_all();
        assert_eq!(messages.first(), words.as_ref(), "{state}: what whoever stands in for the driver would say");
        match state {
            State::Connect | State::Active | State::Idle => assert!(messages.is_empty(), "{state}"),
            State::OpenSent | State::OpenConfirm | State::Established => assert_eq!(messages[0][18..], CEASE),
        }
        // Again, and whatever else happens meanwhile.
        bench.session.suspend(&stall(), bench.now);
        bench.session.handle_closed(None, bench.now);
        bench.session.hurry(bench.now);
        bench.session.set_routes(Routes::new(), bench.now);
        bench.pass(3600 * SECOND);
        assert_eq!((bench.session.poll_action(), bench.session.poll_timeout()), (None, None), "{state}");
        assert_eq!(bench.session.incoming(bench.now), Incoming::Refuse);

        bench.session.set_routes(route(PREFIX), bench.now);
        bench.session.resume(bench.now);
        assert_eq!((bench.session.state(), bench.session.poll_action()), (State::Connect, Some(Action::Connect)));
        bench.establish(&full_open(90));
        assert_eq!(bench.kinds(), [1, 4, 2, 2, 2], "all is told again");
        bench.session.resume(bench.now);
        assert_eq!(
            (bench.session.state(), bench.session.poll_action()),
            (State::Established, None),
            "nothing to resume"
        );
    }
}

#[test]
fn one_that_waits_for_the_neighbor_waits_again() {
    let mut bench = Bench {
        session: Session::new(PeerConfig { passive: true, ..config(90) }, Instant::now()),
        now: Instant::now(),
    };
    bench.session.suspend(&stall(), bench.now);
    assert_eq!(bench.session.incoming(bench.now), Incoming::Refuse);
    while bench.session.poll_action().is_some() {}
    bench.session.resume(bench.now);
    assert_eq!((bench.session.state(), bench.session.poll_action()), (State::Active, None));
    assert_eq!(bench.session.incoming(bench.now), Incoming::Take);
}

#[test]
fn a_shutdown_meanwhile_is_for_ever() {
    let mut bench = Bench::at(State::Established);
    bench.session.suspend(&stall(), bench.now);
    bench.session.shutdown(&Farewell::Deconfigured, bench.now);
    bench.session.resume(bench.now);
    assert_eq!(bench.session.state(), State::Idle);
}

/// It is no route's fault that we end the session.
#[test]
fn it_holds_nothing_back() {
    let mut bench = Bench::at(State::Established);
    for _ in 0..5 {
        bench.session.set_routes(route(PREFIX), bench.now);
        bench.write_all();
        bench.session.suspend(&stall(), bench.now);
        bench.session.resume(bench.now);
        bench.establish(&full_open(90));
    }
    assert!(bench.session.quarantined().is_empty());
}

#[test]
fn why_it_rests_is_to_be_read() {
    let mut bench = Bench::at(State::Established);
    bench.session.suspend(&stall(), bench.now);
    let down = std::iter::from_fn(|| bench.session.poll_event()).find_map(|event| match event {
        Event::Down(reason) => Some(reason.to_string()),
        _ => None,
    });
    assert_eq!(down.as_deref(), Some("ended by us for a while: stall"));
}
