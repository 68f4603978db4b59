//! A stream of which only so much is read: a server that sends without end must not keep the agent busy.
//!
//! It lies below TLS, if there is any: that has records without content too.
//!
//! It is not enough that a run has a timeout: hyper passes over interim answers (1xx) and frames without content within one poll,
//! and while a thread is at that, no timeout is looked at.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most that a run reads: several times the largest header and as much of a body as is searched.
pub(super) const MOST: usize = 512 * 1024;
/// After so much others have their turn, and the timeout is looked at: half a megabyte of interim answers takes long enough to
/// be late for it, and what is late for no other reason looks like a fault of ours.
const AT_ONCE: usize = 8 * 1024;

/// A stream with an allowance.
#[derive(Debug)]
pub(super) struct Capped<S> {
    stream: S,
    left: usize,
    /// Read since others had a turn.
    at_once: usize,
}

impl<S> Capped<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self { stream, left: MOST, at_once: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Capped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::other(format!("more than {} KiB were sent", MOST / 1024))));
        }
        if self.at_once >= AT_ONCE {
            self.at_once = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut chunk = [MaybeUninit::uninit(); AT_ONCE];
        let most = AT_ONCE.min(buffer.remaining()).min(self.left);
        let mut chunk = ReadBuf::uninit(chunk.get_mut(..most).unwrap_or_default());
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut chunk))?;
        buffer.put_slice(chunk.filled());
        let read = chunk.filled().len();
        self.left = self.left.saturating_sub(read);
        self.at_once += read;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Capped<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Every run drops its stream when it has ended, and close(2) sends the FIN: shutdown(2) before it would be one call too many.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn others_have_their_turn_and_there_is_an_end() {
        let mut capped = Capped::new(tokio::io::repeat(b'x'));
        let (mut buffer, mut turns, mut read) = (vec![0; 8192], 0, 0);
        let error = loop {
            let polled = futures_util::poll!(Box::pin(capped.read(&mut buffer)));
            match polled {
                Poll::Pending => turns += 1,
                Poll::Ready(Ok(length)) => read += length,
                Poll::Ready(Err(error)) => break error,
            }
        };
        assert_eq!(
            (read, turns, error.to_string().as_str()),
            (MOST, MOST / AT_ONCE - 1, "more than 512 KiB were sent")
        );
    }
}
