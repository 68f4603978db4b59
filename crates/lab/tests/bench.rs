//! The bench measures everything it says it does. What the figures are is nobody's promise.

use anycast_lab::{
    bench::{
        self, Options, Outcome, Report, bfd, drain,
        health::{self, Part},
    },
    harness, setup,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_the_speakers_bench_is_printed() -> anyhow::Result<()> {
    setup::root()?;
    let options = Options { quick: true, with_others: true, ..Options::default() };
    let report = bench::speaker(&options, harness::programs().await?).await?;
    let all = vec!["anycastd", "ExaBGP", "GoBGP"];
    let tables = vec!["anycastd, 10 a message", "anycastd, 1 a message", "ExaBGP, 10 a message", "GoBGP, 10 a message"];
    let expected = [
        ("From process start to the first UPDATE", all.clone()),
        ("20 prefixes withdrawn at once", all),
        ("20,000 routes received", tables),
        ("Resident memory by number of neighbors", vec!["anycastd, 1", "anycastd, 8"]),
        ("Encoding and decoding a message", vec!["OPEN", "KEEPALIVE", "UPDATE, 1,000 routes"]),
    ];
    assert_eq!(rows(&report), expected);
    is_printed(&report);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_is_withdrawn_in_each_manner() -> anyhow::Result<()> {
    setup::root()?;
    let options = Options { quick: true, ..Options::default() };
    let report = health::measure(&options, &[Part::Reaction], harness::programs().await?).await?;
    let all = vec![
        "anycastd, watch: listener",
        "anycastd, 100 ms",
        "anycastd, defaults",
        "ExaBGP, 100 ms",
        "ExaBGP, defaults",
        "anycast-healthchecker, 100 ms",
        "anycast-healthchecker, defaults",
        "GoBGP, script, 100 ms",
    ];
    let expected = [
        ("A service is killed: until the withdraw is on the wire", all.clone()),
        ("It is started again: until the announcement is on the wire", all),
    ];
    assert_eq!(rows(&report), expected);
    is_printed(&report);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_checks_cost_is_measured() -> anyhow::Result<()> {
    setup::root()?;
    let options = Options { quick: true, ..Options::default() };
    let report = health::measure(&options, &[Part::Load, Part::Connections], harness::programs().await?).await?;
    let expected = [
        ("50 checks a second: what they cost", vec!["http", "exec"]),
        ("50 checks a second: whether they keep their times", vec!["http", "exec"]),
        ("A server with 2,000 connections a second", vec!["watch: none", "watch: listener"]),
    ];
    assert_eq!(rows(&report), expected);
    is_printed(&report);
    Ok(())
}

/// With one run nothing is lost in a drain either; figures of more are in the book.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_through_routers_loses_no_request() -> anyhow::Result<()> {
    setup::root()?;
    let options = Options { quick: true, ..Options::default() };
    let report = drain::measure(&options, harness::programs().await?).await?;
    let all = vec![
        "withdraw, IPv4",
        "withdraw, IPv6",
        "withdraw --now, IPv4",
        "withdraw --now, IPv6",
        "killed, IPv4",
        "killed, IPv6",
    ];
    let expected = [
        ("A node goes out of service: a request by UDP every millisecond", all.clone()),
        ("The same: a request by TCP every 20 ms, whose answer takes 300 ms", all),
    ];
    assert_eq!(rows(&report), expected);
    is_printed(&report);
    for row in &report.sections[0].rows[..2] {
        let Outcome::Figures(figures) = &row.outcome else { panic!("{row:?}") };
        let value = |key| figures.iter().find(|figure| figure.key == key).map(|figure| figure.value);
        assert_eq!(value("lost"), Some(0.0), "{report}");
        assert!(value("requests") > Some(100.0), "{report}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_the_bench_of_bfd_is_printed() -> anyhow::Result<()> {
    setup::root()?;
    let options = Options { quick: true, with_others: true, ..Options::default() };
    let report = bfd::measure(&options, bfd::Extent::default(), &[], harness::programs().await?).await?;
    let all = vec![
        "anycastd, 50 ms × 3",
        "anycastd, 300 ms × 3",
        "anycastd, no BFD, hold time 3 s",
        "BIRD, 50 ms × 3",
        "FRR, 50 ms × 3",
    ];
    let sessions = vec![
        "50 ms × 3, idle",
        "10 ms × 3, idle",
        "50 ms × 3, busy",
        "10 ms × 3, busy",
        "50 ms × 3, busy, no priority",
        "10 ms × 3, busy, no priority",
    ];
    let expected = [
        ("A node is frozen: SIGSTOP for every program of it", all.clone()),
        ("A node is cut off: nft drops all packets of its link, which stays up", all),
        ("False alarms", sessions.clone()),
        ("Times between two packets of the agent", sessions),
        (
            "Processor time by number of sessions",
            vec!["1, 300 ms × 3", "1, 50 ms × 3", "8, 300 ms × 3", "8, 50 ms × 3"],
        ),
    ];
    assert_eq!(rows(&report), expected);
    is_printed(&report);
    Ok(())
}

/// Each table with the subjects of its rows.
fn rows(report: &Report) -> Vec<(&str, Vec<&str>)> {
    let rows = report.sections.iter().map(|section| {
        let subjects = section.rows.iter().map(|row| &*row.subject);
        (&*section.title, subjects.collect())
    });
    rows.collect()
}

/// Ours have figures.
fn is_printed(report: &Report) {
    let printed = report.to_string();
    for row in report.sections.iter().flat_map(|section| &section.rows) {
        assert!(printed.contains(&row.subject), "{printed}");
        match &row.outcome {
            Outcome::Figures(figures) => {
                let known = |figure: &&bench::Figure| !figure.value.is_nan();
                assert!(figures.iter().filter(known).all(|figure| figure.value >= 0.0), "{row:?}");
                assert!(figures.iter().any(|figure| figure.value > 0.0), "{row:?}");
            }
            // Nobody has to have the others; who has them gets figures.
            Outcome::Not(why) => {
                let good = why.starts_with("not installed") || why == "only --with-others";
                assert!(good && !row.subject.contains("anycastd"), "{row:?}");
            }
        }
    }
}
