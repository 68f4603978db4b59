//! The lab itself: nodes that are apart, routers that speak to each other, and nothing that is left behind.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use anycast_lab::{
    harness::{AMPLE, Lab},
    runner,
};
use nix::sys::signal::Signal;

fn small() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/topologies/small.clab.yml")
}

/// The program with these arguments.
fn said(arguments: &[&str], to: impl Into<Stdio>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_anycast-lab")).args(arguments).stdout(to).output().expect("it runs")
}

#[test]
fn a_full_disk_is_told_of_and_a_reader_who_has_enough_is_not() {
    for arguments in [&["graph"][..], &["demo", "--list"]] {
        let told = said(arguments, fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        let errors = String::from_utf8_lossy(&told.stderr);
        assert!(errors.starts_with("anycast-lab: cannot write to standard output: No space left"), "{errors}");
        assert_eq!((told.status.code(), errors.lines().count()), (Some(1), 1), "{arguments:?}: {errors}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let told = said(arguments, writer);
        assert_eq!((told.status.code(), &*told.stderr), (Some(0), &b""[..]), "{arguments:?}");
    }
}

#[test]
fn a_topology_that_has_no_end_is_refused_in_one_line() {
    let told = said(&["graph", "--topology", "/dev/zero"], Stdio::null());
    let errors = String::from_utf8_lossy(&told.stderr);
    assert_eq!(errors, "anycast-lab: cannot read the topology /dev/zero: it is no regular file\n");
    assert_eq!(told.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn routers_speak_to_each_other() -> anyhow::Result<()> {
    let lab = Lab::up(&small()).await?;
    lab.established("rtr", "peer").await?;
    lab.established("peer", "rtr").await?;
    let summary = lab.show("rtr", "show bgp summary json").await?;
    assert_eq!(summary["ipv6Unicast"]["peers"]["192.0.2.6"]["remoteAs"], 65001);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_apart_from_the_machine() -> anyhow::Result<()> {
    let lab = Lab::up(&small()).await?;
    assert_eq!(lab.run("edge", &["hostname"]).await?.trim(), "edge");
    let links = lab.run("edge", &["ip", "-brief", "link"]).await?;
    assert!(links.lines().count() == 2 && links.contains("eth1@"), "{links}");
    assert!(lab.run("edge", &["ip", "-brief", "address", "show", "dev", "eth1"]).await?.contains("192.0.2.2/30"));

    let made = format!("/etc/anycast-lab-test.{}", std::process::id());
    lab.write("edge", &made, "in the node").await?;
    assert_eq!(lab.run("edge", &["cat", &made]).await?, "in the node");
    assert!(!Path::new(&made).exists());
    let outside = runner::run(lab.runner(), "edge", &["touch", "/usr/anycast-lab-test"], AMPLE).await?;
    assert!(outside.errors.contains("Read-only"), "{}", outside.errors);

    assert_eq!(lab.run("rtr", &["cat", "/proc/sys/net/ipv4/ip_forward"]).await?.trim(), "1");
    assert_eq!(lab.run("edge", &["cat", "/proc/sys/net/ipv4/ip_forward"]).await?.trim(), "0");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_are_found_and_killed_by_name() -> anyhow::Result<()> {
    let lab = Lab::up(&small()).await?;
    lab.start("edge", &["tail", "-f", "/dev/null"], "/var/log/tail.log").await?;
    lab.wait("it runs", async || Ok((lab.pids("edge", "tail").await?.len() == 1).then_some(()))).await?;
    assert!(lab.pids("rtr", "tail").await?.is_empty());
    lab.kill("edge", "tail", Signal::SIGKILL).await?;
    lab.wait("it is gone", async || Ok(lab.pids("edge", "tail").await?.is_empty().then_some(()))).await?;
    assert!(lab.kill("edge", "tail", Signal::SIGKILL).await.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outlives_the_lab() -> anyhow::Result<()> {
    let lab = Lab::up(&small()).await?;
    // As the machine sees it: the host's numbers of all that is in the node's network.
    let network = lab.run("edge", &["readlink", "/proc/self/ns/net"]).await?;
    let inside = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter(|entry| fs::read_link(entry.path().join("ns/net")).is_ok_and(|ns| ns == Path::new(network.trim())))
            .count()
    };
    assert!(inside() >= 2, "its first process and its main one");
    drop(lab);
    let deadline = tokio::time::Instant::now() + AMPLE;
    while inside() > 0 {
        assert!(tokio::time::Instant::now() < deadline, "{} processes are left", inside());
        tokio::task::yield_now().await;
    }
    Ok(())
}
