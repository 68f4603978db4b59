//! What will bite: the machine round the agent, looked at on request and judged.
//!
//! [`gather`] looks, aside and in bounded time; [`judge`] is a pure function of what was seen. Nothing is changed. A neighbor that is
//! waited for in vain sees one connection, which is closed at once.

mod facts;
mod file;
mod gather;
mod judge;
mod knock;
mod program;
mod sockets;

use std::path::PathBuf;

use anycast_api::DoctorReply;

pub(crate) use self::facts::{Address, Asked, Bfd, Known, Session, Way};
use crate::agent::{Handle, NoAnswer};

/// Looks, and says what was found.
pub(crate) async fn examine(
    agent: &Handle,
    configuration: PathBuf,
    program: Result<PathBuf, String>,
) -> Result<DoctorReply, NoAnswer> {
    let known = agent.ask(|agent| agent.known()).await?;
    let facts = gather::gather(known, configuration, program).await;
    let mut findings = judge::judge(&facts);
    findings
        .sort_by(|one, other| (one.severity, &one.id, &one.subject).cmp(&(other.severity, &other.id, &other.subject)));
    Ok(DoctorReply { findings, not_looked_at: facts.unread })
}
