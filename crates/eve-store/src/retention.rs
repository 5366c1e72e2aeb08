//! Removing what is older than its period, in bounded batches.

use jiff::SignedDuration;

use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;

/// Removes finished requests, with their attempts, logs and results, that finished before the period.
pub async fn request_purge(tx: &mut PlatformTx, older: SignedDuration, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "DELETE FROM eve.requests WHERE (org_id, id) IN (
             SELECT r.org_id, r.id FROM eve.requests r
             WHERE r.finished_at < now() - make_interval(secs => $1)
               AND NOT EXISTS (SELECT FROM eve.requests c WHERE c.org_id = r.org_id AND c.parent_id = r.id)
             LIMIT $2)",
        older.as_secs_f64(),
        limit
    )
    .execute(tx.conn())
    .await
    .during("request_purge")?;
    Ok(done.rows_affected())
}

/// Removes log entries of attempts that ended before the period.
pub async fn attempt_log_purge(tx: &mut PlatformTx, older: SignedDuration, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "DELETE FROM eve.attempt_events WHERE (attempt_id, seq) IN (
             SELECT e.attempt_id, e.seq FROM eve.attempt_events e
             JOIN eve.attempts a ON a.org_id = e.org_id AND a.id = e.attempt_id
             WHERE a.ended_at < now() - make_interval(secs => $1)
             LIMIT $2)",
        older.as_secs_f64(),
        limit
    )
    .execute(tx.conn())
    .await
    .during("attempt_log_purge")?;
    Ok(done.rows_affected())
}

/// Removes events from before the period.
pub async fn event_purge(tx: &mut PlatformTx, older: SignedDuration, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "DELETE FROM eve.events WHERE (org_id, xid, seq) IN (
             SELECT org_id, xid, seq FROM eve.events WHERE at < now() - make_interval(secs => $1) LIMIT $2)",
        older.as_secs_f64(),
        limit
    )
    .execute(tx.conn())
    .await
    .during("event_purge")?;
    Ok(done.rows_affected())
}

/// Removes idempotency keys from before the period, and workers not heard of since.
pub async fn key_purge(tx: &mut PlatformTx, older: SignedDuration, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "DELETE FROM eve.idempotency_keys WHERE (org_id, key) IN (
             SELECT org_id, key FROM eve.idempotency_keys WHERE created_at < now() - make_interval(secs => $1) LIMIT $2)",
        older.as_secs_f64(),
        limit
    )
    .execute(tx.conn())
    .await
    .during("key_purge")?;
    Ok(done.rows_affected())
}
