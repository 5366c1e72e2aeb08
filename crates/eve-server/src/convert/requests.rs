//! Requests, attempts and results.

use eve_api_types::Attempt;
use eve_api_types::NewRequest;
use eve_api_types::Request;
use eve_api_types::RequestDetail;
use eve_api_types::RequestResult;
use eve_api_types::RequestStatus;
use eve_core::Priority;
use eve_core::ProjectId;
use eve_core::RequestId;
use eve_core::StateName;
use eve_engine::AttemptRow;
use eve_engine::RequestDraft;
use eve_engine::RequestFilter;
use eve_engine::RequestRow;
use eve_engine::ResultRow;
use serde_json::Value;

use super::worker_type_name;
use crate::error::ApiError;

/// The reason of a waiting request that says that a person is awaited.
pub(super) const ANSWER: &str = "answer";

/// What a caller asks for.
pub(crate) fn request_draft(new: NewRequest) -> Result<RequestDraft, ApiError> {
    let priority = new.priority.as_deref().map(str::parse::<Priority>).transpose();
    Ok(RequestDraft {
        worker_type: new.worker_type,
        prompt: new.prompt,
        title: new.title,
        repository: new.repository,
        branch: new.branch,
        context: Value::Object(new.context),
        config: Value::Object(new.config),
        metadata: Value::Object(new.metadata),
        reply_to: new.reply_to,
        project_id: new.project_id,
        parent_id: new.parent_id,
        replay_of: None,
        priority: priority.map_err(|error| ApiError::invalid(format!("{error}.")))?,
        blocked_by: new.blocked_by,
        on_dependency_failure: new.on_dependency_failure.unwrap_or_default(),
        run_at: new.run_at,
        harness: new.harness,
        model: new.model,
        timeout_seconds: new.timeout_seconds,
        max_attempts: new.max_attempts,
    })
}

/// Statuses joined by commas.
pub(crate) fn statuses(text: &str) -> Result<Vec<RequestStatus>, ApiError> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| {
            RequestStatus::ALL.into_iter().find(|status| status.name() == name).ok_or_else(|| {
                let known = RequestStatus::ALL.map(RequestStatus::name).join(", ");
                ApiError::invalid(format!("`{name}` is not a status. There are: {known}."))
            })
        })
        .collect()
}

/// Which requests a caller wants to see.
pub(crate) fn request_filter(
    statuses: &[RequestStatus],
    worker_type: Option<&str>,
    project_id: Option<ProjectId>,
    parent_id: Option<RequestId>,
) -> Result<RequestFilter, ApiError> {
    let worker_type = worker_type.map(worker_type_name).transpose()?;
    let mut states: Vec<StateName> = statuses.iter().map(|status| state(*status)).collect();
    states.sort_unstable();
    states.dedup();
    // Two statuses of the API share a state of the engine's.
    let wants = |status| statuses.contains(&status);
    let (waiting, answer) = (wants(RequestStatus::Waiting), wants(RequestStatus::WaitingInput));
    Ok(RequestFilter {
        states,
        answer: (waiting != answer).then_some(answer),
        worker_type,
        project_id,
        parent_id,
        ..RequestFilter::default()
    })
}

/// How urgent a caller wants something to be.
pub(crate) fn priority(text: &str) -> Result<Priority, ApiError> {
    text.parse().map_err(|error| ApiError::invalid(format!("{error}.")))
}

/// The engine's state under which a status of the API is kept.
const fn state(status: RequestStatus) -> StateName {
    match status {
        RequestStatus::Blocked => StateName::Blocked,
        RequestStatus::Held => StateName::Held,
        RequestStatus::Pending => StateName::Pending,
        RequestStatus::Claimed => StateName::Claimed,
        RequestStatus::Processing => StateName::Processing,
        RequestStatus::Waiting | RequestStatus::WaitingInput => StateName::Waiting,
        RequestStatus::Paused => StateName::Paused,
        RequestStatus::Completed => StateName::Completed,
        RequestStatus::Failed => StateName::Failed,
        RequestStatus::Cancelled => StateName::Cancelled,
    }
}

/// How a request stands, with waiting for a person told apart from other waiting.
pub(super) fn status(state: StateName, reason: Option<&str>) -> RequestStatus {
    match state {
        StateName::Blocked => RequestStatus::Blocked,
        StateName::Held => RequestStatus::Held,
        StateName::Pending => RequestStatus::Pending,
        StateName::Claimed => RequestStatus::Claimed,
        StateName::Processing => RequestStatus::Processing,
        StateName::Waiting if reason == Some(ANSWER) => RequestStatus::WaitingInput,
        StateName::Waiting => RequestStatus::Waiting,
        StateName::Paused => RequestStatus::Paused,
        StateName::Completed => RequestStatus::Completed,
        StateName::Failed => RequestStatus::Failed,
        StateName::Cancelled => RequestStatus::Cancelled,
    }
}

/// A request.
pub(crate) fn request(row: RequestRow) -> Request {
    Request {
        id: row.id,
        org_id: row.org_id,
        user_id: row.user_id,
        status: status(row.state, row.reason.as_deref()),
        reason: row.reason,
        stopping: row.stop.is_some(),
        priority: row.priority.name().to_owned(),
        worker_type: row.worker_type,
        title: row.title,
        prompt: row.prompt,
        repository: row.repository,
        branch: row.branch,
        harness: row.harness,
        model: row.model,
        project_id: row.project_id,
        parent_id: row.parent_id,
        replay_of: row.replay_of,
        blocked_by: row.blocked_by,
        on_dependency_failure: row.on_dependency_failure,
        context: row.context,
        config: row.config,
        metadata: row.metadata,
        reply_to: row.reply_to,
        timeout_seconds: row.timeout_seconds,
        max_attempts: row.max_attempts,
        attempts_counted: i32::from(row.burned),
        // Each claim moves the fence by one.
        attempts: row.fence,
        attempt_id: row.attempt_id,
        last_error: row.last_error,
        run_at: row.run_at,
        created_at: row.created_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
    }
}

/// A request with its attempts.
pub(crate) fn request_detail(row: RequestRow, attempts: Vec<AttemptRow>) -> RequestDetail {
    RequestDetail { request: request(row), attempt_list: attempts.into_iter().map(attempt).collect() }
}

fn attempt(row: AttemptRow) -> Attempt {
    Attempt {
        id: row.id,
        number: row.number,
        worker_id: row.worker_id,
        state: row.state.name().to_owned(),
        harness: row.harness,
        model: row.model,
        session_id: row.session_id,
        error_code: row.failure_class,
        message: row.message,
        exit_code: row.exit_code,
        dropped_bytes: row.dropped_bytes,
        tokens_used: row.tokens,
        // The database pads it with zeros.
        cost_usd: row.cost_usd.map(|cost| cost.normalize()),
        claimed_at: row.claimed_at,
        started_at: row.started_at,
        ended_at: row.ended_at,
    }
}

/// What came of a request.
pub(crate) fn result(row: ResultRow) -> RequestResult {
    let tokens = [row.input_tokens, row.output_tokens, row.cache_read_tokens, row.cache_write_tokens];
    RequestResult {
        request_id: row.request_id,
        attempt_id: row.attempt_id,
        status: row.status,
        output: row.output,
        summary: row.summary,
        branch: row.branch,
        commit: row.commit_id,
        base_commit: row.base_commit_id,
        pull_request: row.pull_request,
        files_changed: row.files_changed,
        duration_ms: row.duration_ms,
        model: row.model,
        input_tokens: row.input_tokens,
        output_tokens: row.output_tokens,
        cache_read_tokens: row.cache_read_tokens,
        cache_write_tokens: row.cache_write_tokens,
        tokens_used: tokens.into_iter().fold(0, i64::saturating_add),
        // The database pads it with zeros.
        cost_usd: row.cost_usd.map(|cost| cost.normalize()),
        cost_basis: row.cost_basis,
        error: row.error,
        error_code: row.error_code,
        created_at: row.created_at,
    }
}
