//! The log of an attempt: what its agent said and did, appended in bulk under the fence.

use eve_core::AgentEvent;
use eve_core::AttemptId;
use eve_core::EVENT_VERSION;
use eve_core::Fence;
use eve_core::OrgId;
use eve_core::RequestId;
use jiff::Timestamp;

use crate::OrgTx;
use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;
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
    Stored {
        /// Whose log it is.
        org_id: OrgId,
        /// Which request's.
        request_id: RequestId,
    },
    /// The fence is old: nothing was written.
    Stale,
}

/// Appends entries if the fence still holds.
pub async fn attempt_log_append(
    tx: &mut PlatformTx,
    attempt: AttemptId,
    fence: Fence,
    entries: &[LogEntry],
) -> Result<Appended, StoreError> {
    let seqs: Vec<i64> = entries.iter().map(|entry| entry.seq).collect();
    let times: Vec<jiff_sqlx::Timestamp> = entries.iter().map(|entry| stamp(entry.at)).collect();
    let events = entries
        .iter()
        .map(|entry| serde_json::to_value(&entry.event))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| StoreError::Impossible { table: "attempt_events", detail: error.to_string() })?;
    let row = sqlx::query!(
        r#"WITH lease AS (
             SELECT org_id, request_id FROM eve.leases WHERE attempt_id = $1 AND fence = $2 FOR KEY SHARE
           ), stored AS (
             INSERT INTO eve.attempt_events (org_id, attempt_id, seq, at, version, event)
             SELECT lease.org_id, $1, n.seq, n.at, $6, n.event
             FROM lease, unnest($3::bigint[], $4::timestamptz[], $5::jsonb[]) AS n (seq, at, event)
             ON CONFLICT DO NOTHING
           )
           SELECT org_id, request_id FROM lease"#,
        attempt.uuid(),
        fence.0,
        &seqs,
        &times as _,
        &events,
        EVENT_VERSION
    )
    .fetch_optional(tx.conn())
    .await
    .during("attempt_log_append")?;
    Ok(row.map_or(Appended::Stale, |row| Appended::Stored {
        org_id: OrgId::from_uuid(row.org_id),
        request_id: RequestId::from_uuid(row.request_id),
    }))
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
        "SELECT a.number, e.attempt_id, e.seq, e.at, e.event
         FROM eve.attempts a
         JOIN eve.attempt_events e ON e.attempt_id = a.id
         WHERE a.org_id = $1 AND a.request_id = $2 AND (a.number, e.seq) > ($3, $4)
         ORDER BY a.number, e.seq
         LIMIT $5",
        tx.org().uuid(),
        request.uuid(),
        after.attempt,
        after.seq,
        limit
    )
    .fetch_all(tx.conn())
    .await
    .during("request_log_list")?;
    Ok(rows
        .into_iter()
        .map(|row| RequestLogEntry {
            position: LogPosition { attempt: row.number, seq: row.seq },
            attempt_id: AttemptId::from_uuid(row.attempt_id),
            at: row.at.to_jiff(),
            event: row.event,
        })
        .collect())
}
