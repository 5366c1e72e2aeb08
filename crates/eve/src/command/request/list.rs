//! `eve request list`: the newest requests.

use clap::Args;
use eve_api_types::Page;
use eve_api_types::Request;
use eve_api_types::RequestStatus;
use eve_core::ProjectId;
use jiff::Timestamp;

use super::many::moment;
use crate::client::PAGE_SIZE;
use crate::client::RequestFilter;
use crate::command::App;
use crate::error::CliError;
use crate::output::Cell;
use crate::output::Column;
use crate::output::Style;
use crate::output::Table;
use crate::output::age;
use crate::output::status_style;

/// List requests, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve request list
  eve request list --status failed --worker-type code-review --limit 50
  eve request list --all -o jsonl")]
pub(crate) struct ListArgs {
    /// Only those with one of these statuses, joined by commas
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = status)]
    status: Vec<RequestStatus>,
    /// Only those of this worker type
    #[arg(long, value_name = "TYPE")]
    worker_type: Option<String>,
    /// Only those of this project
    #[arg(long, value_name = "ID")]
    project: Option<ProjectId>,
    /// Only those that this request created
    #[arg(long, value_name = "ID")]
    parent: Option<String>,
    /// Only those asked since this time (RFC 3339), or since so long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    created_after: Option<Timestamp>,
    /// Only those asked before this time, or longer ago than this
    #[arg(long, value_name = "TIME", value_parser = moment)]
    created_before: Option<Timestamp>,
    /// Only those with this in their title or prompt
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// At most so many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// All of them
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// Lists requests.
pub(crate) async fn run(app: &App, args: ListArgs) -> Result<(), CliError> {
    let client = app.client()?;
    let parent_id = match &args.parent {
        Some(text) => Some(client.resolve_request(text).await?.to_string()),
        None => None,
    };
    let names: Vec<&str> = args.status.iter().map(|status| status.name()).collect();
    let wanted = if args.all { usize::MAX } else { args.limit as usize };
    let mut filter = RequestFilter {
        status: (!names.is_empty()).then(|| names.join(",")),
        worker_type: args.worker_type,
        project_id: args.project.map(|id| id.to_string()),
        parent_id,
        created_after: args.created_after,
        created_before: args.created_before,
        text: args.text,
        limit: PAGE_SIZE,
        cursor: None,
    };
    let mut page = Page { items: Vec::new(), next_cursor: None };
    loop {
        filter.limit = u32::try_from(wanted - page.items.len()).unwrap_or(PAGE_SIZE).min(PAGE_SIZE);
        let next = client.requests(&filter).await?;
        page.items.extend(next.items);
        page.next_cursor.clone_from(&next.next_cursor);
        filter.cursor = next.next_cursor;
        if filter.cursor.is_none() || page.items.len() >= wanted {
            break;
        }
    }
    app.output.page(&page, "There are no such requests.", |items| table(items, Timestamp::now()))?;
    if page.next_cursor.is_some() && app.output.stdout.width.is_some() {
        app.output.say("There are more: see --limit and --all.");
    }
    Ok(())
}

pub(super) fn status(text: &str) -> Result<RequestStatus, String> {
    let names = || RequestStatus::ALL.map(RequestStatus::name).join(", ");
    let found = RequestStatus::ALL.into_iter().find(|status| status.name() == text.trim());
    found.ok_or_else(|| format!("there is no such status; use some of {}", names()))
}

/// The requests in columns.
pub(crate) fn table(requests: &[Request], now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::text("ID"),
        Column::text("STATUS"),
        Column::text("TYPE"),
        Column::text("PRIORITY"),
        Column::number("TRIES"),
        Column::number("AGE"),
        Column::flexible("TITLE"),
    ]);
    for request in requests {
        let status = match &request.reason {
            Some(reason) => format!("{} ({reason})", request.status.name()),
            None => request.status.name().to_owned(),
        };
        table.row([
            Cell::styled(Style::Strong, request.id.short()),
            Cell::styled(status_style(request.status), status),
            request.worker_type.as_str().into(),
            request.priority.as_str().into(),
            request.attempts.to_string().into(),
            age(request.created_at, now).into(),
            request.title.as_str().into(),
        ]);
    }
    table
}
