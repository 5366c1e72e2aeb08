//! The commands: one file each, an `Args` struct whose doc comments are the help text, then one function.
//!
//! A command resolves its inputs, calls the API through [`Client`], and reports through [`Output`]. Nothing here
//! knows SQL or decides anything about requests: that is the server's.

pub(crate) mod bulk;
pub(crate) mod completions;
pub(crate) mod config;
mod demo;
pub(crate) mod diff;
mod doctor;
pub(crate) mod limits;
pub(crate) mod logs;
mod new_request;
pub(crate) mod queue;
pub(crate) mod request;
pub(crate) mod result;
pub(crate) mod run;
mod server;
pub(crate) mod status;
pub(crate) mod tail;
mod up;
mod worker;
pub(crate) mod worker_types;
pub(crate) mod workers;

use crate::cli::Cli;
use crate::cli::Command;
use crate::client::Client;
use crate::config::Config;
use crate::config::Sources;
use crate::error::CliError;
use crate::output::Format;
use crate::output::Output;

/// What every command gets.
#[derive(Debug, Clone)]
pub(crate) struct App {
    /// All settings.
    pub(crate) config: Config,
    /// The printer.
    pub(crate) output: Output,
}

impl App {
    /// A client of the API, with the key that the configuration gives.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        Client::new(&self.config)
    }
}

/// Runs a command.
pub(crate) async fn run(cli: Cli) -> Result<(), CliError> {
    let sources = Sources::of_process(cli.global.config.clone(), cli.flags());
    let global = &cli.global;
    let printer = |format: Format| Output::new(format, global.quiet, global.no_color);
    let app = || -> Result<App, CliError> {
        let config = sources.load()?;
        let output = printer(config.output);
        Ok(App { config, output })
    };
    match cli.command {
        // These two must work when the configuration does not.
        Command::Completions(args) => completions::run(&printer(Format::Table), &args),
        Command::Openapi => printer(Format::Table).raw(&eve_server::openapi_json()),
        Command::Config(args) => {
            let format = global.format().or_else(|| sources.load().ok().map(|config| config.output));
            config::run(&sources, &printer(format.unwrap_or_default()), args)
        }
        Command::Up(args) => Box::pin(up::run(&app()?, args)).await,
        Command::Demo(args) => Box::pin(demo::run(&app()?, args)).await,
        Command::Doctor(args) => Box::pin(doctor::run(&app()?, args)).await,
        Command::Server(args) => Box::pin(server::run(&app()?, args)).await,
        Command::Worker(args) => Box::pin(worker::run(&app()?, args)).await,
        Command::Run(args) => Box::pin(run::run(&app()?, *args)).await,
        Command::Request(args) => Box::pin(request::run(&app()?, args)).await,
        Command::Bulk(args) => Box::pin(bulk::run(&app()?, args)).await,
        Command::Result(args) => Box::pin(result::run(&app()?, args)).await,
        Command::Diff(args) => Box::pin(diff::run(&app()?, args)).await,
        Command::Logs(args) => Box::pin(logs::run(&app()?, args)).await,
        Command::Replay(args) => Box::pin(request::act::replay(&app()?, args)).await,
        Command::Status(args) => Box::pin(status::run(&app()?, args)).await,
        Command::Queue(args) => Box::pin(queue::run(&app()?, args)).await,
        Command::Workers(args) => Box::pin(workers::run(&app()?, args)).await,
        Command::Limits(args) => Box::pin(limits::run(&app()?, args)).await,
        Command::Tail(args) => Box::pin(tail::run(&app()?, args)).await,
        Command::WorkerTypes(args) => Box::pin(worker_types::run(&app()?, args)).await,
    }
}

#[cfg(test)]
mod tests;
