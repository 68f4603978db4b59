//! What `ip -oneline -timestamp-short monitor route` says.
//!
//! A router's container has `ip` and no program of ours, so its routing table is watched with that, and read here.

use serde::Serialize;

use super::record::Nanos;

/// The program, to be run in the node.
pub const MONITOR: [&str; 7] = ["env", "TZ=UTC", "ip", "-oneline", "-ts", "monitor", "route"];

/// A change of the routing table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteChange {
    /// When `ip` was told.
    pub at: Nanos,
    /// The prefix, in CIDR notation.
    pub prefix: String,
    /// The route is gone; otherwise it is there, new or changed.
    pub deleted: bool,
    /// The next hops it has, or had.
    pub via: Vec<String>,
}

impl RouteChange {
    /// Reads a line; nothing where it tells of no route to a network, or not of the main table.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let (stamp, change) = line.trim().strip_prefix('[')?.split_once(']')?;
        let at = humantime::parse_rfc3339_weak(stamp).ok()?.into();
        let mut words = change.split_whitespace().peekable();
        let deleted = words.next_if_eq(&"Deleted").is_some();
        let kind = words.next_if(|word| KINDS.contains(word));
        let prefix = words.next().filter(|prefix| prefix.parse::<ipnet::IpNet>().is_ok())?;
        let rest: Vec<&str> = words.collect();
        let behind = |key: &'static str| rest.windows(2).filter(move |pair| pair[0] == key).map(|pair| pair[1]);
        if behind("table").next().is_some() {
            return None;
        }
        let mut via: Vec<String> = behind("via").filter(|hop| *hop != "inet6").map(str::to_owned).collect();
        // RFC 8950: an IPv4 route by way of an IPv6 neighbor is written `via inet6 fe80::1`.
        via.extend(behind("inet6").map(str::to_owned));
        if via.is_empty() {
            via.extend(kind.map(str::to_owned));
        }
        Some(Self { at, prefix: prefix.to_owned(), deleted, via })
    }
}

/// The kinds of routes that stand before their prefix (ip-route(8)).
const KINDS: [&str; 8] =
    ["unicast", "unreachable", "blackhole", "prohibit", "local", "broadcast", "multicast", "throw"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_change() {
        let table: [(&str, &str, bool, &[&str]); 10] = [
            ("203.0.113.0/24 via 192.0.2.3 dev va", "203.0.113.0/24", false, &["192.0.2.3"]),
            ("203.0.113.0/24 nhid 8 via 192.0.2.8 dev va proto bgp metric 20", "203.0.113.0/24", false, &["192.0.2.8"]),
            (
                "203.0.113.0/24 nhid 9 proto bgp metric 20 \\\tnexthop via 192.0.2.9 dev va weight 1 \\\tnexthop via \
                 192.0.2.8 dev va weight 1",
                "203.0.113.0/24",
                false,
                &["192.0.2.9", "192.0.2.8"],
            ),
            (
                "Deleted 203.0.113.0/24 nhid 8 via 192.0.2.8 dev va proto bgp metric 20",
                "203.0.113.0/24",
                true,
                &["192.0.2.8"],
            ),
            (
                "2001:db8:53::/48 metric 1024 pref medium\\\tnexthop via 2001:db8::5 dev va weight 1 \\\tnexthop via \
                 2001:db8::4 dev va weight 1",
                "2001:db8:53::/48",
                false,
                &["2001:db8::5", "2001:db8::4"],
            ),
            ("203.0.113.0/24 via inet6 fe80::1 dev va", "203.0.113.0/24", false, &["fe80::1"]),
            ("unreachable 203.0.113.0/24", "203.0.113.0/24", false, &["unreachable"]),
            ("Deleted unreachable 203.0.113.0/24", "203.0.113.0/24", true, &["unreachable"]),
            ("192.0.2.0/30 dev va scope link", "192.0.2.0/30", false, &[]),
            ("198.51.100.16/28 nhid 3 via 192.0.2.1 dev va", "198.51.100.16/28", false, &["192.0.2.1"]),
        ];
        for (text, prefix, deleted, via) in table {
            let change = RouteChange::parse(&format!("[2026-11-25T04:15:43.894677] {text} ")).unwrap();
            assert_eq!(change.at, Nanos(1_795_580_143_894_677_000), "{text}");
            assert_eq!((change.prefix.as_str(), change.deleted), (prefix, deleted), "{text}");
            assert_eq!(change.via, via, "{text}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for line in [
            "",
            "[",
            "[now] 203.0.113.0/24 via 192.0.2.3",
            "203.0.113.0/24 via 192.0.2.3 dev va",
            "[2026-11-25T04:15:43.894677]",
            "[2026-11-25T04:15:43.894677] Deleted",
            "[2026-11-25T04:15:43.894677] default via 192.0.2.1 dev va",
            "[2026-11-25T04:15:43.894677] local fe80::1 dev vb table local proto kernel metric 0 pref medium",
            "[2026-11-25T04:15:43.894677] 203.0.113.0/24 table local via 192.0.2.3",
        ] {
            assert_eq!(RouteChange::parse(line), None, "{line:?}");
        }
    }
}
