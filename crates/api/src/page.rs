//! What the status page is told, beside what travels over the control socket. Read-only, at `http.listen`:
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/status` | [`StatusNow`] |
//! | `GET /api/explain?target=PREFIX\|ADDRESS\|SERVICE` | [`Explanation`](crate::Explanation) |
//! | `GET /api/history` | [`History`] |
//! | `GET /api/events[?after=ID]` | server-sent events (`text/event-stream`) |
//!
//! Of the events, `happened` is an [`Event`](crate::Event), whose id in the stream is `PROCESS-NUMBER`; `status` is a [`StatusNow`]; `missed` says how
//! many events cannot be told any more; `silent`, that the agent's decision loop does not answer; `bye`, that the stream ends and another is to be asked for,
//! with its `reason`: `time` (it has lasted for as long as one may), `upgrade` (another program goes on, which takes a moment) or `end` (the agent ends).

use serde::{Deserialize, Serialize};

use crate::{ServiceState, Status, Timestamp};

/// The status, and when it was so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusNow {
    /// By the node's own clock: whoever shows how long ago something was need not trust another.
    pub now: Timestamp,
    /// What is so.
    #[serde(flatten)]
    pub status: Status,
}

/// What each service was in the last hour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// When it was told.
    pub now: Timestamp,
    /// How far it goes back at most, in seconds.
    pub window_seconds: f64,
    /// By name.
    pub services: Vec<ServiceHistory>,
}

/// What a service was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceHistory {
    /// The service.
    pub name: String,
    /// Oldest first, without gaps up to now. What was before the first is not known.
    pub spans: Vec<Span>,
}

/// For how long a service was in one state.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// In which.
    pub state: ServiceState,
    /// When that began, in seconds before now.
    pub from_seconds: f64,
    /// When it ended, in seconds before now; 0: it lasts.
    pub to_seconds: f64,
}
