//! Dependencies between requests: `blocked_by`.

use eve_core::Blockers;
use eve_core::OrgId;
use eve_core::RequestId;

use crate::OrgTx;
use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;

/// Notes what a new request depends on, and says how that stands now. Ids that the organization does not have are
/// returned, and nothing is written then.
pub async fn dependency_add(
    tx: &mut OrgTx,
    request: RequestId,
    depends_on: &[RequestId],
) -> Result<Result<(), Vec<RequestId>>, StoreError> {
    const OP: &str = "dependency_add";
    let org = tx.org().uuid();
    let ids: Vec<uuid::Uuid> = depends_on.iter().map(|id| id.uuid()).collect();
    let missing = sqlx::query_scalar!(
        r#"SELECT wanted AS "wanted!" FROM unnest($2::uuid[]) wanted
           WHERE NOT EXISTS (SELECT FROM eve.requests r WHERE r.org_id = $1 AND r.id = wanted)"#,
        org,
        &ids
    )
    .fetch_all(tx.conn())
    .await
    .during(OP)?;
    if !missing.is_empty() {
        return Ok(Err(missing.into_iter().map(RequestId::from_uuid).collect()));
    }
    sqlx::query!(
        "INSERT INTO eve.request_dependencies (org_id, request_id, depends_on_id)
         SELECT $1, $2, id FROM unnest($3::uuid[]) id ON CONFLICT DO NOTHING",
        org,
        request.uuid(),
        &ids
    )
    .execute(tx.conn())
    .await
    .during(OP)?;
    Ok(Ok(()))
}

/// How the dependencies of a request stand in this transaction's view.
pub async fn dependency_blockers(tx: &mut impl Tx, org: OrgId, request: RequestId) -> Result<Blockers, StoreError> {
    let row = sqlx::query!(
        r#"SELECT count(*) FILTER (WHERE r.state NOT IN ('completed', 'failed', 'cancelled')) AS "open!",
                  count(*) FILTER (WHERE r.state IN ('failed', 'cancelled')) AS "failed!"
           FROM eve.request_dependencies d
           JOIN eve.requests r ON r.org_id = d.org_id AND r.id = d.depends_on_id
           WHERE d.org_id = $1 AND d.request_id = $2"#,
        org.uuid(),
        request.uuid()
    )
    .fetch_one(tx.conn())
    .await
    .during("dependency_blockers")?;
    let count = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    Ok(Blockers { open: count(row.open), failed: count(row.failed) })
}

/// Requests that are blocked although nothing, or nothing but a failure, is in their way; oldest first.
///
/// The transaction that finishes a request frees its dependants up to a limit; this finds the rest, and requests whose
/// last dependency finished while they were being created.
pub async fn dependency_release_candidates(
    tx: &mut PlatformTx,
    limit: i64,
) -> Result<Vec<(OrgId, RequestId)>, StoreError> {
    let rows = sqlx::query!(
        "SELECT r.org_id, r.id
         FROM eve.blocked w
         JOIN eve.requests r ON r.org_id = w.org_id AND r.id = w.request_id
         WHERE NOT EXISTS (
                   SELECT FROM eve.request_dependencies d
                   JOIN eve.requests b ON b.org_id = d.org_id AND b.id = d.depends_on_id
                   WHERE d.org_id = r.org_id AND d.request_id = r.id
                     AND b.state NOT IN ('completed', 'failed', 'cancelled'))
            OR (r.on_dependency_failure = 'fail' AND EXISTS (
                   SELECT FROM eve.request_dependencies d
                   JOIN eve.requests b ON b.org_id = d.org_id AND b.id = d.depends_on_id
                   WHERE d.org_id = r.org_id AND d.request_id = r.id AND b.state IN ('failed', 'cancelled')))
         ORDER BY r.id
         LIMIT $1",
        limit
    )
    .fetch_all(tx.conn())
    .await
    .during("dependency_release_candidates")?;
    Ok(rows.into_iter().map(|row| (OrgId::from_uuid(row.org_id), RequestId::from_uuid(row.id))).collect())
}

/// Blocked requests that wait for this one, oldest first.
pub async fn dependency_dependants(
    tx: &mut impl Tx,
    org: OrgId,
    request: RequestId,
    limit: i64,
) -> Result<Vec<RequestId>, StoreError> {
    let rows = sqlx::query_scalar!(
        "SELECT d.request_id
         FROM eve.request_dependencies d
         JOIN eve.requests r ON r.org_id = d.org_id AND r.id = d.request_id
         WHERE d.org_id = $1 AND d.depends_on_id = $2 AND r.state = 'blocked'
         ORDER BY d.request_id
         LIMIT $3",
        org.uuid(),
        request.uuid(),
        limit
    )
    .fetch_all(tx.conn())
    .await
    .during("dependency_dependants")?;
    Ok(rows.into_iter().map(RequestId::from_uuid).collect())
}
