//! `eve up`: starts everything on this host, in the foreground, until Ctrl-C.

use std::sync::Arc;
use std::time::Instant;

use eve_store::data_dir::DataDirLock;
use eve_worker::inventory::Inventory;
use eve_worker::inventory::SignedIn;
use tokio_util::sync::CancellationToken;

use crate::cli::UpArgs;
use crate::command::App;
use crate::error::CliError;
use crate::error::ErrorKind;
use crate::wiring;
use crate::wiring::Announced;
use crate::wiring::InProcess;
use crate::wiring::Stack;
use crate::wiring::Stop;

/// Starts everything on this host.
pub(crate) async fn run(app: &App, _args: UpArgs) -> Result<(), CliError> {
    let began = Instant::now();
    wiring::start_logging(app.config.server.log_format, None);
    let mut stop = Stop::listen()?;
    let running = Running::start(app).await?;
    app.output.say(format!("\nEve is ready after {:.1} s.", began.elapsed().as_secs_f64()));
    running.describe(app);
    app.output.say("\nCtrl-C lets running agents end, then stops everything.");
    stop.wished().await;
    app.output.say("Stopping: running agents may end within 30 s. Ctrl-C again gives their requests back at once.");
    running.stop(&mut stop).await
}

/// Everything, running.
pub(crate) struct Running {
    stack: Stack,
    inventory: Inventory,
    stop_worker: CancellationToken,
    hurry: CancellationToken,
    worker: tokio::task::JoinHandle<()>,
    // Dropped last to first: the note goes before the lock.
    _announced: Announced,
    _lock: DataDirLock,
}

impl Running {
    /// Takes the data directory and starts database, server, services and worker.
    pub(crate) async fn start(app: &App) -> Result<Self, CliError> {
        let config = &app.config;
        let mut lock = lock(config)?;
        let stack = Stack::start(config, &app.output).await?;
        lock.set_note(&format!("pid {}, {}", std::process::id(), stack.url))
            .map_err(|error| CliError::caused(ErrorKind::Failed, "cannot write the lock's note", error))?;
        let inventory = Inventory::discover(&wiring::host(), &wiring::harness_settings(config)).await;
        let plane = Arc::new(InProcess::new(stack.engine.clone()));
        let worker = wiring::enter_worker(config, plane, inventory.clone(), &config.data_dir).await?;
        let (stop_worker, hurry) = (CancellationToken::new(), CancellationToken::new());
        let worker = tokio::spawn(worker.run(stop_worker.clone(), hurry.clone()));
        let announced = Announced::new(&config.data_dir, &stack.url)?;
        Ok(Self { stack, inventory, stop_worker, hurry, worker, _announced: announced, _lock: lock })
    }

    /// Where the API answers.
    pub(crate) fn url(&self) -> &str {
        &self.stack.url
    }

    /// The owner's API key.
    pub(crate) fn api_key(&self) -> Result<String, CliError> {
        self.stack.keys.api_key()
    }

    /// Says what there is and what to do with it.
    pub(crate) fn describe(&self, app: &App) {
        let output = &app.output;
        output.say(format!("  API        {}  (OpenAPI at /openapi.json, metrics at /metrics)", self.stack.url));
        output.say(format!("  API key    {}", self.stack.keys.api_key.display()));
        output.say(format!("  data       {}", app.config.data_dir.display()));
        output.say(format!(
            "  worker     {} slots for {}",
            app.config.worker.slots,
            app.config.worker.types.join(", ")
        ));
        for entry in &self.inventory.entries {
            let version = entry.version.as_deref().unwrap_or("runs a prompt as a script");
            let state = match &entry.signed_in {
                SignedIn::Yes(how) => format!("ready ({how})"),
                SignedIn::No(hint) => format!("not signed in: {hint}"),
                SignedIn::Unknown => "cannot be told whether it is signed in".to_owned(),
                SignedIn::NotNeeded => "ready".to_owned(),
            };
            output.say(format!("  harness    {}: {version}; {state}", entry.name));
        }
        let agents = self.inventory.choose(None).is_ok();
        let example = if agents {
            "eve run --repo ~/code/app \"Add a --json flag to the list command\""
        } else {
            "eve run --harness command 'echo hello from an agent'"
        };
        output.say("\nTry next, in another terminal:");
        for command in [example, "eve status", "eve request list"] {
            output.say(format!("  {command}"));
        }
    }

    /// Stops backwards; another signal gives running requests back at once.
    pub(crate) async fn stop(self, signals: &mut Stop) -> Result<(), CliError> {
        let Self { stack, stop_worker, hurry, worker, _announced, _lock, .. } = self;
        stop_worker.cancel();
        let mut worker = worker;
        let ended = tokio::select! {
            ended = &mut worker => ended,
            () = signals.wished() => {
                hurry.cancel();
                worker.await
            }
        };
        if let Err(error) = ended {
            tracing::error!(%error, "the worker failed");
        }
        stack.stop().await
    }
}

/// Takes the data directory for this process, or says who has it.
pub(crate) fn lock(config: &crate::config::Config) -> Result<DataDirLock, CliError> {
    DataDirLock::acquire(&config.data_dir, &format!("pid {}, starting", std::process::id())).map_err(|error| {
        CliError::caused(ErrorKind::Conflict, "Eve cannot start here", error).hint(
            "`eve status` shows how the running one fares; `--data-dir DIR --listen 127.0.0.1:PORT` starts another",
        )
    })
}
