//! What Prometheus scrapes. Gauges and counters are drawn from the status at each scrape, so that they cannot disagree
//! with it; only what has no place in the status (times of checks) is kept here.

mod bfd;

use std::time::Duration;

use anycast_api::{Health, ServiceState, Status};
use prometheus::{Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};

use crate::fence::DEADLINES;

/// Check times from a hundred microseconds to ten seconds.
const BUCKETS: [f64; 11] = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// The metrics that live as long as the agent.
#[derive(Debug, Clone)]
pub(crate) struct Instruments {
    registry: Registry,
    check_seconds: HistogramVec,
    check_restarts: IntCounterVec,
    fencings: Fencings,
}

/// What the fence counts; kept here because it must be readable while the decision loop is not.
#[derive(Debug, Clone)]
pub(crate) struct Fencings {
    count: IntCounterVec,
    age: GaugeVec,
}

impl Fencings {
    /// Somebody was silent for too long.
    pub(crate) fn count(&self, deadline: &str) {
        self.count.with_label_values(&[deadline]).inc();
    }

    /// For how long the one that is silent for longest has been so.
    pub(crate) fn set_age(&self, deadline: &str, age: Duration) {
        self.age.with_label_values(&[deadline]).set(age.as_secs_f64());
    }
}

impl Instruments {
    /// # Errors
    /// When two metrics share a name: a fault of ours.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let options = HistogramOpts::new("anycastd_check_duration_seconds", "How long a run of a check took.");
        let check_seconds = HistogramVec::new(options.buckets(BUCKETS.to_vec()), &["service", "check"])?;
        let registry = Registry::new();
        registry.register(Box::new(check_seconds.clone()))?;
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let options = Opts::new("anycastd_check_task_restarts_total", "Tasks of checks that panicked or hung.");
        let check_restarts = IntCounterVec::new(options, &["cause"])?;
        registry.register(Box::new(check_restarts.clone()))?;
        for cause in ["panicked", "hung"] {
            check_restarts.with_label_values(&[cause]).inc_by(0);
        }
        let fencings = Self::fence(&registry)?;
        Ok(Self { registry, check_seconds, check_restarts, fencings })
    }

    fn fence(registry: &Registry) -> prometheus::Result<Fencings> {
        let options = Opts::new("anycastd_fencings_total", "How often somebody was silent past this deadline.");
        let count = IntCounterVec::new(options, &["deadline"])?;
        let help = "For how long there has been no sign of life, beyond what is promised; of checks, the worst.";
        let age = GaugeVec::new(Opts::new("anycastd_heartbeat_age_seconds", help), &["deadline"])?;
        registry.register(Box::new(count.clone()))?;
        registry.register(Box::new(age.clone()))?;
        for deadline in DEADLINES {
            count.with_label_values(&[deadline]).inc_by(0);
            age.with_label_values(&[deadline]).set(0.0);
        }
        Ok(Fencings { count, age })
    }

    /// Where the fence notes what it sees.
    pub(crate) fn fencings(&self) -> Fencings {
        self.fencings.clone()
    }

    /// The task of a check was restarted.
    pub(crate) fn count_check_restart(&self, cause: &str) {
        self.check_restarts.with_label_values(&[cause]).inc();
    }

    /// Where a check notes its times.
    pub(crate) fn check_time(&self, service: &str, check: &str) -> prometheus::Histogram {
        self.check_seconds.with_label_values(&[service, check])
    }

    /// The text format, version 0.0.4. Without a status, because the decision loop does not answer, what needs none.
    pub(crate) fn render(&self, known: Option<(&Status, u64)>) -> String {
        let mut buffer = Vec::new();
        let encoder = TextEncoder::new();
        let drawn = known.map(|(status, dropped)| drawn(status, dropped).map(|registry| registry.gather()));
        let drawn = drawn.transpose().unwrap_or_else(|error| {
            tracing::warn!(%error, "metrics");
            None
        });
        let _ = encoder.encode(&drawn.unwrap_or_default(), &mut buffer);
        let _ = encoder.encode(&self.registry.gather(), &mut buffer);
        String::from_utf8_lossy(&buffer).into_owned()
    }
}

/// A registry for one scrape.
struct Drawing(Registry);

impl Drawing {
    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
        let gauge = GaugeVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    fn counter(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(counter.clone()))?;
        Ok(counter)
    }
}

fn drawn(status: &Status, dropped_events: u64) -> prometheus::Result<Registry> {
    let drawing = Drawing(Registry::new());
    draw_agent(&drawing, status, dropped_events)?;
    draw_services(&drawing, status)?;
    draw_neighbors(&drawing, status)?;
    bfd::draw(&drawing, status)?;
    Ok(drawing.0)
}

fn draw_agent(drawing: &Drawing, status: &Status, dropped_events: u64) -> prometheus::Result<()> {
    let build = drawing.gauge("anycastd_build_info", "The version of the agent; always 1.", &["version"])?;
    build.with_label_values(&[status.version.as_str()]).set(1.0);
    let labels = ["node", "region", "country", "asn"];
    let node = drawing.gauge("anycastd_node_info", "Who this node is; always 1.", &labels)?;
    let (region, country) = (status.region.clone().unwrap_or_default(), status.country.clone().unwrap_or_default());
    node.with_label_values(&[&status.node, &region, &country, &status.asn.to_string()]).set(1.0);
    let healthy = drawing.gauge("anycastd_healthy", "Whether all is as configured.", &[])?;
    healthy.with_label_values::<&str>(&[]).set(flag(status.healthy));
    let problems = drawing.gauge(
        "anycastd_problems",
        "What is wrong with the agent itself, neighbors beyond max_prefixes and BFD that does not do; see `anycastctl status`.",
        &[],
    )?;
    problems.with_label_values::<&str>(&[]).set(status.problems.len() as f64);
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
    let bound = drawing.gauge("anycastd_address_bound", "Whether the kernel answers for the address.", &["address"])?;
    let foreign =
        drawing.gauge("anycastd_address_foreign", "Whether somebody else put the address there.", &["address"])?;
    for address in &status.addresses {
        bound.with_label_values(&[&address.address]).set(flag(address.bound));
        foreign.with_label_values(&[&address.address]).set(flag(address.foreign));
    }
    Ok(())
}

fn draw_services(drawing: &Drawing, status: &Status) -> prometheus::Result<()> {
    let state = drawing.gauge("anycastd_service_state", "1 for the state the service is in.", &["service", "state"])?;
    let announced =
        drawing.gauge("anycastd_prefix_announced", "Whether the prefix is to be announced.", &["prefix", "service"])?;
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
    let labels = ["service", "check"];
    let up = drawing.gauge("anycastd_check_up", "Whether the check counts as good (degraded included).", &labels)?;
    let labels_of_state = ["service", "check", "state"];
    let check_state = drawing.gauge("anycastd_check_state", "1 for what the check is.", &labels_of_state)?;
    let runs = drawing.counter("anycastd_check_runs_total", "Runs begun.", &labels)?;
    let failures = drawing.counter("anycastd_check_failures_total", "Runs that failed.", &labels)?;
    let hinted = drawing.counter("anycastd_check_hints_total", "Hints of the kernel that the check had.", &labels)?;
    let performance = drawing.gauge(
        "anycastd_check_performance",
        "What the program of an exec check measured in its last run; at most 16 values of each check.",
        &["service", "check", "label", "unit"],
    )?;
    for service in &status.services {
        for (name, known) in STATES {
            state.with_label_values(&[service.name.as_str(), name]).set(flag(service.state == known));
        }
        flaps.with_label_values(&[service.name.as_str()]).inc_by(service.flaps);
        if let Some(hold_down) = &service.hold_down {
            held.with_label_values(&[service.name.as_str()]).set(hold_down.left_seconds);
        }
        for prefix in &service.prefixes {
            announced.with_label_values(&[&prefix.prefix, &service.name]).set(flag(prefix.announced));
        }
        for check in &service.checks {
            let labels = [&service.name, &check.name];
            up.with_label_values(&labels).set(flag(matches!(check.health, Health::Up | Health::Degraded)));
            for (name, known) in HEALTHS {
                let labels = [service.name.as_str(), check.name.as_str(), name];
                check_state.with_label_values(&labels).set(flag(check.health == known));
            }
            runs.with_label_values(&labels).inc_by(check.runs);
            failures.with_label_values(&labels).inc_by(check.failures);
            hinted.with_label_values(&labels).inc_by(check.hints);
            for one in check.last.iter().flat_map(|last| &last.performance) {
                if let Some(value) = one.value {
                    performance.with_label_values(&[&service.name, &check.name, &one.label, &one.unit]).set(value);
                }
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

fn draw_neighbors(drawing: &Drawing, status: &Status) -> prometheus::Result<()> {
    let labels = ["neighbor"];
    let established = drawing.gauge("anycastd_neighbor_established", "Whether the session is Established.", &labels)?;
    let routes = drawing.gauge("anycastd_neighbor_routes", "Prefixes the neighbor holds from us.", &labels)?;
    let unsendable =
        drawing.gauge("anycastd_neighbor_unsendable_routes", "Prefixes the neighbor cannot be told.", &labels)?;
    let quarantined = drawing.gauge(
        "anycastd_neighbor_quarantined_routes",
        "Prefixes held back because the neighbor ends the session when it is told of them, or may.",
        &labels,
    )?;
    let sessions =
        drawing.counter("anycastd_neighbor_sessions_total", "Times the session became Established.", &labels)?;
    let link_downs = drawing.counter(
        "anycastd_neighbor_link_downs_total",
        "Sessions that ended because the interface that leads to the neighbor went down.",
        &labels,
    )?;
    let messages =
        drawing.counter("anycastd_neighbor_messages_total", "BGP messages.", &["neighbor", "type", "direction"])?;
    let bytes = drawing.counter("anycastd_neighbor_bytes_total", "Octets of BGP.", &["neighbor", "direction"])?;
    let broken = drawing.counter(
        "anycastd_neighbor_updates_treated_as_withdraw_total",
        "Received UPDATEs that were malformed (RFC 7606).",
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
    // A network has no session of its own; each of its routers has.
    for neighbor in status.neighbors.iter().filter(|neighbor| neighbor.state != "Listen") {
        let name = neighbor.name.as_str();
        let count = |key: &str| neighbor.counters.get(key).copied().unwrap_or_default();
        established.with_label_values(&[name]).set(flag(neighbor.state == "Established"));
        routes.with_label_values(&[name]).set(neighbor.routes as f64);
        unsendable.with_label_values(&[name]).set(neighbor.unsendable.len() as f64);
        quarantined.with_label_values(&[name]).set(neighbor.quarantined.len() as f64);
        if let Some(counted) = neighbor.received {
            received.with_label_values(&[name]).set(counted.prefixes as f64);
            exceeded.with_label_values(&[name]).set(flag(counted.exceeded));
        }
        sessions.with_label_values(&[name]).inc_by(count("established"));
        link_downs.with_label_values(&[name]).inc_by(count("link_downs"));
        broken.with_label_values(&[name]).inc_by(count("treated_as_withdraw"));
        for direction in ["sent", "received"] {
            bytes.with_label_values(&[name, direction]).inc_by(count(&format!("bytes_{direction}")));
            for kind in ["open", "update", "notification", "keepalive", "route_refresh"] {
                messages.with_label_values(&[name, kind, direction]).inc_by(count(&format!("{kind}_{direction}")));
            }
        }
    }
    Ok(())
}

const fn flag(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}
