//! Requests: what is asked, and how it stands.

use eve_core::AttemptId;
use eve_core::DependencyPolicy;
use eve_core::OrgId;
use eve_core::ProjectId;
use eve_core::RequestId;
use eve_core::UserId;
use eve_core::WorkerId;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;
use utoipa::ToSchema;

/// Asks for something to be done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRequest {
    /// Who does it; `general` when nothing is said. `workerType` is accepted too.
    #[serde(default, alias = "workerType", skip_serializing_if = "Option::is_none")]
    pub worker_type: Option<String>,
    /// What to do, in words; for the harness `command`, a script.
    pub prompt: String,
    /// A line for lists and branch names; the start of the prompt when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The repository to work in: a URL, or a path on the worker's host where that is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The branch, tag or commit to start from; the repository's own default when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Handed to the agent as `EVE_CONTEXT` and, for simple values, as `EVE_CONTEXT_<NAME>`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub context: Map<String, Value>,
    /// The project it belongs to. `projectId` is accepted too.
    #[serde(default, alias = "projectId", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub project_id: Option<ProjectId>,
    /// The request that creates it. `parentId` is accepted too.
    #[serde(default, alias = "parentId", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub parent_id: Option<RequestId>,
    /// Where the answer goes. `replyTo` is accepted too.
    #[serde(default, alias = "replyTo", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub reply_to: Option<Value>,
    /// Further settings; `variant` (a harness), `model` and `timeout_ms` are read when the field of that purpose is
    /// absent.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub config: Map<String, Value>,
    /// Whatever the asker wants to find again.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    /// `CRITICAL`, `HIGH`, `MEDIUM` (the default) or `LOW`; the parent's when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// Requests that must be finished first. `blockedBy` is accepted too.
    #[serde(default, alias = "blockedBy", skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub blocked_by: Vec<RequestId>,
    /// What a dependency that did not complete means: `fail` (the default) or `proceed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub on_dependency_failure: Option<DependencyPolicy>,
    /// Not before this time. `runAt` is accepted too.
    #[serde(default, alias = "runAt", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub run_at: Option<Timestamp>,
    /// The harness: `claude`, `codex`, `command`, or the name of a Claude Code variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harness: Option<String>,
    /// The model, as the harness names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Longest run of an attempt, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    /// Attempts that may count before it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u16>,
}

/// How a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestStatus {
    /// A dependency is not finished.
    Blocked,
    /// Needs an approval or a budget.
    Held,
    /// Ready to be claimed, perhaps at a later time.
    Pending,
    /// A worker has it; the agent is not running yet.
    Claimed,
    /// The agent runs.
    Processing,
    /// Waits for its children.
    Waiting,
    /// Waits for a person's answer.
    WaitingInput,
    /// Stopped by a person for now.
    Paused,
    /// Done.
    Completed,
    /// Given up.
    Failed,
    /// Called off.
    Cancelled,
}

impl RequestStatus {
    /// All of them, in the order of a request's life.
    pub const ALL: [Self; 11] = [
        Self::Blocked,
        Self::Held,
        Self::Pending,
        Self::Claimed,
        Self::Processing,
        Self::Waiting,
        Self::WaitingInput,
        Self::Paused,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Held => "held",
            Self::Pending => "pending",
            Self::Claimed => "claimed",
            Self::Processing => "processing",
            Self::Waiting => "waiting",
            Self::WaitingInput => "waiting_input",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen to it.
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// A request.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Request {
    /// Its id.
    #[schema(value_type = String)]
    pub id: RequestId,
    /// Its organization.
    #[schema(value_type = String)]
    pub org_id: OrgId,
    /// Who asked.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// How it stands.
    pub status: RequestStatus,
    /// Why it is held, waiting or failed, as a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether its agent is being stopped on a person's wish.
    #[serde(default)]
    pub stopping: bool,
    /// How urgent it is.
    pub priority: String,
    /// Who does it.
    pub worker_type: String,
    /// A line for lists.
    pub title: String,
    /// What to do.
    pub prompt: String,
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Where the work starts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The harness asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harness: Option<String>,
    /// The model asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub project_id: Option<ProjectId>,
    /// The request that created it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub parent_id: Option<RequestId>,
    /// The request that it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub replay_of: Option<RequestId>,
    /// What it depends on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub blocked_by: Vec<RequestId>,
    /// What a failed dependency means.
    #[schema(value_type = String)]
    pub on_dependency_failure: DependencyPolicy,
    /// Variables for the agent.
    #[schema(value_type = Object)]
    pub context: Value,
    /// Further settings.
    #[schema(value_type = Object)]
    pub config: Value,
    /// Whatever the asker wants to find again.
    #[schema(value_type = Object)]
    pub metadata: Value,
    /// Where the answer goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub reply_to: Option<Value>,
    /// Longest run of an attempt, in seconds, if the request sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i32>,
    /// Attempts that may count.
    pub max_attempts: i32,
    /// Attempts that counted.
    pub attempts_counted: i32,
    /// Attempts in all.
    pub attempts: i64,
    /// The attempt that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub attempt_id: Option<AttemptId>,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When it may be claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub run_at: Option<Timestamp>,
    /// When it was asked.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its agent first started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
}

/// One execution of a request.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// Its id.
    #[schema(value_type = String)]
    pub id: AttemptId,
    /// Which attempt of the request, from 1.
    pub number: i32,
    /// Who ran it.
    #[schema(value_type = String)]
    pub worker_id: WorkerId,
    /// `claimed`, `running`, `settled`, `released` or `expired`.
    pub state: String,
    /// What it ran with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harness: Option<String>,
    /// The model that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The agent's own session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The code of its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// What a person should read about its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The exit code of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Bytes of output that were beyond the limit.
    pub dropped_bytes: i64,
    /// All tokens.
    pub tokens_used: i64,
    /// US dollars, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub cost_usd: Option<Decimal>,
    /// When it was claimed.
    #[schema(value_type = String, format = DateTime)]
    pub claimed_at: Timestamp,
    /// When its agent started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}

/// A request with its attempts.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RequestDetail {
    /// The request.
    #[serde(flatten)]
    pub request: Request,
    /// Its attempts, first to last.
    pub attempt_list: Vec<Attempt>,
}
