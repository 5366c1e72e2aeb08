//! How the installation stands.

use eve_core::OrgId;
use eve_core::RequestId;
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
    /// Ready to be claimed; of one project and agent at most 100,000 are counted.
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
    /// Transactions that began since the oldest of those that hold back vacuum.
    #[serde(default)]
    pub oldest_snapshot_transactions: i64,
    /// Who holds back vacuum, the oldest first; at most ten of each kind.
    #[serde(default)]
    pub holders: Vec<SnapshotHolder>,
    /// Whether the state of other log-ins' connections can be seen.
    #[serde(default)]
    pub sees_others: bool,
    /// Dead rows in the hot tables.
    pub dead_rows: i64,
    /// The tables that every request passes through.
    #[serde(default)]
    pub hot_tables: Vec<HotTable>,
    /// Longest run of one of Eve's own statements in milliseconds; 0 is no limit.
    #[serde(default)]
    pub statement_timeout_ms: i64,
    /// Longest rest inside one of Eve's own transactions in milliseconds; 0 is no limit.
    #[serde(default)]
    pub idle_in_transaction_timeout_ms: i64,
    /// How full PostgreSQL's queue of notifications is, from 0 to 1.
    #[serde(default)]
    pub notification_queue: f64,
    /// Whether commits are durable.
    pub durable: bool,
    /// Whether the extension for semantic search can be installed.
    pub vector_available: bool,
}

/// What holds back the removal of dead rows, and the stream of events behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SnapshotHolder {
    /// `connection`, `prepared_transaction`, `replication_slot` or `standby`.
    pub kind: String,
    /// Its process on the database's host, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Its name: of the application, the prepared transaction, or the slot.
    pub name: String,
    /// The database's user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// What it does, such as `idle in transaction`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// The same in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Transactions that began since; absent when it keeps no rows, only log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transactions: Option<i64>,
    /// The first word of its last statement; of Eve's own, what it begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Bytes of log that it keeps from being removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_log_bytes: Option<i64>,
    /// How to make it let go.
    pub mend: String,
}

/// A table that every request passes through, by PostgreSQL's own estimates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HotTable {
    /// Its name in the schema `eve`.
    pub name: String,
    /// Rows that count.
    pub live_rows: i64,
    /// Rows that do not count any more and are still there.
    pub dead_rows: i64,
    /// Bytes on the disk, with indexes.
    pub bytes: i64,
    /// When it was last vacuumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_vacuum_at: Option<Timestamp>,
    /// Whether it is vacuumed by itself.
    pub autovacuum: bool,
}

/// The oldest that waits for one worker type of one organization at one priority.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueueAge {
    /// The organization.
    pub org: String,
    /// The worker type.
    pub worker_type: String,
    /// How urgent.
    pub priority: String,
    /// The oldest.
    #[schema(value_type = String)]
    pub request_id: RequestId,
    /// When it was asked for, or became due if that was later.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// The same in seconds.
    pub seconds: f64,
}

/// How other processes' news reaches a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListenerStatus {
    /// Whether the listening connection stands.
    pub connected: bool,
    /// How often it had to connect again.
    pub reconnects: u64,
    /// Seconds from before a notification is sent until it is heard, its commit included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<f64>,
}

/// Writes of one kind that were refused for an old fence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StaleWrites {
    /// What was tried.
    pub operation: String,
    /// How often.
    pub count: u64,
}

/// What one server counted since it started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SinceStart {
    /// Writes that were refused for an old fence.
    pub stale_writes: Vec<StaleWrites>,
    /// Leases that ran out and were given away.
    pub takeovers: u64,
    /// Workers that were given up.
    pub workers_lost: u64,
    /// Requests that were quarantined.
    pub quarantined: u64,
}

/// What was lost in the last day in the whole installation, as far as a bounded look shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LastDay {
    /// Workers that were given up.
    pub workers_lost: i64,
    /// Attempts whose lease ran out.
    pub attempts_expired: i64,
    /// Requests that were quarantined.
    pub quarantined: i64,
}

/// What the queue knows about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueueHealth {
    /// The oldest that waits, by organization, worker type and priority; the longest waiting first, at most twenty.
    /// The organization that the installation was founded with sees all, others their own.
    pub oldest: Vec<QueueAge>,
    /// How long the oldest of the organizations waits that are not shown, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others_seconds: Option<f64>,
    /// What was lost lately.
    pub last_day: LastDay,
    /// What this server counted.
    pub since_start: SinceStart,
    /// How other processes' news reaches this server.
    pub listener: ListenerStatus,
}

/// A request that is not in exactly one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MisplacedRequest {
    /// The organization.
    #[schema(value_type = String)]
    pub org_id: OrgId,
    /// The request.
    #[schema(value_type = String)]
    pub request_id: RequestId,
    /// What is wrong, in a sentence.
    pub problem: String,
    /// The tables that hold a row of it.
    pub places: Vec<String>,
}

/// Whether every request is in exactly one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlacesReport {
    /// Rows looked at.
    pub checked: u64,
    /// How many requests are not in exactly one place.
    pub found: u64,
    /// Those of them that the caller may see, at most a hundred.
    pub misplaced: Vec<MisplacedRequest>,
    /// Where a full look goes on; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
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
