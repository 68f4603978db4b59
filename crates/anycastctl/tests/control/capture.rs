//! `capture`: a file that is whole or not there.

use std::{fs, os::unix::fs::symlink};

use serde_json::{Value, json};

use crate::support::{Agent, Reply, command};

/// A KEEPALIVE that 192.0.2.2 sent, and a change of state, as the agent writes them.
fn mrt() -> Vec<u8> {
    let ends = [&[0, 0, 0xFD, 0xE9, 0, 0, 0xFD, 0xF2, 0, 0, 0, 1][..], &[192, 0, 2, 1, 192, 0, 2, 2]].concat();
    let record = |subtype: u8, message: &[u8]| {
        let length = u8::try_from(4 + ends.len() + message.len()).expect("it is short");
        [&[0x65, 0x53, 0xF1, 0, 0, 17, 0, subtype, 0, 0, 0, length, 0, 0, 0, 0][..], &ends, message].concat()
    };
    let keepalive = [&[0xFF; 16][..], &[0, 19, 4]].concat();
    [record(7, &keepalive), record(5, &[0, 6, 0, 3])].concat()
}

fn saying(octets: &[u8]) -> Agent {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", octets.len());
    Agent::babbling(&[head.as_bytes(), octets].concat())
}

#[test]
fn the_file_is_what_the_agent_said() {
    let agent = saying(&mrt());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("leaf1.mrt");
    let line = format!("capture leaf1 {}", file.display());
    let ran = agent.run(&line);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(ran.out.starts_with("1 message of leaf1, from 2023-11-14T22:13:20.000Z to "), "{}", ran.out);
    assert_eq!(fs::read(&file).unwrap(), mrt());
    assert_eq!(agent.heard()[0].line, "GET /v1/capture?neighbor=leaf1");

    fs::write(&file, "mine").unwrap();
    let ran = agent.run(&line);
    assert_eq!(ran.code, Some(74));
    assert!(ran.err.contains("is there already") && ran.err.contains("--force"), "{}", ran.err);
    assert_eq!((fs::read(&file).unwrap(), agent.heard().len()), (b"mine".to_vec(), 1), "the agent was not asked");

    let ran = agent.run(&format!("{line} --force --json"));
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&told["messages"], &told["octets"]), (&json!(1), &json!(mrt().len())));
    assert_eq!(fs::read(&file).unwrap(), mrt());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn the_standard_output_takes_it_as_well() {
    let agent = saying(&mrt());
    let piped = command(&agent.socket(), "capture leaf1 -").output().unwrap();
    assert_eq!((piped.status.code(), piped.stdout), (Some(0), mrt()));
    let piped = command(&agent.socket(), "capture leaf1 - --pcap").output().unwrap();
    assert_eq!(piped.stdout[..4], [0xA1, 0xB2, 0xC3, 0xD4]);
}

#[test]
fn nothing_is_left_where_it_cannot_be_written() {
    let agent = saying(&mrt());
    let dir = tempfile::tempdir().unwrap();
    let ran = agent.run(&format!("capture leaf1 {}/no/such/place", dir.path().display()));
    assert_eq!(ran.code, Some(74));
    assert!(ran.err.contains("there is no directory") && !ran.err.contains(".anycastctl-"), "{}", ran.err);

    let link = dir.path().join("link");
    symlink("/dev/null", &link).unwrap();
    for special in ["/dev/null", link.to_str().unwrap(), dir.path().to_str().unwrap()] {
        let ran = agent.run(&format!("capture leaf1 {special} --force"));
        assert_eq!(ran.code, Some(74), "{special}");
        assert!(ran.err.contains("is not a file"), "{}", ran.err);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn what_is_no_file_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let line = format!("capture leaf1 {}/x", dir.path().display());
    let cut = saying(&mrt()[..50]).run(&line);
    assert_eq!(cut.code, Some(69));
    assert!(cut.err.contains("no MRT file"), "{}", cut.err);
    let none = saying(&[]).run(&line);
    assert_eq!(none.code, Some(1));
    assert!(none.err.contains("no connection with leaf1 yet"), "{}", none.err);
    let unknown = json!({"error": "there is no neighbor `leaf1`", "hint": null}).to_string();
    let refused = Agent::start(move |_, _| Reply::Body(404, unknown.clone())).run(&line);
    assert_eq!(refused.code, Some(2));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
