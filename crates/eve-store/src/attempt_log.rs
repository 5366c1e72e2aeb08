//! The log of an attempt: what its agent said and did, appended in bulk under the fence.

use eve_core::AgentEvent;
use eve_core::AttemptId;
use eve_core::EVENT_VERSION;
use eve_core::RequestId;
use jiff::Timestamp;

use crate::OrgTx;
use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;
use crate::lease::Fenced;
use crate::lease::lease_hold;
use crate::request::stamp;

/// One entry, numbered by the worker from 1 without gaps.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// Its number within the attempt.
    pub seq: i64,
    /// When the worker saw it.
    pub at: Timestamp,
    /// What it is.
    pub event: AgentEvent,
}

/// What became of entries sent for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// They are in the log (again, if they were there before).
    Stored,
    /// The fence is old: nothing was written.
    Stale,
}

/// Appends entries if the fence still holds.
pub async fn attempt_log_append(
    tx: &mut PlatformTx,
    fenced: Fenced,
    entries: &[LogEntry],
) -> Result<Appended, StoreError> {
    let seqs: Vec<i64> = entries.iter().map(|entry| entry.seq).collect();
    let times: Vec<jiff_sqlx::Timestamp> = entries.iter().map(|entry| stamp(entry.at)).collect();
    let events = entries
        .iter()
        .map(|entry| serde_json::to_value(&entry.event))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| StoreError::Impossible { table: "attempt_events", detail: error.to_string() })?;
    let Some((org_id, attempt_id)) = lease_hold(tx, fenced).await? else { return Ok(Appended::Stale) };
    sqlx::query!(
        "INSERT INTO eve.attempt_events (org_id, attempt_id, seq, at, version, event)
         SELECT $1, $2, n.seq, n.at, $6, n.event
         FROM unnest($3::bigint[], $4::timestamptz[], $5::jsonb[]) AS n (seq, at, event)
         ON CONFLICT DO NOTHING",
        org_id.uuid(),
        attempt_id.uuid(),
        &seqs,
        &times as _,
        &events,
        EVENT_VERSION
    )
    .execute(tx.conn())
    .await
    .during("attempt_log_append")?;
    Ok(Appended::Stored)
}

/// A position in the log of a request, over all its attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LogPosition {
    /// The attempt's number, from 1.
    pub attempt: i32,
    /// The entry's number within it.
    pub seq: i64,
}

/// An entry with its place in the request's log.
#[derive(Debug, Clone)]
pub struct RequestLogEntry {
    /// Where it stands.
    pub position: LogPosition,
    /// The attempt.
    pub attempt_id: AttemptId,
    /// When the worker saw it.
    pub at: Timestamp,
    /// What it is, in its stored form.
    pub event: serde_json::Value,
}

/// Entries of a request after a position, in order.
pub async fn request_log_list(
    tx: &mut OrgTx,
    request: RequestId,
    after: LogPosition,
    limit: i64,
) -> Result<Vec<RequestLogEntry>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT a.fence AS "fence!", a.id AS "attempt_id!", e.seq, e.at, e.event
           FROM (SELECT id, fence FROM eve.attempt_view WHERE request_id = $1
                 UNION ALL
                 SELECT attempt_id, fence FROM eve.leases WHERE request_id = $1) a
           CROSS JOIN LATERAL (
               SELECT e.seq, e.at, e.event FROM eve.attempt_events e
               WHERE e.attempt_id = a.id AND e.seq > CASE WHEN a.fence = $2 THEN $3::bigint ELSE 0 END
               ORDER BY e.seq LIMIT $4) e
           WHERE a.fence >= $2
           ORDER BY a.fence, e.seq
           LIMIT $4"#,
        request.uuid(),
        i64::from(after.attempt),
        after.seq,
        limit
    )
    .fetch_all(tx.conn())
    .await
    .during("request_log_list")?;
    Ok(rows
        .into_iter()
        .map(|row| RequestLogEntry {
            position: LogPosition { attempt: i32::try_from(row.fence).unwrap_or(i32::MAX), seq: row.seq },
            attempt_id: AttemptId::from_uuid(row.attempt_id),
            at: row.at.to_jiff(),
            event: row.event,
        })
        .collect())
}
