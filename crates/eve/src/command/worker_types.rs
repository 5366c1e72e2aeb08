//! `eve worker-types`: who can do requests.

use std::path::Path;
use std::path::PathBuf;

use clap::Args;
use clap::Subcommand;
use eve_api_types::WorkerType;
use eve_core::WorkerTypeName;

use super::App;
use crate::error::CliError;
use crate::error::ErrorKind;
use crate::output::Cell;
use crate::output::Column;
use crate::output::Format;
use crate::output::Style;
use crate::output::Table;
use crate::output::sanitize;

/// List, show and change worker types
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve worker-types list
  eve worker-types get code-review > code-review.toml
  eve worker-types set -f code-review.toml")]
pub(crate) struct WorkerTypesArgs {
    #[command(subcommand)]
    command: WorkerTypesCommand,
}

#[derive(Debug, Subcommand)]
enum WorkerTypesCommand {
    List(ListArgs),
    Get(GetArgs),
    Set(SetArgs),
}

/// List the worker types
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve worker-types list
  eve worker-types list -o jsonl | jq -r .name")]
struct ListArgs {}

/// Show a worker type, as TOML that `set` takes
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve worker-types get code-review
  eve worker-types get code-review -o json")]
struct GetArgs {
    /// Its name
    name: WorkerTypeName,
}

/// Create or replace a worker type
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve worker-types set -f code-review.toml
  eve worker-types set -f code-review.json")]
struct SetArgs {
    /// A file with the worker type, as TOML or, if its name ends in .json, as JSON
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
}

/// Hands over to the subcommand.
pub(crate) async fn run(app: &App, args: WorkerTypesArgs) -> Result<(), CliError> {
    let client = app.client()?;
    match args.command {
        WorkerTypesCommand::List(ListArgs {}) => {
            let page = client.worker_types().await?;
            app.output.page(&page, "There are no worker types.", table)
        }
        WorkerTypesCommand::Get(args) => {
            let worker_type = client.worker_type(args.name.as_str()).await?;
            match app.output.format {
                Format::Json | Format::Jsonl => app.output.json(&worker_type),
                Format::Table => {
                    app.output.raw(&sanitize(&toml::to_string_pretty(&worker_type).map_err(anyhow::Error::from)?))
                }
            }
        }
        WorkerTypesCommand::Set(args) => {
            let worker_type = client.put_worker_type(&read(&args.file)?).await?;
            match app.output.format {
                Format::Json | Format::Jsonl => app.output.json(&worker_type),
                Format::Table => {
                    app.output.say(format!("The worker type {} is set.", worker_type.name));
                    Ok(())
                }
            }
        }
    }
}

fn read(path: &Path) -> Result<WorkerType, CliError> {
    let place = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| CliError::caused(ErrorKind::Usage, format!("cannot read {place}"), error))?;
    let worker_type: WorkerType = if path.extension().is_some_and(|extension| extension == "json") {
        serde_json::from_str(&text).map_err(anyhow::Error::from)
    } else {
        toml::from_str(&text).map_err(anyhow::Error::from)
    }
    .map_err(|error| {
        CliError::caused(ErrorKind::Usage, format!("{place} does not describe a worker type"), error)
            .hint("`eve worker-types get general` shows what one looks like")
    })?;
    // The name becomes a part of the address.
    if let Err(wrong) = worker_type.name.parse::<WorkerTypeName>() {
        return Err(CliError::caused(ErrorKind::Usage, format!("{place} does not describe a worker type"), wrong));
    }
    Ok(worker_type)
}

/// The worker types in columns.
pub(crate) fn table(worker_types: &[WorkerType]) -> Table {
    let mut table = Table::new([
        Column::text("NAME"),
        Column::text("AGENT"),
        Column::text("MODEL"),
        Column::number("TIMEOUT"),
        Column::number("TRIES"),
        Column::flexible("WHAT FOR"),
    ]);
    for worker_type in worker_types {
        let about = if worker_type.description.is_empty() { &worker_type.title } else { &worker_type.description };
        table.row([
            Cell::styled(Style::Strong, &worker_type.name),
            worker_type.harness.as_deref().unwrap_or("-").into(),
            worker_type.model.as_deref().unwrap_or("-").into(),
            format!("{}s", worker_type.timeout_seconds).into(),
            worker_type.max_attempts.to_string().into(),
            about.into(),
        ]);
    }
    table
}
