//! BFD on the wire: what passes an interface, read by somebody else.
//!
//! dumpcap writes the packets with the kernel's times, BGP's beside them, and tshark reads them: it must find no fault with any of BFD.

use std::{net::IpAddr, process::Stdio, time::Duration};

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use tokio::time::{sleep, timeout};

use super::{AMPLE, Lab};
use crate::{
    runner::{self, Process, Streams},
    tools::record::Nanos,
};

/// RFC 5881 §4 and RFC 5883 §5: where packets go.
pub const SINGLE_HOP_PORT: u16 = 3784;
/// The same of multihop sessions.
pub const MULTIHOP_PORT: u16 = 4784;

/// The kernel hands a block of packets over when it is full, or after so long at most.
const BLOCK: Duration = Duration::from_millis(400);
/// For a capture of some hundred thousand packets.
const READ: Duration = Duration::from_secs(300);
/// What is told of each packet, in this order.
const FIELDS: [&str; 22] = [
    "frame.time_epoch",
    "ip.src",
    "ipv6.src",
    "ip.dst",
    "ipv6.dst",
    "ip.ttl",
    "ipv6.hlim",
    "ip.dsfield.dscp",
    "ipv6.tclass.dscp",
    "udp.srcport",
    "udp.dstport",
    "bfd.sta",
    "bfd.diag",
    "bfd.flags.p",
    "bfd.flags.f",
    "bfd.flags.c",
    "bfd.flags.a",
    "bfd.detect_time_multiplier",
    "bfd.my_discriminator",
    "bfd.your_discriminator",
    "bfd.desired_min_tx_interval",
    "bfd.required_min_rx_interval",
];

/// The states of RFC 5880 §4.1, as numbers.
pub mod state {
    /// Who operates that end holds it down.
    pub const ADMIN_DOWN: u8 = 0;
    /// The other end is not heard.
    pub const DOWN: u8 = 1;
    /// It is, and does not hear us.
    pub const INIT: u8 = 2;
    /// Both ends hear each other.
    pub const UP: u8 = 3;
}

/// A BFD Control packet that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// When, by the kernel.
    pub at: Nanos,
    /// Who sent it.
    pub from: IpAddr,
    /// To whom.
    pub to: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// The code point of its service (RFC 2474).
    pub dscp: u8,
    /// The port it came from.
    pub source_port: u16,
    /// The port it went to.
    pub port: u16,
    /// Of [`state`].
    pub state: u8,
    /// The diagnostic of RFC 5880 §4.1.
    pub diagnostic: u8,
    /// It asks for an answer.
    pub poll: bool,
    /// It is one.
    pub is_final: bool,
    /// The C bit.
    pub control_plane_independent: bool,
    /// It has an authentication section.
    pub authenticated: bool,
    /// Detect Mult.
    pub multiplier: u8,
    /// The sender's name of the session.
    pub mine: u32,
    /// The receiver's.
    pub yours: u32,
    /// Desired Min TX Interval.
    pub desired_min_tx: Duration,
    /// Required Min RX Interval.
    pub required_min_rx: Duration,
}

impl Control {
    fn read(line: &str) -> Option<Self> {
        let fields: [&str; FIELDS.len()] = line.split('\t').collect::<Vec<_>>().try_into().ok()?;
        let [at, from4, from6, to4, to6, ttl4, ttl6, dscp4, dscp6, source_port, port, rest @ ..] = fields;
        let [state, diagnostic, poll, is_final, independent, authenticated, multiplier, mine, yours, tx, rx] = rest;
        let flag = |text: &str| matches!(text, "1" | "True");
        let micros = |text: &str| Some(Duration::from_micros(number(text)?));
        let (seconds, fraction) = at.split_once('.')?;
        let nanos = format!("{fraction:0<9}").get(..9)?.parse::<u64>().ok()?;
        Some(Self {
            at: Nanos(seconds.parse::<u64>().ok()? * 1_000_000_000 + nanos),
            from: either(from4, from6).parse().ok()?,
            to: either(to4, to6).parse().ok()?,
            ttl: either(ttl4, ttl6).parse().ok()?,
            dscp: either(dscp4, dscp6).parse().ok()?,
            source_port: source_port.parse().ok()?,
            port: port.parse().ok()?,
            state: u8::try_from(number(state)?).ok()?,
            diagnostic: u8::try_from(number(diagnostic)?).ok()?,
            poll: flag(poll),
            is_final: flag(is_final),
            control_plane_independent: flag(independent),
            authenticated: flag(authenticated),
            multiplier: multiplier.parse().ok()?,
            mine: u32::try_from(number(mine)?).ok()?,
            yours: u32::try_from(number(yours)?).ok()?,
            desired_min_tx: micros(tx)?,
            required_min_rx: micros(rx)?,
        })
    }

    /// Whether its sender says that the session is Up.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.state == state::UP
    }
}

/// What one of the two families has.
fn either<'a>(v4: &'a str, v6: &'a str) -> &'a str {
    if v4.is_empty() { v6 } else { v4 }
}

/// Decimal, or hexadecimal with `0x`.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A capture of an interface; it ends when this is dropped.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    node: String,
    file: String,
    /// Held, so that it goes after the capture; see [`super::wire::Wire`].
    lab: Lab,
}

impl Capture {
    /// Captures from now on: BFD, BGP and pings.
    ///
    /// # Errors
    /// When nothing can be captured there.
    pub async fn watch(lab: &Lab, node: &str, interface: &str) -> anyhow::Result<Self> {
        let file = format!("/var/log/bfd-{interface}-{}.pcap", Nanos::now().0);
        let filter = "udp port 3784 or udp port 4784 or tcp port 179 or icmp or arp";
        let argv = ["dumpcap", "-q", "-p", "-B", "64", "-i", interface, "-f", filter, "-w", &file];
        let streams = Streams { input: Stdio::null(), output: Stdio::null(), errors: Stdio::null() };
        let process = lab.runner().spawn(node, &argv, streams)?;
        // The file is made after the socket.
        lab.wait("packets are captured", async || Ok(lab.run(node, &["test", "-e", &file]).await.ok())).await?;
        Ok(Self { process, node: node.to_owned(), file, lab: lab.clone() })
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn end(mut self) -> anyhow::Result<Captured> {
        sleep(BLOCK).await;
        self.process.signal(Signal::SIGTERM)?;
        timeout(AMPLE, self.process.wait()).await.context("the capture does not end")??;
        Ok(Captured { lab: self.lab, node: self.node, file: self.file })
    }
}

/// Packets in a file.
#[derive(Debug)]
pub struct Captured {
    lab: Lab,
    node: String,
    file: String,
}

impl Captured {
    /// All packets of BFD in their order; tshark must have understood each, and have nothing to say against it.
    ///
    /// # Errors
    /// When it has.
    pub async fn controls(&self) -> anyhow::Result<Vec<Control>> {
        // An error of ICMP has the packet that it is about in it.
        let all = "(udp.dstport == 3784 or udp.dstport == 4784) and not icmp and not icmpv6";
        let faults = format!("({all}) and (_ws.malformed or _ws.expert or not bfd)");
        let faults = self.tshark(&["-Y", &faults]).await?;
        ensure!(faults.trim().is_empty(), "tshark finds fault with packets of BFD: {faults}");
        let mut argv = vec!["-Y", all, "-T", "fields"];
        argv.extend(FIELDS.iter().flat_map(|field| ["-e", field]));
        let said = self.tshark(&argv).await?;
        said.lines().map(|line| Control::read(line).with_context(|| format!("tshark says {line:?}"))).collect()
    }

    /// What tshark says of all packets, with these arguments.
    ///
    /// # Errors
    /// When it cannot read them.
    pub async fn tshark(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let argv: Vec<&str> = ["tshark", "-n", "-r", &self.file].iter().chain(arguments).copied().collect();
        runner::output(self.lab.runner(), &self.node, &argv, READ).await
    }
}

/// The times between packets that one end sent while both said Up, in milliseconds. An answer to a Poll is not one of those that are
/// due, and neither is what was sent between two that one has to know of.
#[must_use]
pub fn gaps(packets: &[Control], from: IpAddr) -> Vec<f64> {
    let mut gaps = Vec::new();
    let mut last: Option<&Control> = None;
    for packet in packets.iter().filter(|packet| packet.from == from && !packet.is_final) {
        if let Some(before) = last.filter(|before| before.is_up() && packet.is_up()) {
            gaps.push(packet.at.millis_since(before.at));
        }
        last = Some(packet);
    }
    gaps
}

/// How often the end at `from` lost the other: it went from Up to Down because it had not heard it (diagnostic 1), by its own packets.
#[must_use]
pub fn losses(packets: &[Control], from: IpAddr) -> usize {
    let said: Vec<_> =
        packets.iter().filter(|packet| packet.from == from).map(|packet| (packet.state, packet.diagnostic)).collect();
    said.windows(2).filter(|pair| pair[0].0 == state::UP && pair[1] == (state::DOWN, 1)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "1790000000.123456789\t192.0.2.2\t\t192.0.2.1\t\t255\t\t48\t\t50000\t3784\t0x3\t0x01\t1\t0\t0\t0\t3\t\
                        0xdeadbeef\t0x00000007\t50000\t300000";

    fn packet(at: u64, state: u8, diagnostic: u8) -> Control {
        Control { at: Nanos(at * 1_000_000), state, diagnostic, ..Control::read(LINE).unwrap() }
    }

    #[test]
    fn a_line_is_a_packet() {
        let read = Control::read(LINE).unwrap();
        assert_eq!((read.at, read.from, read.ttl), (Nanos(1_790_000_000_123_456_789), [192, 0, 2, 2].into(), 255));
        assert_eq!((read.state, read.diagnostic, read.poll, read.is_final), (state::UP, 1, true, false));
        assert_eq!((read.mine, read.yours, read.required_min_rx), (0xdead_beef, 7, Duration::from_millis(300)));
        let six =
            LINE.replace("\t192.0.2.2\t\t192.0.2.1\t\t255\t\t48\t\t", "\t\t2001:db8::2\t\t2001:db8::1\t\t255\t\t48\t");
        assert_eq!(Control::read(&six).unwrap().from, "2001:db8::2".parse::<IpAddr>().unwrap());
        assert_eq!(Control::read("nothing\tof\tthe kind"), None);
    }

    #[test]
    fn gaps_are_of_one_end_that_is_up() {
        let mut all = vec![packet(0, 3, 0), packet(45, 3, 0), packet(46, 3, 0), packet(90, 3, 0), packet(200, 1, 1)];
        all[2].is_final = true;
        let mut other = packet(50, 3, 0);
        other.from = [192, 0, 2, 1].into();
        all.push(other);
        assert_eq!(gaps(&all, [192, 0, 2, 2].into()), [45.0, 45.0]);
        assert_eq!(losses(&all, [192, 0, 2, 2].into()), 1);
        assert_eq!(losses(&all, [192, 0, 2, 1].into()), 0);
        // Down because the other end said so.
        assert_eq!(losses(&[packet(0, 3, 0), packet(1, 1, 3)], [192, 0, 2, 2].into()), 0);
    }
}
