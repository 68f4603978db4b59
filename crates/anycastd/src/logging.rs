//! Where the log goes.
//!
//! What libraries say through `log` comes along (tracing-subscriber bridges it), from WARN on.

use std::io;

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::Directive,
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::{SubscriberInitExt as _, TryInitError},
};

use crate::config::{Log, LogFormat};

/// Our own crates follow the configured level, others speak up only from WARN on.
const OURS: [&str; 3] = ["anycastd", "anycast_core", "anycast_bgp"];

/// Begins to log. Without a journal, `journal` is text on standard error: nothing is lost.
///
/// # Errors
/// When the process logs already.
pub(crate) fn begin(log: &Log) -> Result<(), TryInitError> {
    Registry::default().with(filter(log.level)).with(layer(log.format)).try_init()
}

fn filter(level: tracing::Level) -> EnvFilter {
    let directives = OURS.iter().filter_map(|target| format!("{target}={level}").parse::<Directive>().ok());
    // The archive parser warns about what its input says; we judge that ourselves.
    let quiet = "bgpkit_parser=error".parse::<Directive>().ok();
    directives.chain(quiet).fold(EnvFilter::new("warn"), EnvFilter::add_directive)
}

fn layer<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let text = || tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false);
    match format {
        LogFormat::Json => tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(io::stderr).boxed(),
        LogFormat::Text => text().with_ansi(io::IsTerminal::is_terminal(&io::stderr())).boxed(),
        LogFormat::Journal => match tracing_journald::layer() {
            Ok(journal) => journal.with_syslog_identifier("anycastd".to_owned()).boxed(),
            Err(_) => text().with_ansi(false).boxed(),
        },
    }
}
