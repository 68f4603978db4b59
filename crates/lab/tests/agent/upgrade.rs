//! Another program in place of the agent: the router sees one session, and clients one service.

use std::{process::Stdio, time::Duration};

use anycast_lab::{
    harness::AMPLE,
    runner::{self, Streams},
    tools::record::Record,
};
use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::ChildStdout,
};

use crate::{
    edge::{ADDRESS_V4, CONFIG, Edge, LOG, PLAIN, V4, V6, router, story},
    passive::router_connects,
};

/// What is installed here, and where.
const PROGRAM: &str = "/run/installed/anycastd";
/// Makes one that passes for a program in the trial, and is gone when it matters.
const GOES: &str =
    "echo '#!/bin/sh\ncat >/dev/null; rm -f \"$0\"; echo \"{\\\"version\\\":\\\"9\\\",\\\"lost\\\":{}}\"'";
const PASSWORD: &str = "/etc/anycastd/rtr.password";
/// How often the agent is upgraded under load, unless the environment says otherwise.
const UPGRADES: usize = 50;
const COUNT: &str = "ANYCAST_UPGRADES";

/// What does not begin anew.
const SINCE: [&str; 5] =
    ["/started", "/services/0/since", "/services/0/checks/0/since", "/addresses/0/since", "/addresses/1/since"];

/// Installs a program as a package does: beside, and then over what is there.
async fn install(edge: &Edge, script: &str) -> anyhow::Result<()> {
    let install =
        format!("mkdir -p /run/installed && {script} >\"$0.new\" && chmod 755 \"$0.new\" && mv \"$0.new\" \"$0\"");
    edge.run(&["sh", "-c", &install, PROGRAM]).await.map(drop)
}

/// The very same again, as another file.
pub(crate) async fn install_ours(edge: &Edge) -> anyhow::Result<()> {
    install(edge, "cat \"$(command -v anycastd)\"").await
}

pub(crate) async fn start(edge: &Edge) -> anyhow::Result<()> {
    edge.lab.start("edge", &[PROGRAM, "--config", CONFIG], LOG).await
}

/// An agent that was installed, and announces.
async fn announcing(config: &str) -> anyhow::Result<Edge> {
    let edge = Edge::new().await?;
    install_ours(&edge).await?;
    edge.configure(config).await?;
    start(&edge).await?;
    edge.announced(V4).await?;
    edge.announced(V6).await?;
    Ok(edge)
}

/// An agent that was installed, with a session that both ends sign.
async fn start_signed(edge: &Edge) -> anyhow::Result<()> {
    router(edge, &["neighbor 192.0.2.2 password hunter2"]).await?;
    edge.lab.write("edge", PASSWORD, "hunter2\n").await?;
    edge.run(&["chmod", "600", PASSWORD]).await?;
    install_ours(edge).await?;
    edge.configure(&PLAIN.replace("hold_time: 9s", &format!("hold_time: 9s, password_file: {PASSWORD}"))).await?;
    start(edge).await
}

/// Upgrades once; what the agent says of it.
pub(crate) async fn upgrade(edge: &Edge) -> anyhow::Result<Value> {
    edge.ask(&["upgrade"]).await
}

async fn pid(edge: &Edge) -> anyhow::Result<u32> {
    let pids = edge.lab.pids("edge", "anycastd").await?;
    ensure!(pids.len() == 1, "{pids:?}");
    Ok(pids[0])
}

/// Everything that the router knows of the session, but what moves by itself. What it has asked for itself, by one ROUTE-REFRESH for
/// each family and its one route, is not counted among the UPDATEs.
async fn session(edge: &Edge) -> anyhow::Result<Vec<Value>> {
    let session = edge.session().await?;
    let of = |path: &str| session.pointer(path).cloned().with_context(|| format!("no {path} in {session}"));
    [
        "/connectionsEstablished",
        "/connectionsDropped",
        "/portForeign",
        "/messageStats/opensRecv",
        "/messageStats/notificationsRecv",
    ]
    .into_iter()
    .map(of)
    .chain([unasked(&session)])
    .collect()
}

fn unasked(session: &Value) -> anyhow::Result<Value> {
    let count = |name: &str| session["messageStats"][name].as_i64().with_context(|| format!("no {name} in {session}"));
    Ok((count("updatesRecv")? - count("routeRefreshSent")?).into())
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_upgrades_under_load_are_noticed_by_nobody() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        start_signed(edge).await?;
        let serve = ["anycast-lab", "tool", "serve", "--node", "edge", "--region", "lab"];
        edge.lab.start("edge", &serve, "/var/log/service.log").await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        edge.wait("End-of-RIB is told", async || Ok(edge.updates().await? >= 4)).await?;
        let (pid_before, before) = (pid(edge).await?, session(edge).await?);
        let began = edge.ask(&["status"]).await?;

        // Whatever the router's table loses or gets is written down.
        let quiet = || Streams { input: Stdio::piped(), output: Stdio::piped(), errors: Stdio::inherit() };
        let mut monitor = edge.lab.runner().spawn("rtr", &["ip", "monitor", "route"], quiet())?;
        // And clients ask without a pause.
        let tool = edge.lab.runner().tool("rtr");
        let asking =
            [&tool, "tool", "probe", "--target", ADDRESS_V4, "--target", "2001:db8:53::80", "--udp-every", "2"];
        let mut probe = edge.lab.runner().spawn("rtr", &asking, quiet())?;
        let requests = tokio::spawn(fates(probe.child.stdout.take().context("it has no output")?));
        let mut longest: f64 = 0.0;
        let count = std::env::var(COUNT).ok().and_then(|count| count.parse().ok()).unwrap_or(UPGRADES);
        for n in 1..=count {
            if n % 5 == 0 {
                install_ours(edge).await?;
            }
            let upgraded = upgrade(edge).await.with_context(|| format!("upgrade {n}"))?;
            ensure!(upgraded["sessions"] == 1 && upgraded["lost"] == serde_json::json!({}), "upgrade {n}: {upgraded}");
            longest = longest.max(upgraded["stopped_seconds"].as_f64().unwrap_or(f64::MAX));
        }
        eprintln!("the longest that nothing was decided: {longest} s");
        probe.signal(Signal::SIGTERM)?;
        let [answered, lost] = tokio::time::timeout(AMPLE, requests).await???;
        eprintln!("{answered} requests were answered, {lost} lost");
        ensure!(answered > 1000 && lost == 0, "{answered} requests were answered, {lost} lost");
        monitor.signal(Signal::SIGTERM)?;
        let moved = said_by(&mut monitor).await?;
        ensure!(!moved.contains("203.0.113.0/24") && !moved.contains("2001:db8:53::/48"), "{moved}");

        assert_eq!((pid(edge).await?, session(edge).await?), (pid_before, before), "the router sees the same session");
        let status = edge.ask(&["status"]).await?;
        for path in SINCE {
            let since = |status: &Value| status.pointer(path).cloned().filter(|since| !since.is_null());
            ensure!(since(&status).is_some() && since(&status) == since(&began), "{path}: {began} became {status}");
        }
        let established = |status: &Value| status["neighbors"][0]["since_seconds"].as_f64();
        ensure!(established(&status) > established(&began), "the session is as old as it is: {status}");
        let runs = |status: &Value| status["services"][0]["checks"][0]["runs"].as_u64();
        ensure!(runs(&status) > runs(&began), "the counts go on: {status}");
        let events = edge.run(&["anycastctl", "events"]).await?;
        ensure!(events.matches("upgraded by root").count() == count, "{events}");
        ensure!(events.matches("bound on lo").count() == 2, "what is bound is no news: {events}");
        ensure!(events.contains("started, anycastd"), "the events before are there: {events}");

        // It is as awake as before.
        edge.health("2").await?;
        edge.withdrawn(V4).await?;
        edge.health("0").await?;
        edge.announced(V4).await?;
        // And nobody holds its connection but itself: the end of the process is the end of the session.
        let sessions = edge.sessions().await?;
        edge.lab.kill("edge", "anycastd", Signal::SIGKILL).await?;
        edge.withdrawn(V4).await?;
        assert_eq!(edge.sessions().await?, sessions);
        Ok(())
    };
    story(told, Edge::new().await).await
}

/// How many requests were answered, and how many were not.
async fn fates(output: ChildStdout) -> anyhow::Result<[usize; 2]> {
    let (mut lines, mut fates) = (BufReader::new(output).lines(), [0; 2]);
    while let Some(line) = lines.next_line().await? {
        if let Record::Request(request) = serde_json::from_str(&line)? {
            fates[usize::from(request.took.is_none())] += 1;
        }
    }
    Ok(fates)
}

/// Its session is that of a name that nobody gives.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_of_a_network_is_the_same_to_it() -> anyhow::Result<()> {
    let config = PLAIN.replace("address: 192.0.2.1,", "prefix: 192.0.2.0/30,");
    let told = async |edge: &Edge| {
        router_connects(edge).await?;
        install_ours(edge).await?;
        edge.configure(&config).await?;
        start(edge).await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        edge.wait("End-of-RIB is told", async || Ok(edge.updates().await? >= 4)).await?;
        let before = session(edge).await?;
        for _ in 0..3 {
            let upgraded = upgrade(edge).await?;
            ensure!(upgraded["sessions"] == 1 && upgraded["lost"] == serde_json::json!({}), "{upgraded}");
        }
        // One that passes the trial, and cannot be run when it matters.
        install(edge, GOES).await?;
        assert_eq!(edge.ctl(&["upgrade"]).await?.status.code(), Some(2));
        install_ours(edge).await?;
        let tried = edge.ask(&["upgrade", "--dry-run"]).await?;
        ensure!(tried["sessions"] == 1 && tried["lost"] == serde_json::json!({}), "{tried}");
        // It may ask once more for what it has, and be answered: so this is waited for.
        edge.wait("the router sees the same session", async || Ok(session(edge).await? == before)).await?;
        edge.health("2").await?;
        edge.withdrawn(V4).await
    };
    story(told, Edge::new().await).await
}

async fn said_by(process: &mut runner::Process) -> anyhow::Result<String> {
    let mut text = String::new();
    let mut output = process.child.stdout.take().context("it has no output")?;
    tokio::time::timeout(AMPLE, output.read_to_string(&mut text)).await??;
    Ok(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_cannot_go_on_changes_nothing() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        let (pid_before, before) = (pid(edge).await?, session(edge).await?);
        let refused = [
            ("echo '#!/bin/sh\necho it is broken >&2\nexit 1'", "it is broken"),
            ("echo 'no program at all'", "cannot be run"),
            ("echo '#!/bin/sh\nexit 0'", "is no anycastd"),
            ("echo '#!/bin/sh\nexec anycastctl \"$@\"'", "does not know how to"),
        ];
        assert_eq!(edge.ask(&["status"]).await?["problems"], serde_json::json!([]));
        for (script, words) in refused {
            install(edge, script).await?;
            let ran = edge.ctl(&["upgrade"]).await?;
            assert_eq!(ran.status.code(), Some(2), "{ran:?}");
            ensure!(ran.errors.contains(words) && ran.errors.contains("the agent that runs goes on"), "{ran:?}");
            ensure!(ran.errors.contains("hint: "), "{ran:?}");
            // Whoever comes later sees it too: when, by whom, which program, why.
            let problems = edge.ask(&["status"]).await?["problems"].to_string();
            let all = ["the last upgrade was refused (2", ", root)", PROGRAM, words];
            ensure!(all.iter().all(|part| problems.contains(part)), "{problems}");
        }
        ensure!(found(edge).await?.contains(&format!("installed_program {PROGRAM} warning")));
        edge.run(&["rm", PROGRAM]).await?;
        ensure!(found(edge).await?.contains(&format!("installed_program {PROGRAM} problem")));
        let ran = edge.ctl(&["upgrade", "--dry-run"]).await?;
        ensure!(ran.status.code() == Some(2) && ran.errors.contains("No such file"), "{ran:?}");
        let events = edge.run(&["anycastctl", "events"]).await?;
        ensure!(events.contains("refused") && events.contains("it is broken"), "{events}");

        // One that passes for a program in the trial, and cannot be run when it matters.
        install(edge, GOES).await?;
        let ran = edge.ctl(&["upgrade"]).await?;
        ensure!(
            ran.status.code() == Some(2) && ran.errors.contains("cannot be run: ENOENT")
                || ran.errors.contains("No such file"),
            "{ran:?}"
        );
        assert_eq!((pid(edge).await?, session(edge).await?), (pid_before, before), "the router sees the same session");
        edge.health("2").await?;
        edge.withdrawn(V4).await?;

        // A good one is taken all the same.
        edge.health("0").await?;
        edge.announced(V4).await?;
        install_ours(edge).await?;
        let ran = edge.ctl(&["upgrade", "--dry-run"]).await?;
        ensure!(ran.status.success() && ran.output.contains("1 session would go on"), "{ran:?}");
        let ran = edge.ctl(&["upgrade"]).await?;
        ensure!(ran.status.success() && ran.output.contains("1 session went on"), "{ran:?}");
        assert_eq!(edge.ask(&["status"]).await?["problems"], serde_json::json!([]));
        ensure!(!found(edge).await?.iter().any(|it| it.starts_with("installed_program")));

        // One that takes its time is waited for, and whoever waits knows it. A reload mends no program.
        install(edge, "echo '#!/bin/sh\nsleep 4; exit 1'").await?;
        let ran = edge.ctl(&["upgrade"]).await?;
        ensure!(ran.status.code() == Some(2) && ran.errors.contains("waiting for the installed program"), "{ran:?}");
        ensure!(ran.errors.contains("ended without a word"), "{ran:?}");
        ensure!(edge.ask(&["status"]).await?["problems"].to_string().contains("upgrade was refused"));
        edge.run(&["anycastctl", "reload"]).await?;
        ensure!(edge.ask(&["status"]).await?["problems"].to_string().contains("upgrade was refused"));
        Ok(())
    };
    story(told, announcing(PLAIN).await).await
}

/// What `doctor` finds, as `ID SUBJECT SEVERITY`.
async fn found(edge: &Edge) -> anyhow::Result<Vec<String>> {
    let said = edge.ctl(&["--json", "doctor"]).await?;
    let reply: Value = serde_json::from_str(&said.output)?;
    let word = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let findings = reply["findings"].as_array().context("there are none")?.iter();
    Ok(findings.map(|it| format!("{} {} {}", word(it, "id"), word(it, "subject"), word(it, "severity"))).collect())
}

/// The version has no part in it, and is not blamed.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_gone_is_named() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        start_signed(edge).await?;
        edge.announced(V4).await?;
        edge.run(&["mv", PASSWORD, "/run/password"]).await?;
        let ran = edge.ctl(&["upgrade"]).await?;
        let head = format!("cannot be read any more, for a file that it names: {PASSWORD}");
        ensure!(ran.status.code() == Some(2) && ran.errors.contains(&head), "{ran:?}");
        ensure!(ran.errors.contains("No such file") && !ran.errors.contains("not one for this version"), "{ran:?}");
        let problems = edge.ask(&["status"]).await?["problems"].to_string();
        ensure!(problems.contains(&head) && problems.contains("anycastctl reload"), "{problems}");
        edge.run(&["mv", "/run/password", PASSWORD]).await?;
        upgrade(edge).await?;
        assert_eq!(edge.ask(&["status"]).await?["problems"], serde_json::json!([]));
        assert_eq!(edge.sessions().await?, 1);
        Ok(())
    };
    story(told, Edge::new().await).await
}

/// There is no way back then: the sessions end with it, and whoever starts the agent next finds what is to be found after any end.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_program_that_dies_at_its_start_the_next_begins_cleanly() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        edge.run(&["anycastctl", "withdraw", "--wait", "--reason", "kernel"]).await?;
        // At once, over its command line, and by force: each time with what was handed over still open.
        for death in ["exit 1", "exec anycastd \\\"\\$@\\\" --no-such-option", "kill -KILL \\$\\$"] {
            install(edge, &tried_by(death)).await?;
            let restarting = async {
                edge.wait("it is dead", async || Ok(edge.lab.pids("edge", "anycastd").await?.is_empty())).await?;
                install_ours(edge).await?;
                start(edge).await
            };
            let (ran, restarted) = tokio::join!(edge.ctl(&["upgrade"]), restarting);
            restarted?;
            let ran = ran?;
            ensure!(ran.status.code() == Some(1) && ran.errors.contains("it has begun anew"), "{ran:?}");
            let status = edge.ask(&["status"]).await?;
            let drain = &status["services"][0]["drain"];
            ensure!(drain["reason"] == "kernel" && drain["by"] == "root", "the order is remembered: {status}");
            ensure!(status["upgraded"].is_null() && status["problems"] == serde_json::json!([]), "{status}");
            let established = async || Ok(edge.ask(&["status"]).await?["neighbors"][0]["state"] == "Established");
            edge.wait("the session is there", established).await?;
            ensure!(edge.path(V4).await?.is_none(), "what is withdrawn stays so");
        }
        // It goes on like any other.
        upgrade(edge).await?;
        edge.run(&["anycastctl", "announce"]).await?;
        edge.announced(V4).await?;
        Ok(())
    };
    story(told, announcing(PLAIN).await).await
}

/// A program that is as good as ours until it is to go on.
fn tried_by(otherwise: &str) -> String {
    format!(
        "echo \"#!/bin/sh\ncase \\\"\\$*\\\" in *--handover-trial*) exec $(command -v anycastd) \\\"\\$@\\\";; esac\n{otherwise}\""
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_maintenance_goes_on_where_it_was() -> anyhow::Result<()> {
    let config = PLAIN.replace("graceful_shutdown: 1s, linger: 200ms", "graceful_shutdown: 4s, linger: 2s");
    let told = async |edge: &Edge| {
        edge.run(&["anycastctl", "withdraw", "--reason", "kernel"]).await?;
        edge.announced_with(V4, "gracefulShutdown").await?;
        let updates = edge.updates().await?;
        upgrade(edge).await?;
        assert_eq!(edge.updates().await?, updates, "nothing is told but what its time has come for");
        let drain = edge.ask(&["status"]).await?["services"][0]["drain"].clone();
        ensure!(drain["phase"] == "graceful_shutdown" && drain["reason"] == "kernel", "{drain}");
        edge.withdrawn(V4).await?;
        upgrade(edge).await?;
        edge.run(&["anycastctl", "withdraw", "--wait"]).await?;
        upgrade(edge).await?;
        let status = edge.ask(&["status"]).await?;
        assert_eq!(status["services"][0]["state"], "drained", "{status}");
        edge.run(&["anycastctl", "announce"]).await?;
        edge.announced(V4).await?;
        assert_eq!(edge.sessions().await?, 1);
        Ok(())
    };
    story(told, announcing(&config).await).await
}

/// A signal that comes at that moment is for the program that follows.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_to_end_or_to_reload_is_not_lost() -> anyhow::Result<()> {
    let told = async |edge: &Edge| {
        for n in 0..8 {
            let file = PLAIN.replace("med: 50", &format!("med: {}", 60 + n));
            edge.configure(&file).await?;
            let upgraded = async { edge.ctl(&["upgrade"]).await };
            let told = async {
                tokio::time::sleep(Duration::from_millis(40 * n)).await;
                edge.reload().await
            };
            let (upgraded, told) = tokio::join!(upgraded, told);
            told?;
            ensure!(upgraded?.status.success());
            edge.wait("the new file is in force", async || {
                Ok(edge.path(V4).await?.is_some_and(|path| path["metric"] == 60 + n))
            })
            .await?;
        }
        assert_eq!(edge.sessions().await?, 1);
        let ended = async {
            tokio::time::sleep(Duration::from_millis(150)).await;
            edge.lab.kill("edge", "anycastd", Signal::SIGTERM).await
        };
        let (_, ended) = tokio::join!(edge.ctl(&["upgrade"]), ended);
        ended?;
        let has_ended = async || {
            edge.withdrawn(V4).await?;
            edge.wait("it has ended", async || Ok(edge.lab.pids("edge", "anycastd").await?.is_empty())).await?;
            assert_eq!(edge.addresses().await?, [""; 0], "it has tidied up");
            let log = edge.run(&["cat", LOG]).await?;
            ensure!(!log.contains("gave up waiting"), "it has waited for nothing in vain: {log}");
            anyhow::Ok(())
        };
        has_ended().await?;

        // One that waits for the new program when it begins.
        start(edge).await?;
        edge.announced(V4).await?;
        edge.announced(V6).await?;
        install(edge, &tried_by("kill -TERM \\$\\$; exec $(command -v anycastd) \\\"\\$@\\\"")).await?;
        edge.ctl(&["upgrade"]).await?;
        has_ended().await
    };
    story(told, announcing(PLAIN).await).await
}

/// Nobody who asks meanwhile is turned away, and nothing is asked of a disk that has no room.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_meanwhile_waits_and_the_disk_is_not_needed() -> anyhow::Result<()> {
    let edge = async {
        let edge = Edge::new().await?;
        edge.run(&["sh", "-c", "mkdir -p /var/lib/anycastd && mount -t tmpfs -o size=64k full /var/lib/anycastd"])
            .await?;
        install_ours(&edge).await?;
        edge.configure(PLAIN).await?;
        start(&edge).await?;
        edge.announced(V4).await?;
        anyhow::Ok(edge)
    };
    let told = async |edge: &Edge| {
        edge.run(&["anycastctl", "withdraw", "--degrade", "--reason", "weak"]).await?;
        edge.run(&["sh", "-c", "! cat /dev/zero >/var/lib/anycastd/full; rm -f /var/lib/anycastd/orders.json"]).await?;
        let asking = async {
            for _ in 0..40 {
                edge.run(&["anycastctl", "neighbors"]).await?;
            }
            anyhow::Ok(())
        };
        let upgrading = async {
            for _ in 0..4 {
                let upgraded = upgrade(edge).await?;
                ensure!(upgraded["sessions"] == 1, "{upgraded}");
            }
            anyhow::Ok(())
        };
        let (asked, upgraded) = tokio::join!(asking, upgrading);
        asked?;
        upgraded?;
        let status = edge.ask(&["status"]).await?;
        assert_eq!(status["services"][0]["drain"]["reason"], "weak", "{status}");
        assert_eq!(edge.sessions().await?, 1);
        Ok(())
    };
    story(told, edge.await).await
}

/// Whoever follows what happens, or waits for the end of a maintenance, goes on with the program that follows.
#[tokio::test(flavor = "multi_thread")]
async fn who_follows_or_waits_goes_on() -> anyhow::Result<()> {
    let config = PLAIN.replace("graceful_shutdown: 1s, linger: 200ms", "graceful_shutdown: 2s, linger: 1s");
    let told = async |edge: &Edge| {
        let follow = "anycastctl events -f >/run/followed 2>&1 &";
        edge.run(&["sh", "-c", follow]).await?;
        let followed = async |words: &str| {
            let lines = async || anyhow::Ok(edge.run(&["cat", "/run/followed"]).await?.matches(words).count());
            edge.wait(words, async || Ok(lines().await? > 0)).await?;
            lines().await
        };
        followed("announced").await?;
        upgrade(edge).await?;
        assert_eq!(followed("upgraded by root").await?, 1);
        let waiting = edge.ctl(&["withdraw", "--wait"]);
        let upgrading = async {
            followed("withdraw ordered").await?;
            upgrade(edge).await
        };
        let (waited, upgraded) = tokio::join!(waiting, upgrading);
        upgraded?;
        let waited = waited?;
        ensure!(waited.status.success() && waited.output.contains("safe to stop"), "{waited:?}");
        assert_eq!(followed("started, anycastd").await?, 1, "nothing is told twice");
        assert_eq!(edge.sessions().await?, 1);
        Ok(())
    };
    story(told, announcing(&config).await).await
}
