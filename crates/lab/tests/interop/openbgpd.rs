//! OpenBGPD.

use std::collections::BTreeSet;

use anycast_lab::harness::Lab;
use anyhow::Context as _;
use serde_json::Value;

use crate::{
    feature::Feature,
    peer::{AGENT_AS, Capability, Options, PEER_AS, Peer, Route, Session, community, path},
};

pub(crate) struct OpenBgpd;

stories!(OpenBgpd);

/// Its user's home must be there, for its engines change their root to it; and a file that others can read is refused.
const START: &str = "mkdir -p /run/openbgpd && chmod 600 /etc/bgpd.conf && exec bgpd -d -v -f /etc/bgpd.conf";

impl Peer for OpenBgpd {
    const NAME: &'static str = "OpenBGPD";
    const TRIED: &'static str = "7.7";
    const PROCESS: &'static str = "bgpd";
    const CANNOT: &'static [(Feature, &'static str)] = &[
        (Feature::ExtendedMessage, "it does not know the capability"),
        (Feature::ExtendedNextHop, "it does not know the capability; `next_hop.ipv4` helps"),
        (Feature::Md5, "on Linux its listener never gets the key, and takes connections without one"),
        (Feature::WrongMd5, "the same"),
        (Feature::LinkBandwidth, "it shows an unknown extended community"),
        (Feature::Unnumbered, "it sends no router advertisements, and knows no IPv6 next hop for IPv4"),
    ];

    async fn version(lab: &Lab) -> anyhow::Result<String> {
        let said = lab.run("peer", &["sh", "-c", "bgpd -V 2>&1"]).await?;
        Ok(said.split_whitespace().next_back().context("it says nothing")?.to_owned())
    }

    async fn configure(lab: &Lab, options: &Options) -> anyhow::Result<()> {
        let restart = if options.graceful_restart { "yes" } else { "no" };
        let mut lines = vec![
            format!("remote-as {AGENT_AS}"),
            format!("local-address {}", options.peer()),
            // It agrees to 0, but has no way to propose it.
            format!("holdtime {}", if options.hold_time == 0 { 90 } else { options.hold_time }),
            "announce IPv4 unicast".to_owned(),
            "announce IPv6 unicast".to_owned(),
            "announce refresh yes".to_owned(),
            "announce enhanced refresh yes".to_owned(),
            format!("announce restart {restart}"),
        ];
        if !options.dials {
            lines.push("passive".to_owned());
        }
        if options.gtsm {
            lines.push("ttl-security yes".to_owned());
        }
        lines.extend(options.md5.map(|key| format!("tcp md5sig password \"{key}\"")));
        lines.extend(options.role.map(|role| format!("announce policy {role}")));
        let text = format!(
            "AS {PEER_AS}\nrouter-id 192.0.2.1\nfib-update no\nlisten on {}\nsocket \"/run/bgpd.sock\"\n\
             neighbor {} {{\n  {}\n}}\nallow from any\n",
            options.peer(),
            options.agent(),
            lines.join("\n  ")
        );
        lab.write("peer", "/etc/bgpd.conf", &text).await
    }

    async fn start(lab: &Lab) -> anyhow::Result<()> {
        lab.start("peer", &["sh", "-c", START], "/var/log/peer.log").await
    }

    async fn route(lab: &Lab, prefix: &str) -> anyhow::Result<Option<Route>> {
        let answer = ask(lab, &["show", "rib", "detail"]).await?;
        Ok(answer["rib"].as_array().into_iter().flatten().find(|entry| entry["prefix"] == prefix).map(route))
    }

    async fn count(lab: &Lab) -> anyhow::Result<usize> {
        let answer = ask(lab, &["show", "rib", "inet"]).await?;
        Ok(answer["rib"].as_array().map_or(0, Vec::len))
    }

    async fn session(lab: &Lab, options: &Options) -> anyhow::Result<Option<Session>> {
        let answer = ask(lab, &["show", "neighbor", options.agent()]).await?;
        Ok(session(&answer["neighbors"][0]))
    }

    async fn refresh(lab: &Lab, options: &Options) -> anyhow::Result<()> {
        let argv = ["bgpctl", "-s", "/run/bgpd.sock", "neighbor", options.agent(), "refresh"];
        lab.run("peer", &argv).await.map(drop)
    }

    async fn farewell(lab: &Lab, options: &Options) -> anyhow::Result<String> {
        ask(lab, &["show", "neighbor", options.agent()]).await.map(|answer| answer.to_string())
    }
}

async fn ask(lab: &Lab, words: &[&str]) -> anyhow::Result<Value> {
    let argv: Vec<&str> = ["bgpctl", "-j", "-s", "/run/bgpd.sock"].iter().chain(words).copied().collect();
    Ok(serde_json::from_str(&lab.run("peer", &argv).await?)?)
}

fn route(entry: &Value) -> Route {
    let texts = |value: &Value| -> BTreeSet<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(community).collect()
    };
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    // Of an attribute it shows only some by name.
    let attributes = entry["attributes"].as_array();
    let otc = attributes.into_iter().flatten().find(|attribute| attribute["type"] == "OTC");
    Route {
        next_hop: entry["exit_nexthop"].as_str().unwrap_or_default().to_owned(),
        as_path: path(entry["aspath"].as_str().unwrap_or_default()),
        med: number(&entry["metric"]),
        communities: texts(&entry["communities"]),
        large_communities: texts(&entry["large_communities"]),
        extended_communities: texts(&entry["extended_communities"]).iter().map(|one| one.replace(' ', ":")).collect(),
        bandwidth: None,
        otc: otc.and_then(|attribute| number(&attribute["as"])),
    }
}

fn session(neighbor: &Value) -> Option<Session> {
    if neighbor["state"] != "Established" {
        return None;
    }
    let theirs = &neighbor["session"]["remote"]["capabilities"];
    let known = [("enhanced_refresh", Capability::EnhancedRefresh), ("graceful_restart", Capability::GracefulRestart)];
    let has = |key: &str| theirs.get(key).is_some_and(|value| *value != Value::Bool(false));
    Some(Session {
        hold_time: neighbor["session"]["holdtime"].as_u64()?,
        updates: neighbor["stats"]["message"]["received"]["updates"].as_u64()?,
        heard: known.into_iter().filter(|(key, _)| has(key)).map(|(_, what)| what).collect(),
        role: theirs["open_policy_role"].as_str().map(str::to_owned),
    })
}
