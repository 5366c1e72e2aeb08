//! Writing what was decided: the new state and every effect, in one transaction.

use eve_core::AttemptId;
use eve_core::AttemptReport;
use eve_core::Effect;
use eve_core::FailureClass;
use eve_core::OrgId;
use eve_core::Outcome;
use eve_core::Refused;
use eve_core::RequestEvent;
use eve_core::RequestId;
use eve_core::RequestState;
use eve_core::ResultStatus;
use eve_core::StopKind;
use eve_core::Transition;
use eve_store::StoreError;
use eve_store::Tx;
use eve_store::attempt;
use eve_store::dependency;
use eve_store::event;
use eve_store::event::NewEvent;
use eve_store::lease;
use eve_store::queue;
use eve_store::request;
use eve_store::request::LockedRequest;
use eve_store::result;
use eve_store::result::ResultError;

use crate::Topic;
use crate::clock;

/// Most dependants that are freed in the transaction that finishes a request; the reconciler frees the rest.
const FREE_BATCH: i64 = 100;

/// Who caused a change, and what an attempt said about it.
pub(crate) struct Cause<'a> {
    pub(crate) actor: &'a str,
    pub(crate) report: Option<&'a AttemptReport>,
}

/// Requests whose dependants are still to be looked at in this transaction, and topics to wake after it.
#[derive(Default)]
pub(crate) struct Aftermath {
    finished: Vec<(OrgId, RequestId)>,
    pub(crate) topics: Vec<Topic>,
}

/// Writes a transition of a locked request.
pub(crate) async fn write(
    tx: &mut impl Tx,
    locked: &LockedRequest,
    transition: &Transition,
    cause: &Cause<'_>,
    aftermath: &mut Aftermath,
) -> Result<(), StoreError> {
    let (org, id) = (locked.org_id, locked.id);
    let life = &transition.life;
    let attempt_id = locked.life.state.live_attempt();
    request::request_life_save(tx, locked, life).await?;
    if let Some(Outcome::Failed { message, .. }) = cause.report.map(|report| &report.outcome) {
        request::request_error_note(tx, org, id, message).await?;
    }
    for effect in &transition.effects {
        match effect {
            Effect::Enqueue { run_at } => {
                queue::queue_add(tx, locked, *run_at).await?;
                aftermath.topics.push(Topic::Queue(locked.worker_type.clone()));
            }
            Effect::Dequeue => queue::queue_remove(tx, locked).await?,
            Effect::StopAttempt(attempt) => {
                lease::lease_stop(tx, *attempt, life.stop.unwrap_or(StopKind::Cancel)).await?;
                aftermath.topics.push(Topic::Stop(*attempt));
            }
            Effect::EndAttempt { attempt, state } => {
                lease::lease_end(tx, *attempt).await?;
                attempt::attempt_end(tx, org, *attempt, *state, cause.report).await?;
            }
            Effect::WriteResult(status) => {
                write_result(tx, locked, transition, *status, attempt_id, cause.report).await?;
            }
            Effect::FreeDependants => aftermath.finished.push((org, id)),
            Effect::Emit(kind) => {
                let payload = serde_json::json!({
                    "worker_type": locked.worker_type,
                    "status": life.state.name().name(),
                });
                let new = NewEvent { org, kind, request_id: Some(id), attempt_id, actor: cause.actor, payload };
                event::event_append(tx, new).await?;
            }
        }
    }
    aftermath.topics.extend([Topic::Events(org), Topic::Request(id)]);
    Ok(())
}

async fn write_result(
    tx: &mut impl Tx,
    locked: &LockedRequest,
    transition: &Transition,
    status: ResultStatus,
    attempt_id: Option<AttemptId>,
    report: Option<&AttemptReport>,
) -> Result<(), StoreError> {
    let error = match transition.life.state {
        RequestState::Failed(class) => {
            let said = match report.map(|report| &report.outcome) {
                Some(Outcome::Failed { message, .. }) => message.clone(),
                Some(Outcome::Succeeded { .. } | Outcome::NeedsInput { .. } | Outcome::Cancelled) | None => {
                    explain(class).to_owned()
                }
            };
            Some(ResultError { code: class.code().to_owned(), message: said })
        }
        RequestState::Blocked
        | RequestState::Held(_)
        | RequestState::Pending { .. }
        | RequestState::Claimed { .. }
        | RequestState::Processing { .. }
        | RequestState::Waiting(_)
        | RequestState::Paused
        | RequestState::Completed
        | RequestState::Cancelled => None,
    };
    result::result_write(tx, locked.org_id, locked.id, attempt_id, status, report, error.as_ref()).await
}

/// Why a request failed that no attempt reported on.
const fn explain(class: FailureClass) -> &'static str {
    match class {
        FailureClass::DependencyFailed => "A request that this one depends on did not complete.",
        FailureClass::Quarantined => "Its workers were lost too many times in a row, so it is kept away from others.",
        FailureClass::WorkerLost => "Its worker was lost.",
        FailureClass::AgentFailed
        | FailureClass::NoResult
        | FailureClass::Idle
        | FailureClass::Timeout
        | FailureClass::Authentication
        | FailureClass::Billing
        | FailureClass::RateLimited
        | FailureClass::ProviderUnavailable
        | FailureClass::InvalidModelRequest
        | FailureClass::ContextTooLong
        | FailureClass::HarnessUnavailable
        | FailureClass::RepositoryUnavailable
        | FailureClass::RepositoryRefused
        | FailureClass::HandOverFailed
        | FailureClass::SandboxRefused
        | FailureClass::Drained
        | FailureClass::DiskFull => "The attempt failed.",
    }
}

/// Frees what waited for the requests that this transaction finished, and what waited for those in turn.
///
/// Dependants are locked in the order of their ids, so two finishing requests cannot lock each other out. What is
/// beyond the batch is left to the reconciler.
pub(crate) async fn free_dependants(tx: &mut impl Tx, aftermath: &mut Aftermath) -> Result<(), StoreError> {
    let mut budget = FREE_BATCH;
    while let Some((org, finished)) = aftermath.finished.pop() {
        if budget <= 0 {
            break;
        }
        let dependants = dependency::dependency_dependants(tx, org, finished, budget).await?;
        for id in dependants {
            budget -= 1;
            release(tx, org, id, aftermath).await?;
        }
    }
    Ok(())
}

/// Frees, fails or leaves one blocked request, as its dependencies stand.
pub(crate) async fn release(
    tx: &mut impl Tx,
    org: OrgId,
    id: RequestId,
    aftermath: &mut Aftermath,
) -> Result<bool, StoreError> {
    let Some(locked) = request::request_life_lock(tx, org, id).await? else { return Ok(false) };
    let blockers = dependency::dependency_blockers(tx, org, id).await?;
    let event = RequestEvent::DependencyFinished(blockers);
    match locked.life.apply(&event, locked.now, clock::jitter()) {
        Ok(transition) => {
            let cause = Cause { actor: "platform", report: None };
            write(tx, &locked, &transition, &cause, aftermath).await?;
            Ok(true)
        }
        Err(Refused::WrongState { .. } | Refused::Finished(_) | Refused::Stale { .. }) => Ok(false),
    }
}
