//! Tells the BGP messages that pass the interfaces of this node, and BFD's packets where it is asked to, with the times at which the kernel
//! saw their packets.
//!
//! The packets are taken off all interfaces but the loopback, in both directions, before (in) and after (out) the packet
//! filter: what a filter drops on its way in is seen, what it drops on its way out is not.

mod flows;
mod message;
mod packet;
mod pcap;
mod socket;
mod stream;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anycast_bfd::SINGLE_HOP_PORT;
use anyhow::Context as _;
use clap::Args;
use tokio::sync::oneshot;

use self::{
    flows::Flows,
    packet::{Datagram, Packet},
    pcap::Pcap,
    socket::PacketSocket,
};
use super::{
    output::{self, Lines},
    record::{Nanos, Record},
};

/// RFC 4271 §8: BGP listens on TCP port 179.
const BGP_PORT: u16 = 179;

/// `capture`.
#[derive(Debug, Args)]
pub struct Capture {
    /// Keep the packets in this file as well, for tshark and its kind
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Tell single-hop BFD's packets, too (RFC 5881 §4)
    #[arg(long)]
    bfd: bool,
}

impl Capture {
    /// Captures until it is enough.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let socket = PacketSocket::open(BGP_PORT, self.bfd.then_some(SINGLE_HOP_PORT))
            .context("cannot capture packets (that takes CAP_NET_RAW)")?;
        let pcap = self.pcap.map(|path| Pcap::create(&path).with_context(|| path.display().to_string())).transpose()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (end, mut ended) = oneshot::channel();
        let told = stop.clone();
        // A thread of its own, on a blocking socket: nothing of the runtime comes between a packet and its reader.
        thread::spawn(move || end.send(watch(&socket, pcap, &told)));
        tokio::select! {
            ended = &mut ended => return ended.context("the capture died")?,
            ended = output::ending() => ended?,
        }
        // It looks every while, and completes the file before it ends.
        stop.store(true, Ordering::Relaxed);
        ended.await.context("the capture died")?
    }
}

/// Reads until told to stop.
fn watch(socket: &PacketSocket, mut pcap: Option<Pcap>, stop: &AtomicBool) -> anyhow::Result<()> {
    let mut lines = Lines::new();
    lines.say(&Record::Ready { at: Nanos::now() });
    let mut flows = Flows::default();
    let mut buffer = vec![0; socket::LONGEST];
    let mut missed = 0;
    let mut until = None;
    loop {
        let asked = Nanos::now();
        // What had passed when it was told to stop may still be waiting.
        if until.is_none() && stop.load(Ordering::Relaxed) {
            until = Some(asked);
        }
        let Some(seen) = socket.receive(&mut buffer).context("cannot read packets")? else {
            if until.is_some() {
                break;
            }
            // Nothing was waiting: whatever passed before is told.
            lines.say(&Record::Decided { at: Nanos::now(), upto: asked });
            continue;
        };
        if until.is_some_and(|until| seen.at > until) {
            break;
        }
        if seen.missed != missed {
            missed = seen.missed;
            lines.say(&Record::Missed { at: seen.at, packets: missed.into() });
        }
        let bytes = buffer.get(..seen.length).unwrap_or_default();
        if let Some(pcap) = &mut pcap {
            pcap.write(seen.at, bytes)?;
        }
        if let Some(packet) = Packet::parse(bytes, BGP_PORT) {
            flows.handle(seen.at, &packet, &mut |record| lines.push(&record));
        } else if let Some(record) = bfd(seen.at, bytes) {
            lines.push(&record);
        }
        lines.flush();
    }
    Ok(())
}

/// A packet of BFD that can be read; its authentication is not looked at.
fn bfd(at: Nanos, bytes: &[u8]) -> Option<Record> {
    let datagram = Datagram::parse(bytes, SINGLE_HOP_PORT)?;
    let packet = anycast_bfd::Packet::read(datagram.payload).ok()?.packet;
    let (state, diagnostic) = (packet.state.to_string(), packet.diagnostic.to_string());
    Some(Record::Bfd { at, from: datagram.from, to: datagram.to, state, diagnostic })
}

#[cfg(test)]
mod tests {
    use super::{packet::tests::datagram, *};

    #[test]
    fn a_packet_of_bfd_is_told() {
        // RFC 5880 §4.1: version 1, Control Detection Time Expired, Down, Detect Mult 3.
        let mut packet = vec![0x21, 0x40, 3, 24, 0, 0, 0, 7, 0, 0, 0, 9];
        packet.extend([0; 12]);
        let bytes = datagram("192.0.2.1:49152", "192.0.2.2:3784", &packet);
        let expected = Record::Bfd {
            at: Nanos(5),
            from: "192.0.2.1:49152".parse().unwrap(),
            to: "192.0.2.2:3784".parse().unwrap(),
            state: "Down".to_owned(),
            diagnostic: "Control Detection Time Expired".to_owned(),
        };
        assert_eq!(bfd(Nanos(5), &bytes), Some(expected));
        assert_eq!(bfd(Nanos(5), &datagram("192.0.2.1:49152", "192.0.2.2:53", &packet)), None);
        assert_eq!(bfd(Nanos(5), &datagram("192.0.2.1:49152", "192.0.2.2:3784", &packet[..23])), None);
    }
}
