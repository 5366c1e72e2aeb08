//! The control plane as a call, for a worker in the server's own process.

use std::time::Duration;

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
use eve_engine::Engine;
use eve_engine::ErrorKind;
use eve_engine::WorkerContext;
use eve_server::wire;
use eve_worker::control_plane::ControlPlane;
use eve_worker::control_plane::PlaneError;

/// Calls the engine.
#[derive(Clone)]
pub(crate) struct InProcess {
    engine: Engine,
    context: WorkerContext,
}

impl InProcess {
    /// For this engine.
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine, context: WorkerContext::in_process() }
    }
}

fn plane_error(error: eve_engine::Error) -> PlaneError {
    match error.kind {
        ErrorKind::Stale => PlaneError::Stale,
        ErrorKind::Unavailable | ErrorKind::Internal => PlaneError::Unavailable(error.message),
        ErrorKind::Invalid
        | ErrorKind::InvalidWorkerType
        | ErrorKind::Unauthenticated
        | ErrorKind::Forbidden
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::IdempotencyConflict => PlaneError::Refused(error.message),
    }
}

#[async_trait::async_trait]
impl ControlPlane for InProcess {
    async fn worker_register(&self, request: &RegisterRequest) -> Result<RegisterAnswer, PlaneError> {
        let new = wire::new_worker(request.clone());
        let id = self.engine.worker_register(&self.context, &new).await.map_err(plane_error)?;
        Ok(wire::register_answer(id, self.engine.lease_terms()))
    }

    async fn queue_claim(&self, request: &ClaimRequest) -> Result<ClaimAnswer, PlaneError> {
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let wait = Duration::from_millis(request.wait_ms);
        let claims = self
            .engine
            .queue_claim(&self.context, request.worker_id, &request.worker_types, limit, wait)
            .await
            .map_err(plane_error)?;
        Ok(ClaimAnswer { assignments: claims.into_iter().map(wire::assignment).collect() })
    }

    async fn worker_heartbeat(
        &self,
        request: &HeartbeatRequest,
        wait: Duration,
    ) -> Result<HeartbeatAnswer, PlaneError> {
        let (state, attempts) = (wire::worker_state(request.state), wire::fenced_all(&request.attempts));
        let signals = self
            .engine
            .worker_heartbeat(&self.context, request.worker_id, state, &attempts, wait)
            .await
            .map_err(plane_error)?;
        Ok(HeartbeatAnswer { signals: signals.into_iter().map(wire::signal).collect() })
    }

    async fn attempt_start(&self, request: &StartRequest) -> Result<(), PlaneError> {
        let attempt = wire::fenced(request.attempt);
        self.engine.attempt_start(&self.context, attempt, &request.harness).await.map_err(plane_error)
    }

    async fn attempt_log_append(&self, request: &AppendEntries) -> Result<(), PlaneError> {
        let entries = wire::log_lines(request.entries.clone());
        let attempt = wire::fenced(request.attempt);
        self.engine.attempt_log_append(&self.context, attempt, &entries).await.map_err(plane_error)
    }

    async fn attempt_settle(&self, request: &SettleRequest) -> Result<EndAnswer, PlaneError> {
        let settled = self.engine.attempt_settle(&self.context, wire::settlements(request.clone())).await;
        settled.map(wire::end_answer).map_err(plane_error)
    }

    async fn attempt_release(&self, request: &ReleaseRequest) -> Result<EndAnswer, PlaneError> {
        let released = self.engine.attempt_release(&self.context, &wire::fenced_all(&request.attempts)).await;
        released.map(wire::end_answer).map_err(plane_error)
    }
}
