//! A session that is taken out of its task with its connection, for a task of another process that goes on with it.

use std::time::Instant;

use anycast_bgp::{Handover, PeerConfig, Session};
use bytes::Bytes;
use tokio::net::TcpStream;

/// All there is of it.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) session: Handover,
    pub(crate) stream: std::net::TcpStream,
    /// The rest of the message that is being written.
    pub(crate) unsent: Vec<u8>,
}

/// A connection that goes on, and the rest of the message that is being written to it.
pub(super) struct Open {
    pub(super) stream: TcpStream,
    pub(super) unsent: Bytes,
}

impl Left {
    /// The session as it was; `Err`: why it cannot go on, in words. Then its connection is closed.
    pub(super) fn go_on(self, config: PeerConfig, now: Instant) -> Result<(Session, Open), String> {
        let session = Session::take_over(config, &self.session, now).map_err(|error| error.to_string())?;
        self.stream.set_nonblocking(true).map_err(|error| error.to_string())?;
        let stream = TcpStream::from_std(self.stream).map_err(|error| error.to_string())?;
        // Whatever the socket is, it is the connection of this session, or it is of no use.
        match (stream.local_addr(), stream.peer_addr()) {
            (Ok(local), Ok(remote)) if session.ends() == Some((local, remote)) => {}
            (Ok(_), Ok(_)) => return Err("the connection is another".to_owned()),
            (Err(error), _) | (_, Err(error)) => return Err(error.to_string()),
        }
        Ok((session, Open { stream, unsent: self.unsent.into() }))
    }
}
