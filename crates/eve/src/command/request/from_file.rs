//! `eve request create --from FILE`: asks for everything in a file, one JSON object a line.
//!
//! The file is looked at as a whole before anything is sent. Then it goes out in calls of up to a thousand requests, what
//! is waited for first. Each call has a key made from the content of the file and its place in it, so that a run that was
//! interrupted is simply run again.

mod plan;

use std::collections::BTreeSet;
use std::path::Path;

use eve_api_types::CreatedRequests;
use eve_api_types::ProblemEntry;
use eve_core::RequestId;
use serde::Serialize;

use crate::client::Asked;
use crate::client::Client;
use crate::command::App;
use crate::error::CliError;
use crate::error::ErrorKind;
use crate::output::Format;
use crate::output::draw;
use crate::output::plural;
use plan::Plan;

/// A line and the request that it became.
#[derive(Debug, Serialize)]
struct Made {
    line: usize,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    id: RequestId,
}

/// What came of a file.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// Requests that this run created.
    created: usize,
    /// Requests that an earlier run of the same file created.
    existing: usize,
    items: Vec<Made>,
}

/// Creates everything in the file, or only says whether it could be.
pub(super) async fn run(app: &App, path: &Path, key: Option<&str>, dry_run: bool) -> Result<(), CliError> {
    let client = app.client()?;
    let worker_types: BTreeSet<String> = client.worker_types().await?.items.into_iter().map(|kind| kind.name).collect();
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || Plan::read(&owned, &worker_types)).await;
    let mut plan = read.map_err(|error| CliError::from(anyhow::Error::from(error)))??;
    let total = plural(as_number(plan.entries.len()), "request");
    let calls = plural(as_number(plan.calls.len()), "call");
    if dry_run {
        return app.output.line(format!("{total} could be created, in {calls}. Nothing was created."));
    }
    let mut summary = Summary::default();
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let outcome = tokio::select! {
        outcome = send(app, &client, &mut plan, key, &mut summary) => outcome,
        _ = &mut interrupted => {
            clear(app);
            Err(CliError::new(ErrorKind::Interrupted, "interrupted"))
        }
    };
    let sent = summary.created + summary.existing;
    if let Err(error) = outcome {
        let again = "run the same command again within 48 hours to go on: what is there is not created twice";
        let told = format!("{sent} of {total} are there");
        if error.kind.is_silent() {
            app.output.say(format!("Interrupted: at least {told}; {again}."));
            return Err(error);
        }
        return Err(if sent > 0 { error.hint(format!("{told}; {again}")) } else { error });
    }
    match app.output.format {
        Format::Json => {
            summary.items.sort_unstable_by_key(|made| made.line);
            app.output.json(&summary)
        }
        Format::Jsonl => Ok(()),
        Format::Table => app.output.line(told(&summary)),
    }
}

fn told(summary: &Summary) -> String {
    let created = format!("Created {}.", plural(as_number(summary.created), "request"));
    match summary.existing {
        0 => created,
        existing => format!("{created} {existing} were there already, from an earlier run with the same file."),
    }
}

async fn send(
    app: &App,
    client: &Client,
    plan: &mut Plan,
    key: Option<&str>,
    summary: &mut Summary,
) -> Result<(), CliError> {
    let total = plan.entries.len();
    let mut ids: Vec<Option<RequestId>> = vec![None; total];
    for call in 0..plan.calls.len() {
        let body = plan.body(call, &ids)?;
        let (requests, fresh) = match client.create_requests(&body, &plan.key(key, call)).await? {
            Asked::Created(requests) => (requests, true),
            Asked::Repeated(requests) => (requests, false),
            Asked::Refused(error, entries) => return Err(in_lines(plan, call, error, entries)),
        };
        let count = note(app, plan, call, &requests, &mut ids, summary)?;
        if fresh {
            summary.created += count;
        } else {
            summary.existing += count;
        }
        progress(app, summary.created + summary.existing, total);
    }
    clear(app);
    Ok(())
}

/// Notes which line became which request.
fn note(
    app: &App,
    plan: &Plan,
    call: usize,
    requests: &CreatedRequests,
    ids: &mut [Option<RequestId>],
    summary: &mut Summary,
) -> Result<usize, CliError> {
    let places = plan.calls.get(call).map(Vec::as_slice).unwrap_or_default();
    for (place, request) in places.iter().zip(&requests.items) {
        let Some(entry) = plan.entries.get(*place) else { continue };
        if let Some(id) = ids.get_mut(*place) {
            *id = Some(request.id);
        }
        let made = Made { line: entry.line, name: entry.name.clone(), id: request.id };
        match app.output.format {
            Format::Jsonl => app.output.json_line(&made)?,
            Format::Json => summary.items.push(made),
            Format::Table => {}
        }
    }
    Ok(places.len().min(requests.items.len()))
}

/// The server's words about requests of a call, with the lines that they are about.
fn in_lines(plan: &Plan, call: usize, error: CliError, entries: Vec<ProblemEntry>) -> CliError {
    let places = plan.calls.get(call).map(Vec::as_slice).unwrap_or_default();
    let hints = entries.into_iter().map(|entry| {
        let line = places.get(entry.index).and_then(|place| plan.entries.get(*place)).map_or(0, |entry| entry.line);
        format!("line {line}: {}", crate::output::sanitize(&entry.detail))
    });
    let told = CliError::new(error.kind, "the server refuses requests of the file; none of their call was created");
    told.hints(hints)
}

/// On a terminal a line that is drawn over and over, elsewhere one for each call.
fn progress(app: &App, sent: usize, total: usize) {
    if app.output.quiet {
        return;
    }
    if app.output.stderr.width.is_some() {
        draw(&format!("\r\x1b[K{sent} of {total}"));
    } else if sent < total {
        app.output.say(format!("{sent} of {total}"));
    }
}

fn clear(app: &App) {
    if app.output.stderr.width.is_some() && !app.output.quiet {
        draw("\r\x1b[K");
    }
}

fn as_number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
