use super::*;

fn poll(state: State) -> Packet {
    Packet { poll: true, ..says(state) }
}

fn is_final(state: State) -> Packet {
    Packet { is_final: true, ..says(state) }
}

/// §6.8.3: what would surprise the other end waits for its Final, the rest does not: what was, what is to be, and what is in force before
/// and after.
#[test]
fn intervals_wait_for_the_final_where_they_must() {
    let table = [
        ("slower and less", 50, 400, (50, 1_200), (400, 1_200)),
        ("faster", 50, 10, (50, 150), (50, 150)),
        ("as it was", 50, 50, (50, 150), (50, 150)),
    ];
    for (what, before, after, at_once, agreed) in table {
        let now = Instant::now();
        let mut session = up(now);
        assert_eq!(in_force(&session), (before * MS, before * 3 * MS));
        session.set_config(every(after));
        let milliseconds = |(tx, detection): (u32, u32)| (tx * MS, detection * MS);
        assert_eq!(in_force(&session), milliseconds(at_once), "{what}");
        assert_eq!(session.is_polling(), after != before, "{what}");
        let said = sent(&mut session, now + MS);
        assert_eq!(said.len(), usize::from(after != before), "{what}");
        assert!(said.iter().all(|packet| packet.poll && packet.desired_min_tx == Micros(after * 1_000)), "{what}");
        hear(&mut session, is_final(State::Up), now + 2 * MS);
        assert_eq!(in_force(&session), milliseconds(agreed), "{what}");
        let told: &[Event] = if after == before { &[] } else { &[Event::Agreed] };
        assert_eq!(events(&mut session), told, "{what}");
    }
}

/// A detection time that becomes shorter is in force when the other end sends as often.
#[test]
fn to_hear_more_often_waits_for_the_final() {
    let now = Instant::now();
    let mut session = up(now);
    let fast = Packet { desired_min_tx: Micros(10_000), ..says(State::Up) };
    hear(&mut session, fast, now);
    assert_eq!(session.detection_time(), 150 * MS);
    session.set_config(every(10));
    sent(&mut session, now);
    hear(&mut session, fast, now);
    assert_eq!(session.detection_time(), 150 * MS, "not yet");
    hear(&mut session, Packet { is_final: true, ..fast }, now);
    assert_eq!(session.detection_time(), 30 * MS);
}

#[test]
fn a_final_that_nobody_asked_for_is_none() {
    let now = Instant::now();
    let mut session = up(now);
    hear(&mut session, is_final(State::Up), now);
    assert_eq!((in_force(&session).0, events(&mut session)), (50 * MS, vec![]));
    // Nor is one that comes before the Poll has left.
    session.set_config(every(400));
    hear(&mut session, is_final(State::Up), now);
    assert!(session.is_polling());
    assert_eq!(in_force(&session).0, 50 * MS);
    let mut session = down();
    hear(&mut session, is_final(State::Down), now);
    assert_eq!(session.state(), State::Init, "it is heard all the same");
}

/// Whether a Final is for the first, the second or the third of three changes, nobody knows: it is for none.
#[test]
fn a_final_may_be_for_an_earlier_change() {
    let begin = Instant::now();
    let mut session = up(begin);
    for (at, interval) in [(1, 300), (2, 20), (3, 400)] {
        session.set_config(every(interval));
        let said = sent(&mut session, begin + at * MS);
        assert!(said.len() == 1 && said[0].poll, "{said:?}");
    }
    // The other end may have heard no more than of 20 ms.
    hear(&mut session, is_final(State::Up), begin + 8 * MS);
    assert_eq!(in_force(&session), (50 * MS, 1_200 * MS));
    assert!(session.is_polling() && events(&mut session).is_empty());
    // The first Poll was sent 7 ms before, the last 5 ms before: in 2 ms all Finals to them are here. The next is sent after.
    hear(&mut session, is_final(State::Up), begin + 9 * MS);
    let (mut at, mut polls) = (begin + 9 * MS, vec![]);
    while polls.is_empty() {
        at = session.poll_timeout(at).unwrap();
        polls = sent(&mut session, at);
    }
    assert!(at >= begin + 10 * MS && at <= begin + 60 * MS);
    assert!(polls[0].poll && polls[0].desired_min_tx == Micros(400_000));
    assert!(events(&mut session).is_empty());
    hear(&mut session, is_final(State::Up), at + MS);
    assert_eq!(in_force(&session), (400 * MS, 1_200 * MS));
    assert_eq!(events(&mut session), [Event::Agreed]);
}

/// The path takes as long as several intervals: several Finals are under way when the first comes.
#[test]
fn a_late_final_does_not_end_the_next_sequence() {
    let begin = Instant::now();
    let mut session = up(begin);
    session.set_config(every(300));
    let mut last = begin;
    let mut polls = 0;
    let mut at = begin;
    // 200 ms there and back.
    while at < begin + 200 * MS {
        hear(&mut session, says(State::Up), at);
        for packet in sent(&mut session, at) {
            assert!(packet.poll);
            (polls, last) = (polls + 1, at);
        }
        at += MS;
    }
    assert!(polls >= 4, "{polls}");
    hear(&mut session, is_final(State::Up), at);
    assert_eq!(events(&mut session), [Event::Agreed]);
    session.set_config(every(600));
    while at <= last + 200 * MS {
        assert!(sent(&mut session, at).iter().all(|packet| !packet.poll), "it would be ambiguous");
        hear(&mut session, is_final(State::Up), at);
        at += 10 * MS;
    }
    assert_eq!(in_force(&session).0, 300 * MS, "those were for the first");
    at += 600 * MS;
    assert!(sent(&mut session, at).iter().any(|packet| packet.poll));
    hear(&mut session, is_final(State::Up), at + 200 * MS);
    assert_eq!(in_force(&session).0, 600 * MS);
}

/// §6.8.7: a Poll is answered at once, whatever the state, but for AdminDown (§6.8.6); and it is told what is new.
#[test]
fn a_poll_is_answered_in_each_state() {
    let now = Instant::now();
    for (state, answers) in [(State::Down, 1), (State::Init, 1), (State::Up, 1), (State::AdminDown, 0)] {
        let mut session = in_state(state, now);
        let at = now + MS;
        // A state that changes nothing.
        let heard = match state {
            State::Down | State::Up => State::Up,
            State::Init | State::AdminDown => State::Down,
        };
        hear(&mut session, says(heard), at);
        sent(&mut session, at);
        hear(&mut session, poll(heard), at);
        let soon = (answers > 0).then_some(at);
        assert_eq!(session.poll_timeout(at).filter(|due| *due <= at), soon);
        let said = sent(&mut session, at);
        assert_eq!(said.len(), answers, "{state}");
        assert!(said.iter().all(|packet| packet.is_final && !packet.poll));
        assert!(sent(&mut session, at).is_empty(), "and once");
    }
}

/// One packet out for each that comes in, at most, and what is sent unasked stays as slow as it was.
#[test]
fn a_flood_of_polls_is_no_more_than_answered() {
    let begin = Instant::now();
    let mut session = down();
    hear(&mut session, says(State::Down), begin);
    sent(&mut session, begin);
    let mut unasked = 0;
    for millisecond in 1..=10_000 {
        let now = begin + millisecond * MS;
        session.handle_timeout(now);
        hear(&mut session, poll(State::Down), now);
        let said = sent(&mut session, now);
        let answers = said.iter().filter(|packet| packet.is_final).count();
        assert_eq!(answers, 1);
        unasked += said.len() - answers;
    }
    assert!((10..=14).contains(&unasked), "{unasked}");
    assert_eq!(session.state(), State::Init);
}

/// Both ends ask at once; what some send for that has both bits.
#[test]
fn poll_and_final_in_one_are_both_taken() {
    let now = Instant::now();
    let mut session = up(now);
    session.set_config(every(400));
    assert_eq!(sent(&mut session, now).len(), 1);
    let both = Packet { is_final: true, ..poll(State::Up) };
    hear(&mut session, both, now);
    assert_eq!(events(&mut session), [Event::Agreed]);
    let said = sent(&mut session, now);
    assert!(said.len() == 1 && said[0].is_final && !said[0].poll);
}

/// Who never answers hears no Polls more often than other packets.
#[test]
fn polls_keep_to_the_interval() {
    let begin = Instant::now();
    let mut session = up(begin);
    session.set_config(every(400));
    let mut polls = Vec::new();
    for millisecond in 0..5_000 {
        let now = begin + millisecond * MS;
        hear(&mut session, says(State::Up), now);
        session.handle_timeout(now);
        for packet in sent(&mut session, now) {
            assert!(packet.poll);
            polls.push(now);
        }
    }
    assert!(polls.windows(2).all(|two| two[1] - two[0] >= 37 * MS));
    assert!(polls.len() > 90, "in force is what it was: {}", polls.len());
}

/// A session that ends has nothing to ask.
#[test]
fn a_sequence_ends_with_the_session() {
    let now = Instant::now();
    let mut session = up(now);
    session.set_config(every(400));
    sent(&mut session, now);
    hear(&mut session, says(State::Down), now);
    assert!(!session.is_polling());
    assert!(sent(&mut session, now).iter().all(|packet| !packet.poll));
    assert_eq!(session.transmit_interval(), 1_000 * MS);
}
