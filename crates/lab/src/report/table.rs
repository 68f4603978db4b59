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
const WIDTHS: [usize; 10] = [4, 6, 6, 6, 6, 6, 6, 6, 6, 7];
const GAP: usize = 2;
const HEAD: [&str; 10] = ["RUNS", "P50", "P95", "P99", "WORST", "P50", "WORST", "P50", "WORST", "SHARE"];
/// What stands above some of the columns: the first, how many, and what.
const GROUPS: [(usize, usize, &str); 3] = [(1, 4, "FIRST GOOD ANSWER"), (5, 2, "RECOVERED"), (7, 3, "REQUESTS LOST")];

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
        insta::assert_snapshot!(table, @r#"
                                                          FIRST GOOD ANSWER       RECOVERED            REQUESTS LOST
        METHOD                         RUNS     P50     P95     P99   WORST     P50   WORST     P50   WORST    SHARE
        Round robin, nobody edits the    30  104 ms  190 ms  198 ms  198 ms   never   never   6007+   6198+   33.4 %
          zone
        Switched, TTL 5 s                30   4.0 s   7.2 s   7.4 s   7.4 s   4.0 s   7.4 s     807    1475   2.52 %
        Switched, TTL 30 s               30  16.3 s  30.8 s  31.5 s  31.5 s  16.3 s  31.5 s    3251    6305   9.66 %
        Switched, TTL 60 s               30  30.9 s  59.2 s  60.5 s  60.5 s  30.9 s  60.5 s    6183   12100   18.2 %
        Switched, TTL 300 s *            30   148 s   286 s   292 s   292 s   148 s   292 s   29645   58466   86.8 %
        Withdraw by kernel hint, FRR     30   33 ms   45 ms   46 ms   46 ms   30 ms   41 ms       6       9   0.16 %
        Withdraw by polling at           30   2.5 s   3.0 s   3.0 s   3.0 s   2.2 s   2.7 s     496     600   12.5 %
          defaults, FRR
        Agent killed, FRR                30   13 ms   17 ms   17 ms   17 ms   12 ms   15 ms       2       3   0.05 %
        Node frozen, BFD 3 × 50 ms,      30  157 ms  186 ms  189 ms  189 ms  142 ms  170 ms      31      37   0.78 %
          FRR
        Node frozen, hold time 9 s       30   7.6 s   8.9 s   9.1 s   9.1 s   6.9 s   8.2 s    1528    1811   38.5 %
          only, FRR
        Planned drain, FRR               30  1.5 ms  2.8 ms  2.9 ms  2.9 ms    0 ms    0 ms       0       0      0 %
        Withdraw by kernel hint, BIRD    30   43 ms   58 ms   60 ms   60 ms   39 ms   54 ms       8      11   0.21 %
        Withdraw by polling at           30   3.2 s   3.8 s   3.9 s   3.9 s   2.9 s   3.5 s     645     780   16.3 %
          defaults, BIRD
        Agent killed, BIRD               30   17 ms   22 ms   22 ms   22 ms   15 ms   20 ms       3       4   0.07 %
        Node frozen, BFD 3 × 50 ms,      30  205 ms  242 ms  245 ms  245 ms  184 ms  221 ms      40      49   1.02 %
          BIRD
        Node frozen, hold time 9 s       30   9.9 s  11.6 s  11.8 s  11.8 s   8.9 s  10.6 s    1987    2354   50.1 %
          only, BIRD
        Planned drain, BIRD              30  1.9 ms  3.7 ms  3.8 ms  3.8 ms    0 ms    0 ms       0       0      0 %
        * Switched, TTL 300 s: computed from the runs of “Switched, TTL 60 s”; nothing of it was measured.
        never: not before the end of the run. +: requests were lost still when the run ended.
        With fewer than 100 runs, p99 is the worst (nearest rank).
        "#);
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
