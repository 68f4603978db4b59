//! What keeps a service withdrawn over restarts, starts of the machine and damage to the disk, and what ends that.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::edge::{Edge, LOG, PLAIN, V4, V6, story, with_checks};

const ORDERS: &str = "/var/lib/anycastd/orders.json";
const DISABLED: &str = "/run/web.disabled";

/// A kill, as the machine's power goes: nobody says goodbye.
async fn gone(edge: &Edge) -> anyhow::Result<()> {
    edge.lab.kill("edge", "anycastd", Signal::SIGKILL).await?;
    edge.wait("it is gone", async || Ok(edge.lab.pids("edge", "anycastd").await?.is_empty())).await?;
    edge.withdrawn(V4).await
}

/// Without the breaks of the lines.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

async fn web(edge: &Edge) -> anyhow::Result<Value> {
    Ok(edge.ask(&["status"]).await?["services"][0].clone())
}

async fn drained(edge: &Edge) -> anyhow::Result<Value> {
    // The agent may not answer yet.
    let look = async || web(edge).await.ok().filter(|web| web["state"] == "drained" && web["health"] == "up");
    edge.lab.wait("it is healthy and drained", async || Ok(look().await)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_for_this_boot_outlives_the_agent_and_not_the_boot() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let boot = async |name: &str| {
            let file = format!("/run/boot-{name}");
            edge.lab.write("edge", &file, name).await?;
            edge.run(&["mount", "--bind", &file, "/proc/sys/kernel/random/boot_id"]).await
        };
        boot("one").await?;
        let ordered = edge.ctl(&["withdraw", "--boot", "--wait", "--timeout", "30s", "--reason", "reboot"]).await?;
        assert!(ordered.status.success(), "{}{}", ordered.output, ordered.errors);
        assert!(words(&ordered.output).contains("when the machine starts anew"), "{}", ordered.output);
        let status = words(&edge.ctl(&["status"]).await?.output);
        assert!(status.contains("until the machine starts anew"), "{status}");

        gone(edge).await?;
        edge.start().await?;
        assert_eq!(drained(edge).await?["drain"]["until_boot"], true, "the agent alone was restarted");

        gone(edge).await?;
        boot("two").await?;
        edge.start().await?;
        edge.announced(V4).await?;
        let events = edge.ctl(&["events"]).await?.output;
        assert!(events.contains("ended while no agent ran"), "{events}");
        edge.wait("the order has left the disk", async || Ok(!edge.run(&["cat", ORDERS]).await?.contains("web"))).await
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_does_not_end_what_somebody_has_withdrawn_before() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        assert!(edge.ctl(&["withdraw", "web", "--now", "--reason", "broken disk"]).await?.status.success());
        let ordered = edge.ctl(&["withdraw", "--boot", "--reason", "reboot"]).await?;
        assert!(words(&ordered.output).contains("ends with `announce`"), "{}", ordered.output);
        assert_eq!(web(edge).await?["drain"]["until_boot"], false);
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_cannot_be_read_leave_the_node_withdrawn_until_announce() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        assert!(edge.ctl(&["withdraw", "web", "--now"]).await?.status.success());
        assert!(edge.ctl(&["announce"]).await?.status.success());
        edge.announced(V4).await?;
        // Something of others, that must stay.
        edge.run(&["ip", "address", "add", "198.51.100.7/32", "dev", "lo"]).await?;
        gone(edge).await?;
        edge.run(&["truncate", "-s", "9", ORDERS]).await?;
        edge.start().await?;
        let drain = drained(edge).await?["drain"].clone();
        assert_eq!(drain["by"], "the agent itself", "{drain}");
        let status = words(&edge.ctl(&["status"]).await?.output);
        assert!(
            status.contains("orders.json could not be read") && status.contains("orders.json.unreadable-"),
            "{status}"
        );
        assert_eq!(edge.path(V4).await?, None);

        // It stays so, whatever restarts.
        gone(edge).await?;
        edge.start().await?;
        drained(edge).await?;
        assert!(edge.run(&["sh", "-c", "cat /var/lib/anycastd/orders.json.unreadable-*"]).await?.starts_with("{"));

        assert!(edge.ctl(&["announce"]).await?.status.success());
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        assert!(!words(&edge.ctl(&["status"]).await?.output).contains("could not be read"));
        assert!(edge.addresses().await?.contains(&"198.51.100.7/32".to_owned()));
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disable_file_withdraws_and_its_end_announces() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let check = r#"name: told, type: exec, command: [/bin/sh, -c, "exit $(cat /run/health || echo 2)"], interval: 200ms, fast_interval: 50ms"#;
        let keys = format!("disable_file: {DISABLED}\ndrain: {{ graceful_shutdown: 1s, linger: 200ms }}");
        edge.configure(&with_checks(&[check], &keys)).await?;
        edge.lab.write("edge", DISABLED, "").await?;
        edge.start().await?;
        let drain = drained(edge).await?["drain"].clone();
        assert_eq!((&drain["disable_file"], &drain["by"]), (&DISABLED.into(), &"its `disable_file`".into()), "{drain}");
        assert_eq!(edge.path(V4).await?, None, "it is heeded from the first moment");
        // `announce` is no way round it, and says so.
        let announced = edge.ctl(&["announce", "web"]).await?;
        assert!(words(&announced.output).contains(DISABLED), "{}", announced.output);

        edge.run(&["rm", DISABLED]).await?;
        edge.announced(V4).await?;
        edge.lab.write("edge", DISABLED, "").await?;
        edge.announced_with(V4, "gracefulShutdown").await?;
        edge.withdrawn(V4).await?;
        let waited = edge.ctl(&["withdraw", "web", "--wait", "--timeout", "30s"]).await?;
        assert!(waited.status.success(), "{}{}", waited.output, waited.errors);
        let beside = words(&edge.ctl(&["status"]).await?.output);
        assert!(beside.contains(&format!("and while {DISABLED} is there")), "{beside}");
        let beside = words(&edge.ctl(&["explain", "web"]).await?.output);
        assert!(beside.contains(&format!("{DISABLED} is there too")), "{beside}");
        // One of two ends.
        let ended = words(&edge.ctl(&["announce"]).await?.output);
        assert!(ended.contains("ended the withdraw by root") && ended.contains(DISABLED), "{ended}");
        assert!(!ended.contains("is announced again"), "{ended}");
        assert!(edge.ctl(&["withdraw", "web"]).await?.status.success());
        edge.run(&["rm", DISABLED]).await?;
        // The operator's order stands.
        edge.wait("it is the operator's alone", async || Ok(web(edge).await?["drain"]["by"] == "root")).await?;
        assert!(edge.ctl(&["announce"]).await?.status.success());
        edge.announced(V4).await?;
        let why = edge.ctl(&["events"]).await?.output;
        assert!(words(&why).contains("is there"), "{why}");

        // No more in the configuration: no more heeded.
        edge.lab.write("edge", DISABLED, "").await?;
        edge.withdrawn(V4).await?;
        edge.configure(PLAIN).await?;
        let would = words(&edge.ctl(&["reload", "--dry-run"]).await?.output);
        assert!(would.contains(&format!("route {V4} to rtr announced")), "{would}");
        edge.reload().await?;
        edge.announced(V4).await?;

        // A file that is there withdraws everything: that is asked for twice.
        edge.configure(&with_checks(&[check], &keys)).await?;
        let refused = edge.ctl(&["reload"]).await?;
        assert!(!refused.status.success(), "{}", refused.output);
        let said = words(&(refused.output + &refused.errors));
        assert!(said.contains("it would withdraw everything") && said.contains("drained:"), "{said}");
        assert!(edge.path(V4).await?.is_some());
        assert!(edge.ctl(&["reload", "--yes"]).await?.status.success());
        edge.withdrawn(V4).await?;
        assert_eq!(drained(edge).await?["drain"]["disable_file"], DISABLED);
        Ok(())
    };
    story(told, Edge::new().await).await
}

/// A disk that takes nothing: an end is obeyed, with a warning, and comes to the disk when it can.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_does_not_keep_a_node_withdrawn() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        assert!(edge.ctl(&["withdraw", "web", "--now", "--reason", "kernel"]).await?.status.success());
        edge.withdrawn(V4).await?;
        edge.run(&["mount", "-t", "tmpfs", "-o", "size=4k", "none", "/var/lib/anycastd"]).await?;
        // Its one page is the file that is there.
        edge.run(&["sh", "-c", "head -c 8192 /dev/zero >/var/lib/anycastd/full; true"]).await?;
        let refused = edge.ctl(&["withdraw", "web", "--now"]).await?;
        assert_eq!(refused.status.code(), Some(2), "{}", refused.output);
        let back = edge.ctl(&["announce", "web"]).await?;
        assert!(back.status.success(), "{}", back.errors);
        let said = words(&back.output);
        assert!(said.contains("not on the disk (No space left on device"), "{said}");
        edge.announced(V4).await?;
        let problem = async || anyhow::Ok(words(&edge.ctl(&["status"]).await?.output).contains("but not on the disk"));
        assert!(problem().await?);
        // Another program has the same to write.
        assert!(edge.ctl(&["upgrade"]).await?.status.success());
        assert!(problem().await?, "it is not forgotten");
        edge.run(&["umount", "/var/lib/anycastd"]).await?;
        edge.wait("the disk has it", async || Ok(!edge.run(&["cat", ORDERS]).await?.contains("web"))).await?;
        edge.wait("it is no problem any more", async || Ok(!problem().await?)).await
    };
    story(told, Edge::announcing().await).await
}

/// Whoever has no descriptor to look with has seen nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_descriptors_says_so_and_moves_nothing() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let check = r#"name: told, type: exec, command: [/bin/sh, -c, "exit $(cat /run/health || echo 2)"], interval: 200ms, fast_interval: 50ms"#;
        edge.configure(&(with_checks(&[check], &format!("disable_file: {DISABLED}")) + "stale_after: 10m\n")).await?;
        edge.start().await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        let pids = edge.lab.pids("edge", "anycastd").await?;
        let pid = pids.first().ok_or_else(|| anyhow::anyhow!("it does not run"))?.to_string();
        let limit = async |soft: &str| edge.run(&["prlimit", "--pid", &pid, &format!("--nofile={soft}:")]).await;
        let checked = async || {
            let check = edge.ask(&["status"]).await?["services"][0]["checks"][0].clone();
            anyhow::Ok((check["runs"].as_u64().unwrap_or_default(), check["inconclusive"].as_u64().unwrap_or_default()))
        };
        let (updates, (runs, _)) = (edge.updates().await?, checked().await?);
        limit("3").await?;
        edge.wait("it says so", async || Ok(edge.run(&["cat", LOG]).await?.contains("too many open files"))).await?;
        // Who asks has to wait meanwhile.
        let asks = edge.ctl(&["status"]);
        let after = async {
            tokio::time::sleep(std::time::Duration::from_secs(3)).await;
            limit("1024").await
        };
        let (asked, limited) = tokio::join!(asks, after);
        limited?;
        asked?;
        edge.wait("it checks again", async || Ok(checked().await?.0 > runs + 5)).await?;
        assert!(checked().await?.1 > 0, "there were runs that proved nothing");
        assert_eq!((edge.updates().await?, edge.sessions().await?), (updates, 1), "nothing was withdrawn or announced");
        let web = web(edge).await?;
        assert_eq!((&web["state"], &web["health"]), (&"up".into(), &"up".into()), "{web}");
        Ok(())
    };
    story(told, Edge::new().await).await
}
