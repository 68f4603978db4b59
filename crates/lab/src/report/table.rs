//! The report as plain text.

use std::fmt::Write as _;

use super::{
    data::{Method, Report},
    statistics::Summary,
    words,
};

/// No line is longer, in characters.
pub const WIDTH: usize = 110;

/// Of the columns with figures.
const WIDTHS: [usize; 10] = [4, 6, 6, 6, 6, 6, 6, 6, 6, 8];
const GAP: usize = 2;
const HEAD: [&str; 10] = ["RUNS", "P50", "P95", "P99", "WORST", "P50", "WORST", "P50", "WORST", "SHARE"];
/// What stands above some of the columns: the first, how many, and what.
const GROUPS: [(usize, usize, &str); 3] =
    [(1, 4, "FIRST GOOD ANSWER"), (5, 2, "NOTHING LOST AFTER"), (7, 3, "REQUESTS LOST")];

/// A row for each method, its figures as [`statistics`](super::statistics) says, and what is to be known of them.
#[must_use]
pub fn table(report: &Report) -> String {
    let titles: Vec<_> = report.methods.iter().map(|method| wrapped(&words::title(method), first_column())).collect();
    let first = titles.iter().flatten().map(|line| line.chars().count()).max().unwrap_or(0).max(6);
    let mut text = String::new();
    line(&mut text, &groups(first));
    line(&mut text, &format!("{:first$}{}", "METHOD", columns(&HEAD.map(str::to_owned))));
    for (method, title) in report.methods.iter().zip(&titles) {
        let (head, rest) = title.split_first().map_or(("", title.as_slice()), |(head, rest)| (head.as_str(), rest));
        line(&mut text, &format!("{head:first$}{}", figures(method)));
        rest.iter().for_each(|rest| line(&mut text, &format!("  {rest}")));
    }
    notes(report).iter().flat_map(|note| wrapped(note, WIDTH)).for_each(|note| line(&mut text, &note));
    text
}

/// What is left of a line for a title.
fn first_column() -> usize {
    WIDTH - WIDTHS.iter().map(|width| width + GAP).sum::<usize>()
}

fn line(text: &mut String, line: &str) {
    _ = writeln!(text, "{}", line.trim_end());
}

fn groups(first: usize) -> String {
    let mut text = format!("{:first$}", "");
    let mut column = 0;
    for (start, count, title) in GROUPS {
        let width = |columns: &[usize]| columns.iter().map(|width| width + GAP).sum::<usize>();
        text += &" ".repeat(width(&WIDTHS[column..start]));
        let room = width(&WIDTHS[start..start + count]);
        text += &format!("{title:>room$}");
        column = start + count;
    }
    text
}

fn columns(cells: &[String; 10]) -> String {
    cells.iter().zip(WIDTHS).map(|(cell, width)| format!("{:GAP$}{cell:>width$}", "")).collect()
}

fn figures(method: &Method) -> String {
    let Some(Summary { runs, first_good, recovered, lost, share }) = Summary::of(method) else {
        return "  no runs".to_owned();
    };
    columns(&[
        runs.to_string(),
        words::wait(first_good.p50),
        words::wait(first_good.p95),
        words::wait(first_good.p99),
        words::wait(first_good.worst),
        words::wait(recovered.p50),
        words::wait(recovered.worst),
        words::lost(lost.p50),
        words::lost(lost.worst),
        words::share(share),
    ])
}

fn notes(report: &Report) -> Vec<String> {
    let mut notes = words::stars(report);
    let summaries = || report.methods.iter().filter_map(Summary::of);
    if summaries().any(|summary| summary.recovered.worst.ms().is_none()) {
        notes.push("never: not before the end of the run. +: requests were lost still when the run ended.".to_owned());
    }
    if summaries().any(|summary| summary.runs < 100) {
        notes.push("With fewer than 100 runs, p99 is the worst (nearest rank).".to_owned());
    }
    if report.quick {
        notes.push(words::QUICK.to_owned());
    }
    notes
}

/// Lines of at most so many characters; a word that is longer is cut.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let word: String = word.chars().take(width - 2).collect();
        match lines.last_mut() {
            Some(line) if line.is_empty() => *line = word,
            Some(line) if line.chars().count() + word.chars().count() + 3 <= width => *line += &format!(" {word}"),
            _ => lines.push(word),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    #[test]
    fn a_table_lines_up_and_fits() {
        let table = table(&sample::report());
        insta::assert_snapshot!(table, @"");
        assert!(table.lines().all(|line| line.chars().count() <= WIDTH), "{table}");
    }

    #[test]
    fn long_titles_and_no_runs_are_bearable() {
        let mut report = sample::report();
        report.methods.truncate(1);
        report.methods[0].title = format!("{} and a long name", "x".repeat(300));
        report.methods[0].runs.clear();
        let table = table(&report);
        assert!(table.contains("no runs"), "{table}");
        assert!(table.lines().all(|line| line.chars().count() <= WIDTH), "{table}");
    }
}
