//! BIRD.

use std::collections::BTreeSet;

use anycast_lab::harness::Lab;
use anyhow::Context as _;

use crate::{
    feature::Feature,
    peer::{AGENT_AS, Capability, Options, PEER_AS, Peer, Route, Session, path},
};

pub(crate) struct Bird;

stories!(Bird);

impl Peer for Bird {
    const NAME: &'static str = "BIRD";
    const TRIED: &'static str = "2.0.12";
    const PROCESS: &'static str = "bird";
    const CANNOT: &'static [(Feature, &'static str)] =
        &[(Feature::LinkBandwidth, "it shows an unknown extended community")];

    async fn version(lab: &Lab) -> anyhow::Result<String> {
        let said = lab.run("peer", &["sh", "-c", "bird --version 2>&1"]).await?;
        Ok(said.split_whitespace().next_back().context("it says nothing")?.to_owned())
    }

    async fn configure(lab: &Lab, options: &Options) -> anyhow::Result<()> {
        let (local, neighbor) = match options.unnumbered {
            // It has no neighbors by interface, but advertises itself to one whose address it knows.
            true => (String::new(), link_local(lab).await? + "%eth1"),
            false => (options.peer().to_owned() + " ", options.agent().to_owned()),
        };
        let advertise = if options.unnumbered { ADVERTISE } else { "" };
        let mut lines = vec![
            format!("local {local}as {PEER_AS}"),
            format!("neighbor {neighbor} as {AGENT_AS}"),
            format!("hold time {}", options.hold_time),
            "connect delay time 1; connect retry time 1; error wait time 1, 2".to_owned(),
            "enable extended messages on".to_owned(),
            format!("graceful restart {}", if options.graceful_restart { "on" } else { "off" }),
            "long lived graceful restart off".to_owned(),
        ];
        if !options.dials {
            lines.push("passive on".to_owned());
        }
        lines.extend(options.md5.map(|key| format!("password \"{key}\"")));
        if options.gtsm {
            lines.push("ttl security on".to_owned());
        }
        lines.extend(options.role.map(|role| format!("local role {role}")));
        let next_hop = if options.extended_next_hop { "extended next hop on; " } else { "" };
        let text = format!(
            "router id 192.0.2.1;\nlog \"/var/log/peer.log\" all;\ndebug protocols {{ states, events }};\n\
             protocol device {{}}\n{advertise}protocol bgp edge {{\n  {};\n  \
             ipv4 {{ import all; export none; {next_hop}}};\n  ipv6 {{ import all; export none; }};\n}}\n",
            lines.join(";\n  ")
        );
        lab.write("peer", "/etc/bird/bird.conf", &text).await
    }

    async fn start(lab: &Lab) -> anyhow::Result<()> {
        lab.run("peer", &["bird", "-c", "/etc/bird/bird.conf", "-s", "/run/bird.ctl"]).await.map(drop)
    }

    async fn route(lab: &Lab, prefix: &str) -> anyhow::Result<Option<Route>> {
        let table = if prefix.contains(':') { "master6" } else { "master4" };
        // What it does not have is an error to it.
        let said =
            lab.run("peer", &["birdc", "-s", "/run/bird.ctl", "show route", prefix, "table", table, "all"]).await;
        Ok(said.ok().filter(|said| said.contains("BGP.as_path")).map(|said| route(&said)))
    }

    async fn count(lab: &Lab) -> anyhow::Result<usize> {
        let said = ask(lab, "show route table master4 count").await?;
        let number = said.lines().find_map(|line| line.split_once(" of ")?.0.trim().parse().ok());
        number.with_context(|| format!("it says {said}"))
    }

    async fn session(lab: &Lab, _options: &Options) -> anyhow::Result<Option<Session>> {
        Ok(session(&ask(lab, "show protocols all edge").await?))
    }

    async fn refresh(lab: &Lab, _options: &Options) -> anyhow::Result<()> {
        ask(lab, "reload in edge").await.map(drop)
    }

    async fn farewell(lab: &Lab, _options: &Options) -> anyhow::Result<String> {
        Ok(ask(lab, "show protocols all edge").await? + &lab.run("peer", &["cat", "/var/log/peer.log"]).await?)
    }
}

/// No router for anybody's traffic: a lifetime of 0, and no prefixes.
const ADVERTISE: &str =
    "protocol radv { interface \"eth1\" { min ra interval 3; max ra interval 4; default lifetime 0; }; }\n";

/// The agent's address on the link.
async fn link_local(lab: &Lab) -> anyhow::Result<String> {
    let said = lab.run("edge", &["ip", "-6", "-brief", "address", "show", "dev", "eth1", "scope", "link"]).await?;
    let address = said.split_whitespace().find_map(|word| Some(word.split_once('/')?.0.to_owned()));
    address.with_context(|| format!("eth1 has no link-local address: {said}"))
}

async fn ask(lab: &Lab, command: &str) -> anyhow::Result<String> {
    lab.run("peer", &["birdc", "-s", "/run/bird.ctl", command]).await
}

fn route(said: &str) -> Route {
    let value = |name: &str| {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_default().trim()
    };
    // `(65010,100) (65535,65281)`, `(65010, 1, 2)`
    let tuples = |text: &str| {
        let inner =
            text.split(')').filter_map(|tuple| Some(tuple.split_once('(')?.1.replace(", ", ":").replace(',', ":")));
        inner.collect::<BTreeSet<_>>()
    };
    Route {
        // An IPv6 next hop has two, the second of them link-local; the first is `::` where that one is alone.
        next_hop: value("BGP.next_hop").split_whitespace().find(|hop| *hop != "::").unwrap_or_default().to_owned(),
        as_path: path(value("BGP.as_path")),
        med: value("BGP.med").parse().ok(),
        communities: tuples(value("BGP.community")),
        large_communities: tuples(value("BGP.large_community")),
        extended_communities: tuples(&value("BGP.ext_community").replace("(ro,", "(soo,")),
        bandwidth: None,
        otc: value("BGP.otc").parse().ok(),
    }
}

fn session(said: &str) -> Option<Session> {
    let lines = said.lines().map(str::trim);
    let value = |name: &str| lines.clone().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    if value("BGP state")? != "Established" {
        return None;
    }
    let theirs: Vec<_> = lines.clone().skip_while(|line| *line != "Neighbor capabilities").collect();
    let known = [
        ("Enhanced refresh", Capability::EnhancedRefresh),
        ("Extended message", Capability::ExtendedMessage),
        ("Extended next hop", Capability::ExtendedNextHop),
        ("Graceful restart", Capability::GracefulRestart),
    ];
    let updates = lines.clone().filter_map(|line| line.strip_prefix("Import updates:")?.split_whitespace().next());
    Some(Session {
        hold_time: value("Hold timer")?.split_once('/')?.1.parse().ok()?,
        updates: updates.filter_map(|count| count.parse::<u64>().ok()).sum(),
        heard: known.into_iter().filter(|(name, _)| theirs.contains(name)).map(|(_, what)| what).collect(),
        role: theirs.iter().find_map(|line| line.strip_prefix("Role: ")).map(str::to_owned),
    })
}
