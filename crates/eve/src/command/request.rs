//! `eve request`: everything about requests, one by one and many at once.

pub(crate) mod act;
mod create;
mod from_file;
mod get;
mod list;
mod many;

use clap::Args;
use clap::Subcommand;

use super::App;
use super::logs;
use crate::error::CliError;

/// Create, list, read and steer requests
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eve request list --status pending,processing
  eve request get 8k2m4n6p
  eve request cancel 8k2m4n6p")]
pub(crate) struct RequestArgs {
    #[command(subcommand)]
    command: RequestCommand,
}

#[derive(Debug, Subcommand)]
enum RequestCommand {
    Create(Box<create::CreateArgs>),
    List(list::ListArgs),
    Get(get::GetArgs),
    Logs(logs::RequestLogsArgs),
    Cancel(act::CancelArgs),
    Pause(act::PauseArgs),
    Resume(act::ResumeArgs),
    Replay(act::ReplayArgs),
    Reprioritise(act::ReprioritiseArgs),
}

/// Hands over to the subcommand.
pub(crate) async fn run(app: &App, args: RequestArgs) -> Result<(), CliError> {
    match args.command {
        RequestCommand::Create(args) => Box::pin(create::run(app, *args)).await,
        RequestCommand::List(args) => Box::pin(list::run(app, args)).await,
        RequestCommand::Get(args) => Box::pin(get::run(app, args)).await,
        RequestCommand::Logs(args) => Box::pin(logs::run_for_request(app, args)).await,
        RequestCommand::Cancel(args) => Box::pin(act::cancel(app, args)).await,
        RequestCommand::Pause(args) => act::pause(app, args).await,
        RequestCommand::Resume(args) => act::resume(app, args).await,
        RequestCommand::Replay(args) => Box::pin(act::replay(app, args)).await,
        RequestCommand::Reprioritise(args) => Box::pin(act::reprioritise(app, args)).await,
    }
}

#[cfg(test)]
mod tests;
