//! `eve limits`: how much may run at once.

use clap::Args;
use clap::Subcommand;
use eve_api_types::Limit;
use eve_api_types::LimitSetting;
use eve_core::ProjectId;
use eve_core::WorkerTypeName;

use super::App;
use crate::error::CliError;
use crate::output::Cell;
use crate::output::Column;
use crate::output::Format;
use crate::output::Style;
use crate::output::Table;

/// List, set and lift the limits on how many agents run at once
///
/// What has no room waits, and holds up nobody else. The limits of the installation are listed too; they are set in
/// the section [limits] of the server's configuration.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve limits
  eve limits set --organization 10
  eve limits set --worker-type code-review 3
  eve limits unset --organization")]
pub(crate) struct LimitsArgs {
    #[command(subcommand)]
    command: Option<LimitsCommand>,
}

#[derive(Debug, Subcommand)]
enum LimitsCommand {
    Set(SetArgs),
    Unset(UnsetArgs),
}

/// Set a limit of the organization; what runs already goes on
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve limits set --organization 10
  eve limits set --project prj_01h455vb4pex5vsknk084sn02q 2
  eve limits set --worker-type general 3
  eve limits set --worker-type code-review 0    Let no code review start")]
struct SetArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    /// How many agents may run at once; with 0 none starts
    #[arg(value_name = "N")]
    max_running: u32,
}

/// Lift a limit of the organization
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve limits unset --organization
  eve limits unset --project prj_01h455vb4pex5vsknk084sn02q
  eve limits unset --worker-type general")]
struct UnsetArgs {
    #[command(flatten)]
    subject: SubjectArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct SubjectArgs {
    /// All of the organization's agents
    #[arg(long)]
    organization: bool,
    /// Those that work for this project
    #[arg(long, value_name = "ID")]
    project: Option<ProjectId>,
    /// Those of this worker type
    #[arg(long, value_name = "TYPE")]
    worker_type: Option<WorkerTypeName>,
}

impl SubjectArgs {
    fn setting(&self, max_running: Option<u32>) -> LimitSetting {
        let (scope, name) = match (&self.project, &self.worker_type) {
            (Some(project), _) => ("project", project.to_string()),
            (None, Some(worker_type)) => ("worker_type", worker_type.as_str().to_owned()),
            (None, None) => ("organization", String::new()),
        };
        LimitSetting { scope: scope.to_owned(), name, max_running }
    }
}

/// Lists limits, or hands over to the subcommand.
pub(crate) async fn run(app: &App, args: LimitsArgs) -> Result<(), CliError> {
    let setting = match &args.command {
        None => {
            let page = app.client()?.limits().await?;
            return app.output.page(
                &page,
                "There are no limits: set one with `eve limits set --organization 10`.",
                table,
            );
        }
        Some(LimitsCommand::Set(args)) => args.subject.setting(Some(args.max_running)),
        Some(LimitsCommand::Unset(args)) => args.subject.setting(None),
    };
    let setting = app.client()?.put_limit(&setting).await?;
    match app.output.format {
        Format::Json | Format::Jsonl => app.output.json(&setting),
        Format::Table => {
            app.output.say(deed(&setting));
            Ok(())
        }
    }
}

fn deed(setting: &LimitSetting) -> String {
    let subject = match setting.scope.as_str() {
        "project" => format!("the project {}", setting.name),
        "worker_type" => format!("the worker type {}", setting.name),
        _ => "the organization".to_owned(),
    };
    match setting.max_running {
        None => format!("There is no limit for {subject}."),
        Some(0) => format!("Nothing starts for {subject} until the limit is changed."),
        Some(1) => format!("At most 1 agent runs at once for {subject}."),
        Some(most) => format!("At most {most} agents run at once for {subject}."),
    }
}

/// The limits in columns.
pub(crate) fn table(limits: &[Limit]) -> Table {
    let mut table = Table::new([
        Column::text("SCOPE"),
        Column::number("RUNNING"),
        Column::number("LIMIT"),
        Column::text("SET BY"),
        Column::flexible("NAME"),
    ]);
    for limit in limits {
        let is_full = limit.running.is_some_and(|running| running >= i64::from(limit.max_running));
        let running = limit.running.map_or("-".to_owned(), |running| running.to_string());
        table.row([
            Cell::styled(Style::Strong, &limit.scope),
            Cell::styled(if is_full { Style::Attention } else { Style::Plain }, running),
            limit.max_running.to_string().into(),
            if limit.installation { "installation" } else { "organization" }.into(),
            if limit.name.is_empty() { "-" } else { &limit.name }.into(),
        ]);
    }
    table
}
