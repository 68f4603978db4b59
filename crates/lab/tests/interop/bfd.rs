//! BFD with BIRD, and with aiobfd where that is there. What FRR does is in the stories of the agent.

use std::{net::IpAddr, path::Path};

use anycast_lab::harness::{
    Lab,
    control::{Capture, Control},
};
use anyhow::{Context as _, ensure};
use serde_json::Value;

/// Where aiobfd is: `pip install aiobfd 'bitstring<4'`, which it does not ask for and needs.
const AIOBFD: &str = "ANYCAST_AIOBFD";
const CONFIG: &str = "/etc/anycastd/anycastd.yaml";
const KEY: &str = "/etc/anycastd/rtr.bfd";
const LOG: &str = "/var/log/anycastd.log";
/// Short enough for all types.
const SECRET: &str = "mekmitasdigoat";

/// One session.
#[derive(Debug, Clone, Copy)]
struct Case {
    /// Our end and theirs.
    ends: [&'static str; 2],
    /// From loopback to loopback.
    multihop: bool,
    /// In milliseconds, at both ends.
    interval: u32,
    /// As the agent calls it, and BIRD.
    authentication: Option<[&'static str; 2]>,
    /// What the agent has in its file.
    secret: &'static str,
}

const PLAIN: Case =
    Case { ends: ["192.0.2.2", "192.0.2.1"], multihop: false, interval: 50, authentication: None, secret: SECRET };

impl Case {
    fn agent(&self) -> String {
        let [own, router] = self.ends;
        let family = if router.contains(':') { "ipv6" } else { "ipv4" };
        let authentication = self.authentication.map_or(String::new(), |[ours, _]| {
            format!(", authentication: {{ type: {ours}, key_id: 7, password_file: {KEY} }}")
        });
        let address = if family == "ipv6" { "\"2001:db8:53::80\"" } else { "203.0.113.80" };
        let hops = if self.multihop { ", multihop: 2" } else { "" };
        // BIRD sends with the TTL that the kernel has, not with 255.
        let least = if self.multihop { ", min_ttl: 60" } else { "" };
        let interval = self.interval;
        format!(
            "bgp:\n  asn: 65010\n  router_id: 192.0.2.2\n  neighbors:\n    - {{ name: rtr, address: \"{router}\", source: \"{own}\", \
             asn: 65101, families: [{family}], hold_time: 9s{hops}, bfd: {{ interval: {interval}ms, multiplier: 3{authentication}{least} }} }}\n\
             services:\n  - name: web\n    addresses: [{address}]\n    checks:\n      \
             - {{ name: told, type: exec, command: [/bin/true], interval: 1s, timeout: 1s }}\n\
             log: {{ format: text, level: debug }}\n"
        )
    }

    fn bird(&self) -> String {
        let [own, router] = self.ends;
        let family = if router.contains(':') { "ipv6" } else { "ipv4" };
        let authentication = self.authentication.map_or(String::new(), |[_, theirs]| {
            format!("authentication {theirs}; password \"{SECRET}\" {{ id 7; }};")
        });
        let hops = if self.multihop { "multihop 2;" } else { "direct;" };
        let times = format!("interval {} ms; multiplier 3; {authentication}", self.interval);
        format!(
            "router id 192.0.2.1;\nlog \"/var/log/peer.log\" all;\nprotocol device {{}}\n\
             protocol kernel {{ {family} {{ import none; export none; }}; learn; }}\nprotocol direct {{ {family}; }}\n\
             protocol static {{ {family}; {} }}\n\
             protocol bfd {{ interface \"*\" {{ {times} }}; multihop {{ {times} }}; }}\n\
             protocol bgp edge {{ local {router} as 65101; neighbor {own} as 65010; {hops} passive on; bfd on; hold time 9;\n  \
             {family} {{ import all; export none; }}; }}\n",
            if self.multihop { format!("route {own}/32 via 192.0.2.2;") } else { String::new() },
        )
    }
}

async fn lab(case: &Case) -> anyhow::Result<Lab> {
    let topology = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/topologies/pair.clab.yml");
    let lab = Lab::up(&topology).await?;
    if case.multihop {
        for (node, own, other, via) in
            [("edge", case.ends[0], case.ends[1], "192.0.2.1"), ("peer", case.ends[1], case.ends[0], "192.0.2.2")]
        {
            lab.run(node, &["ip", "address", "add", &format!("{own}/32"), "dev", "lo"]).await?;
            lab.run(node, &["ip", "route", "add", &format!("{other}/32"), "via", via]).await?;
        }
    }
    lab.write("edge", KEY, case.secret).await?;
    lab.run("edge", &["chmod", "600", KEY]).await?;
    lab.write("edge", CONFIG, &case.agent()).await?;
    lab.write("peer", "/etc/bird/bird.conf", &case.bird()).await?;
    Ok(lab)
}

async fn start(lab: &Lab) -> anyhow::Result<()> {
    lab.run("peer", &["bird", "-c", "/etc/bird/bird.conf", "-s", "/run/bird.ctl"]).await?;
    lab.start("edge", &["anycastd", "--config", CONFIG], LOG).await
}

async fn session(lab: &Lab) -> anyhow::Result<Value> {
    let neighbors: Value = serde_json::from_str(&lab.run("edge", &["anycastctl", "--json", "neighbors"]).await?)?;
    Ok(neighbors[0]["bfd"]["session"].clone())
}

/// Waits until both ends say that they are Up, at this pace.
async fn up(lab: &Lab, case: &Case) -> anyhow::Result<()> {
    lab.wait(&format!("{case:?} is Up"), async || {
        let (ours, theirs) = (session(lab).await?, bird(lab).await?);
        let seconds = f64::from(case.interval) / 1000.0;
        let up = ours["state"] == "Up"
            && ours["multihop"] == case.multihop
            && ours["transmit_seconds"] == seconds
            && ours["receive_seconds"] == seconds
            && theirs.contains(" Up ")
            && theirs.contains(&format!(" {seconds:.3} "));
        ensure!(up, "found {ours}, {theirs}");
        Ok(Some(()))
    })
    .await
}

/// BIRD's own line of the session.
async fn bird(lab: &Lab) -> anyhow::Result<String> {
    let said = lab.run("peer", &["birdc", "-s", "/run/bird.ctl", "show bfd sessions"]).await?;
    Ok(said.lines().last().unwrap_or_default().to_owned())
}

async fn established(lab: &Lab) -> anyhow::Result<()> {
    lab.wait("BGP is there", async || {
        let said = lab.run("peer", &["birdc", "-s", "/run/bird.ctl", "show protocols edge"]).await?;
        Ok(said.contains("Established").then_some(()))
    })
    .await
}

/// The plain session with BIRD, and BGP beside it.
async fn begun() -> anyhow::Result<Lab> {
    let lab = lab(&PLAIN).await?;
    start(&lab).await?;
    up(&lab, &PLAIN).await?;
    established(&lab).await?;
    Ok(lab)
}

/// The session comes up, so does BGP, and tshark understands every packet.
async fn told(case: Case) -> anyhow::Result<Vec<Control>> {
    let lab = lab(&case).await?;
    let capture = Capture::watch(&lab, "edge", "eth1").await?;
    start(&lab).await?;
    up(&lab, &case).await?;
    established(&lab).await?;
    let packets = capture.end().await?.controls().await?;
    let own: IpAddr = case.ends[0].parse()?;
    let port = if case.multihop { 4784 } else { 3784 };
    let sent: Vec<Control> = packets.into_iter().filter(|packet| packet.from == own).collect();
    ensure!(!sent.is_empty(), "nothing was sent");
    ensure!(sent.iter().all(|packet| packet.port == port && packet.ttl == 255 && packet.source_port >= 49152));
    ensure!(sent.iter().all(|packet| packet.authenticated == case.authentication.is_some()));
    Ok(sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn bird_in_both_families_and_at_both_paces() -> anyhow::Result<()> {
    told(PLAIN).await?;
    told(Case { interval: 10, ..PLAIN }).await?;
    told(Case { ends: ["2001:db8:1::2", "2001:db8:1::1"], ..PLAIN }).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn bird_from_loopback_to_loopback() -> anyhow::Result<()> {
    told(Case { ends: ["198.51.100.2", "198.51.100.1"], multihop: true, ..PLAIN }).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn bird_with_every_type_of_authentication() -> anyhow::Result<()> {
    for both in [
        ["simple", "simple"],
        ["keyed-md5", "keyed md5"],
        ["meticulous-keyed-md5", "meticulous keyed md5"],
        ["keyed-sha1", "keyed sha1"],
        ["meticulous-keyed-sha1", "meticulous keyed sha1"],
    ] {
        told(Case { authentication: Some(both), ..PLAIN }).await.with_context(|| both[0])?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bird_with_another_key_is_not_heard() -> anyhow::Result<()> {
    let both = ["meticulous-keyed-sha1", "meticulous keyed sha1"];
    let case = Case { authentication: Some(both), secret: "not this one", ..PLAIN };
    let lab = lab(&case).await?;
    start(&lab).await?;
    lab.wait("it is counted", async || {
        let ours = session(&lab).await?;
        Ok((ours["counters"]["packets_unauthentic"].as_u64() >= Some(3)).then_some(()))
    })
    .await?;
    let ours = session(&lab).await?;
    ensure!(ours["state"] == "Down" && ours["remote_state"].is_null(), "{ours}");
    ensure!(!bird(&lab).await?.contains(" Up "));
    // The right one is read with the configuration.
    lab.write("edge", KEY, SECRET).await?;
    lab.run("edge", &["chmod", "600", KEY]).await?;
    lab.kill("edge", "anycastd", nix::sys::signal::Signal::SIGHUP).await?;
    up(&lab, &case).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bird_changes_its_interval_and_so_does_the_agent() -> anyhow::Result<()> {
    let lab = begun().await?;
    let before = session(&lab).await?;
    let capture = Capture::watch(&lab, "edge", "eth1").await?;
    // Of the two ends' intervals the longer one is in force.
    let slower = Case { interval: 200, ..PLAIN };
    for case in [slower, PLAIN] {
        lab.write("peer", "/etc/bird/bird.conf", &case.bird()).await?;
        lab.run("peer", &["birdc", "-s", "/run/bird.ctl", "configure"]).await?;
        up(&lab, &case).await?;
    }
    for case in [slower, PLAIN] {
        lab.write("edge", CONFIG, &case.agent()).await?;
        lab.run("edge", &["anycastctl", "reload"]).await?;
        up(&lab, &case).await?;
    }
    let packets = capture.end().await?.controls().await?;
    ensure!(packets.iter().all(Control::is_up), "it was not Up all the time");
    let after = session(&lab).await?;
    for same in ["losses", "local_discriminator", "remote_discriminator"] {
        ensure!(before[same] == after[same], "{same}: {before}, {after}");
    }
    established(&lab).await
}

/// It does not say AdminDown: what it disables is silent.
#[tokio::test(flavor = "multi_thread")]
async fn bird_that_takes_bfd_out_is_lost_and_spoken_to_without() -> anyhow::Result<()> {
    let lab = begun().await?;
    let capture = Capture::watch(&lab, "edge", "eth1").await?;
    lab.run("peer", &["birdc", "-s", "/run/bird.ctl", "disable bfd1"]).await?;
    lab.wait("the path is lost", async || Ok((session(&lab).await?["losses"] == 1).then_some(()))).await?;
    lab.wait("BGP goes on without", async || {
        let neighbors: Value = serde_json::from_str(&lab.run("edge", &["anycastctl", "--json", "neighbors"]).await?)?;
        Ok((neighbors[0]["state"] == "Established").then_some(()))
    })
    .await?;
    let router: IpAddr = PLAIN.ends[1].parse()?;
    let packets = capture.end().await?.controls().await?;
    ensure!(packets.iter().filter(|packet| packet.from == router).all(Control::is_up), "it did say that it ends");
    lab.run("peer", &["birdc", "-s", "/run/bird.ctl", "enable bfd1"]).await?;
    up(&lab, &PLAIN).await?;
    established(&lab).await?;
    ensure!(session(&lab).await?["losses"] == 1, "it was lost again");
    Ok(())
}

/// A third implementation, for one session and no BGP.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs aiobfd, which is no package of Debian's: pip install aiobfd 'bitstring<4', and ANYCAST_AIOBFD says where it is"]
async fn aiobfd_where_it_is() -> anyhow::Result<()> {
    let program = std::env::var(AIOBFD).with_context(|| format!("{AIOBFD} does not say where aiobfd is"))?;
    let case = Case { interval: 300, ..PLAIN };
    let lab = lab(&case).await?;
    let capture = Capture::watch(&lab, "edge", "eth1").await?;
    let argv = [&program, "192.0.2.1", "192.0.2.2", "-r", "300", "-t", "300", "-m", "3"];
    lab.start("peer", &argv, "/var/log/peer.log").await?;
    // It begins with BFD: there is no BGP.
    lab.write("edge", CONFIG, &case.agent().replace("multiplier: 3", "multiplier: 3, strict: true")).await?;
    lab.start("edge", &["anycastd", "--config", CONFIG], LOG).await?;
    lab.wait("it is Up", async || {
        let ours = session(&lab).await?;
        ensure!(ours["state"] == "Up" && ours["remote_state"] == "Up", "found {ours}");
        Ok((ours["transmit_seconds"] == 0.3).then_some(()))
    })
    .await?;
    capture.end().await?.controls().await?;
    lab.kill("peer", "aiobfd", nix::sys::signal::Signal::SIGKILL).await?;
    lab.wait("its end is noticed", async || Ok((session(&lab).await?["losses"] == 1).then_some(()))).await
}
