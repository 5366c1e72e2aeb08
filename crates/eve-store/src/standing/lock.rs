//! Finding and locking one request, wherever it stands.

use std::collections::HashMap;
use std::collections::HashSet;

use eve_core::OrgId;
use eve_core::Place;
use eve_core::RequestId;
use eve_core::RequestState;
use eve_core::StateName;

use super::Standing;
use super::common;
use super::lease_standing;
use super::parked_standing;
use crate::StoreError;
use crate::Tx;
use crate::error::During;

/// How often a request may move while it is looked for.
const LOOKS: usize = 20;

/// A request as it was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Locked {
    /// Not finished; its row is locked until the transaction ends.
    Standing(Box<Standing>),
    /// Finished, with this state.
    Finished(StateName),
    /// The transaction sees no such request.
    Missing,
}

/// Locks a request where it stands.
///
/// A request is in one place, but may move between two looks: whoever waits for a row that a claim deletes finds
/// nothing and looks again.
pub async fn standing_lock(tx: &mut impl Tx, org: OrgId, id: RequestId) -> Result<Locked, StoreError> {
    const OP: &str = "standing_lock";
    let lane =
        sqlx::query_scalar!("SELECT lane_id FROM eve.requests WHERE org_id = $1 AND id = $2", org.uuid(), id.uuid())
            .fetch_optional(tx.conn())
            .await
            .during(OP)?;
    let Some(lane) = lane else { return Ok(Locked::Missing) };
    for _ in 0..LOOKS {
        let lease = sqlx::query!(
            r#"SELECT org_id, request_id, attempt_id, worker_id, parent_id, fence, claimed_at, started_at, lane_id,
                      priority, burned, crashes, max_attempts, stop, harness, session_id, now() AS "now!"
               FROM eve.leases WHERE request_id = $1 FOR UPDATE"#,
            id.uuid()
        )
        .fetch_optional(tx.conn())
        .await
        .during(OP)?;
        if let Some(row) = lease {
            return Ok(Locked::Standing(Box::new(lease_standing!(row)?)));
        }
        let parked = sqlx::query!(
            r#"SELECT org_id, request_id, parent_id, fence, run_at, lane_id, priority, burned, crashes, max_attempts,
                      state, reason, on_dependency_failure, now() AS "now!"
               FROM eve.parked WHERE request_id = $1 FOR UPDATE"#,
            id.uuid()
        )
        .fetch_optional(tx.conn())
        .await
        .during(OP)?;
        if let Some(row) = parked {
            return Ok(Locked::Standing(Box::new(parked_standing!(row)?)));
        }
        let queued = sqlx::query!(
            r#"SELECT org_id, request_id, parent_id, fence, lane_id, priority, burned, crashes, max_attempts,
                      now() AS "now!"
               FROM eve.queue WHERE lane_id = $1 AND priority = ANY ('{1,2,3,4}'::smallint[]) AND request_id = $2
               FOR UPDATE"#,
            lane,
            id.uuid()
        )
        .fetch_optional(tx.conn())
        .await
        .during(OP)?;
        if let Some(row) = queued {
            let run_at = row.now.to_jiff();
            let standing = common!(row).standing(Place::Queue, RequestState::Pending { run_at }, None)?;
            return Ok(Locked::Standing(Box::new(standing)));
        }
        let finished = sqlx::query_scalar!("SELECT state FROM eve.results WHERE request_id = $1", id.uuid())
            .fetch_optional(tx.conn())
            .await
            .during(OP)?;
        if let Some(state) = finished {
            let name = StateName::from_name(&state)
                .ok_or_else(|| StoreError::Impossible { table: "results", detail: state.clone() })?;
            return Ok(Locked::Finished(name));
        }
    }
    Err(StoreError::Impossible { table: "requests", detail: format!("{id} is nowhere") })
}

/// Requests as they were found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LockedMany {
    /// Not finished; their rows are locked until the transaction ends.
    pub standing: Vec<Standing>,
    /// Finished, with these states.
    pub finished: Vec<(RequestId, StateName)>,
    /// The transaction sees no such requests.
    pub missing: Vec<RequestId>,
}

/// Locks requests where they stand, as [`standing_lock`] does with one. Answers come in no particular order.
pub async fn standing_lock_many(tx: &mut impl Tx, org: OrgId, ids: &[RequestId]) -> Result<LockedMany, StoreError> {
    const OP: &str = "standing_lock_many";
    let mut out = LockedMany::default();
    let wanted: Vec<uuid::Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let lanes: HashMap<uuid::Uuid, i32> =
        sqlx::query!("SELECT id, lane_id FROM eve.requests WHERE org_id = $1 AND id = ANY ($2)", org.uuid(), &wanted)
            .fetch_all(tx.conn())
            .await
            .during(OP)?
            .into_iter()
            .map(|row| (row.id, row.lane_id))
            .collect();
    out.missing.extend(ids.iter().filter(|id| !lanes.contains_key(&id.uuid())));
    let mut left: Vec<uuid::Uuid> = lanes.keys().copied().collect();
    left.sort_unstable();
    for _ in 0..LOOKS {
        let before = out.standing.len();
        let leased = sqlx::query!(
            r#"SELECT org_id, request_id, attempt_id, worker_id, parent_id, fence, claimed_at, started_at, lane_id,
                      priority, burned, crashes, max_attempts, stop, harness, session_id, now() AS "now!"
               FROM eve.leases WHERE request_id = ANY ($1) ORDER BY request_id FOR UPDATE"#,
            &left
        )
        .fetch_all(tx.conn())
        .await
        .during(OP)?;
        for row in leased {
            out.standing.push(lease_standing!(row)?);
        }
        let parked = sqlx::query!(
            r#"SELECT org_id, request_id, parent_id, fence, run_at, lane_id, priority, burned, crashes, max_attempts,
                      state, reason, on_dependency_failure, now() AS "now!"
               FROM eve.parked WHERE request_id = ANY ($1) ORDER BY request_id FOR UPDATE"#,
            &left
        )
        .fetch_all(tx.conn())
        .await
        .during(OP)?;
        for row in parked {
            out.standing.push(parked_standing!(row)?);
        }
        let queued = sqlx::query!(
            r#"SELECT q.org_id, q.request_id, q.parent_id, q.fence, q.lane_id, q.priority, q.burned, q.crashes,
                      q.max_attempts, now() AS "now!"
               FROM unnest($1::int[], $2::uuid[]) AS w (lane_id, id)
               CROSS JOIN LATERAL (
                   SELECT * FROM eve.queue q
                   WHERE q.lane_id = w.lane_id AND q.priority = ANY ('{1,2,3,4}'::smallint[]) AND q.request_id = w.id
                   FOR UPDATE) q"#,
            &left.iter().filter_map(|id| lanes.get(id).copied()).collect::<Vec<_>>(),
            &left
        )
        .fetch_all(tx.conn())
        .await
        .during(OP)?;
        for row in queued {
            let run_at = row.now.to_jiff();
            out.standing.push(common!(row).standing(Place::Queue, RequestState::Pending { run_at }, None)?);
        }
        let found: HashSet<uuid::Uuid> = out.standing.iter().skip(before).map(|one| one.id.uuid()).collect();
        left.retain(|id| !found.contains(id));
        if left.is_empty() {
            return Ok(out);
        }
        let finished = sqlx::query!("SELECT request_id, state FROM eve.results WHERE request_id = ANY ($1)", &left)
            .fetch_all(tx.conn())
            .await
            .during(OP)?;
        for row in finished {
            let name = StateName::from_name(&row.state)
                .ok_or_else(|| StoreError::Impossible { table: "results", detail: row.state.clone() })?;
            left.retain(|id| *id != row.request_id);
            out.finished.push((RequestId::from_uuid(row.request_id), name));
        }
        if left.is_empty() {
            return Ok(out);
        }
    }
    Err(StoreError::Impossible { table: "requests", detail: format!("{} requests are nowhere", left.len()) })
}
