//! One batch of a bulk action: a look without locks, then one transaction that changes requests and notes how far it came.
//!
//! The look finds the next requests and prepares what takes time. The transaction locks the action's row first, and gives
//! up if somebody else has moved it since. So whoever works, however many at once, and whoever dies in between: each
//! request is changed by the one transaction that moves the action beyond it.

use eve_core::BulkActionId;
use eve_core::BulkChange;
use eve_core::BulkFacts;
use eve_core::OrgId;
use eve_core::Priority;
use eve_core::Refused;
use eve_core::RequestEvent;
use eve_core::RequestId;
use eve_core::RequestState;
use eve_core::Skip;
use eve_core::StopKind;
use eve_core::WaitReason;
use eve_store::OrgTx;
use eve_store::bulk;
use eve_store::bulk::BulkActionRow;
use eve_store::bulk::BulkState;
use eve_store::event;
use eve_store::request;
use eve_store::request::NewRequest;
use eve_store::request::RequestFilter;
use eve_store::standing::Standing;
use eve_store::standing::standing_lock_many;

use super::newest_first;
use crate::Engine;
use crate::Error;
use crate::ErrorKind;
use crate::OpContext;
use crate::RequestDraft;
use crate::Role;
use crate::Topic;
use crate::clock;
use crate::request::Entered;
use crate::request::enter;
use crate::transition;
use crate::transition::Aftermath;
use crate::transition::Decided;
use crate::transition::PLATFORM;

/// Most requests that one step looks at.
const SLICE: usize = 2000;
/// Most requests that one step changes.
const BATCH: usize = 500;
/// Most requests that one step asks for again: they are read with everything that they hold.
const REPLAY_BATCH: usize = 100;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stepped {
    /// So many requests were changed, and the action has moved.
    Moved(i64),
    /// The action is over, or somebody else works on it.
    Nothing,
}

/// What a look found.
struct Look {
    row: BulkActionRow,
    skips: Vec<Skip>,
    wanted: Vec<RequestId>,
    replays: Vec<NewRequest>,
    failures: Vec<&'static str>,
    /// How far the action comes with this.
    reaches: Option<RequestId>,
    last: bool,
}

/// Moves an action on by one batch. A batch that fails is tried again with fewer requests; a single one that fails is
/// counted and passed over.
pub(crate) async fn step(engine: &Engine, org: OrgId, id: BulkActionId) -> Result<Stepped, Error> {
    let mut size = BATCH;
    loop {
        let Some(look) = look(engine, org, id, size).await? else { return Ok(Stepped::Nothing) };
        let (wanted, cursor) = (look.wanted.len(), look.row.cursor);
        match act(engine, org, look).await {
            Err(error) if error.retryable() || wanted == 0 => return Err(error),
            Err(error) if wanted == 1 => {
                tracing::error!(action = %id, %error, cause = ?error.cause, "a request is passed over");
                return pass_over(engine, org, id, cursor).await;
            }
            Err(error) => {
                tracing::warn!(action = %id, %error, cause = ?error.cause, "a batch failed; fewer are tried at once");
                size = wanted / 2;
            }
            Ok(stepped) => return Ok(stepped),
        }
    }
}

/// Finds the next requests, and completes what is to be asked again.
async fn look(engine: &Engine, org: OrgId, id: BulkActionId, size: usize) -> Result<Option<Look>, Error> {
    let mut tx = engine.store().org(org).await?;
    let Some(row) = bulk::bulk_action_get(&mut tx, id).await? else { return Ok(None) };
    if row.state.is_finished() {
        return Ok(None);
    }
    let size = if row.change == BulkChange::Replay { size.min(REPLAY_BATCH) } else { size };
    let order = newest_first(row.change);
    let slice = bulk::bulk_scan(&mut tx, &row.filter, Some(row.created_at), row.cursor, order, SLICE).await?;
    let mut look = Look {
        skips: Vec::new(),
        wanted: Vec::new(),
        replays: Vec::new(),
        failures: Vec::new(),
        reaches: slice.last.or(row.cursor),
        last: slice.looked_at < SLICE,
        row,
    };
    let mut before = look.row.cursor;
    for candidate in slice.matched {
        match look.row.change.skips(candidate.facts) {
            Some(skip) => look.skips.push(skip),
            None if look.wanted.len() == size => {
                (look.reaches, look.last) = (before, false);
                break;
            }
            None => look.wanted.push(candidate.id),
        }
        before = Some(candidate.id);
    }
    let mut old = Vec::new();
    if look.row.change == BulkChange::Replay && !look.wanted.is_empty() {
        let filter = RequestFilter { ids: look.wanted.clone(), ..RequestFilter::default() };
        let limit = i64::try_from(look.wanted.len()).unwrap_or(i64::MAX);
        old = request::request_list(&mut tx, &filter, None, limit).await?;
        old.sort_unstable_by_key(|row| row.id);
    }
    tx.commit().await?;
    let ctx = caller(&look.row);
    for row in old {
        match RequestDraft::replay(row).resolve(engine, &ctx).await {
            Ok(new) => look.replays.push(new),
            Err(fault) if matches!(fault.error.kind, ErrorKind::Unavailable | ErrorKind::Internal) => {
                return Err(fault.into_error());
            }
            Err(fault) => look.failures.push(code(fault.error.kind)),
        }
    }
    Ok(Some(look))
}

/// Whoever asked for the action, as far as its work needs to know.
fn caller(row: &BulkActionRow) -> OpContext {
    OpContext {
        org_id: row.org_id,
        user_id: row.user_id,
        key_id: row.key_id,
        role: Role::Member,
        user_name: row.user_name.clone(),
    }
}

/// Why a request could not be changed, as a stable code.
const fn code(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidWorkerType => "invalid_worker_type",
        ErrorKind::Invalid => "invalid_request",
        ErrorKind::Conflict | ErrorKind::IdempotencyConflict | ErrorKind::Stale => "conflict",
        ErrorKind::NotFound => "not_found",
        ErrorKind::Unauthenticated | ErrorKind::Forbidden => "forbidden",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Internal => "internal",
    }
}

/// Changes what the look found and moves the action, in one transaction.
async fn act(engine: &Engine, org: OrgId, look: Look) -> Result<Stepped, Error> {
    let mut tx = engine.store().org(org).await?;
    let Some(mut row) = take(&mut tx, look.row.id, look.row.cursor).await? else { return Ok(Stepped::Nothing) };
    let actor = caller(&row).actor();
    let mut aftermath = Aftermath::default();
    let (mut skips, mut failures, mut replays) = (look.skips, look.failures, look.replays);
    let done = match row.change {
        BulkChange::Replay => {
            let gone = look.wanted.len() - replays.len() - failures.len();
            skips.extend(std::iter::repeat_n(Skip::Gone, gone));
            replay(&mut tx, &mut replays, &mut failures, &mut aftermath).await?
        }
        BulkChange::Cancel | BulkChange::Reprioritise(_) => {
            let (decided, more) = decide(&mut tx, &row, &look.wanted, &actor).await?;
            skips.extend(more);
            let count = decided.len();
            match row.change.priority() {
                Some(priority) => transition::reprioritise(&mut tx, decided, priority, &mut aftermath).await?,
                None => transition::write(&mut tx, decided, &mut aftermath).await?,
            }
            count
        }
    };
    let done = i64::try_from(done).unwrap_or(i64::MAX);
    row.done += done;
    for skip in skips {
        row.skipped += 1;
        *row.reasons.skipped.entry(skip.to_string()).or_default() += 1;
    }
    for failure in failures {
        row.failed += 1;
        *row.reasons.failed.entry(failure.to_owned()).or_default() += 1;
    }
    row.cursor = look.reaches;
    move_on(&mut tx, &mut row, look.last, &mut aftermath).await?;
    tx.commit().await?;
    engine.inner.metrics.count_created(&replays);
    engine.inner.dispatcher.finish(aftermath);
    Ok(Stepped::Moved(done))
}

/// Locks the action, if it still stands where it was seen.
async fn take(tx: &mut OrgTx, id: BulkActionId, seen: Option<RequestId>) -> Result<Option<BulkActionRow>, Error> {
    Ok(bulk::bulk_action_take(tx, id).await?.filter(|row| row.cursor == seen))
}

async fn move_on(tx: &mut OrgTx, row: &mut BulkActionRow, last: bool, aftermath: &mut Aftermath) -> Result<(), Error> {
    row.state = if last { BulkState::Completed } else { BulkState::Running };
    bulk::bulk_action_move(tx, row).await?;
    if last {
        let about = serde_json::json!({
            "bulk_action_id": row.id, "action": row.change.name(),
            "done": row.done, "skipped": row.skipped, "failed": row.failed,
        });
        event::event_append_about(tx, "bulk_action:completed", PLATFORM, &about).await?;
        aftermath.topics.push(Topic::Events(row.org_id));
    }
    Ok(())
}

/// Locks requests where they stand by now, and decides about each.
async fn decide<'a>(
    tx: &mut OrgTx,
    row: &BulkActionRow,
    wanted: &[RequestId],
    actor: &'a str,
) -> Result<(Vec<Decided<'a>>, Vec<Skip>), Error> {
    let locked = standing_lock_many(tx, row.org_id, wanted).await?;
    let mut skips: Vec<Skip> = locked.finished.into_iter().map(|(_, state)| Skip::Finished(state)).collect();
    skips.extend(locked.missing.into_iter().map(|_| Skip::Gone));
    let mut decided = Vec::with_capacity(locked.standing.len());
    for before in locked.standing {
        match verdict(row, &before) {
            Err(skip) => skips.push(skip),
            Ok(event) => match before.life.apply(&event, before.now, clock::jitter()) {
                Ok(transition) => decided.push(Decided { before, transition, actor, report: None, taken: false }),
                Err(Refused::Finished(state)) => skips.push(Skip::Finished(state)),
                Err(Refused::Stale { .. } | Refused::WrongState { .. }) => {
                    skips.push(Skip::Moved(before.life.state.name()));
                }
            },
        }
    }
    Ok((decided, skips))
}

/// The same verdict as when it was found, and whether it still is where the filter wants it.
fn verdict(row: &BulkActionRow, before: &Standing) -> Result<RequestEvent, Skip> {
    let state = before.life.state.name();
    let priority: Priority = before.priority;
    let facts = BulkFacts { state, priority, stopping: before.life.stop == Some(StopKind::Cancel) };
    if let Some(skip) = row.change.skips(facts) {
        return Err(skip);
    }
    let waits_otherwise = match (before.life.state, row.filter.answer) {
        (RequestState::Waiting(reason), Some(answer)) => (reason == WaitReason::Answer) != answer,
        _ => false,
    };
    let elsewhere = !row.filter.states.is_empty() && !row.filter.states.contains(&state);
    if elsewhere || waits_otherwise {
        return Err(Skip::Moved(state));
    }
    match row.change {
        BulkChange::Reprioritise(_) => Ok(RequestEvent::Reprioritised),
        BulkChange::Cancel | BulkChange::Replay => Ok(RequestEvent::CancelRequested),
    }
}

/// Asks again. What was a child of a request that is gone cannot be.
async fn replay(
    tx: &mut OrgTx,
    new: &mut Vec<NewRequest>,
    failures: &mut Vec<&'static str>,
    aftermath: &mut Aftermath,
) -> Result<usize, Error> {
    if new.is_empty() {
        return Ok(0);
    }
    if let Entered::Missing(missing) = enter(tx, new, aftermath).await? {
        failures.extend(missing.iter().map(|_| "parent_gone"));
        let mut index = 0;
        new.retain(|_| {
            index += 1;
            missing.iter().all(|name| name.index != index - 1)
        });
        if !new.is_empty()
            && let Entered::Missing(missing) = enter(tx, new, aftermath).await?
        {
            let message = format!("{} parents vanished while their children were asked for again.", missing.len());
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
    }
    Ok(new.len())
}

/// Counts the next request that would be changed as failed, and moves the action beyond it.
async fn pass_over(engine: &Engine, org: OrgId, id: BulkActionId, cursor: Option<RequestId>) -> Result<Stepped, Error> {
    let Some(look) = look(engine, org, id, 1).await? else { return Ok(Stepped::Nothing) };
    let mut tx = engine.store().org(org).await?;
    let Some(mut row) = take(&mut tx, id, cursor).await? else { return Ok(Stepped::Nothing) };
    for skip in look.skips {
        row.skipped += 1;
        *row.reasons.skipped.entry(skip.to_string()).or_default() += 1;
    }
    for _ in &look.wanted {
        row.failed += 1;
        *row.reasons.failed.entry(code(ErrorKind::Internal).to_owned()).or_default() += 1;
    }
    row.cursor = look.reaches;
    let mut aftermath = Aftermath::default();
    move_on(&mut tx, &mut row, look.last, &mut aftermath).await?;
    tx.commit().await?;
    engine.inner.dispatcher.finish(aftermath);
    Ok(Stepped::Moved(0))
}
