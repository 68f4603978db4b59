//! One direction of a connection: from segments in any order to whole BGP messages.

use std::collections::BTreeMap;

use bytes::{Buf as _, Bytes, BytesMut};

/// RFC 4271 §4.1: sixteen octets of ones, a length, a type.
const MARKER: [u8; 16] = [0xFF; 16];
const HEADER: usize = 19;
/// Segments that may wait for one before them; a packet that was not captured never comes.
const WAITING: usize = 64;

/// What was sent so far.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The sequence number behind `octets`; none while the capture has not found a place to begin.
    next: Option<u32>,
    /// What is not a whole message yet.
    octets: BytesMut,
    /// What came too early, by sequence number.
    waiting: BTreeMap<u32, Bytes>,
}

/// A message and the sequence number behind it: acknowledged when that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Framed {
    pub(super) message: Bytes,
    pub(super) end: u32,
}

impl Stream {
    /// A SYN takes one sequence number.
    pub(super) fn begin(&mut self, seq: u32) {
        *self = Self { next: Some(seq.wrapping_add(1)), ..Self::default() };
    }

    /// Takes the payload of a segment, and returns the messages that are whole now.
    pub(super) fn push(&mut self, seq: u32, payload: &[u8]) -> Vec<Framed> {
        if payload.is_empty() {
            return Vec::new();
        }
        // A capture that begins, or goes on behind a hole, in the middle of a session waits for a segment that starts with
        // a message.
        let next = match self.next {
            Some(next) => next,
            None if payload.starts_with(&MARKER) => seq,
            None => return Vec::new(),
        };
        self.next = Some(next);
        self.waiting.insert(seq, Bytes::copy_from_slice(payload));
        let mut framed = Vec::new();
        self.take(&mut framed);
        if self.waiting.len() > WAITING {
            self.skip_hole(&mut framed);
        }
        framed
    }

    /// Takes all that follows without a hole.
    fn take(&mut self, framed: &mut Vec<Framed>) {
        while let Some((next, seq)) = self.next.zip(self.ready()) {
            let Some(payload) = self.waiting.remove(&seq) else { return };
            // Sent before, in part or as a whole.
            let known = next.wrapping_sub(seq) as usize;
            let Some(fresh) = payload.get(known..) else { continue };
            self.octets.extend_from_slice(fresh);
            self.next = Some(next.wrapping_add(fresh.len() as u32));
            self.cut(framed);
        }
    }

    /// A segment that begins at, or before, what is wanted next.
    fn ready(&self) -> Option<u32> {
        let next = self.next?;
        self.waiting.keys().copied().find(|seq| !is_after(*seq, next))
    }

    /// Whole messages off the front. Where there is none but the octets cannot be the front of one either, the place is lost.
    fn cut(&mut self, framed: &mut Vec<Framed>) {
        while self.octets.len() >= HEADER {
            let length = usize::from(u16::from_be_bytes([self.octets[16], self.octets[17]]));
            if !self.octets.starts_with(&MARKER) || length < HEADER {
                self.octets.clear();
                self.next = None;
                return;
            }
            if self.octets.len() < length {
                return;
            }
            let message = self.octets.split_to(length).freeze();
            let Some(next) = self.next else { return };
            framed.push(Framed { message, end: next.wrapping_sub(self.octets.remaining() as u32) });
        }
    }

    /// Goes on behind a packet that was never captured.
    fn skip_hole(&mut self, framed: &mut Vec<Framed>) {
        self.octets.clear();
        self.next = None;
        let waiting = std::mem::take(&mut self.waiting);
        let Some(first) = waiting.iter().find(|(_, payload)| payload.starts_with(&MARKER)).map(|(seq, _)| *seq) else {
            return;
        };
        self.next = Some(first);
        self.waiting = waiting.into_iter().filter(|(seq, _)| *seq == first || is_after(*seq, first)).collect();
        self.take(framed);
    }
}

/// Whether `a` comes after `b`, modulo 2³² (RFC 9293 §3.4).
pub(super) const fn is_after(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 31
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A message of that type and body.
    pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(HEADER + body.len()).unwrap().to_be_bytes();
        [&MARKER[..], &length, &[kind], body].concat()
    }

    fn kinds(framed: &[Framed]) -> Vec<u8> {
        framed.iter().map(|framed| framed.message[18]).collect()
    }

    /// Pushes pieces by where they begin and end in `octets`, and returns the types of the messages found.
    fn fed(octets: &[u8], start: u32, pieces: &[(usize, usize)]) -> Vec<u8> {
        let mut stream = Stream::default();
        stream.begin(start.wrapping_sub(1));
        let push = |&(from, to): &(usize, usize)| stream.push(start.wrapping_add(from as u32), &octets[from..to]);
        kinds(&pieces.iter().flat_map(push).collect::<Vec<_>>())
    }

    #[test]
    fn messages_are_found_however_they_are_cut_and_ordered() {
        let octets = [message(1, &[7; 10]), message(4, &[]), message(2, &[0; 30])].concat();
        let all = octets.len();
        for start in [0, 1000, u32::MAX - 20] {
            for cut in 1..all - 1 {
                for pieces in [
                    vec![(0, cut), (cut, all)],
                    vec![(cut, all), (0, cut)],
                    vec![(0, cut), (0, cut), (cut, all), (cut, all)],
                    vec![(0, cut), (cut / 2, all)],
                    vec![(0, cut), (cut / 2, cut), (cut, all)],
                ] {
                    assert_eq!(fed(&octets, start, &pieces), [1, 4, 2], "{start} {pieces:?}");
                }
            }
            let single: Vec<_> = (0..all).map(|at| (at, at + 1)).collect();
            assert_eq!(fed(&octets, start, &single), [1, 4, 2]);
        }
    }

    #[test]
    fn a_message_knows_what_acknowledges_it() {
        let octets = [message(4, &[]), message(2, &[0; 4])].concat();
        let mut stream = Stream::default();
        stream.begin(99);
        let ends: Vec<_> = stream.push(100, &octets).iter().map(|framed| framed.end).collect();
        assert_eq!(ends, [119, 142]);
        assert!(is_after(142, 119) && !is_after(119, 142) && !is_after(7, 7) && is_after(3, u32::MAX));
    }

    #[test]
    fn a_capture_that_begins_late_begins_with_a_message() {
        let mut stream = Stream::default();
        assert!(stream.push(500, b"the rest of something").is_empty());
        assert_eq!(kinds(&stream.push(521, &message(4, &[]))), [4]);
    }

    #[test]
    fn a_packet_that_never_comes_does_not_end_the_capture() {
        let keepalive = message(4, &[]);
        let mut stream = Stream::default();
        stream.begin(99);
        assert_eq!(kinds(&stream.push(100, &keepalive)), [4]);
        let found: usize = (2..100).map(|n| stream.push(100 + 19 * n, &keepalive).len()).sum();
        assert_eq!(found, 98);
        assert!(stream.waiting.len() <= WAITING);
    }

    #[test]
    fn what_is_not_bgp_is_left_alone() {
        let mut stream = Stream::default();
        stream.begin(99);
        assert!(stream.push(100, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").is_empty());
        assert!(stream.push(500, &[0xFF; 40]).is_empty(), "a length of 65535 is waited for");
        let short = [&MARKER[..], &[0, 18, 4]].concat();
        let mut stream = Stream::default();
        assert!(stream.push(0, &short).is_empty());
        assert_eq!(kinds(&stream.push(19, &message(4, &[]))), [4]);
    }
}
