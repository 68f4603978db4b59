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
        edge.lab.kill("edge", "anycastd", Signal::SIGHUP).await?;
        edge.wait("there is a second session", async || Ok(edge.sessions().await? == 2)).await?;
        edge.announced(V4).await?;
        assert_eq!(edge.session().await?["bgpTimerHoldTimeMsecs"], 6000);
        Ok(())
    };
    story(told, Edge::announcing().await).await
}
