//! Leases: who may write for a request, by which fence. The worker's own row says until when.
//!
//! A write of an attempt finds the lease by request and fence, or changes nothing. Ending an attempt deletes the row,
//! which is also its lock: of two who try, the second finds nothing.

use eve_core::AttemptId;
use eve_core::Fence;
use eve_core::LaneId;
use eve_core::OrgId;
use eve_core::Priority;
use eve_core::RequestId;
use eve_core::StopKind;
use eve_core::WorkerId;
use jiff::SignedDuration;

use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::columns::Columns;
use crate::error::During;
use crate::standing::LeaseFacts;
use crate::standing::Standing;
use crate::standing::lease_standing;
use crate::standing::stop_kind;
use crate::standing::stop_name;

/// What a heartbeat learns about one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heartbeat {
    /// The lease holds.
    Held,
    /// The lease holds, and the agent is to be stopped.
    StopWanted(StopKind),
    /// The lease is not there any more: whatever this attempt still does must not count.
    Lost,
}

/// A request and the fence of one of its attempts.
pub type Fenced = (RequestId, Fence);

fn split(fenced: &[Fenced]) -> (Vec<uuid::Uuid>, Vec<i64>) {
    fenced.iter().map(|(id, fence)| (id.uuid(), fence.0)).unzip()
}

/// Gives requests into workers' hands. Each names its lease.
pub async fn lease_enter(tx: &mut impl Tx, rows: &[(&Standing, &LeaseFacts)]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(rows.iter().map(|(standing, _)| *standing));
    let attempts: Vec<uuid::Uuid> = rows.iter().map(|(_, lease)| lease.attempt_id.uuid()).collect();
    let workers: Vec<uuid::Uuid> = rows.iter().map(|(_, lease)| lease.worker_id.uuid()).collect();
    sqlx::query!(
        "INSERT INTO eve.leases (request_id, org_id, parent_id, fence, lane_id, priority, burned, crashes,
                                 max_attempts, attempt_id, worker_id)
         SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::uuid[]), unnest($4::bigint[]), unnest($5::int[]),
             unnest($6::smallint[]), unnest($7::smallint[]), unnest($8::smallint[]), unnest($9::smallint[]),
             unnest($10::uuid[]), unnest($11::uuid[])",
        &columns.ids,
        &columns.orgs,
        &columns.parents as &[Option<uuid::Uuid>],
        &columns.fences,
        &columns.lanes,
        &columns.priorities,
        &columns.burned,
        &columns.crashes,
        &columns.max_attempts,
        &attempts,
        &workers
    )
    .execute(tx.conn())
    .await
    .during("lease_enter")?;
    Ok(())
}

/// Takes requests out of workers' hands whose fences are right. A pair that is not answered was stale.
pub async fn lease_take(tx: &mut PlatformTx, fenced: &[Fenced]) -> Result<Vec<Standing>, StoreError> {
    let (ids, fences) = split(fenced);
    // Mostly all of them are first attempts. Either way rows are locked in the order of the ids given.
    if let Some(fence) = fences.first().filter(|first| fences.iter().all(|fence| fence == *first)) {
        let rows = sqlx::query!(
            r#"DELETE FROM eve.leases WHERE request_id = ANY ($1) AND fence = $2
               RETURNING org_id, request_id, attempt_id, worker_id, parent_id, fence, claimed_at, started_at, lane_id,
                         priority, burned, crashes, max_attempts, stop, harness, session_id, now() AS "now!""#,
            &ids,
            fence
        )
        .fetch_all(tx.conn())
        .await
        .during("lease_take")?;
        return rows.into_iter().map(|row| lease_standing!(row)).collect();
    }
    // `IS TRUE` keeps the pairs a filter: as a join they might lead to a scan of the table.
    let rows = sqlx::query!(
        r#"DELETE FROM eve.leases
           WHERE request_id = ANY ($1)
             AND ((request_id, fence) IN (SELECT * FROM unnest($1::uuid[], $2::bigint[]))) IS TRUE
           RETURNING org_id, request_id, attempt_id, worker_id, parent_id, fence, claimed_at, started_at, lane_id,
                     priority, burned, crashes, max_attempts, stop, harness, session_id, now() AS "now!""#,
        &ids,
        &fences
    )
    .fetch_all(tx.conn())
    .await
    .during("lease_take")?;
    rows.into_iter().map(|row| lease_standing!(row)).collect()
}

/// Takes back what lost workers hold, and stopped ones. The flag says that the worker stopped in order and never began
/// with it: the answer to its last claim was not heard any more.
pub async fn lease_take_lost(tx: &mut PlatformTx, limit: i64) -> Result<Vec<(Standing, bool)>, StoreError> {
    let rows = sqlx::query!(
        r#"DELETE FROM eve.leases WHERE ctid = ANY (ARRAY(
               SELECT l.ctid FROM eve.leases l
               WHERE l.worker_id = ANY (ARRAY(SELECT id FROM eve.workers WHERE state IN ('lost', 'stopped')))
               LIMIT $1 FOR UPDATE SKIP LOCKED))
           RETURNING org_id, request_id, attempt_id, worker_id, parent_id, fence, claimed_at, started_at, lane_id,
                     priority, burned, crashes, max_attempts, stop, harness, session_id, now() AS "now!",
                     started_at IS NULL AND worker_id IN (SELECT id FROM eve.workers WHERE state = 'stopped')
                         AS "unheard!""#,
        limit
    )
    .fetch_all(tx.conn())
    .await
    .during("lease_take_lost")?;
    rows.into_iter()
        .map(|row| {
            let unheard = row.unheard;
            lease_standing!(row).map(|standing| (standing, unheard))
        })
        .collect()
}

/// Takes back what a worker was given and does not know of: the answer to its claim was lost. Only what is older than
/// `older`, since an answer may still be on its way; and only what was not started, since a heartbeat that comes late
/// does not name what was started after it was sent.
pub async fn lease_take_unheard(
    tx: &mut PlatformTx,
    worker: WorkerId,
    held: &[Fenced],
    older: SignedDuration,
) -> Result<Vec<Standing>, StoreError> {
    let (ids, _) = split(held);
    let rows = sqlx::query!(
        r#"DELETE FROM eve.leases
           WHERE worker_id = $1 AND started_at IS NULL AND claimed_at < now() - make_interval(secs => $3)
             AND request_id <> ALL ($2)
           RETURNING org_id, request_id, attempt_id, worker_id, parent_id, fence, claimed_at, started_at, lane_id,
                     priority, burned, crashes, max_attempts, stop, harness, session_id, now() AS "now!""#,
        worker.uuid(),
        &ids,
        older.as_secs_f64()
    )
    .fetch_all(tx.conn())
    .await
    .during("lease_take_unheard")?;
    rows.into_iter().map(|row| lease_standing!(row)).collect()
}

/// How leases stand; one answer for each pair, in order.
pub async fn lease_check(tx: &mut PlatformTx, fenced: &[Fenced]) -> Result<Vec<Heartbeat>, StoreError> {
    let (ids, fences) = split(fenced);
    let rows = sqlx::query!(
        r#"SELECT l.request_id AS "request_id?", l.stop
           FROM unnest($1::uuid[], $2::bigint[]) WITH ORDINALITY AS h (request_id, fence, place)
           LEFT JOIN eve.leases l ON l.request_id = h.request_id AND l.fence = h.fence
           ORDER BY h.place"#,
        &ids,
        &fences
    )
    .fetch_all(tx.conn())
    .await
    .during("lease_check")?;
    Ok(rows
        .into_iter()
        .map(|row| match (row.request_id, stop_kind(row.stop.as_deref())) {
            (None, _) => Heartbeat::Lost,
            (Some(_), Some(kind)) => Heartbeat::StopWanted(kind),
            (Some(_), None) => Heartbeat::Held,
        })
        .collect())
}

/// Notes that an agent runs, and with what. Nothing if the fence is old; the flag says whether it is news.
pub async fn lease_start(
    tx: &mut PlatformTx,
    fenced: Fenced,
    harness: &str,
) -> Result<Option<(Standing, bool)>, StoreError> {
    let row = sqlx::query!(
        r#"UPDATE eve.leases l SET started_at = coalesce(l.started_at, now()), harness = $3
           FROM (SELECT request_id, started_at AS before FROM eve.leases
                 WHERE request_id = $1 AND fence = $2 FOR NO KEY UPDATE) old
           WHERE l.request_id = old.request_id
           RETURNING l.org_id, l.request_id, l.attempt_id, l.worker_id, l.parent_id, l.fence, l.claimed_at,
                     old.before AS started_at, l.lane_id, l.priority, l.burned, l.crashes, l.max_attempts, l.stop,
                     l.harness, l.session_id, now() AS "now!""#,
        fenced.0.uuid(),
        fenced.1.0,
        harness
    )
    .fetch_optional(tx.conn())
    .await
    .during("lease_start")?;
    row.map(|row| {
        let news = row.started_at.is_none();
        lease_standing!(row).map(|standing| (standing, news))
    })
    .transpose()
}

/// Notes the agent's session as soon as it is known, so that a crash does not lose it.
pub async fn lease_session_note(tx: &mut PlatformTx, request: RequestId, session: &str) -> Result<(), StoreError> {
    sqlx::query!("UPDATE eve.leases SET session_id = $2 WHERE request_id = $1", request.uuid(), session)
        .execute(tx.conn())
        .await
        .during("lease_session_note")?;
    Ok(())
}

/// Leaves word for the holders that their agents are to be stopped. The rows are locked.
pub async fn lease_stop(tx: &mut impl Tx, requests: &[RequestId], kind: StopKind) -> Result<(), StoreError> {
    if requests.is_empty() {
        return Ok(());
    }
    let ids: Vec<uuid::Uuid> = requests.iter().map(|id| id.uuid()).collect();
    sqlx::query!("UPDATE eve.leases SET stop = $2 WHERE request_id = ANY ($1)", &ids, stop_name(Some(kind)))
        .execute(tx.conn())
        .await
        .during("lease_stop")?;
    Ok(())
}

/// Makes requests in workers' hands as urgent as this, for when they come back. The rows are locked.
pub async fn lease_reprioritise(
    tx: &mut impl Tx,
    requests: &[RequestId],
    priority: Priority,
) -> Result<(), StoreError> {
    if requests.is_empty() {
        return Ok(());
    }
    let ids: Vec<uuid::Uuid> = requests.iter().map(|id| id.uuid()).collect();
    sqlx::query!("UPDATE eve.leases SET priority = $2 WHERE request_id = ANY ($1)", &ids, priority.number())
        .execute(tx.conn())
        .await
        .during("lease_reprioritise")?;
    Ok(())
}

/// Keeps the leases of these requests from ending until this transaction is over; those that have none are ignored.
pub async fn lease_pin(tx: &mut impl Tx, requests: &[RequestId]) -> Result<(), StoreError> {
    let ids: Vec<uuid::Uuid> = requests.iter().map(|id| id.uuid()).collect();
    sqlx::query!(
        r#"SELECT 1 AS "one!" FROM eve.leases WHERE request_id = ANY ($1) ORDER BY request_id FOR KEY SHARE"#,
        &ids
    )
    .fetch_all(tx.conn())
    .await
    .during("lease_pin")?;
    Ok(())
}

/// Live attempts of a lane under one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveCount {
    /// The lane of the requests.
    pub lane: LaneId,
    /// The account that their workers' agents are signed in with, where one is named.
    pub account: Option<String>,
    /// How many.
    pub running: i64,
}

/// Live attempts by lane and account, for the counts behind concurrency limits.
pub async fn lease_counts(tx: &mut PlatformTx) -> Result<Vec<LiveCount>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT l.lane_id, w.account AS "account?", count(*) AS "running!"
           FROM eve.leases l LEFT JOIN eve.workers w ON w.id = l.worker_id GROUP BY l.lane_id, w.account"#
    )
    .fetch_all(tx.conn())
    .await
    .during("lease_counts")?;
    Ok(rows
        .into_iter()
        .map(|row| LiveCount { lane: LaneId(row.lane_id), account: row.account, running: row.running })
        .collect())
}

/// Number of live attempts.
pub async fn lease_count(tx: &mut impl Tx) -> Result<i64, StoreError> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM eve.leases"#)
        .fetch_one(tx.conn())
        .await
        .during("lease_count")
}

/// Whose attempt this is, if its fence is right. Locked against ending until the transaction is over.
pub async fn lease_hold(tx: &mut PlatformTx, fenced: Fenced) -> Result<Option<(OrgId, AttemptId)>, StoreError> {
    let row = sqlx::query!(
        "SELECT org_id, attempt_id FROM eve.leases WHERE request_id = $1 AND fence = $2 FOR KEY SHARE",
        fenced.0.uuid(),
        fenced.1.0
    )
    .fetch_optional(tx.conn())
    .await
    .during("lease_hold")?;
    Ok(row.map(|row| (OrgId::from_uuid(row.org_id), AttemptId::from_uuid(row.attempt_id))))
}
