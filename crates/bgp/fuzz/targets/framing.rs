//! A stream of octets, however it is cut: what is a message, and what is the end of it all.
//!
//! Input: size of the parts (0: one part), whether RFC 8654 is in force, the stream.

#![no_main]

use anycast_bgp::{HeaderError, MessageType, fuzzing};
use anycast_bgp_fuzz::{Input, parts};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let (size, extended) = (input.u8(), input.u8() & 1 == 1);
    let stream = input.rest();
    let (messages, error) = fuzzing::frames([stream], extended);
    assert_eq!(fuzzing::frames(parts(stream, size), extended), (messages.clone(), error), "the parts change nothing");

    let mut at = 0;
    for (kind, bytes) in &messages {
        assert_eq!(&stream[at..at + bytes.len()], bytes, "nothing is lost or added");
        at += bytes.len();
        assert_eq!(usize::from(u16::from_be_bytes([bytes[16], bytes[17]])), bytes.len());
        assert_eq!((&bytes[..16], MessageType::from_code(bytes[18])), (&[0xFF; 16][..], Some(*kind)));
        let (least, most) = match kind {
            MessageType::Open => (29, 4096),
            MessageType::Update => (23, 65_535),
            MessageType::Notification => (21, 65_535),
            MessageType::Keepalive => (19, 19),
            MessageType::RouteRefresh => (22, 65_535),
        };
        assert!(bytes.len() >= least && bytes.len() <= if extended { most } else { most.min(4096) }, "{kind}");
    }
    let rest = &stream[at..];
    match error {
        None => {
            let claimed = rest.get(16..18).map_or(19, |field| usize::from(u16::from_be_bytes([field[0], field[1]])));
            assert!(rest.len() < claimed.max(19), "a whole message was left lying");
        }
        Some(error) => {
            let claimed = u16::from_be_bytes([rest[16], rest[17]]);
            match error {
                HeaderError::NotSynchronized => assert_ne!(rest[..16], [0xFF; 16]),
                HeaderError::BadLength(length) => assert_eq!(length, claimed),
                HeaderError::BadType(code) => assert_eq!((code, MessageType::from_code(code)), (rest[18], None)),
            }
            let notification = fuzzing::encode(&error.notification());
            assert_eq!(fuzzing::frames([&notification[..]], false).0, [(MessageType::Notification, notification)]);
        }
    }
});
