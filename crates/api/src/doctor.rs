//! `GET /v1/doctor`.

use serde::{Deserialize, Serialize};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorReply {
    /// The gravest first.
    pub findings: Vec<Finding>,
    /// What could not be looked at, and why.
    pub not_looked_at: Vec<String>,
}

/// Something that bites, or will.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// A short name that stays the same over versions: `rp_filter`, `other_speaker`.
    pub id: String,
    /// How grave it is.
    pub severity: Severity,
    /// What it is about: an interface, an address, a neighbor, a check, a file.
    pub subject: String,
    /// What is seen.
    pub seen: String,
    /// Why that matters.
    pub why: String,
    /// What to do, as a command where there is one.
    pub remedy: String,
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It breaks something now.
    Problem,
    /// It will bite.
    Warning,
    /// It cannot be seen from here: somebody has to look. It is no finding where it is asked whether there are any.
    Note,
}
