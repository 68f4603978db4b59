//! The report as a table.

use super::data::Report;

/// The table.
#[must_use]
pub fn table(report: &Report) -> String {
    let row = |method: &super::data::Method| {
        let routers = method.routers.as_deref().unwrap_or("");
        let mut waits: Vec<_> = method.runs.iter().map(|run| run.first_good_ms.unwrap_or(f64::INFINITY)).collect();
        waits.sort_by(f64::total_cmp);
        let lost: u64 = method.runs.iter().map(|run| run.lost).sum();
        let middle = waits.get(waits.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN);
        let worst = waits.last().copied().unwrap_or(f64::NAN);
        format!("{:42} {routers:5} {:3} {middle:10.1} {worst:10.1} {lost:8}\n", method.title, waits.len())
    };
    report.methods.iter().map(row).collect()
}
