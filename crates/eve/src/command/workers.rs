//! `eve workers`: who works, and what they did last.

use clap::Args;
use clap::Subcommand;
use eve_api_types::LogEntry;
use eve_api_types::Page;
use eve_api_types::Worker;
use eve_api_types::WorkerAttempt;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::App;
use super::logs::last_entries;
use crate::error::CliError;
use crate::error::ErrorKind;
use crate::log_view::LogView;
use crate::output::Cell;
use crate::output::Column;
use crate::output::Format;
use crate::output::Style;
use crate::output::Table;
use crate::output::age;
use crate::output::sanitize;
use crate::output::span;

/// Entries of a log that are shown for each attempt.
const LAST_ENTRIES: usize = 5;

/// List the workers, or show what one of them did
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve workers
  eve workers logs 3h5j7k9m -n 3")]
pub(crate) struct WorkersArgs {
    #[command(subcommand)]
    command: Option<WorkersCommand>,
}

#[derive(Debug, Subcommand)]
enum WorkersCommand {
    Logs(WorkerLogsArgs),
}

/// Show the last attempts of a worker, newest last, with the ends of their logs
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve workers logs 3h5j7k9m
  eve workers logs build-host-1 -n 20 -o jsonl")]
struct WorkerLogsArgs {
    /// The worker's id, its last characters, or its name
    id: String,
    /// At most so many attempts
    #[arg(short = 'n', long, value_name = "N", default_value_t = 5)]
    attempts: usize,
}

/// Lists workers, or hands over to the subcommand.
pub(crate) async fn run(app: &App, args: WorkersArgs) -> Result<(), CliError> {
    match args.command {
        Some(WorkersCommand::Logs(args)) => show_logs(app, args).await,
        None => {
            let page = app.client()?.workers().await?;
            app.output.page(&page, "There are no workers: start one with `eve worker`.", |workers| {
                table(workers, Timestamp::now())
            })
        }
    }
}

/// The workers in columns.
pub(crate) fn table(workers: &[Worker], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::text("ID"),
        Column::text("STATE"),
        Column::number("BUSY"),
        Column::number("SEEN"),
        Column::number("AGE"),
        Column::text("NAME"),
        Column::text("TYPES"),
        Column::flexible("AGENTS"),
    ]);
    for worker in workers {
        let style = match worker.state.as_str() {
            "active" => Style::Good,
            "draining" => Style::Attention,
            "lost" => Style::Bad,
            _ => Style::Faint,
        };
        let agents: Vec<String> = worker
            .harnesses
            .iter()
            .map(|harness| match &harness.version {
                Some(version) => format!("{} {version}", harness.name),
                None => harness.name.clone(),
            })
            .collect();
        table.row([
            Cell::styled(Style::Strong, worker.id.short()),
            Cell::styled(style, &worker.state),
            format!("{}/{}", worker.running, worker.slots).into(),
            age(worker.last_seen_at, now).into(),
            age(worker.started_at, now).into(),
            worker.name.as_str().into(),
            worker.worker_types.join(", ").into(),
            agents.join(", ").into(),
        ]);
    }
    table
}

async fn show_logs(app: &App, args: WorkerLogsArgs) -> Result<(), CliError> {
    let client = app.client()?;
    let id = client.resolve_worker(&args.id).await?;
    let mut attempts = client.worker_attempts(id).await?.items;
    attempts.truncate(args.attempts);
    attempts.reverse();
    match app.output.format {
        Format::Json => return app.output.json(&Page { items: attempts, next_cursor: None }),
        Format::Jsonl => return attempts.iter().try_for_each(|attempt| app.output.json(attempt)),
        Format::Table if attempts.is_empty() => app.output.say("This worker has run nothing of yours."),
        Format::Table => {}
    }
    let now = Timestamp::now();
    let view = LogView::new(app.output.stdout).with_clock(TimeZone::system());
    for attempt in &attempts {
        app.output.line(headline(app, attempt, now))?;
        let entries = match last_entries(&client, attempt.request_id, None).await {
            Ok(entries) => entries,
            // Logs are kept for a shorter time than attempts.
            Err(error) if error.kind == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let own: Vec<&LogEntry> = entries.iter().filter(|entry| entry.attempt_id == attempt.attempt_id).collect();
        for entry in own.iter().skip(own.len().saturating_sub(LAST_ENTRIES)) {
            view.entry(entry).iter().try_for_each(|line| app.output.line(format!("  {line}")))?;
        }
    }
    Ok(())
}

fn headline(app: &App, attempt: &WorkerAttempt, now: Timestamp) -> String {
    let paint = app.output.stdout.paint;
    let (style, state) = match &attempt.error_code {
        Some(code) => (Style::Bad, format!("{} ({code})", attempt.state)),
        None if attempt.ended_at.is_some() => (Style::Good, attempt.state.clone()),
        None => (Style::Accent, attempt.state.clone()),
    };
    let time = span(attempt.ended_at.unwrap_or(now).as_millisecond() - attempt.claimed_at.as_millisecond());
    format!(
        "{}  {}  {}  {}  {} ago",
        paint.apply(Style::Strong, &attempt.request_id.short()),
        sanitize(&attempt.title),
        paint.apply(style, &sanitize(&state)),
        time,
        age(attempt.claimed_at, now),
    )
}
