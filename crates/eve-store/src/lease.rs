//! Leases: who may write for an attempt, and until when. The database's clock decides.
//!
//! Rows are locked in one order everywhere, or two transactions could wait for each other: queue, request, lease.
//! So a lease is found without a lock, its request locked, and the fence checked against the request.

use eve_core::AttemptId;
use eve_core::Fence;
use eve_core::OrgId;
use eve_core::RequestId;
use eve_core::StopKind;
use eve_core::WorkerId;
use jiff::SignedDuration;

use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;

/// A lease that is still held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The organization.
    pub org_id: OrgId,
    /// The request.
    pub request_id: RequestId,
    /// The attempt.
    pub attempt_id: AttemptId,
    /// Its fence.
    pub fence: Fence,
    /// Who holds it.
    pub worker_id: WorkerId,
}

/// What a heartbeat learns about one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heartbeat {
    /// The lease is extended.
    Extended,
    /// The lease is extended, and the agent is to be stopped.
    StopWanted(StopKind),
    /// The lease is not there any more: whatever this attempt still does must not count.
    Lost,
}

/// Extends leases; one answer for each pair, in order.
pub async fn lease_extend(
    tx: &mut PlatformTx,
    attempts: &[(AttemptId, Fence)],
    lease: SignedDuration,
) -> Result<Vec<Heartbeat>, StoreError> {
    let ids: Vec<uuid::Uuid> = attempts.iter().map(|(id, _)| id.uuid()).collect();
    let fences: Vec<i64> = attempts.iter().map(|(_, fence)| fence.0).collect();
    let rows = sqlx::query!(
        r#"UPDATE eve.leases l SET expires_at = now() + make_interval(secs => $3)
           FROM unnest($1::uuid[], $2::bigint[]) AS h (attempt_id, fence)
           WHERE l.attempt_id = h.attempt_id AND l.fence = h.fence
           RETURNING l.attempt_id, l.stop"#,
        &ids,
        &fences,
        lease.as_secs_f64()
    )
    .fetch_all(tx.conn())
    .await
    .during("lease_extend")?;
    Ok(attempts
        .iter()
        .map(|(id, _)| match rows.iter().find(|row| row.attempt_id == id.uuid()) {
            None => Heartbeat::Lost,
            Some(row) => match row.stop.as_deref() {
                Some("pause") => Heartbeat::StopWanted(StopKind::Pause),
                Some(_) => Heartbeat::StopWanted(StopKind::Cancel),
                None => Heartbeat::Extended,
            },
        })
        .collect())
}

/// The lease of an attempt if the fence is right. Lock its request before you rely on it.
pub async fn lease_find(tx: &mut PlatformTx, attempt: AttemptId, fence: Fence) -> Result<Option<Lease>, StoreError> {
    let row = sqlx::query!(
        "SELECT org_id, request_id, worker_id FROM eve.leases WHERE attempt_id = $1 AND fence = $2",
        attempt.uuid(),
        fence.0
    )
    .fetch_optional(tx.conn())
    .await
    .during("lease_find")?;
    Ok(row.map(|row| Lease {
        org_id: OrgId::from_uuid(row.org_id),
        request_id: RequestId::from_uuid(row.request_id),
        attempt_id: attempt,
        fence,
        worker_id: WorkerId::from_uuid(row.worker_id),
    }))
}

/// Leases that ran out, the longest ago first.
pub async fn lease_expired(tx: &mut PlatformTx, limit: i64) -> Result<Vec<Lease>, StoreError> {
    let rows = sqlx::query!(
        "SELECT org_id, request_id, attempt_id, fence, worker_id FROM eve.leases
         WHERE expires_at < now() ORDER BY expires_at LIMIT $1",
        limit
    )
    .fetch_all(tx.conn())
    .await
    .during("lease_expired")?;
    Ok(rows
        .into_iter()
        .map(|row| Lease {
            org_id: OrgId::from_uuid(row.org_id),
            request_id: RequestId::from_uuid(row.request_id),
            attempt_id: AttemptId::from_uuid(row.attempt_id),
            fence: Fence(row.fence),
            worker_id: WorkerId::from_uuid(row.worker_id),
        })
        .collect())
}

/// Whether the lease, whose request is locked, is still there and still out of time; it is locked then, too.
pub async fn lease_lock_expired(tx: &mut PlatformTx, lease: &Lease) -> Result<bool, StoreError> {
    let row = sqlx::query!(
        r#"SELECT 1 AS "one!" FROM eve.leases
           WHERE attempt_id = $1 AND fence = $2 AND expires_at < now() FOR UPDATE"#,
        lease.attempt_id.uuid(),
        lease.fence.0
    )
    .fetch_optional(tx.conn())
    .await
    .during("lease_lock_expired")?;
    Ok(row.is_some())
}

/// Ends a lease.
pub async fn lease_end(tx: &mut impl Tx, attempt: AttemptId) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM eve.leases WHERE attempt_id = $1", attempt.uuid())
        .execute(tx.conn())
        .await
        .during("lease_end")?;
    Ok(())
}

/// Leaves word for the holder that the agent is to be stopped.
pub async fn lease_stop(tx: &mut impl Tx, attempt: AttemptId, kind: StopKind) -> Result<(), StoreError> {
    let stop = match kind {
        StopKind::Cancel => "cancel",
        StopKind::Pause => "pause",
    };
    sqlx::query!("UPDATE eve.leases SET stop = $2 WHERE attempt_id = $1", attempt.uuid(), stop)
        .execute(tx.conn())
        .await
        .during("lease_stop")?;
    Ok(())
}

/// Number of live attempts.
pub async fn lease_count(tx: &mut impl Tx) -> Result<i64, StoreError> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM eve.leases"#)
        .fetch_one(tx.conn())
        .await
        .during("lease_count")
}
