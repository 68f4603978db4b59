//! What is drawn of BFD.

use anycast_api::{Bfd, BfdSession, BfdThread, Neighbor, Status};

use super::{Drawing, flag, seconds};

/// The states of RFC 5880 as labels, each with its name in the status.
const STATES: [(&str, &str); 4] = [("admin_down", "AdminDown"), ("down", "Down"), ("init", "Init"), ("up", "Up")];

/// A network has no session of its own; each of its routers has.
fn configured(status: &Status) -> impl Iterator<Item = (&Neighbor, &Bfd)> {
    let neighbors = status.neighbors.iter().filter(|neighbor| neighbor.state != "Listen");
    neighbors.filter_map(|neighbor| Some((neighbor, neighbor.bfd.as_ref()?)))
}

pub(super) fn draw(drawing: &Drawing, status: &Status) -> prometheus::Result<()> {
    draw_thread(drawing, &status.bfd, configured(status).next().is_some())?;
    let labels = ["neighbor"];
    let up = drawing.gauge("anycastd_bfd_session_up", "Whether the BFD session is Up.", &labels)?;
    let state =
        drawing.gauge("anycastd_bfd_session_state", "1 for the state of the BFD session.", &["neighbor", "state"])?;
    let since = drawing.gauge(
        "anycastd_bfd_session_state_timestamp_seconds",
        "Since when the BFD session is in its state, in seconds since 1970; none before there is one.",
        &labels,
    )?;
    let held = drawing.gauge(
        "anycastd_bfd_held_back",
        "Whether the BGP session waits for the path that it was lost with.",
        &labels,
    )?;
    let losses = drawing.counter(
        "anycastd_bfd_losses_total",
        "Times BFD lost the path: from Up to Down, and that by nobody's will.",
        &labels,
    )?;
    let packets = drawing.counter("anycastd_bfd_packets_total", "BFD packets.", &["neighbor", "direction"])?;
    let unauthentic =
        drawing.counter("anycastd_bfd_packets_unauthentic_total", "BFD packets that were not authentic.", &labels)?;
    let detection = drawing.gauge(
        "anycastd_bfd_detection_seconds",
        "How long the neighbor may be silent; none while it is not heard.",
        &labels,
    )?;
    let gap = drawing.gauge(
        "anycastd_bfd_longest_gap_seconds",
        "The longest time between two packets of the neighbor since the session is Up.",
        &labels,
    )?;
    for (neighbor, bfd) in configured(status) {
        let name = neighbor.name.as_str();
        let is = |wanted: &str| bfd.session.as_ref().is_some_and(|session| session.state == wanted);
        up.with_label_values(&[name]).set(flag(is("Up")));
        for (label, wanted) in STATES {
            state.with_label_values(&[name, label]).set(flag(is(wanted)));
        }
        held.with_label_values(&[name]).set(flag(bfd.held_back.is_some()));
        losses.with_label_values(&[name]).inc_by(bfd.session.as_ref().map_or(0, |session| session.losses));
        let count = |key: &str| bfd.session.as_ref().and_then(|session| session.counters.get(key)).copied();
        for (direction, key) in [("received", "packets_received"), ("sent", "packets_transmitted")] {
            packets.with_label_values(&[name, direction]).inc_by(count(key).unwrap_or_default());
        }
        unauthentic.with_label_values(&[name]).inc_by(count("packets_unauthentic").unwrap_or_default());
        let Some(BfdSession { detection_seconds, longest_gap_seconds, since: at, .. }) = &bfd.session else { continue };
        since.with_label_values(&[name]).set(seconds(*at));
        for (gauge, seconds) in [(&detection, detection_seconds), (&gap, longest_gap_seconds)] {
            if let Some(seconds) = seconds {
                gauge.with_label_values(&[name]).set(*seconds);
            }
        }
    }
    Ok(())
}

fn draw_thread(drawing: &Drawing, thread: &BfdThread, any: bool) -> prometheus::Result<()> {
    let discards = drawing.counter("anycastd_bfd_discards_total", "BFD packets that no session took.", &["reason"])?;
    for (reason, count) in &thread.discards {
        discards.with_label_values(&[reason]).inc_by(*count);
    }
    let real_time = drawing.gauge(
        "anycastd_bfd_real_time",
        "Whether BFD runs at a real-time priority; none where it is not configured.",
        &[],
    )?;
    if any {
        real_time.with_label_values::<&str>(&[]).set(flag(thread.without_priority.is_none()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use anycast_api::Timestamp;
    use serde_json::{Value, json};

    use super::super::Instruments;

    /// The lines of a metric of BFD, for a node with these neighbors.
    fn drawn(neighbors: &Value) -> Vec<String> {
        let at: Timestamp = std::time::SystemTime::UNIX_EPOCH.into();
        let status = json!({"node": "here", "asn": 65010, "router_id": "192.0.2.2", "region": null, "country": null,
            "version": "0", "started": at, "uptime_seconds": 1.0, "stopping": false, "healthy": true, "problems": [],
            "services": [], "neighbors": neighbors, "addresses": [],
            "bfd": {"without_priority": "EPERM", "discards": {"ttl": 3, "malformed": 0}}});
        let status = serde_json::from_value(status).unwrap();
        let text = Instruments::new().unwrap().render(Some((&status, 0)));
        let lines = text.lines().filter(|line| line.starts_with("anycastd_bfd_"));
        lines.map(|line| line.trim_start_matches("anycastd_bfd_").to_owned()).collect()
    }

    fn neighbor(name: &str, state: &str, bfd: &Value) -> Value {
        json!({"name": name, "address": "192.0.2.1", "port": 179, "asn": "65001", "state": state,
            "since": "2026-11-20T10:18:00Z", "since_seconds": 1.0, "routes": 0, "unsendable": {}, "last_error": null,
            "last_error_at": null, "retry_seconds": null, "local_address": null, "session": null, "counters": {},
            "bfd": bfd})
    }

    #[test]
    fn each_neighbor_with_bfd_has_its_series() {
        let session = json!({"state": "Up", "since": "2026-11-20T10:18:01Z", "since_seconds": 1.0,
            "diagnostic": "No Diagnostic", "remote_state": "Up", "remote_diagnostic": "No Diagnostic", "losses": 2,
            "last_loss": null, "last_loss_at": null, "last_detection_seconds": null, "local_discriminator": 1,
            "remote_discriminator": 7, "local_address": null, "remote_address": null, "interface": null,
            "multihop": false, "transmit_seconds": 0.05, "receive_seconds": 0.05, "detection_seconds": 0.15,
            "remote_detection_seconds": 0.25, "measured_seconds": 0.04, "longest_gap_seconds": 0.06,
            "counters": {"packets_received": 10, "packets_transmitted": 11, "packets_unauthentic": 1}, "problem": null});
        let bfd = |session: Value| json!({"interval_seconds": 0.05, "multiplier": 3, "strict": false, "authentication": null, "session": session});
        let lines = drawn(&json!([
            neighbor("leaf1", "Established", &bfd(session)),
            neighbor("leaf2", "Active", &bfd(Value::Null)),
            neighbor("leaf3", "Established", &Value::Null),
            neighbor("leafs", "Listen", &bfd(Value::Null)),
        ]));
        for line in [
            "session_up{neighbor=\"leaf1\"} 1",
            "session_up{neighbor=\"leaf2\"} 0",
            "session_state{neighbor=\"leaf1\",state=\"up\"} 1",
            "session_state{neighbor=\"leaf1\",state=\"admin_down\"} 0",
            "session_state{neighbor=\"leaf2\",state=\"down\"} 0",
            "losses_total{neighbor=\"leaf1\"} 2",
            "packets_total{direction=\"received\",neighbor=\"leaf1\"} 10",
            "packets_total{direction=\"sent\",neighbor=\"leaf1\"} 11",
            "packets_unauthentic_total{neighbor=\"leaf1\"} 1",
            "detection_seconds{neighbor=\"leaf1\"} 0.15",
            "longest_gap_seconds{neighbor=\"leaf1\"} 0.06",
            "discards_total{reason=\"ttl\"} 3",
            "discards_total{reason=\"malformed\"} 0",
            "real_time 0",
        ] {
            assert!(lines.iter().any(|found| found == line), "{line}: {lines:#?}");
        }
        assert!(!lines.iter().any(|line| line.contains("leaf3") || line.contains("leafs")), "{lines:#?}");
        assert!(!lines.iter().any(|line| line.contains("seconds{neighbor=\"leaf2\"")), "unknown is not 0: {lines:#?}");
    }

    #[test]
    fn a_node_without_bfd_says_nothing_of_its_priority() {
        let lines = drawn(&json!([neighbor("leaf3", "Established", &Value::Null)]));
        assert!(lines.iter().all(|line| line.starts_with("discards_total")), "{lines:#?}");
    }
}
