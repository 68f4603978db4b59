//! Where a tool's lines go, and when it ends.

use std::{
    fmt,
    io::{self, BufWriter, Read as _, Write as _},
    process, thread,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use super::record::Record;

/// Lines, written when flushed.
pub(super) struct Lines(BufWriter<Box<dyn io::Write + Send>>);

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

impl Lines {
    /// On standard output.
    pub(super) fn new() -> Self {
        Self::to(io::stdout())
    }

    /// Elsewhere.
    pub(super) fn to(out: impl io::Write + Send + 'static) -> Self {
        Self(BufWriter::with_capacity(64 * 1024, Box::new(out)))
    }

    /// Adds a line.
    pub(super) fn push(&mut self, record: &Record) {
        let written = serde_json::to_writer(&mut self.0, record).map_err(io::Error::from);
        or_end(written.and_then(|()| self.0.write_all(b"\n")));
    }

    /// Shows what was added.
    pub(super) fn flush(&mut self) {
        or_end(self.0.flush());
    }

    /// One line at once.
    pub(super) fn say(&mut self, record: &Record) {
        self.push(record);
        self.flush();
    }
}

/// A tool nobody listens to has nothing to do.
fn or_end(written: io::Result<()>) {
    if written.is_err() {
        process::exit(0);
    }
}

/// Returns when whoever started the tool wants no more of it: its input ends, or SIGTERM comes.
///
/// Must be called once at most: it reads the standard input.
pub(super) async fn ending() -> anyhow::Result<()> {
    let (end, ended) = oneshot::channel();
    // A thread of its own, left alone at the end: a read of standard input cannot be cancelled, and the runtime would wait
    // for one of its own threads.
    thread::spawn(move || {
        let mut buffer = [0; 256];
        while matches!(io::stdin().read(&mut buffer), Ok(1..)) {}
        let _ = end.send(());
    });
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = ended => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
