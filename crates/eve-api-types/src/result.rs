//! What came of a request.

use eve_core::AttemptId;
use eve_core::RequestId;
use eve_core::ResultStatus;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// The result of a request: written once, when it is finished.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RequestResult {
    /// The request.
    #[schema(value_type = String)]
    pub request_id: RequestId,
    /// The attempt that finished it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub attempt_id: Option<AttemptId>,
    /// `success`, `error`, `partial`, `timeout`, `needs_input` or `cancelled`.
    #[schema(value_type = String)]
    pub status: ResultStatus,
    /// The answer, as structured as the harness could make it.
    #[schema(value_type = Object)]
    pub output: Value,
    /// The answer in a few words.
    pub summary: String,
    /// The branch that holds the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit at its tip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The commit it started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_commit: Option<String>,
    /// The address of the pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<String>,
    /// Number of files that differ.
    pub files_changed: i32,
    /// From the agent's start to its end, in milliseconds.
    pub duration_ms: i64,
    /// The model that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Tokens read, without those from a cache.
    pub input_tokens: i64,
    /// Tokens written.
    pub output_tokens: i64,
    /// Tokens read from a cache.
    pub cache_read_tokens: i64,
    /// Tokens written to a cache.
    pub cache_write_tokens: i64,
    /// All tokens.
    pub tokens_used: i64,
    /// US dollars; absent when nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub cost_usd: Option<Decimal>,
    /// How the cost is known: `observed`, `priced` or `estimated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_basis: Option<String>,
    /// What went wrong, and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its stable code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}
