//! The quick start: what it says to type is typed, and its configurations meet each other.

use std::{fs, process::Command};

use anycast_lab::{
    harness::{AMPLE, Lab},
    runner,
};
use anyhow::{Context as _, ensure};

use crate::{
    commands::{program, words_of},
    page::{Block, Page},
};

const PAGE: &str = "docs/src/quick-start.md";

fn blocks() -> Vec<Block> {
    Page::read(PAGE.into()).blocks()
}

/// The commands of the lab, from the first `up` to `down`, each with its line.
fn typed() -> Vec<(String, Vec<String>)> {
    let lines = blocks()
        .into_iter()
        .filter(|block| block.info == "sh")
        .flat_map(|block| block.text.lines().map(str::to_owned).collect::<Vec<_>>());
    let ours = lines.skip_while(|line| line != "cargo lab up").filter(|line| line.starts_with("cargo lab "));
    let mut all: Vec<_> = ours.map(|line| (line.clone(), words_of(&line).remove(0))).collect();
    let end = all.iter().position(|(line, _)| line == "cargo lab down").map_or(0, |at| at + 1);
    all.truncate(end);
    all
}

#[test]
fn the_lab_is_as_the_quick_start_says() {
    let name = format!("docs-{}", std::process::id());
    let bin_dir = program("anycast-lab").parent().unwrap().to_owned();
    let lab = |words: &[String]| {
        let mut lab = Command::new(program("anycast-lab"));
        lab.args(["--runner", "namespaces", "--name", &name]).args(words);
        if words.first().is_some_and(|verb| verb == "up") {
            lab.arg("--bin-dir").arg(&bin_dir);
        }
        let said = lab.output().unwrap();
        let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        if said.status.success() { Ok(text) } else { Err(text) }
    };
    let commands = typed();
    assert!(commands.len() >= 9, "{commands:?}");
    let mut said = Vec::new();
    for (line, words) in &commands {
        match lab(&words[2..]) {
            Ok(text) => said.push((line.as_str(), text)),
            Err(text) => {
                let _ = lab(&["down".to_owned()]);
                panic!("{line}: {text}");
            }
        }
    }
    let answers =
        |part: &str| said.iter().filter(|(line, _)| line.contains(part)).map(|(_, text)| text).collect::<Vec<_>>();
    let [first, drained] = answers("us-client curl")[..] else { panic!("the client asks before and after: {said:?}") };
    assert!(first.contains("us-edge1"), "its own region: {first}");
    assert!(drained.contains("eu-edge1"), "the next one: {drained}");
    assert!(answers("anycastctl status")[0].contains("203.0.113.0/24"), "{said:?}");
    assert!(answers("explain")[0].contains("is announced to 1 of 1"), "{said:?}");
    assert!(answers("show bgp")[0].contains("(3 available"), "{said:?}");
    assert!(answers("withdraw --wait")[0].contains("safe to stop"), "{said:?}");
}

/// A node and a router on one link, with the addresses of the page.
const LINK: &str = "
name: start
topology:
  defaults: { kind: linux, network-mode: none }
  nodes:
    edge:
      image: anycastd-lab:latest
      cmd: sleep infinity
      sysctls: { net.ipv6.conf.default.accept_dad: 0 }
      exec:
        - ip address add 192.0.2.11/24 dev eth1
        - ip address add 2001:db8:1::11/64 dev eth1 nodad
    leaf1:
      image: quay.io/frrouting/frr:8.4.4
      sysctls: { net.ipv4.ip_forward: 1, net.ipv6.conf.all.forwarding: 1, net.ipv6.conf.default.accept_dad: 0 }
      exec:
        - ip address add 192.0.2.1/24 dev eth1
        - ip address add 2001:db8:1::1/64 dev eth1 nodad
      binds:
        - daemons:/etc/frr/daemons:ro
        - frr.conf:/etc/frr/frr.conf:ro
  links:
    - endpoints: [\"edge:eth1\", \"leaf1:eth1\"]
";

#[tokio::test(flavor = "multi_thread")]
async fn the_node_and_the_router_of_the_quick_start_agree() -> anyhow::Result<()> {
    let blocks = blocks();
    let of = |info: &str| {
        blocks.iter().find(|block| block.info == info).map(|block| block.text.as_str()).context("no such block")
    };
    let home = tempfile::tempdir()?;
    fs::write(home.path().join("start.clab.yml"), LINK)?;
    fs::write(
        home.path().join("daemons"),
        "bgpd=yes\nvtysh_enable=yes\nzebra_options=\"  -A 127.0.0.1 -s 90000000\"\nbgpd_options=\"   -A 127.0.0.1\"\n",
    )?;
    fs::write(home.path().join("frr.conf"), of("frr")?)?;
    let lab = Lab::up(&home.path().join("start.clab.yml")).await?;
    // The DNS server of the page, as far as its check asks.
    lab.start("edge", &["anycast-lab", "tool", "server", "tcp", "--at", "[::]:53"], "/var/log/dns.log").await?;
    lab.write("edge", "/etc/anycastd/anycastd.yaml", of("yaml")?).await?;
    lab.start("edge", &["anycastd"], "/var/log/anycastd.log").await?;
    for (family, prefix) in [("ipv4", "203.0.113.0/24"), ("ipv6", "2001:db8:53::/48")] {
        lab.wait(&format!("the router has {prefix}"), async || {
            let shown = lab.show("leaf1", &format!("show bgp {family} unicast {prefix} json")).await?;
            Ok((shown["paths"][0]["valid"] == true).then_some(()))
        })
        .await?;
    }
    let explained = lab.run("edge", &["anycastctl", "explain", "dns"]).await?;
    ensure!(explained.contains("acknowledged"), "{explained}");
    let drained =
        runner::run(lab.runner(), "edge", &["anycastctl", "withdraw", "dns", "--wait", "--now"], AMPLE).await?;
    ensure!(drained.output.contains("safe to stop"), "{}{}", drained.output, drained.errors);
    Ok(())
}
