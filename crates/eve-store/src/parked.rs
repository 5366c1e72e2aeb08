//! Requests that are neither finished nor ready nor in anybody's hands: blocked, held, waiting, paused, due later.

use eve_core::Priority;
use eve_core::RequestId;
use jiff::SignedDuration;

use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::columns::Columns;
use crate::error::During;
use crate::request::stamp;
use crate::standing::Standing;
use crate::standing::parked_standing;
use crate::standing::state_columns;

/// Parks requests. `open` says for each how many others it waits for.
pub async fn parked_enter(tx: &mut impl Tx, rows: &[Standing], open: &[i32]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(rows.iter());
    let states: Vec<_> = rows.iter().map(|row| state_columns(row.life.state)).collect();
    let names: Vec<String> = states.iter().map(|state| state.state.to_owned()).collect();
    let reasons: Vec<Option<String>> = states.iter().map(|state| state.reason.map(str::to_owned)).collect();
    let times: Vec<Option<jiff_sqlx::Timestamp>> = states.iter().map(|state| state.run_at.map(stamp)).collect();
    let policies: Vec<String> = rows.iter().map(|row| row.life.on_dependency_failure.name().to_owned()).collect();
    sqlx::query!(
        "INSERT INTO eve.parked (request_id, org_id, parent_id, fence, lane_id, priority, burned, crashes,
                                 max_attempts, state, reason, run_at, on_dependency_failure, open)
         SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::uuid[]), unnest($4::bigint[]), unnest($5::int[]),
             unnest($6::smallint[]), unnest($7::smallint[]), unnest($8::smallint[]), unnest($9::smallint[]),
             unnest($10::text[]), unnest($11::text[]), unnest($12::timestamptz[]), unnest($13::text[]),
             unnest($14::int[])",
        &columns.ids,
        &columns.orgs,
        &columns.parents as &[Option<uuid::Uuid>],
        &columns.fences,
        &columns.lanes,
        &columns.priorities,
        &columns.burned,
        &columns.crashes,
        &columns.max_attempts,
        &names,
        &reasons as &[Option<String>],
        &times as &[Option<jiff_sqlx::Timestamp>],
        &policies,
        open
    )
    .execute(tx.conn())
    .await
    .during("parked_enter")?;
    Ok(())
}

/// Takes requests out, whose rows are locked.
pub async fn parked_leave(tx: &mut impl Tx, ids: &[RequestId]) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.uuid()).collect();
    sqlx::query!("DELETE FROM eve.parked WHERE request_id = ANY ($1)", &ids)
        .execute(tx.conn())
        .await
        .during("parked_leave")?;
    Ok(())
}

/// Makes parked requests as urgent as this. The rows are locked.
pub async fn parked_reprioritise(tx: &mut impl Tx, ids: &[RequestId], priority: Priority) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.uuid()).collect();
    sqlx::query!("UPDATE eve.parked SET priority = $2 WHERE request_id = ANY ($1)", &ids, priority.number())
        .execute(tx.conn())
        .await
        .during("parked_reprioritise")?;
    Ok(())
}

/// Takes out requests that have become due, the longest due first.
pub async fn parked_take_due(tx: &mut PlatformTx, limit: i64) -> Result<Vec<Standing>, StoreError> {
    let rows = sqlx::query!(
        r#"DELETE FROM eve.parked WHERE request_id = ANY (ARRAY(
               SELECT request_id FROM eve.parked WHERE run_at <= now() ORDER BY run_at LIMIT $1 FOR UPDATE SKIP LOCKED))
           RETURNING org_id, request_id, parent_id, fence, run_at, lane_id, priority, burned, crashes, max_attempts,
                     state, reason, on_dependency_failure, now() AS "now!""#,
        limit
    )
    .fetch_all(tx.conn())
    .await
    .during("parked_take_due")?;
    rows.into_iter().map(|row| parked_standing!(row)).collect()
}

/// How long until the next parked request is due, if one is.
pub async fn parked_next_due(tx: &mut PlatformTx) -> Result<Option<SignedDuration>, StoreError> {
    let seconds = sqlx::query_scalar!(
        r#"SELECT extract(epoch FROM run_at - now())::float8 AS "seconds!"
           FROM eve.parked WHERE run_at IS NOT NULL ORDER BY run_at LIMIT 1"#
    )
    .fetch_optional(tx.conn())
    .await
    .during("parked_next_due")?;
    Ok(seconds.map(|seconds| SignedDuration::from_secs_f64(seconds.clamp(0.0, 86_400.0))))
}

/// A parked request that waits for fewer others than before.
#[derive(Debug, Clone, PartialEq)]
pub struct Loosened {
    /// The request; its row is locked.
    pub standing: Standing,
    /// What it still waits for.
    pub open: i32,
}

/// Counts down what parked requests in this state wait for: dependencies of blocked ones, children of waiting ones.
/// Requests that are not parked, or for another reason, are left alone.
pub async fn parked_loosen(
    tx: &mut impl Tx,
    state: &'static str,
    by: &[(RequestId, i32)],
) -> Result<Vec<Loosened>, StoreError> {
    let ids: Vec<uuid::Uuid> = by.iter().map(|(id, _)| id.uuid()).collect();
    let counts: Vec<i32> = by.iter().map(|(_, count)| *count).collect();
    // Locked in the order of ids, so that two who finish dependencies of the same requests do not lock each other out.
    let rows = sqlx::query!(
        r#"WITH locked AS MATERIALIZED (
               SELECT request_id FROM eve.parked
               WHERE request_id = ANY ($1) AND state = $3 AND reason IS NOT DISTINCT FROM $4
               ORDER BY request_id FOR UPDATE)
           UPDATE eve.parked p SET open = p.open - n.count
           FROM locked JOIN unnest($1::uuid[], $2::int[]) AS n (id, count) ON n.id = locked.request_id
           WHERE p.request_id = locked.request_id
           RETURNING p.org_id, p.request_id, p.parent_id, p.fence, p.run_at, p.lane_id, p.priority, p.burned, p.crashes,
                     p.max_attempts, p.state, p.reason, p.on_dependency_failure, p.open, now() AS "now!""#,
        &ids,
        &counts,
        state,
        if state == "waiting" { Some("children") } else { None }
    )
    .fetch_all(tx.conn())
    .await
    .during("parked_loosen")?;
    rows.into_iter().map(|row| Ok(Loosened { open: row.open, standing: parked_standing!(row)? })).collect()
}
