//! The program against a stand-in for the agent.

mod answers;
mod capture;
mod faults;
#[expect(clippy::unwrap_used, reason = "the lint knows tests by their attribute; this is one by its place")]
mod support;
