//! Tables that fit a width.

use super::line::{Line, Style};

/// Between two columns.
const GAP: usize = 2;

/// The least a column keeps when even the last resort is needed.
const FLOOR: usize = 8;

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    /// How far it shrinks when the table is too wide; none: only where all the others have already.
    flexible: Option<usize>,
}

impl Column {
    /// As wide as what is in it.
    pub(crate) const fn fixed(title: &'static str) -> Self {
        Self { title, flexible: None }
    }

    /// Shrinks down to a width when there is no room.
    pub(crate) const fn flexible(title: &'static str, least: usize) -> Self {
        Self { title, flexible: Some(least) }
    }
}

/// What is in a cell, by what is done where it is too wide.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    /// It is cut.
    Cut(Line),
    /// Each line is continued on the next.
    Wrap(Vec<Line>),
    /// It is continued on the next, for so many at most: of others' words there may be a lot.
    Brief(Line, usize),
    /// Items, each with the gap before it, that are kept whole as long as one fits.
    Flow(Vec<(usize, Line)>),
}

impl Cell {
    /// One line that wraps.
    pub(crate) fn wrap(line: Line) -> Self {
        Self::Wrap(vec![line])
    }

    fn width(&self) -> usize {
        match self {
            Self::Cut(line) | Self::Brief(line, _) => line.width(),
            Self::Wrap(lines) => lines.iter().map(Line::width).max().unwrap_or(0),
            Self::Flow(items) => {
                let all: usize = items.iter().map(|(gap, item)| gap + item.width()).sum();
                all - items.first().map_or(0, |(gap, _)| *gap)
            }
        }
    }

    fn lay_out(&self, width: usize) -> Vec<Line> {
        match self {
            Self::Cut(line) => vec![line.cut(width)],
            Self::Wrap(lines) => lines.iter().flat_map(|line| line.wrap(width)).collect(),
            Self::Brief(line, most) => {
                let mut lines = line.wrap(width);
                if lines.len() > *most {
                    lines.truncate(*most);
                    let last = lines.pop().map(|last| last.and("…").cut(width));
                    lines.extend(last);
                }
                lines
            }
            Self::Flow(items) => flow(items, width),
        }
    }
}

impl From<Line> for Cell {
    fn from(line: Line) -> Self {
        Self::Cut(line)
    }
}

/// Rows of cells under titles.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    indent: usize,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new(), indent: 0 }
    }

    /// The table some columns to the right.
    pub(crate) const fn indented(mut self, by: usize) -> Self {
        self.indent = by;
        self
    }

    /// Adds a row: a cell for each column.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The lines of the table, none wider than the width as long as the columns can shrink; without rows, none.
    pub(crate) fn lay_out(&self, width: usize) -> Vec<Line> {
        let widths = self.widths(width);
        let mut lines = Vec::new();
        let titled = self.columns.iter().any(|column| !column.title.is_empty());
        if titled && !self.rows.is_empty() {
            let titles: Vec<_> =
                self.columns.iter().map(|column| vec![Line::styled(Style::Bold, column.title)]).collect();
            self.join(&titles, &widths, &mut lines);
        }
        for row in &self.rows {
            let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| cell.lay_out(*width)).collect();
            self.join(&cells, &widths, &mut lines);
        }
        lines
    }

    /// Puts the cells of a row side by side.
    fn join(&self, cells: &[Vec<Line>], widths: &[usize], lines: &mut Vec<Line>) {
        let height = cells.iter().map(Vec::len).max().unwrap_or(0);
        for index in 0..height {
            let mut line = Line::default();
            let mut start = self.indent;
            for (cell, width) in cells.iter().zip(widths) {
                line.pad(start);
                if let Some(part) = cell.get(index) {
                    line.append(part);
                }
                start += width + GAP;
            }
            lines.push(line);
        }
    }

    /// How wide each column is.
    fn widths(&self, width: usize) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|column| Line::plain(column.title).width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        let room = width.saturating_sub(self.indent + GAP * widths.len().saturating_sub(1));
        let floors: Vec<usize> = self.columns.iter().map(|column| column.flexible.unwrap_or(usize::MAX)).collect();
        shrink(&mut widths, &floors, room);
        let last_resort = vec![FLOOR; widths.len()];
        shrink(&mut widths, &last_resort, room);
        widths
    }
}

/// Takes from the widest, column by column, until all fit or none may shrink any further.
fn shrink(widths: &mut [usize], floors: &[usize], room: usize) {
    while widths.iter().sum::<usize>() > room {
        let widest = widths.iter_mut().zip(floors).filter(|(width, floor)| **width > **floor).max_by_key(|(w, _)| **w);
        let Some((width, _)) = widest else { return };
        *width -= 1;
    }
}

/// Fills lines with items.
fn flow(items: &[(usize, Line)], width: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (gap, item) in items {
        if let Some(last) = lines.last_mut()
            && last.width() + gap + item.width() <= width
        {
            let start = last.width() + gap;
            last.pad(start);
            last.append(item);
        } else {
            lines.extend(item.wrap(width));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn text(table: &Table, width: usize) -> String {
        table.lay_out(width).iter().map(|line| line.paint(false) + "\n").collect()
    }

    fn sample() -> Table {
        let mut table =
            Table::new(vec![Column::fixed("NAME"), Column::flexible("ITEMS", 10), Column::flexible("ERROR", 8)]);
        let items = |list: &[&str]| Cell::Flow(list.iter().map(|item| (2, Line::plain(item))).collect());
        table.row(vec![Line::plain("zürich").into(), items(&["one ✓", "two ✗", "three !"]), Line::plain("–").into()]);
        table.row(vec![
            Line::plain("b").into(),
            items(&["averyveryverylongitem"]),
            Line::plain("it went wrong").into(),
        ]);
        table
    }

    #[test]
    fn columns_line_up() {
        assert_snapshot!(text(&sample(), 100), @r#"
        NAME    ITEMS                  ERROR
        zürich  one ✓  two ✗  three !  –
        b       averyveryverylongitem  it went wrong
        "#);
    }

    #[test]
    fn what_is_too_wide_is_continued_or_cut() {
        assert_snapshot!(text(&sample(), 32), @r#"
        NAME    ITEMS        ERROR
        zürich  one ✓        –
                two ✗
                three !
        b       averyveryve  it went wr…
                rylongitem
        "#);
    }

    #[test]
    fn a_table_fits_whatever_is_in_it() {
        for width in [30, 60, 100] {
            let long = "x".repeat(300);
            let mut table = sample();
            table.row(vec![Line::plain(&long).into(), Cell::wrap(Line::plain(&long)), Line::plain(&long).into()]);
            assert!(table.lay_out(width).iter().all(|line| line.width() <= width));
        }
    }

    #[test]
    fn without_rows_there_is_no_table() {
        assert_eq!(text(&Table::new(vec![Column::fixed("NAME")]), 100), "");
    }
}
