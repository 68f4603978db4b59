//! Where the log goes.
//!
//! Lines go to standard error by a [`queue`], so that nothing waits for whoever reads them.
//! What libraries say through `log` comes along (tracing-subscriber bridges it), from WARN on.

mod queue;

use std::{io, time::Duration};

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::Directive, layer::SubscriberExt as _, registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use self::queue::Queue;
use crate::config::{Log, LogFormat};

/// Our own crates follow the configured level, others speak up only from WARN on.
const OURS: [&str; 3] = ["anycastd", "anycast_core", "anycast_bgp"];

/// How long the end of the process waits for the last lines to be taken.
const LAST_LINES: Duration = Duration::from_millis(200);

/// The log of this process.
#[derive(Debug, Clone)]
pub(crate) struct Logging(Option<Queue>);

impl Logging {
    /// Waits a moment for what was logged to be written.
    pub(crate) fn finish(&self) {
        if let Some(queue) = &self.0 {
            queue.flush_within(LAST_LINES);
        }
    }
}

/// Begins to log. Without a journal, `journal` is text on standard error: nothing is lost.
///
/// # Errors
/// When the process logs already, or has no thread for it.
pub(crate) fn begin(log: &Log) -> anyhow::Result<Logging> {
    let (layer, queue) = layer(log.format)?;
    Registry::default().with(filter(log.level)).with(layer).try_init()?;
    Ok(Logging(queue))
}

fn filter(level: tracing::Level) -> EnvFilter {
    let directives = OURS.iter().filter_map(|target| format!("{target}={level}").parse::<Directive>().ok());
    // The archive parser warns about what its input says; we judge that ourselves.
    let quiet = "bgpkit_parser=error".parse::<Directive>().ok();
    directives.chain(quiet).fold(EnvFilter::new("warn"), EnvFilter::add_directive)
}

type AnyLayer<S> = Box<dyn Layer<S> + Send + Sync>;

fn layer<S>(format: LogFormat) -> io::Result<(AnyLayer<S>, Option<Queue>)>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    if format == LogFormat::Journal
        && let Ok(journal) = tracing_journald::layer()
    {
        return Ok((journal.with_syslog_identifier("anycastd".to_owned()).boxed(), None));
    }
    let queue = Queue::start(io::stderr())?;
    let lines = tracing_subscriber::fmt::layer().with_writer(queue.clone());
    let layer = match format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text => lines.with_target(false).with_ansi(io::IsTerminal::is_terminal(&io::stderr())).boxed(),
        LogFormat::Journal => lines.with_target(false).with_ansi(false).boxed(),
    };
    Ok((layer, Some(queue)))
}
