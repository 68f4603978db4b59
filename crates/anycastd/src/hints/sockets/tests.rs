use std::{
    net::{TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use super::*;
use crate::kernel::tests::world::{AMPLE, isolated};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn wanted(sockets: &[(Protocol, &str)]) -> Wanted {
    Wanted::new(sockets.iter().map(|(protocol, text)| (*protocol, address(text))))
}

fn listen_and_close(places: &[&str]) {
    places.iter().for_each(|place| drop(TcpListener::bind(*place).unwrap()));
}

/// What was heard until this listener was closed, without it.
async fn heard_until(sockets: &Sockets, last: &str) -> Vec<SocketAddr> {
    let mut all = Vec::new();
    loop {
        match tokio::time::timeout(AMPLE, sockets.next()).await.expect("something is heard") {
            Heard::Closed(closed) => all.extend(closed.iter().map(|socket| socket.address)),
            other => panic!("{other:?}"),
        }
        if all.last() == Some(&address(last)) {
            all.pop();
            return all;
        }
    }
}

#[test]
fn only_listeners_on_watched_ports_are_heard_of() {
    use Protocol::{Tcp, Udp};
    isolated(async || {
        let watched = wanted(&[(Tcp, "127.0.0.1:80"), (Tcp, "127.0.0.1:443"), (Udp, "[::1]:53")]);
        let sockets = Sockets::open(&watched).unwrap();
        let server = TcpListener::bind("127.0.0.1:80").unwrap();
        for _ in 0..50 {
            drop((TcpStream::connect("127.0.0.1:80").unwrap(), server.accept().unwrap()));
        }
        listen_and_close(&["127.0.0.1:81"]);
        let asked = UdpSocket::bind("[::1]:53").unwrap();
        asked.connect("[::1]:1").unwrap();
        drop(asked);
        drop(UdpSocket::bind("[::1]:53").unwrap());
        drop(server);
        listen_and_close(&["127.0.0.1:443"]);
        assert_eq!(heard_until(&sockets, "127.0.0.1:443").await, [address("[::1]:53"), address("127.0.0.1:80")]);
    });
}

#[test]
fn a_changed_plan_is_heard_of_by_the_same_socket_or_asks_for_another() {
    use Protocol::Tcp;
    isolated(async || {
        let mut sockets = Sockets::open(&wanted(&[(Tcp, "127.0.0.1:80")])).unwrap();
        assert!(sockets.change(&wanted(&[(Tcp, "127.0.0.1:81"), (Tcp, "127.0.0.1:82")])).unwrap());
        listen_and_close(&["127.0.0.1:80", "127.0.0.1:81", "127.0.0.1:82"]);
        assert_eq!(heard_until(&sockets, "127.0.0.1:82").await, [address("127.0.0.1:81")]);
        assert!(!sockets.change(&wanted(&[(Tcp, "[::1]:81")])).unwrap(), "other groups take another socket");
    });
}

#[test]
fn each_port_of_many_is_heard_of_and_more_than_the_filter_holds_are_too() {
    isolated(async || {
        for count in [1, PORTS, PORTS + 1] {
            let places: Vec<String> = (0..count).map(|index| format!("127.0.0.1:{}", 2000 + index)).collect();
            let sockets =
                Sockets::open(&Wanted::new(places.iter().map(|place| (Protocol::Tcp, address(place))))).unwrap();
            let places: Vec<&str> = places.iter().map(String::as_str).collect();
            listen_and_close(&["127.0.0.1:1999", "127.0.0.1:9000"]);
            listen_and_close(&places);
            let heard = heard_until(&sockets, places.last().unwrap()).await;
            let others = if count > PORTS { 2 } else { 0 };
            assert_eq!(heard.len(), count - 1 + others, "{count} ports");
        }
    });
}

#[test]
fn what_does_not_fit_is_told() {
    isolated(async || {
        let sockets = Sockets::open_with(&wanted(&[(Protocol::Tcp, "127.0.0.1:80")]), 4096).unwrap();
        let overrun = async {
            loop {
                listen_and_close(&["127.0.0.1:80"; 50]);
                // The kernel tells of it a moment later.
                tokio::time::sleep(Duration::from_millis(20)).await;
                if let Heard::Overrun = sockets.next().await {
                    return;
                }
            }
        };
        tokio::time::timeout(AMPLE, overrun).await.expect("50 do not fit into 4 KiB");
        // It goes on.
        while sockets.next().now_or_never().is_some() {}
        listen_and_close(&["127.0.0.1:80"]);
        assert!(matches!(tokio::time::timeout(AMPLE, sockets.next()).await, Ok(Heard::Closed(_))));
    });
}
