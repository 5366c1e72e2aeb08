//! Puts database, engine, server, services and worker together, in the order in which they need each other.
//!
//! `up` and `demo` start all of it in one process; `server` leaves the worker out; `worker` is only that. Stopping
//! goes backwards: the worker gives back what it cannot finish while the server still answers, and the database
//! goes last.

mod database;
mod in_process;
mod keys;
mod logging;
mod signals;

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use eve_core::Ageing;
use eve_engine::Engine;
use eve_engine::EngineOptions;
use eve_engine::InstallationLimits;
use eve_engine::LeaseTerms;
use eve_engine::RetentionPeriods;
use eve_engine::Services;
use eve_server::RouterOptions;
use eve_server::ServerState;
use eve_worker::Worker;
use eve_worker::WorkerOptions;
use eve_worker::control_plane::ControlPlane;
use eve_worker::harness::HarnessKind;
use eve_worker::inventory::HarnessSettings;
use eve_worker::inventory::HostEnvironment;
use eve_worker::inventory::Inventory;
use eve_worker::workspace::WorkspaceOptions;
use jiff::SignedDuration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::config::HarnessProtocol;
use crate::config::LimitsConfig;
use crate::config::RetentionConfig;
use crate::error::CliError;
use crate::error::ErrorKind;
use crate::output::Output;

pub(crate) use database::Database;
pub(crate) use database::cluster_options;
pub(crate) use in_process::InProcess;
pub(crate) use keys::Announced;
pub(crate) use keys::KeyFiles;
pub(crate) use logging::start as start_logging;
pub(crate) use signals::Stop;

/// How long running attempts may go on when Eve is asked to stop.
const DRAIN: Duration = Duration::from_secs(30);
/// How long open connections may go on after the server was told to stop.
const SERVER_GRACE: Duration = Duration::from_secs(5);

/// A running server with its services and its database.
pub(crate) struct Stack {
    /// The use cases.
    pub(crate) engine: Engine,
    /// Where the API answers.
    pub(crate) url: String,
    /// Where the keys are.
    pub(crate) keys: KeyFiles,
    database: Database,
    services: Services,
    stop_server: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
}

impl Stack {
    /// Starts database, engine, services and server.
    pub(crate) async fn start(config: &Config, output: &Output) -> Result<Self, CliError> {
        let listener = TcpListener::bind(config.server.listen).await.map_err(|error| {
            CliError::caused(ErrorKind::Failed, format!("cannot listen on {}", config.server.listen), error)
                .hint("another program has the port; choose one with `--listen 127.0.0.1:PORT`")
        })?;
        let address = listener.local_addr()?;
        let database = Database::open(config, output).await?;
        let keys = KeyFiles::ensure(&config.data_dir, &database.store).await?;
        let retention = retention(&config.retention);
        let ageing = SignedDuration::from_mins(i64::from(config.queue.ageing_minutes));
        let options = EngineOptions {
            ageing: Ageing { step: (!ageing.is_zero()).then_some(ageing) },
            retention,
            lease: LeaseTerms::with_ttl(SignedDuration::from_secs(i64::from(config.server.lease_seconds))),
            token_ttl: SignedDuration::from_secs(i64::from(config.server.token_ttl_seconds)),
        };
        let engine = Engine::start(database.store.clone(), options).await.map_err(engine_error)?;
        configure_limits(&engine, &config.limits).await?;
        let services = Services::start(&engine, retention);
        let stop_server = CancellationToken::new();
        let state = ServerState { engine: engine.clone(), services: services.clone() };
        let router = eve_server::router(state, RouterOptions::default());
        let server = tokio::spawn(eve_server::serve(listener, router, stop_server.clone()));
        Ok(Self { engine, url: format!("http://{address}"), keys, database, services, stop_server, server })
    }

    /// Stops server, services and database.
    pub(crate) async fn stop(self) -> Result<(), CliError> {
        self.stop_server.cancel();
        if tokio::time::timeout(SERVER_GRACE, self.server).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        self.services.stop().await;
        self.engine.stop();
        self.database.close().await
    }
}

/// Tells what the engine says about itself when it cannot start.
pub(crate) fn engine_error(error: eve_engine::Error) -> CliError {
    CliError::caused(ErrorKind::Failed, "the engine could not start", error)
}

async fn configure_limits(engine: &Engine, config: &LimitsConfig) -> Result<(), CliError> {
    let LimitsConfig { worker_types, services, accounts } = config.clone();
    engine.limits_configure(&InstallationLimits { worker_types, services, accounts }).await.map_err(|error| {
        let kind = match error.kind {
            eve_engine::ErrorKind::Invalid | eve_engine::ErrorKind::InvalidWorkerType => ErrorKind::Usage,
            _ => ErrorKind::Failed,
        };
        CliError::caused(kind, "the section [limits] of the configuration could not be used", error)
    })
}

fn retention(config: &RetentionConfig) -> RetentionPeriods {
    let days = |n: u32| SignedDuration::from_hours(24 * i64::from(n));
    RetentionPeriods {
        requests: days(config.requests_days),
        logs: days(config.logs_days),
        events: days(config.events_days),
    }
}

/// The environment of this process, as a worker needs it.
pub(crate) fn host() -> HostEnvironment {
    HostEnvironment::new(
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
    )
}

/// What the configuration says about harnesses.
pub(crate) fn harness_settings(config: &Config) -> BTreeMap<String, (HarnessKind, HarnessSettings)> {
    config
        .harness
        .iter()
        .map(|(name, own)| {
            let kind = match own.kind {
                HarnessProtocol::ClaudeCode => HarnessKind::ClaudeCode,
                HarnessProtocol::Codex => HarnessKind::Codex,
                HarnessProtocol::Command => HarnessKind::Command,
            };
            let settings = HarnessSettings {
                program: own.program.clone().map(PathBuf::from),
                env: own.env.clone(),
                pass_env: own.pass_env.clone(),
                gateway_url: own.gateway_url.clone(),
                gateway_key_env: None,
            };
            (name.clone(), (kind, settings))
        })
        .collect()
}

/// Finds the agents of this host and enters a worker.
pub(crate) async fn enter_worker(
    config: &Config,
    plane: Arc<dyn ControlPlane>,
    inventory: Inventory,
    data_dir: &Path,
) -> Result<Worker, CliError> {
    let host = host();
    let program = std::env::current_exe()?;
    let workspace = WorkspaceOptions {
        allow_local: config.worker.allow_local_repositories,
        path: host.var("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin").into(),
        remote_home: host.home(),
        remote_env: ["SSH_AUTH_SOCK", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy"]
            .into_iter()
            .filter_map(|name| Some((name.into(), host.var(name)?.into())))
            .collect(),
        ..WorkspaceOptions::default()
    };
    let options = WorkerOptions {
        name: format!("{}:{}", host_name(), std::process::id()),
        worker_types: config.worker.types.clone(),
        slots: config.worker.slots,
        account: config.worker.account.clone(),
        workspaces: data_dir.join("workspaces"),
        workspace,
        keeper: vec![program.into(), "keeper".into()],
        host,
        drain: DRAIN,
    };
    Worker::enter(plane, inventory, options)
        .await
        .map_err(|error| CliError::caused(ErrorKind::Failed, "the worker could not be entered", error))
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "host".to_owned(), |name| name.trim().to_owned())
}
