//! What the demonstration does to the nodes.

use std::{fs, net::IpAddr, path::Path, process::Stdio, sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use tokio::time::timeout;

use super::places::TARGETS;
use crate::{
    runner::{self, Runner, Streams},
    tools::record::{Nanos, Record},
};

/// How long a command in a node may take.
const LIMIT: Duration = Duration::from_secs(20);
/// How much of a log is shown.
const TAIL: &str = "6";

/// Drops what comes in and what goes out, as a cable that is cut does: no link goes down, nobody is told. The node itself
/// goes on: its checks, over the loopback, still pass.
const CUT: &str = "add table inet lab_cut
    add chain inet lab_cut in { type filter hook input priority -300; policy accept; }
    add chain inet lab_cut out { type filter hook output priority -300; policy accept; }
    add rule inet lab_cut in iifname != lo drop
    add rule inet lab_cut out oifname != lo drop";
const MEND: &str = "delete table inet lab_cut";

/// A program of an edge node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// anycastd.
    Agent,
    /// The small web service.
    Service,
}

impl Program {
    /// Its command line begins like this.
    const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Agent => &["anycastd"],
            Self::Service => &["anycast-lab", "tool", "serve"],
        }
    }

    /// Where its node keeps what it has to say.
    pub(super) const fn log(self) -> &'static str {
        match self {
            Self::Agent => "/var/log/anycastd.log",
            Self::Service => "/var/log/service.log",
        }
    }
}

/// A signal was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Killed {
    pub(super) at: Nanos,
    pub(super) pid: i32,
    /// When the process was gone.
    pub(super) gone: Nanos,
}

/// The addresses of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Addresses {
    /// Those of its links: next hops, link-local ones too, and ends of its sessions.
    pub(super) own: Vec<String>,
    /// Those of the anycast addresses that it has.
    pub(super) anycast: Vec<String>,
}

/// Acts in the nodes.
#[derive(Clone)]
pub(super) struct Hands {
    runner: Arc<dyn Runner>,
}

impl Hands {
    pub(super) fn new(runner: Arc<dyn Runner>) -> Self {
        Self { runner }
    }

    /// Runs a command in a node to its end.
    pub(super) async fn run(&self, node: &str, argv: &[&str]) -> anyhow::Result<String> {
        runner::output(&*self.runner, node, argv, LIMIT).await
    }

    /// Kills a program, or asks it to end, and waits until it has.
    pub(super) async fn kill(&self, node: &str, program: Program, signal: &str) -> anyhow::Result<Killed> {
        let tool = self.runner.tool(node);
        let mut argv = vec![tool.as_str(), "tool", "kill", "--signal", signal];
        argv.extend(program.words());
        killed(&self.run(node, &argv).await?).with_context(|| format!("{node}: {}", argv.join(" ")))
    }

    /// Starts a program as the topology does.
    pub(super) async fn start(&self, node: &str, program: Program) -> anyhow::Result<Nanos> {
        let topology = self.runner.topology();
        let exec = topology.nodes.get(node).into_iter().flat_map(|node| &node.exec);
        let start = program.words().join(" ");
        let command = exec
            .filter(|command| command.iter().any(|word| word.trim_start().starts_with(&start)))
            .map(|command| command.iter().map(String::as_str).collect::<Vec<_>>())
            .next_back()
            .with_context(|| format!("{}: nothing under `exec` of {node} starts {start}", topology.file.display()))?;
        let at = Nanos::now();
        self.run(node, &command).await?;
        Ok(at)
    }

    /// Cuts a node off, or mends it; returns when that was done.
    pub(super) async fn cut(&self, node: &str, off: bool) -> anyhow::Result<Nanos> {
        let rules = if off { CUT } else { MEND };
        let said = self.run(node, &["sh", "-c", r#"nft "$0" && date +%s%N"#, rules]).await?;
        let at = said.trim().parse().with_context(|| format!("{node}: `date +%s%N` said {said:?}"))?;
        Ok(Nanos(at))
    }

    /// Stops every program of a node where it is, or lets all go on; returns when that was done.
    pub(super) async fn freeze(&self, node: &str, stop: bool) -> anyhow::Result<Nanos> {
        let tool = self.runner.tool(node);
        let mut argv = vec![tool.as_str(), "tool", "freeze"];
        if !stop {
            argv.push("--thaw");
        }
        let said = self.run(node, &argv).await?;
        killed(&said).map(|killed| killed.at).with_context(|| format!("{node}: {}", argv.join(" ")))
    }

    /// The addresses of a node, as its kernel has them.
    pub(super) async fn addresses(&self, node: &str) -> anyhow::Result<Addresses> {
        let said = self.run(node, &["ip", "-json", "address", "show"]).await?;
        addresses(&said).with_context(|| format!("{node}: `ip -json address show`"))
    }

    /// The status of a node's agent.
    pub(super) async fn status(&self, node: &str) -> anyhow::Result<anycast_api::Status> {
        let said = self.run(node, &["anycastctl", "--json", "status"]).await?;
        Ok(serde_json::from_str(&said)?)
    }

    /// Brings a file of a node to this machine.
    pub(super) async fn fetch(&self, node: &str, from: &str, to: &Path) -> anyhow::Result<()> {
        let file = fs::File::create(to).with_context(|| format!("cannot write {}", to.display()))?;
        let streams = Streams { input: Stdio::null(), output: file.into(), errors: Stdio::null() };
        let mut process = self.runner.spawn(node, &["cat", from], streams)?;
        let status =
            timeout(LIMIT, process.wait()).await.with_context(|| format!("{node}: cat {from} takes too long"))??;
        ensure!(status.success(), "{node}: cannot read {from}");
        Ok(())
    }

    /// The end of a log.
    pub(super) async fn tail(&self, node: &str, log: &str) -> Vec<String> {
        match self.run(node, &["tail", "-n", TAIL, log]).await {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(error) => vec![format!("{error:#}")],
        }
    }
}

fn killed(said: &str) -> anyhow::Result<Killed> {
    let mut found = None;
    for line in said.lines() {
        match serde_json::from_str(line)? {
            Record::Killed { at, pid } => found = found.or(Some(Killed { at, pid, gone: at })),
            Record::Gone { at, pid } => {
                found = found.map(|killed| if killed.pid == pid { Killed { gone: at, ..killed } } else { killed });
            }
            other => bail!("unexpected: {other:?}"),
        }
    }
    found.context("nothing was killed")
}

fn addresses(said: &str) -> anyhow::Result<Addresses> {
    #[derive(Deserialize)]
    struct Interface {
        #[serde(default)]
        addr_info: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        local: Option<IpAddr>,
        scope: Option<String>,
    }
    let interfaces: Vec<Interface> = serde_json::from_str(said)?;
    let mut addresses = Addresses::default();
    let entries = interfaces.into_iter().flat_map(|interface| interface.addr_info);
    for entry in entries.filter(|entry| entry.scope.as_deref() != Some("host")) {
        let Some(address) = entry.local.map(|address| address.to_string()) else { continue };
        let list = if TARGETS.contains(&address.as_str()) { &mut addresses.anycast } else { &mut addresses.own };
        list.push(address);
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_the_links_are_told_from_the_anycast_ones() {
        let said = r#"[
            {"ifname": "lo", "addr_info": [
                {"family": "inet", "local": "127.0.0.1", "prefixlen": 8, "scope": "host"},
                {"family": "inet", "local": "203.0.113.80", "prefixlen": 32, "scope": "global"},
                {"family": "inet6", "local": "2001:db8:53::80", "prefixlen": 128, "scope": "global"}]},
            {"ifname": "eth1", "addr_info": [{},
                {"family": "inet", "local": "192.0.2.50", "prefixlen": 30, "scope": "global"},
                {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"}]},
            {"ifname": "odd"}
        ]"#;
        let found = addresses(said).unwrap();
        assert_eq!(
            (found.own, found.anycast),
            (vec!["192.0.2.50".to_owned(), "fe80::1".to_owned()], TARGETS.map(str::to_owned).into())
        );
        assert!(addresses("nonsense").is_err());
    }

    #[test]
    fn the_moment_of_the_signal_is_the_tool_s() {
        let said = "{\"record\":\"killed\",\"at\":5,\"pid\":16}\n{\"record\":\"gone\",\"at\":9,\"pid\":16}\n";
        assert_eq!(killed(said).unwrap(), Killed { at: Nanos(5), pid: 16, gone: Nanos(9) });
        assert!(killed("").is_err() && killed("nonsense").is_err());
    }
}
