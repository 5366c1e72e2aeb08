//! Worker types: who does a request.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use utoipa::ToSchema;

fn default_timeout() -> u32 {
    1800
}

fn default_idle_timeout() -> u32 {
    600
}

fn default_max_attempts() -> u16 {
    3
}

/// A worker type of an organization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerType {
    /// Its name: lower-case letters, digits and hyphens.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// What it can do, in words that agents and people search for.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// The skills attached to it, as Markdown that the agent gets with every request.
    #[serde(default)]
    pub instructions: String,
    /// The harness it prefers; the worker's best one when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harness: Option<String>,
    /// The model it prefers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The container image it runs in, where workers use one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Longest run of an attempt, in seconds.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: u32,
    /// Longest silence of an agent, in seconds.
    #[serde(default = "default_idle_timeout")]
    pub idle_timeout_seconds: u32,
    /// Attempts that may count.
    #[serde(default = "default_max_attempts")]
    pub max_attempts: u16,
    /// Anything else.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub config: Map<String, Value>,
}
