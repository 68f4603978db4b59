//! Who is served, so that another program can take the socket over between two answers.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    net::UnixStream,
    sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, watch},
    time::timeout,
};

use super::ControlSocket;
use crate::lock::lock;

/// Open: whoever comes is served. Closed: they wait in the socket's queue. Clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Counter {
    open: Arc<watch::Sender<bool>>,
    served: Arc<RwLock<()>>,
}

/// As long as it is there nobody is served.
#[derive(Debug)]
pub(crate) struct Closed {
    open: Arc<watch::Sender<bool>>,
    _served: Option<OwnedRwLockWriteGuard<()>>,
}

/// One who is served, and waited for.
#[derive(Debug, Clone, Default)]
pub(super) struct Served(Arc<Mutex<Option<OwnedRwLockReadGuard<()>>>>);

impl Default for Counter {
    fn default() -> Self {
        Self { open: Arc::new(watch::channel(true).0), served: Arc::default() }
    }
}

impl Counter {
    /// The next, once it is open.
    pub(super) async fn accept(&self, socket: &ControlSocket) -> std::io::Result<UnixStream> {
        let mut open = self.open.subscribe();
        loop {
            // We hold the sender ourselves.
            let _ = open.wait_for(|open| *open).await;
            tokio::select! {
                biased;
                _ = open.wait_for(|open| !*open) => {}
                accepted = socket.accept() => return accepted,
            }
        }
    }

    /// Counts one in.
    pub(super) fn serve(&self) -> Served {
        // Whoever has come in while it was being closed is served, and not waited for.
        Served(Arc::new(Mutex::new(Arc::clone(&self.served).try_read_owned().ok())))
    }

    /// Closes it, and waits for those who are served; those who take longer are cut short.
    pub(crate) async fn close(&self, within: Duration) -> Closed {
        self.open.send_replace(false);
        let mut closed = Closed { open: Arc::clone(&self.open), _served: None };
        closed._served = timeout(within, Arc::clone(&self.served).write_owned()).await.ok();
        closed
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.open.send_replace(true);
    }
}

impl Served {
    /// It takes its time, and is not waited for.
    pub(super) fn leave(&self) {
        drop(lock(&self.0).take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const AMPLE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn it_closes_between_two_answers() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("control.sock");
        let (socket, counter) = (ControlSocket::bind(&path, None).await.unwrap(), Counter::default());
        let _first = UnixStream::connect(&path).await.unwrap();
        counter.accept(&socket).await.unwrap();
        let (short, long) = (counter.serve(), counter.serve());
        long.leave();

        let closing = tokio::spawn({
            let counter = counter.clone();
            async move { counter.close(AMPLE).await }
        });
        let _second = UnixStream::connect(&path).await.unwrap();
        while *counter.open.borrow() {
            tokio::task::yield_now().await;
        }
        assert!(timeout(SOON, counter.accept(&socket)).await.is_err(), "the next waits");
        assert!(!closing.is_finished(), "one is served still");
        drop(short);
        let closed = timeout(AMPLE, closing).await.unwrap().unwrap();
        assert!(timeout(SOON, counter.accept(&socket)).await.is_err());
        drop(closed);
        timeout(AMPLE, counter.accept(&socket)).await.expect("it is open again").unwrap();
    }

    #[tokio::test]
    async fn one_who_takes_too_long_is_not_waited_for() {
        let counter = Counter::default();
        let _slow = counter.serve();
        drop(timeout(AMPLE, counter.close(SOON)).await.expect("it closes"));
        assert!(*counter.open.borrow());
    }
}
