use super::*;
use crate::auth::{AuthType, Unauthentic};

/// RFC 5880 §6.8.6: our state, what the other end says its is, and what ours is then and why.
#[test]
fn each_state_hears_each_state() {
    let signaled = Cause::SignaledDown(Diagnostic::NONE);
    let neighbor = Diagnostic::NEIGHBOR_SIGNALED_DOWN;
    let none = Diagnostic::NONE;
    use State::{AdminDown, Down, Init, Up};
    let table = [
        (AdminDown, AdminDown, AdminDown, None),
        (AdminDown, Down, AdminDown, None),
        (AdminDown, Init, AdminDown, None),
        (AdminDown, Up, AdminDown, None),
        (Down, AdminDown, Down, None),
        (Down, Down, Init, Some((none, Cause::Heard))),
        (Down, Init, Up, Some((none, Cause::Heard))),
        (Down, Up, Down, None),
        (Init, AdminDown, Down, Some((neighbor, Cause::SignaledAdminDown))),
        (Init, Down, Init, None),
        (Init, Init, Up, Some((none, Cause::Heard))),
        (Init, Up, Up, Some((none, Cause::Heard))),
        (Up, AdminDown, Down, Some((neighbor, Cause::SignaledAdminDown))),
        (Up, Down, Down, Some((neighbor, signaled))),
        (Up, Init, Up, None),
        (Up, Up, Up, None),
    ];
    let now = Instant::now();
    for (from, heard, to, change) in table {
        let mut session = in_state(from, now);
        let before = session.diagnostic();
        hear(&mut session, says(heard), now);
        assert_eq!(session.state(), to, "{from} hears {heard}");
        let told = change.map(|(_, cause)| Event::Changed { from, to, cause });
        assert_eq!(events(&mut session), Vec::from_iter(told), "{from} hears {heard}");
        let diagnostic = change.map_or(before, |(diagnostic, _)| diagnostic);
        assert_eq!(session.diagnostic(), diagnostic, "{from} hears {heard}");
        let flaps = u64::from(from == Up && to != Up);
        assert_eq!(session.counters().flaps, flaps, "{from} hears {heard}");
        if change.is_some() {
            let packet = sent(&mut session, now);
            assert_eq!(packet.len(), 1, "it is told at once: {from} hears {heard}");
            assert_eq!((packet[0].state, packet[0].diagnostic), (to, diagnostic));
            assert_eq!(packet[0].your_discriminator, 77);
        }
    }
}

#[test]
fn each_state_is_suspended_and_taken_down() {
    use State::{AdminDown, Down, Init, Up};
    let now = Instant::now();
    for from in [AdminDown, Down, Init, Up] {
        let mut session = in_state(from, now);
        session.set_suspended(true);
        let held = if from == AdminDown { AdminDown } else { Down };
        assert_eq!(session.state(), held, "{from}");
        if matches!(from, Init | Up) {
            assert_eq!(session.diagnostic(), Diagnostic::PATH_DOWN);
            let cause = Cause::Suspended;
            assert_eq!(events(&mut session), [Event::Changed { from, to: Down, cause }]);
        }
        for heard in [Down, Init, Up, AdminDown] {
            hear(&mut session, says(heard), now);
            assert_eq!(session.state(), held, "{from}, suspended, hears {heard}");
        }
        // To be taken down is more than to be held down, and does not end it.
        session.set_admin_down(true);
        assert_eq!(session.state(), AdminDown);
        assert_eq!(session.diagnostic(), Diagnostic::ADMINISTRATIVELY_DOWN);
        session.set_admin_down(false);
        hear(&mut session, says(Down), now);
        assert_eq!(session.state(), Down, "{from}: still suspended");
        session.set_suspended(false);
        hear(&mut session, says(Down), now);
        assert_eq!(session.state(), Init, "{from}");
        assert_eq!(session.counters().flaps, u64::from(from == Up));
    }
}

/// §6.8.1, §6.8.4: who is not heard for the detection time is forgotten in each state, and ends a session.
#[test]
fn each_state_hears_nothing() {
    use State::{AdminDown, Down, Init, Up};
    let now = Instant::now();
    for from in [AdminDown, Down, Init, Up] {
        let mut session = in_state(from, now);
        // AdminDown makes Down of whoever hears it, so this changes no state but Init and Up.
        let last = if from == Up { Up } else { Down };
        if from != Down {
            hear(&mut session, says(last), now);
        } else {
            hear(&mut session, says(Up), now);
        }
        assert_eq!(session.state(), from);
        assert_eq!(session.discriminators(), (number(1), 77));
        let expires = now + session.detection_time();
        assert!(session.detection_time() >= 150 * MS);
        session.handle_timeout(expires - MS / 1_000);
        assert_eq!((session.state(), session.discriminators().1), (from, 77));
        session.handle_timeout(expires);
        assert_eq!(session.discriminators().1, 0, "{from}");
        assert_eq!(session.remote(), None);
        let to = if from == AdminDown { AdminDown } else { Down };
        assert_eq!(session.state(), to, "{from}");
        let cause = Cause::DetectionTimeExpired;
        let told = matches!(from, Init | Up).then_some(Event::Changed { from, to, cause });
        assert_eq!(events(&mut session), Vec::from_iter(told));
        if matches!(from, Init | Up) {
            assert_eq!(session.diagnostic(), Diagnostic::DETECTION_TIME_EXPIRED);
            let said = sent(&mut session, expires);
            assert_eq!((said[0].state, said[0].your_discriminator), (Down, 0));
            assert_eq!(said[0].desired_min_tx, Micros(1_000_000), "slow again");
        }
    }
}

/// Our thread was held off for long: what the other end sent meanwhile is read first, so it was not silent.
#[test]
fn who_was_deaf_does_not_take_the_other_for_dumb() {
    let begin = Instant::now();
    let late = begin + Duration::from_secs(3);
    let mut session = up(begin);
    for _ in 0..60 {
        hear(&mut session, says(State::Up), late);
    }
    session.handle_timeout(late);
    assert_eq!((session.state(), events(&mut session)), (State::Up, vec![]));
    assert!(session.measured().longest >= Duration::from_secs(3));
    let mut session = up(begin);
    session.handle_timeout(late);
    assert_eq!(session.state(), State::Down, "nothing had come");
}

#[test]
fn a_clock_that_goes_back_shortens_nothing() {
    let now = Instant::now() + Duration::from_secs(10);
    let mut session = up(now);
    hear(&mut session, says(State::Up), now - 5_000 * MS);
    session.handle_timeout(now + 149 * MS);
    assert_eq!(session.state(), State::Up);
    assert_eq!(session.measured().longest, Duration::ZERO);
    session.handle_timeout(now + 150 * MS);
    assert_eq!(session.state(), State::Down);
}

/// §6.7.3: a peer that begins anew with another number is shut out for twice the detection time, not for ever.
#[test]
fn a_sequence_number_is_forgotten_in_time() {
    let key = crate::Key::new(AuthType::KeyedSha1, 1, b"secret").ok();
    let config = Config { key: key.clone(), ..config() };
    let now = Instant::now();
    let signed = |sequence: u32| {
        let mut peer = Sequences { transmitted: sequence - 1, received: None };
        peer.write(&says(State::Down), key.as_ref(), true)
    };
    let hear = |session: &mut Session, sequence, now| {
        let octets = signed(sequence);
        session.handle_packet(&Packet::read(&octets).unwrap(), now)
    };
    let mut session = Session::new(config.clone(), number(1), 7);
    assert_eq!(hear(&mut session, 1_000, now), Ok(()));
    assert_eq!(session.detection_time(), 150 * MS);
    let left = session.hand_over(now + 200 * MS);
    for another_process in [false, true] {
        let mut session = Session::take_over(config.clone(), &left, now + 200 * MS).unwrap();
        if !another_process {
            session = Session::new(config.clone(), number(1), 7);
            assert_eq!(hear(&mut session, 1_000, now), Ok(()));
        }
        for (at, expected) in [(201, Err(Unauthentic::Sequence)), (299, Err(Unauthentic::Sequence)), (300, Ok(()))] {
            session.handle_timeout(now + at * MS);
            assert_eq!(hear(&mut session, 5, now + at * MS), expected, "after {at} ms, {another_process}");
        }
        assert_eq!(session.counters().unauthentic, 2);
    }
}

/// What is measured is of the pace in force, and of packets in turn.
#[test]
fn another_pace_is_measured_anew() {
    let mut now = Instant::now();
    let mut session = up(now);
    let mut hear_after = |session: &mut Session, milliseconds: u32, packet: Packet| {
        now += MS * milliseconds;
        hear(session, packet, now);
        (session.measured().interval, session.measured().longest)
    };
    let at = |milliseconds: u32| Packet { desired_min_tx: Micros(milliseconds * 1_000), ..says(State::Up) };
    assert_eq!(hear_after(&mut session, 50, at(50)), (Some(50 * MS), 50 * MS));
    let answer = Packet { is_final: true, ..at(50) };
    assert_eq!(hear_after(&mut session, 2, answer), (Some(50 * MS), 50 * MS), "it comes out of turn");
    assert_eq!(hear_after(&mut session, 50, at(1_000)).1, 50 * MS);
    assert_eq!(hear_after(&mut session, 900, at(1_000)), (Some(900 * MS), 900 * MS));
    assert_eq!(hear_after(&mut session, 875, at(50)).1, 900 * MS);
    assert_eq!(hear_after(&mut session, 45, at(50)), (Some(45 * MS), 45 * MS));
}
