//! Lines of the log on their way out: whoever logs never waits for whoever reads.
//!
//! A pipe that nobody reads any more, or a terminal that was stopped, would hold up the decision loop otherwise. What does not
//! fit is counted, and the count is told when there is room again.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait: a busy second of a large node.
const LINES: usize = 4096;
/// Between two attempts to place a flush in a queue that is full.
const RETRY: Duration = Duration::from_millis(5);

enum Entry {
    Line(Vec<u8>),
    /// Answered when all before it is written.
    Flush(SyncSender<()>),
}

/// The queue, and the way in.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    entries: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

impl Queue {
    /// Starts the thread that writes to `out`, each line by one call; `lost` makes a line of the text that says how many were
    /// dropped. It ends with the last clone of the queue.
    pub(super) fn start(out: impl Write + Send + 'static, lost: fn(&str) -> String) -> io::Result<Self> {
        let (entries, waiting) = sync_channel(LINES);
        let queue = Self { entries, dropped: Arc::default() };
        let dropped = queue.dropped.clone();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || write(&waiting, &dropped, out, lost))?;
        Ok(queue)
    }

    /// Until all that was logged so far is written, or for as long as that.
    pub(super) fn flush_within(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let (done, written) = sync_channel(1);
        while self.entries.try_send(Entry::Flush(done.clone())).is_err() {
            if Instant::now() >= deadline {
                return;
            }
            std::thread::sleep(RETRY);
        }
        let _: Result<(), RecvTimeoutError> = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The subscriber writes each line whole, by one call.
impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.entries.try_send(Entry::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A log that cannot be written is no reason to do anything but go on.
fn write(waiting: &Receiver<Entry>, dropped: &AtomicU64, mut out: impl Write, lost: fn(&str) -> String) {
    while let Ok(entry) = waiting.recv() {
        match entry {
            Entry::Line(line) => drop(out.write_all(&line)),
            Entry::Flush(done) => {
                let _ = out.flush();
                let _ = done.try_send(());
            }
        }
        let count = dropped.swap(0, Ordering::Relaxed);
        if count > 0 {
            let text = format!("{count} lines of the log were dropped: they were not read as fast as they came");
            let _ = out.write_all(lost(&text).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Takes a write only when it is allowed to, and passes it on.
    struct Slow(Receiver<()>, Sender<String>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            let _ = self.1.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_reader_and_what_is_lost_is_told() {
        let ((allow, allowed), (told, seen)) = (channel(), channel());
        let mut queue = Queue::start(Slow(allowed, told), |text| format!("{text}\n")).unwrap();
        // One line is with the writer at most, the rest fills the queue.
        let lines = LINES + 1 + 7;
        for number in 0..lines {
            queue.write_all(format!("{number}\n").as_bytes()).unwrap();
        }
        queue.flush_within(Duration::from_millis(20));
        drop(allow);
        queue.flush_within(Duration::from_secs(20));
        drop(queue);
        let seen: String = seen.iter().collect();
        let dropped = seen.lines().find_map(|line| line.strip_suffix(" as fast as they came"));
        let dropped: usize = dropped.and_then(|line| line.split(' ').next()?.parse().ok()).unwrap();
        assert!((7..=8).contains(&dropped), "{dropped}");
        let kept = seen.lines().filter_map(|line| line.parse().ok());
        assert_eq!(kept.collect::<Vec<usize>>(), (0..lines - dropped).collect::<Vec<_>>(), "the first, in order");
    }
}
