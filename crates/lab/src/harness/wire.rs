//! What the agent says on the wire, read by somebody else: tshark finds no fault with any of it.

use std::{collections::BTreeMap, process::Stdio};

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use tokio::time::timeout;

use super::{AMPLE, Lab};
use crate::runner::{Process, Streams};

/// Where the packets are kept, in the node.
const PCAP: &str = "/var/log/bgp.pcap";
/// Whose opinion of a packet is none of BGP's: a reset, a lost segment, a TTL of 1.
const BELOW: [&str; 3] = ["TCP", "IPv4", "IPv6"];

/// A capture of all BGP packets that pass a node; it ends when this is dropped.
#[derive(Debug)]
pub struct Wire {
    capture: Process,
    node: String,
    /// Held, so that it goes after the capture: a node's first process cannot end while a child of ours in it is not reaped,
    /// and whoever drops the lab waits for that.
    lab: Lab,
}

/// The BGP messages that a node has sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// How many, by their type (RFC 4271 §4.1: 1 is an OPEN, 2 an UPDATE, …).
    pub messages: BTreeMap<u8, usize>,
    /// The length of the longest.
    pub longest: usize,
}

impl Wire {
    /// Watches from now on.
    ///
    /// # Errors
    /// When nothing can be captured there.
    pub async fn watch(lab: &Lab, node: &str) -> anyhow::Result<Self> {
        let tool = lab.runner().tool(node);
        let argv = [tool.as_str(), "tool", "capture", "--pcap", PCAP];
        // It ends when its input does.
        let streams = Streams { input: Stdio::piped(), output: Stdio::null(), errors: Stdio::null() };
        let capture = lab.runner().spawn(node, &argv, streams)?;
        // The file is made after the socket.
        lab.wait("packets are captured", async || Ok(lab.run(node, &["test", "-e", PCAP]).await.ok())).await?;
        Ok(Self { capture, node: node.to_owned(), lab: lab.clone() })
    }

    /// Ends the capture, and has tshark read what the node itself has sent.
    ///
    /// # Errors
    /// When tshark warns of a message, or cannot read the packets.
    pub async fn judge(mut self) -> anyhow::Result<Sent> {
        self.capture.signal(Signal::SIGTERM)?;
        timeout(AMPLE, self.capture.wait()).await.context("the capture does not end")??;
        let own = own(&self.lab.run(&self.node, &["ip", "-brief", "address"]).await?);
        let filter = format!("bgp and ({own})");
        let expert = format!("expert,warn,{filter}");
        let fields = ["-T", "fields", "-e", "bgp.type", "-e", "bgp.length"];
        let mut argv = vec!["tshark", "-n", "-r", PCAP, "-z", &expert, "-Y", &filter];
        argv.extend(fields);
        read(&self.lab.run(&self.node, &argv).await?)
    }
}

/// What tshark calls a packet from one of the addresses that `ip -brief address` lists.
fn own(listed: &str) -> String {
    let addresses = listed.split_whitespace().filter_map(|word| Some(word.split_once('/')?.0));
    let from = |address: &str| format!("ip{}.src == {address}", if address.contains(':') { "v6" } else { "" });
    addresses.map(from).collect::<Vec<_>>().join(" or ")
}

/// A line for each packet, with the types and the lengths of its messages; then the tables of what the experts say.
fn read(said: &str) -> anyhow::Result<Sent> {
    let mut sent = Sent::default();
    let mut faults = Vec::new();
    for line in said.lines() {
        if let Some((types, lengths)) = line.split_once('\t') {
            for kind in types.split(',').filter_map(|kind| kind.parse().ok()) {
                *sent.messages.entry(kind).or_default() += 1;
            }
            let longest = lengths.split(',').filter_map(|length| length.parse().ok()).max();
            sent.longest = sent.longest.max(longest.unwrap_or_default());
        } else if let [count, _group, protocol, ..] = line.split_whitespace().collect::<Vec<_>>()[..]
            && count.parse::<u64>().is_ok()
            && !BELOW.contains(&protocol)
        {
            match long(line) {
                Some(length) => sent.longest = sent.longest.max(length),
                None => faults.push(line.split_whitespace().collect::<Vec<_>>().join(" ")),
            }
        }
    }
    ensure!(faults.is_empty(), "tshark finds fault with what was sent: {}", faults.join("; "));
    Ok(sent)
}

/// The length of a message that tshark 4.0 believes too long, since it knows nothing of RFC 8654. It does not look into it.
fn long(line: &str) -> Option<usize> {
    let length = line.split_once("Length is invalid ")?.1.trim().parse().ok()?;
    (4097..=65535).contains(&length).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_counted_and_the_experts_heard() {
        let packets = "1\t58\n4\t19\n2,2\t23,5000\n";
        let below = "\nWarns (1)\n=============\n   Frequency      Group           Protocol  Summary\n           \
                     1   Sequence                TCP  Connection reset (RST)\n";
        let sent = read(&format!("{packets}{below}")).unwrap();
        assert_eq!(sent, Sent { messages: BTreeMap::from([(1, 1), (2, 2), (4, 1)]), longest: 5000 });
        let long = "           1  Malformed                BGP  Length is invalid 5080\n";
        assert_eq!(read(&format!("{packets}{long}")).unwrap().longest, 5080);
        let malformed = "           2  Malformed                BGP  Malformed Packet (Exception occurred)\n";
        let error = read(&format!("{packets}{below}{malformed}")).unwrap_err().to_string();
        assert!(error.ends_with("2 Malformed BGP Malformed Packet (Exception occurred)"), "{error}");
    }

    #[test]
    fn a_node_is_known_by_all_of_its_addresses() {
        let listed = "lo    UNKNOWN  127.0.0.1/8 ::1/128\neth1@if2  UP  192.0.2.2/30 fe80::1/64\n";
        assert_eq!(own(listed), "ip.src == 127.0.0.1 or ipv6.src == ::1 or ip.src == 192.0.2.2 or ipv6.src == fe80::1");
    }
}
