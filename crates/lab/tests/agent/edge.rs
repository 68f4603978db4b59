//! An edge node with an agent, and what is asked of it and of the router.

use std::{path::Path, time::Duration};

use anycast_lab::{
    harness::{AMPLE, Lab, wire::Wire},
    runner::{self, Said},
};
use nix::sys::signal::Signal;
use serde_json::Value;

pub(crate) const V4: &str = "203.0.113.0/24";
pub(crate) const V6: &str = "2001:db8:53::/48";
pub(crate) const ADDRESS_V4: &str = "203.0.113.80";
pub(crate) const CONFIG: &str = "/etc/anycastd/anycastd.yaml";
pub(crate) const LOG: &str = "/var/log/anycastd.log";

/// The service is healthy while this file says 0, degraded while 1, down otherwise.
const HEALTH: &str = "/run/health";

/// One service, one neighbor, a check that does as the test says.
pub(crate) const PLAIN: &str = r#"
bgp:
  asn: 65010
  neighbors:
    - { name: rtr, address: 192.0.2.1, asn: 65101, hold_time: 9s }
services:
  - name: web
    addresses: [203.0.113.80, "2001:db8:53::80"]
    prefixes: [203.0.113.0/24, "2001:db8:53::/48"]
    checks:
      - name: told
        type: exec
        command: [/bin/sh, -c, "exit $(cat /run/health || echo 2)"]
        interval: 200ms
        fast_interval: 50ms
        timeout: 5s
    up:
      med: 50
      communities: ["65010:100"]
      large_communities: ["65010:1:2"]
    drain: { graceful_shutdown: 1s, linger: 200ms }
log: { format: text, level: debug }
"#;

/// [`PLAIN`] with other checks, each as the inside of a flow map, and other keys of the service.
pub(crate) fn with_checks(checks: &[&str], keys: &str) -> String {
    let (head, rest) = PLAIN.split_once("      - name: told").expect("it has a check");
    let (_, tail) = rest.split_once("log:").expect("it says how to log");
    let checks: String = checks.iter().map(|check| format!("      - {{ {check} }}\n")).collect();
    let keys: String = keys.lines().map(|key| format!("    {key}\n")).collect();
    format!("{head}{checks}{keys}log:{tail}")
}

/// The lab of one test.
pub(crate) struct Edge {
    wire: Wire,
    pub(crate) lab: Lab,
}

impl Edge {
    /// Brings it up, with a healthy service and no agent yet.
    pub(crate) async fn new() -> anyhow::Result<Self> {
        Self::of("small").await
    }

    /// The same in another of the tests' topologies.
    pub(crate) async fn of(topology: &str) -> anyhow::Result<Self> {
        let topology = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/topologies/{topology}.clab.yml"));
        let lab = Lab::up(&topology).await?;
        let edge = Self { wire: Wire::watch(&lab, "edge").await?, lab };
        edge.health("0").await?;
        Ok(edge)
    }

    /// Brings it up with an agent that announces [`PLAIN`].
    pub(crate) async fn announcing() -> anyhow::Result<Self> {
        let edge = Self::new().await?;
        edge.configure(PLAIN).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        Ok(edge)
    }

    pub(crate) async fn configure(&self, text: &str) -> anyhow::Result<()> {
        self.lab.write("edge", CONFIG, text).await
    }

    pub(crate) async fn start(&self) -> anyhow::Result<()> {
        self.lab.start("edge", &["anycastd", "--config", CONFIG], LOG).await
    }

    /// Has the agent read its configuration again.
    pub(crate) async fn reload(&self) -> anyhow::Result<()> {
        self.lab.kill("edge", "anycastd", Signal::SIGHUP).await
    }

    /// What a program on the edge node says, however it ends.
    pub(crate) async fn said(&self, argv: &[&str]) -> anyhow::Result<Said> {
        runner::run(self.lab.runner(), "edge", argv, AMPLE).await
    }

    /// What the check is to say from now on.
    pub(crate) async fn health(&self, code: &str) -> anyhow::Result<()> {
        self.lab.write("edge", HEALTH, code).await
    }

    pub(crate) async fn run(&self, argv: &[&str]) -> anyhow::Result<String> {
        self.lab.run("edge", argv).await
    }

    /// `anycastctl` with these arguments, however it ends.
    pub(crate) async fn ctl(&self, arguments: &[&str]) -> anyhow::Result<Said> {
        let argv: Vec<&str> = ["anycastctl"].iter().chain(arguments).copied().collect();
        runner::run(self.lab.runner(), "edge", &argv, AMPLE).await
    }

    /// What `anycastctl --json` answers.
    pub(crate) async fn ask(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let argv: Vec<&str> = ["anycastctl", "--json"].iter().chain(arguments).copied().collect();
        Ok(serde_json::from_str(&self.run(&argv).await?)?)
    }

    /// The router's path to a prefix, from the edge node; `None`: it has none.
    pub(crate) async fn path(&self, prefix: &str) -> anyhow::Result<Option<Value>> {
        path(&self.lab, "rtr", prefix).await
    }

    /// Waits until the router has the prefix, and gives its path.
    pub(crate) async fn announced(&self, prefix: &str) -> anyhow::Result<Value> {
        self.lab.wait(&format!("the router has {prefix}"), async || self.path(prefix).await).await
    }

    /// Waits until the router has the prefix with this community, by the name FRR gives it.
    pub(crate) async fn announced_with(&self, prefix: &str, community: &str) -> anyhow::Result<Value> {
        let what = format!("the router has {prefix} with {community}");
        self.lab.wait(&what, async || Ok(self.path(prefix).await?.filter(|path| has_community(path, community)))).await
    }

    /// Waits until the router does not have the prefix.
    pub(crate) async fn withdrawn(&self, prefix: &str) -> anyhow::Result<()> {
        let gone = async || Ok(self.path(prefix).await?.is_none().then_some(()));
        self.lab.wait(&format!("the router does not have {prefix}"), gone).await
    }

    /// What the router says of its session with the edge node.
    pub(crate) async fn session(&self) -> anyhow::Result<Value> {
        let answer = self.lab.show("rtr", "show bgp neighbors 192.0.2.2 json").await?;
        Ok(answer["192.0.2.2"].clone())
    }

    /// How many sessions there have been since the router started.
    pub(crate) async fn sessions(&self) -> anyhow::Result<u64> {
        Ok(self.session().await?["connectionsEstablished"].as_u64().unwrap_or_default())
    }

    /// How many UPDATEs the router has had from the edge node in this session.
    pub(crate) async fn updates(&self) -> anyhow::Result<u64> {
        Ok(self.session().await?["messageStats"]["updatesRecv"].as_u64().unwrap_or_default())
    }

    /// The addresses of the loopback, those that every node has left out.
    pub(crate) async fn addresses(&self) -> anyhow::Result<Vec<String>> {
        let listed = self.run(&["ip", "-brief", "address", "show", "dev", "lo"]).await?;
        let own = |address: &&str| !matches!(*address, "127.0.0.1/8" | "::1/128");
        Ok(listed.split_whitespace().skip(2).filter(own).map(str::to_owned).collect())
    }

    /// The anchor routes of both families.
    pub(crate) async fn anchors(&self) -> anyhow::Result<Vec<String>> {
        let mut found = Vec::new();
        for family in ["-4", "-6"] {
            let listed = self.run(&["ip", family, "route", "show", "type", "unreachable", "proto", "172"]).await?;
            found.extend(listed.lines().filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned));
        }
        Ok(found)
    }

    /// Waits until something is so.
    pub(crate) async fn wait(&self, what: &str, look: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
        self.lab.wait(what, async || Ok(look().await?.then_some(()))).await
    }
}

/// Tells the agent's log when the test fails; when it does not, tshark must find no fault with what was sent.
pub(crate) async fn story(
    told: impl AsyncFnOnce(&Edge) -> anyhow::Result<()>,
    edge: anyhow::Result<Edge>,
) -> anyhow::Result<()> {
    let edge = edge?;
    let outcome = tokio::time::timeout(Duration::from_secs(180), told(&edge)).await;
    let outcome = outcome.unwrap_or_else(|_| Err(anyhow::anyhow!("the test takes too long")));
    if outcome.is_err() {
        let log = edge.run(&["tail", "-n", "60", LOG]).await;
        eprintln!("the agent's log:\n{}", log.unwrap_or_else(|error| error.to_string()));
    }
    outcome?;
    edge.wire.judge().await.map(drop)
}

/// Has the router take these lines into its BGP configuration.
pub(crate) async fn router(edge: &Edge, lines: &[&str]) -> anyhow::Result<()> {
    let mut argv = vec!["vtysh", "-c", "configure terminal", "-c", "router bgp 65101"];
    argv.extend(lines.iter().flat_map(|line| ["-c", *line]));
    edge.lab.run("rtr", &argv).await.map(|_| ())
}

/// A router's path to a prefix.
pub(crate) async fn path(lab: &Lab, router: &str, prefix: &str) -> anyhow::Result<Option<Value>> {
    let family = if prefix.contains(':') { "ipv6" } else { "ipv4" };
    let answer = lab.show(router, &format!("show bgp {family} unicast {prefix} json")).await?;
    Ok(answer["paths"].get(0).cloned())
}

pub(crate) fn has_community(path: &Value, community: &str) -> bool {
    path["community"]["list"].as_array().is_some_and(|list| list.iter().any(|one| one == community))
}
