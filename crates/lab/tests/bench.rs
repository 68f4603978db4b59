//! The bench measures everything it says it does. What the figures are is nobody's promise.

use anycast_lab::{
    bench::{self, Options, Outcome},
    harness, setup,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_the_speakers_bench_is_printed() -> anyhow::Result<()> {
    setup::root()?;
    let options = Options { quick: true, with_others: true, ..Options::default() };
    let report = bench::speaker(&options, harness::programs().await?).await?;
    let rows: Vec<(&str, Vec<&str>)> = report
        .sections
        .iter()
        .map(|section| (&*section.title, section.rows.iter().map(|row| &*row.subject).collect()))
        .collect();
    let all = vec!["anycastd", "ExaBGP", "GoBGP"];
    let tables = vec!["anycastd, 10 a message", "anycastd, 1 a message", "ExaBGP, 10 a message", "GoBGP, 10 a message"];
    let expected = [
        ("From process start to the first UPDATE", all.clone()),
        ("20 prefixes withdrawn at once", all),
        ("20,000 routes received", tables),
        ("Resident memory by number of neighbors", vec!["anycastd, 1", "anycastd, 8"]),
        ("Encoding and decoding a message", vec!["OPEN", "KEEPALIVE", "UPDATE, 1,000 routes"]),
    ];
    assert_eq!(rows, expected);

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
            Outcome::Not(why) => assert_eq!((why.as_str(), row.subject.contains("anycastd")), ("not installed", false)),
        }
    }
    Ok(())
}
