//! `eve diff`: the patch that a request made.

use clap::Args;

use super::App;
use crate::error::CliError;
use crate::output::Paint;
use crate::output::Style;
use crate::output::sanitize;

/// Print the patch that a request made
///
/// On a terminal it is coloured; elsewhere it is the patch byte by byte, ready for `git apply`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve diff 8k2m4n6p
  eve diff 8k2m4n6p | git apply")]
pub(crate) struct DiffArgs {
    /// The request's id, or its last characters
    id: String,
}

/// Prints the patch.
pub(crate) async fn run(app: &App, args: DiffArgs) -> Result<(), CliError> {
    let client = app.client()?;
    let id = client.resolve_request(&args.id).await?;
    let patch = client.diff(id).await?;
    let paint = app.output.stdout.paint;
    if paint.is_on() || app.output.stdout.width.is_some() {
        app.output.raw(&coloured(&patch, paint))
    } else {
        app.output.raw(&patch)
    }
}

fn coloured(patch: &str, paint: Paint) -> String {
    patch.lines().map(|line| paint.apply(style(line), &sanitize(line)) + "\n").collect()
}

fn style(line: &str) -> Style {
    match line.split(' ').next().unwrap_or_default() {
        "diff" | "index" | "---" | "+++" | "new" | "deleted" | "rename" | "similarity" => Style::Strong,
        "@@" => Style::Accent,
        _ if line.starts_with('+') => Style::Good,
        _ if line.starts_with('-') => Style::Bad,
        _ => Style::Plain,
    }
}
