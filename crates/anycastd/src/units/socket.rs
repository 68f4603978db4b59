//! The connection to a bus, with a limit on what the other end may send before it has said who it is.
//!
//! zbus keeps whatever comes until a line of the handshake is whole: somebody who sends one without an end would fill the
//! memory within the deadline.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use zbus::{
    connection::{
        AuthMechanism,
        socket::{ReadHalf, Socket, Split, WriteHalf},
    },
    export::async_trait::async_trait,
};

/// The handshake and the answer to `Hello` are a few hundred octets.
const MOST: usize = 16 * 1024;

/// A connection to a bus.
#[derive(Debug)]
pub(super) struct BusSocket {
    stream: UnixStream,
    trusted: Trusted,
}

/// Lifts the limit.
#[derive(Debug, Clone, Default)]
pub(super) struct Trusted(Arc<AtomicBool>);

impl Trusted {
    /// The handshake is over.
    pub(super) fn lift(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl BusSocket {
    pub(super) fn new(stream: UnixStream) -> (Self, Trusted) {
        let trusted = Trusted::default();
        (Self { stream, trusted: trusted.clone() }, trusted)
    }
}

impl Socket for BusSocket {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        let (read, write) = self.stream.into_split();
        Split::new(Reader { stream: read, trusted: self.trusted, read: 0 }, Writer(write))
    }
}

/// What comes from the bus.
#[derive(Debug)]
pub(super) struct Reader {
    stream: OwnedReadHalf,
    trusted: Trusted,
    /// So much until the limit is lifted.
    read: usize,
}

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let read = self.stream.read(buffer).await?;
        if !self.trusted.0.load(Ordering::Relaxed) {
            self.read += read;
            if self.read > MOST {
                return Err(io::Error::other("sends without end before it has said who it is: is it a D-Bus?"));
            }
        }
        Ok((read, Vec::new()))
    }

    fn auth_mechanism(&self) -> AuthMechanism {
        AuthMechanism::External
    }
}

/// What goes to the bus.
#[derive(Debug)]
pub(super) struct Writer(OwnedWriteHalf);

#[async_trait]
impl WriteHalf for Writer {
    async fn sendmsg(&mut self, buffer: &[u8], _: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.0.write(buffer).await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::UnixListener;
    use zbus::connection::Builder;

    use super::*;

    /// It is cut off by the limit and not by a deadline, so that the memory does not grow until then.
    #[tokio::test]
    async fn a_peer_that_sends_without_end_is_cut_off() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("bus");
        let listener = UnixListener::bind(&path).unwrap();
        let flood = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut sent = 0_usize;
            while sent < 8 * 1024 * 1024 {
                match stream.write(&[b'x'; 4096]).await {
                    Ok(more) => sent += more,
                    Err(_) => break,
                }
            }
            sent
        });
        let (socket, _trusted) = BusSocket::new(UnixStream::connect(&path).await.unwrap());
        let built = tokio::time::timeout(Duration::from_secs(60), Builder::socket(socket).build()).await;
        let error = built.expect("no deadline is needed").unwrap_err();
        assert!(error.to_string().contains("without end"), "{error}");
        drop(error);
        let sent = flood.await.unwrap();
        assert!(sent < 4 * 1024 * 1024, "what does not fit into the socket is not taken: {sent}");
    }
}
