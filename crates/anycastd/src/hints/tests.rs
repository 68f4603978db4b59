//! What becomes a hint, in a network namespace of its own.

use std::{
    net::{TcpListener, UdpSocket},
    process::{Child, Command},
};

use socket2::{Domain, Socket, Type};

use super::*;
use crate::kernel::tests::world::{AMPLE, eventually, isolated};

type Hints = watch::Receiver<Option<Hint>>;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn watched(sockets: &[(Protocol, &str)]) -> (Watched, Hints) {
    let (hinter, hints) = Hinter::new(Arc::default());
    let sockets = sockets.iter().map(|(protocol, text)| (*protocol, address(text))).collect();
    (Watched { sockets, hinter }, hints)
}

/// A task that watches for these, and has seen who listens.
async fn watching(listeners: Vec<Watched>) -> Watch {
    let watch = Watch::start();
    watch.set_plan(Plan { listeners, processes: BTreeMap::new() });
    eventually("it has looked who listens", async || watch.listeners().counts().0 > 0).await;
    watch
}

async fn next(hints: &mut Hints) -> Hint {
    tokio::time::timeout(AMPLE, hints.changed()).await.expect("a hint comes").unwrap();
    hints.borrow_and_update().expect("a hint")
}

/// A listener on an IPv6 socket that takes IPv4 as well.
fn dual_stack(port: u16) -> Socket {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
    socket.set_only_v6(false).unwrap();
    socket.bind(&SocketAddr::new([0_u16; 8].into(), port).into()).unwrap();
    socket.listen(1).unwrap();
    socket
}

#[test]
fn a_closed_listener_is_a_hint_to_those_who_ask_there() {
    use Protocol::{Tcp, Udp};
    isolated(async || {
        let (one, mut four) = watched(&[(Tcp, "127.0.0.1:80")]);
        let (two, mut six) = watched(&[(Tcp, "[::1]:80"), (Tcp, "[::1]:81")]);
        let (three, mut udp) = watched(&[(Udp, "127.0.0.1:80")]);
        let (other, other_hints) = watched(&[(Tcp, "127.0.0.2:80"), (Tcp, "127.0.0.1:79")]);
        let watch = watching(vec![one, two, three, other]).await;

        drop(TcpListener::bind("127.0.0.1:80").unwrap());
        assert_eq!(next(&mut four).await, Hint::Closed(Tcp, address("127.0.0.1:80")));
        drop(TcpListener::bind("[::1]:81").unwrap());
        assert_eq!(next(&mut six).await, Hint::Closed(Tcp, address("[::1]:81")));
        drop(UdpSocket::bind("127.0.0.1:80").unwrap());
        assert_eq!(next(&mut udp).await, Hint::Closed(Udp, address("127.0.0.1:80")));
        assert!(!other_hints.has_changed().unwrap(), "another address, another port");

        drop(dual_stack(80));
        for hints in [&mut four, &mut six] {
            assert!(matches!(next(hints).await, Hint::Closed(..)), "it took both families");
        }
        drop(TcpListener::bind("0.0.0.0:80").unwrap());
        next(&mut four).await;
        assert!(!six.has_changed().unwrap() && !udp.has_changed().unwrap());
        assert_eq!(watch.hints()[0], ("listener", 8), "the other one has had two as well");
    });
}

#[test]
fn nobody_listens_is_only_said_where_somebody_did_and_for_certain() {
    use Protocol::{Tcp, Udp};
    isolated(async || {
        let (one, mut hints) = watched(&[(Tcp, "127.0.0.1:80"), (Udp, "127.0.0.1:80")]);
        let never = [(Tcp, address("127.0.0.1:80"))];
        let watch = watching(vec![one]).await;
        let listeners = watch.listeners();
        assert_eq!(listeners.nobody_at(&never).await, None, "it may be in another network namespace");

        let first = TcpListener::bind("127.0.0.1:80").unwrap();
        assert_eq!(listeners.nobody_at(&never).await, None, "somebody does");
        let second = dual_stack(81);
        assert_eq!(listeners.at(Tcp, address("127.0.0.1:81")).await.unwrap().len(), 1, "dual stack");
        assert!(listeners.at(Udp, address("127.0.0.1:81")).await.unwrap().is_empty());
        drop((first, second));
        next(&mut hints).await;
        assert_eq!(listeners.nobody_at(&never).await, Some(never[0]));

        // A hint alone makes it known.
        let udp = [(Udp, address("127.0.0.1:80"))];
        drop(UdpSocket::bind("127.0.0.1:80").unwrap());
        next(&mut hints).await;
        assert_eq!(listeners.nobody_at(&udp).await, Some(udp[0]));
        let (_, failures) = listeners.counts();
        assert_eq!(failures, 0);
        watch.set_plan(Plan::default());
        eventually("it is forgotten", async || !listeners.is_known(Tcp, never[0].1)).await;
    });
}

#[test]
fn an_accept_queue_that_is_full_has_a_listener() {
    isolated(async || {
        let (one, _hints) = watched(&[(Protocol::Tcp, "127.0.0.1:80")]);
        let watch = watching(vec![one]).await;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&address("127.0.0.1:80").into()).unwrap();
        socket.listen(0).unwrap();
        let _first = std::net::TcpStream::connect("127.0.0.1:80").unwrap();
        let found = watch.listeners().at(Protocol::Tcp, address("127.0.0.1:80")).await.unwrap();
        assert_eq!(found.len(), 1);
    });
}

#[test]
fn a_plan_that_wants_nothing_leaves_no_socket_and_one_that_wants_more_hears_of_it() {
    use Protocol::Tcp;
    isolated(async || {
        let (one, mut first) = watched(&[(Tcp, "[::1]:80")]);
        let watch = watching(vec![one.clone()]).await;
        let (two, mut second) = watched(&[(Tcp, "127.0.0.1:81")]);
        watch.set_plan(Plan { listeners: vec![one, two], processes: BTreeMap::new() });
        let both = async || {
            drop(TcpListener::bind("127.0.0.1:81").unwrap());
            second.has_changed().unwrap()
        };
        eventually("the new one is heard of", both).await;
        second.borrow_and_update();
        drop(TcpListener::bind("[::1]:80").unwrap());
        next(&mut first).await;
        watch.set_plan(Plan::default());
        let sockets = || std::fs::read_to_string("/proc/thread-self/net/netlink").unwrap();
        let diag = || sockets().lines().filter(|line| line.split_whitespace().nth(1) == Some("4")).count();
        // The kernel itself has one per namespace.
        eventually("no socket is left", async || diag() == 1).await;
        assert_eq!(watch.seen().problem, None);
    });
}

struct Sleeper(Child);

impl Sleeper {
    fn new() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().unwrap())
    }

    fn id(&self) -> i32 {
        self.0.id().try_into().unwrap()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_process_that_ends_is_a_hint_and_the_next_is_followed() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("pid");
    let name = ServiceName::new("web").unwrap();
    let (hinter, mut hints) = Hinter::new(Arc::default());
    let watch = Watch::start();
    let followed = Followed { origins: vec![Origin::PidFile(file.clone())], hinters: vec![hinter] };
    watch.set_plan(Plan { listeners: Vec::new(), processes: [(name.clone(), followed)].into() });
    let words = || watch.seen().processes.get(&name).map(|seen| seen.words.clone()).unwrap_or_default();
    eventually("it says why there is none", async || words().contains("no process: ")).await;
    for _ in 0..2 {
        let mut process = Sleeper::new();
        let id = process.id();
        std::fs::write(&file, format!("{id}\n")).unwrap();
        eventually("it is followed", async || words().starts_with(&format!("process {id} ("))).await;
        assert!(!hints.has_changed().unwrap());
        // Not reaped: what matters is that it ended.
        process.0.kill().unwrap();
        assert_eq!(next(&mut hints).await, Hint::Ended(id));
    }
    assert_eq!(watch.hints()[1], ("process", 2));
}
