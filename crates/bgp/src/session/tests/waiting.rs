//! Sessions that wait for the neighbor to connect.

use super::*;

/// A passive session that nobody has connected to yet.
fn waiting(hold: u16) -> Bench {
    let now = Instant::now();
    let session = Session::new(PeerConfig { passive: true, ..config(hold) }, now);
    Bench { session, now }
}

impl Bench {
    fn comes(&mut self) -> Incoming {
        self.session.incoming(self.now)
    }

    fn taken(&mut self) {
        assert_eq!(self.comes(), Incoming::Take);
        self.connect();
    }
}

#[test]
fn it_never_dials_and_has_nothing_to_wait_for() {
    let mut bench = waiting(90);
    assert_eq!((bench.session.state(), bench.session.poll_action()), (State::Active, None));
    assert_eq!((bench.session.poll_timeout(), bench.session.next_dial()), (None, None));
    bench.taken();
    bench.hear(&full_open(90));
    bench.hear(&keepalive());
    assert_eq!(bench.session.state(), State::Established);
    bench.session.handle_closed(None, bench.now);
    assert_eq!((bench.session.state(), bench.session.poll_action()), (State::Active, None));
    bench.pass(3600 * SECOND);
    assert_eq!((bench.session.state(), bench.session.poll_action()), (State::Active, None), "and does not begin to");
}

#[test]
fn a_session_that_dials_takes_no_connection() {
    for state in [State::Connect, State::Active, State::OpenSent, State::OpenConfirm, State::Established] {
        let mut bench = Bench::at(state);
        assert_eq!(bench.comes(), Incoming::Refuse, "{state}");
        bench.pass(85 * SECOND);
        assert_eq!(bench.comes(), Incoming::Refuse, "{state}, silent");
        assert_eq!(bench.session.counters().refused, 2);
    }
}

/// A router with a wrong AS number that connects again and again must not keep us busy.
#[test]
fn who_failed_stays_away_for_a_moment_that_grows() {
    let mut bench = waiting(90);
    let mut waits = Vec::new();
    for _ in 0..6 {
        bench.taken();
        bench.hear(&[0; 19]);
        assert_eq!(bench.session.state(), State::Active);
        while bench.session.poll_action().is_some() {}
        assert_eq!(bench.comes(), Incoming::Refuse);
        waits.push(bench.pass_to_timer());
    }
    assert!(waits.windows(2).take(3).all(|pair| pair[0] < pair[1]), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= 4 * SECOND), "{waits:?}");
}

#[test]
fn a_second_connection_is_refused_while_the_first_lives() {
    let mut bench = waiting(90);
    bench.taken();
    assert_eq!(bench.comes(), Incoming::Refuse, "OpenSent");
    bench.hear(&full_open(90));
    assert_eq!(bench.comes(), Incoming::Refuse, "OpenConfirm");
    bench.hear(&keepalive());
    for _ in 0..5 {
        bench.pass(29 * SECOND);
        assert_eq!(bench.comes(), Incoming::Refuse, "Established");
        bench.hear(&keepalive());
    }
    assert_eq!((bench.session.state(), bench.session.poll_action()), (State::Established, None));
}

/// A router that failed over has lost its connection and knows nothing of ours.
#[test]
fn a_silent_connection_gives_way_to_a_new_one() {
    for stage in 0..3 {
        let mut bench = waiting(90);
        bench.taken();
        let octets = [full_open(90), keepalive()];
        octets.iter().take(stage).for_each(|octets| bench.hear(octets));
        bench.write_all();
        if stage < 2 {
            // Before Established, the neighbor has a short time for its OPEN and KEEPALIVE.
            bench.pass(10 * SECOND);
            assert_eq!(bench.session.state(), State::Active);
            continue;
        }
        bench.pass(60 * SECOND);
        assert_eq!(bench.comes(), Incoming::Replace);
        assert_eq!(bench.session.poll_action(), Some(Action::Close));
        assert_eq!(bench.session.last_error(), Some(&DownReason::Replaced));
        bench.connect();
        assert_eq!(bench.session.state(), State::OpenSent, "at once");
        assert_eq!(bench.kinds(), [1]);
    }
}

#[test]
fn a_session_whose_end_is_claimed_is_probed_and_not_believed_dead() {
    for hold in [0, 90] {
        let mut bench = waiting(hold);
        bench.taken();
        bench.hear(&full_open(hold));
        bench.hear(&keepalive());
        bench.write_all();
        bench.pass(20 * SECOND);
        bench.write_all();
        // Who connects a thousand times in a second costs one KEEPALIVE, which a router that forgot us answers with a reset.
        for _ in 0..1000 {
            assert_eq!(bench.comes(), Incoming::Refuse);
        }
        assert_eq!(bench.kinds(), [4], "hold time {hold}");
        bench.pass(SECOND);
        assert_eq!(bench.comes(), Incoming::Refuse);
        assert_eq!(bench.kinds(), [4], "hold time {hold}");
    }
    // Without keepalives, silence says nothing however long it is.
    let mut bench = waiting(0);
    bench.taken();
    bench.hear(&full_open(0));
    bench.hear(&keepalive());
    bench.pass(3600 * SECOND);
    assert_eq!(bench.comes(), Incoming::Refuse);
    assert_eq!(bench.session.state(), State::Established);
}

#[test]
fn a_session_that_is_shut_down_takes_nobody() {
    let mut bench = waiting(90);
    bench.session.shutdown(&Farewell::Deconfigured, bench.now);
    assert_eq!(bench.comes(), Incoming::Refuse);
    assert_eq!(bench.session.state(), State::Idle);
}
