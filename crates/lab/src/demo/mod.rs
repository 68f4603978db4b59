//! The demonstration: what fails over, how fast, and what is lost.

use std::sync::Arc;

use crate::runner::Runner;

/// How it is shown.
#[derive(Debug, Default, clap::Args)]
pub struct Options {}

/// Shows it.
///
/// # Errors
/// When what is shown is not what was expected.
#[expect(clippy::unused_async, reason = "what is shown takes time")]
pub async fn run(_runner: Arc<dyn Runner>, _options: Options) -> anyhow::Result<()> {
    Ok(())
}
