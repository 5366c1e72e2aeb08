//! Workers and what they send and get.

use eve_api_types::Assignment;
use eve_api_types::AttemptSignal;
use eve_api_types::EndAnswer;
use eve_api_types::EndOutcome;
use eve_api_types::FencedAttempt;
use eve_api_types::LogLine;
use eve_api_types::RegisterAnswer;
use eve_api_types::RegisterRequest;
use eve_api_types::SettleRequest;
use eve_api_types::Worker;
use eve_api_types::WorkerAttempt;
use eve_api_types::WorkerState;
use eve_core::AttemptReport;
use eve_core::StateName;
use eve_core::WorkerId;
use eve_engine::Claim;
use eve_engine::ErrorKind;
use eve_engine::LeaseTerms;
use eve_engine::LogEntry;
use eve_engine::NewWorker;
use eve_engine::WorkerRow;
use eve_engine::WorkerSignal;

use super::count;
use super::millis;

/// A worker that enters.
pub fn new_worker(request: RegisterRequest) -> NewWorker {
    NewWorker {
        name: request.name,
        version: request.version,
        worker_types: request.worker_types,
        // Plain text in plain structs, which always has a JSON form.
        harnesses: serde_json::to_value(request.harnesses).unwrap_or_default(),
        slots: i32::try_from(request.slots).unwrap_or(i32::MAX),
        account: request.account,
    }
}

/// What a worker that has entered needs to know.
pub fn register_answer(worker_id: WorkerId, lease: LeaseTerms) -> RegisterAnswer {
    RegisterAnswer { worker_id, lease_ms: millis(lease.ttl), heartbeat_ms: millis(lease.heartbeat) }
}

/// A request in a worker's hands.
pub fn assignment(claim: Claim) -> Assignment {
    Assignment {
        attempt_id: claim.attempt_id,
        fence: claim.fence,
        number: claim.fence.0,
        org_id: claim.org_id,
        request_id: claim.request_id,
        user_id: claim.user_id,
        project_id: claim.project_id,
        worker_type: claim.worker_type,
        title: claim.title,
        prompt: claim.prompt,
        instructions: claim.instructions,
        repository: claim.repository,
        branch: claim.branch,
        context: claim.context,
        harness: claim.harness,
        model: claim.model,
        timeout_seconds: count(claim.timeout_seconds),
        idle_timeout_seconds: count(claim.idle_timeout_seconds),
        resume_session: claim.resume_session,
    }
}

/// An attempt as its worker names it.
pub const fn fenced(attempt: FencedAttempt) -> eve_engine::FencedAttempt {
    let FencedAttempt { request_id, attempt_id, fence } = attempt;
    eve_engine::FencedAttempt { request_id, attempt_id, fence }
}

/// The attempts of a heartbeat or a release.
pub fn fenced_all(attempts: &[FencedAttempt]) -> Vec<eve_engine::FencedAttempt> {
    attempts.iter().copied().map(fenced).collect()
}

/// Attempts with their reports.
pub fn settlements(request: SettleRequest) -> Vec<(eve_engine::FencedAttempt, AttemptReport)> {
    request.settlements.into_iter().map(|one| (fenced(one.attempt), one.report)).collect()
}

/// What ending each attempt led to.
pub fn end_answer(answers: Vec<Result<StateName, eve_engine::Error>>) -> EndAnswer {
    let outcome = |answer| match answer {
        // The only waiting for a person that a report leads to is for an answer.
        Ok(state) => EndOutcome::Ended { status: super::requests::status(state, Some(super::requests::ANSWER)) },
        Err(error) => failed_end(error),
    };
    EndAnswer { outcomes: answers.into_iter().map(outcome).collect() }
}

fn failed_end(error: eve_engine::Error) -> EndOutcome {
    match error.kind {
        ErrorKind::Stale => EndOutcome::Stale,
        ErrorKind::Unavailable | ErrorKind::Internal => EndOutcome::Unavailable { detail: error.message },
        ErrorKind::Invalid
        | ErrorKind::InvalidWorkerType
        | ErrorKind::Unauthenticated
        | ErrorKind::Forbidden
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::IdempotencyConflict => EndOutcome::Refused { detail: error.message },
    }
}

/// The name under which a worker's state is kept.
pub const fn worker_state(state: WorkerState) -> &'static str {
    match state {
        WorkerState::Active => "active",
        WorkerState::Draining => "draining",
        WorkerState::Stopped => "stopped",
    }
}

/// What a heartbeat learns.
pub const fn signal(signal: WorkerSignal) -> AttemptSignal {
    match signal {
        WorkerSignal::Continue => AttemptSignal::Continue,
        WorkerSignal::Stop => AttemptSignal::Stop,
        WorkerSignal::Lost => AttemptSignal::Lost,
    }
}

/// Lines for the log.
pub fn log_lines(lines: Vec<LogLine>) -> Vec<LogEntry> {
    lines.into_iter().map(|line| LogEntry { seq: line.seq, at: line.at, event: line.event }).collect()
}

/// A worker as people see it.
pub(crate) fn worker(row: WorkerRow) -> Worker {
    Worker {
        id: row.id,
        name: row.name,
        version: row.version,
        state: row.state,
        worker_types: row.worker_types,
        // A worker of another version may say it differently; that hides its agents but not the worker.
        harnesses: serde_json::from_value(row.harnesses).unwrap_or_default(),
        slots: row.slots,
        running: row.running,
        started_at: row.started_at,
        last_seen_at: row.last_seen_at,
    }
}

/// An attempt that a worker ran.
pub(crate) fn worker_attempt(row: eve_engine::WorkerAttempt) -> WorkerAttempt {
    WorkerAttempt {
        attempt_id: row.attempt_id,
        request_id: row.request_id,
        title: row.title,
        state: row.state,
        error_code: row.failure_class,
        claimed_at: row.claimed_at,
        ended_at: row.ended_at,
    }
}
