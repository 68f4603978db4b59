//! Programs that run inside the nodes.

use clap::Subcommand;

/// The tools.
#[derive(Debug, Subcommand)]
pub enum Tool {}

/// Runs a tool until it is over.
///
/// # Errors
/// When it cannot do its work.
#[expect(clippy::unused_async, reason = "the tools wait for the network")]
pub async fn run(tool: Tool) -> anyhow::Result<()> {
    match tool {}
}
