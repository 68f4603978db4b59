//! Where the words go: a terminal, a pipe or a file.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    time::SystemTime,
};

use crate::{
    cli::Color,
    exit::Written,
    render::{Page, View},
};

/// Every table fits this width, whatever the terminal has.
const WIDEST: usize = 100;

/// Below this width a table is not laid out any narrower; the terminal breaks the lines.
const NARROWEST: usize = 60;

/// Standard output and what it can show.
#[derive(Debug)]
pub(crate) struct Output {
    colour: bool,
    terminal: bool,
}

impl Output {
    /// Standard output as it is, with colour as wished.
    pub(crate) fn new(color: Color) -> Self {
        let terminal = io::stdout().is_terminal();
        let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !dumb && !set("NO_COLOR"),
        };
        Self { colour, terminal }
    }

    /// Whether somebody looks at it: it can be redrawn.
    pub(crate) const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// How to lay out a page now.
    pub(crate) fn view(&self) -> View {
        let width = match terminal_size::terminal_size() {
            Some((width, _)) if self.terminal => usize::from(width.0).clamp(NARROWEST, WIDEST),
            _ => WIDEST,
        };
        View { width, now: SystemTime::now() }
    }

    /// Prints a page.
    pub(crate) fn page(&self, page: &Page) -> Result<(), Written> {
        self.text(&self.paint(page))
    }

    /// A page as it is to be written.
    pub(crate) fn paint(&self, page: &Page) -> String {
        page.paint(self.colour)
    }

    /// Prints text as it is.
    pub(crate) fn text(&self, text: &str) -> Result<(), Written> {
        self.octets(text.as_bytes())
    }

    /// Prints octets as they are.
    pub(crate) fn octets(&self, octets: &[u8]) -> Result<(), Written> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(octets).and_then(|()| stdout.flush()).map_err(Written)
    }

    /// Draws a page over the one before, in place.
    ///
    /// The ordinary screen is used, not the alternate one: whatever ends us, the terminal is in order and the last
    /// page stays to be read.
    pub(crate) fn redraw(&self, page: &Page, first: bool) -> Result<(), Written> {
        let rows = terminal_size::terminal_size().map_or(24, |(_, height)| usize::from(height.0));
        let mut text = String::from(if first { "\x1b[2J\x1b[H" } else { "\x1b[H" });
        for line in page.clone().at_most(rows.saturating_sub(1)).paint(self.colour).lines() {
            text.push_str(line);
            text.push_str("\x1b[K\n");
        }
        text.push_str("\x1b[J");
        self.text(&text)
    }
}

/// Tells how it goes, beside the output.
pub(crate) fn progress(text: &str) {
    // Progress nobody can read is no reason to stop.
    let _ = writeln!(io::stderr(), "{}", crate::render::clean(text));
}
