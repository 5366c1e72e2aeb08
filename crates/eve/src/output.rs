//! Everything that the command line prints.
//!
//! Standard output is data, standard error is talk. JSON is the wire types unchanged, one document per call, or one
//! line per entry with `jsonl`. Colour, spinners and cutting are for terminals only, decided per stream, once.
//! A closed pipe surfaces as an error of its own kind, which ends the process quietly.

mod style;
mod table;
mod text;

use std::io;
use std::io::IsTerminal;
use std::io::Write;

use clap::ValueEnum;
use eve_api_types::Page;
use serde::Deserialize;
use serde::Serialize;

use crate::error::CliError;

pub(crate) use style::Paint;
pub(crate) use style::Style;
pub(crate) use style::status_style;
pub(crate) use table::Cell;
pub(crate) use table::Column;
pub(crate) use table::Table;
pub(crate) use text::age;
pub(crate) use text::count;
pub(crate) use text::cut;
pub(crate) use text::money;
pub(crate) use text::plural;
pub(crate) use text::sanitize;
pub(crate) use text::span;

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One JSON document per line.
    Jsonl,
}

impl Format {
    /// The name, as flags, variables and files give it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::Jsonl => "jsonl",
        }
    }
}

/// What one of the two streams can show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream {
    /// Colours, or none.
    pub(crate) paint: Paint,
    /// Columns of the terminal; none when the stream is not a terminal, and then nothing is cut.
    pub(crate) width: Option<usize>,
}

/// The printer that a command gets.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// How data is printed.
    pub(crate) format: Format,
    /// Whether talk is left out; warnings and errors stay.
    pub(crate) quiet: bool,
    /// Standard output.
    pub(crate) stdout: Stream,
    /// Standard error.
    pub(crate) stderr: Stream,
}

/// Width of a terminal that does not tell.
const USUAL_WIDTH: usize = 80;

impl Output {
    /// A printer for this process's streams.
    pub(crate) fn new(format: Format, quiet: bool, no_color: bool) -> Self {
        let width = |terminal: bool, size: Option<(terminal_size::Width, terminal_size::Height)>| {
            terminal.then(|| size.map_or(USUAL_WIDTH, |(width, _)| usize::from(width.0)))
        };
        let out = io::stdout();
        let err = io::stderr();
        Self {
            format,
            quiet,
            stdout: Stream {
                paint: Paint::detect(no_color, out.is_terminal()),
                width: width(out.is_terminal(), terminal_size::terminal_size_of(&out)),
            },
            stderr: Stream {
                paint: Paint::detect(no_color, err.is_terminal()),
                width: width(err.is_terminal(), terminal_size::terminal_size_of(&err)),
            },
        }
    }

    /// Prints a line of data.
    pub(crate) fn line(&self, line: impl AsRef<str>) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{}", line.as_ref())?;
        Ok(stdout.flush()?)
    }

    /// Prints data as it is, without adding an end of line.
    pub(crate) fn raw(&self, text: &str) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        Ok(stdout.flush()?)
    }

    /// Prints a table.
    pub(crate) fn table(&self, table: &Table) -> Result<(), CliError> {
        self.raw(&table.render(self.stdout.paint, self.stdout.width))
    }

    /// Prints a value as JSON: indented as a document, or on one line with `jsonl`.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), CliError> {
        let text = match self.format {
            Format::Jsonl => serde_json::to_string(value),
            Format::Json | Format::Table => serde_json::to_string_pretty(value),
        };
        self.line(text.map_err(anyhow::Error::from)?)
    }

    /// Prints a value as JSON on one line, whatever the format is.
    pub(crate) fn json_line(&self, value: &impl Serialize) -> Result<(), CliError> {
        self.line(serde_json::to_string(value).map_err(anyhow::Error::from)?)
    }

    /// Prints a page: the table that `table` makes, the page as a document, or its entries line by line.
    pub(crate) fn page<T: Serialize>(
        &self,
        page: &Page<T>,
        empty: &str,
        table: impl FnOnce(&[T]) -> Table,
    ) -> Result<(), CliError> {
        match self.format {
            Format::Json => self.json(page),
            Format::Jsonl => page.items.iter().try_for_each(|item| self.json(item)),
            Format::Table if page.items.is_empty() => {
                self.say(empty);
                Ok(())
            }
            Format::Table => self.table(&table(&page.items)),
        }
    }

    /// Says something on standard error, unless quiet.
    pub(crate) fn say(&self, line: impl AsRef<str>) {
        if !self.quiet {
            talk(line.as_ref());
        }
    }

    /// Warns on standard error, even when quiet.
    pub(crate) fn warn(&self, line: impl AsRef<str>) {
        let heading = self.stderr.paint.apply(Style::Attention, "warning:");
        talk(&format!("{heading} {}", line.as_ref()));
    }
}

/// Writes one line to standard error. Talk that nobody can hear is not worth failing for.
fn talk(line: &str) {
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "{line}");
}

/// Writes to standard error without an end of line: for a status line that is drawn over and over.
pub(crate) fn draw(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}

/// Colours for errors that come before there is an [`Output`].
pub(crate) fn stderr_paint(no_color: bool) -> Paint {
    Paint::detect(no_color, io::stderr().is_terminal())
}

/// Prints the error that ends the process, unless it is of a silent kind.
pub(crate) fn print_error(error: &CliError, paint: Paint) {
    if error.kind.is_silent() {
        return;
    }
    let text = error.render(&paint.apply(Style::Bad, "error:"), &paint.apply(Style::Accent, "hint:"));
    draw(&text);
}

#[cfg(test)]
mod tests;
