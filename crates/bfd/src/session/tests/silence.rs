use super::*;

/// How many packets are sent unasked in so long, while the other end says this every 10 ms.
fn unasked(session: &mut Session, packet: Packet, begin: Instant, time: Duration) -> usize {
    let mut now = begin;
    let mut count = 0;
    while now < begin + time {
        now += 10 * MS;
        hear(session, packet, now);
        session.handle_timeout(now);
        count += sent(session, now).len();
    }
    count
}

/// §6.8.7: a Required Min RX Interval of 0 asks for nothing periodic; what is new is told all the same.
#[test]
fn who_wants_nothing_gets_nothing_periodic() {
    let begin = Instant::now();
    let mut session = up(begin);
    let nothing = Packet { required_min_rx: Micros(0), ..says(State::Up) };
    assert_eq!(unasked(&mut session, nothing, begin, 5_000 * MS), 0);
    let now = begin + 5_000 * MS;
    session.set_suspended(true);
    assert_eq!(session.poll_timeout(now), Some(now));
    let said = sent(&mut session, now);
    assert_eq!((said.len(), said[0].state), (1, State::Down));
    assert!(sent(&mut session, now).is_empty());
    let poll = Packet { poll: true, ..nothing };
    hear(&mut session, poll, now);
    assert!(sent(&mut session, now).iter().all(|packet| packet.is_final));
    // §6.8.18: who is not heard any more asks for nothing any more.
    let gone = now + session.detection_time();
    session.handle_timeout(gone);
    assert!(!sent(&mut session, gone).is_empty());
    let again = session.poll_timeout(gone).unwrap();
    assert!(again <= gone + 1_000 * MS && sent(&mut session, again).len() == 1);
}

/// Who measures how late packets are is told of those that have a time.
#[test]
fn what_goes_for_another_reason_than_the_pace_has_no_time() {
    let begin = Instant::now();
    let mut session = up(begin);
    let planned = session.periodic_at().expect("it sends at its pace");
    assert_eq!(session.poll_timeout(begin), Some(planned));
    assert_eq!(sent(&mut session, planned).len(), 1);
    assert!(session.periodic_at().is_some_and(|next| next > planned));
    // An answer to a Poll, and what is new, go at once.
    hear(&mut session, Packet { poll: true, ..says(State::Up) }, planned);
    assert_eq!(session.periodic_at(), None);
    assert_eq!(sent(&mut session, planned).len(), 1);
    session.set_suspended(true);
    assert_eq!(session.periodic_at(), None);
    assert_eq!(sent(&mut session, planned).len(), 1);
    assert!(session.periodic_at().is_some(), "as before");
    for silent in [Packet { required_min_rx: Micros(0), ..says(State::Up) }, Packet { demand: true, ..says(State::Up) }]
    {
        let mut session = up(begin);
        hear(&mut session, silent, begin);
        sent(&mut session, begin);
        assert_eq!(session.periodic_at(), None, "{silent:?}");
    }
}

/// §6.6: demand mode is active while both ends are Up.
#[test]
fn demand_mode_is_honoured() {
    let begin = Instant::now();
    let mut session = up(begin);
    let demand = |state| Packet { demand: true, ..says(state) };
    assert_eq!(unasked(&mut session, demand(State::Up), begin, 5_000 * MS), 0);
    let mut now = begin + 5_000 * MS;
    // A Poll is answered.
    let poll = Packet { poll: true, ..demand(State::Up) };
    hear(&mut session, poll, now);
    let said = sent(&mut session, now);
    assert!(said.len() == 1 && said[0].is_final);
    // A Poll Sequence of ours is sent until it is answered.
    session.set_config(every(100));
    let polls = unasked(&mut session, demand(State::Up), now, 1_000 * MS);
    assert!((18..=26).contains(&polls), "{polls}");
    now += 1_000 * MS;
    let answer = Packet { is_final: true, ..demand(State::Up) };
    hear(&mut session, answer, now);
    assert_eq!(unasked(&mut session, demand(State::Up), now, 2_000 * MS), 0);
    now += 2_000 * MS;
    // What is not agreed yet because Finals may be under way wakes nobody up before they are in.
    session.set_config(every(50));
    assert_eq!(sent(&mut session, now).len(), 1);
    // Silence is not asked of who is not Up.
    let heard = unasked(&mut session, demand(State::Down), now, 5_000 * MS);
    assert!(heard >= 5, "{heard}");
    assert_eq!(session.state(), State::Init);
    // It asks for no silence of its own.
    assert!(!session.packet().demand);
}

/// A demand that is taken back.
#[test]
fn silence_ends_when_it_is_not_asked_for() {
    let begin = Instant::now();
    let mut session = up(begin);
    let demand = Packet { demand: true, ..says(State::Up) };
    assert_eq!(unasked(&mut session, demand, begin, 1_000 * MS), 0);
    let now = begin + 1_000 * MS;
    hear(&mut session, says(State::Up), now);
    assert_eq!(sent(&mut session, now).len(), 1, "it is long due");
}

/// As slow as can be said, and as patient: nothing overflows, and the next packet puts it right.
#[test]
fn the_longest_times_are_borne() {
    let now = Instant::now();
    let mut session = up(now);
    let endless = Packet {
        detect_mult: 255,
        desired_min_tx: Micros(u32::MAX),
        required_min_rx: Micros(u32::MAX),
        ..says(State::Up)
    };
    hear(&mut session, endless, now);
    let longest = Micros(u32::MAX).duration();
    assert_eq!(in_force(&session), (longest, longest * 255));
    assert!(sent(&mut session, now).is_empty());
    session.handle_timeout(now);
    assert!(session.poll_timeout(now).unwrap() > now + longest / 2);
    hear(&mut session, says(State::Up), now + 40 * MS);
    assert_eq!(in_force(&session), (50 * MS, 150 * MS));
    assert!(session.poll_timeout(now).unwrap() <= now + 50 * MS);
    session.set_config(Config {
        desired_min_tx: Micros(u32::MAX),
        required_min_rx: Micros(u32::MAX),
        detect_mult: NonZeroU8::MAX,
        ..config()
    });
    assert_eq!(session.remote_detection_time(), longest * 255);
    assert_eq!(in_force(&session), (50 * MS, longest * 3));
}

/// Intervals of 0, which are none: it neither spins nor asks for silence.
#[test]
fn an_interval_of_nothing_is_a_microsecond() {
    let now = Instant::now();
    let zero = Config { desired_min_tx: Micros(0), required_min_rx: Micros(0), ..config() };
    let mut session = Session::new(zero.clone(), number(1), 7);
    assert_eq!(sent(&mut session, now)[0].required_min_rx, Micros(1));
    let mut session = up(now);
    session.set_config(zero);
    let hasty = Packet { is_final: true, desired_min_tx: Micros(0), required_min_rx: Micros(1), ..says(State::Up) };
    let said = sent(&mut session, now);
    assert_eq!((said[0].desired_min_tx, said[0].required_min_rx), (Micros(1), Micros(1)));
    hear(&mut session, hasty, now);
    sent(&mut session, now);
    assert!(session.poll_timeout(now).unwrap() > now);
    assert_eq!(in_force(&session).0, MS / 1_000);
}

/// What is set is told by the next packet, at once.
#[test]
fn what_is_set_wakes_its_driver() {
    type Deed = fn(&mut Session);
    let now = Instant::now();
    let deeds: [(&str, Deed); 4] = [
        ("admin down", |session| session.set_admin_down(true)),
        ("suspended", |session| session.set_suspended(true)),
        ("intervals", |session| session.set_config(every(100))),
        ("multiplier", |session| {
            session.set_config(Config { detect_mult: NonZeroU8::new(5).unwrap(), ..config() });
        }),
    ];
    for (what, deed) in deeds {
        let mut session = up(now);
        assert!(session.poll_timeout(now).unwrap() > now);
        deed(&mut session);
        assert_eq!(session.poll_timeout(now), Some(now), "{what}");
        assert_eq!(sent(&mut session, now).len(), 1, "{what}");
        assert!(session.poll_timeout(now).unwrap() > now, "{what}");
    }
}

/// §6.1, §6.8.7.
#[test]
fn who_is_passive_speaks_only_to_who_is_there() {
    let now = Instant::now();
    let passive = Config { passive: true, ..config() };
    let mut session = Session::new(passive, number(1), 7);
    assert_eq!(session.poll_timeout(now), None);
    session.set_admin_down(true);
    session.set_admin_down(false);
    assert_eq!(session.poll_timeout(now), None);
    hear(&mut session, says(State::Down), now);
    assert_eq!(sent(&mut session, now).len(), 1);
    let gone = now + session.detection_time();
    session.handle_timeout(gone);
    assert!(sent(&mut session, gone).is_empty());
    session.handle_timeout(gone + session.detection_time() + 10_000 * MS);
    assert_eq!(session.poll_timeout(gone), None, "nothing is left to do");
}

/// Jitter (§6.8.7): between three quarters and all of the interval, or nine tenths where the multiplier is 1; and spread over that.
#[test]
fn no_packet_is_sent_on_the_beat() {
    for (mult, most) in [(1, 45), (2, 50), (255, 50)] {
        let begin = Instant::now();
        let mut session = up(begin);
        session.set_config(Config { detect_mult: NonZeroU8::new(mult).unwrap(), ..config() });
        let (mut now, mut times) = (begin, Vec::new());
        for _ in 0..2_000 {
            hear(&mut session, says(State::Up), now);
            if !sent(&mut session, now).is_empty() {
                times.push(now);
            }
            now = session.poll_timeout(now).unwrap();
        }
        let gaps: Vec<Duration> = times.windows(2).map(|two| two[1] - two[0]).collect();
        let (least, longest) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
        let most = most * MS;
        assert!(*least >= 37_500 * MS / 1_000 && *least < 38 * MS, "{least:?}");
        assert!(*longest <= most && *longest > most - MS, "{longest:?}");
        let mean = gaps.iter().sum::<Duration>() / u32::try_from(gaps.len()).unwrap();
        let middle = (most + 37_500 * MS / 1_000) / 2;
        assert!(mean.abs_diff(middle) < MS, "{mean:?}");
    }
}
