//! The agent in one network namespace, a peer in another, a cable between them.

use std::{marker::PhantomData, path::Path, time::Duration};

use anycast_lab::{
    harness::{
        AMPLE, Lab,
        wire::{Sent, Wire},
    },
    runner,
};
use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    feature::{Feature, note},
    peer::{AGENT_AS, Options, PEER_AS, Peer, Route, Session},
};

pub(crate) const V4: &str = "203.0.113.0/24";
pub(crate) const V6: &str = "2001:db8:53::/48";
const CONFIG: &str = "/etc/anycastd/anycastd.yaml";
const PASSWORD: &str = "/etc/anycastd/rtr.password";
const LOG: &str = "/var/log/anycastd.log";
/// No story takes as long, unless it fails.
const STORY: Duration = Duration::from_secs(150);
/// RFC 4271 §4.1.
const OPEN: u8 = 1;

/// What the agent is told beside what follows from [`Options`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Agent {
    /// More keys of its neighbor.
    pub(crate) neighbor: &'static str,
    /// The password in its file.
    pub(crate) password: &'static str,
    /// More prefixes of its service.
    pub(crate) prefixes: Vec<String>,
}

/// The two nodes of one story.
pub(crate) struct Pair<P> {
    pub(crate) lab: Lab,
    pub(crate) options: Options,
    peer: PhantomData<P>,
}

/// Tells a story with a peer and an agent that run, and has tshark judge what the agent has said in it:
/// that is given back.
pub(crate) async fn story<P: Peer>(
    options: Options,
    agent: Agent,
    told: impl AsyncFnOnce(&Pair<P>) -> anyhow::Result<()>,
) -> anyhow::Result<Sent> {
    let topology = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/topologies/pair.clab.yml");
    let lab = Lab::up(&topology).await?;
    let pair = Pair { lab, options, peer: PhantomData::<P> };
    let wire = Wire::watch(&pair.lab, "edge").await?;
    let whole = async {
        pair.password(agent.password).await?;
        pair.configure(&agent).await?;
        // Who is dialled first is there first: some take their time to try again.
        if options.dials {
            pair.start_agent().await?;
            pair.start_peer().await?;
        } else {
            pair.start_peer().await?;
            pair.start_agent().await?;
        }
        told(&pair).await
    };
    let outcome = tokio::time::timeout(STORY, whole).await.context("the story takes too long").flatten();
    if outcome.is_err() {
        for (node, log) in [("edge", LOG), ("peer", "/var/log/peer.log")] {
            let said = pair.lab.run(node, &["tail", "-n", "60", log]).await;
            eprintln!("the log of {node}:\n{}", said.unwrap_or_else(|error| error.to_string()));
        }
    }
    outcome?;
    note(&format!("{}.version", P::NAME), &P::version(&pair.lab).await?)?;
    let sent = wire.judge().await?;
    ensure!(sent.messages.contains_key(&OPEN), "the wire was not watched: {sent:?}");
    Ok(sent)
}

impl<P: Peer> Pair<P> {
    /// Configures the peer and starts it; returns once it listens.
    pub(crate) async fn start_peer(&self) -> anyhow::Result<()> {
        P::configure(&self.lab, &self.options).await?;
        P::start(&self.lab).await.with_context(|| format!("cannot start {}", P::NAME))?;
        if self.options.dials {
            return Ok(());
        }
        self.listens("peer").await
    }

    /// Waits until somebody listens to BGP.
    async fn listens(&self, node: &str) -> anyhow::Result<()> {
        // The columns of /proc/net/tcp: port 179 in hexadecimal, and the state LISTEN.
        let listens = ["grep", "-qE", "^ *[0-9]+: [0-9A-F]+:00B3 [0-9A-F]+:0000 0A", "/proc/net/tcp", "/proc/net/tcp6"];
        let there = async || Ok(self.lab.run(node, &listens).await.ok());
        self.lab.wait(&format!("{node} listens"), there).await.map(drop)
    }

    /// Writes the agent's configuration.
    pub(crate) async fn configure(&self, agent: &Agent) -> anyhow::Result<()> {
        let Options { hold_time, extended_next_hop, .. } = self.options;
        let endpoint = match self.options {
            Options { unnumbered: true, .. } => "interface: eth1".to_owned(),
            _ => format!("address: \"{}\"", self.options.peer()),
        };
        // Without RFC 8950, IPv4 routes over an IPv6 session need an address to go to.
        let next_hop = if self.options.ipv6 && !extended_next_hop { ", next_hop: { ipv4: 192.0.2.2 }" } else { "" };
        let also: String = agent.prefixes.iter().map(|prefix| format!(", {prefix}")).collect();
        let text = format!(
            r#"
bgp:
  asn: {AGENT_AS}
  router_id: 192.0.2.2
  neighbors:
    - {{ name: rtr, {endpoint}, asn: {PEER_AS}, hold_time: {hold_time}s,
        capabilities: {{ extended_next_hop: {extended_next_hop} }}{next_hop}{more} }}
services:
  - name: web
    addresses: [203.0.113.80, "2001:db8:53::80"]
    prefixes: ["{V4}", "{V6}"{also}]
    checks:
      - {{ name: told, type: exec, command: [/bin/true], interval: 200ms, fast_interval: 50ms, timeout: 5s }}
    up:
      med: 50
      communities: ["65010:100", no-export]
      large_communities: ["{AGENT_AS}:1:4294967295"]
      extended_communities: ["rt:65010:100", "soo:192.0.2.1:5"]
      link_bandwidth: 10Gbps
    drain: {{ graceful_shutdown: 1s, linger: 100ms }}
log: {{ format: text, level: debug }}
"#,
            more = agent.neighbor,
        );
        self.lab.write("edge", CONFIG, &text).await
    }

    /// Starts the agent.
    pub(crate) async fn start_agent(&self) -> anyhow::Result<()> {
        self.lab.start("edge", &["anycastd", "--config", CONFIG], LOG).await?;
        if self.options.dials {
            return self.listens("edge").await;
        }
        Ok(())
    }

    /// Has the agent read its configuration again.
    pub(crate) async fn reload(&self) -> anyhow::Result<()> {
        self.lab.kill("edge", "anycastd", Signal::SIGHUP).await
    }

    /// Writes the file of the agent's password.
    pub(crate) async fn password(&self, text: &str) -> anyhow::Result<()> {
        self.lab.write("edge", PASSWORD, text).await?;
        self.lab.run("edge", &["chmod", "600", PASSWORD]).await.map(drop)
    }

    /// `anycastctl` with these arguments, which it must obey.
    pub(crate) async fn order(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let argv: Vec<&str> = ["anycastctl"].iter().chain(arguments).copied().collect();
        runner::output(self.lab.runner(), "edge", &argv, AMPLE).await.map(drop)
    }

    /// What `anycastctl --json` answers.
    pub(crate) async fn ask(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let argv: Vec<&str> = ["anycastctl", "--json"].iter().chain(arguments).copied().collect();
        Ok(serde_json::from_str(&runner::output(self.lab.runner(), "edge", &argv, AMPLE).await?)?)
    }

    /// Upgrades the agent: the session goes on, and nothing is told again.
    pub(crate) async fn upgraded(&self) -> anyhow::Result<()> {
        let counts = async || {
            let neighbor = self.neighbor().await?;
            let of = |counter: &str| neighbor["counters"][counter].clone();
            anyhow::Ok([of("established"), of("update_sent"), of("notification_sent")])
        };
        let before = counts().await?;
        self.order(&["upgrade"]).await?;
        let heard = self.counted("keepalive_received").await?;
        let more = |neighbor: &Value| neighbor["counters"]["keepalive_received"].as_u64() > Some(heard);
        self.wait("the neighbor goes on", more).await?;
        let after = counts().await?;
        ensure!(before == after, "{before:?} became {after:?}");
        ensure!(P::session(&self.lab, &self.options).await?.is_some(), "the session has ended");
        Ok(())
    }

    /// What the agent says of its neighbor.
    pub(crate) async fn neighbor(&self) -> anyhow::Result<Value> {
        let said = self.lab.run("edge", &["anycastctl", "--json", "neighbors", "rtr"]).await?;
        Ok(serde_json::from_str::<Value>(&said)?[0].clone())
    }

    /// How often the agent has counted something.
    pub(crate) async fn counted(&self, counter: &str) -> anyhow::Result<u64> {
        self.neighbor().await?["counters"][counter].as_u64().with_context(|| format!("there is no counter {counter}"))
    }

    /// Whether a capability is in force, by the words that the agent has for it.
    pub(crate) async fn in_force(&self, words: &str) -> anyhow::Result<bool> {
        let neighbor = self.neighbor().await?;
        let listed = neighbor["session"]["capabilities_in_force"].as_array().context("there is no session")?.clone();
        Ok(listed.iter().any(|one| one.as_str().is_some_and(|one| one.starts_with(words))))
    }

    /// Waits until the peer has the prefix and it is as it should be.
    pub(crate) async fn has(&self, prefix: &str, what: &str, so: impl Fn(&Route) -> bool) -> anyhow::Result<Route> {
        let seen = async || P::route(&self.lab, prefix).await;
        let what = format!("{} has {prefix} {what}", P::NAME);
        let found = self.lab.wait(&what, async || Ok(seen().await?.filter(&so))).await;
        match found {
            Ok(route) => Ok(route),
            Err(error) => Err(error.context(format!("it has {:?}", seen().await))),
        }
    }

    /// Waits until the peer has both prefixes.
    pub(crate) async fn has_both(&self) -> anyhow::Result<[Route; 2]> {
        Ok([self.has(V4, "", |_| true).await?, self.has(V6, "", |_| true).await?])
    }

    /// Waits until the peer has none of them.
    pub(crate) async fn has_none(&self) -> anyhow::Result<()> {
        for prefix in [V4, V6] {
            let gone = async || Ok(P::route(&self.lab, prefix).await?.is_none().then_some(()));
            self.lab.wait(&format!("{} does not have {prefix}", P::NAME), gone).await?;
        }
        Ok(())
    }

    /// Waits until the peer says that the session is Established, and gives what it says.
    pub(crate) async fn session(&self) -> anyhow::Result<Session> {
        let what = format!("{} says that the session is Established", P::NAME);
        self.lab.wait(&what, async || P::session(&self.lab, &self.options).await).await
    }

    /// Signals every process of the peer.
    pub(crate) async fn signal_peer(&self, signal: Signal) -> anyhow::Result<()> {
        self.lab.kill("peer", P::PROCESS, signal).await
    }

    /// Waits until the agent's neighbor is so.
    pub(crate) async fn wait(&self, what: &str, so: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        self.lab.wait(what, async || Ok(Some(self.neighbor().await?).filter(&so))).await
    }

    /// Writes down what was seen to work.
    pub(crate) fn proven(&self, features: &[Feature]) -> anyhow::Result<()> {
        features.iter().try_for_each(|feature| {
            ensure!(P::cannot(*feature).is_none(), "{feature:?} is seen to work; mend what its file says it cannot");
            feature.proven(P::NAME)
        })
    }

    /// The same for what the peer may be known not to do: that is believed of the version tried, and no other.
    pub(crate) async fn settle(&self, feature: Feature, works: bool) -> anyhow::Result<()> {
        match P::cannot(feature) {
            None => {
                ensure!(works, "{feature:?} is not seen to work with {}", P::NAME);
                feature.proven(P::NAME)
            }
            Some(why) => {
                let learned = works && P::version(&self.lab).await? == P::TRIED;
                ensure!(!learned, "{feature:?} works with {}, of which it is said: {why}", P::NAME);
                Ok(())
            }
        }
    }
}
