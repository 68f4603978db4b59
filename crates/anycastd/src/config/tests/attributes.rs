//! What is said of routes, and to whom.

use anycast_bgp::{Attributes, Family, LinkBandwidth, LinkLocal};
use anycast_core::{ServiceName, config::Towards};

use super::{good::settings, *};

#[test]
fn degraded_is_less_preferred_than_up_on_any_session() {
    let attributes = |keys: &str| {
        let text = small_with("    checks:\n", &format!("{keys}    checks:\n"));
        let service = settings(&text).core.services.remove(&ServiceName::new("dns").unwrap()).unwrap();
        (service.up, service.degraded)
    };
    let (up, degraded) = attributes("");
    assert_eq!(up, Attributes::default());
    assert_eq!((degraded.as_path_prepend, degraded.local_pref), (3, Some(50)));
    let (up, degraded) =
        attributes("    up: { med: 5, local_pref: 300, as_path_prepend: 31, communities: [no-export] }\n");
    assert_eq!((degraded.as_path_prepend, degraded.local_pref), (32, Some(150)));
    assert_eq!((degraded.med, degraded.communities), (up.med, up.communities));
    let (_, degraded) = attributes("    up: { med: 5 }\n    degraded: { med: 6 }\n");
    assert_eq!(degraded, Attributes { med: Some(6), ..Attributes::default() }, "as written, nothing taken over");
}

#[test]
fn a_bandwidth_is_transitive_unless_it_says_otherwise() {
    let bandwidth = |value: &str| {
        let text = small_with("    checks:\n", &format!("    up: {{ link_bandwidth: {value} }}\n    checks:\n"));
        settings(&text).core.services["dns"].up.link_bandwidth.unwrap()
    };
    let rate = "10Gbps".parse().unwrap();
    assert_eq!(bandwidth("10Gbps"), LinkBandwidth { rate, transitive: true });
    assert_eq!(bandwidth("{ rate: 10000Mbps }"), LinkBandwidth { rate, transitive: true });
    assert_eq!(bandwidth("{ rate: 0.01Tbps, transitive: false }"), LinkBandwidth { rate, transitive: false });
}

#[test]
fn a_family_may_go_to_some_neighbors_only() {
    let text = small_with("services:", "    - { name: leaf2, address: 192.0.2.2, asn: 65001 }\nservices:")
        .replace("[203.0.113.53/32]", "[203.0.113.53/32, 2001:db8::1]")
        .replace("[203.0.113.0/24]", "[203.0.113.0/24, 2001:db8::/48]")
        .replace("[leaf1]", "[leaf1, { name: leaf2, families: [ipv6], attributes: { med: 7 } }]");
    let core = settings(&text).core;
    let leaf2 = &core.neighbors["leaf2"];
    assert_eq!(leaf2.families, [Family::Ipv6Unicast].into(), "that is what it is to carry");
    let service = &core.services["dns"];
    assert_eq!(service.neighbors["leaf1"], Towards::default());
    let attributes = Attributes { med: Some(7), ..Attributes::default() };
    assert_eq!(service.neighbors["leaf2"], Towards { families: [Family::Ipv6Unicast].into(), attributes });
}

#[test]
fn the_ipv6_next_hop_has_four_forms() {
    let hop = |keys: &str| {
        let text = small_with("asn: 65001", &format!("asn: 65001\n      next_hop: {{ {keys} }}"));
        let neighbor = settings(&text).core.neighbors["leaf1"].clone();
        (neighbor.next_hop_ipv6.map(|address| address.to_string()), neighbor.link_local)
    };
    let ip = |text: &str| Some(text.parse().unwrap());
    let global = || Some("2001:db8::9".to_owned());
    let table = [
        ("", None, LinkLocal::AsConnected),
        ("ipv6: \"2001:db8::9\"", global(), LinkLocal::AsConnected),
        ("ipv6_link_local: none", None, LinkLocal::Never),
        ("ipv6_link_local: auto", None, LinkLocal::Beside(None)),
        ("ipv6: \"2001:db8::9\", ipv6_link_local: fe80::7", global(), LinkLocal::Beside(ip("fe80::7"))),
        ("ipv6: none", None, LinkLocal::Alone(None)),
        ("ipv6: none, ipv6_link_local: auto", None, LinkLocal::Alone(None)),
        ("ipv6: none, ipv6_link_local: fe80::7", None, LinkLocal::Alone(ip("fe80::7"))),
    ];
    for (keys, ipv6, link_local) in table {
        assert_eq!(hop(keys), (ipv6, link_local), "{keys}");
    }
}

#[test]
fn mistakes_in_attributes() {
    let cases = [
        ("up: { med: -1 }", "13:16", "`med` must be a number from 0 to 4294967295, not `-1`", "decimal"),
        (
            "up: { as_path_prepend: 33 }",
            "13:28",
            "`as_path_prepend` must be a number from 0 to 32, not `33`",
            "decimal",
        ),
        ("up: { communities: [\"65536:1\"] }", "13:25", "`65536:1` is not a community", "`65010:100`"),
        ("up: { communities: [no-exprot] }", "13:25", "`no-exprot` is not a community", "`no-export`"),
        ("up: { communities: [\"1:1\", \"1:1\"] }", "13:32", "twice in `communities`", "remove"),
        ("up: { large_communities: [\"1:1\"] }", "13:31", "`1:1` is not a large community", "`65010:1:2`"),
        ("up: { extended_communities: [\"rt:1\"] }", "13:34", "`rt:1` is not an extended community", "`rt:65010:100`"),
        ("up: { extended_communities: [\"rt:65536:65536\"] }", "13:34", "does not fit eight octets", "0 to 65535"),
        (
            "up: { extended_communities: [\"rt:1:1\", \"rt:1:1\"] }",
            "13:44",
            "twice in `extended_communities`",
            "remove",
        ),
        ("up: { link_bandwidth: 10 }", "13:27", "`10` is not a rate", "`10Gbps`"),
        ("up: { link_bandwidth: { rate: 10GB } }", "13:35", "`10GB` is not a rate", "`10Gbps`"),
        ("up: { link_bandwidth: {} }", "13:27", "missing key `rate`", "`rate: 10Gbps`"),
        ("up: { link_bandwidth: { rate: 1bps, transitiv: true } }", "13:41", "unknown key `transitiv`", "`transitive`"),
        ("up: { link_bandwidth: { rate: 1bps, transitive: no } }", "13:53", "must be true or false", "`true`"),
        ("degraded: { preference: 1 }", "13:17", "unknown key `preference`", "`local_pref`"),
        ("degraded: 3", "13:15", "`degraded` must be a mapping", "`degraded: {"),
    ];
    for (line, at, message, hint) in cases {
        errors(&[("[leaf1]", &format!("[leaf1]\n    {line}"), at, message, hint)]);
    }
}

#[test]
fn mistakes_in_what_is_changed_for_a_neighbor() {
    let with = |line: &str| format!("asn: 65001\n      {line}");
    errors(&[
        ("asn: 65001", &with("attributes: { med: x }"), "8:26", "`med` must be a number", "decimal"),
        ("asn: 65001", &with("attributes: [1]"), "8:19", "`attributes` must be a mapping", "`attributes: {"),
        ("[leaf1]", "[{ name: leaf1, attributes: { mde: 1 } }]", "12:46", "unknown key `mde`", "did you mean `med`?"),
        ("[leaf1]", "[{ name: leaf1, families: [ipv5] }]", "12:43", "`families` cannot be `ipv5`", "did you mean"),
        ("[leaf1]", "[{ name: leaf1, families: [] }]", "12:42", "`families` is empty", "leave it out"),
        ("[leaf1]", "[{ name: leaf1, med: 1 }]", "12:32", "unknown key `med`", "`attributes`"),
        ("[leaf1]", "[{ families: [ipv4] }]", "12:17", "missing key `name`", "`name: leaf1`"),
        ("[leaf1]", "[leaf1, { name: leaf1 }]", "12:32", "twice in `neighbors`; it is first on line 12", "remove"),
        ("[leaf1]", "[leaf1, { name: leaf7 }]", "12:32", "unknown neighbor `leaf7`", "did you mean `leaf1`?"),
        ("[leaf1]", "[[leaf1]]", "12:17", "`neighbors` must be a text, not a list", "single word"),
    ]);
}

#[test]
fn families_of_a_service_at_a_neighbor() {
    let cases = [(
        "[leaf1]",
        "[{ name: leaf1, families: [ipv6] }]",
        "12:16",
        "no neighbor of the service is given 203.0.113.0/24",
        "add `ipv4`",
    )];
    errors(&cases);
    let two = SMALL.replace(
        "asn: 65001\n",
        "asn: 65001\n    - { name: leaf2, address: 192.0.2.2, asn: 65002, families: [ipv4] }\n",
    );
    let found = findings(&two.replace("[leaf1]", "[leaf1, { name: leaf2, families: [ipv4, ipv6] }]"));
    let [only] = &found[..] else { panic!("{found:#?}") };
    assert_eq!((place(only).as_str(), only.message.as_str()), ("13:39", "neighbor `leaf2` does not carry ipv6"));
    assert_eq!(only.hint, "remove it here, or add it to its `families` on line 8");
}

/// A prefix of two services is one prefix, and one of a family that the neighbor is not given is none.
#[test]
fn no_more_is_configured_than_may_be_announced() {
    let of = |most: usize, neighbors: &str| {
        let text = SMALL
            .replace("asn: 65001\n", &format!("asn: 65001\n      max_announced: {most}\n"))
            .replace("[203.0.113.53/32]", "[203.0.113.53/32, 198.51.100.1, 2001:db8::1]")
            .replace("[203.0.113.0/24]", "[203.0.113.0/24, 198.51.100.0/24, 2001:db8::/48]")
            .replace("[leaf1]", neighbors);
        let other = "  - { name: leaf2, address: 192.0.2.2, asn: 65002 }\nservices:";
        let text = text.replace("services:", &format!("  {other}"));
        let again = "  - name: doh\n    addresses: [203.0.113.53]\n    prefixes: [203.0.113.0/24]\n    neighbors: [leaf1, leaf2]\n    \
                     checks: [{ name: accepts, type: tcp, port: 443 }]\n";
        let found = findings(&format!("{text}{again}"));
        found.iter().map(|found| format!("{} {}; {}", place(found), found.message, found.hint)).collect::<Vec<_>>()
    };
    assert_eq!(of(3, "[leaf1, leaf2]"), [""; 0]);
    assert_eq!(
        of(2, "[leaf1, leaf2]"),
        [
            "8:22 `max_announced: 2`, but the services announce 3 prefixes here; write 3 or more, or give the neighbor fewer services"
        ]
    );
    assert_eq!(of(2, "[{ name: leaf1, families: [ipv4] }, leaf2]"), [""; 0]);
}
