//! An agent that is not there, may not be asked, hangs or talks nonsense.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::UnixListener,
        process::CommandExt as _,
    },
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{Agent, Ran, Reply, command, ordered, run_at, status};

#[test]
fn no_socket() {
    let dir = tempfile::tempdir().unwrap();
    let ran = run_at(&dir.path().join("control.sock"), "status");
    assert_eq!((ran.code, ran.out.as_str()), (Some(69), ""));
    assert!(ran.err.contains("there is no socket") && ran.err.contains("is the agent running?"), "{}", ran.err);
}

#[test]
fn nobody_listens() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("control.sock");
    drop(UnixListener::bind(&socket).unwrap());
    let ran = run_at(&socket, "status");
    assert_eq!(ran.code, Some(69));
    assert!(ran.err.contains("nobody listens") && ran.err.contains("left its socket"), "{}", ran.err);

    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for other in [file.as_path(), dir.path()] {
        let ran = run_at(other, "status");
        assert_eq!(ran.code, Some(69));
        assert!(ran.err.contains("is not a socket") && ran.err.contains("--socket PATH"), "{}", ran.err);
    }
    assert_eq!(run_at(&dir.path().join("x".repeat(200)), "status").code, Some(69), "too long for a socket");
}

#[test]
fn no_permission() {
    // Root may do everything: it runs the program as nobody, from where nobody may run it.
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = dir.path().join("anycastctl");
    fs::copy(env!("CARGO_BIN_EXE_anycastctl"), &program).unwrap();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    let _listener = UnixListener::bind(closed.join("control.sock")).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = Command::new(program);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(65_534).gid(65_534);
    }
    let ran: Ran = command.arg("status").arg("--socket").arg(closed.join("control.sock")).output().unwrap().into();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(ran.code, Some(77), "{ran:?}");
    assert!(ran.err.contains("no permission") && ran.err.contains("group"), "{}", ran.err);
}

#[test]
fn an_agent_that_hangs() {
    let agent = Agent::start(|_, _| Reply::Hang);
    let begun = Instant::now();
    let ran = agent.run("status --request-timeout 300ms");
    assert_eq!(ran.code, Some(69));
    assert!(ran.err.contains("within 300ms") && ran.err.contains("may be hanging"), "{}", ran.err);
    let ran = agent.run("withdraw dns --request-timeout 300ms");
    assert!(ran.code == Some(69) && ran.err.contains("not known whether the order was heard"), "{}", ran.err);
    let ran = agent.run("events -f --request-timeout 300ms");
    assert_eq!(ran.code, Some(69));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_agent_that_hangs_within_its_answer() {
    let agent = Agent::start(|_, _| Reply::Stream(vec!["{".into()], Duration::from_secs(20)));
    assert_eq!(agent.run("status --request-timeout 300ms").code, Some(69));
}

#[test]
fn an_agent_that_hangs_while_we_wait() {
    let agent = Agent::start(|line, _| if line.ends_with("wait") { Reply::Hang } else { Reply::Body(200, ordered()) });
    let ran = agent.run("withdraw --wait --request-timeout 300ms");
    assert_eq!(ran.code, Some(69));
    assert!(ran.err.contains("the order was accepted and stands"), "{}", ran.err);
}

#[test]
fn the_deadline_is_five_seconds() {
    let begun = Instant::now();
    let ran = Agent::start(|_, _| Reply::Hang).run("status");
    assert!(ran.code == Some(69) && ran.err.contains("within 5s"), "{}", ran.err);
    assert!((5..8).contains(&begun.elapsed().as_secs()));
}

#[test]
fn nonsense() {
    let head = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}").into_bytes();
    let mut not_text = head("content-length: 2\r\n\r\n");
    not_text.extend([0xff, 0xfe]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("not HTTP", b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()),
        ("noise", (0..=255).cycle().take(100_000).collect()),
        ("half a head", b"HTTP/1.1 200 OK\r\ncont".to_vec()),
        ("half a body", head("content-length: 100\r\n\r\n{\"node\":")),
        ("half a chunk", head("transfer-encoding: chunked\r\n\r\n50\r\n{")),
        ("a chunk that is none", head("transfer-encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n")),
        ("no JSON", head("content-length: 6\r\n\r\nhello\n")),
        ("other JSON", head("content-length: 8\r\n\r\n[1,2,3]\n")),
        ("no UTF-8", not_text),
        ("a redirect", b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n".to_vec()),
        ("no reason", b"HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\noops".to_vec()),
    ];
    for (what, bytes) in cases {
        let agent = Agent::babbling(&bytes);
        for line in ["status", "status --json", "withdraw --wait", "events -f", "neighbors leaf1"] {
            // An answer that may be a stream that goes on is none of these.
            if line == "events -f" && what.contains("JSON") {
                continue;
            }
            let ran = agent.run(line);
            assert_eq!(ran.code, Some(69), "{what}, {line}: {ran:?}");
            assert!(ran.err.starts_with("anycastctl: ") && ran.out.is_empty(), "{what}, {line}: {ran:?}");
        }
    }
}

#[test]
fn too_much() {
    let mut told = status();
    told["problems"] = json!(["x".repeat(17 << 20)]);
    let ran = Agent::saying(200, &told.to_string()).run("status");
    assert!(ran.code == Some(69) && ran.err.contains("longer than 16 MiB"), "{}", ran.err);

    let chunks = vec!["x".repeat(1 << 16); 20];
    let agent = Agent::start(move |_, _| Reply::Stream(chunks.clone(), Duration::from_secs(20)));
    let ran = agent.run("events -f");
    assert!(ran.code == Some(69) && ran.err.contains("longer than 1 MiB"), "{}", ran.err);
}

#[test]
fn whoever_reads_may_leave_while_the_agent_is_missing() {
    let ran: Ran = command("/nonexistent".as_ref(), "status --watch").output().unwrap().into();
    assert_eq!(ran.code, Some(69));
}
