use std::num::{NonZeroU8, NonZeroU16};

use anycast_bgp::PeerAs;
use anycast_core::config::{Distance, Endpoint, Transport};

use super::*;

/// Tests wait this long for what must come, and never in vain.
const AMPLE: Duration = Duration::from_secs(20);

fn neighbor(endpoint: &str, connect: Connect, md5: Option<&str>) -> Neighbor {
    let endpoint = match endpoint.parse::<IpAddr>() {
        Ok(address) => Endpoint::Address(address),
        Err(_) => Endpoint::Network(endpoint.parse().unwrap(), NonZeroU16::new(10).unwrap()),
    };
    Neighbor {
        connect,
        transport: Transport { md5: md5.map(|key| Secret::new(key.into())), ..Transport::default() },
        ..Neighbor::new(endpoint, PeerAs::External)
    }
}

fn plan(listen: &[SocketAddr], neighbors: Vec<(&str, Neighbor)>) -> ListenPlan {
    let named = neighbors.into_iter().map(|(name, neighbor)| (PeerId::new(name).unwrap(), neighbor));
    ListenPlan { listen: listen.iter().copied().collect(), neighbors: Arc::new(named.collect()) }
}

/// An address of the loopback at which nobody listens.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

struct Running {
    plan: watch::Sender<ListenPlan>,
    arrivals: mpsc::Receiver<Arrival>,
    deaf: watch::Receiver<Deaf>,
    refusals: Arc<Refusals>,
    _task: AbortOnDropHandle<()>,
}

fn run(first: ListenPlan) -> Running {
    let (plan, planned) = watch::channel(first);
    let (arrived, arrivals) = mpsc::channel(1);
    let (told, deaf) = watch::channel(Deaf::new());
    let refusals = Arc::new(Refusals::default());
    let listener = Listener::new(planned, arrived, told, Arc::clone(&refusals), Wake::default());
    Running { plan, arrivals, deaf, refusals, _task: AbortOnDropHandle::new(tokio::spawn(listener.run())) }
}

/// Connects once somebody listens there.
async fn connect(to: SocketAddr) -> TcpStream {
    let trying = async {
        loop {
            if let Ok(stream) = TcpStream::connect(to).await {
                return stream;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(AMPLE, trying).await.expect("somebody listens")
}

/// The other end closed the connection without a word.
async fn is_closed(mut stream: TcpStream) {
    use tokio::io::AsyncReadExt as _;
    let read = tokio::time::timeout(AMPLE, stream.read(&mut [0; 16])).await.expect("it is closed");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

fn count(running: &Running, reason: &str) -> u64 {
    running.refusals.counts().into_iter().find(|(word, _)| *word == reason).unwrap().1
}

#[tokio::test]
async fn who_waits_is_handed_its_connection_and_others_are_closed() {
    let at = free();
    let neighbors = |connect| vec![("leaf", neighbor("127.0.0.1", connect, None))];
    let mut running = run(plan(&[at], neighbors(Connect::Passive)));
    let ours = connect(at).await;
    let arrival = tokio::time::timeout(AMPLE, running.arrivals.recv()).await.unwrap().unwrap();
    assert_eq!(arrival.from, ours.local_addr().unwrap().ip());

    // It is dialled from now on: with another that still waits, there is still a socket.
    let mut both = neighbors(Connect::Active);
    both.push(("other", neighbor("127.9.9.9", Connect::Passive, None)));
    running.plan.send_replace(plan(&[at], both));
    is_closed(connect(at).await).await;
    assert_eq!(count(&running, "dialled_by_us"), 1);

    running.plan.send_replace(plan(&[at], vec![("other", neighbor("127.9.9.9", Connect::Passive, None))]));
    is_closed(connect(at).await).await;
    assert_eq!(count(&running, "stranger"), 1);

    // Nobody waits: nothing listens.
    running.plan.send_replace(plan(&[at], neighbors(Connect::Active)));
    let refused = async {
        while TcpStream::connect(at).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(AMPLE, refused).await.expect("the socket is closed");
}

#[tokio::test]
async fn a_flood_is_closed_and_not_kept() {
    let at = free();
    let running = run(plan(&[at], vec![("leaf", neighbor("127.0.0.0/8", Connect::Passive, None))]));
    let _taken = connect(at).await;
    // Nobody takes the first from the queue, which has one place.
    for _ in 0..50 {
        is_closed(connect(at).await).await;
    }
    assert_eq!(count(&running, "busy"), 50);
}

#[tokio::test]
async fn a_place_that_is_taken_is_told_and_tried_again() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let mut running = run(plan(&[at], vec![("leaf", neighbor("127.0.0.1", Connect::Passive, None))]));
    let told = tokio::time::timeout(AMPLE, running.deaf.wait_for(|deaf| !deaf.is_empty())).await.unwrap().unwrap();
    assert!(told[&at.to_string()].contains("another BGP daemon"), "{:?}", *told);
    drop(told);
    drop(taken);
    let _ours = connect(at).await;
    tokio::time::timeout(AMPLE, running.arrivals.recv()).await.unwrap().unwrap();
    tokio::time::timeout(AMPLE, running.deaf.wait_for(Deaf::is_empty)).await.unwrap().unwrap();
}

/// A key that was taken away must not go on being asked for, nor one of a smaller network before that of a larger.
#[tokio::test]
async fn keys_come_and_go_with_the_plan() {
    let at = free();
    let with = |key| plan(&[at], vec![("leaf", neighbor("127.0.0.1", Connect::Passive, key))]);
    let mut running = run(with(None));
    drop(connect(at).await);
    running.arrivals.recv().await.unwrap();

    running.plan.send_replace(with(Some("hunter2")));
    let asked_for = async {
        loop {
            match tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(at)).await {
                // The key is not there yet.
                Ok(stream) => {
                    drop(stream);
                    running.arrivals.recv().await;
                }
                // A SYN without a signature gets no answer.
                Err(_) => return,
            }
        }
    };
    tokio::time::timeout(AMPLE, asked_for).await.expect("a key is asked for");

    let whole = neighbor("127.0.0.0/8", Connect::Passive, Some("other"));
    running.plan.send_replace(plan(&[at], vec![("leafs", whole)]));
    let dial = |key: &'static str| async move {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), Some(Protocol::TCP)).unwrap();
        options::set_md5(&socket, at.ip().into(), Some(key.as_bytes())).unwrap();
        tokio::net::TcpSocket::from_std_stream(socket.into()).connect(at).await
    };
    tokio::time::timeout(AMPLE, dial("other")).await.expect("the key of the network counts").unwrap();
}

#[test]
fn a_socket_is_guarded_for_all_who_come_to_it() {
    let at: SocketAddr = "0.0.0.0:179".parse().unwrap();
    let secured = |hops: u8| Neighbor {
        transport: Transport { distance: Distance::Secured(NonZeroU8::new(hops).unwrap()), ..Transport::default() },
        ..neighbor("192.0.2.1", Connect::Passive, None)
    };
    let least = |neighbors| plan(&[at], neighbors).places().remove(&(None, at)).unwrap().min_ttl;
    assert_eq!(least(vec![("a", secured(1)), ("b", secured(3))]), Some(253), "as far as the farthest may be");
    assert_eq!(least(vec![("a", secured(1)), ("b", neighbor("192.0.2.2", Connect::Passive, None))]), None);

    // A neighbor that is bound to a device has a socket of its own there.
    let mut bound = neighbor("192.0.2.3", Connect::Passive, None);
    bound.transport.device = Some("vrf-blue".to_owned());
    let plan = plan(&[at], vec![("a", neighbor("192.0.2.2", Connect::Passive, None)), ("b", bound)]);
    assert_eq!(plan.places().into_keys().collect::<Vec<_>>(), [(None, at), (Some("vrf-blue".to_owned()), at)]);
    let from = "192.0.2.3".parse().unwrap();
    assert_eq!(plan.admit(from, None).err(), Some(Refusal::Elsewhere));
    assert!(plan.admit(from, Some("vrf-blue")).is_ok());
}

/// One neighbor has GTSM, another does not: the socket cannot refuse what came from afar, so the SYN must prove it.
#[tokio::test]
async fn who_comes_from_too_far_is_refused_on_a_socket_that_others_share() {
    let at = free();
    let mut secured = neighbor("127.0.0.1", Connect::Passive, None);
    secured.transport.distance = Distance::Secured(NonZeroU8::new(1).unwrap());
    let other = neighbor("127.9.9.9", Connect::Passive, None);
    let mut running = run(plan(&[at], vec![("leaf", secured), ("other", other)]));
    is_closed(connect(at).await).await;
    assert_eq!(count(&running, "too_far"), 1);

    let near = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), Some(Protocol::TCP)).unwrap();
    near.set_ttl_v4(255).unwrap();
    let _near = tokio::net::TcpSocket::from_std_stream(near.into()).connect(at).await.unwrap();
    tokio::time::timeout(AMPLE, running.arrivals.recv()).await.unwrap().unwrap();
}

/// The kernel bounds the keys of a socket (net.core.optmem_max): whose key it does not take is not heard, and the others are.
#[tokio::test]
async fn too_many_passwords_do_not_make_us_deaf() {
    let at = free();
    let names: Vec<String> = (0..4000).map(|n| format!("n{n}")).collect();
    let address = |n: usize| format!("127.1.{}.{}", n / 250, n % 250 + 1);
    let mut neighbors: Vec<(&str, Neighbor)> = names
        .iter()
        .enumerate()
        .map(|(n, name)| (name.as_str(), neighbor(&address(n), Connect::Passive, Some("hunter2"))))
        .collect();
    neighbors.push(("open", neighbor("127.0.0.1", Connect::Passive, None)));
    let mut running = run(plan(&[at], neighbors));
    let _ours = connect(at).await;
    tokio::time::timeout(AMPLE, running.arrivals.recv()).await.unwrap().unwrap();
    // A key takes some hundred octets of the kernel's memory.
    let most = std::fs::read_to_string("/proc/sys/net/core/optmem_max").unwrap();
    if most.trim().parse::<usize>().unwrap() < 4000 * 100 {
        let told = running.deaf.wait_for(|deaf| !deaf.is_empty());
        let told = tokio::time::timeout(AMPLE, told).await.expect("it is told").unwrap();
        assert!(told.values().all(|why| why.contains("net.core.optmem_max")), "{:?}", told.values().next());
    }
}

#[tokio::test]
async fn a_socket_on_a_device_stands_beside_one_on_any() {
    let at = SocketAddr::new([0, 0, 0, 0].into(), free().port());
    let mut bound = neighbor("127.0.0.1", Connect::Passive, None);
    bound.transport.device = Some("lo".to_owned());
    let mut running = run(plan(&[at], vec![("a", bound), ("b", neighbor("192.0.2.2", Connect::Passive, None))]));
    let _ours = connect(SocketAddr::new([127, 0, 0, 1].into(), at.port())).await;
    tokio::time::timeout(AMPLE, running.arrivals.recv()).await.unwrap().unwrap();
    assert!(running.deaf.borrow().is_empty(), "{:?}", *running.deaf.borrow());
}
