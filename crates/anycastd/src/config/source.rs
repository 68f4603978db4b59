//! The text of the file, and places in it.

use std::ops::Range;

use super::redact::Kept;

/// A range of bytes of the file, on character boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    pub(super) const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

/// The file.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
    /// Where each line starts; the first is 0.
    lines: Vec<usize>,
    /// How much of each may be shown.
    kept: Kept,
}

/// A place as people are told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// From 1.
    pub(super) line: usize,
    /// In characters, from 1.
    pub(super) column: usize,
    /// The line, or the part of a long one that surrounds the place, without what may be a secret.
    pub(super) excerpt: String,
    /// What of the excerpt is meant.
    pub(super) marked: Range<usize>,
    /// The excerpt is not the line as it is.
    pub(super) cut: bool,
}

/// A longer line is shown in part.
const LONG_LINE: usize = 240;
/// How much of a long line is shown before the place, and from its start on.
const BEFORE: usize = 40;
const FROM: usize = 100;

impl Source {
    pub(super) fn new(name: &str, text: String) -> Self {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(starts.filter(|start| *start < text.len())).collect();
        let kept = Kept::of(text.lines());
        Self { name: name.to_owned(), text, lines, kept }
    }

    /// The number of the line, from 1, that holds the byte `at`.
    pub(super) fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at).max(1)
    }

    /// A line without its end.
    pub(super) fn line_text(&self, number: usize) -> &str {
        self.text[self.line_range(number)].trim_end_matches(['\n', '\r'])
    }

    /// Where a line begins and ends; an empty range past the end for a line that is not there.
    pub(super) fn line_range(&self, number: usize) -> Range<usize> {
        let at = |number: usize| self.lines.get(number).copied().unwrap_or(self.text.len());
        at(number.saturating_sub(1))..at(number)
    }

    /// Where a span begins, on its first line: never more than that line is shown. `hidden`: no more of
    /// it than that.
    pub(super) fn place(&self, span: Span, hidden: Option<usize>) -> Place {
        let line = self.line(span.start.min(self.text.len()));
        let start_of_line = self.line_range(line).start;
        let text = self.line_text(line);
        let start = floor(text, span.start.saturating_sub(start_of_line));
        let end = floor(text, span.end.saturating_sub(start_of_line)).max(start);
        let column = text[..start].chars().count() + 1;
        let kept = self.kept.of_line(line).into_iter().chain(hidden).min().map(|kept| floor(text, kept));
        let (shown, start, end) = match kept.filter(|kept| *kept < text.len()) {
            Some(kept) => {
                let shown = format!("{}…", &text[..kept]);
                let most = shown.len();
                (shown, start.min(kept), if end > kept { most } else { end })
            }
            None => (text.to_owned(), start, end),
        };
        let cut = shown != text;
        if shown.len() <= LONG_LINE {
            return Place { line, column, excerpt: shown, marked: start..end, cut };
        }
        let from = floor(&shown, start.saturating_sub(BEFORE));
        let to = floor(&shown, start + FROM);
        Place { line, column, excerpt: shown[from..to].to_owned(), marked: start - from..end.min(to) - from, cut: true }
    }
}

/// The last character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters_from_one() {
        let source = Source::new("f", "a: 1\r\nü: é x\n".to_owned());
        // (byte range, line, column, line shown, marked)
        let cases = [
            (0..1, 1, 1, "a: 1", "a"),
            (3..9, 1, 4, "a: 1", "1"),
            (6..8, 2, 1, "ü: é x", "ü"),
            (13..14, 2, 6, "ü: é x", "x"),
            (15..15, 2, 7, "ü: é x", ""),
            (99..120, 2, 7, "ü: é x", ""),
        ];
        for (span, line, column, excerpt, marked) in cases {
            let place = source.place(Span::new(span.start, span.end), None);
            assert_eq!((place.line, place.column, place.excerpt.as_str()), (line, column, excerpt), "{span:?}");
            assert_eq!(&excerpt[place.marked], marked, "{span:?}");
        }
    }

    #[test]
    fn an_empty_file_has_a_first_line() {
        let place = Source::new("f", String::new()).place(Span::new(0, 0), None);
        assert_eq!((place.line, place.column, place.excerpt.as_str()), (1, 1, ""));
    }

    #[test]
    fn a_long_line_is_shown_in_part() {
        let text = format!("{}x{}", "ü".repeat(10_000), "é".repeat(10_000));
        let place = Source::new("f", text).place(Span::new(20_000, 20_001), None);
        assert_eq!((place.line, place.column, place.cut), (1, 10_001, true));
        let excerpt = place.excerpt;
        assert_eq!(&excerpt[place.marked], "x");
        assert!(excerpt.len() <= BEFORE + FROM, "{}", excerpt.len());
    }
}
