use bgpkit_parser::{
    models::{Bgp4MpEnum, BgpState, MrtMessage},
    parse_mrt_record,
};
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::wire;

const WALL: Duration = Duration::from_millis(1_700_000_000_250);

fn asn(number: u32) -> Asn {
    Asn::new(number).expect("not 0")
}

fn connected(now: Instant, local: &str, remote: &str) -> Capture {
    let end = |text: &str| text.parse().expect("an address");
    let mut capture = Capture::new(now);
    let link = Link { local: end(local), remote: end(remote), local_ipv6: None, link_local: None, had_global: false };
    capture.handle_connected(&link, asn(4_200_000_001), Some(asn(65001)));
    capture
}

fn on_ipv4(now: Instant) -> Capture {
    connected(now, "192.0.2.2:40000", "192.0.2.1:179")
}

fn keepalive() -> Bytes {
    wire::message(MessageType::Keepalive, &[])
}

fn update(octet: u8, length: usize) -> Bytes {
    wire::message(MessageType::Update, &vec![octet; length])
}

/// A record as RFC 6396 has it: when, which subtype, and what stands behind the two ends.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    seconds: u32,
    micros: u32,
    subtype: u16,
    message: Vec<u8>,
}

/// Reads a file with none of the code under test.
fn records(mut file: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while !file.is_empty() {
        let number = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap());
        let (kind, subtype) = (u16::from_be_bytes([file[4], file[5]]), u16::from_be_bytes([file[6], file[7]]));
        assert_eq!(kind, 17);
        let (body, rest) = file[12..].split_at(usize::try_from(number(8)).unwrap());
        let numbers = if matches!(subtype, 1 | 6) { 4 } else { 8 };
        let addresses = if body[4 + numbers + 3] == 1 { 8 } else { 32 };
        let message = body[4 + numbers + 4 + addresses..].to_vec();
        records.push(Record { seconds: number(0), micros: number(12), subtype, message });
        file = rest;
    }
    records
}

fn written(capture: &Capture, now: Instant) -> Vec<Record> {
    records(&capture.mrt(now, UNIX_EPOCH + WALL))
}

fn messages(capture: &Capture, now: Instant) -> Vec<Vec<u8>> {
    written(capture, now).into_iter().map(|record| record.message).collect()
}

#[test]
fn a_record_is_laid_out_as_rfc_6396_says() {
    let now = Instant::now();
    let mut capture = on_ipv4(now);
    capture.handle_message(Direction::Sent, MessageType::Keepalive, &keepalive(), now);
    let expected = [
        &1_700_000_000_u32.to_be_bytes()[..],
        &[0, 17, 0, 7],
        &(4_u32 + 20 + 19).to_be_bytes(),
        &250_000_u32.to_be_bytes(),
        &65001_u32.to_be_bytes(),
        &4_200_000_001_u32.to_be_bytes(),
        &[0, 0, 0, 1],
        &[192, 0, 2, 1],
        &[192, 0, 2, 2],
        &keepalive(),
    ];
    assert_eq!(capture.mrt(now, UNIX_EPOCH + WALL), expected.concat());
}

#[test]
fn another_implementation_reads_what_is_written() {
    let now = Instant::now();
    for (local, remote) in [("192.0.2.2:4000", "192.0.2.1:179"), ("[2001:db8::2]:4000", "[2001:db8::1]:179")] {
        let mut capture = connected(now, local, remote);
        capture.handle_state(State::Connect, State::OpenSent, now);
        capture.handle_message(Direction::Received, MessageType::Keepalive, &keepalive(), now);
        capture.handle_message(Direction::Sent, MessageType::Keepalive, &keepalive(), now);
        let file = capture.mrt(now, UNIX_EPOCH + WALL);
        let mut reader = &file[..];
        let (mut changes, mut sent) = (Vec::new(), Vec::new());
        while !reader.is_empty() {
            let record = parse_mrt_record(&mut reader).expect("it is read");
            let header = record.common_header;
            assert_eq!((header.timestamp, header.microsecond_timestamp), (1_700_000_000, Some(250_000)));
            match record.message {
                MrtMessage::Bgp4Mp(Bgp4MpEnum::StateChange(change)) => {
                    changes.push((change.old_state, change.new_state));
                }
                MrtMessage::Bgp4Mp(Bgp4MpEnum::Message(message)) => {
                    assert_eq!(
                        message.peer_ip.to_string(),
                        remote.parse::<std::net::SocketAddr>().unwrap().ip().to_string()
                    );
                    assert_eq!((message.peer_asn.to_u32(), message.local_asn.to_u32()), (65001, 4_200_000_001));
                    sent.push(message.is_local());
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(changes, [(BgpState::Connect, BgpState::OpenSent)]);
        assert_eq!(sent, [false, true]);
    }
}

/// RFC 6396 §4.4.2: the subtype says how wide the numbers in an AS_PATH are.
#[test]
fn a_neighbor_of_two_octet_numbers_has_subtypes_of_its_own() {
    let now = Instant::now();
    let mut capture = on_ipv4(now);
    capture.handle_open(asn(65001), false);
    capture.handle_message(Direction::Received, MessageType::Update, &update(0, 4), now);
    capture.handle_message(Direction::Sent, MessageType::Update, &update(0, 4), now);
    let file = capture.mrt(now, UNIX_EPOCH + WALL);
    assert_eq!(file[16..20], [&65001_u16.to_be_bytes()[..], &AS_TRANS.to_be_bytes()].concat());
    assert_eq!(records(&file).iter().map(|record| record.subtype).collect::<Vec<_>>(), [1, 6]);
}

#[test]
fn times_are_those_of_the_clock_when_it_is_written() {
    let start = Instant::now();
    let mut capture = on_ipv4(start);
    let later = start + Duration::from_millis(1_500);
    capture.handle_message(Direction::Sent, MessageType::Keepalive, &keepalive(), start);
    capture.handle_message(Direction::Sent, MessageType::Keepalive, &keepalive(), later);
    let at = |record: &Record| (record.seconds, record.micros);
    let times: Vec<_> = written(&capture, later + Duration::from_secs(10)).iter().map(at).collect();
    assert_eq!(times, [(1_699_999_988, 750_000), (1_699_999_990, 250_000)]);
    let before_1970 = capture.mrt(later, UNIX_EPOCH);
    assert_eq!(at(&records(&before_1970)[0]), (0, 0));
}

#[test]
fn nothing_is_kept_before_there_is_a_connection_nor_of_dials_that_fail() {
    let now = Instant::now();
    let mut capture = Capture::new(now);
    capture.handle_state(State::Connect, State::OpenSent, now);
    capture.handle_message(Direction::Sent, MessageType::Keepalive, &keepalive(), now);
    assert!(written(&capture, now).is_empty());
    let mut capture = on_ipv4(now);
    capture.handle_state(State::Active, State::Connect, now);
    capture.handle_state(State::Connect, State::Active, now);
    assert!(written(&capture, now).is_empty());
    capture.handle_state(State::OpenSent, State::Active, now);
    assert_eq!(messages(&capture, now), [[0, 4, 0, 3]]);
}

/// What one wants to see afterwards: how the last good session ended, whatever was tried and said since.
#[test]
fn the_end_of_a_session_outlives_floods_and_failing_attempts() {
    let now = Instant::now();
    let mut capture = on_ipv4(now);
    let cease = wire::message(MessageType::Notification, &[6, 2, 3, b'b', b'y', b'e']);
    let refusal = wire::message(MessageType::Notification, &[2, 2]);
    let ours = update(1, 40);
    capture.handle_state(State::OpenConfirm, State::Established, now);
    capture.handle_message(Direction::Sent, MessageType::Update, &ours, now);
    for _ in 0..5_000 {
        capture.handle_message(Direction::Received, MessageType::Update, &update(2, 4_000), now);
        capture.handle_message(Direction::Received, MessageType::Keepalive, &keepalive(), now);
    }
    capture.handle_message(Direction::Received, MessageType::Notification, &cease, now);
    capture.handle_state(State::Established, State::Active, now);
    let again = Link {
        local: "192.0.2.2:5".parse().expect("an address"),
        remote: "192.0.2.1:179".parse().expect("an address"),
        local_ipv6: None,
        link_local: None,
        had_global: false,
    };
    for _ in 0..5_000 {
        capture.handle_connected(&again, asn(65010), None);
        capture.handle_state(State::Connect, State::OpenSent, now);
        capture.handle_message(Direction::Received, MessageType::Notification, &refusal, now);
        capture.handle_state(State::OpenSent, State::Active, now);
    }
    let kept = messages(&capture, now);
    let places: Vec<_> = [&[0, 5, 0, 6][..], &ours, &cease, &[0, 6, 0, 3]]
        .iter()
        .map(|wanted| kept.iter().position(|message| message == wanted).expect("it is there"))
        .collect();
    assert!(places.is_sorted(), "{places:?}");
    assert!(kept.iter().filter(|message| **message == refusal).count() > 100);
}

#[test]
fn the_longest_messages_are_kept_and_push_out_only_their_kind() {
    let now = Instant::now();
    let mut capture = on_ipv4(now);
    let longest = |kind| wire::message(kind, &[9; 65_535 - 19]);
    let cease = wire::message(MessageType::Notification, &[6, 2]);
    capture.handle_state(State::OpenConfirm, State::Established, now);
    capture.handle_message(Direction::Sent, MessageType::Notification, &cease, now);
    for direction in [Direction::Sent, Direction::Received] {
        capture.handle_message(direction, MessageType::Update, &longest(MessageType::Update), now);
    }
    capture.handle_message(Direction::Received, MessageType::Notification, &longest(MessageType::Notification), now);
    let expected = [&[0, 5, 0, 6], &cease[..], &longest(MessageType::Update), &longest(MessageType::Notification)];
    assert_eq!(messages(&capture, now), expected);
}

proptest! {
    /// Whatever comes: the file is in order, within its bounds, and every message in it is one that came, octet by octet.
    #[test]
    fn the_file_is_always_whole(
        sizes in proptest::collection::vec((0_u8..5, 0_usize..9_000, any::<bool>()), 0..120),
    ) {
        let mut now = Instant::now();
        let mut capture = on_ipv4(now);
        let mut said = Vec::new();
        for (number, (kind, size, sent)) in sizes.into_iter().enumerate() {
            now += Duration::from_millis(10);
            let kind = MessageType::from_code(kind + 1).expect("known");
            let message = wire::message(kind, &[&u32::try_from(number).unwrap().to_be_bytes()[..], &vec![0; size]].concat());
            let direction = if sent { Direction::Sent } else { Direction::Received };
            capture.handle_message(direction, kind, &message, now);
            said.push(message.to_vec());
        }
        let file = capture.mrt(now, UNIX_EPOCH + WALL);
        prop_assert!(file.len() <= 256 << 10);
        let records = records(&file);
        prop_assert!(records.is_sorted_by_key(|record| (record.seconds, record.micros)));
        let mut rest = said.iter();
        for record in &records {
            prop_assert!(rest.any(|message| *message == record.message), "out of order, or never said");
        }
        prop_assert_eq!(records.last().map(|record| &record.message), said.last());
    }
}
