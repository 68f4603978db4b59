//! What is drawn of neighbors.

use anycast_api::{Neighbor, Status};

use super::{Drawing, flag, seconds};

pub(super) fn draw(drawing: &Drawing, status: &Status) -> prometheus::Result<()> {
    // A network has no session of its own; each of its routers has.
    let neighbors: Vec<&Neighbor> = status.neighbors.iter().filter(|neighbor| neighbor.state != "Listen").collect();
    draw_sessions(drawing, &neighbors)?;
    draw_routes(drawing, &neighbors)?;
    draw_messages(drawing, &neighbors)
}

fn count(neighbor: &Neighbor, key: &str) -> u64 {
    neighbor.counters.get(key).copied().unwrap_or_default()
}

fn draw_sessions(drawing: &Drawing, neighbors: &[&Neighbor]) -> prometheus::Result<()> {
    let labels = ["neighbor"];
    let established = drawing.gauge("anycastd_neighbor_established", "Whether the session is Established.", &labels)?;
    let since = drawing.gauge(
        "anycastd_neighbor_state_timestamp_seconds",
        "Since when the session is Established, or is not, in seconds since 1970.",
        &labels,
    )?;
    let sessions =
        drawing.counter("anycastd_neighbor_sessions_total", "Times the session became Established.", &labels)?;
    let link_downs = drawing.counter(
        "anycastd_neighbor_link_downs_total",
        "Sessions that ended because the interface that leads to the neighbor went down.",
        &labels,
    )?;
    for neighbor in neighbors {
        let labels = [neighbor.name.as_str()];
        established.with_label_values(&labels).set(flag(neighbor.state == "Established"));
        since.with_label_values(&labels).set(seconds(neighbor.since));
        sessions.with_label_values(&labels).inc_by(count(neighbor, "established"));
        link_downs.with_label_values(&labels).inc_by(count(neighbor, "link_downs"));
    }
    Ok(())
}

fn draw_routes(drawing: &Drawing, neighbors: &[&Neighbor]) -> prometheus::Result<()> {
    let labels = ["neighbor"];
    let routes = drawing.gauge("anycastd_neighbor_routes", "Prefixes the neighbor holds from us.", &labels)?;
    let unsendable =
        drawing.gauge("anycastd_neighbor_unsendable_routes", "Prefixes the neighbor cannot be told.", &labels)?;
    let quarantined = drawing.gauge(
        "anycastd_neighbor_quarantined_routes",
        "Prefixes held back because the neighbor ends the session when it is told of them, or may.",
        &labels,
    )?;
    let received = drawing.gauge(
        "anycastd_neighbor_received_prefixes",
        "Different prefixes the neighbor announced in this session, where they are limited.",
        &labels,
    )?;
    let exceeded = drawing.gauge(
        "anycastd_neighbor_max_prefixes_exceeded",
        "Whether there were more than `max_prefixes` in this session.",
        &labels,
    )?;
    for neighbor in neighbors {
        let labels = [neighbor.name.as_str()];
        routes.with_label_values(&labels).set(neighbor.routes as f64);
        unsendable.with_label_values(&labels).set(neighbor.unsendable.len() as f64);
        quarantined.with_label_values(&labels).set(neighbor.quarantined.len() as f64);
        if let Some(counted) = neighbor.received {
            received.with_label_values(&labels).set(counted.prefixes as f64);
            exceeded.with_label_values(&labels).set(flag(counted.exceeded));
        }
    }
    Ok(())
}

fn draw_messages(drawing: &Drawing, neighbors: &[&Neighbor]) -> prometheus::Result<()> {
    let messages =
        drawing.counter("anycastd_neighbor_messages_total", "BGP messages.", &["neighbor", "type", "direction"])?;
    let bytes = drawing.counter("anycastd_neighbor_bytes_total", "Octets of BGP.", &["neighbor", "direction"])?;
    let broken = drawing.counter(
        "anycastd_neighbor_updates_treated_as_withdraw_total",
        "Received UPDATEs that were malformed (RFC 7606).",
        &["neighbor"],
    )?;
    for neighbor in neighbors {
        let name = neighbor.name.as_str();
        broken.with_label_values(&[name]).inc_by(count(neighbor, "treated_as_withdraw"));
        for direction in ["sent", "received"] {
            bytes.with_label_values(&[name, direction]).inc_by(count(neighbor, &format!("bytes_{direction}")));
            for kind in ["open", "update", "notification", "keepalive", "route_refresh"] {
                let counted = count(neighbor, &format!("{kind}_{direction}"));
                messages.with_label_values(&[name, kind, direction]).inc_by(counted);
            }
        }
    }
    Ok(())
}
