use super::*;
use crate::testing::{octets, packet};

const TYPES: [AuthType; 5] = AuthType::ALL;
const HASHED: [AuthType; 4] = [TYPES[1], TYPES[2], TYPES[3], TYPES[4]];

fn key(auth_type: AuthType, secret: &str) -> Key {
    Key::new(auth_type, 7, secret.as_bytes()).unwrap()
}

/// As a session that has sent and heard these.
const fn sequences(transmitted: u32, received: Option<u32>) -> Sequences {
    Sequences { transmitted, received }
}

fn verify(sequences: &mut Sequences, key: Option<&Key>, octets: &[u8]) -> Result<(), Unauthentic> {
    sequences.verify(key, &Packet::read(octets).expect("it is well formed"))
}

/// A packet that says this sequence number.
fn signed(key: &Key, sequence: u32) -> Vec<u8> {
    sequences(sequence.wrapping_sub(1), None).write(&packet(), Some(key), true)
}

/// The digests are by Python's hashlib, the first by OpenSSL too: of the packet with the key where the digest is to be.
#[test]
fn known_sections_are_written_and_taken() {
    let table = [
        (AuthType::Simple, "secret", "01_09_07_736563726574"),
        (AuthType::Simple, "s", "01_04_07_73"),
        (AuthType::Simple, "0123456789abcdef", "01_13_07_30313233343536373839616263646566"),
        (AuthType::KeyedMd5, "secret", "02_18_07_00_01020304_d5750988adf766d3b03d17fd8bc46d4f"),
        (AuthType::KeyedMd5, "0123456789abcdef", "02_18_07_00_01020304_73dc13b7d4123fc56a0d26177e9eb8f6"),
        (AuthType::MeticulousKeyedMd5, "secret", "03_18_07_00_01020304_b47f3a46b8c829fd4c1e4c64141d9fe9"),
        (AuthType::KeyedSha1, "secret", "04_1c_07_00_01020304_d442aeaef20d58491449bdd446e02fdcc31bd316"),
        (AuthType::KeyedSha1, "0123456789abcdef0123", "04_1c_07_00_01020304_42778142829a6598538924d17755544e86b30086"),
        (AuthType::MeticulousKeyedSha1, "secret", "05_1c_07_00_01020304_3b14d9085b59a9995617526dbbc4a131831bcd6c"),
        (
            AuthType::MeticulousKeyedSha1,
            "0123456789abcdef0123",
            "05_1c_07_00_01020304_5f8d17535dc2ff8b2f33ab76a64692beb0d75f7e",
        ),
    ];
    for (auth_type, secret, section) in table {
        let section = octets(section);
        let length = u8::try_from(24 + section.len()).unwrap();
        let mut expected = octets("20c4_0300_11223344_55667788_0000c350_000493e0_00000000");
        expected[3] = length;
        expected.extend(section);
        let key = key(auth_type, secret);
        assert_eq!(signed(&key, 0x0102_0304), expected, "{auth_type:?}");
        assert_eq!(verify(&mut sequences(0, None), Some(&key), &expected), Ok(()), "{auth_type:?}");
    }
}

#[test]
fn what_is_not_as_configured_is_refused() {
    let mut all = Sequences { transmitted: 0, received: None };
    let plain = packet().head(0);
    for auth_type in TYPES {
        let ours = key(auth_type, "secret");
        let good = signed(&ours, 1);
        let other = |auth_type, id, secret: &str| Key::new(auth_type, id, secret.as_bytes()).ok();
        for other in TYPES.into_iter().filter(|other| *other != auth_type) {
            let refused = verify(&mut all, Some(&ours), &signed(&key(other, "secret"), 1));
            let why = Unauthentic::Type { received: other.code(), configured: auth_type };
            assert_eq!(refused, Err(why));
            assert_eq!(why.to_string(), format!("{}, and {} is configured here", other.name(), auth_type.name()));
        }
        let table = [
            (None, &good[..], Unauthentic::Unwanted { received: auth_type.code() }),
            (Some(ours), &plain[..], Unauthentic::Missing { configured: auth_type }),
            (other(auth_type, 8, "secret"), &good, Unauthentic::KeyId { received: 7, configured: 8 }),
            (other(auth_type, 7, "Secret"), &good, Unauthentic::Digest),
            (other(auth_type, 7, "secret1"), &good, Unauthentic::Digest),
            (other(auth_type, 7, "secre"), &good, Unauthentic::Digest),
        ];
        for (key, octets, why) in table {
            assert_eq!(verify(&mut all, key.as_ref(), octets), Err(why), "{auth_type:?} {key:?}");
        }
    }
    let unknown = Unauthentic::Unwanted { received: 9 };
    assert_eq!(unknown.to_string(), "authentication of type 9, and no authentication is configured here");
    assert_eq!(all.received, None, "what is refused says nothing of the sequence");
    assert_eq!(verify(&mut all, None, &plain), Ok(()));
}

/// Each octet that is covered, and each of the digest.
#[test]
fn no_octet_can_be_another() {
    for auth_type in HASHED {
        let key = key(auth_type, "secret");
        let good = signed(&key, 1);
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let Ok(received) = Packet::read(&bad) else {
                    continue;
                };
                let taken = sequences(0, None).verify(Some(&key), &received);
                assert!(taken.is_err(), "{auth_type:?} octet {at} bit {bit}");
            }
        }
    }
}

#[test]
fn a_section_is_as_long_as_its_type() {
    for auth_type in HASHED {
        let key = key(auth_type, "secret");
        let good = signed(&key, 1);
        for length in 0..=good.len() - 24 + 4 {
            let mut bad = good.clone();
            bad.resize(24 + length, 0);
            bad[3] = u8::try_from(bad.len()).unwrap();
            if let Some(says) = bad.get_mut(25) {
                *says = u8::try_from(length).unwrap();
            }
            let Ok(received) = Packet::read(&bad) else {
                assert!(length < 2);
                continue;
            };
            let expected = if bad == good { Ok(()) } else { Err(Unauthentic::Length) };
            assert_eq!(sequences(0, None).verify(Some(&key), &received), expected, "{auth_type:?} of {length}");
        }
    }
}

/// §6.7.3, §6.7.4: last heard, what comes, whether the keyed and whether the meticulous types take it; the multiplier is 3.
#[test]
fn the_window_is_three_times_the_multiplier() {
    let table = [
        (None, 0, true, true),
        (None, u32::MAX, true, true),
        (Some(100), 99, false, false),
        (Some(100), 100, true, false),
        (Some(100), 101, true, true),
        (Some(100), 109, true, true),
        (Some(100), 110, false, false),
        (Some(100), 0x8000_0064, false, false),
        (Some(u32::MAX), u32::MAX, true, false),
        (Some(u32::MAX), 0, true, true),
        (Some(u32::MAX), 8, true, true),
        (Some(u32::MAX), 9, false, false),
        (Some(0), u32::MAX, false, false),
        (Some(u32::MAX - 3), 5, true, true),
        (Some(u32::MAX - 3), 6, false, false),
    ];
    for auth_type in HASHED {
        let key = key(auth_type, "secret");
        for (last, next, keyed, meticulous) in table {
            let fits = if auth_type.is_meticulous() { meticulous } else { keyed };
            let mut ours = sequences(0, last);
            let expected = if fits { Ok(()) } else { Err(Unauthentic::Sequence) };
            assert_eq!(verify(&mut ours, Some(&key), &signed(&key, next)), expected, "{auth_type:?} {last:?} {next}");
            assert_eq!(ours.received, if fits { Some(next) } else { last });
        }
    }
}

/// The multiplier is the other end's: as many of its packets as it may lose may be missing.
#[test]
fn the_window_is_by_the_multiplier_of_the_packet() {
    for (detect_mult, widest) in [(1, 3), (3, 9), (50, 150), (255, 765)] {
        let key = key(AuthType::MeticulousKeyedSha1, "secret");
        let packet = Packet { detect_mult, ..packet() };
        for (ahead, expected) in [(widest, Ok(())), (widest + 1, Err(Unauthentic::Sequence))] {
            let octets = sequences(99 + ahead, None).write(&packet, Some(&key), true);
            let mut ours = sequences(0, Some(100));
            assert_eq!(verify(&mut ours, Some(&key), &octets), expected, "{ahead} ahead, by {detect_mult}");
        }
    }
}

/// What cannot be proven must not move the window, or anybody could shut the other end out.
#[test]
fn a_forged_packet_leaves_the_window_where_it_was() {
    for auth_type in HASHED {
        let (ours, theirs) = (key(auth_type, "secret"), key(auth_type, "guessed"));
        for last in [None, Some(5)] {
            let mut all = sequences(0, last);
            assert_eq!(verify(&mut all, Some(&ours), &signed(&theirs, 9)), Err(Unauthentic::Digest));
            assert_eq!(all.received, last);
        }
    }
}

/// The keyed types count what is new, the meticulous ones each packet, round and round.
#[test]
fn sequence_numbers_go_on() {
    let changed = [true, false, false, true, false];
    for (auth_type, expected) in [
        (AuthType::KeyedMd5, [u32::MAX, u32::MAX, u32::MAX, 0, 0]),
        (AuthType::KeyedSha1, [u32::MAX, u32::MAX, u32::MAX, 0, 0]),
        (AuthType::MeticulousKeyedMd5, [u32::MAX, 0, 1, 2, 3]),
        (AuthType::MeticulousKeyedSha1, [u32::MAX, 0, 1, 2, 3]),
    ] {
        let key = key(auth_type, "secret");
        let mut all = sequences(u32::MAX - 1, None);
        let said = changed.map(|changed| {
            let octets = all.write(&packet(), Some(&key), changed);
            u32::from_be_bytes(*octets[28..].first_chunk().unwrap())
        });
        assert_eq!(said, expected, "{auth_type:?}");
    }
}

#[test]
fn keys_are_as_long_as_their_type_takes() {
    for (auth_type, longest) in TYPES.into_iter().zip([16, 16, 16, 20, 20]) {
        for length in 0..=longest + 1 {
            let made = Key::new(auth_type, 1, &vec![b'x'; length]);
            if (1..=longest).contains(&length) {
                assert!(made.is_ok(), "{auth_type:?} {length}");
            } else {
                assert_eq!(made, Err(BadKey { length, longest }), "{auth_type:?} {length}");
            }
        }
    }
}

#[test]
fn a_key_is_not_shown() {
    for auth_type in TYPES {
        let shown = format!("{:?}", key(auth_type, "hunter2"));
        assert!(!shown.contains("hunter2") && !shown.contains("104"), "{shown}");
    }
}
