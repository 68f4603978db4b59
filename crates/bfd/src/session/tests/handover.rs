use serde_json::{Value, json};

use super::*;

/// As it is handed over.
fn left(session: &Session, now: Instant) -> Value {
    serde_json::to_value(session.hand_over(now)).unwrap()
}

fn take(left: &Value, at: Instant) -> Option<Result<Session, Unfit>> {
    let left: Handover = serde_json::from_value(left.clone()).ok()?;
    Some(Session::take_over(config(), &left, at))
}

#[test]
fn each_state_goes_on() {
    let begin = Instant::now();
    let now = begin + 100 * MS;
    for state in [State::AdminDown, State::Down, State::Init, State::Up] {
        let mut before = in_state(state, begin);
        before.set_suspended(state == State::Down);
        let left = left(&before, now);
        let mut after = take(&left, now).unwrap().unwrap();
        assert_eq!(after.state(), state);
        assert_eq!(after.diagnostic(), before.diagnostic());
        assert_eq!(after.remote(), before.remote());
        assert_eq!(after.discriminators(), before.discriminators());
        assert_eq!(after.counters(), before.counters());
        assert_eq!(after.measured(), before.measured());
        assert_eq!(in_force(&after), in_force(&before));
        assert_eq!(after.detection_at(), before.detection_at());
        assert_eq!(after.forget_sequence, before.forget_sequence);
        assert_eq!(after.suspended, before.suspended);
        assert!(events(&mut after).is_empty());
        assert_eq!(sent(&mut after, now).len(), 1, "it says that it is there");
    }
}

#[test]
fn a_poll_sequence_goes_on() {
    let begin = Instant::now();
    let mut before = up(begin);
    before.set_config(every(400));
    assert!(sent(&mut before, begin)[0].poll);
    let now = begin + 10 * MS;
    let left: Handover = serde_json::from_value(left(&before, now)).unwrap();
    let acknowledged = Packet { is_final: true, ..says(State::Up) };
    // The same intervals: what was asked there is answered here.
    let mut after = Session::take_over(every(400), &left, now).unwrap();
    assert_eq!(after.poll, before.poll);
    hear(&mut after, acknowledged, now + MS);
    assert_eq!(events(&mut after), [Event::Agreed]);
    assert_eq!(after.transmit_interval(), 400 * MS);
    // Others: it is not known which were answered.
    let mut after = Session::take_over(every(600), &left, now).unwrap();
    hear(&mut after, acknowledged, now + MS);
    assert_eq!((events(&mut after), after.is_polling()), (vec![], true));
    assert_eq!(after.transmit_interval(), 50 * MS);
    let later = Session::take_over(every(600), &after.hand_over(now + MS), now + MS).unwrap();
    assert_eq!(later.polls_from, after.polls_from);
    assert!(later.polls_from.is_some_and(|from| from > now));
}

/// A Poll that is not answered yet is answered by who comes after.
#[test]
fn an_answer_is_not_forgotten() {
    let now = Instant::now();
    let mut session = up(now);
    let poll = Packet { poll: true, ..says(State::Up) };
    hear(&mut session, poll, now);
    let mut after = take(&left(&session, now), now).unwrap().unwrap();
    assert!(sent(&mut after, now)[0].is_final);
}

#[test]
fn what_no_session_can_be_is_refused() {
    let now = Instant::now();
    let good = left(&up(now), now);
    assert!(take(&good, now).unwrap().is_ok());
    for (pointer, value) in [
        ("/state", json!(4)),
        ("/remote/state", json!(255)),
        ("/sent/1", json!(1_025)),
        ("/heard", json!(null)),
        ("/remote/discriminator", json!(0)),
        ("/local_discriminator", json!(0)),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).expect(pointer) = value;
        assert!(take(&bad, now).is_none_or(|taken| taken.is_err()), "{pointer}");
    }
}

/// Times longer than any clock has been running, or will: nothing overflows.
#[test]
fn the_longest_times_are_borne() {
    let now = Instant::now();
    let good = left(&up(now), now);
    let for_ever = json!({"secs": u64::MAX, "nanos": 999_999_999});
    for pointer in ["/heard", "/sent/0", "/forget_sequence", "/polls_from", "/interval", "/longest", "/poll"] {
        let mut long = good.clone();
        *long.pointer_mut(pointer).expect(pointer) = if pointer == "/poll" {
            json!({"sent": [for_ever, for_ever], "ambiguous": false})
        } else {
            for_ever.clone()
        };
        let mut session = take(&long, now).unwrap().unwrap();
        hear(&mut session, Packet { is_final: true, ..says(State::Up) }, now);
        session.handle_timeout(now);
        sent(&mut session, now);
        assert!(session.poll_timeout(now).unwrap() > now, "{pointer}");
        let _ = session.hand_over(now);
    }
}
