//! Orders of an operator, and that they are kept.

use nix::sys::signal::Signal;

use crate::edge::{Edge, PLAIN, V4, V6, has_community, story};

#[tokio::test(flavor = "multi_thread")]
async fn a_withdraw_says_goodbye_first_and_survives_the_agent() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let ordered = edge.ctl(&["withdraw", "web", "--reason", "kernel update"]).await?;
        assert!(ordered.status.success(), "{}", ordered.errors);
        assert!(ordered.output.contains(V4) && ordered.output.contains(V6), "it names what moves: {}", ordered.output);
        edge.announced_with(V4, "gracefulShutdown").await?;
        edge.withdrawn(V4).await?;
        edge.withdrawn(V6).await?;
        let waited = edge.ctl(&["withdraw", "web", "--wait", "--timeout", "20s"]).await?;
        assert!(waited.status.success(), "{}{}", waited.output, waited.errors);
        assert_eq!(edge.sessions().await?, 1, "the session stays up");

        edge.lab.kill("edge", "anycastd", Signal::SIGKILL).await?;
        edge.wait("it is gone", async || Ok(edge.lab.pids("edge", "anycastd").await?.is_empty())).await?;
        edge.start().await?;
        edge.wait("there is a second session", async || Ok(edge.sessions().await? == 2)).await?;
        edge.wait("it is healthy and drained", async || {
            let service = edge.ask(&["status"]).await?["services"][0].clone();
            Ok(service["health"] == "up" && service["state"] == "drained")
        })
        .await?;
        assert_eq!(edge.path(V4).await?, None);
        let status = edge.ctl(&["status"]).await?.output;
        assert!(status.contains("kernel update"), "{status}");

        let back = edge.ctl(&["announce", "web"]).await?;
        assert!(back.status.success(), "{}", back.errors);
        let path = edge.announced(V4).await?;
        assert!(!has_community(&path, "gracefulShutdown"), "{path}");
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn now_skips_the_goodbye_and_degrade_stays_announced() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let waited = edge.ctl(&["withdraw", "--now", "--wait", "--timeout", "20s"]).await?;
        assert!(waited.status.success(), "{}{}", waited.output, waited.errors);
        // Acknowledged by the router's TCP; its table follows at once, but is not TCP.
        edge.withdrawn(V4).await?;
        let events = edge.ctl(&["events"]).await?.output;
        assert!(events.contains("withdraw ordered by root"), "{events}");

        assert!(edge.ctl(&["announce"]).await?.status.success());
        edge.announced(V4).await?;
        assert!(edge.ctl(&["withdraw", "--degrade"]).await?.status.success());
        edge.wait("the path is longer", async || {
            Ok(edge.path(V4).await?.is_some_and(|path| path["aspath"]["length"].as_u64() == Some(4)))
        })
        .await?;
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_order_does_not_undo_the_first() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        assert!(edge.ctl(&["withdraw", "web", "--now", "--reason", "broken disk"]).await?.status.success());
        let second = edge.ctl(&["withdraw", "--for", "1s", "--reason", "quick reboot"]).await?;
        // However the lines are broken.
        let said = second.output.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("ends with `announce`") && said.contains("it joins the order by root"), "{said}");
        let drain = edge.ask(&["status"]).await?["services"][0]["drain"].clone();
        assert_eq!(
            (&drain["reason"], &drain["until"]),
            (&"broken disk; quick reboot".into(), &serde_json::Value::Null)
        );
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn why_the_router_ended_the_session_is_still_shown_while_it_is_dialled() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let shut =
            ["vtysh", "-c", "configure", "-c", "router bgp 65101", "-c", "neighbor 192.0.2.2 shutdown message by noc"];
        edge.lab.run("rtr", &shut).await?;
        let both = async || {
            let error = edge.ask(&["neighbors", "rtr"]).await?[0]["last_error"].to_string();
            Ok(error.contains("by noc") && error.contains("since then"))
        };
        edge.wait("the reason is there, and what came after it", both).await?;
        let status = edge.ctl(&["status"]).await?.output;
        assert!(status.contains("0 of 1 neighbors"), "nobody holds it: {status}");
        // It is a problem of the whole node, and whoever announces is told.
        let off_the_air = async || {
            let problems = edge.ask(&["status"]).await?["problems"].to_string();
            Ok(problems.contains("no neighbor is Established: nothing is announced to anybody (rtr: "))
        };
        edge.wait("it is a problem", off_the_air).await?;
        let said = edge.ctl(&["announce", "web"]).await?.output;
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("to be announced, and no session is Established"), "{said}");
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_maintenance_ends_by_itself() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        assert!(edge.ctl(&["withdraw", "--now", "--for", "3s"]).await?.status.success());
        edge.withdrawn(V4).await?;
        edge.announced(V4).await?;
        assert_eq!(edge.ask(&["status"]).await?["services"][0]["drain"], serde_json::Value::Null);
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

/// A disk that takes nothing does not make a maintenance last for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_maintenance_ends_by_itself_whatever_the_disk_does() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        assert!(edge.ctl(&["withdraw", "--now", "--for", "3s"]).await?.status.success());
        edge.run(&["mount", "-t", "tmpfs", "-o", "ro", "none", "/var/lib/anycastd"]).await?;
        edge.withdrawn(V4).await?;
        edge.announced(V4).await?;
        let problem = async || Ok(edge.ctl(&["status"]).await?.output.contains("an order whose time is over"));
        edge.wait("it is a problem", problem).await?;
        edge.run(&["umount", "/var/lib/anycastd"]).await?;
        edge.wait("it is none any more", async || Ok(!problem().await?)).await?;
        assert!(!edge.run(&["cat", "/var/lib/anycastd/orders.json"]).await?.contains("web"));
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_obeyed_is_refused_with_words() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let wrong = edge.ctl(&["withdraw", "wbe"]).await?;
        assert_eq!(wrong.status.code(), Some(2));
        assert!(wrong.errors.contains("did you mean `web`?"), "{}", wrong.errors);

        // A disk that takes nothing: the order is refused, and nothing moves.
        edge.run(&["mount", "-t", "tmpfs", "-o", "ro", "none", "/var/lib/anycastd"]).await?;
        let full = edge.ctl(&["withdraw", "web", "--now"]).await?;
        assert_eq!(full.status.code(), Some(2), "{}", full.output);
        assert!(full.errors.contains("nothing was changed"), "{}", full.errors);
        assert!(edge.path(V4).await?.is_some());

        edge.lab.kill("edge", "anycastd", Signal::SIGKILL).await?;
        edge.wait("it is gone", async || Ok(edge.lab.pids("edge", "anycastd").await?.is_empty())).await?;
        let away = edge.ctl(&["status"]).await?;
        assert_eq!(away.status.code(), Some(69), "{}", away.errors);
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

/// Who waits to stop the service must not stop it when somebody else announces it again.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_told_when_somebody_ends_it() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        for services in [&["web"][..], &[]] {
            let withdraw = [&["withdraw", "--wait", "--timeout", "60s"], services].concat();
            let ended = async {
                edge.announced_with(V4, "gracefulShutdown").await?;
                edge.ctl(&["announce"]).await
            };
            let (waited, ended) = tokio::join!(edge.ctl(&withdraw), ended);
            let waited = waited?;
            assert!(ended?.status.success());
            assert_eq!(waited.status.code(), Some(1), "{}{}", waited.output, waited.errors);
            assert!(waited.errors.contains("not safe to stop: the maintenance of web was ended"), "{}", waited.errors);
        }
        Ok(())
    };
    let config = PLAIN.replace("graceful_shutdown: 1s", "graceful_shutdown: 30s");
    let edge = Edge::new().await?;
    edge.configure(&config).await?;
    edge.start().await?;
    edge.announced(V4).await?;
    story(told, Ok(edge)).await
}

/// A deployment during a kernel update draws no traffic.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_comes_while_the_node_is_withdrawn_is_withdrawn_too() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        assert!(edge.ctl(&["withdraw", "--now", "--wait", "--reason", "kernel"]).await?.status.success());
        edge.withdrawn(V4).await?;
        edge.configure(&PLAIN.replace("name: web", "name: shop")).await?;
        let would = edge.ctl(&["reload", "--dry-run"]).await?;
        assert!(would.output.contains("under the order for the whole node"), "{would:?}");
        assert!(edge.ctl(&["reload"]).await?.status.success());
        edge.wait("shop is well, and drained", async || {
            let service = edge.ask(&["status"]).await?["services"][0].clone();
            Ok(service["name"] == "shop" && service["health"] == "up" && service["state"] == "drained")
        })
        .await?;
        assert_eq!(edge.path(V4).await?, None);
        edge.wait("the order is on the disk", async || {
            Ok(edge.run(&["cat", "/var/lib/anycastd/orders.json"]).await?.contains("shop"))
        })
        .await?;
        // Nor does one that comes while no agent runs.
        edge.lab.kill("edge", "anycastd", Signal::SIGKILL).await?;
        edge.wait("it is gone", async || Ok(edge.lab.pids("edge", "anycastd").await?.is_empty())).await?;
        edge.configure(&PLAIN.replace("name: web", "name: mail")).await?;
        edge.start().await?;
        edge.wait("mail is well, and drained", async || {
            let service = edge.ask(&["status"]).await?["services"][0].clone();
            let drained = service["name"] == "mail" && service["health"] == "up" && service["state"] == "drained";
            Ok(drained && service["drain"]["reason"] == "kernel")
        })
        .await?;
        assert_eq!(edge.path(V4).await?, None);
        assert!(edge.ctl(&["announce"]).await?.status.success());
        edge.announced(V4).await?;
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_with_its_service() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let gone =
            async || edge.wait("it is gone", async || Ok(edge.lab.pids("edge", "anycastd").await?.is_empty())).await;
        assert!(edge.ctl(&["withdraw", "web", "--now"]).await?.status.success());
        edge.withdrawn(V4).await?;
        edge.configure(&PLAIN.replace("name: web", "name: shop")).await?;
        edge.lab.kill("edge", "anycastd", Signal::SIGHUP).await?;
        edge.announced(V4).await?;
        edge.configure(PLAIN).await?;
        // The only service goes, and with it all that is announced.
        assert!(edge.ctl(&["reload", "--yes"]).await?.status.success());
        edge.wait("web is up", async || Ok(edge.ask(&["status"]).await?["services"][0]["name"] == "web")).await?;
        edge.wait("the order has left the disk", async || {
            Ok(!edge.run(&["cat", "/var/lib/anycastd/orders.json"]).await?.contains("web"))
        })
        .await?;
        edge.announced(V4).await?;

        // A restart remembers what holds, and nothing else.
        edge.lab.kill("edge", "anycastd", Signal::SIGKILL).await?;
        gone().await?;
        edge.withdrawn(V4).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        Ok(())
    };
    story(told, Edge::announcing().await).await
}
