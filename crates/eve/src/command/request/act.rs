//! `eve request cancel`, `pause`, `resume`, `replay` and `reprioritise`: one call for one request, a bulk action for many.

use clap::Args;
use eve_api_types::Request;
use eve_core::Priority;

use super::many::HowArgs;
use super::many::WhichArgs;
use super::many::change;
use crate::client::Act;
use crate::command::App;
use crate::error::CliError;
use crate::output::Format;

/// Stop requests for good
///
/// For many requests, what would happen is shown first. Ctrl-C leaves a change for many running; see `eve bulk`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve request cancel 8k2m4n6p
  eve request cancel --status pending --worker-type code-review
  eve request cancel --text \"nightly\" --created-before 2h --dry-run")]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    which: WhichArgs,
    #[command(flatten)]
    how: HowArgs,
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

/// Do finished requests again, each as a new request
///
/// For many requests, what would happen is shown first. Each is replayed once, also when a server dies in between.
/// Ctrl-C leaves a change for many running; see `eve bulk`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve replay 8k2m4n6p
  eve replay --status failed --created-after 12h
  eve replay --status failed,cancelled --parent 8k2m4n6p --yes")]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    which: WhichArgs,
    #[command(flatten)]
    how: HowArgs,
}

/// Make requests more or less urgent
///
/// What waits is taken earlier or later from now on. What runs goes on; the new urgency counts when it has to wait again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve request reprioritise 8k2m4n6p --priority HIGH
  eve request reprioritise --priority LOW --worker-type code-review --status pending,blocked")]
pub(crate) struct ReprioritiseArgs {
    /// How urgent they shall be: CRITICAL, HIGH, MEDIUM or LOW
    #[arg(long, value_name = "LEVEL")]
    priority: Priority,
    #[command(flatten)]
    which: WhichArgs,
    #[command(flatten)]
    how: HowArgs,
}

/// Cancels requests.
pub(crate) async fn cancel(app: &App, args: CancelArgs) -> Result<(), CliError> {
    match args.which.one(&args.how) {
        Some(id) => act(app, id, Act::Cancel).await,
        None => change(app, "cancel", None, args.which, args.how).await,
    }
}

/// Pauses a request.
pub(crate) async fn pause(app: &App, args: PauseArgs) -> Result<(), CliError> {
    act(app, &args.id, Act::Pause).await
}

/// Lets a request go on.
pub(crate) async fn resume(app: &App, args: ResumeArgs) -> Result<(), CliError> {
    act(app, &args.id, Act::Resume).await
}

/// Repeats requests.
pub(crate) async fn replay(app: &App, args: ReplayArgs) -> Result<(), CliError> {
    match args.which.one(&args.how) {
        Some(id) => act(app, id, Act::Replay).await,
        None => change(app, "replay", None, args.which, args.how).await,
    }
}

/// Makes requests more or less urgent.
pub(crate) async fn reprioritise(app: &App, args: ReprioritiseArgs) -> Result<(), CliError> {
    let Some(id) = args.which.one(&args.how) else {
        let priority = Some(args.priority.name().to_owned());
        return change(app, "reprioritise", priority, args.which, args.how).await;
    };
    let client = app.client()?;
    let id = client.resolve_request(id).await?;
    let request = client.reprioritise(id, args.priority).await?;
    match app.output.format {
        Format::Json | Format::Jsonl => app.output.json(&request),
        Format::Table => {
            app.output.say(format!("It is {} now.", request.priority));
            app.output.line(request.id.to_string())
        }
    }
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
