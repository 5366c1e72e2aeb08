//! Plain columns: no borders, so that they can be copied and piped.

use unicode_width::UnicodeWidthStr;

use super::Paint;
use super::Style;
use super::cut;
use super::sanitize;

/// Columns between two cells.
const GAP: &str = "  ";

/// A flexible column is not made narrower than this.
const NARROWEST: usize = 12;

/// How a column is laid out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    name: &'static str,
    right: bool,
    flexible: bool,
}

impl Column {
    /// A column of text.
    pub(crate) const fn text(name: &'static str) -> Self {
        Self { name, right: false, flexible: false }
    }

    /// A column of numbers.
    pub(crate) const fn number(name: &'static str) -> Self {
        Self { name, right: true, flexible: false }
    }

    /// The column that is cut when the terminal is narrow.
    pub(crate) const fn flexible(name: &'static str) -> Self {
        Self { name, right: false, flexible: true }
    }
}

/// One cell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell in this style. Control characters are taken out, because much of the text was written by others.
    pub(crate) fn styled(style: Style, text: impl AsRef<str>) -> Self {
        Self { text: sanitize(text.as_ref()).replace(['\n', '\t'], " "), style }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(Style::Plain, text)
    }
}

/// Rows under headings.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as text, each line ended. Cut to `width` only if one is given.
    pub(crate) fn render(&self, paint: Paint, width: Option<usize>) -> String {
        let widths = self.widths(width);
        let heading: Vec<Cell> = self.columns.iter().map(|c| Cell::styled(Style::Faint, c.name)).collect();
        let mut text = String::new();
        for row in std::iter::once(&heading).chain(&self.rows) {
            let mut line = String::new();
            for (index, (column, cell)) in self.columns.iter().zip(row).enumerate() {
                let room = widths.get(index).copied().unwrap_or_default();
                let shown = cut(&cell.text, room);
                let padding = " ".repeat(room.saturating_sub(shown.width()));
                let painted = paint.apply(cell.style, &shown);
                if index > 0 {
                    line.push_str(GAP);
                }
                line.push_str(&if column.right { padding + &painted } else { painted + &padding });
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|column| column.name.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.width());
            }
        }
        let gaps = GAP.len() * self.columns.len().saturating_sub(1);
        let total = widths.iter().sum::<usize>() + gaps;
        if let Some(limit) = limit
            && let Some(index) = self.columns.iter().position(|column| column.flexible)
            && let Some(width) = widths.get_mut(index)
        {
            let too_much = total.saturating_sub(limit);
            *width = width.saturating_sub(too_much).max(NARROWEST.min(*width));
        }
        widths
    }
}
