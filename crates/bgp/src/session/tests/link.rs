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
