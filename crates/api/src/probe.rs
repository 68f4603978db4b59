//! Checks that are run because somebody asks.

use serde::{Deserialize, Serialize};

use crate::CheckAnswer;

/// Run checks of a service once, now. What they find is told, and counts for nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeRequest {
    /// Which service.
    pub service: String,
    /// Only this check of it.
    #[serde(default)]
    pub check: Option<String>,
    /// For how long the answer may be waited for, in seconds; at most 3600.
    pub timeout_seconds: f64,
}

/// What the checks found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeReply {
    /// The service.
    pub service: String,
    /// By name.
    pub checks: Vec<ProbedCheck>,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbedCheck {
    /// Its name.
    pub name: String,
    /// Its type in the configuration.
    pub kind: String,
    /// What this run saw; none where there was no run.
    pub answer: Option<CheckAnswer>,
    /// Why there was none.
    pub not_run: Option<String>,
}
