//! How the installation stands.

use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

/// What waits for one worker type at one priority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueLane {
    /// The worker type.
    pub worker_type: String,
    /// How urgent.
    pub priority: String,
    /// Ready to be claimed.
    pub ready: i64,
    /// Due later.
    pub delayed: i64,
    /// When the oldest ready one became due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub oldest: Option<Timestamp>,
}

/// How well a part works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ComponentHealth {
    /// As it should.
    Ok,
    /// Something needs attention.
    Warn,
    /// Not at all.
    Fail,
}

/// One of the services that act by themselves.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Seconds between two rounds when nothing nudges it.
    pub period_seconds: f64,
    /// Rounds since the process started.
    pub rounds: u64,
    /// Rounds that failed.
    pub failures: u64,
    /// When the last round ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_round_at: Option<Timestamp>,
    /// What the last round that did something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_action: Option<String>,
    /// Why the last round failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// What an operator wants to know about the database.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DatabaseStatus {
    /// The server's version.
    pub server_version: String,
    /// The role that the process logged in as.
    pub login_role: String,
    /// Whether that role may pass row-level security, which it should not.
    pub login_is_privileged: bool,
    /// Tables of Eve's that the log-in owns, which should be none.
    pub owned_tables: i64,
    /// Tenant tables without forced row-level security, which should be none.
    pub unprotected_tables: Vec<String>,
    /// Age of the oldest snapshot that holds back vacuum, in seconds.
    pub oldest_snapshot_seconds: f64,
    /// Dead rows in the hot tables.
    pub dead_rows: i64,
    /// Whether commits are durable.
    pub durable: bool,
    /// Whether the extension for semantic search can be installed.
    pub vector_available: bool,
}

/// How the installation stands, in one answer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Eve's version.
    pub version: String,
    /// The organization asked about.
    pub org: String,
    /// The database.
    pub database: ComponentHealth,
    /// Workers that are there, and those that should be.
    pub workers_active: i64,
    /// Workers that were lost in the last day.
    pub workers_lost: i64,
    /// Slots of the active workers.
    pub slots: i64,
    /// Live attempts of the organization.
    pub running: i64,
    /// What waits.
    pub queue: Vec<QueueLane>,
    /// Seconds since this server started.
    pub uptime_seconds: u64,
}
