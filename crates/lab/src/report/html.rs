//! The report as a page.

use super::data::Report;

/// The page.
#[must_use]
pub fn html(report: &Report) -> String {
    format!("<!doctype html><title>Failover</title><p>{} methods", report.methods.len())
}
