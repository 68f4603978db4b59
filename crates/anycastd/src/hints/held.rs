//! Connections that are held open to a service, so that their end tells that it may have gone: also where no notice of a
//! closed listener comes from, such as another network namespace.
//!
//! One task per connection; dropping it closes the connection. Nothing is sent. Whatever the service says is dropped.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{Counts, Hint, Hinter};
use crate::probe::open;

/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Before the next attempt, where there was no connection, or one that lasted.
const PAUSE: Duration = Duration::from_secs(1);
/// The same where connections end soon: doubled up to this. A server that closes what is idle must not be asked all the time.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A connection that lasted as long was not closed for being there.
const LASTING: Duration = Duration::from_secs(10);
/// A network that vanishes says nothing: the kernel asks by itself, and has no answer after 25 s.
const ASK_AFTER: Duration = Duration::from_secs(10);
const ASK_EVERY: Duration = Duration::from_secs(5);
const ASKED_IN_VAIN: u32 = 3;
/// A greeting is shorter. Whoever says more is not waiting for us.
const MOST_SAID: usize = 64 * 1024;

/// Opens connections that are held, and counts the hints that come of them.
#[derive(Debug, Clone)]
pub(crate) struct Holder(pub(super) Arc<Counts>);

impl Holder {
    /// Holds a connection to each of these, until what is returned is dropped. `open` counts those that are open.
    pub(crate) fn hold(&self, addresses: Vec<SocketAddr>, hinter: &Hinter, open: &Arc<AtomicUsize>) -> Held {
        let task = |address: &SocketAddr| {
            let line =
                Line { address: *address, hinter: hinter.clone(), open: Arc::clone(open), counts: Arc::clone(&self.0) };
            AbortOnDropHandle::new(tokio::spawn(line.run()))
        };
        Held { _tasks: addresses.iter().map(task).collect(), addresses }
    }
}

/// Connections that are held; a drop closes them.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) addresses: Vec<SocketAddr>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It did not come about: nothing went.
    Never,
    /// The other end closed it, or is not there any more.
    Closed,
    /// The other end said too much, and we closed it.
    Talkative,
}

struct Line {
    address: SocketAddr,
    hinter: Hinter,
    open: Arc<AtomicUsize>,
    counts: Arc<Counts>,
}

impl Line {
    async fn run(self) {
        let mut pause = PAUSE;
        loop {
            let begun = Instant::now();
            let end = self.once().await;
            if end == End::Closed {
                self.counts.connection.fetch_add(1, Ordering::Relaxed);
                self.hinter.hint(Hint::Dropped(self.address));
            }
            pause = next_pause(end, begun.elapsed(), pause);
            sleep(pause).await;
        }
    }

    async fn once(&self) -> End {
        let connected = timeout(CONNECT_WITHIN, connect(self.address)).await;
        let Ok(Ok(stream)) = connected else { return End::Never };
        let _open = Open::new(&self.open);
        until_closed(stream).await
    }
}

/// Counts a connection for as long as it is open.
struct Open<'a>(&'a AtomicUsize);

impl<'a> Open<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = open(address).await?;
    let ask = TcpKeepalive::new().with_time(ASK_AFTER).with_interval(ASK_EVERY).with_retries(ASKED_IN_VAIN);
    SockRef::from(&stream).set_tcp_keepalive(&ask)?;
    Ok(stream)
}

async fn until_closed(mut stream: TcpStream) -> End {
    let (mut dropped, mut said) = ([0; 1024], 0);
    loop {
        match stream.read(&mut dropped).await {
            Ok(0) | Err(_) => return End::Closed,
            Ok(bytes) => said += bytes,
        }
        if said > MOST_SAID {
            return End::Talkative;
        }
    }
}

fn next_pause(end: End, lasted: Duration, pause: Duration) -> Duration {
    match end {
        End::Never => PAUSE,
        End::Closed if lasted >= LASTING => PAUSE,
        End::Closed => (pause * 2).min(LONGEST_PAUSE),
        End::Talkative => LONGEST_PAUSE,
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::AsyncWriteExt as _,
        net::{TcpListener, TcpSocket},
        sync::watch,
    };

    use super::*;
    use crate::kernel::tests::world::{AMPLE, eventually};

    struct Setting {
        listener: TcpListener,
        hints: watch::Receiver<Option<Hint>>,
        open: Arc<AtomicUsize>,
        counts: Arc<Counts>,
        held: Held,
    }

    async fn holding() -> Setting {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (hinter, hints) = Hinter::new(Arc::default());
        let (open, counts) = (Arc::default(), Arc::<Counts>::default());
        let held = Holder(Arc::clone(&counts)).hold(vec![listener.local_addr().unwrap()], &hinter, &open);
        Setting { listener, hints, open, counts, held }
    }

    async fn accept(listener: &TcpListener) -> TcpStream {
        tokio::time::timeout(AMPLE, listener.accept()).await.expect("it connects").unwrap().0
    }

    #[tokio::test]
    async fn a_connection_that_the_service_closes_is_a_hint_and_is_opened_again() {
        let Setting { listener, mut hints, open, counts, held } = holding().await;
        let address = listener.local_addr().unwrap();
        for round in 1..=2 {
            let mut stream = accept(&listener).await;
            stream.write_all(b"220 ready\r\n").await.unwrap();
            eventually("it is open", async || open.load(Ordering::Relaxed) == 1).await;
            assert!(!hints.has_changed().unwrap(), "a greeting is no hint");
            drop(stream);
            tokio::time::timeout(AMPLE, hints.changed()).await.expect("a hint comes").unwrap();
            assert_eq!(*hints.borrow_and_update(), Some(Hint::Dropped(address)));
            assert_eq!(counts.connection.load(Ordering::Relaxed), round);
        }
        let mut stream = accept(&listener).await;
        drop(held);
        let end = tokio::time::timeout(AMPLE, stream.read(&mut [0; 1])).await.expect("it is closed");
        assert_eq!(end.unwrap(), 0);
        eventually("none is open", async || open.load(Ordering::Relaxed) == 0).await;
        // Whoever could give one is gone as well.
        assert!(!hints.has_changed().unwrap_or(false), "what we close is no hint");
    }

    #[tokio::test]
    async fn where_nobody_listens_there_is_no_hint_and_it_connects_later() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (hinter, hints) = Hinter::new(Arc::default());
        let (open, counts) = (Arc::default(), Arc::<Counts>::default());
        let _held = Holder(counts).hold(vec![socket.local_addr().unwrap()], &hinter, &open);
        tokio::task::yield_now().await;
        let listener = socket.listen(1).unwrap();
        let _stream = accept(&listener).await;
        assert!(!hints.has_changed().unwrap());
    }

    #[tokio::test]
    async fn a_service_that_talks_all_the_time_is_left_alone() {
        let Setting { listener, hints, held: _held, .. } = holding().await;
        let mut stream = accept(&listener).await;
        let flood = async { while stream.write_all(&[b'x'; 4096]).await.is_ok() {} };
        tokio::time::timeout(AMPLE, flood).await.expect("the connection is closed");
        assert!(!hints.has_changed().unwrap());
    }

    #[test]
    fn the_pause_grows_while_connections_end_soon() {
        let (soon, late) = (Duration::from_millis(5), LASTING);
        let cases = [
            (End::Never, soon, LONGEST_PAUSE, PAUSE),
            (End::Closed, soon, PAUSE, 2 * PAUSE),
            (End::Closed, soon, LONGEST_PAUSE - PAUSE, LONGEST_PAUSE),
            (End::Closed, late, LONGEST_PAUSE, PAUSE),
            (End::Talkative, soon, PAUSE, LONGEST_PAUSE),
        ];
        for (end, lasted, pause, next) in cases {
            assert_eq!(next_pause(end, lasted, pause), next, "{end:?} after {lasted:?}");
        }
    }
}
