//! The queue: exactly the requests that are ready, in lanes, taken in batches.
//!
//! A lane and a priority name a stretch of one index, in the order of ids. A claim says how many it wants of each, and
//! may start behind the last id it took there: rows that are deleted but still visible to some old snapshot cost it
//! nothing then. SKIP LOCKED makes any number of claims at once safe; what to want is decided elsewhere.

use eve_core::LaneId;
use eve_core::Place;
use eve_core::Priority;
use eve_core::RequestId;
use eve_core::RequestState;
use jiff::Timestamp;

use crate::OrgTx;
use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::columns::Columns;
use crate::error::During;
use crate::standing::Standing;
use crate::standing::common;

/// Stands for every worker type.
pub const EVERY_TYPE: &str = "*";

/// How many requests to take of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// The lane.
    pub lane: LaneId,
    /// How urgent.
    pub priority: Priority,
    /// Only behind this id; the nil id for all.
    pub after: RequestId,
    /// At most so many.
    pub want: i32,
}

/// Takes requests out of the queue, oldest first in each lane.
pub async fn queue_take(tx: &mut PlatformTx, picks: &[Pick]) -> Result<Vec<Standing>, StoreError> {
    let lanes: Vec<i32> = picks.iter().map(|pick| pick.lane.0).collect();
    let priorities: Vec<i16> = picks.iter().map(|pick| pick.priority.number()).collect();
    let after: Vec<uuid::Uuid> = picks.iter().map(|pick| pick.after.uuid()).collect();
    let want: Vec<i32> = picks.iter().map(|pick| pick.want).collect();
    // The array instead of a join keeps the plan from reading the whole table when nothing is known of the limits.
    let rows = sqlx::query!(
        r#"DELETE FROM eve.queue WHERE ctid = ANY (ARRAY(
               SELECT c.ctid
               FROM unnest($1::int[], $2::smallint[], $3::uuid[], $4::int[]) AS w (lane_id, priority, after, want)
               CROSS JOIN LATERAL (
                   SELECT q.ctid FROM eve.queue q
                   WHERE q.lane_id = w.lane_id AND q.priority = w.priority AND q.request_id > w.after
                   ORDER BY q.request_id LIMIT w.want FOR UPDATE SKIP LOCKED) c))
           RETURNING org_id, request_id, parent_id, fence, lane_id, priority, burned, crashes, max_attempts,
                     now() AS "now!""#,
        &lanes,
        &priorities,
        &after,
        &want
    )
    .fetch_all(tx.conn())
    .await
    .during("queue_take")?;
    rows.into_iter()
        .map(|row| {
            let run_at = row.now.to_jiff();
            common!(row).standing(Place::Queue, RequestState::Pending { run_at }, None)
        })
        .collect()
}

/// Puts requests into the queue.
pub async fn queue_enter(tx: &mut impl Tx, rows: &[Standing]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(rows.iter());
    sqlx::query!(
        "INSERT INTO eve.queue (request_id, org_id, parent_id, fence, lane_id, priority, burned, crashes, max_attempts)
         SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::uuid[]), unnest($4::bigint[]), unnest($5::int[]),
             unnest($6::smallint[]), unnest($7::smallint[]), unnest($8::smallint[]), unnest($9::smallint[])",
        &columns.ids,
        &columns.orgs,
        &columns.parents as &[Option<uuid::Uuid>],
        &columns.fences,
        &columns.lanes,
        &columns.priorities,
        &columns.burned,
        &columns.crashes,
        &columns.max_attempts
    )
    .execute(tx.conn())
    .await
    .during("queue_enter")?;
    Ok(())
}

/// Takes requests out of the queue, whose rows are locked.
pub async fn queue_leave(tx: &mut impl Tx, rows: &[&Standing]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "DELETE FROM eve.queue WHERE ctid = ANY (ARRAY(
             SELECT q.ctid FROM unnest($1::int[], $2::smallint[], $3::uuid[]) AS w (lane_id, priority, request_id)
             CROSS JOIN LATERAL (
                 SELECT q.ctid FROM eve.queue q
                 WHERE q.lane_id = w.lane_id AND q.priority = w.priority AND q.request_id = w.request_id LIMIT 1) q))",
        &rows.iter().map(|row| row.lane.0).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.priority.number()).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.id.uuid()).collect::<Vec<_>>()
    )
    .execute(tx.conn())
    .await
    .during("queue_leave")?;
    Ok(())
}

/// The oldest request of a lane at a priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The lane.
    pub lane: LaneId,
    /// How urgent.
    pub priority: Priority,
    /// The oldest that waits there.
    pub id: RequestId,
}

fn head(lane: i32, priority: i16, id: uuid::Uuid) -> Result<Head, StoreError> {
    let priority = Priority::from_number(priority)
        .ok_or_else(|| StoreError::Impossible { table: "queue", detail: format!("priority {priority}") })?;
    Ok(Head { lane: LaneId(lane), priority, id: RequestId::from_uuid(id) })
}

/// The heads of all lanes: one index probe for each, whatever waits behind it.
pub async fn queue_heads(tx: &mut PlatformTx) -> Result<Vec<Head>, StoreError> {
    let rows = sqlx::query!(
        r#"WITH RECURSIVE l AS (
               (SELECT lane_id, priority, request_id FROM eve.queue ORDER BY lane_id, priority, request_id LIMIT 1)
               UNION ALL
               SELECT n.* FROM l CROSS JOIN LATERAL (
                   SELECT q.lane_id, q.priority, q.request_id FROM eve.queue q
                   WHERE (q.lane_id, q.priority) > (l.lane_id, l.priority)
                   ORDER BY q.lane_id, q.priority, q.request_id LIMIT 1) n)
           SELECT lane_id AS "lane_id!", priority AS "priority!", request_id AS "request_id!" FROM l"#
    )
    .fetch_all(tx.conn())
    .await
    .during("queue_heads")?;
    rows.into_iter().map(|row| head(row.lane_id, row.priority, row.request_id)).collect()
}

/// The heads of these lanes behind the given ids, where something waits.
pub async fn queue_heads_after(tx: &mut PlatformTx, after: &[Head]) -> Result<Vec<Head>, StoreError> {
    let lanes: Vec<i32> = after.iter().map(|head| head.lane.0).collect();
    let priorities: Vec<i16> = after.iter().map(|head| head.priority.number()).collect();
    let ids: Vec<uuid::Uuid> = after.iter().map(|head| head.id.uuid()).collect();
    let rows = sqlx::query!(
        r#"SELECT w.lane_id AS "lane_id!", w.priority AS "priority!", q.request_id
           FROM unnest($1::int[], $2::smallint[], $3::uuid[]) AS w (lane_id, priority, after)
           CROSS JOIN LATERAL (
               SELECT q.request_id FROM eve.queue q
               WHERE q.lane_id = w.lane_id AND q.priority = w.priority AND q.request_id > w.after
               ORDER BY q.request_id LIMIT 1) q"#,
        &lanes,
        &priorities,
        &ids
    )
    .fetch_all(tx.conn())
    .await
    .during("queue_heads_after")?;
    rows.into_iter().map(|row| head(row.lane_id, row.priority, row.request_id)).collect()
}

/// What waits for one worker type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDepth {
    /// The worker type.
    pub worker_type: String,
    /// How urgent.
    pub priority: Priority,
    /// Ready to be claimed.
    pub ready: i64,
    /// Due later.
    pub delayed: i64,
    /// When the oldest ready one was asked for.
    pub oldest: Option<Timestamp>,
}

/// The moment in a UUIDv7.
pub(crate) fn moment(id: uuid::Uuid) -> Option<Timestamp> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanos).ok()?).ok()
}

/// Requests of one lane at one priority that are counted for a tenant; there may be more.
pub const COUNTED: i64 = 100_000;
/// The same for all tenants together, whose count no policy slows down.
pub const COUNTED_TOTAL: i64 = 1_000_000;

// Each lane and priority is a stretch of the index: its head is the oldest, and its rows are counted up to a limit, so
// that a look costs the same however much waits. The order keeps the plan from reading the whole table for a few.
macro_rules! depth_rows {
    ($tx:expr, $counted:expr) => {{
        let rows = sqlx::query!(
            r#"SELECT l.worker_type, w.priority AS "priority!", sum(w.ready)::bigint AS "ready!",
                      sum(w.delayed)::bigint AS "delayed!", min(w.oldest::text) AS oldest
               FROM (SELECT a.id AS lane_id, p.priority, c.ready, 0 AS delayed, h.request_id AS oldest
                     FROM eve.lanes a CROSS JOIN unnest('{1,2,3,4}'::smallint[]) AS p (priority)
                     CROSS JOIN LATERAL (
                         SELECT q.request_id FROM eve.queue q WHERE q.lane_id = a.id AND q.priority = p.priority
                         ORDER BY q.request_id LIMIT 1) h
                     CROSS JOIN LATERAL (
                         SELECT count(*) AS ready FROM (
                             SELECT FROM eve.queue q WHERE q.lane_id = a.id AND q.priority = p.priority
                             ORDER BY q.request_id LIMIT $1) n) c
                     UNION ALL
                     SELECT lane_id, priority, 0, count(*), NULL
                     FROM (SELECT lane_id, priority FROM eve.parked WHERE state = 'pending' LIMIT $1) n
                     GROUP BY lane_id, priority) w
               JOIN eve.lanes l ON l.id = w.lane_id
               GROUP BY l.worker_type, w.priority ORDER BY l.worker_type, w.priority LIMIT 2000"#,
            $counted
        )
        .fetch_all($tx.conn())
        .await
        .during("queue_depth")?;
        rows.into_iter()
            .map(|row| {
                let priority = Priority::from_number(row.priority).ok_or_else(|| StoreError::Impossible {
                    table: "queue",
                    detail: format!("priority {}", row.priority),
                })?;
                let oldest = row.oldest.and_then(|id| id.parse().ok()).and_then(moment);
                Ok(QueueDepth {
                    worker_type: row.worker_type,
                    priority,
                    ready: row.ready,
                    delayed: row.delayed,
                    oldest,
                })
            })
            .collect()
    }};
}

/// What waits in the transaction's organization; of each lane at each priority, [`COUNTED`] at most.
pub async fn queue_depth(tx: &mut OrgTx) -> Result<Vec<QueueDepth>, StoreError> {
    depth_rows!(tx, COUNTED)
}

/// What waits in all organizations together; of each lane at each priority, [`COUNTED_TOTAL`] at most.
pub async fn queue_depth_total(tx: &mut PlatformTx) -> Result<Vec<QueueDepth>, StoreError> {
    depth_rows!(tx, COUNTED_TOTAL)
}
