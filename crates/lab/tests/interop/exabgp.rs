//! ExaBGP, which has no table: it tells a program of ours, line by line, what it hears.

use anycast_lab::harness::Lab;
use anyhow::Context as _;
use serde_json::Value;

use crate::{
    feature::Feature,
    peer::{AGENT_AS, Capability, Options, PEER_AS, Peer, Route, Session},
};

pub(crate) struct ExaBgp;

stories!(ExaBgp);

const CONFIG: &str = "/etc/exabgp/exabgp.conf";
/// What it has told since it was started.
const EVENTS: &str = "/run/events";
/// Where it takes orders.
const ORDERS: &str = "/run/orders";
/// Ours: keeps what it is told, and passes on what is ordered.
const WATCH: &str = "exec 3<&0\ncat <&3 >>/run/events &\nexec cat <>/run/orders\n";

impl Peer for ExaBgp {
    const NAME: &'static str = "ExaBGP";
    const TRIED: &'static str = "4.2.21";
    const PROCESS: &'static str = "exabgp";
    const CANNOT: &'static [(Feature, &'static str)] = &[
        (Feature::Gtsm, "it looks at no TTL of a connection that it has accepted"),
        (Feature::GracefulRestart, "it has no table in which to keep routes"),
        (Feature::Farewell, "it fails over the text, and says that the message was malformed"),
        (Feature::Role, "it does not know the capability"),
        (Feature::OnlyToCustomer, "it does not know the attribute"),
        (Feature::LinkBandwidth, "it shows an extended community without a name"),
        (Feature::Unnumbered, "it knows no interfaces"),
    ];

    async fn version(lab: &Lab) -> anyhow::Result<String> {
        let said = lab.run("peer", &["exabgp", "--version"]).await?;
        let version = said.lines().find_map(|line| line.strip_prefix("ExaBGP : "));
        version.map(str::to_owned).with_context(|| format!("it says {said}"))
    }

    async fn configure(lab: &Lab, options: &Options) -> anyhow::Result<()> {
        let restart = if options.graceful_restart { "graceful-restart 30" } else { "graceful-restart disable" };
        let (capability, next_hops) =
            if options.extended_next_hop { ("enable", "nexthop { ipv4 unicast ipv6; }") } else { ("disable", "") };
        let mut lines = vec![
            "router-id 192.0.2.1".to_owned(),
            format!("local-address {}", options.peer()),
            format!("local-as {PEER_AS}"),
            format!("peer-as {AGENT_AS}"),
            format!("hold-time {}", options.hold_time),
        ];
        if !options.dials {
            lines.extend(["passive".to_owned(), "listen 179".to_owned()]);
        }
        if options.gtsm {
            lines.extend(["incoming-ttl 255".to_owned(), "outgoing-ttl 255".to_owned()]);
        }
        lines.extend(options.md5.map(|key| format!("md5-password '{key}'")));
        let text = format!(
            "process watch {{\n  run /bin/sh /etc/exabgp/watch;\n  encoder json;\n}}\nneighbor {} {{\n  {};\n  \
             family {{ ipv4 unicast; ipv6 unicast; }}\n  {next_hops}\n  \
             capability {{ asn4 enable; route-refresh enable; extended-message enable; nexthop {capability}; {restart}; }}\n  \
             api {{ processes [ watch ]; neighbor-changes; receive {{ parsed; open; update; }} }}\n}}\n",
            options.agent(),
            lines.join(";\n  ")
        );
        lab.write("peer", "/etc/exabgp/watch", WATCH).await?;
        lab.write("peer", CONFIG, &text).await
    }

    async fn start(lab: &Lab) -> anyhow::Result<()> {
        lab.run("peer", &["sh", "-c", r#"rm -f "$0" "$1" && mkfifo "$1" && : >"$0""#, EVENTS, ORDERS]).await?;
        let argv = ["env", "exabgp.daemon.user=root", "exabgp.api.cli=false", "exabgp", CONFIG];
        lab.start("peer", &argv, "/var/log/peer.log").await
    }

    async fn route(lab: &Lab, prefix: &str) -> anyhow::Result<Option<Route>> {
        Ok(table(&events(lab).await?).into_iter().rfind(|(name, _)| name == prefix).map(|(_, route)| route))
    }

    async fn count(lab: &Lab) -> anyhow::Result<usize> {
        Ok(table(&events(lab).await?).iter().filter(|(name, _)| !name.contains(':')).count())
    }

    async fn session(lab: &Lab, options: &Options) -> anyhow::Result<Option<Session>> {
        Ok(session(&events(lab).await?, options))
    }

    async fn refresh(lab: &Lab, _options: &Options) -> anyhow::Result<()> {
        lab.run("peer", &["sh", "-c", r#"echo "announce route-refresh ipv4 unicast" >"$0""#, ORDERS]).await.map(drop)
    }

    async fn farewell(lab: &Lab, _options: &Options) -> anyhow::Result<String> {
        lab.run("peer", &["cat", EVENTS]).await
    }
}

/// What it has told, as far as it is JSON: what it tells of a refresh is not.
async fn events(lab: &Lab) -> anyhow::Result<Vec<Value>> {
    let said = lab.run("peer", &["cat", EVENTS]).await?;
    Ok(said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// The events of the last session; none, when it is over.
fn of_session(events: &[Value]) -> &[Value] {
    match events.iter().rposition(|event| event["type"] == "state" && event["neighbor"]["state"] != "connected") {
        Some(at) if events[at]["neighbor"]["state"] == "up" => &events[at..],
        _ => &[],
    }
}

/// What it has been told and not been told to forget, in that order.
fn table(events: &[Value]) -> Vec<(String, Route)> {
    let mut table: Vec<(String, Route)> = Vec::new();
    for event in of_session(events) {
        let update = &event["neighbor"]["message"]["update"];
        let names = |list: &Value| {
            let names = list.as_array().into_iter().flatten().filter_map(|one| one["nlri"].as_str());
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        for (_, list) in update["withdraw"].as_object().into_iter().flatten() {
            let gone = names(list);
            table.retain(|(name, _)| !gone.contains(name));
        }
        for (_, hops) in update["announce"].as_object().into_iter().flatten() {
            // An IPv6 next hop of two addresses it tells as two: the global one comes first, and counts.
            for (hop, list) in hops.as_object().into_iter().flatten().rev() {
                let (came, route) = (names(list), route(&update["attribute"], hop));
                table.retain(|(name, _)| !came.contains(name));
                table.extend(came.into_iter().map(|name| (name, route.clone())));
            }
        }
    }
    table
}

fn route(attributes: &Value, next_hop: &str) -> Route {
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let tuples = |key: &str| {
        let tuple =
            |one: &Value| one.as_array().into_iter().flatten().map(Value::to_string).collect::<Vec<_>>().join(":");
        attributes[key].as_array().into_iter().flatten().map(tuple).collect()
    };
    let extended = attributes["extended-community"].as_array().into_iter().flatten();
    Route {
        next_hop: next_hop.to_owned(),
        as_path: attributes["as-path"].as_array().into_iter().flatten().filter_map(number).collect(),
        med: number(&attributes["med"]),
        communities: tuples("community"),
        large_communities: tuples("large-community"),
        extended_communities: extended.filter_map(|one| one["string"].as_str()).map(extended_community).collect(),
        bandwidth: None,
        otc: None,
    }
}

/// `target:65010:100`; an origin by an address it writes the other way round, `origin:5:192.0.2.1`.
fn extended_community(text: &str) -> String {
    match text.split(':').collect::<Vec<_>>()[..] {
        ["target", who, number] => format!("rt:{who}:{number}"),
        ["origin", number, who] => format!("soo:{who}:{number}"),
        _ => text.to_owned(),
    }
}

/// Of what was agreed on it tells nothing but our OPEN.
fn session(events: &[Value], options: &Options) -> Option<Session> {
    let session = of_session(events);
    if session.is_empty() {
        return None;
    }
    let open = events.iter().rfind(|event| event["type"] == "open")?;
    let open = &open["neighbor"]["open"];
    let known = [
        ("enhanced-route-refresh", Capability::EnhancedRefresh),
        ("extended-message", Capability::ExtendedMessage),
        ("nexthop", Capability::ExtendedNextHop),
        ("graceful-restart", Capability::GracefulRestart),
    ];
    let names: Vec<_> =
        open["capabilities"].as_object()?.values().filter_map(|capability| capability["name"].as_str()).collect();
    let updates = session.iter().filter(|event| event["type"] == "update").count();
    Some(Session {
        hold_time: open["hold_time"].as_u64()?.min(options.hold_time.into()),
        updates: u64::try_from(updates).ok()?,
        heard: known.into_iter().filter(|(name, _)| names.contains(name)).map(|(_, what)| what).collect(),
        role: None,
    })
}
