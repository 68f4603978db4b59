//! The timeline as it is printed.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
};

use super::report::{Event, Failure, Source};

/// Every line fits.
pub(super) const WIDTH: usize = 100;
/// Where the text of a paragraph begins.
const INDENT: usize = 3;
/// Where the text of an event begins.
const EVENT: usize = 34;

/// How a piece of text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
}

/// Standard output.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    colour: bool,
}

impl Screen {
    /// As it is: colour only on a terminal, unless NO_COLOR is set.
    pub(super) fn new() -> Self {
        let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { colour: io::stdout().is_terminal() && !dumb && !set("NO_COLOR") }
    }

    /// The head of an act.
    pub(super) fn act(self, letter: &str, title: &str) {
        self.line("");
        self.line(&format!("{}  {}", self.paint(Look::Bold, letter), self.paint(Look::Bold, title)));
    }

    /// A paragraph.
    pub(super) fn say(self, text: &str) {
        self.styled(Look::Plain, text);
    }

    /// A paragraph beside the point.
    pub(super) fn aside(self, text: &str) {
        self.styled(Look::Dim, text);
    }

    /// Something is as it should be.
    pub(super) fn good(self, text: &str) {
        self.styled(Look::Good, text);
    }

    fn styled(self, look: Look, text: &str) {
        for line in wrap(text, WIDTH - INDENT) {
            self.line(&format!("{:INDENT$}{}", "", self.paint(look, &line)));
        }
    }

    /// Lines that are laid out already.
    pub(super) fn lines(self, lines: &[String]) {
        for (index, line) in lines.iter().enumerate() {
            self.line(&self.paint(if index == 0 { Look::Bold } else { Look::Plain }, line));
        }
    }

    /// An event of the timeline.
    pub(super) fn event(self, event: &Event) {
        let lines = wrap(&event.text, WIDTH - EVENT);
        let time = format!("{:+.1} ms", event.ms);
        let head = format!("{time:>14}  {:<5}  {:<9}  ", event.source.label(), event.node);
        let look = if event.source == Source::Order { Look::Bold } else { Look::Plain };
        for (index, line) in lines.iter().enumerate() {
            let head = if index == 0 { self.paint(Look::Dim, &head) } else { " ".repeat(EVENT) };
            self.line(&format!("{head}{}", self.paint(look, line)));
        }
    }

    /// What is not as it should be.
    pub(super) fn failure(self, failure: &Failure) {
        let rows =
            [("FAILED", &failure.expected, "expected: "), ("", &failure.seen, "seen: "), ("", &failure.look, "look: ")];
        for (mark, text, what) in rows {
            for (index, line) in wrap(&format!("{what}{text}"), WIDTH - 11).into_iter().enumerate() {
                let mark = if index == 0 { mark } else { "" };
                self.line(&format!("   {}  {line}", self.paint(Look::Bad, &format!("{mark:<6}"))));
            }
        }
        for line in &failure.log {
            for line in wrap(line, WIDTH - 13) {
                self.line(&format!("{:13}{}", "", self.paint(Look::Dim, &line)));
            }
        }
    }

    fn paint(self, look: Look, text: &str) -> String {
        let begin = match look {
            Look::Bold => "\x1b[1m",
            Look::Dim => "\x1b[2m",
            Look::Good => "\x1b[32m",
            Look::Bad => "\x1b[1;31m",
            Look::Plain => return text.to_owned(),
        };
        if self.colour && !text.is_empty() { format!("{begin}{text}\x1b[0m") } else { text.to_owned() }
    }

    fn line(self, text: &str) {
        let mut out = io::stdout().lock();
        // Whoever stopped reading has no use for the rest; the exit code and the file still tell.
        let _ = writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush());
    }
}

/// Lines of at most `width` characters, broken between words where there are any. What a terminal would obey is taken out:
/// logs and answers of others are shown here.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let word: Vec<char> = word.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        for (index, piece) in word.chunks(width).enumerate() {
            let gap = usize::from(used > 0 && index == 0);
            if used + gap + piece.len() > width {
                lines.push(String::new());
                used = 0;
            } else if gap > 0 {
                lines.last_mut().into_iter().for_each(|line| line.push(' '));
                used += 1;
            }
            lines.last_mut().into_iter().for_each(|line| line.extend(piece));
            used += piece.len();
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words() {
        for (text, width, expected) in [
            ("one two three", 7, vec!["one two", "three"]),
            ("one two three", 8, vec!["one two", "three"]),
            ("abcdefghij kl", 4, vec!["abcd", "efgh", "ij", "kl"]),
            ("a\x1b[1mb\nc", 20, vec!["a?[1mb c"]),
            ("", 10, vec![""]),
            ("zürich", 6, vec!["zürich"]),
        ] {
            assert_eq!(wrap(text, width), expected, "{text}");
        }
    }

    #[test]
    fn colour_is_for_terminals() {
        let (plain, colour) = (Screen { colour: false }, Screen { colour: true });
        assert_eq!(plain.paint(Look::Bad, "x"), "x");
        assert_eq!(colour.paint(Look::Bad, "x"), "\x1b[1;31mx\x1b[0m");
        assert_eq!(colour.paint(Look::Plain, "x"), "x");
    }
}
