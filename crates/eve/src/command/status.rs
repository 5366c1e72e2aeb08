//! `eve status`: how the installation stands.

use clap::Args;
use eve_api_types::ComponentHealth;
use eve_api_types::ServiceStatus;
use eve_api_types::Status;
use eve_api_types::Worker;
use jiff::Timestamp;

use super::App;
use super::queue;
use crate::error::CliError;
use crate::error::ErrorKind;
use crate::output::Cell;
use crate::output::Column;
use crate::output::Format;
use crate::output::Style;
use crate::output::Table;
use crate::output::plural;
use crate::output::span;

/// Show how the installation stands
///
/// Ends with exit code 1 when a part does not work at all.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve status
  eve status -o json | jq .queue")]
pub(crate) struct StatusArgs {}

/// Shows the status.
pub(crate) async fn run(app: &App, _args: StatusArgs) -> Result<(), CliError> {
    let client = app.client()?;
    let status = client.status().await?;
    match app.output.format {
        Format::Json | Format::Jsonl => app.output.json(&status)?,
        Format::Table => {
            let (workers, services) = tokio::try_join!(client.workers(), client.services())?;
            let uptime = span(i64::try_from(status.uptime_seconds).unwrap_or(i64::MAX).saturating_mul(1000));
            app.output.say(format!("Eve {} for {}, up for {uptime}", status.version, status.org));
            app.output.table(&components(&status, &workers.items, &services.items))?;
            app.output.line("")?;
            if status.queue.is_empty() {
                app.output.say("The queue is empty.");
            } else {
                app.output.table(&queue::table(&status.queue, Timestamp::now()))?;
            }
        }
    }
    match status.database {
        ComponentHealth::Ok | ComponentHealth::Warn => Ok(()),
        ComponentHealth::Fail => {
            Err(CliError::new(ErrorKind::Failed, "the database does not work").hint("`eve doctor` says more"))
        }
    }
}

/// The parts of the installation, one a line.
pub(crate) fn components(status: &Status, workers: &[Worker], services: &[ServiceStatus]) -> Table {
    let mut table = Table::new([Column::text("COMPONENT"), Column::text("STATUS"), Column::flexible("DETAILS")]);
    let mut add = |name: &str, health: ComponentHealth, details: &str| {
        let (style, word) = match health {
            ComponentHealth::Ok => (Style::Good, "ok"),
            ComponentHealth::Warn => (Style::Attention, "warn"),
            ComponentHealth::Fail => (Style::Bad, "fail"),
        };
        table.row([name.into(), Cell::styled(style, word), details.into()]);
    };
    add("API", ComponentHealth::Ok, "");
    add("Database", status.database, "");
    let lost = if status.workers_lost > 0 { format!(", {} lost today", status.workers_lost) } else { String::new() };
    let details = format!(
        "{}, {} of {} busy{lost}",
        plural(status.workers_active, "active worker"),
        status.running,
        plural(status.slots, "slot")
    );
    let health =
        if status.workers_active == 0 || status.workers_lost > 0 { ComponentHealth::Warn } else { ComponentHealth::Ok };
    add("Workers", health, &details);
    for (worker_type, active) in by_type(workers) {
        let name = if worker_type == "*" { "any type" } else { worker_type };
        add(&format!("Workers ({name})"), ComponentHealth::Ok, &plural(active, "active worker"));
    }
    for service in services {
        match &service.last_error {
            Some(error) => add(&format!("Service {}", service.name), ComponentHealth::Warn, error),
            None => add(&format!("Service {}", service.name), ComponentHealth::Ok, ""),
        }
    }
    table
}

/// How many active workers serve each type.
fn by_type(workers: &[Worker]) -> Vec<(&str, i64)> {
    let mut types: Vec<(&str, i64)> = Vec::new();
    for worker in workers.iter().filter(|worker| worker.state == "active") {
        for served in &worker.worker_types {
            match types.iter_mut().find(|(name, _)| name == served) {
                Some((_, active)) => *active += 1,
                None => types.push((served, 1)),
            }
        }
    }
    types.sort_unstable();
    types
}
