//! Sessions come up, agree on intervals, and end in order.

use std::time::Duration;

use anycast_lab::harness::control::{MULTIHOP_PORT, SINGLE_HOP_PORT, state};
use anyhow::ensure;
use nix::sys::signal::Signal;

use super::{
    AGENT, FAST, ROUTER, bfdd, changes, edge, is_settled, is_so, is_up, ours, seen, sent_by, theirs, up, watch, with,
};
use crate::edge::{Edge, PLAIN, V4, router, story};

const NEIGHBOR: &str = "- { name: rtr, address: 192.0.2.1, asn: 65101, hold_time: 9s }";

#[tokio::test(flavor = "multi_thread")]
async fn both_families_come_up_each_at_its_pace() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        // On the line of the neighbor itself FRR takes 50 ms and more.
        bfdd(edge, "rtr", &["profile fast", "receive-interval 10", "transmit-interval 10"]).await?;
        router(edge, &["neighbor 192.0.2.2 bfd 3 50 50", "neighbor 2001:db8:1::2 bfd profile fast"]).await?;
        let six = "- { name: six, address: \"2001:db8:1::1\", asn: 65101, families: [ipv6], hold_time: 9s, bfd: { interval: 10ms, multiplier: 3 } }";
        edge.configure(&with(FAST).replace("\nservices:", &format!("\n    {six}\nservices:"))).await?;
        let capture = watch(edge).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        is_up(edge).await?;
        for (neighbor, peer, interval) in [("rtr", AGENT, 50), ("six", "2001:db8:1::2", 10)] {
            // On a machine that does other things 10 ms may be lost now and then: not that it stays is asked for, but that it is.
            edge.wait(&format!("{neighbor} is agreed on"), async || {
                let (theirs, ours) = (theirs(edge, "rtr", peer).await?, ours(edge, neighbor).await?);
                let seconds = f64::from(interval) / 1000.0;
                Ok(theirs["status"] == "up"
                    && theirs["multihop"] == false
                    && theirs["remote-transmit-interval"] == interval
                    && theirs["remote-receive-interval"] == interval
                    && theirs["remote-echo-receive-interval"] == 0
                    && theirs["remote-detect-multiplier"] == 3
                    && ours["state"] == "Up"
                    && ours["multihop"] == false
                    && ours["transmit_seconds"] == seconds
                    && ours["receive_seconds"] == seconds
                    && ours["detection_seconds"].as_f64().is_some_and(|time| (time - 3.0 * seconds).abs() < 1e-9)
                    && ours["remote_discriminator"] == theirs["id"]
                    && ours["local_discriminator"] == theirs["remote-id"])
            })
            .await?;
        }
        let packets = capture.end().await?.controls().await?;
        ensure!(packets.iter().all(|packet| packet.port == SINGLE_HOP_PORT));
        for end in [AGENT, "2001:db8:1::2"] {
            let sent = sent_by(&packets, end)?;
            ensure!(sent.iter().any(|packet| packet.is_up()), "{sent:?}");
        }
        Ok(())
    };
    story(told, edge().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_behind_a_router_has_a_multihop_session_in_either_family() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let lines = [
            "neighbor 192.0.2.2 remote-as 65010",
            "neighbor 192.0.2.2 ebgp-multihop 2",
            "neighbor 192.0.2.2 passive",
            "neighbor 192.0.2.2 bfd 3 50 50",
            "neighbor 2001:db8:1::2 remote-as 65010",
            "neighbor 2001:db8:1::2 ebgp-multihop 2",
            "neighbor 2001:db8:1::2 passive",
            "neighbor 2001:db8:1::2 bfd 3 50 50",
            "address-family ipv4 unicast",
            "neighbor 192.0.2.2 activate",
            "neighbor 192.0.2.2 route-map ALL in",
            "neighbor 192.0.2.2 route-map NOTHING out",
            "exit-address-family",
            "address-family ipv6 unicast",
            "neighbor 2001:db8:1::2 activate",
        ];
        let mut argv = vec!["vtysh", "-c", "configure terminal", "-c", "router bgp 65001"];
        argv.extend(lines.iter().flat_map(|line| ["-c", *line]));
        edge.lab.run("peer", &argv).await?;
        let neighbor = |name, address, families| {
            format!(
                "- {{ name: {name}, address: \"{address}\", asn: 65001, families: [{families}], hold_time: 9s, multihop: 2, bfd: {FAST} }}"
            )
        };
        let four = neighbor("four", "192.0.2.6", "ipv4");
        let both = format!("{four}\n    {}", neighbor("six", "2001:db8:2::2", "ipv6"));
        edge.configure(&PLAIN.replace(NEIGHBOR, &both)).await?;
        let capture = watch(edge).await?;
        edge.start().await?;
        for (name, peer) in [("four", AGENT), ("six", "2001:db8:1::2")] {
            edge.wait(&format!("{name} is Up"), async || {
                let (theirs, ours) = (theirs(edge, "peer", peer).await?, ours(edge, name).await?);
                Ok(theirs["status"] == "up"
                    && theirs["multihop"] == true
                    && ours["state"] == "Up"
                    && ours["multihop"] == true
                    && theirs["remote-transmit-interval"] == 50)
            })
            .await?;
        }
        edge.lab.wait("it announces", async || crate::edge::path(&edge.lab, "peer", V4).await).await?;
        let packets = capture.end().await?.controls().await?;
        ensure!(packets.iter().all(|packet| packet.port == MULTIHOP_PORT));
        for end in [AGENT, "2001:db8:1::2"] {
            sent_by(&packets, end)?;
        }
        let theirs = packets.iter().find(|packet| packet.from.to_string() == "192.0.2.6");
        ensure!(theirs.is_some_and(|packet| packet.ttl == 254), "a hop was taken off: {theirs:?}");
        // What a reload changes is in force at once.
        let losses = [ours(edge, "four").await?["losses"].clone(), ours(edge, "six").await?["losses"].clone()];
        let reload = async |bfd: &str| {
            edge.configure(&PLAIN.replace(NEIGHBOR, &both.replace(FAST, bfd))).await?;
            ensure!(edge.ctl(&["reload"]).await?.status.success(), "{bfd}");
            anyhow::Ok(())
        };
        reload("{ interval: 100ms, multiplier: 3, min_ttl: 60 }").await?;
        edge.wait("both have the other interval", async || {
            let (four, six) =
                (super::theirs(edge, "peer", AGENT).await?, super::theirs(edge, "peer", "2001:db8:1::2").await?);
            Ok([four, six].iter().all(|theirs| theirs["remote-transmit-interval"] == 100))
        })
        .await?;
        let now = [ours(edge, "four").await?["losses"].clone(), ours(edge, "six").await?["losses"].clone()];
        ensure!(now == losses, "{losses:?} became {now:?}");
        reload("{ interval: 100ms, multiplier: 3, min_ttl: 255 }").await?;
        edge.wait("what comes from farther away is not taken", async || {
            Ok(ours(edge, "four").await?["last_discard"] == "a TTL of 254, and 255 is the least")
        })
        .await
    };
    story(told, edge().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn intervals_change_at_either_end_and_nothing_flaps() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        // What the neighbor's own line says goes before the profile, and FRR 8.4 does not change that while there is a session.
        bfdd(edge, "rtr", &["profile plain", "receive-interval 50", "transmit-interval 50"]).await?;
        router(edge, &["neighbor 192.0.2.2 bfd profile plain"]).await?;
        edge.configure(&with(FAST)).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        is_settled(edge).await?;
        let (before, downs) = (seen(edge).await?, changes(edge).await?);
        let capture = watch(edge).await?;
        edge.configure(&with("{ interval: 120ms, multiplier: 4 }")).await?;
        edge.reload().await?;
        edge.wait("the agent's are taken note of", async || {
            let theirs = theirs(edge, "rtr", AGENT).await?;
            Ok(theirs["remote-transmit-interval"] == 120
                && theirs["remote-receive-interval"] == 120
                && theirs["remote-detect-multiplier"] == 4
                && ours(edge, "rtr").await?["transmit_seconds"] == 0.12)
        })
        .await?;
        let slower = ["profile plain", "detect-multiplier 5", "receive-interval 200", "transmit-interval 200"];
        bfdd(edge, "rtr", &slower).await?;
        edge.wait("the router's are taken note of", async || {
            let ours = ours(edge, "rtr").await?;
            is_so(
                ours["receive_seconds"] == 0.2 && ours["transmit_seconds"] == 0.2 && ours["detection_seconds"] == 1.0,
                &ours,
            )
        })
        .await?;
        edge.configure(&with(FAST)).await?;
        edge.reload().await?;
        let faster = ["profile plain", "detect-multiplier 3", "receive-interval 50", "transmit-interval 50"];
        bfdd(edge, "rtr", &faster).await?;
        edge.wait("both are as they were", async || {
            let (theirs, ours) = (theirs(edge, "rtr", AGENT).await?, ours(edge, "rtr").await?);
            Ok(theirs["remote-transmit-interval"] == 50
                && ours["transmit_seconds"] == 0.05
                && ours["detection_seconds"].as_f64().is_some_and(|time| (time - 0.15).abs() < 1e-9))
        })
        .await?;

        let packets = capture.end().await?.controls().await?;
        for (end, other) in [(AGENT, ROUTER), (ROUTER, AGENT)] {
            let polls = packets.iter().filter(|packet| packet.from.to_string() == end && packet.poll).count();
            let finals = packets.iter().filter(|packet| packet.from.to_string() == other && packet.is_final).count();
            ensure!(polls > 0 && finals > 0, "{end} polls {polls} times, and {other} answers {finals} times");
        }
        ensure!(packets.iter().all(|packet| packet.is_up() && !(packet.poll && packet.is_final)));
        ensure!(changes(edge).await? == downs && seen(edge).await? == before, "BGP knows nothing of it");
        Ok(())
    };
    story(told, edge().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_bfd_down_at_the_router_leaves_bgp_alone() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        bfdd(edge, "rtr", &["profile held", "receive-interval 50", "transmit-interval 50"]).await?;
        router(edge, &["neighbor 192.0.2.2 bfd profile held"]).await?;
        is_settled(edge).await?;
        let before = seen(edge).await?;
        bfdd(edge, "rtr", &["profile held", "shutdown"]).await?;
        edge.wait("the agent knows who did it", async || {
            let events = edge.ctl(&["events"]).await?.output;
            Ok(events.contains("BFD Down: the neighbor's operator has taken it down"))
        })
        .await?;
        // More than a hold time, and more than any detection time. FRR says AdminDown for a moment, and then nothing.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let down = ours(edge, "rtr").await?;
        ensure!(
            down["state"] == "Down" && down["remote_state"] == "AdminDown" && seen(edge).await? == before,
            "{down}"
        );
        ensure!(edge.path(V4).await?.is_some(), "{}", edge.session().await?);
        // What says nothing of the path keeps nobody from beginning.
        edge.configure(&with("{ interval: 50ms, multiplier: 3, strict: true }")).await?;
        edge.reload().await?;
        edge.lab.run("rtr", &["vtysh", "-c", "clear bgp *"]).await?;
        edge.wait("there is another session", async || Ok(edge.sessions().await? > before.1)).await?;
        edge.announced(V4).await?;
        // Nor does it where the session, its task and the one of BFD are others, and the router says nothing more.
        let before = edge.sessions().await?;
        let strict = with("{ interval: 50ms, multiplier: 3, strict: true }");
        edge.configure(&strict.replace("hold_time: 9s", "hold_time: 12s")).await?;
        ensure!(edge.ctl(&["reload", "--yes"]).await?.status.success());
        edge.wait("there is one more", async || Ok(edge.sessions().await? > before)).await?;
        edge.announced(V4).await?;
        ensure!(ours(edge, "rtr").await?["remote_state"] == "AdminDown", "{}", ours(edge, "rtr").await?);
        let before = seen(edge).await?;
        bfdd(edge, "rtr", &["profile held", "no shutdown"]).await?;
        is_up(edge).await?;
        ensure!(seen(edge).await? == before, "{:?}", seen(edge).await?);
        Ok(())
    };
    story(told, up().await).await
}

/// One capture: GSHUT, withdraw, Cease, AdminDown, and only then nobody answers any more.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_ends_says_so_in_order() -> anyhow::Result<()> {
    const PING: &str = "for i in $(seq 2000); do echo >/dev/udp/203.0.113.80/7; sleep 0.01; done 2>/dev/null";
    let told = async |edge: &Edge| {
        // The router sends there whatever it has been told: an ICMP error, or an answer of the kernel's, shows that the address is there.
        edge.lab.run("rtr", &["ip", "route", "add", "203.0.113.80/32", "via", AGENT]).await?;
        let text = with(FAST) + "shutdown: drain\n";
        edge.configure(&text).await?;
        assert!(edge.ctl(&["reload"]).await?.status.success());
        let downs = changes(edge).await?;
        let capture = watch(edge).await?;
        edge.lab.start("rtr", &["timeout", "20", "bash", "-c", PING], "/dev/null").await?;
        edge.lab.kill("edge", "anycastd", Signal::SIGTERM).await?;
        edge.wait("it has ended", async || Ok(edge.lab.pids("edge", "anycastd").await?.is_empty())).await?;
        let captured = capture.end().await?;
        let when = async |filter: &str, last: bool| {
            let said = captured.tshark(&["-Y", filter, "-T", "fields", "-e", "frame.time_epoch"]).await?;
            let mut lines = said.lines();
            let line = if last { lines.next_back() } else { lines.next() };
            let at = line.ok_or_else(|| anyhow::anyhow!("no packet is {filter}"))?;
            anyhow::Ok(at.parse::<f64>()?)
        };
        let from = format!("ip.src == {AGENT}");
        let gshut =
            when(&format!("{from} and bgp.update.path_attribute.community_wellknown == 0xffff0000"), false).await;
        let withdraw = when(&format!("{from} and bgp.update.withdrawn_routes.length > 0"), false).await?;
        let cease =
            when(&format!("{from} and bgp.notify.major_error == 6 and bgp.notify.minor_error_cease == 2"), false)
                .await?;
        let down = when(&format!("{from} and bfd.sta == 0"), false).await?;
        let last_up = when(&format!("{from} and bfd.sta == 3"), true).await?;
        let answered = when("icmp.type == 3 and ip.src == 203.0.113.80", true).await?;
        ensure!(gshut? < withdraw && withdraw < cease, "GSHUT, withdraw, Cease");
        ensure!(cease < down && last_up < down, "Cease {cease}, AdminDown {down}, last Up {last_up}");
        let said = captured.controls().await?;
        let last = said.iter().rev().find(|packet| packet.from.to_string() == AGENT);
        ensure!(last.is_some_and(|packet| (packet.state, packet.diagnostic) == (state::ADMIN_DOWN, 7)), "{last:?}");
        ensure!(answered > down, "the address was there at {answered}, after AdminDown at {down}");
        // Nobody was taken for gone.
        ensure!(changes(edge).await?.0 == downs.0, "{:?}", changes(edge).await?);
        Ok(())
    };
    story(told, up().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_waits_for_the_path_and_the_default_does_not() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(&with("{ interval: 50ms, multiplier: 3, strict: true }")).await?;
        edge.start().await?;
        edge.wait("it says what it waits for", async || {
            Ok(edge.ask(&["neighbors", "rtr"]).await?.to_string().contains("strict"))
        })
        .await?;
        tokio::time::sleep(Duration::from_secs(4)).await;
        ensure!(edge.sessions().await? == 0 && edge.path(V4).await?.is_none());
        router(edge, &["neighbor 192.0.2.2 bfd 3 50 50"]).await?;
        edge.announced(V4).await?;
        is_up(edge).await?;

        // A router that does not speak it is a neighbor all the same.
        router(edge, &["no neighbor 192.0.2.2 bfd"]).await?;
        edge.configure(&with(FAST)).await?;
        edge.lab.kill("edge", "anycastd", Signal::SIGKILL).await?;
        edge.withdrawn(V4).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        ensure!(ours(edge, "rtr").await?["state"] == "Down", "{}", ours(edge, "rtr").await?);
        Ok(())
    };
    story(told, edge().await).await
}

/// By its interface, both ends with link-local addresses.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_local_neighbor_has_a_session() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        crate::unnumbered::router_is_unnumbered(edge).await?;
        router(edge, &["neighbor edge bfd 3 50 50"]).await?;
        let unnumbered = "- { name: rtr, interface: eth1, asn: external, hold_time: 9s, bfd: { interval: 50ms } }";
        let text = PLAIN.replace(NEIGHBOR, unnumbered).replace("asn: 65010\n", "asn: 65010\n  router_id: 192.0.2.2\n");
        edge.configure(&text).await?;
        let capture = watch(edge).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        let up = async || {
            let session = ours(edge, "rtr").await?;
            Ok(session["state"] == "Up" && session["interface"] == "eth1")
        };
        edge.wait("it is Up", up).await?;
        let at = ours(edge, "rtr").await?["local_address"].as_str().unwrap_or_default().to_owned();
        let at = at.split('%').next().unwrap_or_default();
        ensure!(at.starts_with("fe80:"), "{at}");
        let packets = capture.end().await?.controls().await?;
        sent_by(&packets, at)?;
        // The link goes, and comes again.
        edge.run(&["ip", "link", "set", "eth1", "down"]).await?;
        edge.withdrawn(V4).await?;
        edge.run(&["ip", "link", "set", "eth1", "up"]).await?;
        edge.announced(V4).await?;
        edge.wait("it is Up again", up).await
    };
    story(told, edge().await).await
}

/// Whoever waits to be dialled speaks BFD before; a router of a network is known when it has connected.
#[tokio::test(flavor = "multi_thread")]
async fn routers_that_dial_have_sessions() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        crate::passive::router_connects(edge).await?;
        router(edge, &["neighbor 192.0.2.2 bfd 3 50 50"]).await?;
        edge.configure(&with(FAST).replace("hold_time: 9s", "hold_time: 9s, connect: passive")).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        is_up(edge).await?;
        edge.configure(&with(FAST).replace("name: rtr, address: 192.0.2.1,", "name: leafs, prefix: 192.0.2.0/30,"))
            .await?;
        edge.reload().await?;
        edge.wait("the network's router is Up", async || {
            let session = ours(edge, "leafs@192.0.2.1").await?;
            Ok(session["state"] == "Up" && theirs(edge, "rtr", AGENT).await?["status"] == "up")
        })
        .await?;
        edge.announced(V4).await.map(drop)
    };
    story(told, edge().await).await
}
