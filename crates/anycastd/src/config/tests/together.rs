//! What does not fit together, what is only a warning, and what is not said twice.

use super::*;

#[test]
fn one_session_per_address() {
    let two = SMALL.replace("asn: 65001", "asn: 65001\n    - { name: leaf2, address: 192.0.2.1, asn: 1 }");
    let found = findings(&two.replace("[leaf1]", "[leaf1, leaf2]"));
    let [only] = &found[..] else { panic!("{found:#?}") };
    assert_eq!(place(only), "8:31");
    assert_eq!(only.message, "another neighbor has the address 192.0.2.1, on line 6");
}

#[test]
fn neighbors_of_services() {
    let messages = |to: &str| -> Vec<(String, String, String)> {
        let found = findings(&small_with("[leaf1]", to));
        found.into_iter().map(|found| (place(&found), found.message, found.hint)).collect()
    };
    let [(first, unused, _), (second, unknown, hint)] = &messages("[leaf]")[..] else {
        panic!("{:?}", messages("[leaf]"))
    };
    assert_eq!((first.as_str(), unused.as_str()), ("5:13", "no service uses neighbor `leaf1`"));
    assert_eq!((second.as_str(), unknown.as_str()), ("12:17", "unknown neighbor `leaf`"));
    assert_eq!(hint, "did you mean `leaf1`?");
    errors(&[("[leaf1]", "[leaf1, leaf1]", "12:24", "twice in `neighbors`; it is first on line 12", "remove")]);
    errors(&[("[leaf1]", "[]", "12:16", "a service without neighbors", "leave the key out")]);
}

#[test]
fn an_anycast_address_belongs_to_no_machine() {
    let cases = [
        ("address: 192.0.2.1", "address: 203.0.113.53", "the address of neighbor `leaf1`"),
        ("asn: 65001", "asn: 65001\n      source: 203.0.113.53", "the source address of neighbor `leaf1`"),
        ("asn: 65001", "asn: 65001\n      next_hop: { ipv4: 203.0.113.53 }", "the next hop of neighbor `leaf1`"),
    ];
    for (from, to, whose) in cases {
        let at = if to.contains('\n') { "11:17" } else { "10:17" };
        errors(&[(from, to, at, &format!("203.0.113.53 is {whose}"), "another")]);
    }
}

#[test]
fn services_that_share() {
    let with = |neighbors: &str, rules: &str| {
        format!(
            "port: 53
  - name: web
    addresses: [203.0.113.80]
    prefixes: [203.0.113.0/24]
    neighbors: {neighbors}
    checks: [{{ name: accepts, type: tcp, port: 80 }}]
  - name: rest
    addresses: [198.51.100.1]
    checks: [{{ name: accepts, type: tcp, port: 80 }}]
{rules}"
        )
    };
    let base = SMALL.replace("asn: 65001\n", "asn: 65001\n    - { name: leaf2, address: 192.0.2.2, asn: 65002 }\n");
    let found = |neighbors: &str, rules: &str| -> Vec<String> {
        let text = base.replace("port: 53", &with(neighbors, rules));
        findings(&text).iter().map(|found| format!("{} {}; {}", place(found), found.message, found.hint)).collect()
    };
    assert_eq!(found("[leaf1]", ""), [""; 0]);
    assert_eq!(
        found("[leaf2]", ""),
        [
            "21:16 service `dns` announces 203.0.113.0/24 too, but to other neighbors; services that share a prefix share their \
          neighbors: name the same in both"
        ]
    );
    assert_eq!(found("[leaf1, leaf2]", "").len(), 1);
    assert_eq!(found("[{ name: leaf1, attributes: { med: 1 } }]", ""), [""; 0], "what it says there is its own affair");
    assert_eq!(
        found("[leaf1, { name: leaf2, families: [ipv6] }]", ""),
        [
            "21:39 neighbor `leaf2` is given nothing of this service; the service has no prefix of these families: add one, or \
          remove the neighbor"
        ]
    );
    assert_eq!(found("[leaf1]", "prefixes: { 203.0.113.0/24: { require: any } }"), [""; 0]);
    // (rules, what is found)
    let rules = [
        ("10.0.0.0/8: { require: any }", "26:13 no service announces 10.0.0.0/8; remove the rule, or add"),
        ("203.0.113.1/24: { require: any }", "26:13 203.0.113.1/24 has host bits set; the network is 203.0.113.0/24"),
        ("203.0.113.0/24: { require: some }", "26:40 `require` cannot be `some`; write one of `all` and `any`"),
        ("203.0.113.0/24: {}", "26:29 missing key `require`; write `require: all`"),
        ("203.0.113.0/24: any", "26:29 the rule of a prefix must be a mapping"),
    ];
    for (rule, expected) in rules {
        let found = found("[leaf1]", &format!("prefixes: {{ {rule} }}"));
        assert!(found.len() == 1 && found[0].starts_with(expected), "{rule}: {found:#?}");
    }
    let twice = "prefixes: { 2001:db8::/32: { require: any }, 2001:0db8::/32: { require: any } }";
    let found = findings(&small_with("services:", &format!("{twice}\nservices:")));
    assert!(found.iter().any(|found| found.message == "2001:db8::/32 has a rule already, on line 8"), "{found:#?}");
}

#[test]
fn warnings() {
    let cases = [
        (
            "services:",
            "    - { name: leaf2, address: 192.0.2.2, asn: 65001 }\nservices:",
            "8:15",
            "no service uses neighbor `leaf2`",
            "add it to the `neighbors` of a service",
        ),
        (
            "port: 53",
            "address: 192.0.2.99:53",
            "16:18",
            "192.0.2.99 is an address of no service of this node",
            "another node's answer",
        ),
        (
            "type: tcp\n        port: 53",
            "type: http\n        url: http://192.0.2.99/",
            "16:14",
            "192.0.2.99 is an address of no service of this node",
            "another node's answer",
        ),
        (
            "services:",
            "http: { listen: \"0.0.0.0:9273\" }\nservices:",
            "8:17",
            "0.0.0.0:9273 is not a loopback address",
            "firewall",
        ),
        (
            "[203.0.113.0/24]",
            "[203.0.113.0/24, 198.51.100.0/24]",
            "11:32",
            "no address of the service lies in 198.51.100.0/24",
            "add an address",
        ),
    ];
    expect_one(&cases, Severity::Warning);
    let elsewhere = [
        "address: 127.0.0.1:53".to_owned(),
        "address: 203.0.113.80:53\n  - { name: web, addresses: [203.0.113.80], checks: [{ name: accepts, type: tcp, port: 80 }] }".to_owned(),
        "port: 53\n      - { name: database, type: tcp, address: 192.0.2.99:5432, scope: shared }".to_owned(),
    ];
    for check in elsewhere {
        assert_eq!(findings(&small_with("port: 53", &check)).len(), 0, "{check}");
    }
    let alone = SMALL.split_once("  neighbors:").unwrap().0;
    let found = findings(alone);
    let messages: Vec<_> = found.iter().map(|found| (found.severity, found.message.as_str())).collect();
    assert_eq!(
        messages,
        [
            (Severity::Warning, "no neighbors: nothing is announced to anybody"),
            (Severity::Warning, "no services: nothing is announced"),
        ]
    );
    assert!(findings(&small_with("port: 53", "address: 127.0.0.1:53")).is_empty(), "the loopback is our own");
}

#[test]
fn a_mistake_is_not_followed_by_others_that_it_causes() {
    let cases = [
        // No neighbor can be known to be unknown, or unused, when one has no name.
        ("- name: leaf1\n      address", "- address"),
        // Nothing is known of the neighbors at all.
        ("neighbors:\n    - name: leaf1\n      address: 192.0.2.1\n      asn: 65001", "neighbors: x"),
        // An address may lie in the prefix that cannot be read.
        ("[203.0.113.0/24]", "[203.0.113.53/24]"),
        // The port is for addresses that cannot be read.
        ("[203.0.113.53/32]", "[203.0.113.53/31]"),
        // A broken service may be the one that uses the neighbor.
        ("[leaf1]", "[leaf1]\n    up: x"),
        ("[leaf1]", "leaf1"),
        ("[leaf1]", "[{ name: leaf1, attributes: x }]"),
        ("[leaf1]", "[{ name: leaf1, families: x }]"),
        ("asn: 65001", "asn: 65001\n      attributes: x"),
        ("asn: 65001", "asn: 65001\n      next_hop: { ipv6: x }"),
        ("  - name: dns", "  - name: d ns"),
    ];
    for (from, to) in cases {
        let found = findings(&small_with(from, to));
        assert_eq!(found.len(), 1, "{to:?}: {found:#?}");
    }
}
