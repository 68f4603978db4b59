//! The checks of single protocols: what is read, and each mistake with its remedy.

use std::time::Duration;

use anycast_core::config::{DnsFlag, DnsTransport, ProbeConfig, Protocol, UdpExpect};

use super::{good::settings, *};

/// The keys of the only check after `type: …`, below each other as they are in the file.
fn with(kind: &str, keys: &str) -> String {
    small_with("type: tcp\n        port: 53", &format!("type: {kind}\n        {keys}"))
}

fn probe(kind: &str, keys: &str) -> ProbeConfig {
    let service = settings(&with(kind, keys)).core.services.into_values().next().unwrap();
    service.checks.into_values().next().unwrap().probe
}

/// Keys, line:column, message, hint.
fn mistakes(kind: &str, cases: &[(&str, &str, &str, &str)]) {
    for (keys, at, message, hint) in cases {
        let keys = format!("type: {kind}\n        {keys}");
        errors(&[("type: tcp\n        port: 53", &keys, at, message, hint)]);
    }
}

#[test]
fn whom_a_check_asks() {
    let asked = |kind: &str, keys: &str| -> Vec<(Protocol, String)> {
        let sockets = probe(kind, keys).sockets();
        sockets.into_iter().map(|(protocol, address)| (protocol, address.to_string())).collect()
    };
    let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
    let one = |protocol, address: &str| vec![(protocol, address.to_owned())];
    let dns = |keys: &str| asked("dns", &format!("query: example.net A\n        {keys}"));
    assert_eq!(dns("rise: 1"), one(udp, "203.0.113.53:53"));
    assert_eq!(dns("port: 5353"), one(udp, "203.0.113.53:5353"));
    assert_eq!(dns("server: 127.0.0.1"), one(udp, "127.0.0.1:53"));
    assert_eq!(dns("server: \"::1\"\n        port: 5353"), one(udp, "[::1]:5353"));
    assert_eq!(dns("server: \"[::1]:5353\"\n        transport: tcp"), one(tcp, "[::1]:5353"));
    assert_eq!(dns("transport: both"), [one(udp, "203.0.113.53:53"), one(tcp, "203.0.113.53:53")].concat());
    assert_eq!(asked("udp", "port: 123\n        send: x"), one(udp, "203.0.113.53:123"));
    assert_eq!(asked("udp", "address: 127.0.0.1:123\n        send: x"), one(udp, "127.0.0.1:123"));
    assert_eq!(asked("tls", "tls: { name: a.example }"), one(tcp, "203.0.113.53:443"));
    assert_eq!(asked("tls", "tls: { name: a.example }\n        address: 127.0.0.1:853"), one(tcp, "127.0.0.1:853"));
    assert_eq!(asked("icmp", "rise: 1"), []);
    for (kind, keys) in [("icmp", "address: 127.0.0.1"), ("tls", "tls: { verify: false }\n        address: 127.0.0.1")]
    {
        assert_eq!(probe(kind, keys).targets(), [std::net::IpAddr::from([127, 0, 0, 1])], "{kind}");
    }
    mistakes(
        "dns",
        &[
            (
                "query: a A\n        server: ns1.example.net",
                "17:17",
                "`server`: `ns1.example.net` is not an address",
                "leave it out to ask",
            ),
            ("query: a A\n        server: 127.0.0.1:0", "17:17", "is not an address", "203.0.113.53"),
            (
                "query: a A\n        server: 127.0.0.1:53\n        port: 53",
                "18:9",
                "`server` and `port` together",
                "within the address",
            ),
            ("query: a A\n        server: 0.0.0.0", "17:17", "nobody answers at 0.0.0.0", "at which"),
            ("query: a A\n        port: 0", "17:15", "`port` must be a number from 1 to 65535", "decimal"),
        ],
    );
}

#[test]
fn what_a_dns_check_asks_and_expects() {
    let dns = |keys: &str| match probe("dns", keys) {
        ProbeConfig::Dns(dns) => dns,
        other => panic!("{other:?}"),
    };
    let plain = dns("query: health.example.net a");
    assert_eq!(
        (plain.name.as_str(), plain.kind.as_str(), plain.transport),
        ("health.example.net", "A", DnsTransport::Udp)
    );
    assert!(plain.recursion_desired && !plain.dnssec_ok && plain.flags.is_empty() && plain.answers.is_empty());
    assert_eq!((plain.rcode, plain.min_answers), (0, 1), "NOERROR without a record serves nobody");

    let absent = dns("query: none.example.net A\n        expect: { rcode: NXDOMAIN }");
    assert_eq!((absent.rcode, absent.min_answers), (3, 0));
    let strict = dns("query: . NS
        recursion_desired: false
        dnssec_ok: true
        expect: { answer: [a.root-servers.net., b.root-servers.net.], flags: [aa, no-ra], min_answers: 13 }");
    assert!(!strict.recursion_desired && strict.dnssec_ok);
    assert_eq!((strict.answers.len(), strict.min_answers), (2, 13));
    assert_eq!(
        (strict.expects(DnsFlag::Aa), strict.expects(DnsFlag::Ra), strict.expects(DnsFlag::Ad)),
        (Some(true), Some(false), None)
    );
    assert_eq!(dns("query: a A\n        expect: { flags: [tc] }").min_answers, 0);

    mistakes(
        "dns",
        &[
            ("port: 53", "14:9", "missing key `query`", "`query: health.example.net A`"),
            ("query: health.example.net", "16:16", "`query`: `health.example.net` has no type", "a name and a type"),
            ("query: health.example.net IN A", "16:16", "is not a name and a type", "a name and a type"),
            ("query: health.example.net AAAAA", "16:16", "`query`: `AAAAA` is not a record type", "a name and a type"),
            ("query: example.net AXFR", "16:16", "`AXFR` is not a record type that a check can ask for", "a name"),
            ("query: a..b A", "16:16", "`a..b` is not a domain name", "a name and a type"),
            ("query: a A\n        transport: tls", "17:20", "`transport` cannot be `tls`", "`udp`"),
            ("query: a A\n        dnssec_ok: 1", "17:20", "`dnssec_ok` must be true or false", "`true`"),
        ],
    );
    let expect = |keys: &str| format!("query: a A\n        expect: {keys}");
    let cases = [
        ("NOERROR", "17:17", "`expect` must be a mapping", "`expect: { rcode: NOERROR"),
        ("{ rcode: NOPE }", "17:26", "`rcode` cannot be `NOPE`", "`NXDOMAIN`"),
        ("{ answer: 192.0.2 }", "17:27", "`answer`: `192.0.2` is not the data of a record of type A", "zone file"),
        ("{ answer: [192.0.2.1, \"::1\"] }", "17:39", "`::1` is not the data of a record of type A", "zone file"),
        ("{ answer: [] }", "17:27", "`answer` is empty", "leave it out"),
        ("{ rcode: NXDOMAIN, answer: 192.0.2.1 }", "17:36", "`answer` beside another `rcode`", "leave out one"),
        ("{ flags: aa }", "17:26", "`flags` must be a list", "`[aa, no-ra]`"),
        ("{ flags: [aa, qr] }", "17:31", "`flags` cannot have `qr`", "`no-`"),
        ("{ flags: [aa, no-aa] }", "17:31", "the flag `aa` twice in `flags`; it is first on line 17", "remove"),
        ("{ min_answers: many }", "17:32", "`min_answers` must be a number from 0 to 65535", "decimal"),
        ("{ status: 200 }", "17:19", "unknown key `status`", "`rcode`, `answer`, `flags` and `min_answers`"),
    ];
    for (keys, at, message, hint) in cases {
        mistakes("dns", &[(&expect(keys), at, message, hint)]);
    }
    mistakes(
        "dns",
        &[
            ("query: a ANY\n        expect: { answer: x }", "17:27", "`answer` to a query for ANY", "the type"),
            (
                "query: a A\n        transport: both\n        expect: { flags: [tc] }",
                "18:27",
                "the flag `tc` of answers over TCP",
                "`transport: udp`",
            ),
        ],
    );
}

#[test]
fn what_a_udp_check_sends_and_expects() {
    let udp = |keys: &str| match probe("udp", &format!("port: 123\n        {keys}")) {
        ProbeConfig::Udp(udp) => (udp.send, udp.expect),
        other => panic!("{other:?}"),
    };
    assert_eq!(udp("send: ping"), (b"ping".to_vec(), UdpExpect::Any));
    assert_eq!(
        udp("send_hex: \"00 1B ff\"\n        expect: pong"),
        (vec![0, 0x1b, 0xff], UdpExpect::Holds(b"pong".to_vec()))
    );
    assert_eq!(udp("send: \"a\\0\"\n        expect_hex: \"24\""), (b"a\0".to_vec(), UdpExpect::Holds(vec![0x24])));
    assert_eq!(udp("send: x\n        reply: optional").1, UdpExpect::Nothing);
    let long = format!("port: 1\n        send: {}", "x".repeat(1233));
    mistakes(
        "udp",
        &[
            ("send: x", "14:9", "a udp check without `address` or `port`", "`port: 123`"),
            ("port: 1", "14:9", "a udp check without `send` or `send_hex`", "`send: ping`"),
            ("port: 1\n        send: \"\"", "17:15", "`send` of 0 bytes", "1 to 1232 bytes"),
            (&long, "17:15", "`send` of 1233 bytes", "1 to 1232 bytes"),
            ("port: 1\n        send: x\n        send_hex: ff", "18:9", "`send` and `send_hex` together", "one way"),
            ("port: 1\n        send_hex: f", "17:19", "is not made of pairs of hexadecimal digits", "two digits"),
            ("port: 1\n        send_hex: 0xff", "17:19", "is not made of pairs of hexadecimal digits", "two digits"),
            ("port: 1\n        send: x\n        expect_hex: \"é\"", "18:21", "hexadecimal digits", "two digits"),
            ("port: 1\n        send: x\n        reply: maybe", "18:16", "`reply` cannot be `maybe`", "`required`"),
            (
                "port: 1\n        send: x\n        expect: y\n        reply: optional",
                "19:9",
                "`reply: optional` beside an answer that is expected",
                "leave out one",
            ),
        ],
    );
}

#[test]
fn how_many_echoes_an_icmp_check_sends() {
    let icmp = |keys: &str| match probe("icmp", keys) {
        ProbeConfig::Icmp(icmp) => (icmp.packets.get(), icmp.max_loss),
        other => panic!("{other:?}"),
    };
    assert_eq!(icmp("rise: 1"), (1, 0));
    assert_eq!(icmp("packets: 3\n        max_loss: 1"), (3, 1));
    mistakes(
        "icmp",
        &[
            ("address: 203.0.113.53:7", "16:18", "is not an IP address", "or a port"),
            ("packets: 0", "16:18", "`packets` must be a number from 1 to 100", "decimal"),
            ("max_loss: 1", "16:9", "`max_loss` of 1, with 1 sent", "less than `packets`"),
            (
                "address: 127.0.0.1\n        port: 7",
                "17:9",
                "unknown key `port`",
                "`address`, `packets` and `max_loss`",
            ),
        ],
    );
    let host = Host { cannot_ping: true, ..host() };
    let loaded = parse("anycastd.yaml", &with("icmp", "address: 127.0.0.1"), &host).unwrap();
    let [found] = loaded.warnings.found() else { panic!("{:?}", loaded.warnings) };
    assert_eq!((place(found).as_str(), found.severity), ("14:9", Severity::Warning));
    assert!(found.message.contains("may not send ICMP echoes") && found.hint.contains("CAP_NET_RAW"), "{found:?}");
    assert!(parse("anycastd.yaml", SMALL, &host).unwrap().warnings.found().is_empty());
}

#[test]
fn how_a_tls_check_judges() {
    let tls = |keys: &str| match probe("tls", keys) {
        ProbeConfig::Tls(tls) => tls,
        other => panic!("{other:?}"),
    };
    let plain = tls("tls: { name: www.example.net }");
    assert!(plain.tls.verify && plain.alpn.is_empty() && plain.warn_before.is_none() && plain.fail_before.is_zero());
    let full = tls("tls: { name: www.example.net, ca_file: /etc/ssl/ca.pem }
        alpn: [h2, dot]
        warn_before: 30d
        fail_before: 12h");
    assert_eq!((full.tls.name.as_str(), full.tls.ca_file), ("www.example.net", Some("/etc/ssl/ca.pem".into())));
    assert_eq!(full.alpn, ["h2", "dot"]);
    assert_eq!(full.warn_before, Some(Duration::from_secs(30 * 86_400)));
    assert_eq!(full.fail_before, Duration::from_secs(12 * 3600));
    assert_eq!(tls("tls: { verify: false }").tls.name, "203.0.113.53", "an address is not shown to the server");
    let name = "tls: { name: a }\n        ";
    mistakes(
        "tls",
        &[
            ("port: 443", "14:9", "missing key `tls`", "`tls: { name: www.example.net }`"),
            ("tls: { ca_file: /x }", "16:9", "missing key `name`", "`name: www.example.net`"),
            ("tls: { name: a b }", "16:22", "`a b` is neither a host name nor an address", "certificate carries"),
            ("tls: { verify: false, ca_file: /x }", "16:31", "`ca_file` beside `verify: false`", "leave out"),
            (&format!("{name}alpn: h2"), "17:15", "`alpn` must be a list", "`[h2, http/1.1]`"),
            (&format!("{name}alpn: [\"\"]"), "17:16", "a protocol of 0 bytes", "registered name"),
            (&format!("{name}warn_before: 14"), "17:22", "`warn_before: 14` has no unit", "`14d`"),
            (
                &format!("{name}warn_before: 1d\n        fail_before: 2d"),
                "17:9",
                "`warn_before` is shorter than `fail_before`",
                "leave it out",
            ),
        ],
    );
}
