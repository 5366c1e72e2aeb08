//! Dependencies between requests that are not finished: `blocked_by`.

use std::collections::HashSet;

use eve_core::OrgId;
use eve_core::RequestId;
use eve_core::StateName;

use crate::OrgTx;
use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;

/// How often the dependencies of a new request are looked for while they move.
const LOOKS: usize = 20;

/// How what a new request depends on stands now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dependencies {
    /// Not finished; they cannot finish before the transaction is over.
    pub open: Vec<RequestId>,
    /// Finished without completing.
    pub failed: Vec<RequestId>,
    /// Not the organization's.
    pub missing: Vec<RequestId>,
}

/// Looks at what a new request shall depend on, and holds what is not finished where it stands, so that none of it
/// finishes unnoticed before the new request is there.
pub async fn dependency_hold(tx: &mut OrgTx, depends_on: &[RequestId]) -> Result<Dependencies, StoreError> {
    const OP: &str = "dependency_hold";
    let mut wanted: Vec<uuid::Uuid> = depends_on.iter().map(|id| id.uuid()).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let org = tx.org().uuid();
    let rows = sqlx::query!("SELECT id, lane_id FROM eve.requests WHERE org_id = $1 AND id = ANY ($2)", org, &wanted)
        .fetch_all(tx.conn())
        .await
        .during(OP)?;
    let known: HashSet<uuid::Uuid> = rows.iter().map(|row| row.id).collect();
    let (found, missing): (Vec<uuid::Uuid>, Vec<uuid::Uuid>) = wanted.into_iter().partition(|id| known.contains(id));
    let mut out =
        Dependencies { missing: missing.into_iter().map(RequestId::from_uuid).collect(), ..Default::default() };
    let mut lanes: Vec<i32> = rows.iter().map(|row| row.lane_id).collect();
    lanes.sort_unstable();
    lanes.dedup();
    let mut left = found;
    for _ in 0..LOOKS {
        if left.is_empty() {
            return Ok(out);
        }
        let mut held: HashSet<uuid::Uuid> = HashSet::new();
        held.extend(
            sqlx::query_scalar!(
                "SELECT request_id FROM eve.leases WHERE request_id = ANY ($1) ORDER BY request_id FOR KEY SHARE",
                &left
            )
            .fetch_all(tx.conn())
            .await
            .during(OP)?,
        );
        held.extend(
            sqlx::query_scalar!(
                "SELECT request_id FROM eve.parked WHERE request_id = ANY ($1) ORDER BY request_id FOR KEY SHARE",
                &left
            )
            .fetch_all(tx.conn())
            .await
            .during(OP)?,
        );
        held.extend(
            sqlx::query_scalar!(
                "SELECT request_id FROM eve.queue
                 WHERE lane_id = ANY ($1) AND priority = ANY ('{1,2,3,4}'::smallint[]) AND request_id = ANY ($2)
                 ORDER BY request_id FOR KEY SHARE",
                &lanes,
                &left
            )
            .fetch_all(tx.conn())
            .await
            .during(OP)?,
        );
        left.retain(|id| !held.contains(id));
        out.open.extend(held.into_iter().map(RequestId::from_uuid));
        let finished = sqlx::query!("SELECT request_id, state FROM eve.results WHERE request_id = ANY ($1)", &left)
            .fetch_all(tx.conn())
            .await
            .during(OP)?;
        let completed = StateName::Completed.name();
        let failed = finished.iter().filter(|row| row.state != completed);
        out.failed.extend(failed.map(|row| RequestId::from_uuid(row.request_id)));
        let finished: HashSet<uuid::Uuid> = finished.into_iter().map(|row| row.request_id).collect();
        left.retain(|id| !finished.contains(id));
    }
    Err(StoreError::Impossible { table: "requests", detail: format!("{} dependencies are nowhere", left.len()) })
}

/// Notes which request waits for which: pairs of the one that waits and what it waits for.
pub async fn dependency_add(tx: &mut OrgTx, pairs: &[(RequestId, RequestId)]) -> Result<(), StoreError> {
    if pairs.is_empty() {
        return Ok(());
    }
    let (waiting, on): (Vec<uuid::Uuid>, Vec<uuid::Uuid>) =
        pairs.iter().map(|(waiting, on)| (waiting.uuid(), on.uuid())).unzip();
    sqlx::query!(
        "INSERT INTO eve.dependencies (depends_on_id, request_id, org_id)
         SELECT depends_on_id, request_id, $1 FROM unnest($2::uuid[], $3::uuid[]) AS d (depends_on_id, request_id)
         ON CONFLICT DO NOTHING",
        tx.org().uuid(),
        &on,
        &waiting
    )
    .execute(tx.conn())
    .await
    .during("dependency_add")?;
    Ok(())
}

/// Forgets up to `limit` dependencies on finished requests, and says which request depended on which.
pub async fn dependency_take(
    tx: &mut impl Tx,
    finished: &[RequestId],
    limit: i64,
) -> Result<Vec<(RequestId, RequestId)>, StoreError> {
    let ids: Vec<uuid::Uuid> = finished.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        "DELETE FROM eve.dependencies WHERE ctid = ANY (ARRAY(
             SELECT d.ctid FROM unnest($1::uuid[]) AS f (id)
             CROSS JOIN LATERAL (
                 SELECT d.ctid FROM eve.dependencies d WHERE d.depends_on_id = f.id
                 ORDER BY d.request_id LIMIT $2 FOR UPDATE SKIP LOCKED) d
             LIMIT $2))
         RETURNING depends_on_id, request_id",
        &ids,
        limit
    )
    .fetch_all(tx.conn())
    .await
    .during("dependency_take")?;
    let pair = |on, of| (RequestId::from_uuid(on), RequestId::from_uuid(of));
    Ok(rows.into_iter().map(|row| pair(row.depends_on_id, row.request_id)).collect())
}

/// Forgets what requests of an organization waited for that wait no more.
pub async fn dependency_forget(tx: &mut impl Tx, org: OrgId, requests: &[RequestId]) -> Result<(), StoreError> {
    let ids: Vec<uuid::Uuid> = requests.iter().map(|id| id.uuid()).collect();
    sqlx::query!(
        "DELETE FROM eve.dependencies WHERE ctid = ANY (ARRAY(
             SELECT d.ctid FROM eve.requests r
             CROSS JOIN LATERAL unnest(r.blocked_by) AS b (id)
             CROSS JOIN LATERAL (
                 SELECT d.ctid FROM eve.dependencies d WHERE d.depends_on_id = b.id AND d.request_id = r.id
                 LIMIT 1 FOR UPDATE) d
             WHERE r.org_id = $1 AND r.id = ANY ($2)))",
        org.uuid(),
        &ids
    )
    .execute(tx.conn())
    .await
    .during("dependency_forget")?;
    Ok(())
}

/// A finished request whose dependants are still to be freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// Its organization.
    pub org_id: OrgId,
    /// The request.
    pub request_id: RequestId,
    /// Whether it finished without completing.
    pub failed: bool,
}

/// Leaves the rest of a request's dependants to the service that frees them.
pub async fn release_add(tx: &mut impl Tx, release: Release) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO eve.releases (request_id, org_id, failed) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        release.request_id.uuid(),
        release.org_id.uuid(),
        release.failed
    )
    .execute(tx.conn())
    .await
    .during("release_add")?;
    Ok(())
}

/// Takes the releases that wait longest.
pub async fn release_take(tx: &mut PlatformTx, limit: i64) -> Result<Vec<Release>, StoreError> {
    let rows = sqlx::query!(
        "DELETE FROM eve.releases WHERE request_id = ANY (ARRAY(
             SELECT request_id FROM eve.releases ORDER BY request_id LIMIT $1 FOR UPDATE SKIP LOCKED))
         RETURNING request_id, org_id, failed",
        limit
    )
    .fetch_all(tx.conn())
    .await
    .during("release_take")?;
    Ok(rows
        .into_iter()
        .map(|row| Release {
            org_id: OrgId::from_uuid(row.org_id),
            request_id: RequestId::from_uuid(row.request_id),
            failed: row.failed,
        })
        .collect())
}
