//! `eve bulk`: the changes to many requests that are under way or over.

use std::time::Duration;

use clap::Args;
use clap::Subcommand;
use eve_api_types::BulkAction;
use eve_core::BulkActionId;
use jiff::Timestamp;

use super::App;
use crate::client::Client;
use crate::error::CliError;
use crate::error::ErrorKind;
use crate::output::Cell;
use crate::output::Column;
use crate::output::Format;
use crate::output::Style;
use crate::output::Table;
use crate::output::age;
use crate::output::draw;
use crate::output::plural;

/// How often a bulk action is looked at while it is followed.
const LOOK_PERIOD: Duration = Duration::from_millis(300);

/// List, read and stop changes to many requests
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve request cancel --status pending --worker-type code-review    Begin one
  eve bulk list
  eve bulk get blk_01h455vb4pex5vsknk084sn02q
  eve bulk cancel blk_01h455vb4pex5vsknk084sn02q")]
pub(crate) struct BulkArgs {
    #[command(subcommand)]
    command: BulkCommand,
}

#[derive(Debug, Subcommand)]
enum BulkCommand {
    List(ListArgs),
    Get(GetArgs),
    Cancel(CancelArgs),
}

/// List bulk actions, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve bulk list
  eve bulk list --limit 100 -o jsonl")]
struct ListArgs {
    /// At most so many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: u32,
}

/// Show how far a bulk action has come
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve bulk get blk_01h455vb4pex5vsknk084sn02q
  eve bulk get blk_01h455vb4pex5vsknk084sn02q --follow")]
struct GetArgs {
    /// The bulk action's id
    id: BulkActionId,
    /// Follow it until it is over
    #[arg(short, long)]
    follow: bool,
}

/// Stop a bulk action; what it did stays done
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve bulk cancel blk_01h455vb4pex5vsknk084sn02q
  eve bulk cancel blk_01h455vb4pex5vsknk084sn02q --quiet")]
struct CancelArgs {
    /// The bulk action's id
    id: BulkActionId,
}

/// Hands over to the subcommand.
pub(crate) async fn run(app: &App, args: BulkArgs) -> Result<(), CliError> {
    let client = app.client()?;
    match args.command {
        BulkCommand::List(args) => {
            let page = client.bulk_actions(args.limit).await?;
            let empty =
                "There are no bulk actions: begin one with a filter, as in `eve request cancel --status pending`.";
            app.output.page(&page, empty, |items| table(items, Timestamp::now()))
        }
        BulkCommand::Get(args) => {
            let action = client.bulk_action(args.id).await?;
            if args.follow && !action.is_finished() {
                return follow(app, &client, action).await;
            }
            match app.output.format {
                Format::Json | Format::Jsonl => app.output.json(&action),
                Format::Table => app.output.raw(&block(&action)),
            }
        }
        BulkCommand::Cancel(args) => {
            let action = client.bulk_cancel(args.id).await?;
            match app.output.format {
                Format::Json | Format::Jsonl => app.output.json(&action),
                Format::Table => {
                    app.output.say(format!("It is stopped. {}", told(&action)));
                    app.output.line(action.id.to_string())
                }
            }
        }
    }
}

/// Follows a bulk action until it is over, and prints what came of it. Ctrl-C leaves it running.
pub(crate) async fn follow(app: &App, client: &Client, mut action: BulkAction) -> Result<(), CliError> {
    let terminal = app.output.stderr.width.is_some() && !app.output.quiet;
    let mut looks = tokio::time::interval(LOOK_PERIOD);
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    while !action.is_finished() {
        if terminal {
            draw(&format!("\r\x1b[K{}", told(&action)));
        }
        tokio::select! {
            _ = &mut interrupted => {
                if terminal {
                    draw("\r\x1b[K");
                }
                app.output.say(format!("It goes on without you watching: {}", told(&action)));
                app.output.say(format!("Look at it with `eve bulk get {0}`, stop it with `eve bulk cancel {0}`.", action.id));
                return Err(CliError::new(ErrorKind::Interrupted, "detached"));
            }
            _ = looks.tick() => action = client.bulk_action(action.id).await?,
        }
    }
    if terminal {
        draw("\r\x1b[K");
    }
    match app.output.format {
        Format::Json | Format::Jsonl => app.output.json(&action)?,
        Format::Table => app.output.line(told(&action))?,
    }
    if action.state == "cancelled" {
        return Err(CliError::new(ErrorKind::Failed, format!("{} was stopped before its end", action.id)));
    }
    if action.failed > 0 {
        return Err(CliError::new(
            ErrorKind::Failed,
            format!("{} could not be changed", plural(action.failed, "request")),
        )
        .hint(format!("`eve bulk get {}` says why", action.id)));
    }
    Ok(())
}

/// What was done to a request, in the past tense.
fn deed(action: &BulkAction) -> String {
    match (action.action.as_str(), &action.priority) {
        ("cancel", _) => "Cancelled".to_owned(),
        ("replay", _) => "Replayed".to_owned(),
        (_, Some(priority)) => format!("Made {priority}"),
        (other, None) => other.to_owned(),
    }
}

/// Reasons and their numbers in words.
pub(crate) fn reasons<'a>(counts: impl IntoIterator<Item = (&'a String, &'a i64)>) -> String {
    let each = counts.into_iter().map(|(reason, count)| format!("{count} {}", reason.replace('_', " ")));
    each.collect::<Vec<_>>().join(", ")
}

/// How far it has come, on a line.
pub(crate) fn told(action: &BulkAction) -> String {
    let mut told = format!("{} {}", deed(action), plural(action.done, "request"));
    if action.skipped > 0 {
        told.push_str(&format!("; left {} alone ({})", action.skipped, reasons(&action.skipped_by_reason)));
    }
    if action.failed > 0 {
        told.push_str(&format!("; {} failed ({})", action.failed, reasons(&action.failed_by_reason)));
    }
    told + "."
}

/// A bulk action as lines of names and values.
fn block(action: &BulkAction) -> String {
    let mut block = String::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            block.push_str(&format!("{name:12}{value}\n"));
        }
    };
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let filter = serde_json::to_string(&action.filter).unwrap_or_default();
    let with = |count: i64, reasons: String| {
        (count > 0).then(|| if reasons.is_empty() { count.to_string() } else { format!("{count} ({reasons})") })
    };
    add("id", Some(action.id.to_string()));
    add("action", Some(action.action.clone()));
    add("priority", action.priority.clone());
    add("filter", Some(crate::output::sanitize(&filter)));
    add("state", Some(action.state.clone()));
    add("done", Some(action.done.to_string()));
    add("skipped", with(action.skipped, reasons(&action.skipped_by_reason)));
    add("failed", with(action.failed, reasons(&action.failed_by_reason)));
    add("looked at", action.cursor.map(|id| id.to_string()));
    add("created", time(Some(action.created_at)));
    add("started", time(action.started_at));
    add("finished", time(action.finished_at));
    block
}

fn table(actions: &[BulkAction], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::text("ID"),
        Column::text("ACTION"),
        Column::text("STATE"),
        Column::number("DONE"),
        Column::number("SKIPPED"),
        Column::number("FAILED"),
        Column::number("AGE"),
    ]);
    for action in actions {
        let name = match &action.priority {
            Some(priority) => format!("{} {priority}", action.action),
            None => action.action.clone(),
        };
        table.row([
            Cell::styled(Style::Strong, action.id.to_string()),
            name.as_str().into(),
            action.state.as_str().into(),
            action.done.to_string().into(),
            action.skipped.to_string().into(),
            Cell::styled(if action.failed > 0 { Style::Bad } else { Style::Plain }, action.failed.to_string()),
            age(action.created_at, now).into(),
        ]);
    }
    table
}
