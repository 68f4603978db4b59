//! The node under systemd, and the lab around it.
//!
//! Its network belongs to a second container that does nothing: so it outlives a reboot, as the cable of a machine does.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, bail};
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use super::{docker::Docker, root::IMAGE};
use crate::{
    harness::Lab,
    programs::{Programs, repository},
    runner::namespaces::Namespaces,
    topology::Topology,
};

/// Nothing that is waited for takes as long, unless it fails.
pub(super) const AMPLE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(100);
/// Where the package is, in the node.
pub(super) const PACKAGE: &str = "/root/anycastd.deb";
/// The service of the node.
const SERVICE: &str = "[Unit]\nDescription=The service behind the anycast addresses\n[Service]\n\
    ExecStart=/usr/local/bin/anycast-lab tool serve --node edge --region lab\n\
    ExecStop=/bin/sh -c 'date +%%s%%N >/root/service-stopped'\n[Install]\nWantedBy=multi-user.target\n";
/// A container has the machine's boot_id, which no reboot of it changes: this one draws its own at each start.
const BOOT: &str = "[Unit]\nDescription=Another boot_id at each start\nBefore=anycastd.service\n[Service]\nType=oneshot\n\
    RemainAfterExit=yes\nExecStart=/bin/sh -c 'cat /proc/sys/kernel/random/uuid >/run/boot-id'\n[Install]\nWantedBy=multi-user.target\n";
/// The agent sees that one.
const SEES_BOOT: &str = "[Service]\nBindReadOnlyPaths=/run/boot-id:/proc/sys/kernel/random/boot_id\n";

/// The node.
#[derive(Debug)]
pub(super) struct Node<'a> {
    docker: &'a Docker,
    pub(super) lab: Lab,
}

impl<'a> Node<'a> {
    /// Brings the lab up, and boots the node in it; the package lies there, not yet installed.
    pub(super) async fn boot(docker: &'a Docker, programs: &Programs, package: &Path) -> anyhow::Result<Self> {
        let topology = Topology::read(&repository().join("crates/lab/topologies/reboot.clab.yml"))?;
        let runner = Namespaces::up(topology, programs).await?;
        let edge = runner.pins().get("edge").context("the topology has an edge")?.pid.to_string();
        // Docker takes IPv6 away from a network that it has not given any.
        let network = "run --detach --name network --network none --sysctl net.ipv6.conf.all.disable_ipv6=0 \
             --sysctl net.ipv6.conf.default.disable_ipv6=0";
        let network = network.split_whitespace().chain([IMAGE, "sleep", "infinity"]);
        docker.run(&network.collect::<Vec<_>>()).await?;
        let holder = docker.run(&["inspect", "--format", "{{.State.Pid}}", "network"]).await?;
        plug(&edge, &holder).await?;
        let node = Self { docker, lab: Lab::of(runner) };
        node.create().await?;
        let copy = async |from: &Path, to: &str| docker.run(&["cp", &from.display().to_string(), to]).await;
        copy(programs.lab(), "node:/usr/local/bin/anycast-lab").await?;
        copy(package, &format!("node:{PACKAGE}")).await?;
        node.power_on().await?;
        node.write("/etc/systemd/system/web.service", SERVICE).await?;
        node.write("/etc/systemd/system/boot-id.service", BOOT).await?;
        node.write("/etc/systemd/system/anycastd.service.d/boot-id.conf", SEES_BOOT).await?;
        node.run("systemctl daemon-reload && systemctl enable --quiet --now web.service boot-id.service").await?;
        Ok(node)
    }

    async fn create(&self) -> anyhow::Result<()> {
        // Not --privileged: only what a systemd needs. /tmp and /run are its own.
        let arguments = "create --name node --network container:network --cgroupns host --volume /sys/fs/cgroup:/sys/fs/cgroup:rw \
             --cap-add SYS_ADMIN --cap-add NET_ADMIN --cap-add NET_RAW --security-opt seccomp=unconfined \
             --security-opt apparmor=unconfined --tmpfs /run --tmpfs /tmp --stop-signal SIGRTMIN+3 --env container=docker";
        let mut arguments: Vec<&str> = arguments.split_whitespace().collect();
        arguments.extend([IMAGE, "/lib/systemd/systemd"]);
        self.docker.run(&arguments).await.map(drop)
    }

    /// Starts it, and waits until it is up.
    pub(super) async fn power_on(&self) -> anyhow::Result<()> {
        self.docker.run(&["start", "node"]).await?;
        self.until("the node is up", "systemctl is-system-running | grep -qE 'running|degraded'").await
    }

    /// Waits until it is off.
    pub(super) async fn is_off(&self) -> anyhow::Result<()> {
        wait("the node is off", async || {
            let state = self.docker.run(&["inspect", "--format", "{{.State.Running}}", "node"]).await?;
            Ok((state == "false").then_some(()))
        })
        .await
    }

    /// A line of shell in the node, which must succeed.
    pub(super) async fn run(&self, script: &str) -> anyhow::Result<String> {
        self.docker.run(&["exec", "node", "sh", "-c", script]).await
    }

    /// A line of shell in the node, with its exit code, and output and errors together.
    pub(super) async fn said(&self, script: &str) -> anyhow::Result<(i32, String)> {
        let said = self.docker.said(&["exec", "node", "sh", "-c", &format!("{{ {script}\n}} 2>&1")]).await?;
        Ok((said.status.code().unwrap_or(-1), String::from_utf8_lossy(&said.stdout).trim().to_owned()))
    }

    /// Waits until a line of shell succeeds.
    pub(super) async fn until(&self, what: &str, script: &str) -> anyhow::Result<()> {
        wait(what, async || {
            let (code, said) = self.said(script).await?;
            if code == 0 { Ok(Some(())) } else { bail!("`{script}`: {code}: {said}") }
        })
        .await
    }

    /// Writes a file.
    pub(super) async fn write(&self, path: &str, text: &str) -> anyhow::Result<()> {
        // By way of an argument: it is ours, and short.
        let script = r#"mkdir -p "$(dirname "$0")" && printf %s "$1" >"$0""#;
        self.docker.run(&["exec", "node", "sh", "-c", script, path, text]).await.map(drop)
    }

    /// A property of a unit.
    pub(super) async fn property(&self, unit: &str, name: &str) -> anyhow::Result<String> {
        self.run(&format!("systemctl show --property {name} --value {unit}")).await
    }

    /// What the journal says last.
    pub(super) async fn last_words(&self) -> String {
        let all = "journalctl --no-pager --lines 60 --output short-precise; systemctl --no-pager --lines 0 status anycastd; \
            ip -oneline address show; cat /etc/anycastd/anycastd.yaml; anycastctl status";
        self.said(all).await.map(|(_, text)| text).unwrap_or_default()
    }
}

/// Moves the node's end of its link from the lab's namespace into that of the container.
async fn plug(from: &str, to: &str) -> anyhow::Result<()> {
    let orders = [
        (from, format!("link set eth1 netns {to}")),
        (to, "link set lo up".to_owned()),
        (to, "link set eth1 up".to_owned()),
        (to, "address add 192.0.2.2/30 dev eth1".to_owned()),
        (to, "address add 2001:db8:1::2/64 dev eth1 nodad".to_owned()),
        (to, "route add default via 192.0.2.1".to_owned()),
        (to, "-6 route add default via 2001:db8:1::1".to_owned()),
    ];
    for (process, order) in orders {
        let mut command = Command::new("nsenter");
        command.args(["--target", process, "--net", "ip"]).args(order.split(' ')).stdin(Stdio::null());
        let said = command.output().await.context("cannot run nsenter")?;
        if !said.status.success() {
            bail!("`ip {order}` failed: {}", String::from_utf8_lossy(&said.stderr).trim());
        }
    }
    Ok(())
}

/// Waits until something is so; then it says what was found instead.
pub(super) async fn wait<T>(what: &str, look: impl AsyncFn() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let deadline = Instant::now() + AMPLE;
    loop {
        match look().await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) if Instant::now() >= deadline => bail!("within {AMPLE:?} it was not so: {what}"),
            Err(error) if Instant::now() >= deadline => {
                return Err(error.context(format!("within {AMPLE:?} it was not so: {what}")));
            }
            Ok(None) | Err(_) => sleep(POLL).await,
        }
    }
}
