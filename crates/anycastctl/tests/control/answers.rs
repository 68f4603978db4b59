//! Good answers and refusals: what is asked, what is printed, which code is returned.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{Agent, Reply, command, event, ordered, run_at, status};

#[test]
fn status_tells_and_exits_as_asked() {
    let agent = Agent::saying(200, &status().to_string());
    let ran = agent.run("status");
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(ran.out.starts_with("edge-1  AS65010  up 00:01:00  anycastd 0.1.0\n\nSERVICE"), "{}", ran.out);
    assert!(!ran.out.contains('\x1b'), "no colour in a pipe");
    assert!(agent.run("status --color always").out.contains('\x1b'));

    assert_eq!(agent.run("status --exit-code").code, Some(1), "the node is not healthy");
    assert_eq!(agent.run("status dns --exit-code").code, Some(0), "the service is");
    assert!(agent.run("status dns").out.starts_with("dns  up for 00:00:30\n"));

    let ran = agent.run("status dsn");
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("no service \"dsn\"") && ran.err.contains("did you mean dns?"), "{}", ran.err);
}

#[test]
fn json_is_the_agents_own() {
    let agent = Agent::saying(200, &status().to_string());
    let whole: Value = serde_json::from_str(&agent.run("--json status").out).unwrap();
    assert_eq!(whole, status());
    let service: Value = serde_json::from_str(&agent.run("status dns --json").out).unwrap();
    assert_eq!(service, status()["services"][0]);
}

#[test]
fn questions_are_put_as_the_agent_expects() {
    let agent = Agent::start(|line, _| {
        let list = line.contains("neighbors") || line.contains("routes");
        Reply::Body(200, if list { "[]".into() } else { json!({"target": "x", "prefixes": []}).to_string() })
    });
    assert_eq!(agent.run("explain 2001:db8::/48").code, Some(0));
    assert_eq!(agent.run("neighbors").code, Some(0));
    assert_eq!(agent.run("neighbors leaf1").code, Some(2), "nothing came for a name");
    assert_eq!(agent.run("routes --json").code, Some(0));
    assert_eq!(agent.run("routes leaf1").code, Some(0), "a network, of which no router has connected");
    let lines: Vec<_> = agent.heard().into_iter().map(|heard| heard.line).collect();
    assert_eq!(
        lines,
        [
            "GET /v1/explain?target=2001%3Adb8%3A%3A%2F48",
            "GET /v1/neighbors",
            "GET /v1/neighbors?name=leaf1",
            "GET /v1/routes",
            "GET /v1/routes?neighbor=leaf1",
        ]
    );
}

#[test]
fn a_refusal_is_told_with_its_remedy() {
    let reply = json!({"error": "there is no service \"dsn\"", "hint": "did you mean \u{1b}[1mdns?"}).to_string();
    let ran = Agent::saying(404, &reply).run("withdraw dsn");
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    assert_eq!(ran.err, "anycastctl: there is no service \"dsn\"\n  hint: did you mean \\u{1b}[1mdns?\n");
    let ran =
        Agent::saying(403, &json!({"error": "only root and the group may", "hint": null}).to_string()).run("announce");
    assert_eq!(ran.code, Some(77));
}

/// One that does not come to it has not said no.
#[test]
fn an_agent_that_cannot_be_asked_has_refused_nothing() {
    let doubt = "not known whether the order was heard";
    let no_answer = json!({"error": "the decision loop does not answer", "hint": null}).to_string();
    let no_place = json!({"error": "too many connections at a time", "hint": "`ss -xp` shows"}).to_string();
    for (status, reply, doubtful, hint) in
        [(503, no_answer, true, "busy or hanging"), (429, no_place, false, "`ss -xp`")]
    {
        let agent = Agent::saying(status, &reply);
        for line in ["status", "announce", "withdraw --wait", "reload", "events -f"] {
            let ran = agent.run(line);
            assert_eq!((ran.code, ran.out.as_str()), (Some(69), ""), "{line}: {}", ran.err);
            assert!(ran.err.contains(hint), "{line}: {}", ran.err);
        }
        assert_eq!(agent.run("announce").err.contains(doubt), doubtful, "{status}");
        assert!(!agent.run("status").err.contains(doubt));
    }
}

#[test]
fn a_withdraw_orders_and_tells() {
    let agent = Agent::saying(200, &ordered());
    let ran = agent.run("withdraw dns --reason disk --for 2h --now");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("withdraws  203.0.113.0/24") && ran.out.contains("withdrawn in 30 s"), "{}", ran.out);
    let heard = agent.heard();
    assert_eq!(heard[0].line, "POST /v1/withdraw");
    let body: Value = serde_json::from_str(&heard[0].body).unwrap();
    assert_eq!(body, json!({"services": ["dns"], "mode": "now", "reason": "disk", "for_seconds": 7200.0}));
    assert!(agent.run("withdraw").out.starts_with("the whole node is withdrawn: 1 service\n"));
    assert!(agent.run("announce").out.starts_with("the maintenance of the whole node has ended: 1 service\n"));
    agent.run("announce dns --force");
    let bodies: Vec<_> = agent.heard().into_iter().rev().take(2).map(|heard| heard.body).collect();
    assert_eq!(
        bodies,
        [r#"{"services":["dns"],"force":true}"#, r#"{"services":[]}"#],
        "older agents know no such word"
    );
}

/// Takes the order, and answers the n-th request that waits.
fn waiting(answer: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Agent {
    Agent::start(move |line, before| if line.ends_with("wait") { answer(before) } else { Reply::Body(200, ordered()) })
}

fn not_yet(for_what: &str) -> Reply {
    Reply::Body(200, json!({"done": false, "waiting_for": [for_what]}).to_string())
}

fn done() -> Reply {
    Reply::Body(200, json!({"done": true, "waiting_for": []}).to_string())
}

#[test]
fn waiting_tells_how_it_goes() {
    let agent = waiting(|before| if before < 2 { not_yet("leaf1 to acknowledge") } else { done() });
    let ran = agent.run("withdraw dns --wait");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.ends_with("safe to stop\n"), "{}", ran.out);
    assert_eq!(ran.err, "waiting: leaf1 to acknowledge\n");
    let body: Value = serde_json::from_str(&agent.heard()[1].body).unwrap();
    assert_eq!(body, json!({"services": ["dns"], "timeout_seconds": 0.25}));
}

/// What still arrives is told, and the last line stays what it is.
#[test]
fn waiting_tells_whether_anything_still_arrives() {
    for (traffic, line) in [
        (json!({"seconds": 1.399, "packets": {"dns": 0, "web": 0}}), "traffic: 0 packets in the last 1.4 s"),
        (
            json!({"seconds": 1.399, "packets": {"dns": 12, "mail": 3, "web": 0}}),
            "traffic: packets still arrive, 12 for dns, 3 for mail in the last 1.4 s",
        ),
        (
            json!({"seconds": 0.0, "packets": {}, "unknown": "CAP_NET_ADMIN is missing"}),
            "traffic: not known: CAP_NET_ADMIN is missing",
        ),
    ] {
        let told = json!({"done": true, "waiting_for": [], "traffic": traffic}).to_string();
        let ran = waiting(move |_| Reply::Body(200, told.clone())).run("withdraw --wait");
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
        assert!(ran.out.ends_with(&format!("\n{line}\nsafe to stop\n")), "{}", ran.out);
    }
}

#[test]
fn waiting_ends() {
    let agent = waiting(|_| not_yet("leaf1 to acknowledge"));
    for (timeout, asked) in [("0s", 1), ("300ms", 2)] {
        let before = agent.heard().len();
        let ran = agent.run(&format!("withdraw dns --wait --timeout {timeout}"));
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            ran.err.contains(&format!("not yet safe to stop after {timeout}: leaf1 to acknowledge")),
            "{}",
            ran.err
        );
        assert_eq!(agent.heard().len() - before, 1 + asked);
    }
}

#[test]
fn waiting_in_json_is_one_document() {
    let ran = waiting(|_| done()).run("withdraw dns --wait --json");
    let value: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&value["services"][0]["service"], &value["wait"]["done"]), (&json!("dns"), &json!(true)));

    let ran = waiting(|_| Reply::Raw(Vec::new())).run("withdraw dns --wait --json");
    assert_eq!(ran.code, Some(69));
    let value: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(value["wait"], Value::Null);
    assert!(ran.err.contains("the order was accepted and stands"), "{}", ran.err);
}

#[test]
fn an_interrupt_ends_the_waiting_and_not_the_order() {
    let agent = waiting(|_| Reply::Hang);
    let mut child =
        command(&agent.socket(), "withdraw --wait").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    while agent.heard().len() < 2 {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let mut told = String::new();
    out.read_to_string(&mut told).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "interrupted: the order stands, only the waiting ends\n");
    assert!(told.starts_with("the whole node is withdrawn") && !told.contains("safe to stop"), "{told}");
}

#[test]
fn events_one_a_line() {
    let agent = Agent::saying(200, &format!("{}\n{}\n", event(1), event(2)));
    let ran = agent.run("events --since 2026-11-23T20:16:21Z");
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.out.lines().count(), 2);
    assert_eq!(agent.heard()[0].line, "GET /v1/events?since=2026-11-23T20%3A16%3A21.000Z");
    assert_eq!(agent.run("events --json").out, format!("{}\n{}\n", event(1), event(2)));
    assert_eq!(Agent::saying(200, "").run("events").out, "");
}

#[test]
fn following_prints_at_once_and_ends_quietly() {
    // A line in two chunks, with an empty line to keep the connection warm between.
    let first = event(1);
    let (head, tail) = first.split_at(20);
    let chunks = vec![head.to_owned(), format!("{tail}\n\n"), format!("{}\n", event(2))];
    let agent = Agent::start(move |_, _| Reply::Stream(chunks.clone(), Duration::from_secs(20)));
    let begun = Instant::now();
    let mut child =
        command(&agent.socket(), "events -f --json").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), event(1));
    assert_eq!(lines.next().unwrap().unwrap(), event(2));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty() && begun.elapsed() < Duration::from_secs(15));
    assert_eq!(agent.heard()[0].line, "GET /v1/events?follow=true");
}

#[test]
fn a_stream_that_ends_is_an_agent_that_ended() {
    let agent = Agent::start(|_, _| Reply::Stream(vec![format!("{}\n", event(1))], Duration::ZERO));
    let ran = agent.run("events --follow");
    assert_eq!((ran.code, ran.out.lines().count()), (Some(69), 1));
    assert!(ran.err.contains("ended the stream"), "{}", ran.err);
    let ran = Agent::saying(400, &json!({"error": "since is no time", "hint": null}).to_string()).run("events -f");
    assert_eq!(ran.code, Some(2));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_fault() {
    let many: String = (0..20_000).map(|id| event(id) + "\n").collect();
    let agent = Agent::saying(200, &many);
    for line in ["events", "events --json"] {
        let mut child = command(&agent.socket(), line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{line}");
    }
}

#[test]
fn usage() {
    let nowhere = std::path::Path::new("/nonexistent/control.sock");
    for line in [
        "",
        "diagnose",
        "withdraw --now --degrade",
        "withdraw --wait --degrade",
        "withdraw --for soon",
        "status --bogus",
    ] {
        assert_eq!(run_at(nowhere, line).code, Some(64), "{line}");
    }
    let ran = run_at(nowhere, "withdraw --for soon");
    assert!(ran.err.contains("expected a time like 90s, 30m, 2h or 1h30m"), "{}", ran.err);
    let help = run_at(nowhere, "--help");
    assert_eq!(help.code, Some(0));
    assert!(
        help.out.contains("69  the agent does not answer") && !help.out.contains("request-timeout"),
        "{}",
        help.out
    );
    assert_eq!(run_at(nowhere, "--version").out, format!("anycastctl {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_manual_and_the_completions() {
    let nowhere = std::path::Path::new("/nonexistent/control.sock");
    for shell in ["bash", "zsh", "fish"] {
        let ran = run_at(nowhere, &format!("completions {shell}"));
        assert!(ran.code == Some(0) && ran.out.contains("withdraw"), "{shell}");
    }
    assert!(run_at(nowhere, "man").out.contains(".SS withdraw"));
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("pages");
    assert_eq!(run_at(nowhere, &format!("man --dir {}", pages.display())).code, Some(0));
    assert!(pages.join("anycastctl.1").exists() && pages.join("anycastctl-withdraw.1").exists());
    assert_eq!(run_at(nowhere, "man --dir /proc/nowhere").code, Some(74));
}

#[test]
fn checks_are_run_and_the_exit_code_tells_whether_all_are_up() {
    let check = |name: &str, health: &str| {
        json!({"name": name, "kind": "tcp", "not_run": null,
            "answer": {"health": health, "detail": "seen", "took_seconds": 0.001, "at": "2026-11-23T14:29:58Z"}})
    };
    let reply = |checks: Value| json!({"service": "dns", "checks": checks}).to_string();
    let agent = Agent::saying(200, &reply(json!([check("a", "up"), check("b", "up")])));
    let ran = agent.run("probe dns");
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(ran.out.contains("CHECK") && ran.out.contains("seen"), "{}", ran.out);
    assert_eq!(agent.run("probe dns b --timeout 1m --json").code, Some(0));
    let bodies: Vec<Value> = agent.heard().iter().map(|heard| serde_json::from_str(&heard.body).unwrap()).collect();
    assert_eq!(bodies[0], json!({"service": "dns", "check": null, "timeout_seconds": 30.0}));
    assert_eq!(bodies[1], json!({"service": "dns", "check": "b", "timeout_seconds": 60.0}));
    let not_run = json!({"name": "b", "kind": "tcp", "answer": null, "not_run": "not checked"});
    for other in [check("b", "degraded"), check("b", "down"), check("b", "unknown"), not_run] {
        let agent = Agent::saying(200, &reply(json!([check("a", "up"), other])));
        assert_eq!(agent.run("probe dns").code, Some(1), "{other}");
    }
    let refused = Agent::saying(404, &json!({"error": "no service is named `dsn`", "hint": null}).to_string());
    assert_eq!(refused.run("probe dsn").code, Some(2));
}

#[test]
fn an_upgrade_that_is_refused_is_told() {
    let reply =
        json!({"error": "/usr/bin/anycastd: it is broken; the agent that runs goes on", "hint": null}).to_string();
    let ran = Agent::saying(409, &reply).run("upgrade");
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    assert!(ran.err.contains("the agent that runs goes on"), "{}", ran.err);
}

#[test]
fn an_agent_that_begins_anew_is_no_upgrade() {
    let agent = Agent::start(|line, _| match line {
        // As a program that ends.
        "POST /v1/upgrade" => Reply::Raw(Vec::new()),
        _ => Reply::Body(200, status().to_string()),
    });
    let ran = agent.run("upgrade");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("it has begun anew"), "{}", ran.err);
    assert_eq!(
        agent.heard().iter().map(|heard| &*heard.line).collect::<Vec<_>>(),
        ["POST /v1/upgrade", "GET /v1/status"]
    );
}

#[test]
fn an_upgrade_can_be_tried() {
    let trial =
        json!({"program": "/usr/bin/anycastd", "from": "0.1.0", "to": "0.2.0", "sessions": 2, "lost": {}}).to_string();
    let agent = Agent::saying(200, &trial);
    let ran = agent.run("upgrade --dry-run");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("anycastd 0.1.0 → 0.2.0") && ran.out.contains("2 sessions would go on"), "{}", ran.out);
    assert!(agent.heard()[0].body.contains("\"dry_run\":true"));
}
