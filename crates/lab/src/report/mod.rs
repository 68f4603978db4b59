//! The report of failovers: by DNS and by anycast, in one lab, measured many times.
//!
//! Two regions serve the same ([`ground`]); one node fails in each way there is ([`failures`]), and at some kills clients find another by
//! name ([`names`]). What users saw is counted from their requests ([`analysis`]), what happened meanwhile is told from captures, route
//! monitors and name servers ([`events`]). [`data`] is what comes of it, [`statistics`]
//! what its runs come to; [`table`](mod@table) and [`html`](mod@html) show it.

mod analysis;
mod chance;
pub mod data;
mod events;
mod failures;
mod ground;
pub mod html;
mod methods;
mod names;
mod plan;
#[cfg(test)]
mod sample;
pub mod statistics;
pub mod table;
mod versions;
mod words;

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context as _, ensure};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

pub use self::data::Report;
use self::{
    methods::Measured,
    plan::{Collected, Plan},
};
use crate::{
    bench::report::machine,
    exit::Exit,
    input,
    programs::{BIN_DIR, Programs},
    setup,
    tools::record::Nanos,
    verbs::show,
};

/// Of [`Report`].
const VERSION: u32 = 1;
/// The page.
const HTML: &str = "report.html";
/// A thousand runs of every method are shorter, in bytes.
const LONGEST: u64 = 64 << 20;
/// With fewer runs there is no 95th percentile to speak of.
const ENOUGH: u32 = 20;

/// What is compared, and how.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Runs of each method [default: 30; quick: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: Option<u32>,
    /// Short times and no TTL but 5 s, to see that it works: the figures mean nothing
    #[arg(long)]
    pub quick: bool,
    /// The moments of the failures are random; the same again from the same number [default: another each time]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// So many labs at once, where times are seconds
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub parallel: u8,
    /// Only these methods, as report.json names them: dns-ttl-60,anycast-drain-bird
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = method)]
    pub methods: Vec<String>,
    /// Write report.html and report.json there
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub output: PathBuf,
    /// Measure nothing: draw report.html and print the table of this report.json
    #[arg(long, value_name = "FILE", conflicts_with_all = ["runs", "quick", "seed", "methods"])]
    pub from: Option<PathBuf>,
    /// Print JSON instead of the table
    #[arg(long)]
    pub json: bool,
    /// Take anycastd, anycastctl and anycast-lab from here instead of building them for release
    #[arg(long, env = BIN_DIR, hide_env = true, value_name = "DIR")]
    pub bin_dir: Option<PathBuf>,
}

fn method(text: &str) -> Result<String, String> {
    text.parse::<Measured>().map(Measured::id)
}

/// Measures, writes and prints. Interrupted, it writes what there is.
///
/// # Errors
/// When it cannot be measured or written; what there is then is written all the same.
pub async fn run(options: Options) -> anyhow::Result<Exit> {
    if let Some(path) = &options.from {
        let report = read(path)?;
        let written = make(&options.output).and_then(|()| write_file(&options.output, HTML, &html::html(&report)));
        show(&text(&report, options.json)?)?;
        return written.map(|()| Exit::Done);
    }
    setup::ensure(setup::Purpose::Report).await?;
    // Before half an hour is spent on what cannot be written.
    make(&options.output)?;
    tempfile::NamedTempFile::new_in(&options.output)
        .with_context(|| format!("cannot write in {}", options.output.display()))?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let collected = Collected::default();
    let (ended, exit) = tokio::select! {
        ended = find_and_carry_out(&options, &collected) => (ended, Exit::Done),
        _ = interrupt.recv() => (Ok(()), Exit::Code(130)),
        _ = terminate.recv() => (Ok(()), Exit::Code(143)),
    };
    let whole = ended.is_ok() && exit == Exit::Done;
    if exit != Exit::Done || (!whole && collected.count() > 0) {
        eprintln!("anycast-lab: not finished, with {} made; all that it ran has ended", words::runs(collected.count()));
    }
    if collected.count() > 0 {
        let report = report(&options, &collected, whole).await;
        deliver(&report, &options, show)?;
    }
    ended.map(|()| exit)
}

/// Measures; nothing is written.
///
/// # Errors
/// When the lab does not come up, or traffic does not move.
pub async fn measure(options: &Options, programs: &Programs) -> anyhow::Result<Report> {
    let missing = setup::missing(setup::Purpose::Report);
    ensure!(missing.is_empty(), "missing on this machine: {}; `cargo lab report` installs it", missing.join(", "));
    let collected = Collected::default();
    carry_out(options, programs, &collected).await?;
    Ok(report(options, &collected, true).await)
}

async fn find_and_carry_out(options: &Options, collected: &Collected) -> anyhow::Result<()> {
    let programs = match &options.bin_dir {
        Some(directory) => Programs::of(directory)?,
        None => Programs::build(true).await?,
    };
    carry_out(options, &programs, collected).await
}

async fn carry_out(options: &Options, programs: &Programs, collected: &Collected) -> anyhow::Result<()> {
    let plan = plan(options)?;
    let runs = words::runs(plan.runs as usize);
    eprintln!("anycast-lab: {} methods, {runs} of each, seed {}", plan.measured.len(), plan.seed);
    plan.carry_out(programs, collected).await
}

fn plan(options: &Options) -> anyhow::Result<Plan> {
    let given = options.methods.iter().map(|id| id.parse::<Measured>().map_err(anyhow::Error::msg));
    let mut measured = given.collect::<anyhow::Result<Vec<_>>>()?;
    if measured.is_empty() {
        measured = Measured::all();
        measured.retain(|measured| !options.quick || !matches!(measured, Measured::Switched(6..)));
    }
    measured.sort_unstable();
    measured.dedup();
    Ok(Plan {
        measured,
        runs: runs(options),
        // What is below a second of the clock is random enough.
        seed: options.seed.unwrap_or_else(|| Nanos::now().0 % 1_000_000_007),
        quick: options.quick,
        parallel: options.parallel.into(),
    })
}

fn runs(options: &Options) -> u32 {
    options.runs.unwrap_or(if options.quick { 1 } else { 30 })
}

/// What there is.
async fn report(options: &Options, collected: &Collected, whole: bool) -> Report {
    let machine = machine();
    Report {
        version: VERSION,
        made: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        machine: if whole { machine } else { format!("{machine}; interrupted before all runs were made") },
        quick: options.quick || runs(options) < ENOUGH,
        programs: versions::all().await,
        methods: collected.methods(options.quick),
    }
}

/// Writes and prints; what cannot be written is printed all the same: it took half an hour.
fn deliver(report: &Report, options: &Options, show: impl FnOnce(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let written = write(report, &options.output);
    show(&text(report, options.json)?)?;
    written
}

/// Both files, each whole or not at all.
fn write(report: &Report, directory: &Path) -> anyhow::Result<()> {
    let json = serde_json::to_string(report)?;
    write_file(directory, "report.json", &json)?;
    write_file(directory, HTML, &html::html(report))
}

fn make(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))
}

/// Whole or not at all.
fn write_file(directory: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = directory.join(name);
    let whole = || -> io::Result<()> {
        let mut file = tempfile::Builder::new().permissions(readable()).tempfile_in(directory)?;
        file.write_all(text.as_bytes())?;
        file.persist(&path)?;
        Ok(())
    };
    whole().with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("anycast-lab: {} is written", path.display());
    Ok(())
}

/// What was written before.
fn read(path: &Path) -> anyhow::Result<Report> {
    #[derive(serde::Deserialize)]
    struct Head {
        version: u32,
    }
    let place = || path.display().to_string();
    let text = input::read_up_to(path, LONGEST).with_context(place)?;
    let head: Head = serde_json::from_str(&text).with_context(|| format!("{}: no report.json", place()))?;
    ensure!(head.version == VERSION, "{}: of version {}, and only {VERSION} can be read", place(), head.version);
    serde_json::from_str(&text).with_context(|| format!("{}: no report.json", place()))
}

/// By everybody: there is nothing secret in it.
fn readable() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    fs::Permissions::from_mode(0o644)
}

fn text(report: &Report, json: bool) -> anyhow::Result<String> {
    Ok(if json { serde_json::to_string_pretty(report)? + "\n" } else { table::table(report) })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn planned(words: &str) -> anyhow::Result<Plan> {
        plan(&Line::try_parse_from(std::iter::once("report").chain(words.split_whitespace()))?.options)
    }

    #[test]
    fn what_is_given_is_planned() {
        let plan = planned("--methods anycast-drain-bird,dns-ttl-60,anycast-drain-bird --seed 7").unwrap();
        assert_eq!(
            plan.measured.iter().map(|measured| measured.id()).collect::<Vec<_>>(),
            ["dns-ttl-60", "anycast-drain-bird"]
        );
        assert_eq!((plan.runs, plan.seed, plan.quick, plan.parallel), (30, 7, false, 4));
        assert_eq!(planned("").unwrap().measured, Measured::all());
        let quick = planned("--quick").unwrap();
        assert!(
            quick
                .measured
                .iter()
                .all(|measured| measured.method().ttl.is_none_or(|ttl| ttl == 5 || measured.id() == "dns-round-robin"))
        );
        assert_eq!((quick.runs, quick.measured.len()), (1, 15));
        assert!(planned("--methods dns-ttl-300").is_err());
    }

    #[test]
    fn both_files_are_written() {
        let home = tempfile::tempdir().unwrap();
        let report = Report {
            version: VERSION,
            made: "2026-11-27T00:00:00Z".to_owned(),
            machine: "a machine".to_owned(),
            quick: true,
            programs: Vec::new(),
            methods: Measured::all().into_iter().map(Measured::method).collect(),
        };
        for _ in 0..2 {
            write(&report, home.path()).unwrap();
        }
        let json = fs::read_to_string(home.path().join("report.json")).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2);
        assert_eq!(read(&home.path().join("report.json")).unwrap(), report);
    }

    #[test]
    fn what_is_no_report_is_refused_with_its_name() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("other.json");
        for (text, expected) in [
            ("{}", "no report.json: missing field `version`"),
            ("{\"version\": 2}", "of version 2, and only 1 can be read"),
            ("{\"version\": 1}", "no report.json: missing field `made`"),
            ("PNG", "no report.json: expected value"),
        ] {
            fs::write(&path, text).unwrap();
            let error = format!("{:#}", read(&path).unwrap_err());
            assert!(error.starts_with(&format!("{}: {expected}", path.display())), "{error}");
        }
        assert!(planned("--from report.json --quick").is_err());
    }

    #[test]
    fn what_cannot_be_written_is_printed() {
        let home = tempfile::tempdir().unwrap();
        let gone = home.path().join("gone");
        let words = ["report", "--json", "--output", gone.to_str().unwrap()];
        let options = Line::try_parse_from(words).unwrap().options;
        let mut printed = String::new();
        let show = |text: &str| {
            printed += text;
            Ok(())
        };
        let error = deliver(&sample::report(), &options, show).unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot write "), "{error:#}");
        assert!(printed == text(&sample::report(), true).unwrap(), "{printed:.200}");
    }

    #[tokio::test]
    async fn a_report_is_drawn_again() {
        let home = tempfile::tempdir().unwrap();
        let source = home.path().join("measured.json");
        fs::write(&source, serde_json::to_string(&sample::report()).unwrap()).unwrap();
        let words = ["report", "--output", home.path().to_str().unwrap(), "--from", source.to_str().unwrap()];
        let options = Line::try_parse_from(words).unwrap().options;
        assert_eq!(run(options).await.unwrap(), Exit::Done);
        let page = fs::read_to_string(home.path().join(HTML)).unwrap();
        assert_eq!(page, html::html(&sample::report()));
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 2);
    }
}
