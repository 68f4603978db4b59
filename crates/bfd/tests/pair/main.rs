//! Two sessions and the path between them, on a virtual clock.

use std::time::Duration;

use anycast_bfd::{AuthType, Cause, Config, Diagnostic, Key, State};

mod deeds;
mod links;
mod world;

use self::world::{MS, Pair, config};

#[test]
fn two_ends_find_each_other_and_speed_up() {
    let mut pair = Pair::up(config(50, 3), config(10, 5));
    for end in &pair.ends {
        assert_eq!(end.session.transmit_interval(), 50 * MS, "the slower of what one would and the other can");
    }
    assert_eq!(pair.ends[0].session.detection_time(), 5 * 50 * MS, "by the multiplier of the other end");
    assert_eq!(pair.ends[1].session.detection_time(), 3 * 50 * MS);
    pair.run(Duration::from_secs(20));
    for end in &pair.ends {
        let gaps: Vec<Duration> = end.sent.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(gaps.iter().all(|gap| *gap <= 50 * MS && *gap >= 37 * MS), "{gaps:?}");
        assert!(gaps.iter().any(|gap| *gap < 41 * MS) && gaps.iter().any(|gap| *gap > 47 * MS), "it is spread");
    }
}

#[test]
fn one_packet_of_one_is_sent_a_tenth_earlier() {
    let mut pair = Pair::up(config(50, 1), config(50, 1));
    pair.run(Duration::from_secs(20));
    assert!(pair.quiet());
    for end in &pair.ends {
        assert!(end.sent.windows(2).all(|pair| pair[1].0 - pair[0].0 <= 45 * MS));
    }
}

#[test]
fn a_path_that_is_cut_is_noticed_after_the_detection_time_and_not_before() {
    let mut pair = Pair::up(config(50, 3), config(50, 3));
    pair.cut();
    let cut = pair.now;
    pair.run(Duration::from_secs(1));
    for end in &pair.ends {
        let [(at, State::Up, State::Down, Cause::DetectionTimeExpired)] = end.changes[..] else {
            panic!("{:?}", end.changes)
        };
        assert!(at > cut + 100 * MS && at <= cut + 151 * MS, "{:?}", at - cut);
        assert_eq!(end.session.remote(), None);
    }
    // It is slow while it is not Up, and comes back.
    pair.run(Duration::from_secs(10));
    assert!(pair.ends.iter().all(|end| { end.sent.iter().filter(|(at, _)| *at > cut + 200 * MS).count() < 16 }));
    pair.mend();
    pair.run(Duration::from_secs(4));
    assert_eq!(pair.states(), [State::Up, State::Up]);
}

#[test]
fn a_path_that_works_one_way_is_down_both_ways() {
    let mut pair = Pair::up(config(50, 3), config(50, 3));
    pair.lost = Box::new(|end| end == 0);
    pair.run(Duration::from_secs(1));
    let causes = [0, 1].map(|end| pair.ends[end].changes.first().map(|change| change.3));
    assert_eq!(
        causes,
        [Some(Cause::SignaledDown(Diagnostic::DETECTION_TIME_EXPIRED)), Some(Cause::DetectionTimeExpired)],
        "the one that hears is told by the one that does not"
    );
    pair.run(Duration::from_secs(30));
    assert!(pair.states().iter().all(|state| *state != State::Up));
}

#[test]
fn admin_down_is_told_apart_from_a_fault() {
    let mut pair = Pair::up(config(50, 3), config(50, 3));
    pair.ends[0].session.set_admin_down(true);
    pair.run(10 * MS);
    assert!(matches!(pair.ends[1].changes[..], [(_, State::Up, State::Down, Cause::SignaledAdminDown)]));
    pair.run(Duration::from_secs(10));
    assert_eq!(pair.states(), [State::AdminDown, State::Down]);
    pair.ends[0].session.set_admin_down(false);
    pair.run(Duration::from_secs(4));
    assert_eq!(pair.states(), [State::Up, State::Up]);
}

/// The other end must drop what it has of us, so that is told as Down, and nothing that is heard ends it.
#[test]
fn who_is_not_fit_is_down_until_it_is() {
    let mut pair = Pair::up(config(50, 3), config(50, 3));
    pair.ends[0].session.set_suspended(true);
    pair.run(MS);
    assert!(matches!(pair.ends[1].changes[..], [(_, State::Up, State::Down, Cause::SignaledDown(_))]), "at once");
    pair.run(Duration::from_secs(30));
    assert_eq!(pair.ends[0].session.state(), State::Down);
    assert_ne!(pair.ends[1].session.state(), State::Up);
    pair.ends[0].session.set_suspended(false);
    pair.run(Duration::from_secs(4));
    assert_eq!(pair.states(), [State::Up, State::Up]);
}

#[test]
fn other_intervals_are_agreed_on_without_a_flap() {
    let mut pair = Pair::up(config(50, 3), config(50, 3));
    for (interval, mult) in [(300, 3), (10, 3), (1_000, 2), (20, 50), (50, 3)] {
        pair.ends[0].session.set_config(config(interval, mult));
        assert!(pair.ends[0].session.is_polling() || interval == 50);
        pair.run(Duration::from_secs(5));
        assert!(!pair.ends[0].session.is_polling());
        assert!(pair.quiet(), "{interval} ms");
        let slower = Duration::from_millis(u64::from(interval.max(50)));
        assert_eq!([0, 1].map(|end| pair.ends[end].session.transmit_interval()), [slower; 2]);
        assert_eq!(pair.ends[1].session.detection_time(), slower * u32::from(mult));
    }
}

/// §6.8.3: what the other end does not know yet is not in force.
#[test]
fn a_longer_interval_waits_for_the_other_end() {
    let mut pair = Pair::up(config(50, 3), config(50, 3));
    pair.cut();
    pair.ends[0].session.set_config(config(400, 3));
    pair.run(40 * MS);
    assert_eq!(pair.ends[0].session.transmit_interval(), 50 * MS, "nobody has answered");
    pair.mend();
    pair.run(100 * MS);
    assert_eq!(pair.ends[0].session.transmit_interval(), 400 * MS);
    assert!(pair.quiet());
}

#[test]
fn a_passive_end_waits_for_the_other() {
    let passive = || Config { passive: true, ..config(50, 3) };
    let mut pair = Pair::new(passive(), passive());
    pair.run(Duration::from_secs(10));
    assert!(pair.ends.iter().all(|end| end.sent.is_empty()));
    let pair = Pair::up(passive(), config(50, 3));
    drop(pair);
}

#[test]
fn keys_keep_strangers_out_and_friends_in() {
    for auth_type in AuthType::ALL {
        let with = |secret: &str| Config { key: Key::new(auth_type, 3, secret.as_bytes()).ok(), ..config(50, 3) };
        let mut pair = Pair::up(with("hunter2"), with("hunter2"));
        pair.run(Duration::from_secs(60));
        assert!(pair.quiet(), "{auth_type:?}");
        for other in [with("hunter3"), config(50, 3)] {
            let mut pair = Pair::new(with("hunter2"), other);
            pair.run(Duration::from_secs(10));
            assert_eq!(pair.states(), [State::Down, State::Down], "{auth_type:?}");
            assert!(pair.ends[0].session.counters().unauthentic > 0);
        }
    }
}

const HASHED: [AuthType; 4] =
    [AuthType::KeyedMd5, AuthType::MeticulousKeyedMd5, AuthType::KeyedSha1, AuthType::MeticulousKeyedSha1];

fn signed(auth_type: AuthType) -> Config {
    Config { key: Key::new(auth_type, 3, b"hunter2").ok(), ..config(50, 3) }
}

/// What was recorded while all was well does not make it look well.
#[test]
fn a_recording_keeps_nothing_up() {
    for auth_type in HASHED {
        let mut pair = Pair::up(signed(auth_type), signed(auth_type));
        pair.recorded = Some(Vec::new());
        pair.run(5_000 * MS);
        pair.cut();
        let recorded = pair.recorded.as_ref().map(Vec::len);
        assert!(recorded > Some(100));
        for _ in 0..16 {
            pair.run(10 * MS);
            pair.replay();
        }
        pair.run(MS);
        let meticulous = matches!(auth_type, AuthType::MeticulousKeyedMd5 | AuthType::MeticulousKeyedSha1);
        // The keyed types take the same number again: who needs more wants the meticulous ones.
        let expected = if meticulous { State::Down } else { State::Up };
        assert_eq!(pair.states(), [expected; 2], "{auth_type:?}");
    }
}

/// It numbers its packets from anywhere, and is shut out until the number before is forgotten.
#[test]
fn who_restarts_with_a_key_is_let_in_again() {
    for auth_type in HASHED {
        let mut pair = Pair::up(signed(auth_type), signed(auth_type));
        pair.restart(1, 99);
        pair.run(10 * MS);
        assert_eq!(pair.states(), [State::Up, State::Down], "{auth_type:?}");
        // A detection time of 150 ms ends the session, the second one the number; then each speaks once a second.
        pair.run(300 * MS + 1_010 * MS);
        assert_eq!(pair.states(), [State::Up; 2], "{auth_type:?}");
        assert_eq!(pair.ends[0].session.discriminators().1, 99);
        assert_eq!(pair.ends[0].session.counters().flaps, 1);
    }
}

/// Without a key it is heard at once, by its address.
#[test]
fn who_restarts_is_up_in_a_second() {
    for number in [2, 99] {
        let mut pair = Pair::up(config(50, 3), config(50, 3));
        pair.restart(1, number);
        pair.run(MS);
        assert!(pair.ends[0].changes.iter().any(|change| change.1 == State::Up), "at once: {:?}", pair.ends[0].changes);
        pair.run(1_010 * MS);
        assert_eq!(pair.states(), [State::Up; 2]);
    }
}
