//! A driver that does as it is told sleeps, whatever comes and is set.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Deed {
    Hear(Packet),
    AdminDown(bool),
    Suspend(bool),
    Configure(Config),
    Wait(Duration),
    /// As long as it says, and this much longer.
    Sleep(Duration),
    HandOver,
}

/// Numbers at the edges, and between.
fn micros() -> impl Strategy<Value = Micros> {
    prop_oneof![Just(0), Just(1), Just(u32::MAX), 1_000..2_000_000_u32, any::<u32>()].prop_map(Micros)
}

fn state() -> impl Strategy<Value = State> {
    (0..4_u8).prop_map(State::from_bits)
}

fn anything() -> impl Strategy<Value = Packet> {
    let bits = (any::<bool>(), any::<bool>(), any::<bool>());
    let mult = prop_oneof![Just(1), Just(3), Just(255), 1..=255_u8];
    let numbers = (1..4_u32, mult, micros(), micros());
    (state(), bits, numbers).prop_map(|(state, (poll, is_final, demand), (mine, detect_mult, tx, rx))| Packet {
        poll,
        is_final,
        demand,
        detect_mult,
        my_discriminator: number(mine),
        desired_min_tx: tx,
        required_min_rx: rx,
        ..says(state)
    })
}

fn any_config() -> impl Strategy<Value = Config> {
    (micros(), micros(), 1..=255_u8, any::<bool>()).prop_map(|(tx, rx, mult, passive)| Config {
        desired_min_tx: tx,
        required_min_rx: rx,
        detect_mult: NonZeroU8::new(mult).unwrap(),
        passive,
        key: None,
    })
}

fn deed() -> impl Strategy<Value = Deed> {
    let wait = prop_oneof![0..200_000_u64, 0..20_000_000_u64].prop_map(Duration::from_micros);
    prop_oneof![
        6 => anything().prop_map(Deed::Hear),
        6 => state().prop_map(says).prop_map(Deed::Hear),
        1 => any::<bool>().prop_map(Deed::AdminDown),
        1 => any::<bool>().prop_map(Deed::Suspend),
        2 => any_config().prop_map(Deed::Configure),
        2 => wait.clone().prop_map(Deed::Wait),
        3 => wait.prop_map(|late| Deed::Sleep(late / 100)),
        1 => Just(Deed::HandOver),
    ]
}

proptest! {
    #[test]
    fn a_driver_is_never_kept_awake(config in any_config(), deeds in proptest::collection::vec(deed(), 1..40)) {
        let mut session = Session::new(config, number(1), 7);
        let mut now = Instant::now();
        for deed in deeds {
            match deed {
                Deed::Hear(packet) => {
                    let before = session.state();
                    hear(&mut session, packet, now);
                    prop_assert!(session.state() != State::Up || before == State::Up || matches!(packet.state, State::Init | State::Up));
                }
                Deed::AdminDown(down) => session.set_admin_down(down),
                Deed::Suspend(suspended) => session.set_suspended(suspended),
                Deed::Configure(config) => session.set_config(config),
                Deed::Wait(time) => now += time,
                Deed::Sleep(late) => now = session.poll_timeout(now).unwrap_or(now) + late,
                Deed::HandOver => {
                    let left = session.hand_over(now);
                    session = Session::take_over(session.config().clone(), &left, now).expect("it is ours");
                }
            }
            session.handle_timeout(now);
            let said = sent(&mut session, now);
            prop_assert!(said.len() <= 2, "an answer, and what is due");
            prop_assert!(said.iter().all(|packet| !(packet.poll && packet.is_final)));
            let next = session.poll_timeout(now);
            prop_assert!(next.is_none_or(|at| at > now), "{next:?} {now:?} {session:?}");
            // Nothing is due before it says so.
            if let Some(at) = next {
                let before = at - Duration::from_nanos(1);
                let (state, counters) = (session.state(), session.counters());
                session.handle_timeout(before);
                prop_assert!(sent(&mut session, before).is_empty());
                prop_assert_eq!((session.state(), session.counters()), (state, counters));
            }
            // It is not silent for ever towards who wants to hear.
            let passive = session.config().passive && session.discriminators().1 == 0;
            let demand = session.remote.demand && session.state() == State::Up;
            let wanted = session.remote.required_min_rx.0 > 0 && !demand && !passive;
            prop_assert!(!wanted || next.is_some_and(|at| at <= now + session.transmit_interval()));
        }
    }
}
