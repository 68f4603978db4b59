//! The native protocol of the journal (systemd.io/JOURNAL_NATIVE_PROTOCOL): a datagram for each event, a field a line.
//!
//! Fields are named as tracing-journald names them: F_ before our own, those of the spans included. That crate itself sends
//! from the task that logs, and a journal that hangs would hold that task; here the datagrams go by the queue of all lines.

use std::{fmt, io, os::unix::net::UnixDatagram};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormattedFields,
        format::{JsonFields, Writer},
    },
    registry::LookupSpan,
};

const SOCKET: &str = "/run/systemd/journal/socket";
const IDENTIFIER: &str = "anycastd";

/// Each write is one datagram.
#[derive(Debug)]
pub(super) struct Journal(UnixDatagram);

impl Journal {
    /// # Errors
    /// When there is no journal.
    pub(super) fn open() -> io::Result<Self> {
        UnixDatagram::unbound()?.connect(SOCKET)?;
        UnixDatagram::unbound().map(Self)
    }
}

impl io::Write for Journal {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.send_to(event, SOCKET)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says that so many events are missing.
pub(super) fn lost(text: &str) -> String {
    format!("PRIORITY={}\nSYSLOG_IDENTIFIER={IDENTIFIER}\nMESSAGE={text}\n", priority(Level::WARN))
}

/// An event and its spans as fields.
#[derive(Debug)]
pub(super) struct Format;

impl<S> FormatEvent<S, JsonFields> for Format
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        writeln!(out, "PRIORITY={}\nSYSLOG_IDENTIFIER={IDENTIFIER}", priority(*metadata.level()))?;
        put(&mut out, "TARGET", metadata.target())?;
        if let (Some(file), Some(line)) = (metadata.file(), metadata.line()) {
            put(&mut out, "CODE_FILE", file)?;
            writeln!(out, "CODE_LINE={line}")?;
        }
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            put(&mut out, "SPAN_NAME", span.name())?;
            let extensions = span.extensions();
            let Some(fields) = extensions.get::<FormattedFields<JsonFields>>() else { continue };
            let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(fields).unwrap_or_default();
            for (name, value) in fields {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                put(&mut out, &ours(&name), &text)?;
            }
        }
        let mut fields = Fields { out, result: Ok(()) };
        event.record(&mut fields);
        fields.result
    }
}

struct Fields<'writer> {
    out: Writer<'writer>,
    result: fmt::Result,
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let name = if field.name() == "message" { "MESSAGE".to_owned() } else { ours(field.name()) };
        self.result = self.result.and_then(|()| put(&mut self.out, &name, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// A line is a field, so a value has none of its own.
fn put(out: &mut Writer<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(out, "{name}={}", value.replace('\n', "\\n"))
}

/// Names are of upper case letters, digits and underscores.
fn ours(name: &str) -> String {
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
    format!("F_{}", name.chars().map(letter).collect::<String>())
}

/// Of syslog(3).
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 5,
        Level::DEBUG => 6,
        Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn an_event_comes_with_its_spans() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let out = written.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || Shared(out.clone()))
            .fmt_fields(JsonFields::new())
            .event_format(Format);
        tracing::subscriber::with_default(tracing_subscriber::Registry::default().with(layer), || {
            let _span = tracing::info_span!("neighbor", neighbor = %"leaf1", port = 179).entered();
            tracing::warn!(reason = %"it said:\nMESSAGE=forged", retry_in = 3, "session down");
        });
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let fields: Vec<&str> = text.lines().filter(|line| !line.starts_with("CODE_")).collect();
        let expected = [
            "PRIORITY=4",
            "SYSLOG_IDENTIFIER=anycastd",
            "TARGET=anycastd::logging::journal::tests",
            "SPAN_NAME=neighbor",
            "F_NEIGHBOR=leaf1",
            "F_PORT=179",
            "MESSAGE=session down",
            r"F_REASON=it said:\nMESSAGE=forged",
            "F_RETRY_IN=3",
        ];
        assert_eq!(fields, expected);
    }

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
