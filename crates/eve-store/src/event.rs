//! What happened, append-only, one stream per organization.
//!
//! A position in the stream is the pair (transaction, number). A reader stops before the oldest transaction that
//! is still open, so a commit that comes late is never skipped, and no writer waits for another to draw a number.
//!
//! What happens alike to many requests in one transaction is written as few rows, each for up to [`EVENTS_OF_A_ROW`]:
//! a settled batch costs one row instead of fifty. Readers see each event by itself.

use std::collections::HashMap;
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
use crate::columns::slices;
use crate::columns::sparse;
use crate::error::During;

/// Most events in a row: so many ids that it need not be stored in pieces.
pub(crate) const EVENTS_OF_A_ROW: usize = 48;
/// Numbers that a row has for its events; `eve.event_view` counts by it, too.
const NUMBERS_OF_A_ROW: i64 = 64;

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
    pub request_id: RequestId,
    /// In which attempt.
    pub attempt_id: Option<AttemptId>,
    /// The request's lane, which says the worker type.
    pub lane: LaneId,
    /// Who did it.
    pub actor: &'a str,
}

/// Sorts events into rows: alike in organization, kind and actor. What happens to one request stays in its order; what
/// happens to different ones in the same transaction has none.
fn rows<'a>(new: &'a [NewEvent<'a>]) -> Vec<Vec<&'a NewEvent<'a>>> {
    let mut rows: Vec<Vec<&NewEvent<'_>>> = Vec::new();
    let mut open: HashMap<(OrgId, &str, &str), usize> = HashMap::new();
    let mut last: HashMap<RequestId, usize> = HashMap::with_capacity(new.len());
    for event in new {
        let key = (event.org, event.kind, event.actor);
        let earliest = last.get(&event.request_id).copied().unwrap_or(0);
        let fitting = open.get(&key).copied().filter(|index| *index >= earliest);
        let fitting = fitting.filter(|index| rows.get(*index).is_some_and(|row| row.len() < EVENTS_OF_A_ROW));
        let index = fitting.unwrap_or(rows.len());
        match rows.get_mut(index) {
            Some(row) => row.push(event),
            None => rows.push(vec![event]),
        }
        open.insert(key, index);
        last.insert(event.request_id, index);
    }
    rows
}

/// Appends events; those of one request in this order.
pub async fn event_append(tx: &mut impl Tx, new: &[NewEvent<'_>]) -> Result<(), StoreError> {
    if new.is_empty() {
        return Ok(());
    }
    let rows = rows(new);
    let (low, high) = slices(rows.iter().map(Vec::len));
    let firsts: Vec<&NewEvent<'_>> = rows.iter().filter_map(|row| row.first().copied()).collect();
    let events: Vec<&NewEvent<'_>> = rows.iter().flatten().copied().collect();
    sqlx::query!(
        "INSERT INTO eve.events (org_id, kind, actor, request_ids, attempt_ids, lane_ids)
         SELECT org_id, kind, actor, ($6::uuid[])[low:high], ($7::uuid[])[low:high], ($8::int[])[low:high]
         FROM (SELECT unnest($1::uuid[]) AS org_id, unnest($2::text[]) AS kind, unnest($3::text[]) AS actor,
                      unnest($4::int[]) AS low, unnest($5::int[]) AS high) r",
        &firsts.iter().map(|event| event.org.uuid()).collect::<Vec<_>>(),
        &firsts.iter().map(|event| event.kind).collect::<Vec<_>>() as &[&str],
        &firsts.iter().map(|event| event.actor).collect::<Vec<_>>() as &[&str],
        &low,
        &high,
        &events.iter().map(|event| event.request_id.uuid()).collect::<Vec<_>>(),
        &sparse(events.iter().map(|event| event.attempt_id.map(AttemptId::uuid))) as &[Option<uuid::Uuid>],
        &events.iter().map(|event| event.lane.0).collect::<Vec<_>>()
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
        r#"SELECT xid::text AS "xid!", seq AS "seq!", kind AS "kind!", request_id, attempt_id, actor AS "actor!",
                  at AS "at!",
                  coalesce(payload, jsonb_strip_nulls(jsonb_build_object(
                      'worker_type', (SELECT l.worker_type FROM eve.lanes l WHERE l.id = e.lane_id)))) AS "payload!"
           FROM eve.event_view e
           WHERE org_id = $1 AND (xid, row_seq) >= ($2::text::xid8, $4) AND (xid, seq) > ($2::text::xid8, $3)
             AND xid < pg_snapshot_xmin(pg_current_snapshot())
           ORDER BY org_id, xid, row_seq, seq
           LIMIT $5"#,
        tx.org().uuid(),
        after.xid.to_string(),
        after.seq,
        after.seq / NUMBERS_OF_A_ROW,
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
        seq: row.seq * NUMBERS_OF_A_ROW + NUMBERS_OF_A_ROW - 1,
    }))
}

#[cfg(test)]
mod tests;
