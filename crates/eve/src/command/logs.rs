//! `eve request logs` and `eve logs`: what agents said and did.

use std::collections::VecDeque;

use clap::Args;
use eve_api_types::LogEntry;
use eve_api_types::Page;
use eve_api_types::Request;
use eve_core::RequestId;
use jiff::tz::TimeZone;

use super::App;
use crate::client::Client;
use crate::client::Incoming;
use crate::client::decode_event;
use crate::error::CliError;
use crate::log_view::LogView;
use crate::output::Format;

/// Show a request's log
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve request logs 8k2m4n6p
  eve request logs -f 8k2m4n6p
  eve request logs 8k2m4n6p --raw | jq 'select(.event.type == \"tool_call\")'")]
pub(crate) struct RequestLogsArgs {
    /// The request's id, or its last characters
    id: String,
    #[command(flatten)]
    choice: Choice,
}

/// Show a request's log; the same as `eve request logs`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve logs --request-id 8k2m4n6p
  eve logs --request-id 8k2m4n6p --follow --tail 20")]
pub(crate) struct LogsArgs {
    /// The request's id, or its last characters
    #[arg(long, value_name = "ID")]
    request_id: String,
    #[command(flatten)]
    choice: Choice,
}

/// Which part of the log, and how.
#[derive(Debug, Args)]
struct Choice {
    /// Go on until the request is finished
    #[arg(short, long)]
    follow: bool,
    /// Only the last entries
    #[arg(short = 'n', long, value_name = "N")]
    tail: Option<usize>,
    /// Print the entries as they are kept, one JSON object per line
    #[arg(long)]
    raw: bool,
}

/// Shows the log, as `eve logs`.
pub(crate) async fn run(app: &App, args: LogsArgs) -> Result<(), CliError> {
    show(app, &args.request_id, &args.choice).await
}

/// Shows the log, as `eve request logs`.
pub(crate) async fn run_for_request(app: &App, args: RequestLogsArgs) -> Result<(), CliError> {
    show(app, &args.id, &args.choice).await
}

/// How entries are printed.
enum Printer<'a> {
    /// As lines for people.
    View(&'a App, LogView),
    /// As JSON, line by line.
    Raw(&'a App),
}

impl Printer<'_> {
    fn print(&self, entry: &LogEntry) -> Result<(), CliError> {
        match self {
            Self::View(app, view) => view.entry(entry).iter().try_for_each(|line| app.output.line(line)),
            Self::Raw(app) => app.output.json_line(entry),
        }
    }
}

async fn show(app: &App, id: &str, choice: &Choice) -> Result<(), CliError> {
    let client = app.client()?;
    let id = client.resolve_request(id).await?;
    let printer = if choice.raw || app.output.format != Format::Table {
        Printer::Raw(app)
    } else {
        Printer::View(app, LogView::new(app.output.stdout).with_clock(TimeZone::system()))
    };
    // A stream has no end to close a document at: with `--follow`, JSON comes line by line.
    if app.output.format == Format::Json && !choice.raw && !choice.follow {
        let items = last_entries(&client, id, choice.tail).await?.into();
        return app.output.json(&Page::<LogEntry> { items, next_cursor: None });
    }
    let mut after = None;
    if !choice.follow || choice.tail.is_some() {
        for entry in last_entries(&client, id, choice.tail).await? {
            printer.print(&entry)?;
            after = Some(entry.id);
        }
    }
    if choice.follow { follow(app, &client, id, after, &printer).await } else { Ok(()) }
}

/// The entries of a log, or the last ones of them.
pub(crate) async fn last_entries(
    client: &Client,
    id: RequestId,
    tail: Option<usize>,
) -> Result<VecDeque<LogEntry>, CliError> {
    let mut entries = VecDeque::new();
    let mut after: Option<String> = None;
    loop {
        let page = client.log(id, after.as_deref()).await?;
        after = page.items.last().map(|entry| entry.id.clone());
        entries.extend(page.items);
        if let Some(tail) = tail {
            entries.drain(..entries.len().saturating_sub(tail));
        }
        if after.is_none() || page.next_cursor.is_none() {
            return Ok(entries);
        }
    }
}

async fn follow(
    app: &App,
    client: &Client,
    id: RequestId,
    after: Option<String>,
    printer: &Printer<'_>,
) -> Result<(), CliError> {
    let mut stream = client.log_stream(id, after);
    loop {
        match stream.next().await? {
            Incoming::Event(event) if event.name == "log" => printer.print(&decode_event(&event.data)?)?,
            Incoming::Event(event) if event.name == "end" => {
                let request: Request = decode_event(&event.data)?;
                app.output.say(format!("The request is {}.", request.status.name()));
                return Ok(());
            }
            Incoming::Event(_) => {}
            Incoming::Reconnecting { why } => app.output.warn(format!("{why}; connecting again")),
        }
    }
}
