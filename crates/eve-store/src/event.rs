//! What happened, append-only, one stream per organization.
//!
//! A position in the stream is the pair (transaction, number). A reader stops before the oldest transaction that
//! is still open, so a commit that comes late is never skipped, and no writer waits for another to draw a number.

use std::fmt;
use std::str::FromStr;

use eve_core::AttemptId;
use eve_core::LaneId;
use eve_core::OrgId;
use eve_core::RequestId;
use jiff::Timestamp;

use crate::OrgTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;

/// A position in an organization's stream; the events after it are those not seen yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct EventPosition {
    /// The transaction.
    pub xid: u64,
    /// The number within all events.
    pub seq: i64,
}

impl fmt::Display for EventPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.xid, self.seq)
    }
}

impl FromStr for EventPosition {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (xid, seq) = text.split_once('-').ok_or(())?;
        Ok(Self { xid: xid.parse().map_err(|_| ())?, seq: seq.parse().map_err(|_| ())? })
    }
}

/// An event as read from the stream.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// Where it stands in the stream.
    pub position: EventPosition,
    /// What happened, as `noun:verb`.
    pub kind: String,
    /// To which request.
    pub request_id: Option<RequestId>,
    /// In which attempt.
    pub attempt_id: Option<AttemptId>,
    /// Who did it.
    pub actor: String,
    /// Anything else.
    pub payload: serde_json::Value,
    /// When its transaction began.
    pub at: Timestamp,
}

/// An event to be written.
#[derive(Debug, Clone)]
pub struct NewEvent<'a> {
    /// Whose stream.
    pub org: OrgId,
    /// What happened, as `noun:verb`.
    pub kind: &'static str,
    /// To which request.
    pub request_id: Option<RequestId>,
    /// In which attempt.
    pub attempt_id: Option<AttemptId>,
    /// The request's lane, which says the worker type.
    pub lane: Option<LaneId>,
    /// Who did it.
    pub actor: &'a str,
}

/// Appends events, in this order.
pub async fn event_append(tx: &mut impl Tx, new: &[NewEvent<'_>]) -> Result<(), StoreError> {
    if new.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO eve.events (org_id, request_id, attempt_id, lane_id, kind, actor)
         SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::uuid[]), unnest($4::int[]), unnest($5::text[]),
             unnest($6::text[])",
        &new.iter().map(|event| event.org.uuid()).collect::<Vec<_>>(),
        &new.iter().map(|event| event.request_id.map(RequestId::uuid)).collect::<Vec<_>>() as &[Option<uuid::Uuid>],
        &new.iter().map(|event| event.attempt_id.map(AttemptId::uuid)).collect::<Vec<_>>() as &[Option<uuid::Uuid>],
        &new.iter().map(|event| event.lane.map(|lane| lane.0)).collect::<Vec<_>>() as &[Option<i32>],
        &new.iter().map(|event| event.kind.to_owned()).collect::<Vec<_>>(),
        &new.iter().map(|event| event.actor.to_owned()).collect::<Vec<_>>()
    )
    .execute(tx.conn())
    .await
    .during("event_append")?;
    Ok(())
}

/// Appends one event that is about no request, with what there is to say about it.
pub async fn event_append_about(
    tx: &mut OrgTx,
    kind: &'static str,
    actor: &str,
    payload: &serde_json::Value,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO eve.events (org_id, kind, actor, payload) VALUES ($1, $2, $3, $4)",
        tx.org().uuid(),
        kind,
        actor,
        payload
    )
    .execute(tx.conn())
    .await
    .during("event_append_about")?;
    Ok(())
}

/// Events after a position that no open transaction can still precede, in order.
pub async fn event_list(tx: &mut OrgTx, after: EventPosition, limit: i64) -> Result<Vec<EventRow>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT xid::text AS "xid!", seq, kind, request_id, attempt_id, actor, at,
                  coalesce(payload, jsonb_strip_nulls(jsonb_build_object(
                      'worker_type', (SELECT l.worker_type FROM eve.lanes l WHERE l.id = e.lane_id)))) AS "payload!"
           FROM eve.events e
           WHERE org_id = $1 AND (xid, seq) > ($2::text::xid8, $3) AND xid < pg_snapshot_xmin(pg_current_snapshot())
           ORDER BY org_id, xid, seq
           LIMIT $4"#,
        tx.org().uuid(),
        after.xid.to_string(),
        after.seq,
        limit
    )
    .fetch_all(tx.conn())
    .await
    .during("event_list")?;
    rows.into_iter()
        .map(|row| {
            let xid = row
                .xid
                .parse()
                .map_err(|_| StoreError::Impossible { table: "events", detail: format!("xid {}", row.xid) })?;
            Ok(EventRow {
                position: EventPosition { xid, seq: row.seq },
                kind: row.kind,
                request_id: row.request_id.map(RequestId::from_uuid),
                attempt_id: row.attempt_id.map(AttemptId::from_uuid),
                actor: row.actor,
                payload: row.payload,
                at: row.at.to_jiff(),
            })
        })
        .collect()
}

/// The end of the stream as it is now: from here on, only what happens later is new.
pub async fn event_end(tx: &mut OrgTx) -> Result<EventPosition, StoreError> {
    let row = sqlx::query!(
        r#"SELECT xid::text AS "xid!", seq FROM eve.events
           WHERE org_id = $1 AND xid < pg_snapshot_xmin(pg_current_snapshot())
           ORDER BY org_id DESC, xid DESC, seq DESC LIMIT 1"#,
        tx.org().uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .during("event_end")?;
    Ok(row.map_or_else(EventPosition::default, |row| EventPosition {
        xid: row.xid.parse().unwrap_or_default(),
        seq: row.seq,
    }))
}
