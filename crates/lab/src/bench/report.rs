//! What was measured, as tables and as JSON.

use std::{fmt, fs, num::NonZeroUsize, thread};

use serde::{Serialize, Serializer, ser::SerializeMap as _};

/// All of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// On what machine, in words.
    pub machine: String,
    /// Whether the sizes were too small to mean anything.
    pub quick: bool,
    /// What was measured, in order.
    pub sections: Vec<Section>,
}

/// One table.
#[derive(Debug, Serialize)]
pub struct Section {
    /// What was measured.
    pub title: String,
    /// What exactly the figures say.
    pub meaning: &'static str,
    /// One for each that was measured.
    pub rows: Vec<Row>,
}

/// One line of a table.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Who, or what.
    pub subject: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of measuring something.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Figures, of which the rows of a table have the same.
    #[serde(serialize_with = "by_key")]
    Figures(Vec<Figure>),
    /// Why there are none.
    Not(String),
}

/// One figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// Its name in JSON, with its unit; and, in capitals and without underscores, above its column.
    pub key: &'static str,
    /// How much; not a number, where that is not known.
    pub value: f64,
    /// Digits behind the point, in the table.
    pub digits: usize,
}

impl Figure {
    /// A figure.
    #[must_use]
    pub const fn new(key: &'static str, value: f64, digits: usize) -> Self {
        Self { key, value, digits }
    }

    /// Octets as mebibytes.
    #[must_use]
    pub const fn mebibytes(key: &'static str, octets: u64) -> Self {
        Self::new(key, octets as f64 / (1 << 20) as f64, 1)
    }
}

fn by_key<S: Serializer>(figures: &[Figure], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(figures.len()))?;
    for figure in figures {
        map.serialize_entry(figure.key, &figure.value)?;
    }
    map.end()
}

impl Report {
    /// With what is known of this machine.
    #[must_use]
    pub fn new(quick: bool, sections: Vec<Section>) -> Self {
        Self { machine: machine(), quick, sections }
    }
}

/// The load is part of it: figures from a busy machine say little.
pub(crate) fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (cpuinfo, load, release) = (read("/proc/cpuinfo"), read("/proc/loadavg"), read("/proc/sys/kernel/osrelease"));
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("?", |(_, m)| m);
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let load = load.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    format!("{processors} × {model}, Linux {}, load {load}", release.trim())
}

const WIDTH: usize = 100;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        if self.quick {
            writeln!(f, "Small sizes: these figures show that it works, and nothing else.")?;
        }
        self.sections.iter().try_for_each(|section| write!(f, "\n{section}"))
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let first = self.rows.iter().map(|row| row.subject.chars().count()).max().unwrap_or(0);
        let columns = self.rows.iter().find_map(|row| match &row.outcome {
            Outcome::Figures(figures) => Some(figures.iter().map(|figure| heading(figure.key)).collect::<Vec<_>>()),
            Outcome::Not(_) => None,
        });
        let columns = columns.unwrap_or_default();
        if !columns.is_empty() {
            writeln!(f, "  {:first$}  {}", "", columns.join("  "))?;
        }
        for Row { subject, outcome } in &self.rows {
            write!(f, "  {subject:first$}")?;
            match outcome {
                Outcome::Not(why) => write!(f, "  {why}")?,
                Outcome::Figures(figures) => {
                    for (figure, column) in figures.iter().zip(&columns) {
                        let (width, digits) = (column.chars().count(), figure.digits);
                        let unknown = figure.value.is_nan().then(|| "–".to_owned());
                        let value = unknown.unwrap_or_else(|| format!("{:.digits$}", figure.value));
                        write!(f, "  {value:>width$}")?;
                    }
                }
            }
            writeln!(f)?;
        }
        wrapped(self.meaning).iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

/// Wide enough for what stands below it.
fn heading(key: &str) -> String {
    format!("{:>8}", key.replace('_', " ").to_uppercase())
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + word.chars().count() < WIDTH - 2 => *line += &format!(" {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The middle one and the largest.
#[must_use]
pub(super) fn middle_and_most(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let middle = values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN);
    (middle, values.last().copied().unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section() -> Section {
        let row = |subject: &str, outcome| Row { subject: subject.to_owned(), outcome };
        Section {
            title: "1,000 prefixes withdrawn at once".to_owned(),
            meaning: "From the order to the last.",
            rows: vec![
                row(
                    "anycastd",
                    Outcome::Figures(vec![
                        Figure::new("messages", 3.0, 0),
                        Figure::new("last_ms", 1.25, 2),
                        Figure::new("own_ms", f64::NAN, 2),
                    ]),
                ),
                row("GoBGP", Outcome::Not("not installed".to_owned())),
            ],
        }
    }

    #[test]
    fn a_table_lines_up() {
        let expected = "\
1,000 prefixes withdrawn at once
            MESSAGES   LAST MS    OWN MS
  anycastd         3      1.25         –
  GoBGP     not installed
  From the order to the last.
";
        assert_eq!(section().to_string(), expected);
    }

    #[test]
    fn json_names_each_figure() {
        let json = serde_json::to_value(section()).unwrap();
        assert_eq!(
            json["rows"][0],
            serde_json::json!({"subject": "anycastd", "figures": {"messages": 3.0, "last_ms": 1.25, "own_ms": null}})
        );
        assert_eq!(json["rows"][1], serde_json::json!({"subject": "GoBGP", "not": "not installed"}));
    }

    #[test]
    fn the_middle_is_a_value_that_was_measured() {
        assert_eq!(middle_and_most(vec![3.0, 1.0, 2.0]), (2.0, 3.0));
        assert_eq!(middle_and_most(vec![4.0, 1.0]), (1.0, 4.0));
    }
}
