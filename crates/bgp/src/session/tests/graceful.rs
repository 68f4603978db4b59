//! Sessions whose routes outlive their connection (RFC 4724, RFC 8538).

use super::*;
use crate::peer::GracefulRestart;

const TIME: Duration = Duration::from_secs(120);

fn graceful(restarted: bool) -> Bench {
    let now = Instant::now();
    let graceful_restart = Some(GracefulRestart { restart_time: TIME });
    let mut session = Session::new(PeerConfig { graceful_restart, ..config(90) }, now);
    if restarted {
        session.set_restarted();
    }
    assert_eq!(session.poll_action(), Some(Action::Connect));
    Bench { session, now }
}

/// The neighbor's OPEN with graceful restart, and what its bits say.
fn their_open(notification: bool) -> Bytes {
    let mut open = Open::parse(&full_open(90)[19..]).expect("good");
    open.capabilities.push(Capability::GracefulRestart {
        restarted: false,
        notification,
        restart_time: 120,
        families: [(1, 1, true), (2, 1, true)].into(),
    });
    open.encode()
}

/// The Restart State bit and the Forwarding State bit of the first family in the OPEN that is sent.
fn bits(bench: &mut Bench) -> (bool, bool) {
    let open = bench.write_all().into_iter().find(|message| message[18] == 1).expect("an OPEN");
    let found =
        Open::parse(&open[19..]).expect("good").capabilities.into_iter().find_map(|capability| match capability {
            Capability::GracefulRestart { restarted, families, .. } => {
                Some((restarted, families.first().expect("one").2))
            }
            _ => None,
        });
    found.expect("the capability")
}

#[test]
fn the_bits_say_what_was_kept() {
    // A node that was not up before has kept nothing.
    let mut bench = graceful(false);
    bench.connect();
    assert_eq!(bits(&mut bench), (false, false));
    bench.hear(&their_open(true));
    bench.hear(&keepalive());
    // The connection alone was lost: nothing stopped working, and nothing restarted.
    bench.session.handle_closed(None, bench.now);
    bench.pass_to_timer();
    bench.connect();
    assert_eq!(bits(&mut bench), (false, true));

    // A process that took over from another says so until it has been up once.
    let mut bench = graceful(true);
    bench.connect();
    assert_eq!(bits(&mut bench), (true, true));
    bench.session.handle_closed(None, bench.now);
    bench.pass_to_timer();
    bench.connect();
    assert_eq!(bits(&mut bench), (true, true));
    bench.hear(&their_open(true));
    bench.hear(&keepalive());
    bench.session.handle_closed(None, bench.now);
    bench.pass_to_timer();
    bench.connect();
    assert_eq!(bits(&mut bench), (false, true));
}

#[test]
fn a_restart_that_took_longer_than_the_neighbor_waits_is_none() {
    let mut bench = graceful(true);
    bench.session.handle_closed(None, bench.now);
    bench.now += TIME;
    while bench.session.state() != State::Connect {
        bench.pass_to_timer();
    }
    bench.now += SECOND;
    bench.connect();
    assert_eq!(bits(&mut bench), (false, false));
}

/// The neighbor deletes at the End-of-RIB what it was not told again: it must come after the routes.
#[test]
fn end_of_rib_waits_until_all_is_said() {
    let mut bench = graceful(true);
    bench.session.set_complete(false);
    bench.establish(&their_open(true));
    assert_eq!(bench.kinds(), [1, 4], "nothing is known yet, and nothing is said");
    bench.session.set_routes(route(PREFIX), bench.now);
    let updates = bench.write_all();
    assert_eq!(updates.len(), 1, "a route that is known need not wait");
    bench.session.set_complete(true);
    let ends = bench.write_all();
    assert_eq!(ends.len(), 2, "one for each family");
    assert_eq!(ends[0][19..], [0, 0, 0, 0], "End-of-RIB of IPv4");
    assert!(bench.write_all().is_empty());

    // Who does not keep routes has no use for the wait.
    let mut bench = graceful(true);
    bench.session.set_complete(false);
    bench.establish(&full_open(90));
    assert_eq!(bench.kinds(), [1, 4, 2, 2]);
}

#[test]
fn a_lost_connection_does_not_complete_what_was_not() {
    let mut bench = graceful(true);
    bench.session.set_complete(false);
    bench.establish(&their_open(true));
    bench.write_all();
    bench.session.handle_closed(None, bench.now);
    bench.pass_to_timer();
    bench.establish(&their_open(true));
    assert_eq!(bench.kinds(), [1, 4]);
}

/// A NOTIFICATION would leave the routes with a neighbor that keeps them over one; only a hard reset ends that.
#[test]
fn an_end_that_is_meant_is_a_hard_reset() {
    let bye = Farewell::Shutdown("bye".to_owned());
    let stall = Farewell::Reset("x".to_owned());
    let cases: [(Bytes, &Farewell, &[u8]); 8] = [
        (their_open(true), &bye, &[6, 9, 6, 2, 3, b'b', b'y', b'e']),
        (their_open(true), &Farewell::Deconfigured, &[6, 9, 6, 3]),
        (their_open(true), &Farewell::Reconfigured, &[6, 9, 6, 6]),
        (their_open(false), &bye, &[6, 2, 3, b'b', b'y', b'e']),
        (full_open(90), &bye, &[6, 2, 3, b'b', b'y', b'e']),
        (full_open(90), &Farewell::Reconfigured, &[6, 6]),
        (their_open(true), &stall, &[6, 9, 6, 4, 1, b'x']),
        (full_open(90), &stall, &[6, 4, 1, b'x']),
    ];
    for (open, farewell, body) in cases {
        let mut bench = graceful(false);
        bench.establish(&open);
        bench.write_all();
        bench.session.shutdown(farewell, bench.now);
        let messages = bench.write_all();
        assert_eq!(messages.len(), 1, "{farewell:?}");
        assert_eq!((messages[0][18], &messages[0][19..]), (3, body), "{farewell:?}");
    }
}

#[test]
fn who_leaves_its_routes_says_nothing() {
    let mut bench = graceful(false);
    bench.establish(&their_open(true));
    bench.session.set_routes(route(PREFIX), bench.now);
    bench.write_all();
    bench.session.set_routes(Routes::new(), bench.now);
    bench.session.shutdown(&Farewell::Silence, bench.now);
    assert_eq!((bench.session.state(), bench.session.poll_action()), (State::Idle, Some(Action::Close)));
    assert!(bench.write_all().is_empty(), "no withdraw, no NOTIFICATION");
}
