//! Concurrency limits: how many attempts may run at once.

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

/// A concurrency limit, and what runs within it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Limit {
    /// What it counts in: `organization`, `project` or `worker_type`; for the whole installation `worker_type`,
    /// `service` (the agent that a request needs) or `account` (what a worker's agents are signed in with).
    pub scope: String,
    /// Which one: the project's id, or the name; empty for the organization itself.
    pub name: String,
    /// Attempts that may run at once; with 0 nothing runs.
    pub max_running: u32,
    /// Attempts that run now; absent for a limit of the installation, which counts those of others too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<i64>,
    /// Whether it holds for the whole installation. Such a limit is set in the server's configuration.
    pub installation: bool,
}

/// A limit of the organization as it shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitSetting {
    /// What it counts in: `organization`, `project` or `worker_type`.
    pub scope: String,
    /// Which one: the project's id, or the worker type's name; empty for the organization itself.
    #[serde(default)]
    pub name: String,
    /// Attempts that may run at once, up to a million. With 0 nothing runs; null lifts the limit.
    // Named by itself so that a body without it is refused: that would lift a limit by mistake.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required = true)]
    pub max_running: Option<u32>,
}
