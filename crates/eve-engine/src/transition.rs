//! Writing what was decided: new places and every effect, for any number of requests in one transaction.
//!
//! A batch costs one statement for each table that it touches, whether it holds one request or five hundred. Finished
//! requests free their dependants and wake their parents in the same transaction, up to a limit; what is beyond it is
//! left, as a row, to the service that does the rest.

mod priority;

pub(crate) use priority::reprioritise;

use std::collections::BTreeMap;
use std::collections::HashMap;

use eve_core::AttemptReport;
use eve_core::AttemptState;
use eve_core::Blockers;
use eve_core::Effect;
use eve_core::FailureClass;
use eve_core::LaneId;
use eve_core::OrgId;
use eve_core::Outcome;
use eve_core::Place;
use eve_core::Refused;
use eve_core::RequestEvent;
use eve_core::RequestId;
use eve_core::RequestState;
use eve_core::StateName;
use eve_core::StopKind;
use eve_core::Transition;
use eve_core::WaitReason;
use eve_crash::Point;
use eve_store::StoreError;
use eve_store::Tx;
use eve_store::attempt;
use eve_store::attempt::EndedAttempt;
use eve_store::dependency;
use eve_store::dependency::Release;
use eve_store::event;
use eve_store::event::NewEvent;
use eve_store::lease;
use eve_store::parked;
use eve_store::parked::Loosened;
use eve_store::queue;
use eve_store::request;
use eve_store::result;
use eve_store::result::NewResult;
use eve_store::result::ResultError;
use eve_store::standing::LeaseFacts;
use eve_store::standing::Standing;

use crate::Topic;
use crate::clock;

/// Most dependants that are freed in the transaction that finishes a request; the service frees the rest.
const FREE_BATCH: i64 = 500;
/// Longest chain of dependants that fail one after the other in one transaction.
const CASCADE_DEPTH: usize = 8;

/// A decision about one request, and who caused it.
#[derive(Debug)]
pub(crate) struct Decided<'a> {
    pub(crate) before: Standing,
    pub(crate) transition: Transition,
    pub(crate) actor: &'a str,
    pub(crate) report: Option<&'a AttemptReport>,
    /// Whether the statement that read the request took its row out already; otherwise it is locked.
    pub(crate) taken: bool,
}

/// What is to be done after the commit.
#[derive(Debug, Default)]
pub(crate) struct Aftermath {
    /// Who is to be woken.
    pub(crate) topics: Vec<Topic>,
    /// What became ready.
    pub(crate) ready: Vec<Ready>,
    /// What finished, for the counters.
    pub(crate) finished: Vec<(LaneId, StateName)>,
}

/// A request that may be claimed from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) lane: LaneId,
    pub(crate) priority: eve_core::Priority,
    pub(crate) id: RequestId,
}

/// A request that this transaction finishes.
struct Finished {
    org: OrgId,
    id: RequestId,
    parent: Option<RequestId>,
    failed: bool,
}

/// Writes decisions, and everything that follows from them.
pub(crate) async fn write(
    tx: &mut impl Tx,
    decided: Vec<Decided<'_>>,
    aftermath: &mut Aftermath,
) -> Result<(), StoreError> {
    let mut finished = write_batch(tx, decided, aftermath).await?;
    for _ in 0..CASCADE_DEPTH {
        if finished.is_empty() {
            return Ok(());
        }
        let mut next = free_dependants(tx, &finished).await?;
        next.extend(wake_parents(tx, &finished).await?);
        finished = write_batch(tx, next, aftermath).await?;
    }
    // Too long a chain for one transaction: a service goes on with it. Parents do not wait for that.
    let woken = wake_parents(tx, &finished).await?;
    write_batch(tx, woken, aftermath).await?;
    for left in finished {
        dependency::release_add(tx, Release { org_id: left.org, request_id: left.id, failed: left.failed }).await?;
    }
    Ok(())
}

/// Frees the dependants of a request that finished earlier.
pub(crate) async fn release(
    tx: &mut impl Tx,
    release: Release,
    aftermath: &mut Aftermath,
) -> Result<usize, StoreError> {
    let finished = Finished { org: release.org_id, id: release.request_id, parent: None, failed: release.failed };
    let next = free_dependants(tx, &[finished]).await?;
    let freed = next.len();
    write(tx, next, aftermath).await?;
    Ok(freed)
}

async fn write_batch(
    tx: &mut impl Tx,
    decided: Vec<Decided<'_>>,
    aftermath: &mut Aftermath,
) -> Result<Vec<Finished>, StoreError> {
    if decided.is_empty() {
        return Ok(Vec::new());
    }
    leave(tx, &decided).await?;
    eve_crash::pass(Point::TransitionLeft);
    let (mut queued, mut parked, mut open, mut finished) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for one in &decided {
        let before = &one.before;
        let mut after = Standing { life: one.transition.life, lease: None, ..before.clone() };
        aftermath.topics.push(Topic::Request(before.id));
        after.place = after.life.state.place(before.now);
        match after.place {
            Place::Lease => {}
            Place::Queue => {
                aftermath.ready.push(Ready { lane: after.lane, priority: after.priority, id: after.id });
                queued.push(after);
            }
            Place::Parked => {
                let waits = match after.life.state {
                    RequestState::Waiting(WaitReason::Children) => {
                        let children = request::request_children_open(tx, after.org_id, after.id).await?;
                        if children == 0 {
                            // All of them finished while the attempt ended.
                            after.life.state = RequestState::Pending { run_at: after.now };
                            aftermath.ready.push(Ready { lane: after.lane, priority: after.priority, id: after.id });
                            queued.push(after);
                            continue;
                        }
                        i32::try_from(children).unwrap_or(i32::MAX)
                    }
                    _ => 0,
                };
                parked.push(after);
                open.push(waits);
            }
            Place::Result => {
                let state = after.life.state.name();
                aftermath.finished.push((after.lane, state));
                finished.push(Finished {
                    org: after.org_id,
                    id: after.id,
                    parent: after.parent_id,
                    failed: state != StateName::Completed,
                });
            }
        }
    }
    queue::queue_enter(tx, &queued).await?;
    parked::parked_enter(tx, &parked, &open).await?;
    eve_crash::pass(Point::TransitionEntered);
    record(tx, &decided, aftermath).await?;
    if !finished.is_empty() {
        eve_crash::pass(Point::TransitionFinished);
    }
    Ok(finished)
}

/// Takes requests out of where they stood.
async fn leave(tx: &mut impl Tx, decided: &[Decided<'_>]) -> Result<(), StoreError> {
    let (mut unqueued, mut unparked, mut cancelled, mut paused) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut forgotten: BTreeMap<OrgId, Vec<RequestId>> = BTreeMap::new();
    for one in decided {
        let before = &one.before;
        if before.life.state == RequestState::Blocked && one.actor != PLATFORM {
            // Somebody called it off; what it waited for need not know it any more.
            forgotten.entry(before.org_id).or_default().push(before.id);
        }
        if one.taken {
            continue;
        }
        match before.place {
            Place::Queue => unqueued.push(before),
            Place::Parked => unparked.push(before.id),
            Place::Lease => match one.transition.life.stop.unwrap_or(StopKind::Cancel) {
                StopKind::Cancel => cancelled.push(before.id),
                StopKind::Pause => paused.push(before.id),
            },
            Place::Result => {}
        }
    }
    for (org, requests) in forgotten {
        dependency::dependency_forget(tx, org, &requests).await?;
    }
    lease::lease_stop(tx, &cancelled, StopKind::Cancel).await?;
    lease::lease_stop(tx, &paused, StopKind::Pause).await?;
    parked::parked_leave(tx, &unparked).await?;
    queue::queue_leave(tx, &unqueued).await
}

/// Who acts when nobody does.
pub(crate) const PLATFORM: &str = "platform";

/// Writes the rows that nothing changes any more: attempts that are over, results, events.
async fn record(tx: &mut impl Tx, decided: &[Decided<'_>], aftermath: &mut Aftermath) -> Result<(), StoreError> {
    let (mut attempts, mut results, mut events) = (Vec::new(), Vec::new(), Vec::new());
    for one in decided {
        let Decided { before, transition, report, .. } = one;
        let attempt_id = before.life.state.live_attempt();
        let succeeded = succeeded(one);
        for effect in &transition.effects {
            match effect {
                Effect::StopAttempt(_) => {
                    aftermath.topics.extend(before.lease.as_ref().map(|lease| Topic::Stop(lease.worker_id)));
                }
                Effect::EndAttempt { state, .. } => {
                    if let Some(lease) = before.lease.clone()
                        && succeeded.is_none()
                    {
                        attempts.push(EndedAttempt {
                            org_id: before.org_id,
                            request_id: before.id,
                            fence: before.life.fence,
                            lease,
                            state: *state,
                            report: *report,
                        });
                    }
                }
                Effect::WriteResult(status) => results.push(NewResult {
                    org_id: before.org_id,
                    request_id: before.id,
                    attempt_id,
                    fence: transition.life.fence,
                    burned: transition.life.burned,
                    state: transition.life.state.name(),
                    status: *status,
                    report: *report,
                    succeeded: succeeded.cloned(),
                    error: failure(transition.life.state, *report),
                }),
                // What finished is collected by its place.
                Effect::FreeDependants => {}
                Effect::Emit(kind) => {
                    events.push(NewEvent {
                        org: before.org_id,
                        kind,
                        request_id: before.id,
                        attempt_id,
                        lane: before.lane,
                        actor: one.actor,
                    });
                    aftermath.topics.push(Topic::Events(before.org_id));
                }
            }
        }
    }
    attempt::attempt_record(tx, &attempts).await?;
    if !attempts.is_empty() {
        eve_crash::pass(Point::TransitionAttempts);
    }
    result::result_write(tx, &results).await?;
    if !results.is_empty() {
        eve_crash::pass(Point::TransitionResults);
    }
    event::event_append(tx, &events).await
}

/// The lease of an attempt that succeeded and finished its request: the result records it.
fn succeeded<'a>(one: &'a Decided<'_>) -> Option<&'a LeaseFacts> {
    let effects = &one.transition.effects;
    let finishes = effects.iter().any(|effect| matches!(effect, Effect::WriteResult(_)));
    one.report.filter(|report| finishes && matches!(report.outcome, Outcome::Succeeded { .. }))?;
    let settled = |effect: &Effect| matches!(effect, Effect::EndAttempt { state: AttemptState::Settled, .. });
    one.before.lease.as_ref().filter(|_| effects.iter().any(settled))
}

/// Why a request failed, in a code and in words.
fn failure(state: RequestState, report: Option<&AttemptReport>) -> Option<ResultError> {
    let RequestState::Failed(class) = state else { return None };
    let message = match report.map(|report| &report.outcome) {
        Some(Outcome::Failed { message, .. }) => message.clone(),
        Some(Outcome::Succeeded { .. } | Outcome::NeedsInput { .. } | Outcome::AwaitsChildren | Outcome::Cancelled)
        | None => explain(class).to_owned(),
    };
    Some(ResultError { code: class.code().to_owned(), message })
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

/// Counts down what waited for finished requests, and decides about those that need wait no more.
async fn free_dependants(tx: &mut impl Tx, finished: &[Finished]) -> Result<Vec<Decided<'static>>, StoreError> {
    let ids: Vec<RequestId> = finished.iter().map(|one| one.id).collect();
    let edges = dependency::dependency_take(tx, &ids, FREE_BATCH).await?;
    if i64::try_from(edges.len()).unwrap_or(i64::MAX) >= FREE_BATCH {
        for one in finished {
            dependency::release_add(tx, Release { org_id: one.org, request_id: one.id, failed: one.failed }).await?;
        }
    }
    if edges.is_empty() {
        return Ok(Vec::new());
    }
    let failed: HashMap<RequestId, bool> = finished.iter().map(|one| (one.id, one.failed)).collect();
    let mut by: HashMap<RequestId, (i32, u32)> = HashMap::new();
    for (blocker, dependant) in edges {
        let (count, failures) = by.entry(dependant).or_default();
        *count += 1;
        *failures += u32::from(failed.get(&blocker).copied().unwrap_or(false));
    }
    let counts: Vec<(RequestId, i32)> = by.iter().map(|(id, (count, _))| (*id, *count)).collect();
    let loosened = parked::parked_loosen(tx, "blocked", &counts).await?;
    Ok(loosened
        .into_iter()
        .filter_map(|Loosened { standing, open }| {
            let failed = by.get(&standing.id).map_or(0, |(_, failures)| *failures);
            let blockers = Blockers { open: u32::try_from(open).unwrap_or(0), failed };
            decide(standing, &RequestEvent::DependencyFinished(blockers))
        })
        .collect())
}

/// Counts down what waiting parents wait for, and wakes those whose last child finished.
async fn wake_parents(tx: &mut impl Tx, finished: &[Finished]) -> Result<Vec<Decided<'static>>, StoreError> {
    let mut by: HashMap<RequestId, i32> = HashMap::new();
    for parent in finished.iter().filter_map(|one| one.parent) {
        *by.entry(parent).or_default() += 1;
    }
    if by.is_empty() {
        return Ok(Vec::new());
    }
    // A parent that is just lying down either counts these children as finished, since it waits for this transaction,
    // or has lain down before the next statement.
    let parents: Vec<RequestId> = by.keys().copied().collect();
    lease::lease_pin(tx, &parents).await?;
    let counts: Vec<(RequestId, i32)> = by.into_iter().collect();
    let loosened = parked::parked_loosen(tx, "waiting", &counts).await?;
    Ok(loosened
        .into_iter()
        .filter(|one| one.open <= 0)
        .filter_map(|one| decide(one.standing, &RequestEvent::Woken))
        .collect())
}

/// What the platform does to a request whose row was taken out.
pub(crate) fn decide_taken(before: Standing, event: &RequestEvent) -> Result<Decided<'static>, Refused> {
    let transition = before.life.apply(event, before.now, clock::jitter())?;
    Ok(Decided { before, transition, actor: PLATFORM, report: None, taken: true })
}

/// What the platform does to a locked request by itself, if the event fits.
pub(crate) fn decide(before: Standing, event: &RequestEvent) -> Option<Decided<'static>> {
    let transition = before.life.apply(event, before.now, clock::jitter()).ok()?;
    Some(Decided { before, transition, actor: PLATFORM, report: None, taken: false })
}
