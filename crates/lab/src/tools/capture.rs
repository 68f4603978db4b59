//! Tells the BGP messages that pass the interfaces of this node, with the times at which the kernel saw their packets.
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

use anyhow::Context as _;
use clap::Args;
use tokio::sync::oneshot;

use self::{flows::Flows, packet::Packet, pcap::Pcap, socket::PacketSocket};
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
}

impl Capture {
    /// Captures until it is enough.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let socket = PacketSocket::open(BGP_PORT).context("cannot capture packets (that takes CAP_NET_RAW)")?;
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
        let Some(packet) = Packet::parse(bytes, BGP_PORT) else { continue };
        flows.handle(seen.at, &packet, &mut |record| lines.push(&record));
        lines.flush();
    }
    Ok(())
}
