//! Lines in sections.

use super::line::{Line, Style};

/// What is printed at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page(Vec<Line>);

impl Page {
    /// Adds a line.
    pub(crate) fn line(&mut self, line: Line) {
        self.0.push(line);
    }

    /// Adds lines after an empty one; no lines, no empty one.
    pub(crate) fn section(&mut self, lines: Vec<Line>) {
        if !lines.is_empty() && !self.0.is_empty() {
            self.0.push(Line::default());
        }
        self.0.extend(lines);
    }

    /// Adds a section of items under a title, each item wrapped behind its sign.
    pub(crate) fn list(&mut self, title: &str, sign: (Style, &str), items: &[Line], width: usize) {
        if items.is_empty() {
            return;
        }
        let mut lines = vec![Line::styled(Style::Bold, title)];
        for item in items {
            for (index, part) in item.wrap(width.saturating_sub(2)).iter().enumerate() {
                let mut line = if index == 0 { Line::styled(sign.0, sign.1).and(" ") } else { Line::plain("  ") };
                line.append(part);
                lines.push(line);
            }
        }
        self.section(lines);
    }

    /// As much of it as fits a number of lines; the last one tells what is missing.
    pub(crate) fn at_most(mut self, lines: usize) -> Self {
        if self.0.len() > lines && lines > 0 {
            let missing = self.0.len() + 1 - lines;
            self.0.truncate(lines - 1);
            self.0.push(Line::styled(Style::Dim, &format!("… {missing} more lines")));
        }
        self
    }

    /// As text.
    pub(crate) fn paint(&self, colour: bool) -> String {
        self.0.iter().map(|line| line.paint(colour) + "\n").collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_screen_says_what_it_does_not_show() {
        let mut page = Page::default();
        page.section((1..=5).map(|n| Line::plain(&n.to_string())).collect());
        assert_eq!(page.clone().at_most(5).paint(false), "1\n2\n3\n4\n5\n");
        assert_eq!(page.at_most(3).paint(false), "1\n2\n… 3 more lines\n");
    }
}
