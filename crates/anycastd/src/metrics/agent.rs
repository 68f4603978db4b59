//! What is drawn of the agent itself, and of its addresses.

use anycast_api::Status;

use super::{Drawing, flag};

/// What the problems of the status are about: each has its series, whether there is one or not.
pub(super) const SUBJECTS: [&str; 17] = [
    "bfd",
    "checks",
    "disable_file",
    "fence",
    "flaps",
    "http",
    "kernel",
    "listen",
    "max_prefixes",
    "neighbors",
    "orders",
    "reload",
    "restart",
    "traffic",
    "unsendable",
    "upgrade",
    "watch",
];

pub(super) fn draw(drawing: &Drawing, status: &Status, dropped_events: u64) -> prometheus::Result<()> {
    draw_node(drawing, status)?;
    draw_problems(drawing, status)?;
    draw_counts(drawing, status, dropped_events)?;
    draw_addresses(drawing, status)
}

fn draw_node(drawing: &Drawing, status: &Status) -> prometheus::Result<()> {
    let build = drawing.gauge("anycastd_build_info", "The version of the agent; always 1.", &["version"])?;
    build.with_label_values(&[status.version.as_str()]).set(1.0);
    let labels = ["node", "region", "country", "asn"];
    let node = drawing.gauge("anycastd_node_info", "Who this node is; always 1.", &labels)?;
    let (region, country) = (status.region.clone().unwrap_or_default(), status.country.clone().unwrap_or_default());
    node.with_label_values(&[&status.node, &region, &country, &status.asn.to_string()]).set(1.0);
    let healthy = drawing.gauge("anycastd_healthy", "Whether all is as configured.", &[])?;
    healthy.with_label_values::<&str>(&[]).set(flag(status.healthy));
    let stopping = drawing.gauge("anycastd_stopping", "Whether the agent is ending.", &[])?;
    stopping.with_label_values::<&str>(&[]).set(flag(status.stopping));
    Ok(())
}

fn draw_problems(drawing: &Drawing, status: &Status) -> prometheus::Result<()> {
    let problems = drawing.gauge(
        "anycastd_problems",
        "What is wrong with the agent itself, and with what it has to do with neighbors; see `anycastctl status`.",
        &[],
    )?;
    problems.with_label_values::<&str>(&[]).set(status.problems.len() as f64);
    let subjects = drawing.gauge("anycastd_problems_by_subject", "The same, by what they are about.", &["subject"])?;
    for subject in SUBJECTS {
        subjects.with_label_values(&[subject]).set(0.0);
    }
    for (subject, count) in &status.problem_subjects {
        subjects.with_label_values(&[subject]).set(*count as f64);
    }
    Ok(())
}

fn draw_counts(drawing: &Drawing, status: &Status, dropped_events: u64) -> prometheus::Result<()> {
    let dropped = drawing.counter("anycastd_events_dropped_total", "Events that came too fast to be kept.", &[])?;
    dropped.with_label_values::<&str>(&[]).inc_by(dropped_events);
    let refused = drawing.counter(
        "anycastd_connections_refused_total",
        "BGP connections that were closed before a word was said.",
        &["reason"],
    )?;
    for (reason, count) in &status.connections_refused {
        refused.with_label_values(&[reason]).inc_by(*count);
    }
    let hints = drawing.counter(
        "anycastd_hints_total",
        "Hints of the kernel to checks, by kind; overrun: times that not each closed socket was told.",
        &["kind"],
    )?;
    for (kind, count) in &status.watch.hints {
        hints.with_label_values(&[kind]).inc_by(*count);
    }
    let lists = drawing.counter(
        "anycastd_listener_lists_total",
        "Times the kernel was asked who listens, by whether it said.",
        &["result"],
    )?;
    lists.with_label_values(&["failed"]).inc_by(status.watch.lists_failed);
    lists.with_label_values(&["answered"]).inc_by(status.watch.lists.saturating_sub(status.watch.lists_failed));
    Ok(())
}

fn draw_addresses(drawing: &Drawing, status: &Status) -> prometheus::Result<()> {
    let bound = drawing.gauge("anycastd_address_bound", "Whether the kernel answers for the address.", &["address"])?;
    let foreign =
        drawing.gauge("anycastd_address_foreign", "Whether somebody else put the address there.", &["address"])?;
    for address in &status.addresses {
        bound.with_label_values(&[&address.address]).set(flag(address.bound));
        foreign.with_label_values(&[&address.address]).set(flag(address.foreign));
    }
    draw_traffic(drawing, status)
}

/// An address that several services have is counted once, and shown with each of them.
fn draw_traffic(drawing: &Drawing, status: &Status) -> prometheus::Result<()> {
    let labels = ["service", "address"];
    let packets = drawing.counter(
        "anycastd_address_received_packets_total",
        "IP packets that came for the address, where that is counted; what the node sent itself is not among them.",
        &labels,
    )?;
    let bytes = drawing.counter(
        "anycastd_address_received_bytes_total",
        "Octets of those packets, headers of IP included.",
        &labels,
    )?;
    for address in &status.addresses {
        let Some(traffic) = address.traffic else { continue };
        for service in status.services.iter().filter(|service| service.addresses.contains(&address.address)) {
            let labels = [&service.name, &address.address];
            packets.with_label_values(&labels).inc_by(traffic.packets);
            bytes.with_label_values(&labels).inc_by(traffic.bytes);
        }
    }
    Ok(())
}
