//! `eve request cancel`, `pause`, `resume` and `replay`: one call each.

use clap::Args;
use eve_api_types::Request;

use crate::client::Act;
use crate::command::App;
use crate::error::CliError;
use crate::output::Format;

/// Stop a request for good
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve request cancel 8k2m4n6p
  eve request list --status pending -o jsonl | jq -r .id | xargs -n 1 eve request cancel")]
pub(crate) struct CancelArgs {
    /// The request's id, or its last characters
    id: String,
}

/// Stop a request for now; its agent is stopped and its place kept
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve request pause 8k2m4n6p
  eve request pause 8k2m4n6p --quiet")]
pub(crate) struct PauseArgs {
    /// The request's id, or its last characters
    id: String,
}

/// Let a paused request go on
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve request resume 8k2m4n6p
  eve request list --status paused -o jsonl | jq -r .id | xargs -n 1 eve request resume")]
pub(crate) struct ResumeArgs {
    /// The request's id, or its last characters
    id: String,
}

/// Do a finished request again, as a new request
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve replay 8k2m4n6p
  eve request list --status failed --all -o jsonl | jq -r .id | xargs -n 1 eve replay")]
pub(crate) struct ReplayArgs {
    /// The request's id, or its last characters
    id: String,
}

/// Cancels a request.
pub(crate) async fn cancel(app: &App, args: CancelArgs) -> Result<(), CliError> {
    act(app, &args.id, Act::Cancel).await
}

/// Pauses a request.
pub(crate) async fn pause(app: &App, args: PauseArgs) -> Result<(), CliError> {
    act(app, &args.id, Act::Pause).await
}

/// Lets a request go on.
pub(crate) async fn resume(app: &App, args: ResumeArgs) -> Result<(), CliError> {
    act(app, &args.id, Act::Resume).await
}

/// Repeats a request.
pub(crate) async fn replay(app: &App, args: ReplayArgs) -> Result<(), CliError> {
    act(app, &args.id, Act::Replay).await
}

async fn act(app: &App, id: &str, act: Act) -> Result<(), CliError> {
    let client = app.client()?;
    let id = client.resolve_request(id).await?;
    let request = client.act(id, act).await?;
    match app.output.format {
        Format::Json | Format::Jsonl => app.output.json(&request),
        Format::Table => {
            app.output.say(told(act, &request));
            app.output.line(request.id.to_string())
        }
    }
}

fn told(act: Act, request: &Request) -> String {
    let status = request.status.name();
    match act {
        Act::Cancel | Act::Pause if request.stopping => "Its agent is being stopped.".to_owned(),
        Act::Cancel | Act::Pause | Act::Resume => format!("It is {status} now."),
        Act::Replay => {
            format!("The new request is {status}; watch it with `eve request logs -f {}`.", request.id.short())
        }
    }
}
