//! Where the log goes.
//!
//! All of it goes by a [`queue`], so that nothing waits for whoever reads it.
//! What libraries say through `log` comes along (tracing-subscriber bridges it), from WARN on.

mod journal;
mod queue;

use std::{io, time::Duration};

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::Directive, fmt::format::JsonFields, layer::SubscriberExt as _,
    registry::LookupSpan, util::SubscriberInitExt as _,
};

use self::{journal::Journal, queue::Queue};
use crate::config::{Log, LogFormat};

/// Our own crates follow the configured level, others speak up only from WARN on.
const OURS: [&str; 3] = ["anycastd", "anycast_core", "anycast_bgp"];

/// How long the end of the process waits for the last lines to be taken.
const LAST_LINES: Duration = Duration::from_millis(200);

/// The log of this process.
#[derive(Debug, Clone)]
pub(crate) struct Logging(Queue);

impl Logging {
    /// Waits a moment for what was logged to be written.
    pub(crate) fn finish(&self) {
        self.0.flush_within(LAST_LINES);
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

fn layer<S>(format: LogFormat) -> io::Result<(AnyLayer<S>, Queue)>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let lines = tracing_subscriber::fmt::layer();
    let line = |text: &str| format!("{text}\n");
    let (layer, queue) = match (format, Journal::open()) {
        (LogFormat::Journal, Ok(journal)) => {
            let queue = Queue::start(journal, journal::lost)?;
            let fields = lines.fmt_fields(JsonFields::new()).event_format(journal::Format);
            (fields.with_writer(queue.clone()).boxed(), queue)
        }
        (LogFormat::Json, _) => {
            let lost = |text: &str| format!("{}\n", serde_json::json!({ "level": "WARN", "message": text }));
            let queue = Queue::start(io::stderr(), lost)?;
            (lines.json().flatten_event(true).with_writer(queue.clone()).boxed(), queue)
        }
        (LogFormat::Text | LogFormat::Journal, _) => {
            let queue = Queue::start(io::stderr(), line)?;
            let colour = format == LogFormat::Text && io::IsTerminal::is_terminal(&io::stderr());
            (lines.with_target(false).with_ansi(colour).with_writer(queue.clone()).boxed(), queue)
        }
    };
    Ok((layer, queue))
}

#[cfg(test)]
mod tests {
    /// `tracing-subscriber` writes the name of a span as its field `name`: a field of that name would be there twice, and
    /// readers of JSON keep one of the two or refuse the line.
    #[test]
    fn no_span_has_a_field_that_is_called_as_its_name_is() {
        let mut spans = 0;
        let mut places = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        while let Some(place) = places.pop() {
            if place.is_dir() {
                places.extend(std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            let text = std::fs::read_to_string(&place).unwrap();
            for (start, _) in text.match_indices("_span!(\"") {
                let span = text[start..].split(");").next().unwrap();
                assert!(!span.contains("name ="), "{}: {span}", place.display());
                spans += 1;
            }
        }
        assert!(spans >= 4, "only {spans} were found");
    }
}
