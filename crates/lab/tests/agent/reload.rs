//! A changed file is applied as a difference.

use nix::sys::signal::Signal;

use crate::edge::{Edge, PLAIN, V4, V6, story};

/// A second service, with an address of its own.
const MAIL: &str = r#"  - name: mail
    addresses: [198.51.100.25]
    checks: [{ name: true, type: exec, command: [/bin/true], interval: 200ms }]
"#;

fn with_mail() -> String {
    PLAIN.replace("log:", &format!("{}log:", MAIL.replace("name: true", "name: always")))
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_services_that_did_not_change_do_not_notice() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let runs = edge.ask(&["status"]).await?["services"][0]["checks"][0]["runs"].as_u64().unwrap_or_default();
        edge.configure(&with_mail().replace("65010:100", "65010:200").replace("interval: 200ms", "interval: 300ms"))
            .await?;
        edge.lab.kill("edge", "anycastd", Signal::SIGHUP).await?;
        edge.announced_with(V4, "65010:200").await?;
        edge.announced_with(V6, "65010:200").await?;
        edge.announced("198.51.100.25/32").await?;
        assert_eq!(edge.sessions().await?, 1);
        let events = edge.ctl(&["events"]).await?.output;
        assert!(!events.contains("withdrawn"), "nothing was away, not for a moment: {events}");
        let after = edge.ask(&["status"]).await?;
        let web = after["services"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "web")).cloned();
        let now = web.unwrap_or_default()["checks"][0]["runs"].as_u64().unwrap_or_default();
        assert!(now >= runs, "the check went on: {after}");

        // And away again: withdrawn, then unbound.
        edge.configure(PLAIN).await?;
        edge.lab.kill("edge", "anycastd", Signal::SIGHUP).await?;
        edge.withdrawn("198.51.100.25/32").await?;
        edge.wait("its address is gone", async || {
            Ok(!edge.addresses().await?.iter().any(|one| one == "198.51.100.25/32"))
        })
        .await?;
        edge.announced_with(V4, "65010:100").await?;
        assert_eq!(edge.sessions().await?, 1);
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

/// What a service was stands while its new checks find out; not for ever, however often they are replaced.
#[tokio::test(flavor = "multi_thread")]
async fn checks_that_are_all_replaced_by_some_that_never_decide_leave_nothing_claimed() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let later = |name: &str| {
            let check = format!(
                "      - {{ name: {name}, type: exec, command: [/bin/true], start_delay: 1h, interval: 1s }}\n"
            );
            let begin = PLAIN.find("      - name: told").unwrap_or_default();
            let end = PLAIN.find("    up:").unwrap_or_default();
            format!("stale_after: 5s{}{check}{}", &PLAIN[..begin], &PLAIN[end..])
        };
        let number = std::cell::Cell::new(0);
        // It is announced for as long as an answer is believed, 10 s here; each reload is well within that.
        edge.wait("it is withdrawn in spite of the reloads", async || {
            number.set(number.get() + 1);
            edge.configure(&later(&format!("later{}", number.get()))).await?;
            edge.reload().await?;
            Ok(edge.path(V4).await?.is_none())
        })
        .await?;
        assert!(number.get() > 1, "not at once: what it was stands for a while");
        let why = edge.ctl(&["explain", "web"]).await?.output;
        assert!(why.contains("later"), "{why}");
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_changes_nothing_and_says_why() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let updates = edge.updates().await?;
        edge.configure(&PLAIN.replace("asn: 65010", "asn: 0").replace("hold_time: 9s", "hold_time: 1s")).await?;
        edge.lab.kill("edge", "anycastd", Signal::SIGHUP).await?;
        let refused = async || {
            let problems = edge.ask(&["status"]).await?["problems"].to_string();
            Ok(problems.contains("the last reload was refused") && problems.contains("anycastd.yaml:"))
        };
        edge.wait("the status says so", refused).await?;
        assert_eq!((edge.sessions().await?, edge.updates().await?), (1, updates));
        assert!(edge.path(V4).await?.is_some());

        edge.configure(PLAIN).await?;
        edge.lab.kill("edge", "anycastd", Signal::SIGHUP).await?;
        let well = async || Ok(edge.ask(&["status"]).await?["problems"].as_array().is_some_and(Vec::is_empty));
        edge.wait("a good file ends the complaint", well).await?;
        assert_eq!((edge.sessions().await?, edge.updates().await?), (1, updates), "nothing had changed");
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbor_that_changed_gets_a_new_session_after_the_old_has_closed() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(&PLAIN.replace("hold_time: 9s", "hold_time: 6s")).await?;
        let would = edge.ctl(&["reload", "--dry-run"]).await?.output;
        let would = would.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(would.contains("with no other session there, all that this node announces is away"), "{would}");
        edge.lab.kill("edge", "anycastd", Signal::SIGHUP).await?;
        edge.wait("there is a second session", async || Ok(edge.sessions().await? == 2)).await?;
        edge.announced(V4).await?;
        assert_eq!(edge.session().await?["bgpTimerHoldTimeMsecs"], 6000);
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

/// What is told beforehand is what is done, and telling it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_difference_is_told_then_done() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let same = edge.ctl(&["reload"]).await?;
        assert!(same.status.code() == Some(0) && same.output.contains("nothing changes"), "{same:?}");
        let updates = edge.updates().await?;
        edge.configure(&with_mail().replace("65010:100", "65010:200").replace("med: 50", "med: 60")).await?;
        let dry = edge.ctl(&["reload", "--dry-run"]).await?;
        assert_eq!(dry.status.code(), Some(0), "{dry:?}");
        let words = dry.output.split_whitespace().collect::<Vec<_>>().join(" ");
        for expected in [
            "route 203.0.113.0/24 to rtr announced anew, with MED 60 for MED 50, with community 65010:200 for community 65010:100",
            "address 198.51.100.25 added",
            "service mail added: 198.51.100.25/32 is announced to rtr once its checks pass",
            "service web `degraded`, `up` changed",
            "nothing was done",
        ] {
            assert!(words.contains(expected), "{expected}: {}", dry.output);
        }
        assert_eq!((edge.updates().await?, edge.sessions().await?), (updates, 1));
        assert!(edge.ask(&["status"]).await?["services"].as_array().is_some_and(|all| all.len() == 1));
        let done = edge.ask(&["reload"]).await?;
        assert_eq!(done["verdict"], "done");
        edge.announced_with(V4, "65010:200").await?;
        edge.announced("198.51.100.25/32").await?;
        assert_eq!(edge.sessions().await?, 1);
        let events = edge.ctl(&["events"]).await?.output;
        assert!(events.contains("reloaded by root: "), "{events}");
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

/// Another address of a service that is announced: it is bound first, and the router never misses the route. Nor does it when the
/// address goes again, at once, though the prefix that covers it stays.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_comes_or_goes_interrupts_nothing() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(&PLAIN.replace("[203.0.113.80,", "[203.0.113.80, 203.0.113.81,")).await?;
        let done = edge.ctl(&["reload"]).await?;
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        let bound = async || Ok(edge.addresses().await?.iter().any(|one| one == "203.0.113.81/32"));
        edge.wait("it is bound", bound).await?;
        let (updates, path) = (edge.updates().await?, edge.path(V4).await?);
        edge.configure(PLAIN).await?;
        let done = edge.ctl(&["reload"]).await?;
        assert!(done.output.contains("203.0.113.81    removed") && done.status.success(), "{done:?}");
        edge.wait("it is gone", async || Ok(!bound().await?)).await?;
        assert!(edge.addresses().await?.iter().any(|one| one == "203.0.113.80/32"));
        assert!(path.is_some() && edge.updates().await? == updates, "the router was told nothing");
        let events = edge.ctl(&["events"]).await?.output;
        assert!(!events.contains("withdrawn"), "{events}");
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_announced_goes_only_when_that_is_meant() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let empty = format!(
            "{}services: []\nlog: {{ format: text, level: debug }}\n",
            &PLAIN[..PLAIN.find("services:").unwrap_or_default()]
        );
        edge.configure(&empty).await?;
        for arguments in [&["reload", "--dry-run"][..], &["reload"]] {
            let said = edge.ctl(arguments).await?;
            assert_eq!(said.status.code(), Some(2), "{said:?}");
            assert!(
                said.output.contains("everything that this node announces") && said.output.contains("--yes"),
                "{said:?}"
            );
        }
        // From a signal likewise.
        edge.reload().await?;
        let events =
            async || Ok(edge.ctl(&["events"]).await?.output.matches("reload refused: it would withdraw").count() == 2);
        edge.wait("both are told of", events).await?;
        assert!(edge.ask(&["status"]).await?["problems"].to_string().contains("it would withdraw everything"));
        assert!(edge.path(V4).await?.is_some() && edge.path(V6).await?.is_some());
        assert_eq!(edge.ctl(&["reload", "--dry-run", "--yes"]).await?.status.code(), Some(0));
        assert!(edge.path(V4).await?.is_some());
        assert_eq!(edge.ctl(&["reload", "--yes"]).await?.status.code(), Some(0));
        edge.withdrawn(V4).await?;
        edge.withdrawn(V6).await?;
        // Nothing is announced any more, so nothing can be lost.
        edge.configure(PLAIN).await?;
        assert_eq!(edge.ctl(&["reload"]).await?.status.code(), Some(0));
        edge.announced(V4).await?;
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

/// All mistakes, each with its place, and a verdict that the service manager understands.
#[tokio::test(flavor = "multi_thread")]
async fn who_reloads_a_broken_file_is_told_each_mistake() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.configure(&PLAIN.replace("asn: 65010", "asn: 0").replace("hold_time: 9s", "hold_time: 1s")).await?;
        let said = edge.ctl(&["reload", "--dry-run"]).await?;
        assert_eq!(said.status.code(), Some(2), "{said:?}");
        assert!(edge.ask(&["status"]).await?["problems"].as_array().is_some_and(Vec::is_empty), "nothing was tried");
        let said = edge.ctl(&["reload"]).await?;
        assert_eq!(said.status.code(), Some(2), "{said:?}");
        assert!(said.output.contains("2 mistakes in /etc/anycastd/anycastd.yaml"), "{}", said.output);
        assert!(said.output.contains("anycastd.yaml:3:8") && said.output.contains("hold_time: 1s"), "{}", said.output);
        assert!(edge.ask(&["status"]).await?["problems"].to_string().contains("the last reload was refused"));
        assert!(edge.path(V4).await?.is_some());
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

/// What two services hand to each other is the same address on the node, and the same route to the router.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_two_services_swap_are_not_touched() -> anyhow::Result<()> {
    const SHOP: &str = r#"  - name: shop
    addresses: [198.51.100.25]
    checks: [{ name: always, type: exec, command: [/bin/true], interval: 200ms }]
    up: { med: 50, communities: ["65010:100"], large_communities: ["65010:1:2"] }
"#;
    let told = async |edge: &Edge| {
        let both = PLAIN.replace("log:", &format!("{SHOP}log:"));
        edge.configure(&both).await?;
        edge.reload().await?;
        edge.announced("198.51.100.25/32").await?;
        let updates = edge.updates().await?;
        edge.run(&["sh", "-c", "ip monitor address >/run/addresses 2>&1 & echo $! >/run/monitor"]).await?;
        let swapped = both
            .replace("[203.0.113.80, ", "[198.51.100.25, ")
            .replace("[203.0.113.0/24, ", "[198.51.100.25/32, ")
            .replace("addresses: [198.51.100.25]", "addresses: [203.0.113.80]\n    prefixes: [203.0.113.0/24]");
        edge.configure(&swapped).await?;
        let done = edge.ctl(&["reload"]).await?;
        assert!(done.status.success(), "{done:?}");
        let services = edge.ask(&["status"]).await?["services"].to_string();
        assert!(services.contains("198.51.100.25/32"), "{services}");
        // Something that is told after it: nothing was told before.
        edge.run(&["anycastctl", "withdraw", "shop", "--now"]).await?;
        edge.withdrawn(V4).await?;
        assert_eq!(edge.updates().await?, updates + 1, "the swap itself told the router nothing");
        edge.run(&["sh", "-c", "kill $(cat /run/monitor)"]).await?;
        assert_eq!(edge.run(&["cat", "/run/addresses"]).await?, "", "no address came or went");
        Ok(())
    };
    story(told, Edge::announcing().await).await
}

/// A file that a generator wrote, with hundreds of services of which all change at once.
#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_services_change_in_one_reload() -> anyhow::Result<()> {
    const COUNT: usize = 300;
    let file = |range: std::ops::Range<usize>, community: &str| {
        let service = |n: usize| {
            format!(
                "  - name: s{n}\n    addresses: [10.1.{}.{}]\n    checks: [{{ name: c, type: exec, command: [/bin/true], \
                 interval: 10s, rise: 1 }}]\n    up: {{ communities: [\"{community}\"] }}\n",
                n / 200,
                n % 200 + 1
            )
        };
        PLAIN.replace("log:", &format!("{}log:", range.map(service).collect::<String>()))
    };
    let told = async |edge: &Edge| {
        let (first, last) = ("10.1.0.1/32", "10.1.1.100/32");
        edge.configure(&file(0..COUNT, "65010:1")).await?;
        assert!(edge.ctl(&["reload"]).await?.status.success());
        edge.announced_with(first, "65010:1").await?;
        edge.announced_with(last, "65010:1").await?;
        edge.wait("all are bound", async || Ok(edge.addresses().await?.len() == COUNT + 2)).await?;
        // Each is told anew, and none is away for it.
        edge.configure(&file(0..COUNT, "65010:2")).await?;
        let would = edge.ctl(&["reload", "--dry-run"]).await?;
        assert!(would.output.lines().count() > COUNT, "{}", would.output);
        assert!(edge.ctl(&["reload"]).await?.status.success());
        edge.announced_with(first, "65010:2").await?;
        edge.announced_with(last, "65010:2").await?;
        // Half of them go, and others come.
        edge.configure(&file(COUNT / 2..COUNT + 100, "65010:2")).await?;
        assert!(edge.ctl(&["reload"]).await?.status.success());
        edge.withdrawn(first).await?;
        edge.announced("10.1.1.200/32").await?;
        edge.wait("only theirs are bound", async || Ok(edge.addresses().await?.len() == COUNT / 2 + 102)).await?;
        assert_eq!(edge.sessions().await?, 1);
        assert!(edge.path(V4).await?.is_some());
        let events = edge.ctl(&["events", "--service", "s299"]).await?.output;
        assert!(!events.contains("withdrawn"), "{events}");
        Ok(())
    };
    story(told, Edge::announcing().await).await
}
