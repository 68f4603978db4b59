//! GoBGP.

use anycast_lab::harness::Lab;
use anyhow::Context as _;
use serde_json::Value;

use crate::{
    feature::Feature,
    peer::{AGENT_AS, Capability, Options, PEER_AS, Peer, Route, Session},
};

pub(crate) struct GoBgp;

stories!(GoBgp);

const CONFIG: &str = "/etc/gobgpd.toml";
/// What it calls Established.
const ESTABLISHED: u64 = 6;

impl Peer for GoBgp {
    const NAME: &'static str = "GoBGP";
    const TRIED: &'static str = "3.10.0";
    const PROCESS: &'static str = "gobgpd";
    const CANNOT: &'static [(Feature, &'static str)] = &[
        (Feature::RouteRefresh, "it keeps all that it hears, and never asks"),
        (Feature::EnhancedRefresh, "it knows the capability by name, and does not offer it"),
        (Feature::ExtendedMessage, "it does not know the capability"),
        (Feature::Role, "it does not know the capability"),
        (Feature::OnlyToCustomer, "it does not know the attribute"),
        (Feature::Unnumbered, "it sends no router advertisements: another program would have to"),
    ];

    async fn version(lab: &Lab) -> anyhow::Result<String> {
        let said = lab.run("peer", &["gobgp", "--version"]).await?;
        Ok(said.split_whitespace().next_back().context("it says nothing")?.to_owned())
    }

    async fn configure(lab: &Lab, options: &Options) -> anyhow::Result<()> {
        let key = options.md5.map(|key| format!("auth-password = \"{key}\"")).unwrap_or_default();
        // It agrees to 0; where it is told 0 itself, it takes 90.
        let hold = if options.hold_time == 0 { 90 } else { options.hold_time };
        let text = format!(
            r#"
[global.config]
  as = {PEER_AS}
  router-id = "192.0.2.1"
  local-address-list = ["{peer}"]
[[neighbors]]
  [neighbors.config]
    neighbor-address = "{agent}"
    peer-as = {AGENT_AS}
    {key}
  [neighbors.timers.config]
    hold-time = {hold}
    keepalive-interval = {keepalive}
    connect-retry = 1
    idle-hold-time-after-reset = 1
  [neighbors.transport.config]
    passive-mode = {passive}
    local-address = "{peer}"
  [neighbors.ttl-security.config]
    enabled = {gtsm}
    ttl-min = 255
  [neighbors.graceful-restart.config]
    enabled = {restart}
    restart-time = 30
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv4-unicast"
    [neighbors.afi-safis.mp-graceful-restart.config]
      enabled = {restart}
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv6-unicast"
    [neighbors.afi-safis.mp-graceful-restart.config]
      enabled = {restart}
"#,
            agent = options.agent(),
            peer = options.peer(),
            keepalive = hold / 3,
            passive = !options.dials,
            gtsm = options.gtsm,
            restart = options.graceful_restart,
        );
        lab.write("peer", CONFIG, &text).await
    }

    async fn start(lab: &Lab) -> anyhow::Result<()> {
        lab.start("peer", &["gobgpd", "-f", CONFIG, "--pprof-disable", "--log-plain"], "/var/log/peer.log").await
    }

    async fn route(lab: &Lab, prefix: &str) -> anyhow::Result<Option<Route>> {
        let family = if prefix.contains(':') { "ipv6" } else { "ipv4" };
        let answer = ask(lab, &["global", "rib", "-a", family]).await?;
        Ok(answer.get(prefix).and_then(|paths| paths.get(0)).map(|path| route(&path["attrs"])))
    }

    async fn count(lab: &Lab) -> anyhow::Result<usize> {
        Ok(ask(lab, &["global", "rib", "-a", "ipv4"]).await?.as_object().map_or(0, serde_json::Map::len))
    }

    async fn session(lab: &Lab, options: &Options) -> anyhow::Result<Option<Session>> {
        Ok(session(&ask(lab, &["neighbor", options.agent()]).await?))
    }

    async fn refresh(lab: &Lab, options: &Options) -> anyhow::Result<()> {
        lab.run("peer", &["gobgp", "neighbor", options.agent(), "softresetin"]).await.map(drop)
    }

    async fn farewell(lab: &Lab, _options: &Options) -> anyhow::Result<String> {
        lab.run("peer", &["cat", "/var/log/peer.log"]).await
    }
}

async fn ask(lab: &Lab, words: &[&str]) -> anyhow::Result<Value> {
    let argv: Vec<&str> = ["gobgp", "-j"].iter().chain(words).copied().collect();
    let said = lab.run("peer", &argv).await?;
    serde_json::from_str(&said).with_context(|| format!("it says {said}"))
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok())
}

/// It shows attributes by their numbers.
fn route(attributes: &Value) -> Route {
    let mut route = Route::default();
    for attribute in attributes.as_array().into_iter().flatten() {
        let list = |key: &str| attribute[key].as_array().cloned().unwrap_or_default();
        match attribute["type"].as_u64() {
            Some(2) => {
                let numbers = list("as_paths").into_iter().flat_map(|part| part["asns"].as_array().cloned());
                route.as_path = numbers.flatten().filter_map(|asn| number(&asn)).collect();
            }
            Some(3 | 14) => attribute["nexthop"].as_str().unwrap_or_default().clone_into(&mut route.next_hop),
            Some(4) => route.med = number(&attribute["metric"]),
            Some(8) => {
                let words = |value: u32| format!("{}:{}", value >> 16, value & 0xFFFF);
                route.communities = list("communities").iter().filter_map(number).map(words).collect();
            }
            Some(16) => {
                for one in list("value") {
                    // RFC 4360 §4 and §5: the low octet says what it is, the high one how it is written.
                    match (one["subtype"].as_u64(), one["value"].as_str()) {
                        (Some(2), Some(value)) => drop(route.extended_communities.insert(format!("rt:{value}"))),
                        (Some(3), Some(value)) => drop(route.extended_communities.insert(format!("soo:{value}"))),
                        (Some(4), _) => route.bandwidth = one["bandwidth"].as_u64(),
                        _ => {}
                    }
                }
            }
            Some(32) => {
                let words = |one: &Value| format!("{}:{}:{}", one["ASN"], one["LocalData1"], one["LocalData2"]);
                route.large_communities = list("value").iter().map(words).collect();
            }
            _ => {}
        }
    }
    route
}

fn session(neighbor: &Value) -> Option<Session> {
    let state = &neighbor["state"];
    if state["session_state"].as_u64() != Some(ESTABLISHED) {
        return None;
    }
    let known = [
        ("EnhancedRouteRefreshCapability", Capability::EnhancedRefresh),
        ("ExtendedNexthopCapability", Capability::ExtendedNextHop),
        ("GracefulRestartCapability", Capability::GracefulRestart),
    ];
    let theirs = state["remote_cap"].as_array().into_iter().flatten().filter_map(|one| one["type_url"].as_str());
    let names: Vec<_> = theirs.filter_map(|url| url.rsplit('.').next()).collect();
    Some(Session {
        // It leaves out what is 0.
        hold_time: neighbor["timers"]["state"]["negotiated_hold_time"].as_u64().unwrap_or_default(),
        updates: state["messages"]["received"]["update"].as_u64().unwrap_or_default(),
        heard: known.into_iter().filter(|(name, _)| names.contains(name)).map(|(_, what)| what).collect(),
        role: None,
    })
}
