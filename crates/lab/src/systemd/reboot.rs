//! A reboot, as requests and the router see it.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};

use super::{
    node::{AMPLE, Node, wait},
    stories::{CONFIG, V4, announced},
};
use crate::{
    frr,
    runner::{Process, Streams},
    tools::record::{How, Message, Nanos, Record, Request},
};

const EDGE: &str = "192.0.2.2";
const TARGETS: [&str; 2] = ["203.0.113.80", "2001:db8:53::80"];

/// The client asks all the time, while the node reboots with nothing more than `systemctl reboot`.
pub(super) async fn drains(node: &Node<'_>) -> anyhow::Result<()> {
    let services = "[Unit]\nAfter=web.service\n";
    node.write("/etc/systemd/system/anycastd-drain.service.d/services.conf", services).await?;
    node.run("rm -f /root/service-stopped; systemctl daemon-reload").await?;
    other(node).await?;
    announced(node).await?;
    let mut probe = Watcher::start(node, "client", &probe_arguments()).await?;
    let capture = Watcher::start(node, "rtr", &["capture"]).await?;
    let begun = Nanos::now();
    probe.until("the node answers", |record| answered_by(record, "edge", begun)).await?;

    node.run("systemctl reboot").await?;
    node.is_off().await?;
    node.power_on().await?;
    announced(node).await.context("the start undoes it")?;
    let back = Nanos::now();
    probe.until("the node answers again", |record| answered_by(record, "edge", back)).await?;

    let stopped = node.run("cat /root/service-stopped").await.context("the service did not say when it stopped")?;
    let stopped = Nanos(stopped.parse().context("a time in nanoseconds")?);
    judge_messages(&capture.end().await?, stopped)?;
    judge_requests(&probe.end().await?)?;
    node.run("rm -r /etc/systemd/system/anycastd-drain.service.d").await?;
    node.run("! anycastctl status | grep -q drained").await.map(drop)
}

fn probe_arguments() -> Vec<&'static str> {
    let targets = TARGETS.iter().flat_map(|target| ["--target", target]);
    ["probe"].into_iter().chain(targets).chain(["--udp-every", "2"]).collect()
}

/// The node that serves while the first is away; its path is longer.
async fn other(node: &Node<'_>) -> anyhow::Result<()> {
    let config =
        CONFIG.replace("192.0.2.1", "192.0.2.5").replace("    drain:", "    up: { as_path_prepend: 2 }\n    drain:");
    let lab = &node.lab;
    lab.write("other", "/etc/anycastd/anycastd.yaml", &config).await?;
    let serve = ["anycast-lab", "tool", "serve", "--node", "other", "--region", "lab"];
    lab.start("other", &serve, "/var/log/service.log").await?;
    lab.start("other", &["anycastd"], "/var/log/anycastd.log").await?;
    wait("the router has both routes, and takes the shorter", async || {
        let shown = frr::show(lab.runner(), "rtr", &format!("show bgp ipv4 unicast {V4} json")).await?;
        let paths = shown["paths"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok((paths.len() == 2).then_some(()))
    })
    .await
}

/// Goodbye, then the withdraw, then the end of the service: for each family.
fn judge_messages(records: &[Record], stopped: Nanos) -> anyhow::Result<()> {
    let of_edge = |record: &Record| match record {
        Record::Message(message) if message.from.ip().to_string() == EDGE => Some(message.clone()),
        _ => None,
    };
    let messages: Vec<Message> = records.iter().filter_map(of_edge).collect();
    for prefix in [V4, "2001:db8:53::/48"] {
        let is = |prefixes: &[String]| prefixes.iter().any(|found| found == prefix);
        let is_goodbye = |message: &&Message| {
            is(&message.announced) && message.communities.iter().any(|name| name.to_lowercase().contains("graceful"))
        };
        let goodbye = messages.iter().find(is_goodbye).with_context(|| format!("no GRACEFUL_SHUTDOWN for {prefix}"))?;
        let withdrawn = messages.iter().find(|message| is(&message.withdrawn));
        let withdrawn = withdrawn.with_context(|| format!("{prefix} is not withdrawn"))?;
        ensure!(goodbye.at < withdrawn.at, "{prefix} is withdrawn before the goodbye");
        let before = stopped.millis_since(withdrawn.at);
        ensure!(before > 0.0, "{prefix} is withdrawn {before} ms before the service stops");
        eprintln!(
            "  {prefix}: goodbye {:.0} ms and withdraw {before:.0} ms before the service stops",
            stopped.millis_since(goodbye.at)
        );
    }
    Ok(())
}

fn judge_requests(records: &[Record]) -> anyhow::Result<()> {
    let asked = |record: &Record| match record {
        Record::Request(request) if request.how == How::Udp => Some(request.clone()),
        _ => None,
    };
    let requests: Vec<Request> = records.iter().filter_map(asked).collect();
    let by = |name: &str| requests.iter().filter(|request| request.node.as_deref() == Some(name)).count();
    let lost: Vec<&Request> = requests.iter().filter(|request| request.took.is_none()).collect();
    eprintln!(
        "  {} datagrams: {} answered by the node, {} by the other, {} lost",
        requests.len(),
        by("edge"),
        by("other"),
        lost.len()
    );
    ensure!(lost.is_empty(), "lost, among others: {:?}", lost.first());
    ensure!(by("other") > 0, "the other node was never asked");
    Ok(())
}

/// Whether this node has answered what was asked after `since`.
fn answered_by(record: &Record, name: &str, since: Nanos) -> bool {
    matches!(record, Record::Request(request) if request.node.as_deref() == Some(name) && request.sent > since)
}

/// A tool that watches, and what it said.
struct Watcher {
    process: Process,
    /// Read by a task of its own: a tool whose output nobody takes stands still.
    said: UnboundedReceiver<anyhow::Result<Record>>,
    records: Vec<Record>,
}

impl Watcher {
    async fn start(node: &Node<'_>, place: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let runner = node.lab.runner();
        let tool = runner.tool(place);
        let argv: Vec<&str> = [tool.as_str(), "tool"].into_iter().chain(arguments.iter().copied()).collect();
        let streams = Streams { input: Stdio::piped(), output: Stdio::piped(), errors: Stdio::inherit() };
        let mut process = runner.spawn(place, &argv, streams)?;
        let output = process.child.stdout.take().context("it has an output")?;
        let (tell, said) = unbounded_channel();
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let record = serde_json::from_str(&line).with_context(|| format!("a tool says `{line}`"));
                if tell.send(record).is_err() {
                    return;
                }
            }
        });
        let mut watcher = Self { process, said, records: Vec::new() };
        watcher.until("it watches", |record| matches!(record, Record::Ready { .. })).await?;
        Ok(watcher)
    }

    /// Reads on until one is said.
    async fn until(&mut self, what: &str, is: impl Fn(&Record) -> bool) -> anyhow::Result<()> {
        let reading = async {
            while let Some(record) = self.said.recv().await {
                let record = record?;
                let found = is(&record);
                self.records.push(record);
                if found {
                    return Ok(());
                }
            }
            anyhow::bail!("it has ended before {what}")
        };
        tokio::time::timeout(AMPLE, reading).await.with_context(|| format!("it is not so: {what}"))?
    }

    /// Has it end, and gives all that it said.
    async fn end(mut self) -> anyhow::Result<Vec<Record>> {
        self.process.signal(Signal::SIGTERM)?;
        while let Some(record) = self.said.recv().await {
            self.records.push(record?);
        }
        self.process.wait().await?;
        Ok(self.records)
    }
}
