use std::{net::UdpSocket, process::Command};

use super::*;
use crate::kernel::tests::world::{ip, isolated};

/// nft(8), of somebody else, in the namespace of this thread.
fn nft(arguments: &str) -> String {
    let output = Command::new("nft").args(arguments.split_whitespace()).output().expect("nft is installed");
    assert!(output.status.success(), "nft {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn addresses(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn packets(counts: &Counts) -> Vec<(String, u64)> {
    counts.iter().map(|(address, received)| (address.to_string(), received.packets)).collect()
}

#[test]
fn what_is_counted_is_what_is_asked_for() {
    isolated(|| async {
        let (one, two) = (["192.0.2.1", "2001:db8::1"], ["192.0.2.2", "2001:db8::1"]);
        assert_eq!(packets(&settle(&addresses(&one)).unwrap().0), [("192.0.2.1".into(), 0), ("2001:db8::1".into(), 0)]);
        let rules = nft("list table inet anycastd");
        for line in [
            "type filter hook prerouting priority raw; policy accept;",
            "iiftype loopback return",
            "meta iifkind \"vrf\" return",
            "ip daddr @received_v4",
            "ip6 daddr @received_v6",
            "elements = { 192.0.2.1 counter packets 0 bytes 0 }",
        ] {
            assert!(rules.contains(line), "{line}: {rules}");
        }
        assert_eq!(packets(&settle(&addresses(&two)).unwrap().0), [("192.0.2.2".into(), 0), ("2001:db8::1".into(), 0)]);
        // Somebody begins the whole packet filter anew.
        nft("flush ruleset");
        for begins in [true, false] {
            let (counts, anew) = settle(&addresses(&two)).unwrap();
            assert_eq!((counts.len(), anew), (2, begins));
        }
        assert!(nft("list ruleset").contains("192.0.2.2 counter"));
        // Or takes away what counts, and leaves the counters.
        for deed in [
            "flush table inet anycastd",
            "flush chain inet anycastd received",
            "add table inet anycastd { flags dormant; }",
        ] {
            nft(deed);
            let (counts, anew) = settle(&addresses(&two)).unwrap();
            assert_eq!((counts.len(), anew), (2, true), "{deed}");
            let rules = nft("list table inet anycastd");
            assert!(rules.contains("ip daddr @received_v4") && !rules.contains("dormant"), "{deed}: {rules}");
            assert!(rules.contains("hook prerouting") && rules.contains("192.0.2.2 counter"), "{deed}: {rules}");
        }
        // Other tables stay.
        nft("add table inet other");
        remove().unwrap();
        assert_eq!(nft("list ruleset").trim(), "table inet other {\n}");
        assert_eq!(remove().unwrap_err().kind(), io::ErrorKind::NotFound);
    });
}

/// More than fits into one list of elements.
#[test]
fn thousands_of_addresses_are_counted() {
    isolated(|| async {
        let many = |from: u32| (from..from + 3000).map(|low| IpAddr::from((0xC633_0000 + low).to_be_bytes())).collect();
        let (before, after): (BTreeSet<IpAddr>, BTreeSet<IpAddr>) = (many(0), many(1500));
        assert_eq!(settle(&before).unwrap().0.len(), 3000);
        assert_eq!(settle(&after).unwrap().0.keys().copied().collect::<BTreeSet<_>>(), after);
        assert_eq!(settle(&after).unwrap().0.keys().copied().collect::<BTreeSet<_>>(), after);
    });
}

/// The agent's own checks are no clients.
#[test]
fn what_this_node_sends_itself_does_not_count() {
    isolated(|| async {
        ip("address add 203.0.113.80/32 dev lo");
        let wanted = addresses(&["203.0.113.80"]);
        settle(&wanted).unwrap();
        let socket = UdpSocket::bind("203.0.113.80:0").unwrap();
        let to = UdpSocket::bind("203.0.113.80:5300").unwrap();
        for _ in 0..5 {
            socket.send_to(b"x", "203.0.113.80:5300").unwrap();
        }
        let mut heard = [0; 8];
        for _ in 0..5 {
            to.recv(&mut heard).unwrap();
        }
        assert_eq!(packets(&settle(&wanted).unwrap().0), [("203.0.113.80".into(), 0)]);
    });
}
