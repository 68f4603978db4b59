//! Whether a neighbor that is waited for listens itself: one attempt to connect, closed before a word is said.
//!
//! Only where nothing can come of it but the answer: there is no session with it, and there never was one, which it might still
//! believe in.

use std::{collections::BTreeMap, io::ErrorKind, net::SocketAddr, time::Duration};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{net::TcpSocket, task::JoinSet, time::timeout};

use super::facts::{Knock, Session};

/// A router on the next link answers within a millisecond, one that is far within a few hundred.
const WITHIN: Duration = Duration::from_secs(1);
/// So many at a time, and no more: there are few neighbors that wait.
const MOST: usize = 16;

/// Tries those that would be waited for in vain.
pub(super) async fn at_all(sessions: &[Session]) -> BTreeMap<String, Knock> {
    let mut tries = JoinSet::new();
    for session in sessions.iter().filter(|session| may_be_tried(session)).take(MOST) {
        let session = session.clone();
        tries.spawn(async move { Some((session.name.clone(), at(&session).await?)) });
    }
    tries.join_all().await.into_iter().flatten().collect()
}

fn may_be_tried(session: &Session) -> bool {
    session.is_awaited_in_vain() && session.is_idle() && !session.way.signed
}

/// `None`: it could not be tried.
async fn at(session: &Session) -> Option<Knock> {
    let to = SocketAddr::new(session.address?, session.port);
    let socket = socket(session, to).ok()?;
    match timeout(WITHIN, socket.connect(to)).await {
        Ok(Ok(stream)) => {
            // Closed with a reset: neither side is to keep anything of it.
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            Some(Knock::Listens)
        }
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Some(Knock::Refuses),
        Ok(Err(error)) if error.kind() == ErrorKind::TimedOut => Some(Knock::Silent),
        // No route, or no such source: that is not the neighbor's.
        Ok(Err(_)) => None,
        Err(_) => Some(Knock::Silent),
    }
}

/// As the session's own would be, but for a password.
fn socket(session: &Session, to: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    // A neighbor with GTSM (RFC 5082) takes nothing less.
    match to {
        SocketAddr::V4(_) => socket.set_ttl_v4(255)?,
        SocketAddr::V6(_) => socket.set_unicast_hops_v6(255)?,
    }
    if let Some(device) = &session.way.device {
        socket.bind_device(Some(device.as_bytes()))?;
    }
    if let Some(source) = session.way.source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    Ok(TcpSocket::from_std_stream(socket.into()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::doctor::facts::Way;

    fn awaited(name: &str, port: u16) -> Session {
        Session {
            last_error: None,
            name: name.to_owned(),
            address: Some([127, 0, 0, 1].into()),
            port,
            passive: true,
            external: true,
            established: false,
            ever: false,
            came: false,
            remedy: None,
            since: Duration::from_secs(600),
            local: None,
            routes: 0,
            way: Way { source: Some([127, 0, 0, 1].into()), ..Way::default() },
        }
    }

    #[tokio::test]
    async fn who_listens_and_who_does_not_is_told_apart_and_who_is_not_awaited_is_not_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let sessions = [
            awaited("listens", port),
            awaited("refuses", closed),
            Session { passive: false, ..awaited("dialled", port) },
            Session { ever: true, ..awaited("came", port) },
            Session { since: Duration::from_secs(3), ..awaited("new", port) },
            Session { way: Way { signed: true, ..Way::default() }, ..awaited("signed", port) },
            Session { address: None, ..awaited("unnumbered", port) },
        ];
        let told = at_all(&sessions).await;
        let expected = [("listens".to_owned(), Knock::Listens), ("refuses".to_owned(), Knock::Refuses)];
        assert_eq!(told, expected.into());
        assert!(listener.accept().is_ok());
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "one attempt");
    }
}
