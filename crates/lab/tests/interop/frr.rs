//! FRR.

use anycast_lab::harness::Lab;
use anyhow::Context as _;
use serde_json::Value;

use crate::{
    feature::Feature,
    peer::{AGENT_AS, Capability, Options, PEER_AS, Peer, Route, Session, community, path},
};

pub(crate) struct Frr;

stories!(Frr);

/// Not by FRR's own script: a bgpd that was killed is started beside the zebra that still runs.
const START: &str = r#"
set -e
export PATH="/usr/lib/frr:$PATH"
install -d -o frr -g frr /run/frr
test -e /var/log/peer.log || install -o frr -g frr /dev/null /var/log/peer.log
pidof zebra >/run/zebra.there || zebra -d -A 127.0.0.1
bgpd -d -A 127.0.0.1
vtysh -b
"#;

impl Peer for Frr {
    const NAME: &'static str = "FRR";
    const TRIED: &'static str = "8.4.4";
    const PROCESS: &'static str = "bgpd";
    const CANNOT: &'static [(Feature, &'static str)] = &[];

    async fn version(lab: &Lab) -> anyhow::Result<String> {
        let said = lab.run("peer", &["/usr/lib/frr/bgpd", "--version"]).await?;
        let version = said.lines().next().and_then(|line| line.split_whitespace().next_back());
        version.map(str::to_owned).with_context(|| format!("it says {said}"))
    }

    async fn configure(lab: &Lab, options: &Options) -> anyhow::Result<()> {
        let hold = options.hold_time;
        let interface = if options.unnumbered { "interface v6only " } else { "" };
        let mut lines = vec![
            format!("{interface}remote-as {AGENT_AS}"),
            format!("timers {} {hold}", hold / 3),
            "timers connect 1".to_owned(),
            "advertisement-interval 0".to_owned(),
        ];
        if !options.dials && !options.unnumbered {
            lines.push("passive".to_owned());
        }
        if options.extended_next_hop {
            lines.push("capability extended-nexthop".to_owned());
        }
        if options.gtsm {
            lines.push("ttl-security hops 1".to_owned());
        }
        lines.extend(options.md5.map(|key| format!("password {key}")));
        lines.extend(options.role.map(|role| format!("local-role {role}")));
        let agent = options.agent();
        let session: String = lines.iter().map(|line| format!(" neighbor {agent} {line}\n")).collect();
        let restart = if options.graceful_restart { "bgp graceful-restart" } else { "bgp graceful-restart-disable" };
        let family =
            |family| format!(" address-family {family} unicast\n  neighbor {agent} activate\n exit-address-family\n");
        // RFC 8212 would want route maps, and FRR keeps neighbors waiting for five seconds after it has read one.
        let text = format!(
            "log file /var/log/peer.log informational\nrouter bgp {PEER_AS}\n bgp router-id 192.0.2.1\n \
             no bgp default ipv4-unicast\n no bgp ebgp-requires-policy\n {restart}\n{session}{}{}exit\n",
            family("ipv4"),
            family("ipv6"),
        );
        lab.write("peer", "/etc/frr/vtysh.conf", "service integrated-vtysh-config\n").await?;
        lab.write("peer", "/etc/frr/frr.conf", &text).await
    }

    async fn start(lab: &Lab) -> anyhow::Result<()> {
        lab.run("peer", &["sh", "-c", START]).await?;
        // Until a second after it has read its configuration it turns everybody away. Whom it has to find on a link first, it
        // leaves idle until then.
        lab.wait("FRR lets neighbors in", async || {
            let neighbors = lab.show("peer", "show bgp neighbors json").await?;
            let mut neighbors = neighbors.as_object().into_iter().flatten();
            Ok(neighbors.any(|(name, one)| one["bgpState"] != "Idle" || name == "eth1").then_some(()))
        })
        .await
    }

    async fn route(lab: &Lab, prefix: &str) -> anyhow::Result<Option<Route>> {
        let family = if prefix.contains(':') { "ipv6" } else { "ipv4" };
        let answer = lab.show("peer", &format!("show bgp {family} unicast {prefix} json")).await?;
        Ok(answer["paths"].get(0).map(route))
    }

    async fn count(lab: &Lab) -> anyhow::Result<usize> {
        let answer = lab.show("peer", "show bgp ipv4 unicast json").await?;
        Ok(answer["routes"].as_object().map_or(0, serde_json::Map::len))
    }

    async fn session(lab: &Lab, options: &Options) -> anyhow::Result<Option<Session>> {
        let answer = lab.show("peer", &format!("show bgp neighbors {} json", options.agent())).await?;
        Ok(session(&answer[options.agent()]))
    }

    async fn refresh(lab: &Lab, options: &Options) -> anyhow::Result<()> {
        let clear = format!("clear bgp ipv4 unicast {} soft in", options.agent());
        lab.run("peer", &["vtysh", "-c", &clear]).await.map(drop)
    }

    async fn farewell(lab: &Lab, options: &Options) -> anyhow::Result<String> {
        lab.show("peer", &format!("show bgp neighbors {} json", options.agent())).await.map(|answer| answer.to_string())
    }
}

fn route(path_of: &Value) -> Route {
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let list = |key: &str| {
        let list = path_of[key]["list"].as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(community).collect()
    };
    // `RT:65010:100 LB:23456:1250000000 (10.000 Gbps) SoO:192.0.2.1:5`
    let extended = path_of["extendedCommunity"]["string"].as_str().unwrap_or_default().to_lowercase();
    let extended = extended.split_whitespace();
    // The second of an IPv6 next hop is link-local, if it is not the only one.
    let mut hops = path_of["nexthops"].as_array().into_iter().flatten();
    let next_hop = hops.clone().find(|hop| hop["scope"] != "link-local").or_else(|| hops.next());
    Route {
        next_hop: next_hop.and_then(|hop| hop["ip"].as_str()).unwrap_or_default().to_owned(),
        as_path: path(path_of["aspath"]["string"].as_str().unwrap_or_default()),
        med: number(&path_of["metric"]),
        communities: list("community"),
        large_communities: list("largeCommunity"),
        extended_communities: extended.clone().map(str::to_owned).collect(),
        bandwidth: extended.filter_map(|one| one.strip_prefix("lb:")?.split_once(':')?.1.parse().ok()).next(),
        otc: number(&path_of["otc"]),
    }
}

fn session(neighbor: &Value) -> Option<Session> {
    if neighbor["bgpState"] != "Established" {
        return None;
    }
    let heard = [
        ("enhancedRouteRefresh", Capability::EnhancedRefresh),
        ("extendedMessage", Capability::ExtendedMessage),
        ("extendedNexthop", Capability::ExtendedNextHop),
        ("gracefulRestart", Capability::GracefulRestart),
    ];
    let received = |key: &str| {
        neighbor["neighborCapabilities"][key].as_str().is_some_and(|said| said.to_lowercase().contains("received"))
    };
    Some(Session {
        hold_time: neighbor["bgpTimerHoldTimeMsecs"].as_u64()? / 1000,
        updates: neighbor["messageStats"]["updatesRecv"].as_u64()?,
        heard: heard.into_iter().filter(|(key, _)| received(key)).map(|(_, what)| what).collect(),
        role: neighbor["remoteRole"].as_str().map(str::to_owned),
    })
}
