use anycast_core::Health;
use tokio::net::{TcpListener, TcpSocket};

use super::{
    super::testing::{AMPLE, Deaf, SHORT, nobody, run, tcp},
    *,
};

#[tokio::test]
async fn an_address_that_accepts_is_up_in_both_families() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = TcpListener::bind(bind).await else { continue };
        let address = listener.local_addr().unwrap();
        let outcome = run(&tcp(&[address]), AMPLE).await;
        assert_eq!(outcome.health, Health::Up);
        assert!(outcome.detail.starts_with(&format!("{address} accepted in ")), "{outcome:?}");
        assert!(outcome.detail.ends_with(" ms"), "{outcome:?}");
    }
}

#[tokio::test]
async fn the_connection_ends_with_a_fin() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let prober = tcp(&[listener.local_addr().unwrap()]);
    assert_eq!(run(&prober, AMPLE).await.health, Health::Up);
    let (stream, _) = listener.accept().await.unwrap();
    stream.readable().await.unwrap();
    assert_eq!(stream.try_read(&mut [0; 8]).unwrap(), 0);
}

/// Whoever resets what it has accepted is seen as such, or as having accepted, by chance: it counts as the latter.
#[tokio::test]
async fn what_is_reset_was_accepted() {
    let reset = || Some(Error::from(ErrorKind::ConnectionReset));
    assert!(no_error(None).is_ok() && no_error(reset()).is_ok());
    assert!(no_error(Some(Error::from(ErrorKind::ConnectionRefused))).is_err());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let prober = tcp(&[listener.local_addr().unwrap()]);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            socket2::SockRef::from(&stream.unwrap()).set_linger(Some(Duration::ZERO)).unwrap();
        }
    });
    for _ in 0..200 {
        let outcome = run(&prober, AMPLE).await;
        assert_eq!(outcome.health, Health::Up, "{outcome:?}");
    }
}

#[tokio::test]
async fn nobody_there_is_down() {
    let address = nobody().await;
    let outcome = run(&tcp(&[address]), AMPLE).await;
    assert_eq!((outcome.health, outcome.detail), (Health::Down, format!("connect {address}: refused")));
}

#[tokio::test]
async fn no_answer_is_down_at_the_timeout() {
    let deaf = Deaf::new().await;
    let outcome = run(&tcp(&[deaf.address]), SHORT).await;
    let expected = format!("connect {}: no answer within 300 ms", deaf.address);
    assert_eq!((outcome.health, outcome.detail), (Health::Down, expected));
    assert!(outcome.took >= SHORT);
}

#[tokio::test]
async fn every_address_must_accept() {
    let listeners = [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.2:0").await.unwrap()];
    let [first, second] = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    let outcome = run(&tcp(&[first, second]), AMPLE).await;
    assert_eq!(outcome.health, Health::Up);
    assert!(outcome.detail.starts_with("all 2 addresses accepted, 127.0.0."), "{outcome:?}");

    let absent = nobody().await;
    let outcome = run(&tcp(&[first, absent, second]), AMPLE).await;
    assert_eq!((outcome.health, outcome.detail), (Health::Down, format!("connect {absent}: refused")));
}

#[tokio::test]
async fn many_failures_make_one_short_line() {
    let mut absent = Vec::new();
    for _ in 0..20 {
        absent.push(nobody().await);
    }
    let outcome = run(&tcp(&absent), AMPLE).await;
    assert_eq!(outcome.health, Health::Down);
    assert!(outcome.detail.ends_with('…'), "{outcome:?}");
}

#[tokio::test]
async fn a_port_connected_to_itself_is_refused() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let own = socket.local_addr().unwrap();
    let stream = socket.connect(own).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), own);
    assert_eq!(refuse_self(stream, own).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn nothing_to_do_proves_nothing() {
    assert_eq!(run(&tcp(&[]), AMPLE).await.health, Health::Unknown);
}
