//! What Prometheus scrapes. Gauges and counters are drawn from the status at each scrape, so that they cannot disagree
//! with it; only what has no place in the status (how long things take) is kept here.

mod agent;
mod bfd;
mod neighbors;
mod services;
#[cfg(test)]
mod tests;
mod times;

use std::time::{Duration, SystemTime};

use anycast_api::{Status, Timestamp};
use prometheus::{Encoder, GaugeVec, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder, proto::MetricFamily};

pub(crate) use self::times::RouteTimes;
use self::times::Times;
use crate::fence::DEADLINES;

/// The metrics that live as long as the agent.
#[derive(Debug, Clone)]
pub(crate) struct Instruments {
    registry: Registry,
    times: Times,
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
        let registry = Registry::new();
        let times = Times::new(&registry)?;
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let options = Opts::new("anycastd_check_task_restarts_total", "Tasks of checks that panicked or hung.");
        let check_restarts = IntCounterVec::new(options, &["cause"])?;
        registry.register(Box::new(check_restarts.clone()))?;
        for cause in ["panicked", "hung"] {
            check_restarts.with_label_values(&[cause]).inc_by(0);
        }
        let fencings = Self::fence(&registry)?;
        Ok(Self { registry, times, check_restarts, fencings })
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
        self.times.check(service, check)
    }

    /// Where the task of a neighbor notes how long routes take.
    pub(crate) fn route_times(&self, neighbor: &str) -> RouteTimes {
        self.times.route(neighbor)
    }

    /// Where it is noted how late packets of BFD leave, by neighbor.
    pub(crate) fn lateness(&self) -> HistogramVec {
        self.times.lateness().clone()
    }

    /// Takes away the series of neighbors and checks that are gone.
    pub(crate) fn keep(&self, neighbor: impl Fn(&str) -> bool, check: impl Fn(&str, &str) -> bool) {
        self.times.keep(neighbor, check);
    }

    /// The text format, version 0.0.4. Without a status, because the decision loop does not answer, what needs none.
    pub(crate) fn render(&self, known: Option<(&Status, u64)>) -> String {
        let mut buffer = Vec::new();
        let _ = TextEncoder::new().encode(&self.gather(known), &mut buffer);
        String::from_utf8_lossy(&buffer).into_owned()
    }

    fn gather(&self, known: Option<(&Status, u64)>) -> Vec<MetricFamily> {
        let drawn = known.map(|(status, dropped)| drawn(status, dropped).map(|registry| registry.gather()));
        let drawn = drawn.transpose().unwrap_or_else(|error| {
            tracing::warn!(%error, "metrics");
            None
        });
        drawn.into_iter().flatten().chain(self.registry.gather()).collect()
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
    agent::draw(&drawing, status, dropped_events)?;
    services::draw(&drawing, status)?;
    neighbors::draw(&drawing, status)?;
    bfd::draw(&drawing, status)?;
    Ok(drawing.0)
}

const fn flag(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

/// Since 1970.
fn seconds(at: Timestamp) -> f64 {
    at.system_time().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
