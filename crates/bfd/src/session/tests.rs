use std::{num::NonZeroU8, time::Instant};

use super::*;
use crate::{
    packet::Packet,
    testing::{config, number, packet},
};

mod handover;
mod polls;
mod progress;
mod silence;
mod states;

const MS: Duration = Duration::from_millis(1);

/// What the other end says, whose name is 77: 50 ms × 3, and it knows us.
fn says(state: State) -> Packet {
    Packet { state, my_discriminator: number(77), your_discriminator: 1, required_min_rx: Micros(50_000), ..packet() }
}

fn hear(session: &mut Session, packet: Packet, now: Instant) {
    let octets = packet.head(0);
    let received = Packet::read(&octets).unwrap();
    session.handle_packet(&received, now).unwrap();
}

/// All that is sent now.
fn sent(session: &mut Session, now: Instant) -> Vec<Packet> {
    std::iter::from_fn(|| session.poll_transmit(now)).map(|octets| Packet::read(&octets).unwrap().packet).collect()
}

fn events(session: &mut Session) -> Vec<Event> {
    std::iter::from_fn(|| session.poll_event()).collect()
}

/// Down, and nobody was heard.
fn down() -> Session {
    Session::new(config(), number(1), 7)
}

/// Up, with the intervals agreed on, and nothing to send or tell at `now`.
fn up(now: Instant) -> Session {
    let mut session = down();
    for state in [State::Down, State::Init] {
        hear(&mut session, says(state), now);
        sent(&mut session, now);
    }
    let acknowledged = Packet { is_final: true, ..says(State::Up) };
    hear(&mut session, acknowledged, now);
    assert_eq!(events(&mut session).last(), Some(&Event::Agreed));
    assert_eq!((session.state(), session.is_polling()), (State::Up, false));
    assert!(sent(&mut session, now).is_empty());
    session
}

/// A session as it may be in that state.
fn in_state(state: State, now: Instant) -> Session {
    let mut session = match state {
        State::AdminDown | State::Down => down(),
        State::Init => {
            let mut session = down();
            hear(&mut session, says(State::Down), now);
            session
        }
        State::Up => up(now),
    };
    session.set_admin_down(state == State::AdminDown);
    sent(&mut session, now);
    events(&mut session);
    assert_eq!(session.state(), state);
    session
}

fn every(milliseconds: u32) -> Config {
    Config { desired_min_tx: Micros(milliseconds * 1_000), required_min_rx: Micros(milliseconds * 1_000), ..config() }
}

/// What is in force: between two packets of ours, and until the other end is gone.
fn in_force(session: &Session) -> (Duration, Duration) {
    (session.transmit_interval(), session.detection_time())
}
