//! A line of styled text that knows how wide it is.

use unicode_width::UnicodeWidthChar as _;

/// What a piece of text is, and so how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Style {
    /// Nothing special.
    #[default]
    Plain,
    /// A heading.
    Bold,
    /// Beside the point.
    Dim,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// As it should not be.
    Bad,
}

impl Style {
    /// The SGR sequence of ECMA-48 that begins it.
    const fn begin(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Warn => "\x1b[33m",
            Self::Bad => "\x1b[31m",
        }
    }
}

/// Characters, each with its style; none of them a control character.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Line(Vec<(Style, char)>);

impl Line {
    /// Text without a style.
    pub(crate) fn plain(text: &str) -> Self {
        Self::styled(Style::Plain, text)
    }

    /// Text with a style.
    pub(crate) fn styled(style: Style, text: &str) -> Self {
        Self::default().with(style, text)
    }

    /// The line with more text at its end.
    pub(crate) fn with(mut self, style: Style, text: &str) -> Self {
        self.push(style, text);
        self
    }

    /// The line with more text without a style at its end.
    pub(crate) fn and(self, text: &str) -> Self {
        self.with(Style::Plain, text)
    }

    /// Adds text.
    pub(crate) fn push(&mut self, style: Style, text: &str) {
        self.0.extend(clean(text).chars().map(|c| (style, c)));
    }

    /// Adds a line.
    pub(crate) fn append(&mut self, line: &Self) {
        self.0.extend_from_slice(&line.0);
    }

    /// In columns.
    pub(crate) fn width(&self) -> usize {
        width(&self.0)
    }

    /// Adds spaces up to a width.
    pub(crate) fn pad(&mut self, to: usize) {
        let missing = to.saturating_sub(self.width());
        self.0.extend(std::iter::repeat_n((Style::Plain, ' '), missing));
    }

    /// As much of it as fits; where something is missing, `…` says so.
    pub(crate) fn cut(&self, to: usize) -> Self {
        if self.width() <= to {
            return self.clone();
        }
        let kept = &self.0[..fitting(&self.0, to.saturating_sub(1))];
        let style = kept.last().map_or(Style::Plain, |(style, _)| *style);
        Self(kept.to_vec()).with(style, "…")
    }

    /// Broken into lines of at most a width: between words, inside a word only where it is too long by itself.
    pub(crate) fn wrap(&self, to: usize) -> Vec<Self> {
        let mut lines = Vec::new();
        let mut rest = &self.0[..];
        loop {
            // A width of nothing would never end.
            let fits = fitting(rest, to).max(1);
            if fits >= rest.len() {
                lines.push(Self(rest.to_vec()));
                return lines;
            }
            let end = rest[..=fits].iter().rposition(|(_, c)| *c == ' ').filter(|end| *end > 0).unwrap_or(fits);
            lines.push(Self(rest[..end].to_vec()));
            rest = &rest[end..];
            while let [(_, ' '), after @ ..] = rest {
                rest = after;
            }
        }
    }

    /// For a terminal, or without a style for anything else; without spaces at the end.
    pub(crate) fn paint(&self, colour: bool) -> String {
        let end = self.0.iter().rposition(|(_, c)| *c != ' ').map_or(0, |last| last + 1);
        let mut out = String::new();
        let mut now = Style::Plain;
        for (style, c) in &self.0[..end] {
            if colour && *style != now {
                out.push_str(if now == Style::Plain { "" } else { "\x1b[0m" });
                out.push_str(style.begin());
                now = *style;
            }
            out.push(*c);
        }
        out.push_str(if now == Style::Plain { "" } else { "\x1b[0m" });
        out
    }
}

/// The text with everything a terminal would obey written as an escape: controls, and the format characters that turn
/// the direction of writing or hide.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_format(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

const fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

fn width(glyphs: &[(Style, char)]) -> usize {
    glyphs.iter().map(|(_, c)| c.width().unwrap_or(0)).sum()
}

/// How many of them fit a width.
fn fitting(glyphs: &[(Style, char)], to: usize) -> usize {
    let mut used = 0;
    let too_wide = |(_, c): &(Style, char)| {
        used += c.width().unwrap_or(0);
        used > to
    };
    glyphs.iter().position(too_wide).unwrap_or(glyphs.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(text: &str, to: usize) -> Vec<String> {
        Line::plain(text).wrap(to).iter().map(|line| line.paint(false)).collect()
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("2001:db8:1234::/48", 10), ["2001:db8:1", "234::/48"]);
        assert_eq!(wrapped("", 10), [""]);
        assert_eq!(wrapped("中文字", 4), ["中文", "字"]);
        assert_eq!(wrapped("abc", 0), ["a", "b", "c"]);
        assert_eq!(wrapped(" leading", 7), [" leadin", "g"]);
    }

    #[test]
    fn a_cut_says_so() {
        assert_eq!(Line::plain("connect: refused").cut(10).paint(false), "connect: …");
        assert_eq!(Line::plain("connect").cut(7).paint(false), "connect");
        assert_eq!(Line::plain("中文字").cut(4).width(), 3);
        assert_eq!(Line::plain("x").cut(0).paint(false), "…");
    }

    #[test]
    fn signs_are_one_column_wide() {
        for sign in ["✓", "✗", "!", "?", "–", "…"] {
            assert_eq!(Line::plain(sign).width(), 1, "{sign}");
        }
    }

    #[test]
    fn nobody_else_gives_orders_to_the_terminal() {
        let line = Line::styled(Style::Bad, "\x1b]0;owned\x07 a\nb\u{9b}2J \u{202e}x");
        assert_eq!(line.paint(false), "\\u{1b}]0;owned\\u{7} a\\nb\\u{9b}2J \\u{202e}x");
        assert_eq!(Line::plain("a").with(Style::Good, "b").and("c").paint(true), "a\x1b[32mb\x1b[0mc");
        assert_eq!(Line::styled(Style::Good, "b").paint(true), "\x1b[32mb\x1b[0m");
    }
}
