//! What checks that speak HTTP/2 share: hyper moves the bytes of a connection in tasks, and none of them outlives its run.

use std::{
    error::Error as _,
    future::Future,
    io,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::lock::lock;
use hyper::{
    body::Body,
    client::conn::http2::{self, Connection, SendRequest},
    rt::Executor,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::AbortHandle,
    time,
};

/// The largest header of an answer.
const HEADER_LIMIT: u32 = 64 * 1024;
/// For a connection to say why it ended.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// Shakes hands. The tasks of the connection end with `tasks`.
pub(super) async fn handshake<S, B>(
    stream: S,
    tasks: &Tasks,
) -> hyper::Result<(SendRequest<B>, Connection<TokioIo<S>, B, Starter>)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body + Unpin + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut builder = http2::Builder::new(Starter(tasks.0.clone()));
    builder.max_header_list_size(HEADER_LIMIT);
    builder.handshake(TokioIo::new(stream)).await
}

/// Waits for an answer while the connection moves the bytes. Where the question only learns that the connection is over, the
/// connection knows why.
pub(super) async fn answered<T>(
    asked: impl Future<Output = hyper::Result<T>>,
    connection: impl Future<Output = hyper::Result<()>>,
) -> hyper::Result<T> {
    let (mut asked, mut connection) = (pin!(asked), pin!(connection));
    let mut ended = None;
    let answer = loop {
        tokio::select! {
            biased;
            answer = &mut asked => break answer,
            end = &mut connection, if ended.is_none() => ended = Some(end),
        }
    };
    match answer {
        Err(error) if matches!(fault(&error), Fault::Closed) => {
            // It has ended already; it only may not have been asked yet.
            let end = match ended {
                Some(end) => end,
                None => time::timeout(LAST_WORDS, connection).await.unwrap_or(Ok(())),
            };
            Err(end.err().unwrap_or(error))
        }
        answer => answer,
    }
}

/// The tasks of one connection; they end when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Tasks(Arc<Mutex<Vec<AbortHandle>>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in lock(&self.0).drain(..) {
            task.abort();
        }
    }
}

/// Starts them.
#[derive(Debug, Clone)]
pub(super) struct Starter(Arc<Mutex<Vec<AbortHandle>>>);

impl<F> Executor<F> for Starter
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        let handle = tokio::spawn(future).abort_handle();
        lock(&self.0).push(handle);
    }
}

/// What went wrong, seen through the layers.
#[derive(Debug)]
pub(super) enum Fault<'a> {
    /// The stream below.
    Io(&'a io::Error),
    /// What came is not HTTP/2, or not as it must be.
    Alien,
    /// The server ended the connection or the stream, and said why.
    Refused(String),
    /// It was closed without a word.
    Closed,
    /// Anything else.
    Other(String),
}

/// Looks below an error of hyper.
pub(super) fn fault(error: &hyper::Error) -> Fault<'_> {
    let inner = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    match inner {
        Some(inner) => match (inner.get_io(), inner.reason()) {
            (Some(error), _) => Fault::Io(error),
            (None, Some(h2::Reason::NO_ERROR)) if inner.is_remote() => Fault::Closed,
            (None, Some(reason)) if inner.is_remote() => Fault::Refused(format!("{reason:?}")),
            (None, _) if inner.is_library() => Fault::Alien,
            (None, _) => Fault::Other(inner.to_string()),
        },
        None if error.is_incomplete_message() || error.is_canceled() || error.is_closed() => Fault::Closed,
        None => match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
            Some(error) => Fault::Io(error),
            None => Fault::Other(error.to_string()),
        },
    }
}
