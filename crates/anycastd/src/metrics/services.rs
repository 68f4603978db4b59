//! What is drawn of services, their prefixes and their checks.

use anycast_api::{Check, Health, Service, ServiceState, Status};

use super::{Drawing, flag, seconds};

pub(super) fn draw(drawing: &Drawing, status: &Status) -> prometheus::Result<()> {
    draw_states(drawing, &status.services)?;
    draw_flaps(drawing, &status.services)?;
    draw_prefixes(drawing, &status.services)?;
    draw_checks(drawing, status)?;
    draw_performance(drawing, status)
}

fn draw_states(drawing: &Drawing, services: &[Service]) -> prometheus::Result<()> {
    let state = drawing.gauge("anycastd_service_state", "1 for the state the service is in.", &["service", "state"])?;
    let since = drawing.gauge(
        "anycastd_service_state_timestamp_seconds",
        "Since when the service is in its state, in seconds since 1970.",
        &["service"],
    )?;
    let ordered = drawing.gauge(
        "anycastd_service_drain_timestamp_seconds",
        "When the maintenance was ordered that the service is in, in seconds since 1970; none where it is in none.",
        &["service"],
    )?;
    for service in services {
        let name = service.name.as_str();
        for (label, known) in STATES {
            state.with_label_values(&[name, label]).set(flag(service.state == known));
        }
        since.with_label_values(&[name]).set(seconds(service.since));
        if let Some(drain) = &service.drain {
            ordered.with_label_values(&[name]).set(seconds(drain.ordered));
        }
    }
    Ok(())
}

fn draw_flaps(drawing: &Drawing, services: &[Service]) -> prometheus::Result<()> {
    let flaps = drawing.counter(
        "anycastd_service_flaps_total",
        "Times the checks took the service from serving to down.",
        &["service"],
    )?;
    let held = drawing.gauge(
        "anycastd_service_hold_down_seconds",
        "For how long the service is still held down because it flapped; 0: it is not.",
        &["service"],
    )?;
    let holds = drawing.counter(
        "anycastd_service_hold_downs_total",
        "Times the service was held down because it flapped.",
        &["service"],
    )?;
    for service in services {
        let labels = [service.name.as_str()];
        flaps.with_label_values(&labels).inc_by(service.flaps);
        if let Some(hold_down) = &service.hold_down {
            held.with_label_values(&labels).set(hold_down.left_seconds);
            holds.with_label_values(&labels).inc_by(hold_down.holds);
        }
    }
    Ok(())
}

fn draw_prefixes(drawing: &Drawing, services: &[Service]) -> prometheus::Result<()> {
    let labels = ["prefix", "service"];
    let announced = drawing.gauge("anycastd_prefix_announced", "Whether the prefix is to be announced.", &labels)?;
    let neighbors = drawing.gauge(
        "anycastd_prefix_neighbors",
        "To how many neighbors the prefix is announced now; a network counts once.",
        &labels,
    )?;
    for service in services {
        for prefix in &service.prefixes {
            let labels = [&prefix.prefix, &service.name];
            announced.with_label_values(&labels).set(flag(prefix.announced));
            neighbors.with_label_values(&labels).set(prefix.neighbors as f64);
        }
    }
    Ok(())
}

/// Each check, with its service.
fn checks(status: &Status) -> impl Iterator<Item = (&Service, &Check)> {
    status.services.iter().flat_map(|service| service.checks.iter().map(move |check| (service, check)))
}

fn draw_checks(drawing: &Drawing, status: &Status) -> prometheus::Result<()> {
    let labels = ["service", "check"];
    let up = drawing.gauge("anycastd_check_up", "Whether the check counts as good (degraded included).", &labels)?;
    let labels_of_state = ["service", "check", "state"];
    let check_state = drawing.gauge("anycastd_check_state", "1 for what the check is.", &labels_of_state)?;
    let runs = drawing.counter("anycastd_check_runs_total", "Runs begun.", &labels)?;
    let failures = drawing.counter("anycastd_check_failures_total", "Runs that failed.", &labels)?;
    let unproven = drawing.counter(
        "anycastd_check_inconclusive_runs_total",
        "Runs that proved nothing, because of trouble of the agent's own.",
        &labels,
    )?;
    let late =
        drawing.counter("anycastd_check_late_runs_total", "Runs that began more than an interval late.", &labels)?;
    let hinted = drawing.counter("anycastd_check_hints_total", "Hints of the kernel that the check had.", &labels)?;
    for (service, check) in checks(status) {
        let labels = [&service.name, &check.name];
        up.with_label_values(&labels).set(flag(matches!(check.health, Health::Up | Health::Degraded)));
        for (name, known) in HEALTHS {
            let labels = [service.name.as_str(), check.name.as_str(), name];
            check_state.with_label_values(&labels).set(flag(check.health == known));
        }
        runs.with_label_values(&labels).inc_by(check.runs);
        failures.with_label_values(&labels).inc_by(check.failures);
        unproven.with_label_values(&labels).inc_by(check.inconclusive);
        late.with_label_values(&labels).inc_by(check.late);
        hinted.with_label_values(&labels).inc_by(check.hints);
    }
    Ok(())
}

fn draw_performance(drawing: &Drawing, status: &Status) -> prometheus::Result<()> {
    let performance = drawing.gauge(
        "anycastd_check_performance",
        "What the program of an exec check measured in its last run; at most 16 values of each check.",
        &["service", "check", "label", "unit"],
    )?;
    for (service, check) in checks(status) {
        for one in check.last.iter().flat_map(|last| &last.performance) {
            if let Some(value) = one.value {
                performance.with_label_values(&[&service.name, &check.name, &one.label, &one.unit]).set(value);
            }
        }
    }
    Ok(())
}

const HEALTHS: [(&str, Health); 4] =
    [("unknown", Health::Unknown), ("down", Health::Down), ("degraded", Health::Degraded), ("up", Health::Up)];

const STATES: [(&str, ServiceState); 7] = [
    ("unknown", ServiceState::Unknown),
    ("down", ServiceState::Down),
    ("degraded", ServiceState::Degraded),
    ("up", ServiceState::Up),
    ("held", ServiceState::Held),
    ("draining", ServiceState::Draining),
    ("drained", ServiceState::Drained),
];
