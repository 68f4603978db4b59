//! Checks of single protocols against small servers on the edge node: the routes follow what they see.

use crate::edge::{Edge, PLAIN, V4, V6, story};

const CHECKS: &str = r#"checks:
      - name: resolves
        type: dns
        query: health.example.net A
        transport: both
        expect: { answer: 192.0.2.80, flags: [aa, no-tc] }
        interval: 200ms
        fast_interval: 50ms
      - { name: echoes, type: udp, port: 7, send: ping, expect: ping, interval: 200ms, fast_interval: 50ms }
      - { name: router, type: icmp, address: 192.0.2.1, packets: 2, max_loss: 1, interval: 200ms, fast_interval: 50ms, timeout: 1s }
      - name: certificate
        type: tls
        address: 203.0.113.80
        tls: { name: www.example.net, ca_file: /run/ca.pem }
        warn_before: 14d
        interval: 200ms
        fast_interval: 50ms
        timeout: 2s
    up:"#;

/// DNS over both transports, with the response code that a file holds; an echo of datagrams; TLS with the certificate that a
/// file holds at the time. An argument names the one that is served.
const SERVER: &str = r#"
import socket, ssl, sys, threading
def bound(kind, port):
    s = socket.socket(socket.AF_INET6, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("::", port))
    if kind == socket.SOCK_STREAM: s.listen(64)
    return s
def answer(q):
    rcode = int(open("/run/rcode").read())
    record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\x50" if rcode == 0 else b""
    return q[:2] + bytes([0x84 | q[2] & 1, rcode]) + q[4:6] + bytes([0, 1 if record else 0]) + bytes(4) + q[12:] + record
def dns_udp():
    s = bound(socket.SOCK_DGRAM, 53)
    while True:
        q, a = s.recvfrom(512)
        s.sendto(answer(q), a)
def dns_tcp():
    s = bound(socket.SOCK_STREAM, 53)
    while True:
        c, _ = s.accept()
        with c:
            try:
                r = answer(c.recv(514)[2:])
                c.sendall(len(r).to_bytes(2, "big") + r)
            except OSError: pass
def echo():
    s = bound(socket.SOCK_DGRAM, 7)
    while True:
        q, a = s.recvfrom(512)
        s.sendto(q, a)
def tls():
    s = bound(socket.SOCK_STREAM, 443)
    while True:
        c, _ = s.accept()
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain("/run/server.pem")
            c.settimeout(5)
            with context.wrap_socket(c, server_side=True) as t: t.recv(1)
        except (OSError, ssl.SSLError): pass
todo = {"dns": [dns_udp, dns_tcp], "echo": [echo], "tls": [tls]}[sys.argv[1]]
threads = [threading.Thread(target=t) for t in todo]
for t in threads: t.start()
"#;

fn config(checks: &str) -> String {
    let (before, rest) = PLAIN.split_once("checks:").expect("it has checks");
    let (_, after) = rest.split_once("up:").expect("and attributes");
    format!("{before}{checks}{after}")
}

/// What asks this node itself, and a server by the gRPC health protocol.
const LOCAL: &str = r#"checks:
      - { name: alive, type: process, pid_file: /run/worker.pid, comm: sleep, interval: 200ms, fast_interval: 50ms }
      - { name: fresh, type: file, path: /run/beat, max_age: 1h, interval: 200ms, fast_interval: 50ms }
      - { name: open, type: file, path: /run/closed, expect: absent, interval: 200ms, fast_interval: 50ms }
      - { name: serving, type: grpc, port: 50051, service: shop, interval: 200ms, fast_interval: 50ms, timeout: 2s }
    up:"#;

/// HTTP/2 as far as a health check needs it: SETTINGS and their acknowledgement, then the answer to the one call, which a
/// file holds as a number.
const GRPC: &str = r#"
import socket, threading
def frame(kind, flags, stream, body=b""):
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body
def field(name, value):
    return bytes([0, len(name)]) + name + bytes([len(value)]) + value
def whole(c, length):
    data = b""
    while len(data) < length:
        more = c.recv(length - len(data))
        if not more: raise EOFError
        data += more
    return data
def answer(stream):
    status = int(open("/run/serving").read())
    body = bytes([0, 0, 0, 0, 2, 8, status])
    return (frame(1, 4, stream, b"\x88" + field(b"content-type", b"application/grpc")) + frame(0, 0, stream, body)
        + frame(1, 5, stream, field(b"grpc-status", b"0")))
def talk(c):
    try:
        with c:
            whole(c, 24)
            c.sendall(frame(4, 0, 0))
            while True:
                head = whole(c, 9)
                kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
                whole(c, int.from_bytes(head[:3], "big"))
                if kind == 4 and not flags & 1: c.sendall(frame(4, 1, 0))
                if kind in (0, 1) and flags & 1: c.sendall(answer(stream))
    except (OSError, EOFError): pass
s = socket.socket(socket.AF_INET6)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("::", 50051))
s.listen(64)
while True: threading.Thread(target=talk, args=[s.accept()[0]]).start()
"#;

/// Starts a server, whose name is in its command line for [`stop`].
async fn serve(edge: &Edge, what: &str) -> anyhow::Result<()> {
    edge.lab.write("edge", "/run/server.py", SERVER).await?;
    edge.lab.start("edge", &["/usr/bin/python3", "/run/server.py", what], &format!("/var/log/{what}.log")).await
}

async fn stop(edge: &Edge, what: &str) -> anyhow::Result<()> {
    let tool = edge.lab.runner().tool("edge");
    edge.run(&[&tool, "tool", "kill", "--signal", "kill", "python3", "/run/server.py", what]).await.map(drop)
}

/// A certificate for so many days, always of the same key, which is its own root.
async fn certify(edge: &Edge, days: &str) -> anyhow::Result<()> {
    let script = r#"cd /run
        [ -e key.pem ] || openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out key.pem
        openssl req -x509 -key key.pem -days "$1" -subj /CN=www.example.net -addext subjectAltName=DNS:www.example.net \
            -addext basicConstraints=critical,CA:FALSE -out ca.pem
        cat ca.pem key.pem > server.new && mv server.new server.pem"#;
    edge.run(&["sh", "-ec", script, "sh", days]).await.map(drop)
}

/// What `explain` says, without the columns of its table.
async fn explained(edge: &Edge) -> anyhow::Result<String> {
    Ok(edge.ask(&["explain", V4]).await?.to_string())
}

/// Both prefixes are gone, and the reason is given.
async fn withdrawn_because(edge: &Edge, words: &str) -> anyhow::Result<()> {
    edge.withdrawn(V4).await?;
    edge.withdrawn(V6).await?;
    let told = async || Ok(explained(edge).await?.contains(words));
    edge.wait(&format!("it says {words:?}"), told).await
}

async fn back(edge: &Edge) -> anyhow::Result<()> {
    edge.announced(V4).await?;
    edge.announced(V6).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_follow_what_dns_udp_icmp_and_tls_checks_see() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(&config(CHECKS)).await?;
        edge.lab.write("edge", "/run/rcode", "0").await?;
        certify(edge, "90").await?;
        for what in ["dns", "echo", "tls"] {
            serve(edge, what).await?;
        }
        edge.start().await?;
        back(edge).await?;

        edge.lab.write("edge", "/run/rcode", "2").await?;
        withdrawn_because(edge, "SERVFAIL, expected NOERROR").await?;
        edge.lab.write("edge", "/run/rcode", "0").await?;
        back(edge).await?;

        stop(edge, "echo").await?;
        withdrawn_because(edge, "203.0.113.80:7: refused").await?;
        serve(edge, "echo").await?;
        back(edge).await?;

        edge.lab.run("rtr", &["sysctl", "-w", "net.ipv4.icmp_echo_ignore_all=1"]).await?;
        withdrawn_because(edge, "192.0.2.1: no answer within 1 s").await?;
        edge.lab.run("rtr", &["sysctl", "-w", "net.ipv4.icmp_echo_ignore_all=0"]).await?;
        back(edge).await?;

        stop(edge, "tls").await?;
        withdrawn_because(edge, "203.0.113.80:443: refused").await?;
        // Ten days are too few for comfort: announced, with a longer path.
        certify(edge, "10").await?;
        serve(edge, "tls").await?;
        let path = edge.announced(V4).await?;
        assert_eq!(path["aspath"]["length"], 4, "{path}");
        let why = explained(edge).await?;
        assert!(why.contains("less than 14 d"), "{why}");
        assert_eq!(edge.sessions().await?, 1);
        Ok(())
    };
    story(told, Edge::new().await).await
}

/// A process that does nothing, with its number in a file.
async fn work(edge: &Edge) -> anyhow::Result<()> {
    edge.run(&["sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $! >/run/worker.pid"]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_follow_what_process_file_and_grpc_checks_see() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(&config(LOCAL)).await?;
        edge.lab.write("edge", "/run/beat", "").await?;
        edge.lab.write("edge", "/run/serving", "1").await?;
        edge.lab.write("edge", "/run/grpc.py", GRPC).await?;
        work(edge).await?;
        edge.lab.start("edge", &["/usr/bin/python3", "/run/grpc.py"], "/var/log/grpc.log").await?;
        edge.start().await?;
        back(edge).await?;
        let status = edge.ctl(&["status", "web"]).await?.output;
        for words in ["(sleep) is alive", "/run/beat was written", "/run/closed is not there", "shop: SERVING"] {
            assert!(status.contains(words), "{words}: {status}");
        }

        let kill = r#"kill -9 "$(cat /run/worker.pid)""#;
        edge.run(&["sh", "-c", kill]).await?;
        withdrawn_because(edge, "process ").await?;
        work(edge).await?;
        back(edge).await?;

        edge.run(&["touch", "-d", "2 hours ago", "/run/beat"]).await?;
        withdrawn_because(edge, "/run/beat was written 2h").await?;
        edge.run(&["touch", "/run/beat"]).await?;
        back(edge).await?;

        edge.run(&["touch", "/run/closed"]).await?;
        withdrawn_because(edge, "/run/closed is there").await?;
        edge.run(&["rm", "/run/closed"]).await?;
        back(edge).await?;

        edge.lab.write("edge", "/run/serving", "2").await?;
        withdrawn_because(edge, "shop: NOT_SERVING").await?;
        edge.lab.write("edge", "/run/serving", "3").await?;
        withdrawn_because(edge, "the server does not know the service shop").await?;
        edge.lab.write("edge", "/run/serving", "1").await?;
        back(edge).await?;
        assert_eq!(edge.sessions().await?, 1);
        Ok(())
    };
    story(told, Edge::new().await).await
}
