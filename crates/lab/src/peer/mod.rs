//! A scripted BGP speaker: it says what it is told to and when, whole messages or not, and tells what it hears.
//!
//! For what no router does. It knows just enough of BGP to bring a session up ([`Peer::establish`]); whatever comes after that
//! is the script's.

pub mod bfd;
pub mod flood;
pub mod message;

use std::{io, time::Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use self::message::{HEADER, KEEPALIVE, Kind};
use crate::harness::AMPLE;

/// One read; it bounds how many messages share a time.
const READ: usize = 64 * 1024;

/// One connection, from the neighbor's side.
#[derive(Debug)]
pub struct Peer {
    /// What it hears.
    pub ear: Ear,
    /// What it says goes in here. Dropped, the connection is closed in this direction.
    pub mouth: OwnedWriteHalf,
}

impl Peer {
    /// Waits for somebody who dials.
    ///
    /// # Errors
    /// When nobody does.
    pub async fn accept(listener: &TcpListener) -> anyhow::Result<Self> {
        let (stream, _) = timeout(AMPLE, listener.accept()).await.context("nobody dials")??;
        Self::new(stream)
    }

    /// On a connection.
    ///
    /// # Errors
    /// When the kernel refuses it an option.
    pub fn new(stream: TcpStream) -> anyhow::Result<Self> {
        // What is said a byte at a time is to leave a byte at a time.
        stream.set_nodelay(true)?;
        let (ear, mouth) = stream.into_split();
        Ok(Self { ear: Ear { stream: ear, octets: BytesMut::new(), at: Instant::now() }, mouth })
    }

    /// Waits for somebody who dials and comes up with them, with this OPEN.
    ///
    /// # Errors
    /// When they do not behave.
    pub async fn establish(listener: &TcpListener, open: &[u8]) -> anyhow::Result<Self> {
        Self::accept(listener).await?.meet(open).await
    }

    /// Comes up with whoever is at the other end, with this OPEN.
    ///
    /// # Errors
    /// When they do not behave.
    pub async fn meet(mut self, open: &[u8]) -> anyhow::Result<Self> {
        self.ear.expect(Kind::Open).await?;
        self.say(&[open, &KEEPALIVE].concat()).await?;
        self.ear.expect(Kind::Keepalive).await?;
        Ok(self)
    }

    /// Says something.
    ///
    /// # Errors
    /// When the other end hears nothing any more.
    pub async fn say(&mut self, octets: &[u8]) -> io::Result<()> {
        self.mouth.write_all(octets).await
    }
}

/// One message, and when it was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// When the octets were read that complete it.
    pub at: Instant,
    /// All of it.
    pub octets: Bytes,
}

impl Heard {
    /// Its type.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        Kind::of(&self.octets)
    }

    /// What follows its header.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.octets.get(HEADER..).unwrap_or_default()
    }
}

/// The half of a [`Peer`] that listens.
#[derive(Debug)]
pub struct Ear {
    stream: OwnedReadHalf,
    octets: BytesMut,
    /// When the last octets came.
    at: Instant,
}

impl Ear {
    /// The next message; `None`: the connection has ended, orderly or not. Cancel safe.
    ///
    /// # Errors
    /// When what comes is not BGP.
    pub async fn next(&mut self) -> anyhow::Result<Option<Heard>> {
        loop {
            if let Some(octets) = self.cut()? {
                return Ok(Some(Heard { at: self.at, octets }));
            }
            self.octets.reserve(READ);
            // A reset is an end as good as any: the other side may have closed while more of ours was on its way.
            let read = self.stream.read_buf(&mut self.octets).await.unwrap_or(0);
            if read == 0 {
                return Ok(None);
            }
            self.at = Instant::now();
        }
    }

    /// The next message that is no KEEPALIVE, within [`AMPLE`] time; `None` as in [`next`](Self::next).
    ///
    /// # Errors
    /// When nothing comes.
    pub async fn word(&mut self) -> anyhow::Result<Option<Heard>> {
        let word = async {
            loop {
                match self.next().await? {
                    Some(heard) if heard.kind() == Some(Kind::Keepalive) => {}
                    other => return anyhow::Ok(other),
                }
            }
        };
        timeout(AMPLE, word).await.with_context(|| format!("silence for {AMPLE:?}"))?
    }

    /// The next message must be of this type.
    ///
    /// # Errors
    /// When it is not, or when nothing comes.
    pub async fn expect(&mut self, kind: Kind) -> anyhow::Result<Heard> {
        let heard = timeout(AMPLE, self.next()).await.with_context(|| format!("no {kind:?} within {AMPLE:?}"))??;
        let heard = heard.with_context(|| format!("the connection ended before the {kind:?}"))?;
        ensure!(heard.kind() == Some(kind), "not {kind:?} but {:?}", heard.octets);
        Ok(heard)
    }

    /// The code and subcode of the NOTIFICATION that ends the connection, whatever comes before it.
    ///
    /// # Errors
    /// When the connection goes on, or ends without one.
    pub async fn farewell(&mut self) -> anyhow::Result<[u8; 2]> {
        while let Some(heard) = self.word().await? {
            if let (Some(Kind::Notification), [code, subcode, ..]) = (heard.kind(), heard.body()) {
                let said = [*code, *subcode];
                ensure!(self.word().await?.is_none(), "something follows the NOTIFICATION");
                return Ok(said);
            }
        }
        bail!("the connection ended without a NOTIFICATION")
    }

    /// A whole message off the front.
    fn cut(&mut self) -> anyhow::Result<Option<Bytes>> {
        let Some(length) = message::length(&self.octets)? else { return Ok(None) };
        if self.octets.remaining() < length {
            return Ok(None);
        }
        Ok(Some(self.octets.split_to(length).freeze()))
    }
}
