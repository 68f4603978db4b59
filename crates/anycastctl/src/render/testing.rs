//! Samples for tests, written as they travel.

use std::time::SystemTime;

use anycast_api::{Status, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::View;

/// The time of day in every test.
pub(super) const NOW: &str = "2026-11-23T14:30:00Z";

/// A hundred columns.
pub(super) fn view() -> View {
    let now: SystemTime = NOW.parse::<Timestamp>().unwrap().system_time();
    View { width: 100, now }
}

/// What the agent says.
pub(super) fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A check that is up.
pub(super) fn check(name: &str, took: f64) -> Value {
    json!({"name": name, "kind": "http", "health": "up", "since": "2026-11-20T10:18:00Z", "counts": true,
        "paused": null, "last": answer("up", "200 OK", took), "runs": 9001, "failures": 3, "turning": null})
}

/// The answer of one run.
pub(super) fn answer(health: &str, detail: &str, took: f64) -> Value {
    json!({"health": health, "detail": detail, "took_seconds": took, "at": "2026-11-23T14:29:58Z"})
}

/// A service.
pub(super) fn service(name: &str, state: &str, since: f64, prefixes: Value, checks: Value) -> Value {
    json!({"name": name, "state": state, "health": "up", "since": "2026-11-20T10:19:00Z", "since_seconds": since,
        "prefixes": prefixes, "addresses": [format!("203.0.113.{}", name.len())], "checks": checks, "drain": null})
}

/// A prefix in a service's line.
pub(super) fn prefix(prefix: &str, announced: bool, notes: &[&str]) -> Value {
    json!({"prefix": prefix, "announced": announced, "notes": notes})
}

/// An Established neighbor.
pub(super) fn neighbor(name: &str) -> Value {
    json!({"name": name, "address": "192.0.2.1", "port": 179, "asn": "65001", "state": "Established",
        "since": "2026-11-20T10:18:00Z", "since_seconds": 274_320.0, "routes": 3, "unsendable": {},
        "last_error": null, "last_error_at": null, "retry_seconds": null, "local_address": "192.0.2.2:41234",
        "session": {"router_id": "10.0.0.1", "hold_time_seconds": 9, "keepalive_seconds": 3.0,
            "families": ["ipv4", "ipv6"], "next_hops": {"ipv4": "192.0.2.2", "ipv6": "2001:db8::2"},
            "capabilities_sent": ["multiprotocol ipv4", "multiprotocol ipv6", "route refresh", "four-octet AS 65010"],
            "capabilities_received": ["multiprotocol ipv4", "multiprotocol ipv6", "route refresh",
                "enhanced route refresh", "four-octet AS 65001", "graceful restart", "long-lived graceful restart"]},
        "counters": {"keepalives_received": 91440, "updates_sent": 3}})
}

/// The node of the design's drawing, with fields laid over it.
pub(super) fn node(with: Value) -> Status {
    let mut load = check("load", 0.01);
    load["health"] = "degraded".into();
    load["kind"] = "exec".into();
    load["last"] = answer("degraded", "load 9.1", 0.01);
    load["turning"] = json!([1, 3]);
    let mut web =
        service("web", "degraded", 130.0, json!([prefix("198.51.100.0/24", true, &["prepend 3"])]), json!([load]));
    web["health"] = "degraded".into();
    web["checks"][0]["turning"] = Value::Null;
    let mut mail = service(
        "mail",
        "drained",
        842.0,
        json!([prefix("192.0.2.128/25", false, &[])]),
        json!([check("smtp", 0.0008)]),
    );
    mail["drain"] = json!({"phase": "drained", "since": "2026-11-23T14:15:58Z", "phase_ends": null, "by": "root",
        "ordered": "2026-11-23T14:15:00Z", "reason": "kernel update", "until": "2026-11-23T15:00:00Z"});
    let dns_prefixes = json!([prefix("203.0.113.0/24", true, &[]), prefix("2001:db8:53::/48", true, &[])]);
    let dns_checks = json!([check("resolves", 0.0004), check("serves", 0.0021)]);
    let mut leaf2 = neighbor("leaf2");
    leaf2["address"] = "eth1".into();
    leaf2["asn"] = "65002".into();
    leaf2["state"] = "Active".into();
    leaf2["since_seconds"] = 41.0.into();
    leaf2["routes"] = 0.into();
    leaf2["last_error"] = "connect: refused".into();
    leaf2["last_error_at"] = "2026-11-23T14:29:58Z".into();
    leaf2["retry_seconds"] = 2.4.into();
    leaf2["session"] = Value::Null;
    leaf2["local_address"] = Value::Null;
    leaf2["counters"] = json!({});
    let mut node = json!({"node": "edge-sin1", "asn": 65010, "router_id": "192.0.2.2", "region": "ap-southeast-1",
        "country": "SG", "version": "0.4.0", "started": "2026-11-20T10:18:00Z", "uptime_seconds": 274_320.0,
        "stopping": false, "healthy": false, "problems": [],
        "services": [service("dns", "up", 274_260.0, dns_prefixes, dns_checks), web, mail],
        "neighbors": [neighbor("leaf1"), leaf2],
        "addresses": [address("203.0.113.3", true), address("203.0.113.4", true)]});
    if let (Some(node), Value::Object(with)) = (node.as_object_mut(), with) {
        node.extend(with);
    }
    read(node)
}

/// An address of ours.
pub(super) fn address(address: &str, bound: bool) -> Value {
    json!({"address": address, "bound": bound, "foreign": false, "interface": "lo",
        "since": "2026-11-20T10:18:00Z", "problem": null})
}
