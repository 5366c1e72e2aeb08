//! The workers' API: claim, heartbeat, log, settle, give back. The fence in each write is checked by the engine.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use eve_api_types::AppendEntries;
use eve_api_types::ClaimAnswer;
use eve_api_types::ClaimRequest;
use eve_api_types::EndAnswer;
use eve_api_types::HeartbeatAnswer;
use eve_api_types::HeartbeatRequest;
use eve_api_types::RegisterAnswer;
use eve_api_types::RegisterRequest;
use eve_api_types::ReleaseRequest;
use eve_api_types::SettleRequest;
use eve_api_types::StartRequest;
use eve_engine::WorkerContext;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::App;
use crate::convert;
use crate::error::ApiError;
use crate::extract::Json;
use crate::extract::Query;
use crate::extract::Shutdown;

/// Enters a worker.
#[utoipa::path(
    post,
    path = "/register",
    tag = "worker API",
    request_body = RegisterRequest,
    responses((status = 200, body = RegisterAnswer))
)]
pub(crate) async fn worker_register(
    State(app): State<App>,
    ctx: WorkerContext,
    Json(request): Json<RegisterRequest>,
) -> Result<Json<RegisterAnswer>, ApiError> {
    let id = app.engine.worker_register(&ctx, &convert::new_worker(request)).await?;
    Ok(Json(convert::register_answer(id, app.engine.lease_terms())))
}

/// Takes work, waiting for some.
///
/// Each assignment comes with a lease that heartbeats extend, and a fence that every write of its attempt carries.
#[utoipa::path(
    post,
    path = "/claim",
    tag = "worker API",
    request_body = ClaimRequest,
    responses((status = 200, body = ClaimAnswer))
)]
pub(crate) async fn queue_claim(
    State(app): State<App>,
    ctx: WorkerContext,
    Shutdown(stop): Shutdown,
    Json(request): Json<ClaimRequest>,
) -> Result<Json<ClaimAnswer>, ApiError> {
    let ClaimRequest { worker_id, worker_types, limit, wait_ms } = request;
    let (limit, wait) = (usize::try_from(limit).unwrap_or(usize::MAX), Duration::from_millis(wait_ms));
    let claims = app.engine.queue_claim_until(&ctx, worker_id, &worker_types, limit, wait, &stop).await?;
    Ok(Json(ClaimAnswer { assignments: claims.into_iter().map(convert::assignment).collect() }))
}

/// How to answer a heartbeat.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HeartbeatQuery {
    /// How long to wait for a reason to stop one of the attempts, in milliseconds.
    #[serde(default)]
    wait_ms: u64,
}

/// Says that a worker and its attempts are alive, which extends its lease.
///
/// A worker that was silent for longer than its lease is given up: it gets `stale_fence`, has lost all its attempts, and
/// enters anew.
///
/// Answers at once if one of them is to stop, and otherwise when there is news or the wait is over.
#[utoipa::path(
    post,
    path = "/heartbeat",
    tag = "worker API",
    params(HeartbeatQuery),
    request_body = HeartbeatRequest,
    responses((status = 200, body = HeartbeatAnswer))
)]
pub(crate) async fn worker_heartbeat(
    State(app): State<App>,
    ctx: WorkerContext,
    Shutdown(stop): Shutdown,
    Query(query): Query<HeartbeatQuery>,
    Json(request): Json<HeartbeatRequest>,
) -> Result<Json<HeartbeatAnswer>, ApiError> {
    let (state, attempts) = (convert::worker_state(request.state), convert::fenced_all(&request.attempts));
    let beat = |wait| app.engine.worker_heartbeat(&ctx, request.worker_id, state, &attempts, wait);
    let signals = tokio::select! {
        signals = beat(Duration::from_millis(query.wait_ms)) => signals?,
        // Heartbeats may be repeated, so the wait is cut short and the answer is still a true one.
        () = stop.cancelled() => beat(Duration::ZERO).await?,
    };
    Ok(Json(HeartbeatAnswer { signals: signals.into_iter().map(convert::signal).collect() }))
}

/// Says that the agent is about to run.
#[utoipa::path(
    post,
    path = "/attempts/start",
    tag = "worker API",
    request_body = StartRequest,
    responses((status = 204, description = "Noted."))
)]
pub(crate) async fn attempt_start(
    State(app): State<App>,
    ctx: WorkerContext,
    Json(StartRequest { attempt, harness }): Json<StartRequest>,
) -> Result<StatusCode, ApiError> {
    app.engine.attempt_start(&ctx, convert::fenced(attempt), &harness).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Appends to an attempt's log. Entries that are there already stay as they are.
#[utoipa::path(
    post,
    path = "/attempts/log",
    tag = "worker API",
    request_body = AppendEntries,
    responses((status = 204, description = "All of them are in the log."))
)]
pub(crate) async fn attempt_log_append(
    State(app): State<App>,
    ctx: WorkerContext,
    Json(AppendEntries { attempt, entries }): Json<AppendEntries>,
) -> Result<StatusCode, ApiError> {
    let entries = convert::log_lines(entries);
    app.engine.attempt_log_append(&ctx, convert::fenced(attempt), &entries).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reports that attempts are over. Result, state and everything that follows are written at once, for each attempt all
/// of it or nothing.
///
/// A report may be sent again when its answer was lost: it is written once.
#[utoipa::path(
    post,
    path = "/attempts/settle",
    tag = "worker API",
    request_body = SettleRequest,
    responses((status = 200, body = EndAnswer))
)]
pub(crate) async fn attempt_settle(
    State(app): State<App>,
    ctx: WorkerContext,
    Json(request): Json<SettleRequest>,
) -> Result<Json<EndAnswer>, ApiError> {
    let answers = app.engine.attempt_settle(&ctx, convert::settlements(request)).await?;
    Ok(Json(convert::end_answer(answers)))
}

/// Gives requests back unfinished, which costs them no attempt.
#[utoipa::path(
    post,
    path = "/attempts/release",
    tag = "worker API",
    request_body = ReleaseRequest,
    responses((status = 200, body = EndAnswer))
)]
pub(crate) async fn attempt_release(
    State(app): State<App>,
    ctx: WorkerContext,
    Json(request): Json<ReleaseRequest>,
) -> Result<Json<EndAnswer>, ApiError> {
    let answers = app.engine.attempt_release(&ctx, &convert::fenced_all(&request.attempts)).await?;
    Ok(Json(convert::end_answer(answers)))
}
