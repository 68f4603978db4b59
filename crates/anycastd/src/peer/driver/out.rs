//! What the session has to say, until the kernel has it.

use std::{io, time::Instant};

use anycast_bgp::Farewell;
use bytes::Buf as _;

use super::{ACK_FIRST, CUT, Connection, Driver, FAREWELL, Link, socket};

impl Driver {
    /// Lets the NOTIFICATION out, then closes; bounded.
    pub(super) async fn close(&mut self) {
        let Link::Open(connection) = std::mem::replace(&mut self.link, Link::None) else { return };
        // Its end is near enough; nobody else is to speak meanwhile.
        let Connection { stream, line, mut unsent, .. } = connection;
        let was_cut = line.hold().is_none();
        drop(line);
        if was_cut {
            unsent.clear();
            while self.parts.session.poll_transmit(Instant::now()).is_some() {}
        }
        let session = &mut self.parts.session;
        let farewell = async {
            loop {
                if unsent.is_empty() {
                    let Some(message) = session.poll_transmit(Instant::now()) else { break };
                    unsent = message;
                }
                if stream.writable().await.is_err() {
                    break;
                }
                match stream.try_write(&unsent) {
                    Ok(bytes) => unsent.advance(bytes),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => break,
                }
            }
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
        socket::close(&stream).await;
    }

    /// Writes what the session has to say until the kernel takes no more.
    pub(super) fn write(&mut self) {
        let Link::Open(connection) = &mut self.link else { return };
        let Some(mut last) = connection.line.hold() else {
            return self.lost(Some(CUT.to_owned()), Instant::now());
        };
        let error = loop {
            let now = Instant::now();
            if connection.unsent.is_empty() {
                let Some(message) = self.parts.session.poll_transmit(now) else { break None };
                connection.unsent = message;
            }
            match connection.stream.try_write(&connection.unsent) {
                Ok(bytes) => {
                    connection.unsent.advance(bytes);
                    self.parts.session.handle_written(bytes, now);
                    connection.ask = Some((now + ACK_FIRST, ACK_FIRST));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break None,
                Err(error) => break Some((error, now)),
            }
        };
        last.unsent = connection.unsent.clone();
        if connection.told != self.parts.session.state() {
            connection.told = self.parts.session.state();
            last.words = self.parts.session.last_words(&Farewell::Reset(CUT.to_owned()));
        }
        drop(last);
        if let Some((error, now)) = error {
            self.broken(&error, now);
        }
    }
}
