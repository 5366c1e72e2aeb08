//! `eve result`: what came of a request.

use clap::Args;
use clap::Subcommand;
use serde_json::Value;

use super::App;
use crate::error::CliError;
use crate::live;
use crate::output::Format;
use crate::output::sanitize;

/// Show what came of a request
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve result get 8k2m4n6p
  eve result output 8k2m4n6p > answer.md")]
pub(crate) struct ResultArgs {
    #[command(subcommand)]
    command: ResultCommand,
}

#[derive(Debug, Subcommand)]
enum ResultCommand {
    Get(GetArgs),
    Output(OutputArgs),
}

/// Show a request's result
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve result get 8k2m4n6p
  eve result get 8k2m4n6p -o json | jq .cost_usd")]
struct GetArgs {
    /// The request's id, or its last characters
    id: String,
}

/// Print a request's answer and nothing else, for piping
///
/// An answer in words is printed as it is, a structured one as JSON.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve result output 8k2m4n6p > answer.md
  eve result output 8k2m4n6p | jq .")]
struct OutputArgs {
    /// The request's id, or its last characters
    id: String,
}

/// Shows the result.
pub(crate) async fn run(app: &App, args: ResultArgs) -> Result<(), CliError> {
    let client = app.client()?;
    match args.command {
        ResultCommand::Get(args) => {
            let id = client.resolve_request(&args.id).await?;
            let result = client.result(id).await?;
            match app.output.format {
                Format::Json | Format::Jsonl => app.output.json(&result),
                Format::Table => {
                    let request = client.request(id).await?.request;
                    app.output.raw(&live::result_block(&request, &result, app.output.stdout.paint))
                }
            }
        }
        ResultCommand::Output(args) => {
            let id = client.resolve_request(&args.id).await?;
            let result = client.result(id).await?;
            match words(&result.output) {
                // A file gets every byte; a terminal nothing that moves its cursor.
                Some(text) if app.output.stdout.width.is_some() => app.output.line(sanitize(text).trim_end()),
                Some(text) if text.ends_with('\n') => app.output.raw(text),
                Some(text) => app.output.line(text),
                None => app.output.json(&result.output),
            }
        }
    }
}

/// The answer in words: a text, or an object that has nothing but one.
fn words(output: &Value) -> Option<&str> {
    match output {
        Value::String(text) => Some(text),
        Value::Object(fields) if fields.len() == 1 => fields.get("text").and_then(Value::as_str),
        _ => None,
    }
}
