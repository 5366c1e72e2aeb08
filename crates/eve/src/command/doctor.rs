//! `eve doctor`: looks at this host and at the server, and says how to mend what is wrong.
//!
//! Each check is one line: what was looked at, how it is, and the next step where one is needed. A check that
//! cannot be made because an earlier one failed says so instead of being left out.

mod database;
mod host;
mod queue;
mod server;

use eve_api_types::ComponentHealth;
use serde::Serialize;

use crate::cli::DoctorArgs;
use crate::command::App;
use crate::error::CliError;
use crate::error::ErrorKind;
use crate::output::Cell;
use crate::output::Column;
use crate::output::Format;
use crate::output::Style;
use crate::output::Table;

/// What one look came to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    /// What was looked at.
    name: String,
    /// How it is.
    health: ComponentHealth,
    /// What was found.
    detail: String,
    /// The next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Check {
    fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), health: ComponentHealth::Ok, detail: detail.into(), fix: None }
    }

    fn warn(name: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name: name.into(), health: ComponentHealth::Warn, detail: detail.into(), fix: Some(fix.into()) }
    }

    fn fail(name: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name: name.into(), health: ComponentHealth::Fail, detail: detail.into(), fix: Some(fix.into()) }
    }
}

/// Checks this host and the server.
pub(crate) async fn run(app: &App, args: DoctorArgs) -> Result<(), CliError> {
    let mut checks = host::checks(&app.config).await;
    checks.extend(server::checks(app, args.deep).await);
    match app.output.format {
        Format::Table => show(app, &checks)?,
        Format::Json => app.output.json(&checks)?,
        Format::Jsonl => {
            for check in &checks {
                app.output.json_line(check)?;
            }
        }
    }
    let failed = checks.iter().filter(|check| check.health == ComponentHealth::Fail).count();
    if failed == 0 {
        return Ok(());
    }
    Err(CliError::new(ErrorKind::Failed, format!("{failed} of {} checks failed", checks.len())))
}

fn show(app: &App, checks: &[Check]) -> Result<(), CliError> {
    let mut table = Table::new([Column::text("CHECK"), Column::text("HEALTH"), Column::text("DETAIL")]);
    for check in checks {
        let (style, word) = match check.health {
            ComponentHealth::Ok => (Style::Good, "ok"),
            ComponentHealth::Warn => (Style::Attention, "warn"),
            ComponentHealth::Fail => (Style::Bad, "FAIL"),
        };
        table.row([Cell::from(&check.name), Cell::styled(style, word), Cell::from(&check.detail)]);
        if let Some(fix) = &check.fix {
            table.row([Cell::default(), Cell::default(), Cell::from(format!("→ {fix}"))]);
        }
    }
    app.output.table(&table)
}
