//! What the tests of all kinds of probe share.

use std::{
    collections::BTreeMap,
    error::Error,
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    process::Command,
    time::Duration,
};

use anycast_core::{
    Health, Outcome,
    config::{
        DnsProbe, DnsTransport, ExecProbe, HttpMethod, HttpProbe, HttpTarget, HttpVersion, IcmpProbe, ProbeConfig,
        TcpProbe, TlsOptions, TlsProbe, UdpExpect, UdpProbe,
    },
};
use hyper::{
    Request, Response,
    body::{Body, Incoming},
    server::conn::http2,
    service::Service as HttpService,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream, UdpSocket},
};
use tokio_rustls::TlsAcceptor;

use super::Prober;

/// No test waits for as long, unless it fails.
pub(super) const AMPLE: Duration = Duration::from_secs(20);
/// For a run that is to time out.
pub(super) const SHORT: Duration = Duration::from_millis(300);

pub(super) fn http(address: SocketAddr) -> HttpProbe {
    HttpProbe {
        url: format!("http://{address}/healthz?full=1"),
        tls: None,
        target: HttpTarget::Addresses(vec![address]),
        authority: Some(address.to_string()),
        path: "/healthz?full=1".to_owned(),
        method: HttpMethod::Get,
        version: HttpVersion::Http1,
        headers: BTreeMap::new(),
        expect_status: vec![200..=299],
        expect_body: None,
        expect_headers: BTreeMap::new(),
    }
}

pub(super) fn dns(server: SocketAddr) -> DnsProbe {
    DnsProbe {
        servers: vec![server],
        name: "health.example.net".to_owned(),
        kind: "A".to_owned(),
        transport: DnsTransport::Udp,
        recursion_desired: true,
        dnssec_ok: false,
        rcode: 0,
        answers: vec!["192.0.2.80".to_owned()],
        min_answers: 1,
        flags: Vec::new(),
    }
}

pub(super) fn udp(address: SocketAddr) -> UdpProbe {
    UdpProbe { addresses: vec![address], send: b"ping".to_vec(), expect: UdpExpect::Any }
}

pub(super) fn icmp(address: IpAddr) -> IcmpProbe {
    IcmpProbe { addresses: vec![address], packets: NonZeroU16::MIN, max_loss: 0 }
}

pub(super) fn certificate(address: SocketAddr, tls: TlsOptions) -> TlsProbe {
    TlsProbe { addresses: vec![address], tls, alpn: Vec::new(), warn_before: None, fail_before: Duration::ZERO }
}

pub(super) fn exec(command: &[&str]) -> Prober {
    Prober::new(&ProbeConfig::Exec(ExecProbe::new(command.iter().map(|&part| part.to_owned()).collect())))
}

pub(super) fn shell(script: &str) -> Prober {
    exec(&["/bin/sh", "-c", script])
}

pub(super) fn tcp(addresses: &[SocketAddr]) -> Prober {
    Prober::new(&ProbeConfig::Tcp(TcpProbe { addresses: addresses.to_vec() }))
}

/// Runs it, and holds it to its timeout with much to spare for a busy machine.
pub(super) async fn run(prober: &Prober, timeout: Duration) -> Outcome {
    let outcome = tokio::time::timeout(timeout + AMPLE, prober.run(timeout)).await.expect("a run ends by itself");
    assert!(outcome.detail.chars().count() <= 200 && !outcome.detail.chars().any(char::is_control), "{outcome:?}");
    outcome
}

/// An address where nobody listens.
pub(super) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// An address that has no UDP socket.
pub(super) async fn nobody_udp() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A listener that does not accept, with its queue full: a SYN to it is not answered.
pub(super) struct Deaf {
    pub(super) address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Deaf {
    pub(super) async fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        while let Ok(Ok(stream)) = tokio::time::timeout(SHORT, TcpStream::connect(address)).await {
            queue.push(stream);
            assert!(queue.len() < 100, "the queue never fills");
        }
        Self { address, _listener: listener, _queue: queue }
    }
}

/// Serves HTTP/2, over TLS where there is something to shake hands with.
pub(super) async fn serve2<S, B>(acceptor: Option<TlsAcceptor>, service: S) -> SocketAddr
where
    S: HttpService<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, service) = (acceptor.clone(), service.clone());
            tokio::spawn(async move {
                let builder = http2::Builder::new(TokioExecutor::new());
                let Some(acceptor) = acceptor else {
                    return drop(builder.serve_connection(TokioIo::new(stream), service).await);
                };
                if let Ok(stream) = acceptor.accept(stream).await {
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                }
            });
        }
    });
    address
}

/// Answers with these bytes to whatever is said, and closes.
pub(super) async fn answers(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
            // Closed with something unread, it would be reset, and what was answered lost with it.
            tokio::spawn(async move { while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {} });
        }
    });
    address
}

/// Runs an ignored test of this binary in a process of its own, where nothing else opens descriptors or starts programs.
pub(super) fn alone(module: &str, name: &str) {
    let module = module.split_once("::").expect("within a crate").1;
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::{name}"), "--ignored", "--nocapture", "--test-threads=1"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{errors}");
}

#[test]
fn out_of_descriptors_proves_nothing() {
    alone(module_path!(), "out_of_descriptors");
}

#[tokio::test]
#[ignore = "run alone, by another test"]
async fn out_of_descriptors() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let anybody = || TlsOptions { name: "x".to_owned(), ca_file: None, verify: false };
    let secure = HttpProbe { tls: Some(anybody()), ..http(address) };
    let probers = [
        tcp(&[address]),
        Prober::new(&ProbeConfig::Http(http(address))),
        Prober::new(&ProbeConfig::Http(secure)),
        exec(&["/bin/true"]),
        Prober::new(&ProbeConfig::Dns(dns(address))),
        Prober::new(&ProbeConfig::Dns(DnsProbe { transport: DnsTransport::Tcp, ..dns(address) })),
        Prober::new(&ProbeConfig::Udp(udp(address))),
        Prober::new(&ProbeConfig::Icmp(icmp(address.ip()))),
        Prober::new(&ProbeConfig::Tls(certificate(address, anybody()))),
    ];
    let limits = getrlimit(Resource::Nofile);
    let held: Vec<_> = {
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..limits }).unwrap();
        std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect()
    };
    for prober in &probers {
        let outcome = run(prober, AMPLE).await;
        assert_eq!(outcome.health, Health::Unknown, "{prober:?}: {outcome:?}");
        assert!(outcome.detail.contains("too many open files"), "{outcome:?}");
        assert!(!outcome.detail.contains("not permitted"), "{outcome:?}");
    }
    drop(held);
    setrlimit(Resource::Nofile, limits).unwrap();
    assert_eq!(run(&probers[0], AMPLE).await.health, Health::Up);
    assert_eq!(run(&probers[3], AMPLE).await.health, Health::Up);
}

#[test]
fn many_runs_leave_no_descriptor() {
    alone(module_path!(), "descriptors");
}

#[tokio::test]
#[ignore = "run alone, by another test"]
async fn descriptors() {
    let absent = nobody().await;
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let quiet = silent.local_addr().unwrap();
    let deaf = Deaf::new().await;
    let anybody = TlsOptions { name: "x".to_owned(), ca_file: None, verify: false };
    let kinds = [
        ProbeConfig::Dns(dns(quiet)),
        ProbeConfig::Dns(DnsProbe { transport: DnsTransport::Both, ..dns(absent) }),
        ProbeConfig::Udp(udp(quiet)),
        ProbeConfig::Udp(udp(absent)),
        ProbeConfig::Icmp(icmp([127, 0, 0, 1].into())),
        ProbeConfig::Tls(certificate(absent, anybody.clone())),
        ProbeConfig::Tls(certificate(deaf.address, anybody)),
    ];
    let probers: Vec<Prober> = kinds.iter().map(Prober::new).collect();
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let round = async |timeout: Duration| {
        for prober in &probers {
            run(prober, timeout).await;
            // Dropped under way.
            let _ = tokio::time::timeout(timeout / 2, prober.run(AMPLE)).await;
        }
    };
    round(Duration::from_millis(4)).await;
    let before = open();
    for _ in 0..100 {
        round(Duration::from_millis(4)).await;
    }
    assert_eq!(open(), before);
}
