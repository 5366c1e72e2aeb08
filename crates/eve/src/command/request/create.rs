//! `eve request create`: asks for something, with everything that a request can say.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use eve_api_types::NewRequest;
use eve_core::DependencyPolicy;
use eve_core::ProjectId;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::from_file;
use crate::command::App;
use crate::command::new_request::NewRequestArgs;
use crate::command::new_request::duration;
use crate::command::new_request::variable;
use crate::error::CliError;
use crate::live;
use crate::output::Format;

/// Create a request and print its id, or all requests of a file
///
/// A file has one JSON object a line, with the fields of the API. With `ref` a line has a name, and where the id of a
/// request could stand in `blocked_by` and `parent_id` of others, `ref:NAME` may stand as well: {"ref": "lint", "prompt":
/// "Lint"} and {"prompt": "Review", "blocked_by": ["ref:lint"]}. All of the file is checked before anything is created. It
/// goes out in calls of up to 1000 requests, each of which is created as a whole or not at all. Run it again after an
/// interruption: for 48 hours, what the same file created is not created twice. To create it twice on purpose, give each
/// run an --idempotency-key of its own.
#[derive(Debug, Args)]
#[command(mut_arg("prompt", |arg| arg.required_unless_present_any(["file", "from"])))]
#[command(after_help = "\
Examples:
  eve request create \"Update the dependencies\" --repo https://github.com/example/app --priority LOW
  eve request create \"Write the release notes\" --blocked-by 8k2m4n6p --wait --wait-timeout 1h
  eve request create --file nightly.md --run-at 2026-01-31T02:00:00Z --idempotency-key nightly-2026-01-31
  eve request create --from requests.jsonl --dry-run
  generate | eve request create --from - -o jsonl > created.jsonl")]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    new: NewRequestArgs,
    /// Create all requests of this file, one JSON object a line; `-` reads standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["NewRequestArgs", "blocked_by", "on_dependency_failure", "run_at", "max_attempts", "project", "parent", "metadata", "wait"])]
    from: Option<PathBuf>,
    /// Only check the file
    #[arg(long)]
    dry_run: bool,
    /// A request that must be finished first; may be given more than once
    #[arg(long, value_name = "ID")]
    blocked_by: Vec<String>,
    /// What it means when such a request does not complete
    #[arg(long, value_name = "POLICY", value_parser = policy)]
    on_dependency_failure: Option<DependencyPolicy>,
    /// Not before this time (RFC 3339), or not before this much time has passed, such as 2h
    #[arg(long, value_name = "TIME", value_parser = run_at)]
    run_at: Option<Timestamp>,
    /// Attempts that may count before it fails [default: the worker type's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    max_attempts: Option<u16>,
    /// The project that it belongs to
    #[arg(long, value_name = "ID")]
    project: Option<ProjectId>,
    /// The request that it is a part of
    #[arg(long, value_name = "ID")]
    parent: Option<String>,
    /// Something to find again: NAME=TEXT, or NAME:=JSON; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    metadata: Vec<(String, Value)>,
    /// Makes the call once, however often it is repeated with this key
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Watch it until it is finished; the exit code tells how it ended
    #[arg(short, long)]
    wait: bool,
    /// Watch for so long at most, such as 10m; the request goes on afterwards
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "wait")]
    wait_timeout: Option<Duration>,
}

/// Creates the request, or those of a file.
pub(crate) async fn run(app: &App, args: CreateArgs) -> Result<(), CliError> {
    if let Some(path) = &args.from {
        return from_file::run(app, path, args.idempotency_key.as_deref(), args.dry_run).await;
    }
    if args.dry_run {
        // Its absence is no conflict to the parser, since --from excludes what is there instead.
        return Err(CliError::usage("--dry-run checks a file").hint("name one with --from"));
    }
    let client = app.client()?;
    let mut blocked_by = Vec::new();
    for text in &args.blocked_by {
        blocked_by.push(client.resolve_request(text).await?);
    }
    let parent_id = match &args.parent {
        Some(text) => Some(client.resolve_request(text).await?),
        None => None,
    };
    let new = NewRequest {
        blocked_by,
        parent_id,
        on_dependency_failure: args.on_dependency_failure,
        run_at: args.run_at,
        max_attempts: args.max_attempts,
        project_id: args.project,
        metadata: args.metadata.into_iter().collect(),
        ..args.new.resolve(&client, &app.output).await?
    };
    let key = args.idempotency_key.unwrap_or_else(|| Uuid::new_v4().to_string());
    let request = client.create_request(&new, &key).await?;
    match app.output.format {
        _ if args.wait => live::watch(app, &client, &request, args.wait_timeout).await,
        Format::Table => app.output.line(request.id.to_string()),
        Format::Json | Format::Jsonl => app.output.json(&request),
    }
}

fn policy(text: &str) -> Result<DependencyPolicy, String> {
    DependencyPolicy::from_name(text).ok_or_else(|| format!("`{text}` is neither `fail` nor `proceed`"))
}

fn run_at(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let wrong = |_| format!("`{text}` is neither a time such as 2026-01-31T02:00:00Z nor a length of time such as 2h");
    let later = duration(text).map_err(wrong)?;
    Timestamp::now().checked_add(later).map_err(|error| error.to_string())
}
