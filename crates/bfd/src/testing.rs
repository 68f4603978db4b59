//! What several tests use.

use std::num::{NonZeroU8, NonZeroU32};

use crate::{Config, Diagnostic, Micros, Packet, State};

/// Octets from hexadecimal; what is no digit is for the eye.
pub(crate) fn octets(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u32> = hexadecimal.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks_exact(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
}

pub(crate) fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// A packet of a session that is Up, as the head of `20c0_0318_…` has it.
pub(crate) fn packet() -> Packet {
    Packet {
        diagnostic: Diagnostic::NONE,
        state: State::Up,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        demand: false,
        detect_mult: 3,
        my_discriminator: number(0x1122_3344),
        your_discriminator: 0x5566_7788,
        desired_min_tx: Micros(50_000),
        required_min_rx: Micros(300_000),
        required_min_echo_rx: Micros(0),
    }
}

/// 50 ms × 3.
pub(crate) fn config() -> Config {
    Config {
        desired_min_tx: Micros(50_000),
        required_min_rx: Micros(50_000),
        detect_mult: NonZeroU8::new(3).unwrap(),
        passive: false,
        key: None,
    }
}
