//! All connections: each direction is a stream, and each acknowledges the other.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

use super::{
    message,
    packet::Packet,
    stream::{Stream, is_after},
};
use crate::tools::record::{Flag, Nanos, Record};

/// How many directions of connections are kept; a flood of connections must not fill the memory.
const KEPT: usize = 1024;
/// How many UPDATEs of one direction may wait for their acknowledgement.
const UNACKED: usize = 1024;

type Ends = (SocketAddr, SocketAddr);

/// The connections seen so far.
#[derive(Debug, Default)]
pub(super) struct Flows(BTreeMap<Ends, Flow>);

/// One direction.
#[derive(Debug, Default)]
struct Flow {
    stream: Stream,
    /// Of the UPDATEs that are not acknowledged yet: the sequence number behind each, and when it was on the wire.
    unacked: VecDeque<(u32, Nanos)>,
}

impl Flows {
    /// Takes a packet and tells what it shows.
    pub(super) fn handle(&mut self, at: Nanos, packet: &Packet<'_>, tell: &mut dyn FnMut(Record)) {
        let (from, to) = (packet.from, packet.to);
        if let Some(ack) = packet.ack {
            self.acknowledge(at, (to, from), ack, tell);
        }
        let flags = [(packet.syn, Flag::Syn), (packet.fin, Flag::Fin), (packet.rst, Flag::Rst)];
        if packet.syn {
            self.flow((from, to)).stream.begin(packet.seq);
        } else if !packet.payload.is_empty() {
            let flow = self.flow((from, to));
            for framed in flow.stream.push(packet.seq, packet.payload) {
                let message = message::decode(at, from, to, &framed.message);
                if message.kind == message::UPDATE && flow.unacked.len() < UNACKED {
                    flow.unacked.push_back((framed.end, at));
                }
                tell(Record::Message(message));
            }
        }
        for (_, flag) in flags.into_iter().filter(|(set, _)| *set) {
            tell(Record::Segment { at, from, to, flag });
        }
        if packet.rst {
            self.0.remove(&(from, to));
            self.0.remove(&(to, from));
        }
    }

    fn acknowledge(&mut self, at: Nanos, ends: Ends, ack: u32, tell: &mut dyn FnMut(Record)) {
        let Some(flow) = self.0.get_mut(&ends) else { return };
        while let Some((_, sent)) = flow.unacked.front().copied().filter(|(end, _)| !is_after(*end, ack)) {
            flow.unacked.pop_front();
            tell(Record::Acked { at, sent, from: ends.0, to: ends.1 });
        }
    }

    fn flow(&mut self, ends: Ends) -> &mut Flow {
        if self.0.len() >= KEPT && !self.0.contains_key(&ends) {
            self.0.pop_first();
        }
        self.0.entry(ends).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{packet::tests::packet, stream::tests::message},
        *,
    };

    const EDGE: &str = "192.0.2.50:40000";
    const ROUTER: &str = "192.0.2.49:179";
    const FIN: u8 = 0x11;
    const SYN: u8 = 0x02;
    const RST: u8 = 0x14;
    const ACK: u8 = 0x10;

    /// What a packet shows, in words.
    fn told(flows: &mut Flows, at: u64, bytes: &[u8]) -> Vec<String> {
        let mut told = Vec::new();
        let packet = Packet::parse(bytes, 179).unwrap();
        flows.handle(Nanos(at), &packet, &mut |record| {
            told.push(match record {
                Record::Message(message) => format!("{} at {}", message.kind, message.at.0),
                Record::Acked { at, sent, .. } => format!("acked at {} what was sent at {}", at.0, sent.0),
                Record::Segment { flag, from, .. } => format!("{flag:?} from {}", from.ip()),
                other => panic!("{other:?}"),
            });
        });
        told
    }

    #[test]
    fn a_session_is_told_from_its_packets() {
        let mut flows = Flows::default();
        let update = message(2, &[0, 4, 24, 203, 0, 113, 0, 0]);
        let (first, rest) = update.split_at(11);
        let behind = 101 + u32::try_from(update.len()).unwrap();
        for (at, bytes, expected) in [
            (1, packet(EDGE, ROUTER, 100, 0, SYN, b""), vec!["Syn from 192.0.2.50"]),
            (2, packet(EDGE, ROUTER, 101, 0, ACK, first), vec![]),
            (3, packet(ROUTER, EDGE, 500, 112, ACK, b""), vec![]),
            (4, packet(EDGE, ROUTER, 112, 0, ACK, rest), vec!["UPDATE at 4"]),
            (5, packet(ROUTER, EDGE, 500, behind - 1, ACK, b""), vec![]),
            (6, packet(ROUTER, EDGE, 500, behind, ACK, b""), vec!["acked at 6 what was sent at 4"]),
            (7, packet(ROUTER, EDGE, 500, behind, ACK, b""), vec![]),
            (
                8,
                packet(EDGE, ROUTER, behind, 500, FIN, &message(4, &[])),
                vec!["KEEPALIVE at 8", "Fin from 192.0.2.50"],
            ),
            (9, packet(ROUTER, EDGE, 500, 0, RST, b""), vec!["Rst from 192.0.2.49"]),
        ] {
            assert_eq!(told(&mut flows, at, &bytes), expected, "{at}");
        }
        assert!(flows.0.is_empty());
    }

    #[test]
    fn a_flood_of_connections_is_forgotten() {
        let mut flows = Flows::default();
        for port in 1..3000 {
            let from = format!("192.0.2.50:{port}");
            told(&mut flows, 1, &packet(&from, ROUTER, 100, 0, SYN, b""));
        }
        assert!(flows.0.len() <= KEPT);
    }
}
