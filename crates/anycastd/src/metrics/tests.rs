use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    process::{Command, Stdio},
};

use prometheus::proto::MetricType;
use serde_json::{Value, json};

use super::*;

/// A node where everything is that there is a metric for.
fn everything() -> Status {
    let at = "2026-11-20T10:18:00Z";
    let performance =
        json!([{"label": "load1", "value": 0.5, "unit": "%", "warn": null, "crit": null, "min": null, "max": null}]);
    let check = json!({"name": "asks", "kind": "exec", "health": "up", "since": at, "counts": true, "paused": null,
        "last": {"health": "up", "detail": "ok", "took_seconds": 0.01, "at": at, "performance": performance},
        "runs": 7, "failures": 2, "turning": null});
    let hold_down = json!({"held": true, "until": at, "left_seconds": 8.5, "recent_flaps": 0, "after_flaps": 3,
        "within_seconds": 300.0, "next_seconds": 60.0, "holds": 4});
    let drain = json!({"phase": "drained", "since": at, "phase_ends": null, "by": "root", "ordered": "1970-01-01T00:01:30Z",
        "reason": null, "until": null});
    let service = json!({"name": "dns", "state": "drained", "health": "up", "since": "1970-01-01T00:02:00.5Z",
        "since_seconds": 1.0, "prefixes": [{"prefix": "203.0.113.0/24", "announced": true, "neighbors": 2, "notes": []}],
        "addresses": ["203.0.113.53"], "checks": [check], "drain": drain, "hold_down": hold_down, "flaps": 5});
    let session = json!({"state": "Up", "since": at, "since_seconds": 1.0, "diagnostic": "No Diagnostic",
        "remote_state": "Up", "remote_diagnostic": null, "losses": 2, "last_loss": null, "last_loss_at": null,
        "last_detection_seconds": null, "local_discriminator": 1, "remote_discriminator": 7, "local_address": null,
        "remote_address": null, "interface": null, "multihop": false, "transmit_seconds": 0.05, "receive_seconds": 0.05,
        "detection_seconds": 0.15, "remote_detection_seconds": 0.15, "measured_seconds": null,
        "longest_gap_seconds": 0.06, "counters": {}, "problem": null});
    let bfd =
        json!({"interval_seconds": 0.05, "multiplier": 3, "strict": false, "authentication": null, "session": session});
    let neighbor = json!({"name": "leaf1", "address": "192.0.2.1", "port": 179, "asn": "65001", "state": "Established",
        "since": at, "since_seconds": 1.0, "routes": 1, "unsendable": {}, "last_error": null, "last_error_at": null,
        "received": {"prefixes": 3, "limit": 2, "exceeded": true}, "retry_seconds": null, "local_address": null,
        "session": null, "counters": {"established": 1}, "bfd": bfd});
    status(json!({"services": [service], "neighbors": [neighbor], "problems": ["no", "no"],
        "problem_subjects": {"reload": 1, "kernel": 1}, "connections_refused": {"stranger": 3},
        "watch": {"hints": {"listener": 4}, "lists": 9, "lists_failed": 2},
        "bfd": {"without_priority": null, "discards": {"ttl": 3}},
        "addresses": [{"address": "203.0.113.53", "bound": true, "foreign": false, "interface": "lo", "since": at, "problem": null,
            "traffic": {"packets": 12, "bytes": 960}}]}))
}

/// A node on which these fields are laid.
fn status(with: Value) -> Status {
    let mut node = json!({"node": "here", "asn": 65010, "router_id": "192.0.2.2", "region": "eu", "country": null,
        "version": "0.4.0", "started": "2026-11-20T10:18:00Z", "uptime_seconds": 1.0, "stopping": false, "healthy": true,
        "problems": [], "services": [], "neighbors": [], "addresses": []});
    if let (Some(node), Value::Object(with)) = (node.as_object_mut(), with) {
        node.extend(with);
    }
    serde_json::from_value(node).unwrap()
}

/// Instruments that everything was noted with.
fn instruments() -> Instruments {
    let instruments = Instruments::new().unwrap();
    instruments.check_time("dns", "asks").observe(0.002);
    for announces in [true, false] {
        instruments.route_times("leaf1").written(announces).observe(0.000_2);
        instruments.route_times("leaf1").acked(announces).observe(0.000_9);
    }
    instruments.lateness().with_label_values(&["leaf1"]).observe(0.000_06);
    instruments
}

/// A metric as the page, or the registry, has it: its type and its labels.
type Table = BTreeMap<String, (String, BTreeSet<String>)>;

fn exported() -> Table {
    let known = everything();
    let families = instruments().gather(Some((&known, 1)));
    let ours = families.iter().filter(|family| family.name().starts_with("anycastd_"));
    let row = |family: &MetricFamily| {
        let kind = match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::GAUGE => "gauge",
            MetricType::HISTOGRAM => "histogram",
            MetricType::SUMMARY | MetricType::UNTYPED => "of no type that we use",
        };
        let labels = family.get_metric().iter().flat_map(|metric| metric.get_label());
        let labels = labels.map(|label| label.name().to_owned()).collect();
        (family.name().to_owned(), (kind.to_owned(), labels))
    };
    ours.map(row).collect()
}

const PAGE: &str = include_str!("../../../../docs/src/metrics.md");

/// The cells of the rows of a table of the page, under this head.
fn rows(head: &str) -> Vec<Vec<&'static str>> {
    let lines = PAGE.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect();
    lines.take_while(|line| line.starts_with('|')).map(cells).collect()
}

/// What stands in backticks.
fn quoted(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_page_lists_every_metric_and_no_other() {
    let documented: Table = rows("| name | type | labels | unit | meaning |")
        .into_iter()
        .map(|cells| {
            let [name, kind, labels, _, meaning] = cells[..] else { panic!("a row of five cells: {cells:?}") };
            assert!(!meaning.is_empty(), "{name}");
            (name.trim_matches('`').to_owned(), (kind.to_owned(), quoted(labels)))
        })
        .collect();
    let exported = exported();
    let differ = |one: &Table, other: &Table| -> Vec<String> {
        one.iter()
            .filter(|(name, row)| other.get(*name) != Some(row))
            .map(|(name, row)| format!("{name} {row:?}"))
            .collect()
    };
    assert!(exported.len() > 50, "{exported:?}");
    assert_eq!(differ(&exported, &documented), [""; 0], "exported, and not documented so");
    assert_eq!(differ(&documented, &exported), [""; 0], "documented, and not exported so");
}

#[test]
fn the_page_says_what_unit_a_name_has() {
    for cells in rows("| name | type | labels | unit | meaning |") {
        let (name, unit) = (cells[0].trim_matches('`'), cells[3]);
        let expected = match name {
            "anycastd_check_performance" => "by `unit`",
            _ if name.ends_with("_timestamp_seconds") => "s since 1970",
            _ if name.ends_with("_seconds") => "s",
            _ if name.contains("_bytes") => "B",
            _ => "",
        };
        assert_eq!(unit, expected, "{name}");
    }
}

#[test]
fn the_page_lists_the_subjects_of_problems() {
    let listed: Vec<&str> = rows("| `subject` |").into_iter().map(|cells| cells[0].trim_matches('`')).collect();
    assert_eq!(listed, agent::SUBJECTS);
}

#[test]
fn what_is_drawn_is_what_the_status_says() {
    let text = instruments().render(Some((&everything(), 6)));
    for line in [
        "anycastd_service_state_timestamp_seconds{service=\"dns\"} 120.5",
        "anycastd_service_drain_timestamp_seconds{service=\"dns\"} 90",
        "anycastd_service_hold_downs_total{service=\"dns\"} 4",
        "anycastd_prefix_neighbors{prefix=\"203.0.113.0/24\",service=\"dns\"} 2",
        "anycastd_problems 2",
        "anycastd_problems_by_subject{subject=\"reload\"} 1",
        "anycastd_problems_by_subject{subject=\"upgrade\"} 0",
        "anycastd_events_dropped_total 6",
        "anycastd_address_received_packets_total{address=\"203.0.113.53\",service=\"dns\"} 12",
        "anycastd_address_received_bytes_total{address=\"203.0.113.53\",service=\"dns\"} 960",
        "anycastd_listener_lists_total{result=\"answered\"} 7",
        "anycastd_route_acked_seconds_count{kind=\"withdraw\",neighbor=\"leaf1\"} 1",
        "anycastd_route_written_seconds_bucket{kind=\"announce\",neighbor=\"leaf1\",le=\"0.00025\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    let without = instruments().render(None);
    assert!(without.contains("anycastd_check_duration_seconds_count") && !without.contains("anycastd_healthy"));
}

#[test]
fn a_service_in_no_maintenance_has_no_time_of_one() {
    let text = instruments().render(Some((&status(json!({})), 0)));
    assert!(!text.contains("anycastd_service_drain_timestamp_seconds"), "{text}");
}

/// What Prometheus' own tool says of names, help and types. CI has it (`cargo lab test` installs it).
#[test]
fn the_linter_of_prometheus_finds_nothing() {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut promtool) = command.spawn() else {
        eprintln!("not looked at: there is no promtool");
        return;
    };
    let text = instruments().render(Some((&everything(), 6)));
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let words = [said.stdout, said.stderr].concat();
    assert!(said.status.success() && words.is_empty(), "{}", String::from_utf8_lossy(&words));
}
