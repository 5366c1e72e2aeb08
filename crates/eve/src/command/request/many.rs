//! One change for many requests: what a filter means, a preview, a question, and the way to the end.

use std::io::BufRead;
use std::io::IsTerminal;

use clap::Args;
use eve_api_types::BulkFilter;
use eve_api_types::BulkPreview;
use eve_api_types::NewBulkAction;
use eve_api_types::RequestStatus;
use eve_core::ProjectId;
use eve_core::WorkerTypeName;
use jiff::Timestamp;
use uuid::Uuid;

use super::list::status;
use crate::client::Client;
use crate::command::App;
use crate::command::bulk;
use crate::command::new_request::duration;
use crate::error::CliError;
use crate::output::Cell;
use crate::output::Column;
use crate::output::Format;
use crate::output::Style;
use crate::output::Table;
use crate::output::draw;
use crate::output::plural;
use crate::output::status_style;

/// Requests of a preview that are shown before the question.
const SHOWN: usize = 5;

/// Which requests a command is for: named ones, or all that fit everything that is said.
#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = true)]
pub(crate) struct WhichArgs {
    /// The request's id, or its last characters; may be given more than once
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Those with one of these statuses, joined by commas
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = status)]
    status: Vec<RequestStatus>,
    /// Those of this worker type
    #[arg(long, value_name = "TYPE")]
    worker_type: Option<WorkerTypeName>,
    /// Those of this project
    #[arg(long, value_name = "ID")]
    project: Option<ProjectId>,
    /// Those that this request created
    #[arg(long, value_name = "ID")]
    parent: Option<String>,
    /// Those asked since this time (RFC 3339), or since so long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    created_after: Option<Timestamp>,
    /// Those asked before this time, or longer ago than this
    #[arg(long, value_name = "TIME", value_parser = moment)]
    created_before: Option<Timestamp>,
    /// Those with this in their title or prompt
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// All of the organization
    #[arg(long, conflicts_with_all = ["ids", "status", "worker_type", "project", "parent", "created_after", "created_before", "text"])]
    all: bool,
}

/// How to go about a change for many requests.
#[derive(Debug, Args)]
pub(crate) struct HowArgs {
    /// Do not ask; needed for many requests where there is no terminal
    #[arg(short, long)]
    yes: bool,
    /// Only show what would happen
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Begin, and do not wait for the end
    #[arg(long)]
    detach: bool,
}

impl WhichArgs {
    /// The one request that is named, if nothing is said that only a change for many does.
    pub(crate) fn one(&self, how: &HowArgs) -> Option<&str> {
        let others = how.dry_run
            || how.detach
            || !self.status.is_empty()
            || self.worker_type.is_some()
            || self.project.is_some()
            || self.parent.is_some()
            || self.created_after.is_some()
            || self.created_before.is_some()
            || self.text.is_some()
            || self.all;
        match self.ids.as_slice() {
            [one] if !others => Some(one),
            _ => None,
        }
    }

    async fn filter(self, client: &Client) -> Result<BulkFilter, CliError> {
        let mut ids = Vec::with_capacity(self.ids.len());
        for text in &self.ids {
            ids.push(client.resolve_request(text).await?);
        }
        let parent_id = match &self.parent {
            Some(text) => Some(client.resolve_request(text).await?),
            None => None,
        };
        Ok(BulkFilter {
            status: self.status,
            worker_type: self.worker_type.map(|name| name.as_str().to_owned()),
            project_id: self.project,
            parent_id,
            created_after: self.created_after,
            created_before: self.created_before,
            text: self.text,
            ids,
            all: self.all,
        })
    }
}

/// A time, or how long ago it was.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let wrong = |_| format!("`{text}` is neither a time such as 2026-01-31T02:00:00Z nor a length of time such as 2h");
    Timestamp::now().checked_sub(duration(text).map_err(wrong)?).map_err(|error| error.to_string())
}

/// Shows what would happen, asks, begins, and follows to the end.
pub(crate) async fn change(
    app: &App,
    action: &str,
    priority: Option<String>,
    which: WhichArgs,
    how: HowArgs,
) -> Result<(), CliError> {
    let client = app.client()?;
    let filter = which.filter(&client).await?;
    let new = NewBulkAction { action: action.to_owned(), priority, filter, preview: false };
    let may_ask = std::io::stdin().is_terminal() && app.output.stderr.width.is_some();
    if !how.yes && !how.dry_run && !may_ask {
        return Err(CliError::usage(format!("to {action} many requests without being asked, say so with --yes"))
            .hint("--dry-run shows what would happen"));
    }
    let preview = client.bulk_preview(&new).await?;
    if how.dry_run {
        return match app.output.format {
            Format::Json | Format::Jsonl => app.output.json(&preview),
            Format::Table => {
                app.output.line(told(&new, &preview))?;
                if preview.sample.is_empty() { Ok(()) } else { app.output.table(&sample(&preview, usize::MAX)) }
            }
        };
    }
    app.output.say(told(&new, &preview));
    if preview.affected == 0 {
        return Ok(());
    }
    if !how.yes {
        app.output.say(sample(&preview, SHOWN).render(app.output.stderr.paint, app.output.stderr.width).trim_end());
        if !confirmed(&format!("Go on with {}? [y/N] ", plural(preview.affected, "request")))? {
            app.output.say("Nothing was changed.");
            return Ok(());
        }
    }
    let begun = client.bulk_begin(&new, &Uuid::new_v4().to_string()).await?;
    if how.detach {
        return match app.output.format {
            Format::Json | Format::Jsonl => app.output.json(&begun),
            Format::Table => {
                app.output.say(format!("Follow it with `eve bulk get --follow {}`.", begun.id));
                app.output.line(begun.id.to_string())
            }
        };
    }
    bulk::follow(app, &client, begun).await
}

/// What would happen, in words.
fn told(new: &NewBulkAction, preview: &BulkPreview) -> String {
    let least = if preview.complete { "" } else { "at least " };
    let action = match &new.priority {
        Some(priority) => format!("make {least}{} {priority}", plural(preview.affected, "request")),
        None => format!("{} {least}{}", new.action, plural(preview.affected, "request")),
    };
    let by_status = bulk::reasons(&preview.affected_by_status);
    let mut told = match preview.affected {
        0 => "No request would be changed.".to_owned(),
        _ => format!("This would {action}: {by_status}."),
    };
    if preview.skipped > 0 {
        told.push_str(&format!(
            "\n{least}{} would be left alone: {}.",
            plural(preview.skipped, "request"),
            bulk::reasons(&preview.skipped_by_reason)
        ));
    }
    told
}

fn sample(preview: &BulkPreview, most: usize) -> Table {
    let mut table = Table::new([
        Column::text("ID"),
        Column::text("STATUS"),
        Column::text("TYPE"),
        Column::text("PRIORITY"),
        Column::flexible("TITLE"),
    ]);
    for request in preview.sample.iter().take(most) {
        table.row([
            Cell::styled(Style::Strong, request.id.short()),
            Cell::styled(status_style(request.status), request.status.name()),
            request.worker_type.as_str().into(),
            request.priority.as_str().into(),
            request.title.as_str().into(),
        ]);
    }
    table
}

fn confirmed(question: &str) -> Result<bool, CliError> {
    draw(question);
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
