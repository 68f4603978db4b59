//! One mistake at a time: where it is reported, in what words, and with what remedy.

use super::*;

#[test]
fn keys() {
    errors(&[
        ("  asn: 65010", "  asm: 65010\n  asn: 65010", "2:3", "unknown key `asm`", "did you mean `asn`?"),
        (
            "    addresses: ",
            "    adresses: []\n    addresses: ",
            "10:5",
            "unknown key `adresses`",
            "did you mean `addresses`?",
        ),
        ("services:", "sevices: []\nservices:", "8:1", "unknown key `sevices`", "did you mean `services`?"),
        ("bgp:", "x-y: 1\nbgp:", "1:1", "unknown key `x-y`", "`shutdown`"),
        ("port: 53", "port: 53\n        url: x", "17:9", "unknown key `url`", "the keys known here are"),
        ("  asn: 65010", "  asn: 65010\n  asn: 65011", "3:3", "duplicate key `asn`; it is first on line 2", "keep one"),
        ("services:", "bgp: {}\nservices:", "8:1", "duplicate key `bgp`; it is first on line 1", "keep one"),
        ("  asn: 65010\n", "", "1:1", "missing key `asn`", "`asn: 65010`"),
        ("  asn: 65010", "  ans: 65010", "2:3", "unknown key `ans`", "did you mean `asn`?"),
        ("bgp:", "bpg:", "1:1", "unknown key `bpg`", "did you mean `bgp`?"),
        ("      asn: 65001\n", "", "5:7", "missing key `asn`", "`external`"),
        ("      address: 192.0.2.1\n", "", "5:7", "missing key `address`", "router's address"),
        ("- name: leaf1\n      address", "- address", "5:7", "missing key `name`", "`name: …`"),
        ("        type: tcp\n", "", "14:9", "missing key `type`", "`tcp`, `http`, "),
        ("    addresses: [203.0.113.53/32]\n", "", "9:5", "missing key `addresses`", "`addresses: ["),
        (
            "    checks:\n      - name: accepts\n        type: tcp\n        port: 53\n",
            "",
            "9:5",
            "missing key `checks`",
            "at least one",
        ),
        ("asn: 65010", "asn:", "2:3", "`asn` has no value", "leave the key out"),
        ("asn: 65010", "asn: ~", "2:3", "`asn` has no value", "leave the key out"),
        ("[leaf1]", "[leaf1, ]\n    up:", "13:5", "`up` has no value", "leave the key out"),
        ("bgp:\n", "state: x\nbgp:\n", "1:8", "`state` must be a mapping of keys to values, not `x`", "`state: {"),
        ("  asn: 65010", "  <<: { asn: 1 }\n  asn: 65010", "2:3", "unknown key `<<`", "known here"),
    ]);
}

#[test]
fn top_level_sections() {
    let found = findings("services: []\n");
    let messages: Vec<_> = found.iter().map(|found| (place(found), found.severity, found.message.as_str())).collect();
    let (error, warning) = (Severity::Error, Severity::Warning);
    assert_eq!(
        messages,
        [
            ("1:1".to_owned(), error, "missing key `bgp`"),
            ("1:11".to_owned(), warning, "no services: nothing is announced"),
        ]
    );
}

#[test]
fn types() {
    errors(&[
        ("asn: 65010", "asn: [65010]", "2:8", "`asn` must be a text, not a list", "single word"),
        ("[leaf1]", "leaf1", "12:16", "`neighbors` must be a list, not `leaf1`", "`[leaf1, leaf2]`"),
        ("[203.0.113.53/32]", "203.0.113.53/32", "10:16", "`addresses` must be a list", "`[203.0.113.53/32"),
        ("[leaf1]", "[leaf1, ~]", "12:24", "an empty item in `neighbors`", "remove it"),
        ("port: 53", "port: fifty", "16:15", "`port` must be a number from 1 to 65535, not `fifty`", "decimal"),
        ("port: 53", "port: 0", "16:15", "not `0`", "decimal"),
        ("port: 53", "port: 65536", "16:15", "not `65536`", "decimal"),
        ("port: 53", "port: -1", "16:15", "not `-1`", "decimal"),
        ("port: 53", "port: 0x35", "16:15", "not `0x35`", "decimal"),
        ("port: 53", "port: 5.3", "16:15", "not `5.3`", "decimal"),
        (
            "port: 53",
            "port: 53\n        rise: 0",
            "17:15",
            "`rise` must be a number from 1 to 65535, not `0`",
            "decimal",
        ),
        ("services:", "shutdown: fats\nservices:", "8:11", "`shutdown` cannot be `fats`", "did you mean `fast`?"),
        ("services:", "stale_after: 0s\nservices:", "8:14", "`stale_after` of `0s` is out of range", "from 1s to 1h"),
        ("services:", "stale_after: 10\nservices:", "8:14", "`stale_after: 10` has no unit", "write `10s`"),
        (
            "services:",
            "anchor: maybe\nservices:",
            "8:9",
            "`anchor` cannot be `maybe`",
            "`unreachable`, `blackhole` and `none`",
        ),
        ("services:", "log: { level: warning }\nservices:", "8:15", "`level` cannot be `warning`", "`warn`"),
        ("services:", "log: { format: jsno }\nservices:", "8:16", "`format` cannot be `jsno`", "did you mean `json`?"),
        ("[leaf1]", "[leaf1]\n    traffic: often", "13:14", "`traffic` must be true or false", "without quotes"),
        ("[leaf1]", "[leaf1]\n    unbind: always", "13:13", "`unbind` cannot be `always`", "`never` and `drained`"),
        (
            "  - name: dns",
            "  - dns\n  - name: dns",
            "9:5",
            "a service must be a mapping of keys to values, not `dns`",
            "`name: dns`",
        ),
    ]);
}

#[test]
fn as_numbers_and_router_ids() {
    errors(&[
        ("asn: 65010", "asn: 0", "2:8", "AS number 0 is reserved", "1 to 4294967295"),
        ("asn: 65001", "asn: 0", "7:12", "AS number 0 is reserved", "1 to 4294967295"),
        ("asn: 65010", "asn: 4294967296", "2:8", "an AS number from 1 to 4294967295, not `4294967296`", "plain number"),
        ("asn: 65010", "asn: AS65010", "2:8", "not `AS65010`", "plain number"),
        ("asn: 65010", "asn: 1.10", "2:8", "`1.10` is in dotted notation", "`asn: 65546`"),
        ("asn: 65010", "asn: 23456", "2:8", "AS_TRANS", "the real one"),
        ("asn: 65001", "asn: externel", "7:12", "not `externel`", "plain number"),
        ("id: 192.0.2.11", "id: 0.0.0.0", "3:14", "`0.0.0.0` cannot be a router id", "IPv4 address"),
        ("id: 192.0.2.11", "id: 224.0.0.1", "3:14", "`224.0.0.1` cannot be a router id", "IPv4 address"),
        ("id: 192.0.2.11", "id: edge1", "3:14", "`edge1` cannot be a router id", "IPv4 address"),
        ("id: 192.0.2.11", "id: 203.0.113.53", "10:17", "203.0.113.53 is the router id", "another"),
    ]);
}

#[test]
fn names() {
    const TWO: &str = "asn: 65001\n    - name: leaf1\n      address: 192.0.2.2\n      asn: 65001";
    errors(&[
        ("name: dns", "name: d/ns", "9:11", "`d/ns` cannot be a name", "1 to 63"),
        ("name: accepts", "name: a b", "14:15", "`a b` cannot be a name", "1 to 63"),
        ("asn: 65001", TWO, "8:13", "the name `leaf1` is used by another neighbor on line 5", "each neighbor"),
        (
            "port: 53",
            "port: 53\n      - name: accepts\n        type: tcp\n        port: 54",
            "17:15",
            "the name `accepts` is used by another check on line 14",
            "each check",
        ),
        (
            "port: 53",
            "port: 53\n  - name: dns\n    addresses: [203.0.113.54]\n    checks: [{ name: a, type: tcp, port: 1 }]",
            "17:11",
            "the name `dns` is used by another service on line 9",
            "each service",
        ),
    ]);
    // The service names the neighbor as it is written, so that this is one mistake.
    let found = findings(&SMALL.replace("leaf1", "-leaf"));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((place(&found[0]).as_str(), found[0].message.as_str()), ("5:13", "`-leaf` cannot be a name"));
}

#[test]
fn durations() {
    let with = |value: &str| format!("port: 53\n        interval: {value}");
    let hold = |value: &str| format!("asn: 65001\n      hold_time: {value}");
    // (value, message, hint)
    let intervals = [
        ("90", "`interval: 90` has no unit", "write `90s`, or `90ms`"),
        ("soon", "`interval`: `soon` is not a duration", "`1m30s`"),
        ("1.5x", "is not a duration", "`1m30s`"),
        ("-1s", "is not a duration", "`1m30s`"),
        ("9ms", "`interval` of `9ms` is out of range", "from 10ms to 24h"),
        ("25h", "`interval` of `25h` is out of range", "from 10ms to 24h"),
        ("0s", "out of range", "from 10ms"),
        ("[1s]", "`interval` must be a duration, not a list", "`90s`"),
        ("99999999999999999999y", "is not a duration", "`90s`"),
    ];
    for (value, message, hint) in intervals {
        errors(&[("port: 53", &with(value), "17:19", message, hint)]);
    }
    let hold_times = [
        ("1s", "a hold time of 1s is not possible", "at least 3s"),
        ("2s", "a hold time of 2s is not possible", "0s for a session without keepalives"),
        ("500ms", "a hold time of 500ms is not possible", "at least 3s"),
        ("3s 1ms", "a hold time of 3s1ms is not possible", "RFC 4271 §4.2"),
        ("65536s", "a hold time of 18h12m16s is not possible", "at most 65535s"),
        ("90", "`hold_time: 90` has no unit", "`90s`"),
    ];
    for (value, message, hint) in hold_times {
        errors(&[("asn: 65001", &hold(value), "8:18", message, hint)]);
    }
    errors(&[
        (
            "port: 53",
            "port: 53\n        interval: 1s\n        fast_interval: 2s",
            "18:24",
            "`fast_interval` is longer than `interval`, 1s",
            "a fifth",
        ),
        ("[leaf1]", "[leaf1]\n    drain: 0s", "13:12", "`drain` must be a mapping", "`drain: { graceful_shutdown: 10s"),
        ("[leaf1]", "[leaf1]\n    drain: { linger: 5 }", "13:22", "`linger: 5` has no unit", "`5s`"),
    ]);
}

#[test]
fn neighbors() {
    let with = |line: &str| format!("asn: 65001\n      {line}");
    let cases = [
        ("source: 2001:db8::1", "8:15", "`source` is an IPv6 address, and the neighbor's is IPv4", "an IPv4 address"),
        ("source: 192.0.2.1", "8:15", "`source` is the neighbor's own address", "of this node"),
        ("source: 0.0.0.0", "8:15", "0.0.0.0 is the unspecified address", "itself"),
        ("source: 192.0.2.11/24", "8:15", "`source`: `192.0.2.11/24` is not an IP address", "without a length"),
        ("next_hop: { ipv4: \"2001:db8::1\" }", "8:25", "`2001:db8::1` is an IPv6 address", "other family"),
        ("next_hop: { ipv6: 192.0.2.11 }", "8:25", "`192.0.2.11` is an IPv4 address", "other family"),
        ("next_hop: { ipv5: 192.0.2.11 }", "8:19", "unknown key `ipv5`", "did you mean `ipv4`?"),
        ("next_hop: 192.0.2.11", "8:17", "`next_hop` must be a mapping", "`next_hop: { ipv4:"),
        ("families: []", "8:17", "`families` is empty", "leave it out"),
        ("families: [ipv4, ipv9]", "8:24", "`families` cannot be `ipv9`", "did you mean"),
        ("families: [ipv4, ipv4]", "8:24", "twice in `families`; it is first on line 8", "remove"),
        (
            "families: [ipv6]",
            "8:17",
            "`families` is without ipv4, but the neighbor is to carry 203.0.113.0/24",
            "add `ipv4`",
        ),
        ("max_announced: 0", "8:22", "`max_announced` must be a number from 1 to 4294967295", "decimal"),
        ("max_prefixes: none", "8:21", "`max_prefixes` must be a number from 1 to 4294967295", "decimal"),
        ("next_hop: { ipv6: fe80::1 }", "8:25", "fe80::1 is a link-local address", "`ipv6_link_local: fe80::1`"),
        (
            "next_hop: { ipv6_link_local: \"2001:db8::1\" }",
            "8:36",
            "2001:db8::1 is not a link-local address",
            "begins with fe80",
        ),
        ("next_hop: { ipv6_link_local: 192.0.2.1 }", "8:36", "`192.0.2.1` is an IPv4 address", "other family"),
        ("next_hop: { ipv6_link_local: own }", "8:36", "`own` is not an IP address", "192.0.2.1"),
        (
            "next_hop: { ipv6: none, ipv6_link_local: none }",
            "8:7",
            "neither a global nor a link-local next hop",
            "leave one of the two out",
        ),
        ("port: 70000", "8:13", "`port` must be a number from 1 to 65535", "decimal"),
    ];
    for (line, at, message, hint) in cases {
        errors(&[("asn: 65001", &with(line), at, message, hint)]);
    }
    errors(&[
        ("address: 192.0.2.1", "address: leaf1.example.net", "6:16", "is not an IP address", "192.0.2.1"),
        ("address: 192.0.2.1", "address: 192.0.2.1:179", "6:16", "is not an IP address", "or a port"),
        ("address: 192.0.2.1", "address: 224.0.0.5", "6:16", "224.0.0.5 is a multicast address", "one machine"),
        ("address: 192.0.2.1", "address: 255.255.255.255", "6:16", "is the broadcast address", "one machine"),
        ("address: 192.0.2.1", "address: \"::\"", "6:16", ":: is the unspecified address", "itself"),
        ("address: 192.0.2.1", "address: ::ffff:192.0.2.1", "6:16", "an IPv4 address in IPv6 form", "as IPv4"),
        (
            "address: 192.0.2.1",
            "address: fe80::1",
            "6:16",
            "a link-local address is not supported",
            "`interface: eth1`",
        ),
        (
            "address: 192.0.2.1",
            "address: fe80::1%eth0",
            "6:16",
            "a link-local address is not supported",
            "`interface: eth1`",
        ),
        (
            "address: 192.0.2.1",
            "address: 2001:db8::1",
            "6:16",
            "a session over IPv6 has no next hop for 203.0.113.0/24",
            "`next_hop: { ipv4: … }`",
        ),
    ]);
}

#[test]
fn roles_and_capabilities() {
    const AFTER: &str = "asn: 65001\n      ";
    let with = |line: &str| format!("{AFTER}{line}");
    errors(&[
        ("asn: 65001", &with("role: client"), "8:13", "`role` cannot be `client`", "`customer`"),
        ("asn: 65001", "asn: internal\n      role: peer", "8:7", "a neighbor of our own AS has no role", "remove"),
        ("asn: 65001", &with("role_strict: true"), "8:7", "`role_strict` without a role", "`role: customer`"),
        (
            "asn: 65001",
            &with("role: peer\n      role_strict: yes"),
            "9:20",
            "`role_strict` must be true or false",
            "`true`",
        ),
        ("asn: 65001", &with("drain_by: med"), "8:17", "`drain_by` cannot be `med`", "`gshut`, `prepend` and `none`"),
        ("asn: 65001", &with("capabilities: { add_path: true }"), "8:23", "unknown key `add_path`", "extended_message"),
        ("asn: 65001", &with("capabilities: { extended_mesage: true }"), "8:23", "unknown key", "`extended_message`"),
        ("asn: 65001", &with("capabilities: { extended_message: 1 }"), "8:41", "must be true or false", "`true`"),
    ]);
    let over_ipv6 = small_with("address: 192.0.2.1", "address: 2001:db8::1")
        .replace("asn: 65001", "asn: 65001\n      capabilities: { extended_next_hop: true }");
    assert!(findings(&over_ipv6).is_empty(), "an IPv4 next hop is not needed then");
}

#[test]
fn addresses_and_prefixes() {
    let addresses = [
        ("203.0.113.0/24", "203.0.113.0/24 is not a single address", "write 203.0.113.0/32"),
        ("2001:db8::1/64", "2001:db8::1/64 is not a single address", "write 2001:db8::1/128"),
        ("dns.example.net", "`dns.example.net` is not an IP address", "203.0.113.53/32"),
        ("203.0.113.53/33", "is not an IP address", "203.0.113.53/32"),
        ("0.0.0.0", "0.0.0.0 is the unspecified address", "itself"),
        ("224.0.0.1/32", "224.0.0.1 is a multicast address", "one machine"),
        ("127.0.0.1", "127.0.0.1 is a loopback address", "your own network"),
        ("\"::1\"", "::1 is a loopback address", "your own network"),
        ("fe80::1", "fe80::1 is a link-local address", "your own network"),
        ("169.254.1.1", "169.254.1.1 is a link-local address", "your own network"),
        ("198.51.100.1", "198.51.100.1 lies in none of the service's prefixes", "add 198.51.100.1/32"),
        ("2001:db8::", "`addresses` must be a text, not a mapping", "must be quoted"),
        ("203.0.113.53", "twice in `addresses`; it is first on line 10", "remove"),
    ];
    for (address, message, hint) in addresses {
        let to = format!("[203.0.113.53/32, {address}]");
        errors(&[("[203.0.113.53/32]", &to, "10:34", message, hint)]);
    }
    let prefixes = [
        ("203.0.113.53/24", "203.0.113.53/24 has host bits set", "the network is 203.0.113.0/24"),
        ("2001:db8::1/32", "2001:db8::1/32 has host bits set", "the network is 2001:db8::/32"),
        ("203.0.113.53", "203.0.113.53 has no length", "write 203.0.113.53/32"),
        ("lan", "`lan` is not a prefix", "203.0.113.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0 is the default route", "no more"),
        ("\"::/0\"", "::/0 is the default route", "no more"),
        ("224.0.0.0/4", "224.0.0.0/4 cannot be announced", "your own"),
        ("127.0.0.0/8", "127.0.0.0/8 cannot be announced", "your own"),
        ("203.0.113.0/24", "twice in `prefixes`; it is first on line 11", "remove"),
    ];
    for (prefix, message, hint) in prefixes {
        let to = format!("[203.0.113.0/24, {prefix}]");
        errors(&[("[203.0.113.0/24]", &to, "11:32", message, hint)]);
    }
    errors(&[
        ("[203.0.113.53/32]", "[]", "10:16", "a service without addresses", "`addresses: ["),
        ("[203.0.113.0/24]", "[]", "11:15", "a service without prefixes", "leave the key out"),
    ]);
}

#[test]
fn checks() {
    let kinds = [
        ("type: tpc", "15:15", "`type` cannot be `tpc`", "did you mean `tcp`?"),
        ("type: smtp", "15:15", "`type` cannot be `smtp`", "`tcp`, `http`, "),
        ("type: https", "15:15", "`type` cannot be `https`", "`type: http` with `url: https://…`"),
        ("type: http2", "15:15", "`type` cannot be `http2`", "`http_version: \"2\"`"),
        ("type: ping", "15:15", "`type` cannot be `ping`", "`type: icmp`"),
        ("type: script", "15:15", "`type` cannot be `script`", "`type: exec`"),
        ("type: tcp", "14:9", "a tcp check without `address` or `port`", "`port: 53`"),
        (
            "type: tcp\n        port: 1\n        address: 203.0.113.53:1",
            "16:9",
            "`address` and `port` together",
            "within",
        ),
        ("type: tcp\n        address: 203.0.113.53", "16:18", "is not an address with a port", "203.0.113.53:53"),
        ("type: tcp\n        address: 203.0.113.53:0", "16:18", "is not an address with a port", "203.0.113.53:53"),
        ("type: tcp\n        address: 0.0.0.0:53", "16:18", "nobody answers at 0.0.0.0", "at which"),
        ("type: http", "14:9", "missing key `url`", "https://203.0.113.53/healthz"),
        ("type: http\n        url: 203.0.113.53", "16:14", "`203.0.113.53` is not a URL", "https://"),
        ("type: http\n        url: ftp://203.0.113.53/", "16:14", "is neither http nor https", "https://"),
        ("type: http\n        url: http://203.0.113.53:99999/", "16:14", "has no valid port", "1 to 65535"),
        ("type: http\n        url: http://203.0.113.53:0/", "16:14", "has no valid port", "1 to 65535"),
        ("type: http\n        url: http://a@203.0.113.53/", "16:14", "a URL with a user in it", "log in"),
        ("type: http\n        url: http://a!b/", "16:14", "`a!b` is neither a host name nor an address", "https://"),
        ("type: http\n        url: http://grün.example/", "16:14", "is not plain ASCII", "xn--"),
        ("type: http\n        url: \"http://[::]/\"", "16:14", "nobody answers at ::", "at which"),
        ("type: exec", "14:9", "missing key `command`", "`command: ["),
        ("type: exec\n        command: /bin/true", "16:18", "`command` must be a list, not what is there", "`["),
        ("type: exec\n        command: []", "16:18", "`command` is empty", "`command: ["),
        ("type: exec\n        command: [check_load, -w]", "16:19", "`check_load` is not an absolute path", "no shell"),
        ("type: exec\n        command: [/bin/true, \"\\0\"]", "16:30", "U+0000", "remove"),
    ];
    for (keys, at, message, hint) in kinds {
        errors(&[("type: tcp\n        port: 53", keys, at, message, hint)]);
    }
    let http = "type: http\n        url: http://203.0.113.53/\n        ";
    let expectations = [
        ("expect: 200", "17:17", "`expect` must be a mapping", "`expect: {"),
        (
            "expect: { status: 2xx }",
            "17:27",
            "`status` must be a status code or a range of them, not `2xx`",
            "`200-299`",
        ),
        ("expect: { status: 299-200 }", "17:27", "not `299-200`", "`200-299`"),
        ("expect: { status: 600 }", "17:27", "not `600`", "100 to 599"),
        ("expect: { status: [200, x] }", "17:33", "not `x`", "`200-299`"),
        ("expect: { status: [] }", "17:27", "`status` is empty", "200-299"),
        ("expect: { body: \"\" }", "17:25", "`body` of 0 bytes", "1 to 65536"),
        ("expect: { rcode: NOERROR }", "17:19", "unknown key `rcode`", "`status`, `body` and `header`"),
        ("tls: { verify: false }", "17:9", "`tls` for an http URL", "https"),
    ];
    for (keys, at, message, hint) in expectations {
        errors(&[("type: tcp\n        port: 53", &format!("{http}{keys}"), at, message, hint)]);
    }
    let https = "type: http\n        url: https://203.0.113.53/\n        ";
    let certificates = [
        ("tls: { verify: no }", "17:24", "`verify` must be true or false, not `no`", "without quotes"),
        ("tls: { name: \"a b\" }", "17:22", "`a b` is neither a host name nor an address", "certificate"),
        ("tls: { ca_file: ca.pem }", "17:25", "`ca.pem` is not an absolute path", "beginning with `/`"),
        ("tls: { ca_file: /ca.pem, verify: false }", "17:16", "`ca_file` beside `verify: false`", "leave out"),
    ];
    for (keys, at, message, hint) in certificates {
        errors(&[("type: tcp\n        port: 53", &format!("{https}{keys}"), at, message, hint)]);
    }
}

#[test]
fn requirements() {
    errors(&[
        ("[leaf1]", "[leaf1]\n    require: at least 2", "13:14", "`require: at least 2` of 1 check", "smaller number"),
        ("[leaf1]", "[leaf1]\n    require: at least 0", "13:14", "`require` cannot be `at least 0`", "`at least 2`"),
        ("[leaf1]", "[leaf1]\n    require: 2", "13:14", "`require` cannot be `2`", "`at least 2`"),
        ("[leaf1]", "[leaf1]\n    require: most", "13:14", "`require` cannot be `most`", "`all`, `any`"),
        (
            "\n      - name: accepts\n        type: tcp\n        port: 53\n",
            " []\n    require: at least 2\n",
            "13:13",
            "a service without checks",
            "at least one",
        ),
    ]);
}

#[test]
fn the_agent_itself() {
    let long = format!("control: {{ socket: /{} }}", "x".repeat(107));
    let cases = [
        ("node: { name: \"\" }", "1:15", "`name` cannot be ``", "1 to 255"),
        ("node: { name: \"a\\nb\" }", "1:15", "`name` cannot be `a\\nb`", "printable"),
        ("node: { country: sg }", "1:18", "`sg` is not a country code", "`SG`"),
        ("node: { country: Singapore }", "1:18", "is not a country code", "two capital letters"),
        ("interface: anycast-loopback0", "1:12", "`anycast-loopback0` cannot be the name of an interface", "1 to 15"),
        ("interface: eth0/1", "1:12", "cannot be the name of an interface", "without spaces"),
        (
            "state: { directory: var/lib }",
            "1:21",
            "`directory`: `var/lib` is not an absolute path",
            "beginning with `/`",
        ),
        ("control: { socket: control.sock }", "1:20", "`control.sock` is not an absolute path", "beginning with `/`"),
        (&long, "1:20", "`socket` is longer than 107 bytes", "shorten"),
        ("control: { group: \"a b\" }", "1:19", "`group` cannot be `a b`", "/etc/group"),
        ("control: { operators: root }", "1:23", "`operators` must be a list", "`[alice, bob]`"),
        ("http: { listen: 9273 }", "1:17", "`listen`: `9273` is not an address with a port", "`none`"),
        ("http: { listen: \"localhost:9273\" }", "1:17", "is not an address with a port", "127.0.0.1:9273"),
        ("http: { listen: \"127.0.0.1:0\" }", "1:17", "is not an address with a port", "127.0.0.1:9273"),
        ("prefixes: []", "1:11", "`prefixes` must be a mapping of prefixes to rules, not a list", "require: any"),
    ];
    for (line, at, message, hint) in cases {
        errors(&[("bgp:", &format!("{line}\nbgp:"), at, message, hint)]);
    }
}

#[test]
fn what_the_kernel_cannot_tell() {
    let service = |line: &str| format!("[leaf1]\n    {line}");
    let exec = "type: exec\n        command: [/bin/true]";
    let cases = [
        ("watch: socket", "13:12", "`watch` cannot be `socket`", "write `watch: listener`"),
        ("watch: socket\n    restart_grace: 1s", "13:12", "`watch` cannot be `socket`", "write `watch: listener`"),
        ("watch: [listener]", "13:12", "`watch` is one word, not a list", "write `watch: listener`"),
        ("watch: [unit]\n    restart_grace: 1s", "13:12", "`watch` is one word, not a list", "write `watch: process`"),
        ("watch: [listener, process]", "13:12", "a service is watched in one way", "`watch: listener` for the sockets"),
        ("watch: []", "13:12", "`watch` is one word, not a list", "or `watch: none`"),
        ("watch: { listener: 53 }", "13:12", "`watch` must be one word, not a mapping", "`watch: listener` for the"),
        ("watch: lisener", "13:12", "`watch` cannot be `lisener`", "write `watch: listener`"),
        ("watch: pidfd", "13:12", "`watch` cannot be `pidfd`", "write `watch: process`"),
        ("watch: false", "13:12", "`watch` cannot be `false`", "write `watch: none`"),
        ("watch: everything", "13:12", "`watch` cannot be `everything`", "`watch: process` for its processes"),
        ("restart_grace: 1s", "13:20", "`restart_grace` without `watch`", "write `watch: listener`"),
        ("watch: none\n    restart_grace: 1s", "14:20", "`restart_grace` without `watch`", "write `watch: listener`"),
        ("watch: listener\n    restart_grace: 2m", "14:20", "`restart_grace` of `2m` is out of range", "from 0s to 1m"),
    ];
    for (lines, at, message, hint) in cases {
        errors(&[("[leaf1]", &service(lines), at, message, hint)]);
    }
    for watch in ["listener", "process"] {
        let text = small_with("[leaf1]", &service(&format!("watch: {watch}")));
        let found = findings(&text.replace("type: tcp\n        port: 53", exec));
        let message = format!("`watch: {watch}`, but no check names a socket");
        assert!(found.len() == 1 && found[0].message.contains(&message), "{found:?}");
    }
}

#[test]
fn a_unit_or_a_pid_file_names_the_process() {
    for check in ["type: systemd\n        unit: nginx.service", "type: process\n        pid_file: /run/nginx.pid"] {
        let text = small_with("[leaf1]", "[leaf1]\n    watch: process").replace("type: tcp\n        port: 53", check);
        assert_eq!(findings(&text), [], "{check}");
        let found = findings(&text.replace("watch: process", "watch: listener"));
        assert!(found.len() == 1 && found[0].message.contains("no check names a socket"), "{found:?}");
    }
}

#[test]
fn what_holds_no_connection() {
    let cases = [
        (
            "type: exec\n        command: [/bin/true]",
            "`hold_connection` for a check without a connection",
            "type `tcp`, `http` and `grpc`",
        ),
        (
            "type: http\n        url: http://www.example.net/\n        address: lookup",
            "`hold_connection` for a host that is looked up",
            "write an address in the URL",
        ),
    ];
    for (check, message, hint) in cases {
        let text = small_with("type: tcp\n        port: 53", &format!("{check}\n        hold_connection: true"));
        let found = findings(&text);
        assert!(found.len() == 1 && found[0].message.contains(message), "{found:?}");
        assert!(found[0].hint.contains(hint), "{found:?}");
        assert_eq!(findings(&text.replace("hold_connection: true", "hold_connection: false")), [], "{check}");
    }
    let text = small_with("port: 53", "port: 53\n        hold_connection: maybe");
    let found = findings(&text);
    assert!(found.len() == 1 && found[0].message.contains("true or false"), "{found:?}");
}

/// What would be the next mistake.
#[test]
fn keys_that_are_of_no_use_are_not_recommended() {
    let hint = |text: &str| findings(text).into_iter().map(|found| found.hint).collect::<String>();
    let exec =
        small_with("type: tcp\n        port: 53", "type: exec\n        command: [/bin/true]\n        colour: red");
    assert!(hint(&exec).contains("`command`") && !hint(&exec).contains("hold_connection"), "{}", hint(&exec));
    let tcp = small_with("port: 53", "port: 53\n        colour: red");
    assert!(hint(&tcp).contains("`hold_connection`"), "{}", hint(&tcp));
    let service = small_with("[leaf1]", "[leaf1]\n    colour: red");
    assert!(hint(&service).contains("`checks`") && hint(&service).contains("`disable_file`"), "{}", hint(&service));
}

#[test]
fn a_disable_file_is_a_whole_path() {
    let service = |line: &str| format!("[leaf1]\n    {line}");
    errors(&[
        (
            "[leaf1]",
            service("disable_file: dns.disabled").as_str(),
            "13:19",
            "`disable_file`: `dns.disabled` is not an absolute path",
            "write the whole path, beginning with `/`",
        ),
        ("[leaf1]", service("disable_file: [/run/x]").as_str(), "13:19", "`disable_file`", ""),
    ]);
}

#[test]
fn what_is_not_built_yet() {
    let neighbor = |line: &str| ("asn: 65001", format!("asn: 65001\n      {line}"));
    let top = |line: &str| ("bgp:", format!("{line}\nbgp:"));
    // (where and what, line:column, what is named)
    let cases = [
        (
            neighbor("port: 179\n    - { name: leaf2, interface: eth1, asn: external, connect: passive }"),
            "9:54",
            "`connect: passive` with `interface`",
        ),
        (top("policy: { regions: {} }"), "1:1", "`policy`"),
    ];
    for ((from, to), at, what) in &cases {
        errors(&[(from, to, at, &format!("{what} is not supported in this version"), "")]);
    }
    errors(&[
        (
            "asn: 65001",
            "asn: 65001\n      connect: pasive",
            "8:16",
            "`connect` cannot be `pasive`",
            "did you mean `passive`?",
        ),
        (
            "[leaf1]",
            "[leaf1]\n    on_down: no",
            "13:14",
            "`on_down` cannot be `no`",
            "`withdraw`, `degrade` and `keep`",
        ),
        ("port: 53", "port: 53\n        scope: node", "17:16", "`scope` cannot be `node`", "`local` and `shared`"),
        (
            "port: 53",
            "port: 53\n        scope: global",
            "17:16",
            "`scope` cannot be `global`",
            "write `shared` for what",
        ),
    ]);
}

#[test]
fn states() {
    let service = |lines: &str| ("[leaf1]", format!("[leaf1]\n    {lines}"));
    // (what is written, line:column, message, hint)
    let cases = [
        ("hold_down: always", "13:16", "`hold_down` must be a mapping", "after: 3 flaps in 1m"),
        ("hold_down: {}", "13:5", "missing key `after`", "3 flaps in 1m"),
        ("hold_down: { after: 3 }", "13:25", "`after` cannot be `3`", "`3 flaps in 1m`"),
        ("hold_down: { after: 3 flaps }", "13:25", "`after` cannot be `3 flaps`", "`3 flaps in 1m`"),
        ("hold_down: { after: 0 flaps in 1m }", "13:25", "`after` cannot be", "1 to 1000"),
        ("hold_down: { after: 1001 flaps in 1m }", "13:25", "`after` cannot be", "1 to 1000"),
        ("hold_down: { after: 3 flaps in 0s }", "13:25", "`after` cannot be", "1s to 24h"),
        ("hold_down: { after: 3 flaps in 60 }", "13:25", "`after` cannot be", "in 1m"),
        ("hold_down: { after: 1 flap in 1m, initial: 0s }", "13:48", "`initial` of `0s` is out of range", "from 1s"),
        ("hold_down: { after: 1 flap in 1m, initial: 10 }", "13:48", "`initial: 10` has no unit", "`10s`"),
        ("hold_down: { after: 1 flap in 1m, max: 5s }", "13:44", "`max` is shorter than `initial`, 10s", "longer"),
        ("hold_down: { after: 1 flap in 1m, maximum: 5s }", "13:39", "unknown key `maximum`", "`max`"),
        ("on_hold: degrade", "13:5", "`on_hold` without `hold_down`", "remove it"),
        (
            "on_hold: keep\n    hold_down: { after: 1 flap in 1m }",
            "13:14",
            "`on_hold` cannot be `keep`",
            "`withdraw` and `degrade`",
        ),
        (
            "on_down: keep\n    hold_down: { after: 1 flap in 1m }",
            "13:5",
            "`on_down: keep` with `hold_down`",
            "one of the two",
        ),
        (
            "on_down: degrade\n    hold_down: { after: 1 flap in 1m }",
            "13:5",
            "`on_down: degrade` with `hold_down`",
            "`on_hold: degrade`",
        ),
        ("depends_on: dns", "13:17", "`depends_on` must be a list, not `dns`", "`[dns]`"),
        ("depends_on: [web]", "13:18", "unknown service `web`", "the services are `dns`"),
        ("depends_on: [dsn]", "13:18", "unknown service `dsn`", "did you mean `dns`?"),
        ("depends_on: [dns]", "13:18", "`dns` depends on itself", "remove"),
    ];
    for (lines, at, message, hint) in cases {
        let (from, to) = service(lines);
        errors(&[(from, &to, at, message, hint)]);
    }
    errors(&[
        (
            "port: 53",
            "port: 53\n        scope: shared",
            "14:7",
            "every check of the service is `scope: shared`",
            "`scope: local`",
        ),
        (
            "port: 53",
            "port: 53\n      - { name: other, type: tcp, port: 5, scope: shared }\n    require: at least 2",
            "18:14",
            "`require: at least 2` of 1 check",
            "do not count",
        ),
    ]);
}

#[test]
fn services_that_need_each_other() {
    let web = |needs: &str| {
        format!(
            "port: 53\n    depends_on: [web]\n  - name: web\n    addresses: [203.0.113.80]\n    checks: [{{ name: accepts, type: tcp, port: 80 }}]\n    \
             depends_on: [{needs}]"
        )
    };
    assert!(read(&small_with("port: 53", &web(""))).is_ok());
    errors(&[("port: 53", &web("dns"), "21:18", "`dns` depends on itself: dns → web → dns", "remove one")]);
    errors(&[("port: 53", &web("web"), "21:18", "`web` depends on itself", "its own name")]);
}

#[test]
fn distance_and_authentication() {
    let with = |lines: &str| format!("asn: 65001\n      {lines}");
    let cases = [
        ("ttl_security: 0", "8:21", "`ttl_security` must be a number from 1 to 254, not `0`", "decimal"),
        ("ttl_security: 255", "8:21", "`ttl_security` must be a number from 1 to 254", "decimal"),
        ("multihop: 256", "8:17", "`multihop` must be a number from 1 to 255", "decimal"),
        (
            "ttl_security: 1\n      multihop: 3",
            "9:7",
            "`ttl_security` and `multihop` together",
            "`ttl_security: 3` allows three hops",
        ),
        ("bind_device: a/b", "8:20", "`a/b` cannot be the name of an interface", "1 to 15"),
        (
            "password_file: /x\n      credential: leaf1",
            "9:7",
            "`password_file` and `credential` together",
            "remove one",
        ),
        ("password_file: leaf1.password", "8:22", "is not an absolute path", "beginning with `/`"),
        ("password_file: /none/leaf1", "8:22", "cannot read /none/leaf1: No such file", "the agent's user"),
        ("credential: leaf1", "8:19", "the credential `leaf1` cannot be read", "`LoadCredential=leaf1:"),
        ("credential: ../shadow", "8:19", "`../shadow` cannot be the name of a credential", "LoadCredential="),
    ];
    for (lines, at, message, hint) in cases {
        errors(&[("asn: 65001", &with(lines), at, message, hint)]);
    }
}

#[test]
fn what_belongs_elsewhere_is_sent_there() {
    errors(&[
        ("    checks:", "    timeout: 1s\n    checks:", "13:5", "unknown key `timeout`", "belongs in a check"),
        ("services:", "hold_down: none\nservices:", "8:1", "unknown key `hold_down`", "belongs in a service"),
        ("asn: 65001", "asn: 65001\n      password: x", "8:7", "unknown key `password`", "`password_file`"),
        (
            "    checks:",
            "    depends_on: [{ name: a }]\n    checks:",
            "13:18",
            "must be a name",
            "the name of the service alone",
        ),
        ("type: tcp", "type: ssl", "15:15", "`type` cannot be `ssl`", "`type: tls`"),
        (
            "type: tcp\n        port: 53",
            "type: http\n        port: 80\n        http_version: 3",
            "17:23",
            "`http_version` cannot be `3`",
            "write one of `1.1` and `2`",
        ),
        (
            "type: tcp\n        port: 53",
            "type: tls\n        tls: { name: a }\n        warn_before: 30",
            "17:22",
            "has no unit",
            "write `30d`",
        ),
    ]);
}

#[test]
fn what_proves_little_is_told() {
    let check = "type: tcp\n        port: 53";
    expect_one(
        &[
            (check, "type: icmp", "9:5", "only the kernel is asked", "`type: tcp`"),
            (
                check,
                "type: udp\n        port: 53\n        send: x\n        reply: optional",
                "9:5",
                "no check needs an answer",
                "`dns`",
            ),
            (
                check,
                "type: tcp\n        port: 53\n        timeout: 2s",
                "17:18",
                "longer than `interval`, 1s",
                "never overlap",
            ),
            (check, "type: http\n        url: http://203.0.113.53:443/", "16:14", "in the clear at port 443", "https"),
            (
                "    checks:\n      - name: accepts\n        type: tcp\n        port: 53",
                "    watch: process\n    restart_grace: 5s\n    checks:\n      - { name: a, type: systemd, unit: a.service }",
                "14:20",
                "there is no listener to wait for",
                "leave it out",
            ),
            (
                check,
                "type: tcp\n        port: 53\n      - { name: up, type: tcp, address: \"127.0.0.1:1\", scope: shared, start_delay: 11s }",
                "17:71",
                "`start_delay: 11s` of a shared check is longer than `stale_after`, 10s",
                "announced as degraded",
            ),
        ],
        Severity::Warning,
    );
}

/// A password in the file is a mistake that must not be repeated in a message.
#[test]
fn a_password_in_the_file_is_not_shown() {
    let text = SMALL.replace("asn: 65001", "asn: 65001\n      password: hunter2");
    let error = read(&text).unwrap_err();
    assert!(error.to_string().contains("unknown key `password`") && error.to_string().contains("`password_file`"));
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn who_connects_and_from_where() {
    let with = |lines: &str| format!("asn: 65001\n      {lines}");
    let cases = [
        ("connect: pasive", "8:16", "`connect` cannot be `pasive`", "did you mean `passive`?"),
        ("connect: passive\n      port: 179", "9:7", "`port` is where we dial", "`bgp: { listen:"),
        ("max_sessions: 5", "8:7", "`max_sessions` without `prefix`", "a single router"),
        ("interface: eth1", "8:7", "more than one of `address`, `interface` and `prefix`", "keep the one"),
        ("prefix: 192.0.2.0/24", "8:7", "more than one of `address`, `interface` and `prefix`", "keep the one"),
    ];
    for (lines, at, message, hint) in cases {
        errors(&[("asn: 65001", &with(lines), at, message, hint)]);
    }
    let network = |value: &str| format!("prefix: {value}");
    let cases = [
        ("192.0.2.1/24", "6:15", "192.0.2.1/24 has host bits set", "the network is 192.0.2.0/24"),
        ("192.0.2.1", "6:15", "`192.0.2.1` is not a prefix", "192.0.2.0/24"),
        ("0.0.0.0/0", "6:15", "every router of the world", "your own routers"),
    ];
    for (value, at, message, hint) in cases {
        errors(&[("address: 192.0.2.1", &network(value), at, message, hint)]);
    }
    let network = |rest: &str| format!("prefix: 192.0.2.0/24\n      {rest}");
    errors(&[
        (
            "address: 192.0.2.1",
            &network("connect: active"),
            "7:7",
            "a network cannot be dialled",
            "the routers of a `prefix` connect to us",
        ),
        ("address: 192.0.2.1", &network("max_sessions: 0"), "7:21", "from 1 to 65535, not `0`", "decimal"),
        ("address: 192.0.2.1", &network("source: \"2001:db8::1\""), "7:15", "`source` is an IPv6 address", "IPv4"),
        (
            "  neighbors:\n    - name: leaf1\n      address: 192.0.2.1",
            "  listen: [\"[::]:179\"]\n  neighbors:\n    - name: leaf1\n      prefix: 192.0.2.0/24",
            "7:15",
            "nothing listens where this neighbor connects: `listen` has no IPv4 address",
            "add \"0.0.0.0:179\"",
        ),
        ("  neighbors:", "  listen: [179]\n  neighbors:", "4:12", "`179` is not an address with a port", "0.0.0.0:179"),
    ]);
}

/// The kernel takes the key of the closest network that has one.
#[test]
fn a_neighbor_without_a_password_within_a_network_that_has_one_could_not_connect() {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("leafs");
    fs::write(&file, "hunter2\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    let text = SMALL.replace(
        "      asn: 65001\n",
        &format!(
            "      asn: 65001\n      connect: passive\n    - {{ name: leafs, prefix: 192.0.2.0/24, asn: external, \
             password_file: {} }}\n",
            file.display()
        ),
    );
    let found = findings(&text.replace("neighbors: [leaf1]", "neighbors: [leaf1, leafs]"));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].message.contains("lies in the network of neighbor `leafs`, which has one"), "{found:#?}");
    assert_eq!(place(&found[0]), "6:16");
}

#[test]
fn routes_that_outlive_the_connection() {
    let with = |lines: &str| format!("asn: 65001\n      {lines}");
    errors(&[
        (
            "asn: 65001",
            &with("graceful_restart: maybe"),
            "8:25",
            "`graceful_restart` must be true or false, not `maybe`",
            "`true`",
        ),
        (
            "asn: 65001",
            &with("graceful_restart: { restart_time: 5000s }"),
            "8:41",
            "`restart_time` of `5000s` is out of range",
            "from 1s to 1h8m15s",
        ),
        ("asn: 65001", &with("graceful_restart: { restart_time: 1500ms }"), "8:41", "no whole number", "seconds"),
        (
            "services:",
            "on_exit: keep\nservices:",
            "8:1",
            "`on_exit: keep`, but neighbor `leaf1` would drop the routes",
            "`graceful_restart: true` on every neighbor",
        ),
        ("services:", "on_exit: stay\nservices:", "8:10", "`on_exit` cannot be `stay`", "`withdraw` and `keep`"),
    ]);
    let found = findings(&small_with("asn: 65001", &with("graceful_restart: true")));
    assert_eq!((found.len(), found[0].severity), (1, Severity::Warning));
    assert!(found[0].message.contains("attracts traffic for up to 1m30s + 2m more"), "{found:#?}");
}

/// A session that was to be signed must not begin without.
#[test]
fn tcp_ao_is_an_error_where_the_kernel_has_none() {
    let with = |lines: &str| format!("asn: 65001\n      {lines}");
    errors(&[
        ("asn: 65001", &with("tcp_ao: { send_id: 1, recv_id: 1 }"), "8:7", "`tcp_ao` without a key", "`tcp_ao: {"),
        ("asn: 65001", &with("tcp_ao: hunter2"), "8:15", "`tcp_ao` must be a mapping", "`tcp_ao: {"),
    ]);
    use std::{fs, os::unix::fs::PermissionsExt as _};

    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("leaf1");
    fs::write(&file, "hunter2\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    let file = file.display();
    let text = |more: &str| {
        let key = format!("tcp_ao: {{ password_file: {file}, send_id: 1, recv_id: 2{more} }}");
        small_with("asn: 65001", &with(&key))
    };
    let able = Host { has_tcp_ao: true, ..host() };
    let tuple = |text: &str, host: &Host| {
        let loaded = parse("anycastd.yaml", text, host).map_err(|error| error.to_string())?;
        Ok::<_, String>(loaded.settings.core.neighbors.into_values().next().unwrap().transport.tcp_ao.unwrap())
    };
    let good = tuple(&text(""), &able).unwrap();
    assert_eq!((good.send_id, good.recv_id, good.key.expose()), (1, 2, &b"hunter2"[..]));
    assert!(tuple(&text(", algorithm: aes-128-cmac-96"), &able).is_ok());
    let error = tuple(&text(", algorithm: md5"), &able).unwrap_err();
    assert!(error.contains("`algorithm` cannot be `md5`"), "{error}");
    let both = text("").replace("asn: 65001", &format!("asn: 65001\n      password_file: {file}"));
    let error = tuple(&both, &able).unwrap_err();
    assert!(error.contains("TCP MD5 and TCP-AO together"), "{error}");
    let error = tuple(&text(""), &host()).unwrap_err();
    assert!(error.contains("this kernel has no TCP-AO") && error.contains("CONFIG_TCP_AO"), "{error}");
}

#[test]
fn times_that_are_ours_alone() {
    let with = |line: &str| format!("asn: 65001\n      {line}");
    errors(&[
        ("asn: 65001", &with("connect_retry: 0s"), "8:22", "`connect_retry` of `0s` is out of range", "from 1s to 10m"),
        ("asn: 65001", &with("send_hold_time: 90s"), "8:23", "is not longer than the hold time, 1m30s", "RFC 9687"),
        ("asn: 65001", &with("send_hold_time: 1s"), "8:23", "out of range", "from 3s"),
    ]);
}

#[test]
fn an_unnumbered_neighbor_is_on_a_link() {
    let with = |lines: &str| format!("interface: {lines}");
    errors(&[
        ("address: 192.0.2.1", &with("lo"), "6:18", "no router at the other end of the loopback", "a link"),
        ("address: 192.0.2.1", &with("eth1\n      multihop: 3"), "7:7", "`multihop` with `interface`", "remove it"),
        ("address: 192.0.2.1", &with("eth1\n      source: fe80::1"), "7:7", "`source` with `interface`", "remove it"),
    ]);
}
