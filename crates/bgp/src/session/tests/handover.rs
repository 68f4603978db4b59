//! What of a session is handed over, and what cannot go on.

use super::*;
use crate::handover::{Handover, Unfit};

/// Established, told of two routes; one is acknowledged, of the other the kernel has not all.
fn told() -> (Bench, Bytes) {
    let mut bench = Bench::at(State::Established);
    bench.session.set_routes(route(PREFIX), bench.now);
    bench.write_all();
    bench.session.handle_unacked(0, bench.now);
    bench.session.set_routes([route(PREFIX), route("203.0.113.0/24")].into_iter().flatten().collect(), bench.now);
    let message = bench.session.poll_transmit(bench.now).expect("an announcement");
    bench.session.handle_written(10, bench.now);
    (bench, message)
}

fn go_on(bench: &Bench) -> Bench {
    let handover = bench.session.hand_over(bench.now).expect("it is Established");
    Bench { session: Session::take_over(config(90), &handover, bench.now).expect("it goes on"), now: bench.now }
}

#[test]
fn nothing_is_said_but_the_rest_of_a_message() {
    let (before, message) = told();
    let mut after = go_on(&before);
    assert_eq!(after.session.advertised(), before.session.advertised());
    assert_eq!(after.session.poll_timeout(), before.session.poll_timeout());
    assert!(after.kinds().is_empty());
    assert_eq!(after.session.poll_event(), Some(Event::Advertised), "whoever looks has not seen it yet");
    after.session.handle_written(message.len() - 10, after.now);
    after.session.handle_unacked(0, after.now);
    assert!(after.session.advertised().values().all(|entry| entry.progress == Progress::Acked));
    assert_eq!(after.session.advertised().len(), 2);
}

/// Routes that are not desired any more go at once, also where nobody has said yet what is.
#[test]
fn a_withdraw_that_waits_is_sent_and_an_announcement_is_not() {
    let mut bench = Bench::at(State::Established);
    bench.session.set_routes(route(PREFIX), bench.now);
    bench.write_all();
    bench.session.set_routes(route("203.0.113.0/24"), bench.now);
    let mut after = go_on(&bench);
    let messages = after.write_all();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0][19..21], [0, 4], "a withdraw of one prefix");
    after.session.set_routes(route("203.0.113.0/24"), after.now);
    assert_eq!(after.kinds(), [2]);
}

#[test]
fn what_is_received_in_part_is_heard_whole_and_silence_is_counted_on() {
    let mut bench = Bench::at(State::Established);
    let (first, rest) = (keepalive().slice(..7), keepalive().slice(7..));
    bench.hear(&first);
    bench.pass(80 * SECOND);
    let mut after = go_on(&bench);
    after.pass(9 * SECOND);
    assert_eq!(after.session.state(), State::Established);
    after.hear(&rest);
    assert_eq!(after.session.counters().received.keepalive, bench.session.counters().received.keepalive + 1);
    after.pass(89 * SECOND);
    assert_eq!(after.session.state(), State::Established);
    let mut silent = go_on(&bench);
    silent.pass(11 * SECOND);
    assert_eq!(silent.ended_with(), (4, 0, vec![]), "Hold Timer Expired");
}

#[test]
fn what_the_neighbor_refuses_is_held_back_by_the_next_process_too() {
    let (mut bench, with) =
        (Bench::at(State::Established), |med| Arc::new(Attributes { med: Some(med), ..Attributes::default() }));
    let prefix: Prefix = PREFIX.parse().expect("a prefix");
    bench.session.set_routes([(prefix, with(1))].into(), bench.now);
    for _ in 0..2 {
        assert_eq!(bench.tell(), [prefix]);
        bench.refuse();
    }
    bench.tell();
    let mut after = go_on(&bench);
    after.session.set_routes([(prefix, with(1))].into(), after.now);
    assert_eq!(after.session.quarantined(), bench.session.quarantined());
    assert_eq!((after.session.quarantined().len(), after.kinds()), (1, vec![]));
}

#[test]
fn only_a_session_that_is_up_goes_on_and_only_where_it_would_come_about() {
    for state in [State::Connect, State::Active, State::OpenSent, State::OpenConfirm] {
        assert_eq!(Bench::at(state).session.hand_over(Instant::now()), None, "{state}");
    }
    let bench = told().0;
    let handover = bench.session.hand_over(bench.now).expect("it is Established");
    let taken = |config: PeerConfig, handover: &Handover| Session::take_over(config, handover, bench.now).err();
    let other = PeerConfig { peer_as: PeerAs::Internal, ..config(90) };
    assert!(matches!(taken(other, &handover), Some(Unfit::Refused(OpenError::BadPeerAs { .. }))));
    let broken: [fn(&mut Handover); 3] = [
        |from| from.sent.acked = from.sent.written + 1,
        |from| from.sent.written = from.sent.handed_out + 1,
        |from| from.told[0].end = from.sent.handed_out + 1,
    ];
    for breaks in broken {
        let mut handover = handover.clone();
        breaks(&mut handover);
        assert!(matches!(taken(config(90), &handover), Some(Unfit::Broken(_))));
    }
    let mut nothing = handover;
    nothing.opens[1].truncate(12);
    assert!(matches!(taken(config(90), &nothing), Some(Unfit::Refused(OpenError::Malformed(_)))));
}
