//! The session follows the path.

use std::io::Read as _;

use anycast_bgp::State;

use super::{super::tests::driver, *};
use crate::bfd::session_config;

fn settings() -> config::Bfd {
    config::Bfd::default()
}

/// A driver with a BFD session of which the test tells.
fn coupled(settings: config::Bfd) -> (Driver, std::net::TcpListener, watch::Sender<Option<config::Bfd>>) {
    let (mut driver, listener) = driver();
    let bfd = Bfd::for_tests();
    let id = driver.parts.id.clone();
    let (set, configured) = watch::channel(Some(settings.clone()));
    let mut path = Path::new(
        bfd.clone(),
        id.clone(),
        configured,
        watch::channel(Seen::default()).0,
        watch::channel(Coupling::default()).0,
    );
    path.coupling.set_strict(settings.strict);
    let target = Target {
        remote: IpAddr::from([127, 0, 0, 1]),
        scope: 0,
        source: None,
        device: None,
        path: anycast_bfd::Path::SingleHop { interface: None },
    };
    let unheard = Arc::new(watch::channel(Seen::default()).0);
    path.line = Some(Line::open(&bfd, (&id, &id), target, session_config(&settings), unheard));
    driver.parts.path = path;
    (driver, listener, set)
}

fn see(driver: &mut Driver, change: impl FnOnce(&mut Seen)) {
    driver.parts.path.told.send_modify(change);
    let now = Instant::now();
    driver.look_at_path(now);
    driver.obey(now);
}

async fn connect(driver: &mut Driver, neighbor: &std::net::TcpListener) -> std::net::TcpStream {
    let dialled = socket::dial(neighbor.local_addr().unwrap(), driver.parts.neighbor.clone(), true).await;
    driver.handle_dialled(dialled, Instant::now());
    driver.write();
    neighbor.accept().unwrap().0
}

#[tokio::test]
async fn a_lost_path_ends_the_session_until_there_is_one_again() {
    let (mut driver, neighbor, _set) = coupled(settings());
    see(&mut driver, |seen| seen.state = BfdState::Up);
    let mut stream = connect(&mut driver, &neighbor).await;
    assert_eq!(driver.parts.session.state(), State::OpenSent);
    see(&mut driver, |seen| {
        (seen.state, seen.lost) = (BfdState::Down, 1);
        seen.last_loss = Some(("nothing was heard of the neighbor for 150 ms".to_owned(), SystemTime::now()));
    });
    driver.act().await;
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    assert_eq!(heard[heard.len() - 3..], [3, 6, 10], "RFC 9384");
    let error = driver.parts.session.last_error().unwrap().to_string();
    assert_eq!(error, "BFD: nothing was heard of the neighbor for 150 ms");
    assert_eq!((driver.parts.session.state(), driver.parts.session.poll_timeout()), (State::Idle, None));
    see(&mut driver, |seen| seen.state = BfdState::Up);
    assert_eq!(driver.parts.session.state(), State::Idle, "it may be lost again");
    let steady = driver.parts.path.coupling.poll_timeout().unwrap();
    driver.look_at_path(steady);
    driver.obey(steady);
    assert_eq!(driver.parts.session.state(), State::Connect);
}

#[tokio::test]
async fn a_session_does_not_begin_before_the_path_where_that_is_wanted() {
    let (mut driver, neighbor, set) = coupled(config::Bfd { strict: true, ..settings() });
    see(&mut driver, |_| {});
    assert_eq!(driver.parts.session.state(), State::Idle);
    assert!(driver.parts.session.last_error().is_none_or(|error| error.to_string().contains("strict")));
    see(&mut driver, |seen| seen.state = BfdState::Up);
    assert_eq!(driver.parts.session.state(), State::Connect);
    let _stream = connect(&mut driver, &neighbor).await;
    // The neighbor's operator says nothing of the path.
    see(&mut driver, |seen| {
        (seen.state, seen.remote) =
            (BfdState::Down, Some((BfdState::AdminDown, anycast_bfd::Diagnostic::ADMINISTRATIVELY_DOWN)));
    });
    assert_eq!(driver.parts.session.state(), State::OpenSent);
    // Without BFD nothing is waited for.
    set.send_replace(None);
    driver.aim();
    driver.obey(Instant::now());
    assert!(driver.parts.path.line.is_none());
    assert_eq!(driver.parts.session.state(), State::OpenSent);
}
