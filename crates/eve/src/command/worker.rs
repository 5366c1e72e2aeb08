//! `eve worker`: runs a worker that takes its work from a server over HTTP. It needs no database.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use eve_store::data_dir::DataDirError;
use eve_store::data_dir::DataDirLock;
use eve_worker::control_plane::http::HttpControlPlane;
use eve_worker::inventory::Inventory;
use tokio_util::sync::CancellationToken;

use crate::cli::WorkerArgs;
use crate::command::App;
use crate::error::CliError;
use crate::error::ErrorKind;
use crate::wiring;
use crate::wiring::Stop;

/// How often a worker tries to take its directory, and its rest in between.
const OWN_TRIES: u32 = 50;
const OWN_REST: Duration = Duration::from_millis(20);

/// Runs a worker.
pub(crate) async fn run(app: &App, _args: WorkerArgs) -> Result<(), CliError> {
    let config = &app.config;
    wiring::start_logging(config.server.log_format, None);
    let mut stop = Stop::listen()?;
    let server = config.worker.server_url.clone().unwrap_or_else(|| config.api_url.clone());
    let key_file = config.worker.key_file.clone().unwrap_or_else(|| config.data_dir.join("worker-key"));
    let key = std::fs::read_to_string(&key_file).map_err(|error| {
        CliError::caused(
            ErrorKind::Unauthenticated,
            format!("cannot read the worker key {}", key_file.display()),
            error,
        )
        .hint("copy the file `worker-key` from the server's data directory and name it in `worker.key_file`")
    })?;
    let plane = HttpControlPlane::new(&server, key.trim().to_owned())
        .map_err(|error| CliError::caused(ErrorKind::Failed, "cannot set up the HTTP client", error))?;
    let inventory = Inventory::discover(&wiring::host(), &wiring::harness_settings(config)).await;
    app.output.say(format!("Entering at {server}."));
    // Several workers may share a host: each process keeps its workspaces apart.
    let all = config.data_dir.join("workers");
    let own = all.join(std::process::id().to_string());
    let lock = take_own(&own).await?;
    clear_abandoned(&all);
    let worker = tokio::select! {
        worker = wiring::enter_worker(config, Arc::new(plane), inventory, &own) => worker?,
        () = stop.wished() => return Ok(()),
    };
    app.output.say(format!(
        "Working: {} slots for {}. Ctrl-C drains.",
        config.worker.slots,
        config.worker.types.join(", ")
    ));
    let (stopping, hurry) = (CancellationToken::new(), CancellationToken::new());
    let mut running = tokio::spawn(worker.run(stopping.clone(), hurry.clone()));
    tokio::select! {
        ended = &mut running => return ended.map_err(|error| CliError::caused(ErrorKind::Failed, "the worker failed", error)),
        () = stop.wished() => {}
    }
    app.output.say("Draining: running agents may end within 30 s. Ctrl-C again gives their requests back at once.");
    stopping.cancel();
    let ended = tokio::select! {
        ended = &mut running => ended,
        () = stop.wished() => {
            hurry.cancel();
            running.await
        }
    };
    drop(lock);
    // An empty directory tells nobody anything.
    let _ = std::fs::remove_dir_all(&own);
    ended.map_err(|error| CliError::caused(ErrorKind::Failed, "the worker failed", error))
}

/// Takes a directory for this process. An earlier one had the same number if it is there; another worker that starts may
/// be clearing that away, which takes moments.
async fn take_own(own: &Path) -> Result<DataDirLock, CliError> {
    let mut tries = 1;
    loop {
        match DataDirLock::acquire(own, "a worker") {
            Err(DataDirError::AlreadyRunning { .. }) if tries < OWN_TRIES => {
                tries += 1;
                tokio::time::sleep(OWN_REST).await;
            }
            taken => {
                return taken.map_err(|error| {
                    CliError::caused(ErrorKind::Failed, "cannot take a directory for workspaces", error)
                });
            }
        }
    }
}

/// Removes the workspaces of workers that are gone: a killed worker cannot do it itself, but its lock goes with it.
fn clear_abandoned(all: &Path) {
    let Ok(entries) = std::fs::read_dir(all) else { return };
    for entry in entries.filter_map(Result::ok) {
        if let Some(lock) = DataDirLock::take_abandoned(&entry.path())
            && let Err(error) = lock.remove()
        {
            tracing::warn!(path = %entry.path().display(), %error, "the workspaces of an earlier worker stay behind");
        }
    }
}
