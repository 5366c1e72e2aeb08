//! `eve request get`: one request with its attempts.

use clap::Args;
use eve_api_types::Attempt;
use eve_api_types::Request;
use eve_api_types::RequestDetail;
use jiff::Timestamp;

use crate::command::App;
use crate::error::CliError;
use crate::output::Cell;
use crate::output::Column;
use crate::output::Format;
use crate::output::Paint;
use crate::output::Style;
use crate::output::Table;
use crate::output::age;
use crate::output::count;
use crate::output::money;
use crate::output::sanitize;
use crate::output::span;
use crate::output::status_style;

/// Columns of the names before the values.
const NAME_WIDTH: usize = 12;

/// Show a request and its attempts
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve request get 8k2m4n6p
  eve request get req_01h455vb4pex5vsknk084sn02q -o json")]
pub(crate) struct GetArgs {
    /// The request's id, or its last characters
    id: String,
}

/// Shows the request.
pub(crate) async fn run(app: &App, args: GetArgs) -> Result<(), CliError> {
    let client = app.client()?;
    let id = client.resolve_request(&args.id).await?;
    let detail = client.request(id).await?;
    match app.output.format {
        Format::Json | Format::Jsonl => app.output.json(&detail),
        Format::Table => {
            let now = Timestamp::now();
            app.output.raw(&block(&detail.request, app.output.stdout.paint, now))?;
            if detail.attempt_list.is_empty() {
                return Ok(());
            }
            app.output.line("")?;
            app.output.table(&attempts(&detail, now))
        }
    }
}

/// The request as lines of names and values.
pub(crate) fn block(request: &Request, paint: Paint, now: Timestamp) -> String {
    let mut block = String::new();
    let mut add = |name: &str, value: Option<String>| {
        for (index, line) in value.iter().flat_map(|value| value.lines()).enumerate() {
            let name = if index == 0 { name } else { "" };
            block.push_str(&paint.apply(Style::Faint, &format!("{name:NAME_WIDTH$}")));
            block.push_str(line);
            block.push('\n');
        }
    };
    let text = |text: &Option<String>| text.as_deref().map(sanitize);
    let time = |time: Option<Timestamp>| time.map(|time| format!("{time} ({})", relative(time, now)));
    let reason = request.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let stopping = if request.stopping { ", being stopped" } else { "" };
    let status = format!("{}{reason}{stopping}", request.status.name());
    add("id", Some(request.id.to_string()));
    add("title", Some(sanitize(&request.title)));
    add("status", Some(paint.apply(status_style(request.status), &status)));
    add("error", text(&request.last_error));
    add("type", Some(sanitize(&request.worker_type)));
    add("priority", Some(sanitize(&request.priority)));
    add("repository", text(&request.repository));
    add("branch", text(&request.branch));
    add("harness", text(&request.harness));
    add("model", text(&request.model));
    add("project", request.project_id.map(|id| id.to_string()));
    add("parent", request.parent_id.map(|id| id.to_string()));
    add("replay of", request.replay_of.map(|id| id.to_string()));
    let blockers: Vec<String> = request.blocked_by.iter().map(ToString::to_string).collect();
    add("blocked by", (!blockers.is_empty()).then(|| blockers.join("\n")));
    add("attempts", Some(format!("{} of {} counted", request.attempts_counted, request.max_attempts)));
    add("created", time(Some(request.created_at)));
    add("not before", time(request.run_at.filter(|run_at| *run_at > request.created_at)));
    add("started", time(request.started_at));
    add("finished", time(request.finished_at));
    add("prompt", Some(sanitize(&request.prompt)));
    block
}

fn relative(time: Timestamp, now: Timestamp) -> String {
    if time > now { age(time, now) } else { format!("{} ago", age(time, now)) }
}

/// The attempts in columns.
pub(crate) fn attempts(detail: &RequestDetail, now: Timestamp) -> Table {
    let mut table = Table::new([
        Column::number("ATTEMPT"),
        Column::text("STATE"),
        Column::text("WORKER"),
        Column::text("HARNESS"),
        Column::text("MODEL"),
        Column::number("TIME"),
        Column::number("TOKENS"),
        Column::number("COST"),
        Column::flexible("MESSAGE"),
    ]);
    let or_dash = |text: Option<String>| Cell::from(text.unwrap_or_else(|| "-".to_owned()));
    for attempt in &detail.attempt_list {
        table.row([
            attempt.number.to_string().into(),
            Cell::styled(attempt_style(attempt), &attempt.state),
            attempt.worker_id.short().into(),
            or_dash(attempt.harness.clone()),
            or_dash(attempt.model.clone()),
            span(attempt.ended_at.unwrap_or(now).as_millisecond() - attempt.claimed_at.as_millisecond()).into(),
            count(attempt.tokens_used).into(),
            or_dash(attempt.cost_usd.map(money)),
            or_dash(attempt.message.clone().or_else(|| attempt.error_code.clone())),
        ]);
    }
    table
}

const fn attempt_style(attempt: &Attempt) -> Style {
    match (attempt.error_code.is_some(), attempt.ended_at.is_some()) {
        (true, _) => Style::Bad,
        (false, true) => Style::Plain,
        (false, false) => Style::Accent,
    }
}
