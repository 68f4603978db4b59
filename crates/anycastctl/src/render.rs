//! Answers as text: pure functions from what the agent says, a width and the time of day to a [`Page`].
//!
//! Every string passes through [`Line`], and nothing else makes text; there it loses whatever a terminal would obey,
//! because much of it was said by somebody else (a neighbor's shutdown message, a server's answer to a check).

mod bfd;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod explain;
mod line;
pub(crate) mod neighbors;
pub(crate) mod orders;
mod page;
pub(crate) mod probe;
pub(crate) mod reload;
pub(crate) mod routes;
pub(crate) mod service;
pub(crate) mod status;
mod table;
#[cfg(test)]
mod testing;
pub(crate) mod upgrade;
mod when;

use std::time::SystemTime;

use anycast_api::Health;

use line::{Line, Style};

pub(crate) use line::clean;
pub(crate) use page::Page;

/// How to lay out a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    /// In columns.
    pub(crate) width: usize,
    /// The time of day, which ages are counted from.
    pub(crate) now: SystemTime,
}

/// What stands where there is nothing.
const NOTHING: &str = "–";

/// A health as a sign of one column.
const fn mark(health: Health) -> (Style, &'static str) {
    match health {
        Health::Up => (Style::Good, "✓"),
        Health::Degraded => (Style::Warn, "!"),
        Health::Down => (Style::Bad, "✗"),
        Health::Unknown => (Style::Dim, "?"),
    }
}

/// A health in a word.
fn health(health: Health) -> Line {
    match health {
        Health::Up => Line::styled(Style::Good, "up"),
        Health::Degraded => Line::styled(Style::Warn, "degraded"),
        Health::Down => Line::styled(Style::Bad, "down"),
        Health::Unknown => Line::styled(Style::Dim, "unknown"),
    }
}

/// A number, or the sign for none.
fn number(value: Option<impl ToString>) -> Line {
    value.map_or_else(nothing, |value| Line::plain(&value.to_string()))
}

/// The sign for none.
fn nothing() -> Line {
    Line::styled(Style::Dim, NOTHING)
}
