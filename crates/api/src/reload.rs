//! `POST /v1/reload`.

use serde::{Deserialize, Serialize};

/// Read the configuration file anew, and do what it says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReloadRequest {
    /// Only tell what would change.
    #[serde(default)]
    pub dry_run: bool,
    /// Do it also where everything that this node announces is withdrawn by it.
    #[serde(default)]
    pub yes: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReply {
    /// The file that was read.
    pub file: String,
    /// In one word.
    pub verdict: ReloadVerdict,
    /// Why it was refused, in one sentence.
    pub refused: Option<String>,
    /// What to do about that.
    pub hint: Option<String>,
    /// All that is wrong with the file, each mistake with its place and its remedy, as `anycastd --check` prints them.
    pub mistakes: Option<String>,
    /// What the file probably does not mean to say, one a line.
    pub warnings: Vec<String>,
    /// What changes, or would; the gravest first.
    pub changes: Vec<ReloadChange>,
}

/// What came of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReloadVerdict {
    /// It is in force.
    Done,
    /// It would be done; nothing was.
    WouldBeDone,
    /// The file says what is in force already.
    Unchanged,
    /// Nothing was done, and the old configuration stands.
    Refused,
}

/// One thing that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadChange {
    /// `session`, `route`, `address`, `anchor`, `service`, `check` or `setting`.
    pub kind: String,
    /// What it happens to: a neighbor, a prefix, an address, a service, a check (`service/check`) or a key.
    pub subject: String,
    /// Whom a `route` is told: the neighbor.
    pub neighbor: Option<String>,
    /// In words.
    pub text: String,
}
