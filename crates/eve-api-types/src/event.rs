//! Entries of the streams: what happened to requests, and what agents said and did.

use eve_core::AttemptId;
use eve_core::RequestId;
use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Something that happened.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its position in the organization's stream: give it as `Last-Event-ID` to go on after it.
    pub id: String,
    /// What happened, as `noun:verb`.
    pub kind: String,
    /// To which request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub request_id: Option<RequestId>,
    /// In which attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub attempt_id: Option<AttemptId>,
    /// Who did it.
    pub actor: String,
    /// Anything else.
    #[schema(value_type = Object)]
    pub payload: Value,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// One entry of a request's log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LogEntry {
    /// Its position in the request's log, `<attempt>-<number>`: give it as `Last-Event-ID` to go on after it.
    pub id: String,
    /// The attempt.
    #[schema(value_type = String)]
    pub attempt_id: AttemptId,
    /// When the worker saw it.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What it is: an object whose `type` is `text`, `tool_call`, `tool_result`, `usage`, `question`, `session`,
    /// `result`, `retry`, `output`, `notice` or `unrecognised`.
    #[schema(value_type = Object)]
    pub event: Value,
}
