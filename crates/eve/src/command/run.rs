//! `eve run`: asks for something and watches it being done.

use std::time::Duration;

use clap::Args;
use uuid::Uuid;

use super::App;
use super::new_request::NewRequestArgs;
use super::new_request::duration;
use crate::error::CliError;
use crate::live;
use crate::output::Format;

/// Ask an agent to do something and watch it work
///
/// Progress goes to standard error, the result to standard output; with `--output jsonl` the log's entries go there,
/// too, each on a line before the result. Ctrl-C stops watching only; pressed twice, it cancels the request.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve run \"Add a test for the empty list\" --repo .
  eve run --file task.md --repo git@example.com:app.git --harness claude --timeout 30m
  echo 'make test' | eve run - --harness command --repo . --detach")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    new: NewRequestArgs,
    /// Print the id and do not watch
    #[arg(short, long)]
    detach: bool,
    /// Watch for so long at most, such as 10m; the request goes on afterwards
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "detach")]
    wait_timeout: Option<Duration>,
}

/// Asks, then watches.
pub(crate) async fn run(app: &App, args: RunArgs) -> Result<(), CliError> {
    let client = app.client()?;
    let new = args.new.resolve(&client, &app.output).await?;
    let request = client.create_request(&new, &Uuid::new_v4().to_string()).await?;
    if !args.detach {
        return live::watch(app, &client, &request, args.wait_timeout).await;
    }
    match app.output.format {
        Format::Table => {
            app.output.say(format!("Watch it with `eve request logs -f {}`.", request.id.short()));
            app.output.line(request.id.to_string())
        }
        Format::Json | Format::Jsonl => app.output.json(&request),
    }
}
