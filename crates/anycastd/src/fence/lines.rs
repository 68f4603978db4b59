//! The sockets of the sessions, within reach of who must end them in their drivers' place.
//!
//! A driver that writes holds its [`Line`] meanwhile and leaves there what is still to be written of a message, and what would end
//! the session. So whoever cuts the line finds a message whole, or completes it first; and the driver, when it runs again, finds
//! that it was cut.

use std::{
    collections::BTreeMap,
    net::Shutdown,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::lock::lock;
use bytes::Bytes;
use socket2::SockRef;
use tokio::net::TcpStream;

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    all: Arc<Mutex<BTreeMap<u64, Entry>>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    /// Weak: a connection ends when its driver drops it.
    stream: Weak<TcpStream>,
    last: Arc<Mutex<Last>>,
}

/// What is left to say on one of them.
#[derive(Debug, Default)]
pub(crate) struct Last {
    /// The rest of the message that is being written.
    pub(crate) unsent: Bytes,
    /// Then the NOTIFICATION that ends the session.
    pub(crate) words: Option<Bytes>,
    cut: bool,
}

/// The driver's end of one; the entry goes with it.
#[derive(Debug)]
pub(crate) struct Line {
    id: u64,
    all: Arc<Mutex<BTreeMap<u64, Entry>>>,
    last: Arc<Mutex<Last>>,
}

impl Lines {
    /// Brings a connection within reach.
    pub(crate) fn register(&self, stream: &Arc<TcpStream>) -> Line {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let last = Arc::new(Mutex::default());
        let entry = Entry { stream: Arc::downgrade(stream), last: Arc::clone(&last) };
        lock(&self.all).insert(id, entry);
        Line { id, all: Arc::clone(&self.all), last }
    }

    /// Ends all that are not ended yet: says what is left to say, as far as the kernel takes it at once, and that nothing follows.
    /// How many there were.
    pub(crate) fn cut(&self) -> usize {
        let all: Vec<_> = lock(&self.all)
            .values()
            .filter_map(|entry| Some((entry.stream.upgrade()?, Arc::clone(&entry.last))))
            .collect();
        all.iter().filter(|(stream, last)| cut(stream, &mut lock(last))).count()
    }
}

/// Whether it was not yet.
fn cut(stream: &TcpStream, last: &mut Last) -> bool {
    if std::mem::replace(&mut last.cut, true) {
        return false;
    }
    let socket = SockRef::from(stream);
    let mut message = last.unsent.to_vec();
    message.extend(last.words.iter().flatten());
    // The socket does not block. What it does not take is lost, and the end of the connection must do.
    let _ = socket.send(&message);
    let _ = socket.shutdown(Shutdown::Write);
    true
}

impl Line {
    /// To write, and to say what is left; `None`: it was cut.
    pub(crate) fn hold(&self) -> Option<MutexGuard<'_, Last>> {
        Some(lock(&self.last)).filter(|last| !last.cut)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        lock(&self.all).remove(&self.id);
    }
}
