//! Whoever asks and does not read the answer does not keep its place.
//!
//! The kernel knows how much of what was said to a client still waits to be read. Where that does not get less for a while,
//! nobody reads, and the connection ends: a follower of events that reads slowly is fine, and so is one that has nothing to read.

use std::{
    io,
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Interval, MissedTickBehavior, interval},
};

use crate::peer::unacked;

/// How long nothing may be read of what waits.
pub(crate) const PATIENCE: Duration = if cfg!(test) { Duration::from_secs(2) } else { Duration::from_secs(10) };
/// How often it is looked at; whatever is said is a look as well.
const LOOK: Duration = PATIENCE.checked_div(10).expect("ten is not zero");

/// A stream to a client that reads: otherwise using it fails.
///
/// It looks whenever it is used, and has whoever used it last do so again in time.
#[derive(Debug)]
pub(crate) struct Heard<S> {
    stream: S,
    reader: Reader,
    looks: Interval,
}

impl<S: AsFd> Heard<S> {
    pub(crate) fn new(stream: S) -> Self {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { stream, reader: Reader::new(Instant::now()), looks }
    }

    fn look(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.looks.poll_tick(cx).is_ready() {
            self.reader.handle_look(self.waiting(), Instant::now());
        }
        if self.reader.is_gone() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read what it asked for"));
        }
        Ok(())
    }

    /// What nobody has read yet, in whatever unit the kernel counts.
    fn waiting(&self) -> usize {
        unacked(&self.stream).unwrap_or(0)
    }
}

/// Whether somebody reads.
#[derive(Debug)]
struct Reader {
    waiting: usize,
    /// Since when nothing of it was read.
    since: Instant,
    gone: bool,
}

impl Reader {
    const fn new(now: Instant) -> Self {
        Self { waiting: 0, since: now, gone: false }
    }

    /// So much waits; since the last time nothing was added to it.
    fn handle_look(&mut self, waiting: usize, now: Instant) {
        if waiting == 0 || waiting < self.waiting {
            self.since = now;
        }
        self.waiting = waiting;
        self.gone |= now.saturating_duration_since(self.since) > PATIENCE;
    }

    /// So much waits, with what was just added.
    const fn handle_said(&mut self, waiting: usize) {
        self.waiting = waiting;
    }

    const fn is_gone(&self) -> bool {
        self.gone
    }
}

impl<S: AsyncRead + AsFd + Unpin> AsyncRead for Heard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.look(cx)?;
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + AsFd + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.look(cx)?;
        // Between two looks more may be said than is read.
        this.reader.handle_look(this.waiting(), Instant::now());
        let said = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.reader.handle_said(this.waiting());
        said
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.look(cx)?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::UnixStream,
        time::timeout,
    };

    use super::*;

    /// What waits at each look, a second apart; and what then is said, which leaves so much.
    fn gone_after(looks: &[(usize, Option<usize>)]) -> Option<usize> {
        let start = Instant::now();
        let mut reader = Reader::new(start);
        looks.iter().zip(1u32..).position(|((waiting, said), second)| {
            reader.handle_look(*waiting, start + PATIENCE / 4 * second);
            if let Some(waiting) = said {
                reader.handle_said(*waiting);
            }
            reader.is_gone()
        })
    }

    #[test]
    fn who_reads_slowly_is_heard() {
        let nothing = [(0, None); 20];
        let little = [30, 29, 28, 28, 28, 27, 27, 27, 26, 26, 26].map(|waiting| (waiting, None));
        // More comes than is read.
        let more = [0, 9, 19, 29, 39, 49, 59, 69].map(|waiting: usize| (waiting, Some(waiting + 11)));
        assert_eq!([gone_after(&nothing), gone_after(&little), gone_after(&more)], [None; 3]);
    }

    #[test]
    fn who_does_not_read_is_not() {
        // The first look finds what was said just now.
        let silent = [(0, Some(7)), (7, None), (7, None), (7, None), (7, None), (7, None), (7, None)];
        assert_eq!(gone_after(&silent), Some(5));
        let told_on = [0, 10, 20, 30, 40, 50, 60].map(|waiting: usize| (waiting, Some(waiting + 10)));
        assert_eq!(gone_after(&told_on), Some(5));
    }

    #[tokio::test]
    async fn a_stream_that_nobody_reads_ends() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut ours = Heard::new(ours);
        let error = timeout(Duration::from_secs(60), async {
            loop {
                if let Err(error) = ours.write_all(&[0; 1000]).await {
                    return error;
                }
            }
        });
        assert_eq!(error.await.unwrap().kind(), io::ErrorKind::TimedOut);
        drop(theirs);
    }

    #[tokio::test]
    async fn one_that_is_read_does_not() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut ours = Heard::new(ours);
        let reading = async {
            let mut read = 0;
            while read < 1 << 20 {
                read += theirs.read(&mut [0; 8192]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let much = vec![0; 1 << 20];
        let (written, ()) = tokio::join!(ours.write_all(&much), reading);
        written.unwrap();
    }
}
