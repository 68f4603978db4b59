//! What a program measured, as the monitoring plugins write it behind the `|` of what they print:
//! `'label'=value[unit];[warn];[crit];[min];[max]`, several of them apart by spaces.
//!
//! Plugins are written by many hands: what cannot be read is left out, and the rest is kept.

use std::collections::BTreeSet;

/// How many values of one run are kept: each is a time series to whoever scrapes them.
pub const MOST: usize = 16;
/// The longest label, unit and range, in characters; what is longer is left out.
const LONGEST: usize = 64;

/// One value that a program measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Performance {
    /// What was measured.
    pub label: String,
    /// `None`: the program could not determine it (`U`).
    pub value: Option<f64>,
    /// `s`, `%`, `B`, `c` (a counter) and the like; empty for a plain number.
    pub unit: String,
    /// The range beyond which it warns, as it was written.
    pub warn: Option<String>,
    /// The range beyond which it is critical, as it was written.
    pub crit: Option<String>,
    /// The least possible value.
    pub min: Option<f64>,
    /// The greatest possible value.
    pub max: Option<f64>,
}

/// What a plugin printed: its first line with something on it, and the values behind the `|` of that line and in all that
/// follows the next one. Where what is behind the first `|` is no performance data, it belongs to the line.
#[must_use]
pub fn split(output: &str) -> (Option<String>, Vec<Performance>) {
    let output = output.trim_start();
    let (first, long) = output.split_once('\n').unwrap_or((output, ""));
    let (line, mut data) = match first.split_once('|') {
        Some((line, data)) if !parse(data).is_empty() || data.trim().is_empty() => (line, data.to_owned()),
        Some(_) | None => (first, String::new()),
    };
    if let Some((_, more)) = long.split_once('|') {
        data.push(' ');
        data.push_str(more);
    }
    let line = line.trim();
    ((!line.is_empty()).then(|| line.to_owned()), parse(&data))
}

/// The values in a text, at most [`MOST`] of them; of two with the same label and unit the first.
#[must_use]
pub fn parse(text: &str) -> Vec<Performance> {
    let mut seen = BTreeSet::new();
    let items = Items { rest: text }.filter_map(|(label, fields)| item(label, fields));
    items.filter(|found| seen.insert((found.label.clone(), found.unit.clone()))).take(MOST).collect()
}

/// Cuts a text into labels and what follows their `=`.
struct Items<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Items<'a> {
    type Item = (String, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.is_empty() {
                return None;
            }
            let Some((label, rest)) = label(self.rest) else {
                // A word that is no measurement.
                self.rest = self.rest.split_once(char::is_whitespace).map_or("", |(_, rest)| rest);
                continue;
            };
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            self.rest = &rest[end..];
            return Some((label, &rest[..end]));
        }
    }
}

/// A label, which may be quoted, and what is behind its `=`. In quotes two of them mean one.
fn label(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('\'') else {
        let (label, rest) = text.split_once('=')?;
        return (!label.contains(char::is_whitespace)).then(|| (label.to_owned(), rest));
    };
    let mut label = String::new();
    let mut rest = quoted;
    loop {
        let (part, behind) = rest.split_once('\'')?;
        label.push_str(part);
        match behind.strip_prefix('\'') {
            Some(more) => {
                label.push('\'');
                rest = more;
            }
            None => return behind.strip_prefix('=').map(|rest| (label, rest)),
        }
    }
}

fn item(label: String, fields: &str) -> Option<Performance> {
    let mut fields = fields.split(';');
    let (value, unit) = measured(fields.next()?)?;
    let fits = |text: &str| text.chars().count() <= LONGEST && !text.chars().any(char::is_control);
    if label.is_empty() || !fits(&label) || !fits(unit) {
        return None;
    }
    let mut range = || fields.next().filter(|range| !range.is_empty() && fits(range)).map(str::to_owned);
    let (warn, crit) = (range(), range());
    let mut bound = || fields.next().and_then(number);
    let (min, max) = (bound(), bound());
    Some(Performance { label, value, unit: unit.to_owned(), warn, crit, min, max })
}

/// `12.5%`: the number and its unit.
fn measured(text: &str) -> Option<(Option<f64>, &str)> {
    if text == "U" {
        return Some((None, ""));
    }
    // An exponent is part of the number only with digits behind it: `3e` would be a unit.
    let ends = (1..=text.len()).rev().filter(|end| text.is_char_boundary(*end));
    let (value, end) = ends.filter_map(|end| Some((number(&text[..end])?, end))).next()?;
    let unit = &text[end..];
    // What is too large for a number has its end left over.
    (!unit.starts_with(|character: char| character.is_ascii_digit())).then_some((Some(value), unit))
}

/// A plain decimal number; what else Rust takes for one (`inf`, `nan`) is none here. Some locales write a comma.
fn number(text: &str) -> Option<f64> {
    let plain =
        text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b',' | b'e' | b'E'));
    let value = plain.then(|| text.replacen(',', ".", 1).parse::<f64>().ok()).flatten()?;
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(label: &str, value: f64, unit: &str) -> Performance {
        Performance {
            label: label.to_owned(),
            value: Some(value),
            unit: unit.to_owned(),
            warn: None,
            crit: None,
            min: None,
            max: None,
        }
    }

    #[test]
    fn values_are_read() {
        let load = Performance {
            warn: Some("8".to_owned()),
            crit: Some("@10:20".to_owned()),
            min: Some(0.0),
            max: Some(64.0),
            ..plain("load1", 0.1, "")
        };
        let cases = [
            ("load1=0.1;8;@10:20;0;64", vec![load]),
            ("time=0.004s size=512B", vec![plain("time", 0.004, "s"), plain("size", 512.0, "B")]),
            ("/=95%;;;;", vec![plain("/", 95.0, "%")]),
            ("'a b'=1", vec![plain("a b", 1.0, "")]),
            ("'it''s = so'=1c", vec![plain("it's = so", 1.0, "c")]),
            ("x=U", vec![Performance { value: None, ..plain("x", 0.0, "") }]),
            ("x=-3", vec![plain("x", -3.0, "")]),
            ("x=1e3ms", vec![plain("x", 1000.0, "ms")]),
            ("x=1e", vec![plain("x", 1.0, "e")]),
            ("x=0,5s", vec![plain("x", 0.5, "s")]),
            ("\n  x=1\n y=2\t", vec![plain("x", 1.0, ""), plain("y", 2.0, "")]),
            (
                "x=1;8;9;zero;much",
                vec![Performance { warn: Some("8".to_owned()), crit: Some("9".to_owned()), ..plain("x", 1.0, "") }],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn output_is_a_line_and_values() {
        let (a, b, c) = (plain("a", 1.0, ""), plain("b", 2.0, ""), plain("c", 3.0, ""));
        let cases = [
            ("", None, vec![]),
            ("\n \n OK \nmore", Some("OK"), vec![]),
            ("OK - fine|a=1 b=2\n", Some("OK - fine"), vec![a.clone(), b.clone()]),
            ("OK | a=1\nlong\nlonger | b=2\nc=3\n", Some("OK"), vec![a.clone(), b.clone(), c]),
            ("OK\nlong | b=2", Some("OK"), vec![b]),
            ("|a=1", None, vec![a]),
            ("OK|", Some("OK"), vec![]),
            ("usage: foo | bar", Some("usage: foo | bar"), vec![]),
        ];
        for (output, line, values) in cases {
            assert_eq!(split(output), (line.map(str::to_owned), values), "{output:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        for text in
            ["", "no data", "=1", "x=", "x=many", "x=nan", "x=inf", "x=1e999", "'open=1", "'a'1", "'", "x=\u{e9}"]
        {
            assert_eq!(parse(text), [], "{text:?}");
        }
        assert_eq!(parse("see: x=many y=2"), [plain("y", 2.0, "")]);
        assert_eq!(parse("x=1\u{b5}s"), [plain("x", 1.0, "\u{b5}s")]);
        assert_eq!(parse("a\u{1b}[2J=1 b=2"), [plain("b", 2.0, "")]);
        assert_eq!(parse(&format!("{}=1 b=2", "a".repeat(65))), [plain("b", 2.0, "")]);
    }

    #[test]
    fn there_are_not_too_many_and_none_twice() {
        let many: String = (0..100).map(|number| format!("x{number}=1 ")).collect();
        assert_eq!(parse(&many).len(), MOST);
        assert_eq!(parse("x=1 x=2 x=3s"), [plain("x", 1.0, ""), plain("x", 3.0, "s")]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "[a-c'=;,.0-9eU% \u{e9}|-]{0,60}") {
            proptest::prop_assert!(parse(&text).len() <= MOST);
        }
    }
}
