//! Configuration: one typed value, put together once from layers and checked as a whole.
//!
//! Built-in defaults < what is found on this host < the file < variables < flags. Every command gets the same
//! [`Config`]; nothing else in the binary reads settings from files or variables. Unknown keys and wrong types are
//! errors, because a setting that is silently ignored is worse than a program that does not start.

mod edit;
mod find;
mod layer;
mod secret;
mod setting;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;
use toml::Value;

use crate::error::CliError;
use crate::output::Format;

pub(crate) use edit::set_in_file;
pub(crate) use edit::unset_in_file;
pub(crate) use find::Host;
pub(crate) use find::is_loopback;
pub(crate) use layer::FlagValue;
pub(crate) use layer::Layers;
pub(crate) use layer::Origin;
pub(crate) use layer::unknown;
pub(crate) use secret::MASK;
pub(crate) use secret::Secret;
pub(crate) use setting::Kind;
pub(crate) use setting::SETTINGS;
pub(crate) use setting::Setting;

/// All settings.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Config {
    /// Where the API answers, without a slash at the end.
    pub(crate) api_url: String,
    /// The key that commands use.
    pub(crate) api_key: Option<Secret>,
    /// Where Eve keeps its files on this host.
    pub(crate) data_dir: PathBuf,
    /// How data is printed.
    pub(crate) output: Format,
    /// The server.
    pub(crate) server: ServerConfig,
    /// The embedded PostgreSQL.
    pub(crate) postgres: PostgresConfig,
    /// The worker.
    pub(crate) worker: WorkerConfig,
    /// How requests wait.
    pub(crate) queue: QueueConfig,
    /// How much of a kind may run at once.
    #[serde(default)]
    pub(crate) limits: LimitsConfig,
    /// How long things are kept.
    pub(crate) retention: RetentionConfig,
    /// Agents by name, beside those that a worker finds by itself.
    #[serde(default)]
    pub(crate) harness: BTreeMap<String, HarnessConfig>,
    /// Where each value comes from.
    #[serde(skip)]
    origins: BTreeMap<String, Origin>,
}

/// The server.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ServerConfig {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// The PostgreSQL to use instead of the embedded one.
    pub(crate) database_url: Option<Secret>,
    /// The same database with a role that owns the schema.
    pub(crate) migrate_database_url: Option<Secret>,
    /// How logs are written.
    pub(crate) log_format: LogFormat,
    /// How long a worker may be silent.
    pub(crate) lease_seconds: u32,
    /// How long a token counts.
    pub(crate) token_ttl_seconds: u32,
}

/// How server and worker write their logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The embedded PostgreSQL.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PostgresConfig {
    /// Where its programs are.
    pub(crate) bin_dir: Option<PathBuf>,
    /// Where Eve's own copy of them is, or goes after a download.
    pub(crate) runtime_dir: PathBuf,
    /// The system user that it runs as when Eve runs as root.
    pub(crate) user: Option<String>,
}

/// The worker.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct WorkerConfig {
    /// The server that it takes work from.
    pub(crate) server_url: Option<String>,
    /// The file with its key.
    pub(crate) key_file: Option<PathBuf>,
    /// The worker types that it serves; `*` stands for all.
    pub(crate) types: Vec<String>,
    /// How many agents it runs at once.
    pub(crate) slots: u32,
    /// The account that its agents are signed in with, where a concurrency limit shall count by it.
    pub(crate) account: Option<String>,
    /// Whether requests may name repositories by a path on its host.
    pub(crate) allow_local_repositories: bool,
}

/// How requests wait.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueueConfig {
    /// Waiting that makes a request one level more urgent; 0 for never.
    pub(crate) ageing_minutes: u32,
}

/// How many attempts run at once in the whole installation.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsConfig {
    /// By worker type.
    pub(crate) worker_types: BTreeMap<String, u32>,
    /// By the agent that requests or worker types name.
    pub(crate) services: BTreeMap<String, u32>,
    /// By the account that workers name.
    pub(crate) accounts: BTreeMap<String, u32>,
}

/// How many days things are kept.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RetentionConfig {
    /// Finished requests and their results.
    pub(crate) requests_days: u32,
    /// Logs of finished requests.
    pub(crate) logs_days: u32,
    /// Events.
    pub(crate) events_days: u32,
}

/// The protocol that an agent's program speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HarnessProtocol {
    /// Claude Code's, and that of its variants.
    ClaudeCode,
    /// Codex's.
    Codex,
    /// None: the prompt is a script.
    Command,
}

/// An agent.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct HarnessConfig {
    /// The protocol that it speaks.
    pub(crate) kind: HarnessProtocol,
    /// Its program; the one that the protocol is named after when nothing is said.
    pub(crate) program: Option<String>,
    /// Variables that are set for it.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Names of the worker's own variables that it may see.
    #[serde(default)]
    pub(crate) pass_env: Vec<String>,
    /// Where it reaches its model.
    pub(crate) gateway_url: Option<String>,
}

/// What the configuration is put together from.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    /// The file that was named, if one was.
    pub(crate) file: Option<PathBuf>,
    /// The process's variables.
    pub(crate) variables: Vec<(OsString, OsString)>,
    /// What the flags say.
    pub(crate) flags: Vec<FlagValue>,
    /// What the host is like.
    pub(crate) host: Host,
}

impl Sources {
    /// The sources of this process.
    pub(crate) fn of_process(file: Option<PathBuf>, flags: Vec<FlagValue>) -> Self {
        Self { file, variables: std::env::vars_os().collect(), flags, host: Host::this() }
    }

    /// The configuration file: the one that was named, or the user's.
    pub(crate) fn path(&self) -> PathBuf {
        self.file.clone().unwrap_or_else(|| self.host.config_home.join("eve").join("config.toml"))
    }

    /// All layers, checked and merged.
    ///
    /// # Errors
    /// Of kind `Usage`, naming the file, variable or flag that is wrong.
    pub(crate) fn layers(&self) -> Result<Layers, CliError> {
        let mut layers = Layers::default();
        layers.add_defaults()?;
        let path = self.path();
        if let Some(text) = read_if_there(&path)? {
            layers.add_file(&path, &text)?;
        } else if self.file.is_some() {
            return Err(CliError::usage(format!("there is no configuration file {}", path.display())));
        }
        layers.add_environment(&self.variables)?;
        layers.add_flags(&self.flags)?;
        self.host.complete(&mut layers)?;
        Ok(layers)
    }

    /// The configuration.
    ///
    /// # Errors
    /// As [`Sources::layers`].
    pub(crate) fn load(&self) -> Result<Config, CliError> {
        Config::from_layers(&self.layers()?)
    }
}

impl Config {
    /// The typed form of checked layers.
    fn from_layers(layers: &Layers) -> Result<Self, CliError> {
        let table = Value::Table(layers.to_table());
        let mut config: Self = table.try_into().map_err(|error: toml::de::Error| CliError::usage(error.message()))?;
        config.api_url.truncate(config.api_url.trim_end_matches('/').len());
        config.origins = layers.iter().map(|(key, entry)| (key.to_owned(), entry.origin.clone())).collect();
        Ok(config)
    }

    /// Where a setting's value comes from.
    pub(crate) fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }
}

/// The text of a file, or nothing if there is no such file.
fn read_if_there(path: &Path) -> Result<Option<String>, CliError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => {
            Err(CliError::caused(crate::error::ErrorKind::Usage, format!("cannot read {}", path.display()), error))
        }
    }
}

#[cfg(test)]
mod tests;
