//! The recent messages of a neighbor: what stands in the file is what went over the wire, and others can read it.

use std::collections::BTreeMap;

use bgpkit_parser::{
    models::{Bgp4MpEnum, MrtMessage},
    parse_mrt_record,
};
use nix::sys::signal::Signal;

use crate::edge::{Edge, PLAIN, V4, V6, story};

const WIRE: &str = "/run/wire.pcap";
const MRT: &str = "/run/rtr.mrt";

/// The octets that each end sent, from its first connection on.
type Said = BTreeMap<String, Vec<u8>>;

/// What the packets say. Nothing is lost or comes twice between two namespaces.
async fn on_the_wire(edge: &Edge) -> anyhow::Result<Said> {
    let fields = ["-T", "fields", "-e", "ip.src", "-e", "tcp.payload"];
    let fresh = "tcp.len > 0 && !tcp.analysis.retransmission";
    let told = edge.run(&[&["tshark", "-r", WIRE, "-Y", fresh], &fields[..]].concat()).await?;
    let mut said = Said::new();
    for line in told.lines() {
        let Some((from, payload)) = line.split_once('\t') else { continue };
        said.entry(from.to_owned()).or_default().extend(octets(payload)?);
    }
    Ok(said)
}

fn octets(hex: &str) -> anyhow::Result<Vec<u8>> {
    let digits: Vec<char> = hex.chars().filter(char::is_ascii_hexdigit).collect();
    Ok(digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16))
        .collect::<Result<_, _>>()?)
}

/// What the file says, read by bgpkit-parser, with the octets of each message cut out of its record.
fn in_the_file(file: &[u8]) -> anyhow::Result<Said> {
    let (mut said, mut reader) = (Said::new(), file);
    while !reader.is_empty() {
        let before = reader;
        let MrtMessage::Bgp4Mp(Bgp4MpEnum::Message(message)) = parse_mrt_record(&mut reader)?.message else { continue };
        let record = &before[..before.len() - reader.len()];
        // RFC 6396 §3, §4.4.3: header with microseconds, two AS numbers, interface, family, two IPv4 addresses.
        let octets = &record[12 + 4 + 8 + 2 + 2 + 8..];
        let from = if message.is_local() { message.local_ip } else { message.peer_ip };
        said.entry(from.to_string()).or_default().extend_from_slice(octets);
    }
    Ok(said)
}

/// RFC 4271 §4.1: the length stands behind the marker.
fn messages(mut octets: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while octets.len() >= 19 {
        let length = usize::from(u16::from_be_bytes([octets[16], octets[17]]));
        let (message, rest) = octets.split_at(length);
        messages.push(message);
        octets = rest;
    }
    messages
}

/// FRR 8.4 says a NOTIFICATION twice. The first ends the session: nobody hears the second.
fn heard(octets: &[u8]) -> Vec<&[u8]> {
    let mut messages = messages(octets);
    messages.dedup_by(|second, first| first[18] == 3 && first == second);
    messages
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_holds_what_went_over_the_wire_and_others_read_it() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let nobody = edge.ctl(&["capture", "rtr", MRT]).await?;
        assert_eq!(nobody.status.code(), Some(69), "{}", nobody.errors);
        edge.configure(PLAIN).await?;
        let watch = format!("sleep infinity | anycast-lab tool capture --pcap {WIRE}; echo over");
        edge.lab.start("edge", &["sh", "-c", &watch], "/run/wire.log").await?;
        edge.wait("it captures", async || Ok(edge.run(&["cat", "/run/wire.log"]).await?.contains("ready"))).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        // A session, the end of it, and the next.
        edge.lab.run("rtr", &["vtysh", "-c", "clear bgp 192.0.2.2"]).await?;
        edge.wait("there is a second session", async || Ok(edge.sessions().await? == 2)).await?;
        edge.announced(V4).await?;
        edge.health("2").await?;
        edge.withdrawn(V4).await?;
        edge.withdrawn(V6).await?;

        let captured = edge.ctl(&["capture", "rtr", MRT]).await?;
        assert!(captured.status.success(), "{}", captured.errors);
        assert!(captured.output.contains("messages of rtr"), "{}", captured.output);
        let again = edge.ctl(&["capture", "rtr", MRT]).await?;
        assert_eq!(again.status.code(), Some(74), "{}", again.errors);
        // A full disk: nothing half-written is left.
        edge.run(&["sh", "-c", "mkdir /run/full && mount -t tmpfs -o size=4k none /run/full && echo x >/run/full/x"])
            .await?;
        let full = edge.ctl(&["capture", "rtr", "/run/full/rtr.mrt"]).await?;
        assert_eq!(full.status.code(), Some(74), "{}", full.output);
        assert!(full.errors.contains("No space left") && full.errors.contains("free space"), "{}", full.errors);
        assert_eq!(edge.run(&["ls", "-A", "/run/full"]).await?, "x\n");
        edge.lab.kill("edge", "sleep", Signal::SIGTERM).await?;
        edge.wait("the packets are in their file", async || {
            Ok(edge.run(&["cat", "/run/wire.log"]).await?.ends_with("over\n"))
        })
        .await?;

        let file = octets(&edge.run(&["od", "-A", "n", "-v", "-t", "x1", MRT]).await?)?;
        let (wire, kept) = (on_the_wire(edge).await?, in_the_file(&file)?);
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["192.0.2.1", "192.0.2.2"]);
        for (from, kept) in &kept {
            // Whichever was ended first misses the last KEEPALIVEs.
            let (wire, kept) = (heard(&wire[from]), messages(kept));
            assert!(wire.starts_with(&kept) || kept.starts_with(&wire), "{from}: {wire:02x?}\n{kept:02x?}");
            let opens = kept.iter().filter(|message| message[18] == 1).count();
            assert!(opens >= 2 && kept.len().abs_diff(wire.len()) <= 5, "{from}: {wire:02x?}\n{kept:02x?}");
        }

        let lines = edge.run(&["bgpdump", "-m", MRT]).await?;
        for wanted in ["|A|192.0.2.1|65101|203.0.113.0/24|65010|", "|W|192.0.2.1|65101|203.0.113.0/24", "|STATE|"] {
            assert!(lines.contains(wanted), "{wanted} is not in\n{lines}");
        }
        let words = edge.run(&["bgpdump", "-H", MRT]).await?;
        for wanted in ["MESSAGE/Open", "MESSAGE_LOCAL/Open", "MESSAGE/Notify", "STATE: Established/Active"] {
            assert!(words.contains(wanted), "{wanted} is not in\n{words}");
        }

        // Wireshark and its tools know no MRT; for them there is another form.
        let pcap = "/run/rtr.pcap";
        assert!(edge.ctl(&["capture", "rtr", pcap, "--pcap"]).await?.status.success());
        let read = edge.run(&["tshark", "-r", pcap]).await?;
        for wanted in
            ["192.0.2.2 → 192.0.2.1", "192.0.2.1 → 192.0.2.2", "OPEN Message", "UPDATE Message", "NOTIFICATION Message"]
        {
            assert!(read.contains(wanted), "{wanted} is not in\n{read}");
        }
        let complaints =
            edge.run(&["tshark", "-r", pcap, "-Y", "_ws.malformed || _ws.expert.severity >= warning"]).await?;
        assert_eq!(complaints, "");
        Ok(())
    };
    story(told, Edge::new().await).await
}
