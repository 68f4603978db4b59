//! The body of an UPDATE.
//!
//! Input: one octet of what was negotiated, the body.

#![no_main]

use anycast_bgp::{Family, MessageType, UpdateError, fuzzing};
use anycast_bgp_fuzz::{Input, attributes, contents};
use libfuzzer_sys::fuzz_target;

/// The four low bits of the flags but Extended Length, and Partial: nothing may depend on them.
const IDLE_FLAGS: u8 = 0x2F;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let bits = input.u8();
    let terms = fuzzing::Terms {
        external: bits & 1 == 0,
        four_octet_as: bits & 2 == 0,
        families: if bits & 4 == 0 { Family::ALL.into() } else { [Family::Ipv4Unicast].into() },
        extended_next_hop: bits & 8 != 0,
    };
    let body = input.rest();
    let verdict = fuzzing::update(body, &terms);
    match &verdict {
        Ok(tally) => {
            assert!(tally.announced == 0 || !tally.treated_as_withdraw);
            assert!(tally.announced + tally.withdrawn <= body.len());
            let read = contents(body, &terms.families).expect("what has no error can be read");
            let (announced, withdrawn) = (read.announced.len(), read.withdrawn.len());
            if tally.treated_as_withdraw {
                assert_eq!((tally.announced, tally.withdrawn), (0, announced + withdrawn));
            } else {
                assert_eq!((tally.announced, tally.withdrawn), (announced, withdrawn));
            }
        }
        Err(error) => {
            let notification = error.notification();
            assert!(notification.code == 3 && matches!(notification.subcode, 1 | 9 | 10), "{notification}");
            let message = fuzzing::encode(&notification);
            assert_eq!(fuzzing::frames([&message[..]], false).0, [(MessageType::Notification, message)]);
        }
    }

    // RFC 4271 §4.3: the low bits are ignored; RFC 7606 §3 c asks of the flags no more than Optional and Transitive.
    let Some(idle) = flip_idle_flags(body) else { return };
    match (verdict, fuzzing::update(&idle, &terms)) {
        (Err(UpdateError::Multiprotocol(one)), Err(UpdateError::Multiprotocol(other))) => {
            assert_eq!(one[1..], other[1..])
        }
        (one, other) => assert_eq!(one, other, "idle flags decide nothing"),
    }
});

fn flip_idle_flags(body: &[u8]) -> Option<Vec<u8>> {
    let length = |at: usize| Some(usize::from(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?])));
    let start = 4 + length(0)?;
    let field = body.get(start..start + length(start - 2)?)?;
    let mut flipped = body.to_vec();
    for (at, ..) in attributes(field) {
        flipped[start + at] ^= IDLE_FLAGS;
    }
    Some(flipped)
}
