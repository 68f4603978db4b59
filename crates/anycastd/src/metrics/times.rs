//! The times that are kept here because the status has no place for them: how long things take, as histograms.
//!
//! To note a time takes no lock and no memory: the thread of BFD does so at a real-time priority. What a histogram belongs to is asked for
//! once, when its task begins; when that is gone, so are its series ([`Times::keep`]).

use prometheus::{Histogram, HistogramOpts, HistogramVec, Registry, core::Collector as _};

/// Check times from a hundred microseconds to ten seconds.
const CHECK: [f64; 11] = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
/// The way of a route, from a hundred microseconds (one machine) to ten seconds (retransmissions).
const ROUTE: [f64; 14] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];
/// The lateness of BFD, from a tenth of a usual real-time one to what loses a session.
const LATENESS: [f64; 12] = [0.000_025, 0.000_05, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5];

/// The label of what becomes of a route.
const ANNOUNCE: &str = "announce";
const WITHDRAW: &str = "withdraw";

/// All of them.
#[derive(Debug, Clone)]
pub(super) struct Times {
    check: HistogramVec,
    written: HistogramVec,
    acked: HistogramVec,
    lateness: HistogramVec,
}

/// How long changes of routes take on their way to one neighbor.
#[derive(Debug, Clone)]
pub(crate) struct RouteTimes {
    announce: (Histogram, Histogram),
    withdraw: (Histogram, Histogram),
}

impl RouteTimes {
    /// From the decision to the kernel, which has the message whole.
    pub(crate) const fn written(&self, announces: bool) -> &Histogram {
        if announces { &self.announce.0 } else { &self.withdraw.0 }
    }

    /// From the decision to the neighbor's TCP, which has acknowledged it.
    pub(crate) const fn acked(&self, announces: bool) -> &Histogram {
        if announces { &self.announce.1 } else { &self.withdraw.1 }
    }
}

impl Times {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let histogram = |name: &str, help: &str, buckets: &[f64], labels: &[&str]| {
            let times = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?;
            registry.register(Box::new(times.clone()))?;
            Ok::<_, prometheus::Error>(times)
        };
        Ok(Self {
            check: histogram(
                "anycastd_check_duration_seconds",
                "How long a run of a check took.",
                &CHECK,
                &["service", "check"],
            )?,
            written: histogram(
                "anycastd_route_written_seconds",
                "From the decision about a prefix to when the kernel had the UPDATE that tells an Established neighbor of it.",
                &ROUTE,
                &["neighbor", "kind"],
            )?,
            acked: histogram(
                "anycastd_route_acked_seconds",
                "From the decision about a prefix to when the neighbor's TCP was seen to have acknowledged it.",
                &ROUTE,
                &["neighbor", "kind"],
            )?,
            lateness: histogram(
                "anycastd_bfd_transmit_lateness_seconds",
                "How much later than planned a periodic BFD packet left.",
                &LATENESS,
                &["neighbor"],
            )?,
        })
    }

    pub(super) fn check(&self, service: &str, check: &str) -> Histogram {
        self.check.with_label_values(&[service, check])
    }

    pub(super) fn route(&self, neighbor: &str) -> RouteTimes {
        let of = |kind| {
            let labels = [neighbor, kind];
            (self.written.with_label_values(&labels), self.acked.with_label_values(&labels))
        };
        RouteTimes { announce: of(ANNOUNCE), withdraw: of(WITHDRAW) }
    }

    pub(super) const fn lateness(&self) -> &HistogramVec {
        &self.lateness
    }

    /// Takes away the series of what is not there any more: whatever has a `neighbor`, or a `service` with a `check`, that is not to be kept.
    pub(super) fn keep(&self, neighbor: impl Fn(&str) -> bool, check: impl Fn(&str, &str) -> bool) {
        sweep(&self.check, &["service", "check"], |labels| match labels {
            [service, name] => check(service, name),
            _ => true,
        });
        let is_kept = |labels: &[String]| labels.first().is_none_or(|name| neighbor(name));
        sweep(&self.written, &["neighbor", "kind"], is_kept);
        sweep(&self.acked, &["neighbor", "kind"], is_kept);
        sweep(&self.lateness, &["neighbor"], is_kept);
    }
}

/// Removes the series whose labels, in the order of `names`, are not to be kept.
fn sweep(times: &HistogramVec, names: &[&str], is_kept: impl Fn(&[String]) -> bool) {
    for family in times.collect() {
        for metric in family.get_metric() {
            let value = |name: &&str| {
                let pair = metric.get_label().iter().find(|pair| pair.name() == *name);
                pair.map(|pair| pair.value().to_owned()).unwrap_or_default()
            };
            let labels: Vec<String> = names.iter().map(value).collect();
            if !is_kept(&labels) {
                // Somebody else may have been quicker.
                let _ = times.remove_label_values(&labels);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_takes_its_series_with_it() {
        let registry = Registry::new();
        let times = Times::new(&registry).unwrap();
        for (service, check) in [("dns", "asks"), ("dns", "serves"), ("web", "asks")] {
            times.check(service, check).observe(0.1);
        }
        for neighbor in ["leaf1", "leafs@192.0.2.7"] {
            times.route(neighbor).acked(false).observe(0.1);
            times.lateness().with_label_values(&[neighbor]).observe(0.1);
        }
        let series = || {
            let families = registry.gather();
            families.iter().map(|family| (family.name().to_owned(), family.get_metric().len())).collect::<Vec<_>>()
        };
        let counts = |checks, routes, neighbors| {
            [
                ("anycastd_bfd_transmit_lateness_seconds", neighbors),
                ("anycastd_check_duration_seconds", checks),
                ("anycastd_route_acked_seconds", routes),
                ("anycastd_route_written_seconds", routes),
            ]
            .map(|(name, count): (&str, usize)| (name.to_owned(), count))
        };
        assert_eq!(series(), counts(3, 4, 2));
        times.keep(|_| true, |_, _| true);
        assert_eq!(series(), counts(3, 4, 2));
        times.keep(|name| name == "leaf1", |service, check| (service, check) == ("dns", "asks"));
        assert_eq!(series(), counts(1, 2, 1));
        times.route("leaf1").acked(false).observe(0.1);
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let line = "anycastd_route_acked_seconds_count{kind=\"withdraw\",neighbor=\"leaf1\"} 2";
        assert!(text.contains(line), "what stays goes on: {text}");
    }
}
