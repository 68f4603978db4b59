//! Files that can be used.

use anycast_bgp::Family;
use anycast_core::{
    CheckName, PeerId, ServiceName,
    config::{CheckConfig, HttpTarget, ProbeConfig, Require},
};

use super::*;
use crate::config::Settings;

pub(super) fn settings(text: &str) -> Settings {
    match read(text) {
        Ok(loaded) => loaded.settings,
        Err(error) => panic!("{error}"),
    }
}

fn checks(text: &str) -> Vec<(CheckName, CheckConfig)> {
    let service = settings(text).core.services.remove(&ServiceName::new("dns").unwrap()).unwrap();
    service.checks.into_iter().collect()
}

#[test]
fn every_key_arrives() {
    let loaded = read(FULL).unwrap();
    assert_eq!(loaded.warnings.lines().collect::<Vec<_>>(), [""; 0]);
    insta::assert_debug_snapshot!(loaded.settings);
}

#[test]
fn what_is_left_out_has_a_default() {
    let loaded = read(SMALL).unwrap();
    assert_eq!(loaded.warnings.lines().collect::<Vec<_>>(), [""; 0]);
    insta::assert_debug_snapshot!(loaded.settings);
}

#[test]
fn the_page_of_the_design_has_nothing_unknown() {
    let error = read(PAGE).unwrap_err();
    let found: Vec<String> =
        error.found().found().iter().map(|found| format!("{} {}", place(found), found.message)).collect();
    insta::assert_debug_snapshot!(found);
    // The password's file is not on this machine.
    let expected = [" is not supported in this version", "No such file or directory (os error 2)"];
    assert!(found.iter().all(|found| expected.iter().any(|end| found.ends_with(end))), "{found:#?}");
}

#[test]
fn the_machine_fills_in_what_it_knows() {
    let text = small_with("  router_id: 192.0.2.11\n", "");
    let host = Host { state_directory: Some("/var/lib/private/anycastd".into()), ..host() };
    let settings = parse("f", &text, &host).unwrap().settings;
    assert_eq!(settings.core.node.name, "here");
    assert_eq!(settings.core.router_id.to_string(), "198.51.100.7");
    assert_eq!(settings.state_directory.to_str(), Some("/var/lib/private/anycastd"));
}

#[test]
fn an_anycast_address_on_another_interface_is_no_router_id() {
    let text = small_with("  router_id: 192.0.2.11\n", "");
    let host = Host { addresses: vec![[203, 0, 113, 53].into(), [198, 51, 100, 8].into()], ..host() };
    assert_eq!(parse("f", &text, &host).unwrap().settings.core.router_id.to_string(), "198.51.100.8");
}

#[test]
fn a_machine_that_knows_nothing_is_no_obstacle_to_what_is_written() {
    let text = format!("node: {{ name: edge }}\n{SMALL}");
    assert_eq!(parse("f", &text, &Host::default()).unwrap().settings.core.node.name, "edge");
    let error = parse("f", &small_with("  router_id: 192.0.2.11\n", ""), &Host::default()).unwrap_err();
    let lines: Vec<String> = error.found().lines().collect();
    assert!(lines.iter().any(|line| line.starts_with("f:1:1: this node has no host name")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("f:1:1: missing key `router_id`")), "{lines:#?}");
    assert_eq!(error.count(), 2);
}

#[test]
fn this_machine_is_known() {
    let host = Host::here(false);
    assert!(host.name.is_some());
    assert!(host.addresses.iter().all(|address| !address.is_loopback()), "{host:?}");
}

#[test]
fn families_follow_from_the_prefixes() {
    let families = |text: &str| {
        let neighbors = settings(text).core.neighbors;
        neighbors[&PeerId::new("leaf1").unwrap()].families.iter().copied().collect::<Vec<_>>()
    };
    assert_eq!(families(SMALL), [Family::Ipv4Unicast]);
    let both = small_with("[203.0.113.53/32]", "[203.0.113.53/32, 2001:db8::1]")
        .replace("    prefixes: [203.0.113.0/24]\n", "");
    assert_eq!(families(&both), Family::ALL);
    let unused = small_with("services:", "    - { name: leaf2, address: 192.0.2.2, asn: 65001 }\nservices:")
        .replace("neighbors: [leaf1]", "neighbors: [leaf2]");
    assert_eq!(families(&unused), Family::ALL, "nothing says which");
}

#[test]
fn times_follow_the_interval() {
    let times = |keys: &str| {
        let timing = checks(&small_with("port: 53\n", &format!("port: 53\n{keys}")))[0].1.timing;
        [timing.interval, timing.fast_interval, timing.timeout].map(|time| time.as_millis())
    };
    assert_eq!(times(""), [1000, 200, 1000]);
    assert_eq!(times("        interval: 10s\n"), [10_000, 2000, 1000]);
    assert_eq!(times("        interval: 500ms\n"), [500, 100, 500]);
    assert_eq!(times("        interval: 10ms\n"), [10, 10, 10]);
    assert_eq!(times("        interval: 1s\n        fast_interval: 1s\n        timeout: 2s\n"), [1000, 1000, 2000]);
}

#[test]
fn urls_are_taken_apart() {
    // (url, where to, Host, path, name in the certificate)
    let cases = [
        ("http://203.0.113.53", "203.0.113.53:80", "203.0.113.53", "/", None),
        ("http://203.0.113.53:8080/a?b=c", "203.0.113.53:8080", "203.0.113.53:8080", "/a?b=c", None),
        ("https://203.0.113.53:443/#top", "203.0.113.53:443", "203.0.113.53", "/", Some("203.0.113.53")),
        ("https://127.0.0.1:80", "127.0.0.1:80", "127.0.0.1:80", "/", Some("127.0.0.1")),
        ("https://[::1]:8443/x", "[::1]:8443", "[::1]:8443", "/x", Some("::1")),
        ("http://localhost?q", "localhost 80", "localhost", "/?q", None),
        ("https://www.example.net/", "203.0.113.53:443", "www.example.net", "/", Some("www.example.net")),
    ];
    for (url, target, authority, path, name) in cases {
        let text = small_with("type: tcp\n        port: 53", &format!("type: http\n        url: \"{url}\""));
        let ProbeConfig::Http(http) = checks(&text).remove(0).1.probe else { panic!("{url}") };
        let to = match http.target {
            HttpTarget::Addresses(addresses) => addresses.iter().map(ToString::to_string).collect(),
            HttpTarget::Name { host, port } => format!("{host} {port}"),
        };
        assert_eq!(
            (to.as_str(), http.authority.as_deref().unwrap(), http.path.as_str()),
            (target, authority, path),
            "{url}"
        );
        assert_eq!(http.tls.as_ref().map(|tls| tls.name.as_str()), name, "{url}");
        assert!(http.tls.is_none_or(|tls| tls.verify && tls.ca_file.is_none()), "{url}");
        assert_eq!(http.expect_status, [200..=299], "{url}");
    }
}

#[test]
fn any_number_of_checks_may_be_required() {
    let require = |rule: &str| {
        let text = small_with("    checks:\n", &format!("    require: {rule}\n    checks:\n"));
        settings(&text).core.services.remove(&ServiceName::new("dns").unwrap()).unwrap().require
    };
    assert_eq!(require("all"), Require::All);
    assert_eq!(require("any"), Require::Any);
    assert_eq!(require("at least 1"), Require::AtLeast(1.try_into().unwrap()));
    assert_eq!(require("\"at  least 1\""), Require::AtLeast(1.try_into().unwrap()));
}

#[test]
fn the_http_listener_can_be_left_out() {
    for text in ["http: none", "http: { listen: none }"] {
        assert_eq!(settings(&format!("{SMALL}{text}\n")).http, None, "{text}");
    }
    let address = |text: &str| settings(&format!("{SMALL}{text}\n")).http.unwrap().to_string();
    assert_eq!(address("http: {}"), "127.0.0.1:9273");
    assert_eq!(address("http: { listen: \"[::1]:80\" }"), "[::1]:80");
}

#[test]
fn the_example_of_the_documentation_is_read() {
    let page = include_str!("../../../../../docs/src/configuration.md");
    let examples: Vec<&str> = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let loaded = read(example).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(loaded.warnings.lines().collect::<Vec<_>>(), [""; 0]);
    }
}

#[test]
fn two_services_may_share_a_prefix_and_an_address() {
    let text = format!(
        "{SMALL}  - name: doh
    addresses: [203.0.113.53]
    prefixes: [203.0.113.0/24]
    checks: [{{ name: accepts, type: tcp, port: 443 }}]
"
    );
    assert_eq!(settings(&text).core.services.len(), 2, "all the neighbors are the same as the only one");
}

#[test]
fn values_may_be_repeated_by_alias() {
    let text = small_with("    checks:\n", "    up: &one { med: 1 }\n    degraded: *one\n    checks:\n");
    let service = settings(&text).core.services.remove(&ServiceName::new("dns").unwrap()).unwrap();
    assert_eq!(service.up, service.degraded);
}

#[test]
fn numbers_may_be_quoted_and_words_are_words() {
    let text = small_with("asn: 65010", "asn: '65010'").replace("name: dns", "name: 007");
    let text = format!("node: {{ name: \"true\", country: NO }}\n{text}");
    let core = settings(&text).core;
    assert_eq!((core.asn.get(), core.node.name.as_str(), core.node.country.as_deref()), (65010, "true", Some("NO")));
    assert!(core.services.contains_key("007"));
}

#[test]
fn line_ends_and_marks_of_other_systems_are_read() {
    let text = format!("\u{feff}{}", SMALL.replace('\n', "\r\n"));
    assert_eq!(read_bytes(text.as_bytes()).unwrap().settings, settings(SMALL));
}

#[test]
fn a_password_comes_from_a_file_or_from_systemd() {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("leaf1");
    fs::write(&file, "hunter2\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    let host = Host { credentials: Some(home.path().into()), ..host() };
    let md5 = |line: &str, host: &Host| {
        let text = SMALL.replace("asn: 65001", &format!("asn: 65001\n      {line}"));
        let loaded = parse("anycastd.yaml", &text, host).unwrap();
        let neighbor = loaded.settings.core.neighbors.into_values().next().unwrap();
        (neighbor.transport.md5.map(|key| key.expose().to_vec()), loaded.warnings.found().len())
    };
    let key = Some(b"hunter2".to_vec());
    assert_eq!(md5(&format!("password_file: {}", file.display()), &host), (key.clone(), 0));
    assert_eq!(md5("credential: leaf1", &host), (key, 0));
    // Who only checks the file is not the unit, and does not have its credentials.
    let by_hand = Host { credentials: None, only_checks: true, ..host };
    assert_eq!(md5("credential: leaf1", &by_hand), (None, 1));
}

#[test]
fn distances() {
    use std::num::NonZeroU8;

    use anycast_core::config::Distance;

    let distance = |line: &str| {
        let text = SMALL.replace("asn: 65001", &format!("asn: 65001\n      {line}"));
        let neighbors = read(&text).unwrap().settings.core.neighbors;
        neighbors.into_values().next().unwrap().transport.distance
    };
    let hops = |number| NonZeroU8::new(number).unwrap();
    assert_eq!(distance("port: 179"), Distance::Usual);
    assert_eq!(distance("multihop: 3"), Distance::Multihop(hops(3)));
    assert_eq!(distance("ttl_security: 1"), Distance::Secured(hops(1)));
}

#[test]
fn neighbors_that_connect_to_us() {
    use anycast_core::config::{Connect, Endpoint};

    let core = |from: &str, to: &str| settings(&small_with(from, to)).core;
    let listen = |config: &anycast_core::Config| config.listen.iter().map(ToString::to_string).collect::<Vec<_>>();
    let plain = core("asn: 65001", "asn: 65001");
    assert_eq!(listen(&plain), [""; 0], "who only dials listens nowhere");
    let passive = core("asn: 65001", "asn: 65001\n      connect: passive");
    assert_eq!(listen(&passive), ["0.0.0.0:179"]);
    assert_eq!(passive.neighbors.values().next().unwrap().connect, Connect::Passive);
    let network = core("address: 192.0.2.1", "prefix: 192.0.2.0/24\n      max_sessions: 5");
    let neighbor = network.neighbors.values().next().unwrap();
    assert_eq!(neighbor.connect, Connect::Passive, "a network cannot be dialled");
    assert!(
        matches!(&neighbor.endpoint, Endpoint::Network(net, max) if net.to_string() == "192.0.2.0/24" && max.get() == 5)
    );
    let text = small_with("asn: 65001", "asn: 65001\n      connect: passive")
        .replace("  neighbors:\n    - name", "  listen: [\"192.0.2.11:1179\"]\n  neighbors:\n    - name");
    assert_eq!(listen(&settings(&text).core), ["192.0.2.11:1179"]);
    let unnumbered = core("address: 192.0.2.1", "interface: eth1");
    let neighbor = unnumbered.neighbors.values().next().unwrap();
    assert_eq!((neighbor.connect, &neighbor.endpoint), (Connect::Active, &Endpoint::Interface("eth1".to_owned())));
    assert!(neighbor.offers.extended_next_hop, "a link-local session has no IPv4 address to name");
}

#[test]
fn graceful_restart_is_off_unless_asked_for() {
    use std::time::Duration;

    let time = |line: &str| {
        let text = small_with("asn: 65001", &format!("asn: 65001\n      {line}"));
        settings(&text).core.neighbors.into_values().next().unwrap().restart_time
    };
    assert_eq!(time("port: 179"), None);
    assert_eq!(time("graceful_restart: false"), None);
    assert_eq!(time("graceful_restart: true"), Some(Duration::from_secs(120)));
    assert_eq!(time("graceful_restart: { restart_time: 10s }"), Some(Duration::from_secs(10)));
}
