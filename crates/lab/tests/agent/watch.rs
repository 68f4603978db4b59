//! The kernel tells that a listener or a process goes, and the agent proves it before anything falls. The check would take
//! minutes by itself, so whatever falls here falls by a hint.

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use anycast_lab::runner;
use nix::sys::signal::Signal;
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::edge::{Edge, LOG, V4, V6, story, with_checks};

/// A check that falls by answers only after a hundred of them.
const PATIENT: &str = "interval: 300ms, fast_interval: 300ms, timeout: 300ms, rise: 1, fall: 100";
/// One that asks on its own every ten minutes only, as soon as it is settled.
const RARE: &str = "interval: 10m, fast_interval: 100ms, timeout: 1s, rise: 1, fall: 3";
const SERVE: &str = "anycast-lab tool serve --node edge --region here --http-port 8080";

/// A service with this check, at these times.
fn checked(check: &str, times: &str, keys: &str) -> String {
    with_checks(&[&format!("name: accepts, {check}, {times}")], keys)
}

/// The service on port 8080, watched like that.
fn watched(keys: &str) -> String {
    checked("type: tcp, port: 8080", PATIENT, keys)
}

/// The service that [`serve_elsewhere`] starts.
fn elsewhere(times: &str, keys: &str) -> String {
    checked("type: tcp, address: 10.9.0.2:8080", times, keys)
}

/// An agent with this configuration, and a service of the lab's own program.
async fn serving(config: &str) -> anyhow::Result<Edge> {
    let edge = Edge::new().await?;
    edge.configure(config).await?;
    serve(&edge).await?;
    announcing(&edge).await?;
    Ok(edge)
}

async fn serve(edge: &Edge) -> anyhow::Result<()> {
    edge.lab.start("edge", &SERVE.split(' ').collect::<Vec<_>>(), "/var/log/serve.log").await
}

/// Starts the agent, and waits until it announces and has seen who listens.
async fn announcing(edge: &Edge) -> anyhow::Result<()> {
    edge.start().await?;
    edge.announced(V4).await?;
    edge.announced(V6).await?;
    let watched = async || Ok(check(edge).await?["watches"].as_str().is_some_and(|words| !words.contains("not seen")));
    edge.wait("it has seen who listens", watched).await
}

async fn check(edge: &Edge) -> anyhow::Result<Value> {
    Ok(edge.ask(&["status"]).await?["services"][0]["checks"][0].clone())
}

async fn count(edge: &Edge, key: &str) -> anyhow::Result<u64> {
    Ok(check(edge).await?[key].as_u64().unwrap_or_default())
}

/// How often the service went down.
async fn falls(edge: &Edge) -> anyhow::Result<usize> {
    let events = edge.ctl(&["events"]).await?.output;
    Ok(events.lines().filter(|line| line.contains("up → down") && !line.contains("web/")).count())
}

/// Waits until a hint more than `before` has come, and a run after it is over.
async fn hinted(edge: &Edge, before: u64) -> anyhow::Result<()> {
    edge.wait("a hint comes", async || Ok(count(edge, "hints").await? > before)).await?;
    let runs = count(edge, "runs").await?;
    edge.wait("it has run since", async || Ok(count(edge, "runs").await? > runs + 1)).await
}

/// A listener in the network of the edge node, that nobody accepts from: it takes as many connections as `backlog`.
fn listen(edge: &Edge, address: &str, backlog: i32) -> anyhow::Result<TcpListener> {
    let address: SocketAddr = address.parse()?;
    edge.lab.within("edge", || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        socket.listen(backlog)?;
        Ok(socket.into())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_or_stopped_is_withdrawn_by_a_hint() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        for (number, signal) in [Signal::SIGKILL, Signal::SIGTERM].into_iter().enumerate() {
            edge.lab.kill("edge", "anycast-lab", signal).await?;
            edge.withdrawn(V4).await?;
            edge.withdrawn(V6).await?;
            let last = check(edge).await?;
            assert!(last["failures"].as_u64().is_some_and(|failures| failures < 100), "{last}");
            let events = edge.ctl(&["events"]).await?.output;
            assert!(events.contains("hint: listener tcp 203.0.113.80:8080 closed"), "{events}");
            assert!(events.contains("nobody listens on"), "{events}");
            assert_eq!(falls(edge).await?, number + 1);

            serve(edge).await?;
            edge.announced(V4).await?;
            edge.announced(V6).await?;
        }
        let status = edge.ctl(&["status", "web"]).await?.output;
        assert!(status.contains("listener tcp 203.0.113.80:8080"), "{status}");
        let explained = edge.ctl(&["explain", "web"]).await?.output;
        assert!(explained.contains("watches listener"), "{explained}");
        Ok(())
    };
    story(told, serving(&watched("watch: listener")).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_withdraws_once_and_not_at_all_within_its_grace() -> anyhow::Result<()> {
    const GAP: Duration = Duration::from_millis(50);
    let told = async |edge: &Edge| {
        edge.configure(&watched("watch: listener")).await?;
        let mut service = listen(edge, "[::]:8080", 128)?;
        announcing(edge).await?;

        let before = count(edge, "hints").await?;
        drop(service);
        tokio::time::sleep(GAP).await;
        service = listen(edge, "[::]:8080", 128)?;
        hinted(edge, before).await?;
        edge.announced(V4).await?;
        assert_eq!(falls(edge).await?, 1, "without a grace it falls, once");

        // Ample, for a busy machine takes longer than it was told to.
        edge.configure(&watched("watch: listener\nrestart_grace: 10s")).await?;
        edge.reload().await?;
        let reloaded = async || Ok(edge.ctl(&["events"]).await?.output.contains("reloaded"));
        edge.wait("it has reloaded", reloaded).await?;
        let (before, updates) = (count(edge, "hints").await?, edge.updates().await?);
        drop(service);
        tokio::time::sleep(GAP).await;
        service = listen(edge, "[::]:8080", 128)?;
        hinted(edge, before).await?;
        assert_eq!((falls(edge).await?, edge.updates().await?), (1, updates), "within its grace nothing moves");

        // One that does not come back falls after it.
        drop(service);
        edge.withdrawn(V4).await?;
        edge.wait("it has fallen once more", async || Ok(falls(edge).await? == 2)).await
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_is_not_the_last_makes_nothing_fall() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(&watched("watch: listener")).await?;
        let old = listen(edge, "[::]:8080", 128)?;
        announcing(edge).await?;
        let (mut hints, updates) = (count(edge, "hints").await?, edge.updates().await?);

        // A reload with overlap: the new one listens before the old one goes.
        let new = listen(edge, "[::]:8080", 128)?;
        drop(old);
        hinted(edge, hints).await?;

        // Another process that listens on the address alone.
        let other = listen(edge, "203.0.113.80:8080", 128)?;
        hints = count(edge, "hints").await?;
        drop(other);
        hinted(edge, hints).await?;
        assert_eq!((falls(edge).await?, edge.updates().await?), (0, updates));

        // One that listens and does not accept is not gone, though it is no good: that takes its number of answers.
        let full = listen(edge, "203.0.113.80:8080", 0)?;
        hints = count(edge, "hints").await?;
        drop(new);
        let last = async || {
            Ok(check(edge).await?["last"]["detail"].as_str().is_some_and(|text| text.contains("no answer within")))
        };
        edge.wait("nobody answers", last).await?;
        assert!(count(edge, "hints").await? > hints);
        drop(full);
        edge.withdrawn(V4).await
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_closed_listeners_is_a_hint_itself_and_makes_nothing_fall() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(&watched("watch: listener")).await?;
        let service = listen(edge, "[::]:8080", 128)?;
        announcing(edge).await?;
        let updates = edge.updates().await?;
        let overruns = async || {
            Ok::<_, anyhow::Error>(
                edge.ask(&["status"]).await?["watch"]["hints"]["overrun"].as_u64().unwrap_or_default(),
            )
        };
        assert_eq!(overruns().await?, 0);
        edge.lab.kill("edge", "anycastd", Signal::SIGSTOP).await?;
        for _ in 0..6000 {
            drop(listen(edge, "127.0.0.2:8080", 1)?);
        }
        edge.lab.kill("edge", "anycastd", Signal::SIGCONT).await?;
        edge.wait("it has noticed", async || Ok(overruns().await? > 0)).await?;
        hinted(edge, 0).await?;
        assert_eq!((falls(edge).await?, edge.updates().await?), (0, updates));
        drop(service);
        edge.withdrawn(V4).await
    };
    story(told, Edge::new().await).await
}

/// A service in a network namespace of its own, as a container has, at 10.9.0.2.
async fn serve_elsewhere(edge: &Edge) -> anyhow::Result<()> {
    for line in [
        "ip netns add inner",
        "ip link add out type veth peer name in netns inner",
        "ip address add 10.9.0.1/24 dev out",
        "ip link set out up",
        "ip -n inner address add 10.9.0.2/24 dev in",
        "ip -n inner link set in up",
    ] {
        edge.run(&line.split(' ').collect::<Vec<_>>()).await?;
    }
    let serve = "ip netns exec inner anycast-lab tool serve --node inner --region here --http-port 8080";
    edge.lab.start("edge", &serve.split(' ').collect::<Vec<_>>(), "/var/log/serve.log").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_held_tells_of_a_service_that_the_kernel_does_not_see() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        serve_elsewhere(edge).await?;
        edge.configure(&elsewhere(&format!("{RARE}, hold_connection: true"), "")).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        let words = async || Ok(check(edge).await?["watches"] == "connection to 10.9.0.2:8080");
        edge.wait("the connection is open", words).await?;
        let updates = edge.updates().await?;

        // A healthy service closes what is idle: it is asked, and nothing comes of it.
        let kill = "ss --kill --tcp state established dst 10.9.0.2";
        edge.run(&kill.split(' ').collect::<Vec<_>>()).await?;
        edge.wait("a hint comes", async || Ok(count(edge, "hints").await? == 1)).await?;
        edge.wait("the connection is open again", words).await?;
        assert_eq!((falls(edge).await?, edge.updates().await?), (0, updates));

        edge.lab.kill("edge", "anycast-lab", Signal::SIGKILL).await?;
        edge.withdrawn(V4).await?;
        let last = check(edge).await?;
        assert_eq!(last["hints"], 2, "{last}");
        let events = edge.ctl(&["events"]).await?.output;
        let hints: Vec<_> = events.lines().filter(|line| line.contains("hint: the connection held to")).collect();
        assert_eq!(hints.len(), 1, "only the one that something came of: {events}");
        let hinted = edge.ask(&["status"]).await?["watch"]["hints"]["connection"].clone();
        assert_eq!(hinted, 2);
        Ok(())
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_that_goes_down_has_those_ask_whose_target_is_behind_it() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        serve_elsewhere(edge).await?;
        edge.configure(&elsewhere(RARE, "")).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        edge.run(&["ip", "link", "set", "out", "down"]).await?;
        edge.withdrawn(V4).await?;
        let events = edge.ctl(&["events"]).await?.output;
        assert!(events.contains("hint: the interface of 10.9.0.1/24 went down"), "{events}");
        Ok(())
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_udp_service_that_is_killed_is_withdrawn_by_a_hint() -> anyhow::Result<()> {
    const ECHO: &str = r#"
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("::", 7))
while True:
    question, address = s.recvfrom(512)
    s.sendto(question, address)
"#;
    let serve =
        async |edge: &Edge| edge.lab.start("edge", &["/usr/bin/python3", "/run/echo.py"], "/var/log/echo.log").await;
    let told = async |edge: &Edge| {
        edge.lab.write("edge", "/run/echo.py", ECHO).await?;
        serve(edge).await?;
        edge.configure(&checked("type: udp, port: 7, send: ping, expect: ping", PATIENT, "watch: listener")).await?;
        announcing(edge).await?;
        for number in 1..=2 {
            let tool = edge.lab.runner().tool("edge");
            edge.run(&[&tool, "tool", "kill", "--signal", "kill", "python3", "/run/echo.py"]).await?;
            edge.withdrawn(V4).await?;
            edge.withdrawn(V6).await?;
            assert_eq!(falls(edge).await?, number);
            serve(edge).await?;
            edge.announced(V4).await?;
            edge.announced(V6).await?;
        }
        let events = edge.ctl(&["events"]).await?.output;
        assert!(events.contains("hint: listener udp ") && events.contains("nobody listens on"), "{events}");
        Ok(())
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_in_another_network_namespace_gives_no_hints_and_is_polled() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        serve_elsewhere(edge).await?;
        edge.configure(&elsewhere(&PATIENT.replace("fall: 100", "fall: 2"), "watch: listener")).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        let words = check(edge).await?["watches"].clone();
        assert!(words.as_str().is_some_and(|words| words.contains("not seen in this network namespace")), "{words}");
        edge.lab.kill("edge", "anycast-lab", Signal::SIGKILL).await?;
        edge.withdrawn(V4).await?;
        assert_eq!(count(edge, "hints").await?, 0);
        Ok(())
    };
    story(told, Edge::new().await).await
}

/// A control group of the machine's, which is removed with all that is in it.
struct Group<'a>(&'a Edge, String);

impl<'a> Group<'a> {
    const MOUNT: &'static str = "/run/groups";

    /// Makes one, where the machine has the unified hierarchy.
    async fn new(edge: &'a Edge, name: &str) -> anyhow::Result<Self> {
        let path = format!("{}/{name}", Self::MOUNT);
        edge.run(&["mkdir", "-p", Self::MOUNT]).await?;
        edge.run(&["mount", "-t", "cgroup2", "cgroup2", Self::MOUNT]).await?;
        edge.run(&["mkdir", &path]).await?;
        Ok(Self(edge, path))
    }

    /// Starts the service in it.
    async fn serve(&self) -> anyhow::Result<()> {
        let script = format!(r#"echo $$ >"{}/cgroup.procs" && exec {SERVE}"#, self.1);
        self.0.lab.start("edge", &["sh", "-c", &script], "/var/log/serve.log").await
    }

    async fn remove(self) -> anyhow::Result<()> {
        let removed = async || {
            Ok(runner::run(self.0.lab.runner(), "edge", &["rmdir", &self.1], Duration::from_secs(5))
                .await?
                .status
                .success())
        };
        self.0.wait("the group is removed", removed).await
    }
}

/// Waits until it knows the process.
async fn followed(edge: &Edge) -> anyhow::Result<()> {
    let words = async || Ok(check(edge).await?["watches"].as_str().is_some_and(|words| words.starts_with("process ")));
    edge.wait("the process is followed", words).await
}

/// The unit's own check has no bus to ask here: what falls does so by the hint of its process and what the port says then.
#[tokio::test(flavor = "multi_thread")]
async fn the_processes_of_a_unit_are_followed() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let unit = format!("anycast-lab-unit-{}.service", std::process::id());
        let group = Group::new(edge, &unit).await?;
        let accepts = format!("name: accepts, type: tcp, port: 8080, {PATIENT}");
        let active = format!("name: active, type: systemd, unit: {unit}");
        edge.configure(&with_checks(&[&accepts, &active], "require: any\nwatch: process")).await?;
        group.serve().await?;
        edge.start().await?;
        comes_and_goes(edge, &group).await?;
        group.remove().await
    };
    story(told, Edge::new().await).await
}

/// The process is killed and started again, twice; each time that is told by its end, and not found out by answers in a row.
async fn comes_and_goes(edge: &Edge, group: &Group<'_>) -> anyhow::Result<()> {
    for _ in 0..2 {
        edge.announced(V4).await?;
        followed(edge).await?;
        edge.lab.kill("edge", "anycast-lab", Signal::SIGKILL).await?;
        edge.withdrawn(V4).await?;
        let last = check(edge).await?;
        assert!(last["failures"].as_u64().is_some_and(|failures| failures < 100), "{last}");
        group.serve().await?;
    }
    let events = edge.ctl(&["events"]).await?.output;
    assert!(events.contains("hint: process ") && !events.contains("hint: listener"), "{events}");
    edge.announced(V4).await?;
    edge.lab.kill("edge", "anycast-lab", Signal::SIGKILL).await
}

/// As `ip netns exec` leaves it, and everything that nobody put into a group of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_not_found_is_a_problem_until_it_is() -> anyhow::Result<()> {
    const FILE: &str = "/run/serve.pid";
    let told = async |edge: &Edge| {
        let problems = async || Ok::<_, anyhow::Error>(edge.ask(&["status"]).await?["problems"].to_string());
        let with_pid_file = format!("name: lives, type: process, pid_file: {FILE}");
        let accepts = format!("name: accepts, type: tcp, port: 8080, {PATIENT}");
        edge.configure(&with_checks(&[&accepts, &with_pid_file], "require: any\nwatch: process")).await?;
        serve(edge).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        edge.wait("it is shown", async || Ok(problems().await?.contains("service web: no process"))).await?;
        let warned = async || Ok::<_, anyhow::Error>(edge.run(&["grep", "-c", "WARN.*no process", LOG]).await?);
        assert_eq!(warned().await?.trim(), "1");

        let pids = edge.lab.pids("edge", "anycast-lab").await?;
        edge.lab.write("edge", FILE, &pids.first().map(ToString::to_string).unwrap_or_default()).await?;
        followed(edge).await?;
        edge.wait("it is shown no more", async || Ok(problems().await? == "[]")).await?;
        assert_eq!(warned().await?.trim(), "1");
        Ok(())
    };
    story(told, Edge::new().await).await
}

/// Four that share a port, of which one closes and opens again every millisecond; whatever waits to be accepted there is reset.
const CHANGING: &str = r#"
import socket, time
def member():
    s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(("::", 8080))
    s.listen(128)
    s.setblocking(False)
    return s
def serve(s):
    while True:
        try:
            c, _ = s.accept()
        except BlockingIOError:
            return
        try:
            c.settimeout(0.2)
            c.recv(4096)
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        except OSError:
            pass
        c.close()
members, turn = [member() for _ in range(4)], 0
while True:
    for s in members:
        serve(s)
    members[turn % 4].close()
    members[turn % 4] = member()
    turn += 1
    time.sleep(0.001)
"#;

/// Says how many of its connections were reset.
const CLIENT: &str = r#"
import socket, time
all, bad, end = 0, 0, time.monotonic() + 10
while time.monotonic() < end:
    all += 1
    try:
        with socket.create_connection(("203.0.113.80", 8080), 1) as c:
            c.sendall(b"GET / HTTP/1.0\r\n\r\n")
            bad += not c.recv(100)
    except OSError:
        bad += 1
    time.sleep(0.002)
print(bad, "of", all, "connections were reset")
"#;

#[tokio::test(flavor = "multi_thread")]
async fn listeners_that_come_and_go_all_the_time_make_nothing_fall() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.lab.write("edge", "/run/changing.py", CHANGING).await?;
        edge.lab.write("edge", "/run/client.py", CLIENT).await?;
        edge.lab.start("edge", &["/usr/bin/python3", "/run/changing.py"], "/var/log/changing.log").await?;
        let times = "interval: 1s, timeout: 500ms, rise: 1";
        let accepts = format!("name: accepts, type: tcp, port: 8080, {times}, fall: 3");
        // One in some is reset; so many in a row are none.
        let answers = format!("name: answers, type: http, port: 8080, {times}, fall: 6");
        edge.configure(&with_checks(&[&accepts, &answers], "watch: listener")).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        let (updates, hints) = (edge.updates().await?, count(edge, "hints").await?);
        let said = edge.run(&["/usr/bin/python3", "/run/client.py"]).await?;
        let status = edge.ask(&["status"]).await?;
        eprintln!("{said}{}", status["services"][0]["checks"]);
        assert!(count(edge, "hints").await? > hints + 100, "they come and go");
        assert_eq!((falls(edge).await?, edge.updates().await?), (0, updates));
        let pace = status["services"][0]["checks"][0]["runs"].as_u64().unwrap_or_default();
        assert!(pace < 200, "it asks at the fast interval, not at each hint: {pace}");
        Ok(())
    };
    story(told, Edge::new().await).await
}

/// It is put back before anything follows from it, and what a check saw meanwhile says nothing of the service.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_away_is_no_flap() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        // Some of them ask in the moment that it is away.
        let hasty = |number| {
            format!(
                "name: c{number}, type: tcp, port: 8080, interval: 10ms, fast_interval: 10ms, timeout: 1s, rise: 1, fall: 1"
            )
        };
        let checks: Vec<String> = (0..6).map(hasty).collect();
        let checks: Vec<&str> = checks.iter().map(String::as_str).collect();
        edge.configure(&with_checks(&checks, "hold_down: { after: 9 flaps in 1h, initial: 1h, max: 1h }")).await?;
        serve(edge).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        // In a fight it is put back more and more slowly.
        for address in ["203.0.113.80/32", "2001:db8:53::80/128"].repeat(4) {
            edge.run(&["ip", "address", "delete", address, "dev", "lo"]).await?;
            edge.wait("it is back", async || Ok(edge.addresses().await?.len() == 2)).await?;
            edge.wait("it serves", async || Ok(edge.ask(&["status"]).await?["services"][0]["state"] == "up")).await?;
        }
        edge.announced(V4).await?;
        let service = edge.ask(&["status"]).await?["services"][0].clone();
        let events = edge.ctl(&["events"]).await?.output;
        assert_eq!((&service["flaps"], falls(edge).await?), (&Value::from(0), 0), "{events}");
        Ok(())
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_found_by_its_socket_is_followed() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let group = Group::new(edge, &format!("anycast-lab-{}", std::process::id())).await?;
        edge.configure(&watched("watch: process")).await?;
        group.serve().await?;
        edge.start().await?;
        comes_and_goes(edge, &group).await?;
        group.remove().await
    };
    story(told, Edge::new().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_a_pid_file_names_is_followed() -> anyhow::Result<()> {
    const FILE: &str = "/run/serve.pid";
    let script = format!("echo $$ >{FILE}; exec {SERVE}");
    let serve = async |edge: &Edge| edge.lab.start("edge", &["sh", "-c", &script], "/var/log/serve.log").await;
    let told = async |edge: &Edge| {
        edge.configure(&checked(&format!("type: process, pid_file: {FILE}"), RARE, "watch: process")).await?;
        serve(edge).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        followed(edge).await?;
        edge.lab.kill("edge", "anycast-lab", Signal::SIGKILL).await?;
        edge.withdrawn(V4).await?;
        let events = edge.ctl(&["events"]).await?.output;
        assert!(events.contains("hint: process "), "{events}");
        Ok(())
    };
    story(told, Edge::new().await).await
}
