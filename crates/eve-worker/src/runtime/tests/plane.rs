//! A control plane in memory, which writes down what it heard.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::time::Duration;

use eve_api_types::AppendEntries;
use eve_api_types::Assignment;
use eve_api_types::AttemptSignal;
use eve_api_types::ClaimAnswer;
use eve_api_types::ClaimRequest;
use eve_api_types::EndAnswer;
use eve_api_types::EndOutcome;
use eve_api_types::FencedAttempt;
use eve_api_types::HeartbeatAnswer;
use eve_api_types::HeartbeatRequest;
use eve_api_types::RegisterAnswer;
use eve_api_types::RegisterRequest;
use eve_api_types::ReleaseRequest;
use eve_api_types::RequestStatus;
use eve_api_types::SettleRequest;
use eve_api_types::StartRequest;
use eve_api_types::WorkerState;
use eve_core::AttemptId;
use eve_core::Fence;
use eve_core::OrgId;
use eve_core::RequestId;
use eve_core::UserId;
use eve_core::WorkerId;
use serde_json::Value;
use uuid::Uuid;

use crate::control_plane::ControlPlane;
use crate::control_plane::PlaneError;

/// Between two looks whether an answer may go.
const PAUSE: Duration = Duration::from_millis(10);

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    /// A heartbeat of this worker was answered.
    Heartbeat(WorkerId),
    /// What the worker said that it does; the answer may still be held.
    State(WorkerState),
    /// The attempts that it named.
    Named(Vec<FencedAttempt>),
    /// Claimed by this worker; the answer may still be held.
    Claimed(WorkerId, FencedAttempt),
    /// The start was acknowledged; the answer may still be held.
    Started(FencedAttempt),
    /// Settled.
    Settled(FencedAttempt),
    /// Given back.
    Released(FencedAttempt),
    /// An end that was not heard.
    Unheard(FencedAttempt),
}

/// What it does not hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Deaf {
    #[default]
    No,
    ToEnds,
    ToHeartbeats,
    ToEndsAndHeartbeats,
    ToAll,
}

/// How it behaves.
#[derive(Default)]
pub(super) struct State {
    pub(super) deaf: Deaf,
    pub(super) hold_starts: bool,
    /// Those that wait.
    pub(super) hold_heartbeats: bool,
    pub(super) hold_claims_of: Option<WorkerId>,
    /// The worker that is alive, unless none was entered yet or it was given up.
    pub(super) known: Option<WorkerId>,
    entered: u128,
    queue: VecDeque<Assignment>,
    calls: Vec<Call>,
}

impl State {
    fn session(&self) -> WorkerId {
        WorkerId::from_uuid(Uuid::from_u128(self.entered))
    }
}

pub(super) struct Plane {
    lease: Duration,
    state: Mutex<State>,
}

impl Plane {
    pub(super) fn new(lease: Duration) -> Self {
        Self { lease, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn reached(&self) -> Result<MutexGuard<'_, State>, PlaneError> {
        let state = self.state();
        if state.deaf == Deaf::ToAll { Err(unavailable()) } else { Ok(state) }
    }

    async fn held(&self, is_held: impl Fn(&State) -> bool) {
        while is_held(&self.state()) {
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// The worker that entered last.
    pub(super) fn session(&self) -> WorkerId {
        self.state().session()
    }

    /// Queues a script.
    pub(super) fn ask(&self, number: u128, prompt: String) -> FencedAttempt {
        let uuid = Uuid::from_u128(number);
        let assignment = Assignment {
            attempt_id: AttemptId::from_uuid(uuid),
            fence: Fence(1),
            number: 1,
            org_id: OrgId::from_uuid(uuid),
            request_id: RequestId::from_uuid(uuid),
            user_id: UserId::from_uuid(uuid),
            project_id: None,
            worker_type: "general".to_owned(),
            title: "a script".to_owned(),
            prompt,
            instructions: String::new(),
            repository: None,
            branch: None,
            context: Value::Null,
            harness: Some("command".to_owned()),
            model: None,
            timeout_seconds: 600,
            idle_timeout_seconds: 600,
            resume_session: None,
        };
        let fenced = fenced(&assignment);
        self.state().queue.push_back(assignment);
        fenced
    }

    fn end(&self, attempts: Vec<FencedAttempt>, call: fn(FencedAttempt) -> Call) -> Result<EndAnswer, PlaneError> {
        let mut state = self.reached()?;
        if matches!(state.deaf, Deaf::ToEnds | Deaf::ToEndsAndHeartbeats) {
            state.calls.extend(attempts.into_iter().map(Call::Unheard));
            return Err(unavailable());
        }
        let ended = EndOutcome::Ended { status: RequestStatus::Pending };
        let outcomes = attempts.iter().map(|_| ended.clone()).collect();
        state.calls.extend(attempts.into_iter().map(call));
        Ok(EndAnswer { outcomes })
    }
}

fn unavailable() -> PlaneError {
    PlaneError::Unavailable("the test says so".to_owned())
}

fn fenced(assignment: &Assignment) -> FencedAttempt {
    let Assignment { request_id, attempt_id, fence, .. } = *assignment;
    FencedAttempt { request_id, attempt_id, fence }
}

#[async_trait::async_trait]
impl ControlPlane for Plane {
    async fn worker_register(&self, _: &RegisterRequest) -> Result<RegisterAnswer, PlaneError> {
        let mut state = self.reached()?;
        state.entered += 1;
        state.known = Some(state.session());
        let lease_ms = u64::try_from(self.lease.as_millis()).unwrap();
        Ok(RegisterAnswer { worker_id: state.session(), lease_ms, heartbeat_ms: lease_ms / 20 })
    }

    async fn queue_claim(&self, request: &ClaimRequest) -> Result<ClaimAnswer, PlaneError> {
        let assignment = loop {
            {
                let mut state = self.reached()?;
                if state.known != Some(request.worker_id) {
                    return Err(PlaneError::Stale);
                }
                if let Some(assignment) = state.queue.pop_front() {
                    state.calls.push(Call::Claimed(request.worker_id, fenced(&assignment)));
                    break assignment;
                }
            }
            tokio::time::sleep(PAUSE).await;
        };
        self.held(|state| state.hold_claims_of == Some(request.worker_id)).await;
        Ok(ClaimAnswer { assignments: vec![assignment] })
    }

    async fn worker_heartbeat(
        &self,
        request: &HeartbeatRequest,
        wait: Duration,
    ) -> Result<HeartbeatAnswer, PlaneError> {
        self.reached()?.calls.push(Call::State(request.state));
        self.held(|state| state.hold_heartbeats && !wait.is_zero()).await;
        let mut state = self.reached()?;
        if matches!(state.deaf, Deaf::ToHeartbeats | Deaf::ToEndsAndHeartbeats) {
            return Err(unavailable());
        }
        if state.known != Some(request.worker_id) {
            return Err(PlaneError::Stale);
        }
        state.calls.push(Call::Heartbeat(request.worker_id));
        state.calls.push(Call::Named(request.attempts.clone()));
        Ok(HeartbeatAnswer { signals: request.attempts.iter().map(|_| AttemptSignal::Continue).collect() })
    }

    async fn attempt_start(&self, request: &StartRequest) -> Result<(), PlaneError> {
        self.reached()?.calls.push(Call::Started(request.attempt));
        self.held(|state| state.hold_starts).await;
        Ok(())
    }

    async fn attempt_log_append(&self, _: &AppendEntries) -> Result<(), PlaneError> {
        self.reached().map(drop)
    }

    async fn attempt_settle(&self, request: &SettleRequest) -> Result<EndAnswer, PlaneError> {
        self.end(request.settlements.iter().map(|settlement| settlement.attempt).collect(), Call::Settled)
    }

    async fn attempt_release(&self, request: &ReleaseRequest) -> Result<EndAnswer, PlaneError> {
        self.end(request.attempts.clone(), Call::Released)
    }
}
