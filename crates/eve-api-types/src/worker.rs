//! The workers' API: claim, heartbeat, log, settle, give back. Every write carries the attempt's fence.

use eve_core::AgentEvent;
use eve_core::AttemptId;
use eve_core::AttemptReport;
use eve_core::Fence;
use eve_core::OrgId;
use eve_core::ProjectId;
use eve_core::RequestId;
use eve_core::UserId;
use eve_core::WorkerId;
use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// An agent CLI that a worker found on its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HarnessInfo {
    /// The name that requests use for it.
    pub name: String,
    /// The adapter: `claude-code`, `codex` or `command`.
    pub kind: String,
    /// The version that the CLI reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether it can reach a model: `yes`, `no` or `unknown`, or `not_needed`.
    pub signed_in: String,
}

/// A worker enters.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RegisterRequest {
    /// Host and process, for people.
    pub name: String,
    /// Eve's version.
    pub version: String,
    /// What it serves.
    pub worker_types: Vec<String>,
    /// The agents it found.
    pub harnesses: Vec<HarnessInfo>,
    /// Attempts it runs at once.
    pub slots: u32,
    /// The account that its agents are signed in with, where a concurrency limit shall count by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// A worker has entered.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RegisterAnswer {
    /// Its id from now on.
    #[schema(value_type = String)]
    pub worker_id: WorkerId,
    /// How long the worker's lease, which all its attempts run under, lasts after a heartbeat, in milliseconds.
    pub lease_ms: u64,
    /// How often to send a heartbeat, in milliseconds.
    pub heartbeat_ms: u64,
}

/// A worker wants work.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ClaimRequest {
    /// The worker.
    #[schema(value_type = String)]
    pub worker_id: WorkerId,
    /// What it serves.
    pub worker_types: Vec<String>,
    /// At most so many.
    pub limit: u32,
    /// How long to wait for some, in milliseconds.
    pub wait_ms: u64,
}

/// Work for a worker; none if the wait was in vain.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ClaimAnswer {
    /// The work, most urgent first.
    pub assignments: Vec<Assignment>,
}

/// A request in a worker's hands.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Assignment {
    /// The attempt that this makes.
    #[schema(value_type = String)]
    pub attempt_id: AttemptId,
    /// Its fence.
    #[schema(value_type = i64)]
    pub fence: Fence,
    /// Which attempt of the request this is, from 1.
    pub number: i64,
    /// The organization.
    #[schema(value_type = String)]
    pub org_id: OrgId,
    /// The request.
    #[schema(value_type = String)]
    pub request_id: RequestId,
    /// Who asked.
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// The project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub project_id: Option<ProjectId>,
    /// Who does it.
    pub worker_type: String,
    /// A line for branch names.
    pub title: String,
    /// What to do.
    pub prompt: String,
    /// The skills of the worker type.
    pub instructions: String,
    /// The repository to work in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The branch or commit to start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Variables for the agent.
    #[schema(value_type = Object)]
    pub context: Value,
    /// The harness to use; the worker's best one when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harness: Option<String>,
    /// The model to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Longest run, in seconds.
    pub timeout_seconds: u32,
    /// Longest silence, in seconds.
    pub idle_timeout_seconds: u32,
    /// The agent's session of an earlier attempt, to go on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_session: Option<String>,
}

/// Names an attempt and proves the right to write for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FencedAttempt {
    /// The request.
    #[schema(value_type = String)]
    pub request_id: RequestId,
    /// The attempt.
    #[schema(value_type = String)]
    pub attempt_id: AttemptId,
    /// Its fence.
    #[schema(value_type = i64)]
    pub fence: Fence,
}

/// The agent is about to run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StartRequest {
    /// The attempt.
    #[serde(flatten)]
    pub attempt: FencedAttempt,
    /// What it runs with.
    pub harness: String,
}

/// How a worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// Takes work.
    Active,
    /// Finishes what it has.
    Draining,
    /// Gone.
    Stopped,
}

/// A worker says that it and its attempts are alive.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HeartbeatRequest {
    /// The worker.
    #[schema(value_type = String)]
    pub worker_id: WorkerId,
    /// How it stands.
    pub state: WorkerState,
    /// Its live attempts.
    pub attempts: Vec<FencedAttempt>,
}

/// What a heartbeat learns about an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttemptSignal {
    /// Go on.
    Continue,
    /// Stop the agent: the request was cancelled or paused.
    Stop,
    /// The lease is gone: kill the agent, and write nothing more.
    Lost,
}

/// The answer to a heartbeat: one signal for each attempt, in order.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HeartbeatAnswer {
    /// One for each attempt sent.
    pub signals: Vec<AttemptSignal>,
}

/// One line of an attempt's log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// Its number within the attempt, from 1 without gaps.
    pub seq: i64,
    /// When the worker saw it.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What it is.
    #[schema(value_type = Object)]
    pub event: AgentEvent,
}

/// Lines for the log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AppendEntries {
    /// The attempt.
    #[serde(flatten)]
    pub attempt: FencedAttempt,
    /// The lines.
    pub entries: Vec<LogLine>,
}

/// An attempt is over.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Settlement {
    /// The attempt.
    #[serde(flatten)]
    pub attempt: FencedAttempt,
    /// What came of it.
    #[schema(value_type = Object)]
    pub report: AttemptReport,
}

/// Attempts are over: 500 at most.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct SettleRequest {
    /// Each with its report.
    pub settlements: Vec<Settlement>,
}

/// A worker gives requests back unfinished: 500 at most.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ReleaseRequest {
    /// The attempts.
    pub attempts: Vec<FencedAttempt>,
}

/// What ending one attempt led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum EndOutcome {
    /// It is written, now or by an earlier call whose answer was lost.
    Ended {
        /// How the request stands now.
        status: crate::RequestStatus,
    },
    /// The lease was given away: nothing is written.
    Stale,
    /// Nothing is written, but it may be if it is sent again.
    Unavailable {
        /// What a person should read.
        detail: String,
    },
    /// Nothing is written, and never will be.
    Refused {
        /// What a person should read.
        detail: String,
    },
}

/// The answer to ending attempts: one outcome for each, in order.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct EndAnswer {
    /// One for each attempt sent.
    pub outcomes: Vec<EndOutcome>,
}

/// A worker as people see it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Worker {
    /// Its id.
    #[schema(value_type = String)]
    pub id: WorkerId,
    /// Host and process.
    pub name: String,
    /// Eve's version.
    pub version: String,
    /// `active`, `draining`, `stopped` or `lost`.
    pub state: String,
    /// What it serves.
    pub worker_types: Vec<String>,
    /// The agents it found.
    pub harnesses: Vec<HarnessInfo>,
    /// Attempts it runs at once.
    pub slots: i32,
    /// Attempts that it runs now for the asking organization.
    pub running: i64,
    /// When it started.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it was last heard of.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen_at: Timestamp,
}

/// An attempt that a worker ran.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkerAttempt {
    /// The attempt.
    #[schema(value_type = String)]
    pub attempt_id: AttemptId,
    /// Its request.
    #[schema(value_type = String)]
    pub request_id: RequestId,
    /// The request's title.
    pub title: String,
    /// Where the attempt stands.
    pub state: String,
    /// The code of its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// When it was claimed.
    #[schema(value_type = String, format = DateTime)]
    pub claimed_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}
