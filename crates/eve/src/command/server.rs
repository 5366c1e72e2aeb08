//! `eve server`: runs the server and the services, without a worker.

use crate::cli::ServerArgs;
use crate::command::App;
use crate::command::up;
use crate::error::CliError;
use crate::error::ErrorKind;
use crate::wiring;
use crate::wiring::Announced;
use crate::wiring::Stack;
use crate::wiring::Stop;

/// Runs the server and the services.
pub(crate) async fn run(app: &App, _args: ServerArgs) -> Result<(), CliError> {
    wiring::start_logging(app.config.server.log_format, None);
    let mut stop = Stop::listen()?;
    let mut lock = up::lock(&app.config)?;
    let stack = Stack::start(&app.config, &app.output).await?;
    lock.set_note(&format!("pid {}, {}", std::process::id(), stack.url))
        .map_err(|error| CliError::caused(ErrorKind::Failed, "cannot write the lock's note", error))?;
    let announced = Announced::new(&app.config.data_dir, &stack.url)?;
    app.output.say(format!("The server answers at {}.", stack.url));
    app.output.say(format!("  API key       {}", stack.keys.api_key.display()));
    app.output.say(format!("  worker key    {}", stack.keys.worker_key.display()));
    app.output.say(format!("Start a worker with `eve worker --server {}` and that worker key.", stack.url));
    stop.wished().await;
    app.output.say("Stopping.");
    drop(announced);
    stack.stop().await
}
