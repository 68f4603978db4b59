//! What is so under a real systemd.

use anyhow::{Context as _, ensure};

use super::{
    node::{Node, PACKAGE, wait},
    reboot, story,
};
use crate::frr;

pub(super) const V4: &str = "203.0.113.0/24";
/// One service of two families, drained in a second and a half.
pub(super) const CONFIG: &str = r#"
bgp:
  asn: 65010
  neighbors:
    - { name: rtr, address: 192.0.2.1, asn: 65101, hold_time: 9s }
services:
  - name: web
    addresses: [203.0.113.80, "2001:db8:53::80"]
    prefixes: [203.0.113.0/24, "2001:db8:53::/48"]
    checks:
      - { name: accepts, type: tcp, port: 80, interval: 200ms, fast_interval: 50ms }
    drain: { graceful_shutdown: 1s, linger: 500ms }
"#;
const PATH: &str = "/etc/anycastd/anycastd.yaml";
const BOUND: &str = "ip -o address show dev lo | grep -q 203.0.113.80";

/// All of it, in order.
pub(super) async fn tell(node: &Node<'_>) -> anyhow::Result<()> {
    story("installed, it runs and announces nothing", install(node)).await?;
    story("it is ready once the addresses are bound", ready(node)).await?;
    story("killed, it comes back and takes away what is no longer wanted", kill(node)).await?;
    story("stopped by a signal, it is replaced by the watchdog", watchdog(node)).await?;
    story("a reload applies a good file, and refuses a bad one", reload(node)).await?;
    story("installed again, the new program goes on, and the router notices nothing", again(node)).await?;
    story("a reboot drains the node before its services stop, and loses no request", reboot::drains(node)).await?;
    story("stopped, nothing of its own is left in the kernel", stop(node)).await?;
    story("purged, nothing is left", purge(node)).await
}

async fn install(node: &Node<'_>) -> anyhow::Result<()> {
    let said = node.run(&format!("dpkg --install {PACKAGE} 2>&1")).await?;
    for unit in ["anycastd", "anycastd-drain"] {
        node.run(&format!("systemctl is-active {unit}")).await.with_context(|| said.clone())?;
        node.run(&format!("systemctl is-enabled {unit}")).await?;
    }
    node.run("anycastctl status").await?;
    let (code, bound) = node.said("ip -o address show dev lo | grep -v 127.0.0.1 | grep -v ::1/128").await?;
    ensure!(code != 0, "the example configuration binds something: {bound}");
    ensure!(node.property("anycastd", "StatusText").await?.starts_with("0 prefixes"), "it says how it is");
    let capabilities =
        node.run("grep CapEff /proc/$(systemctl show --property MainPID --value anycastd)/status").await?;
    ensure!(capabilities.ends_with("0000000000001000"), "CAP_NET_ADMIN and nothing else: {capabilities}");
    let owner = node.run(&format!("stat --format '%U:%G %a' {PATH} /etc/anycastd /var/lib/anycastd")).await?;
    ensure!(owner == "root:anycastd 640\nroot:anycastd 750\nanycastd:anycastd 700", "who may read what: {owner}");
    node.run("test -s /usr/share/man/man8/anycastd.8.gz && test -s /usr/share/man/man1/anycastctl-withdraw.1.gz")
        .await?;
    node.run("bash -n /usr/share/bash-completion/completions/anycastctl").await.map(drop)
}

async fn ready(node: &Node<'_>) -> anyhow::Result<()> {
    node.write(PATH, CONFIG).await?;
    node.run(&format!("systemctl restart anycastd && {BOUND}")).await?;
    announced(node).await?;
    let status = "systemctl show --property StatusText --value anycastd";
    node.until("the status line follows", &format!("{status} | grep -q '^2 prefixes announced, 1 of 1 neighbors'"))
        .await
}

async fn kill(node: &Node<'_>) -> anyhow::Result<()> {
    node.write(
        PATH,
        &CONFIG
            .replace("    addresses: [203.0.113.80, \"2001:db8:53::80\"]", "    addresses: [203.0.113.80]")
            .replace(", \"2001:db8:53::/48\"", ""),
    )
    .await?;
    node.run("ip address add 203.0.113.99/32 dev lo").await?;
    let before = pid(node).await?;
    node.run(&format!("kill -9 {before}")).await?;
    other_process(node, &before).await?;
    node.until("the address is bound", BOUND).await?;
    node.until("what is not wanted is gone", "! ip -o address show dev lo | grep -q 2001:db8:53::80").await?;
    node.run("ip -o address show dev lo | grep -q 203.0.113.99").await.context("what is not ours stays")?;
    node.run("ip address del 203.0.113.99/32 dev lo").await?;
    announced(node).await?;
    node.write(PATH, CONFIG).await
}

async fn watchdog(node: &Node<'_>) -> anyhow::Result<()> {
    let before = pid(node).await?;
    node.run(&format!("kill -STOP {before}")).await?;
    other_process(node, &before).await?;
    node.run("journalctl --unit anycastd --grep 'Watchdog timeout' --quiet").await.context("it was the watchdog")?;
    announced(node).await
}

async fn reload(node: &Node<'_>) -> anyhow::Result<()> {
    let before = pid(node).await?;
    node.write(PATH, &CONFIG.replace("2001:db8:53::80\"]", "2001:db8:53::80\", 203.0.113.81]")).await?;
    node.run("systemctl reload anycastd").await?;
    node.until("the new address is bound", "ip -o address show dev lo | grep -q 203.0.113.81").await?;
    node.write(PATH, CONFIG).await?;
    node.run("systemctl reload anycastd").await?;
    node.until("it is gone with the file's", "! ip -o address show dev lo | grep -q 203.0.113.81").await?;
    node.write(PATH, "bgp: { asn: 65010, neighbours: [] }").await?;
    let (code, _) = node.said("systemctl reload anycastd").await?;
    ensure!(code != 0, "a file with a mistake is taken");
    node.write(PATH, CONFIG).await?;
    ensure!(pid(node).await? == before, "it is the same process");
    announced(node).await
}

async fn again(node: &Node<'_>) -> anyhow::Result<()> {
    let (before, session) = (pid(node).await?, session(node).await?);
    let state = "systemctl show anycastd --property NRestarts,ActiveEnterTimestampMonotonic,InvocationID";
    let unit = node.run(state).await?;
    let said = node.run(&format!("dpkg --install {PACKAGE} 2>&1")).await?;
    ensure!(pid(node).await? == before, "the process is another: {said}");
    ensure!(said.contains("1 session went on"), "it is not upgraded: {said}");
    ensure!(node.run(state).await? == unit, "the service manager has seen something");
    ensure!(self::session(node).await? == session, "the router has seen something: {said}");
    let fed = "systemctl show --property WatchdogTimestampMonotonic --value anycastd";
    let last = node.run(fed).await?;
    node.until("the watchdog is fed", &format!("test \"$({fed})\" != {last}")).await?;
    let capabilities = node.run(&format!("grep CapEff /proc/{before}/status")).await?;
    ensure!(capabilities.ends_with("0000000000001000"), "CAP_NET_ADMIN and nothing else: {capabilities}");
    ensure!(node.run(&format!("cat {PATH}")).await? == CONFIG.trim(), "the configuration is the administrator's");
    announced(node).await
}

async fn stop(node: &Node<'_>) -> anyhow::Result<()> {
    node.run("systemctl stop anycastd").await?;
    let (code, left) = node
        .said("ip -o address show dev lo | grep -E '203.0.113|2001:db8:53'; ip route show table all proto 172 | grep .")
        .await?;
    ensure!(code != 0 && left.is_empty(), "left in the kernel: {left}");
    withdrawn(node).await?;
    node.run("systemctl start anycastd").await?;
    announced(node).await
}

async fn purge(node: &Node<'_>) -> anyhow::Result<()> {
    // What the administrator, who is us, has put beside the unit stays.
    node.run("systemctl disable --quiet --now boot-id.service && rm /etc/systemd/system/boot-id.service").await?;
    node.run("rm -r /etc/systemd/system/anycastd.service.d && systemctl daemon-reload").await?;
    node.run("dpkg --purge anycastd 2>&1").await?;
    let look = "find / -xdev -path /proc -prune -o -path /root -prune -o -name '*anycast*' ! -name anycast-lab -print; \
        find /run -name '*anycast*' -not -path '/run/log/*'; getent passwd anycastd; getent group anycastd; \
        systemctl list-units --all --no-legend 'anycast*'; systemctl list-unit-files --no-legend 'anycast*'; \
        ip route show table all proto 172; ip -o address show dev lo | grep 203.0.113";
    let (_, left) = node.said(look).await?;
    ensure!(left.is_empty(), "the package leaves behind:\n{left}");
    withdrawn(node).await
}

async fn pid(node: &Node<'_>) -> anyhow::Result<String> {
    let pid = node.property("anycastd", "MainPID").await?;
    ensure!(pid != "0", "the agent does not run");
    Ok(pid)
}

async fn other_process(node: &Node<'_>, before: &str) -> anyhow::Result<()> {
    let script = format!(
        "test \"$(systemctl show --property MainPID --value anycastd)\" != {before} && systemctl is-active anycastd"
    );
    node.until("another process runs", &script).await
}

/// All that the router knows of the session which an agent that goes on leaves as it is.
async fn session(node: &Node<'_>) -> anyhow::Result<Vec<serde_json::Value>> {
    let shown = frr::show(node.lab.runner(), "rtr", "show bgp neighbors 192.0.2.2 json").await?;
    let of = |path: &str| shown["192.0.2.2"].pointer(path).cloned().with_context(|| format!("no {path} in {shown}"));
    let counts = ["/connectionsEstablished", "/portForeign", "/messageStats/opensRecv", "/messageStats/updatesRecv"];
    counts.into_iter().map(of).collect()
}

/// The router takes the node for its way to the service.
pub(super) async fn announced(node: &Node<'_>) -> anyhow::Result<()> {
    wait("the router has the node's route", async || Ok(has_route(node).await?.then_some(()))).await
}

async fn withdrawn(node: &Node<'_>) -> anyhow::Result<()> {
    wait("the router has no route of the node", async || Ok((!has_route(node).await?).then_some(()))).await
}

async fn has_route(node: &Node<'_>) -> anyhow::Result<bool> {
    let shown = frr::show(node.lab.runner(), "rtr", &format!("show bgp ipv4 unicast {V4} json")).await?;
    let paths = shown["paths"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(paths.iter().any(|path| path["peer"]["peerId"] == "192.0.2.2"))
}
