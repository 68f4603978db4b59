use std::io::Read as _;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::metrics::Instruments;

fn fence(stale_after: Duration) -> Fence {
    Fence::new(stale_after, Instruments::new().unwrap().fencings())
}

#[test]
fn a_session_may_begin_only_while_the_loop_is_not_late() {
    let fence = fence(Duration::from_secs(1));
    assert_eq!(fence.order(), Order::Go);
    fence.set_proving(true);
    assert_eq!(fence.order(), Order::Stay);
    fence.set_fenced(Some("stuck".to_owned()));
    assert_eq!(fence.order(), Order::End(Farewell::Reset("stuck".to_owned())), "whatever else there is");
    fence.set_fenced(None);
    fence.set_proving(false);
    fence.0.loop_beat_at.fetch_sub(600, Ordering::Relaxed);
    assert_eq!(fence.order(), Order::Stay, "it has not looked yet what holds");
    fence.beat();
    assert_eq!(fence.order(), Order::Go);
}

#[test]
fn a_task_that_was_replaced_does_not_beat() {
    let fence = fence(Duration::from_secs(10));
    let heart = fence.heart("web/told".to_owned());
    let (first, second) = (heart.next_turn(), heart.next_turn());
    heart.lose();
    assert_eq!(fence.problems().len(), 1);
    heart.beat(first, None);
    assert!(heart.is_lost() && heart.count() == 0);
    heart.beat(second, None);
    assert_eq!((heart.is_lost(), heart.count(), fence.problems().len()), (false, 1, 0));
    assert!(fence.beats().contains_key(&Subject::Check(0)));
    drop(heart);
    assert!(!fence.beats().contains_key(&Subject::Check(0)), "a check that is gone is missed by nobody");
}

/// Both ends of a connection.
async fn connection() -> (Arc<TcpStream>, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (other, _) = listener.accept().await.unwrap();
    let other = other.into_std().unwrap();
    other.set_nonblocking(false).unwrap();
    other.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    (Arc::new(stream), other)
}

#[tokio::test]
async fn a_line_that_is_cut_says_what_was_left_to_say() {
    let cases = [("", Some("cease"), "cease"), ("rest ", Some("cease"), "rest cease"), ("rest", None, "rest")];
    for (unsent, words, heard) in cases {
        let lines = Lines::default();
        let (stream, mut other) = connection().await;
        let line = lines.register(&stream);
        {
            let mut last = line.hold().expect("whole");
            last.unsent = Bytes::from_static(unsent.as_bytes());
            last.words = words.map(|words: &'static str| Bytes::from_static(words.as_bytes()));
        }
        assert_eq!(lines.cut(), 1);
        assert!(line.hold().is_none(), "its driver learns of it");
        assert_eq!(lines.cut(), 0, "once is enough");
        let mut said = String::new();
        other.read_to_string(&mut said).unwrap();
        assert_eq!(said, heard, "and then nothing");
    }
}

#[tokio::test]
async fn a_connection_ends_with_its_driver() {
    let lines = Lines::default();
    let (stream, mut other) = connection().await;
    let line = lines.register(&stream);
    drop((stream, line));
    assert_eq!(other.read(&mut [0; 8]).unwrap(), 0, "nobody else keeps it open");
    assert_eq!(lines.cut(), 0);
}

/// A neighbor that does not read cannot hold up whoever ends all sessions.
#[tokio::test]
async fn a_neighbor_that_does_not_read_holds_nobody_up() {
    let lines = Lines::default();
    let (stream, other) = connection().await;
    let line = lines.register(&stream);
    let all = vec![7; 1 << 20];
    while stream.try_write(&all).is_ok() {}
    line.hold().unwrap().unsent = Bytes::from(all);
    assert_eq!(lines.cut(), 1);
    drop(other);
}
