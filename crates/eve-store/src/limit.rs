//! Concurrency limits: how many attempts may run at once in a scope.

use eve_core::OrgId;
use eve_core::WorkerId;

use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;

/// A limit as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitRow {
    /// Whose; nothing for those of the installation.
    pub org_id: Option<OrgId>,
    /// `organization`, `project`, `worker_type`, `service` or `account`.
    pub scope: String,
    /// Which one of them; empty for an organization.
    pub name: String,
    /// Attempts at once.
    pub max_running: i32,
}

/// All limits, or those of one organization.
pub async fn limit_list(tx: &mut impl Tx, org: Option<OrgId>) -> Result<Vec<LimitRow>, StoreError> {
    let rows = sqlx::query!(
        "SELECT org_id, scope, name, max_running FROM eve.limits WHERE $1::uuid IS NULL OR org_id = $1
         ORDER BY scope, name, org_id LIMIT 100000",
        org.map(OrgId::uuid)
    )
    .fetch_all(tx.conn())
    .await
    .during("limit_list")?;
    Ok(rows
        .into_iter()
        .map(|row| LimitRow {
            org_id: row.org_id.map(OrgId::from_uuid),
            scope: row.scope,
            name: row.name,
            max_running: row.max_running,
        })
        .collect())
}

/// Whether there is any limit.
pub async fn limit_exists(tx: &mut PlatformTx) -> Result<bool, StoreError> {
    sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM eve.limits) AS "any!""#)
        .fetch_one(tx.conn())
        .await
        .during("limit_exists")
}

/// Waits until no other transaction counts, and keeps others from counting until this one is over.
pub async fn limit_lock(tx: &mut PlatformTx) -> Result<(), StoreError> {
    sqlx::query!(r#"SELECT pg_advisory_xact_lock(7310423) IS NULL AS "locked""#)
        .fetch_one(tx.conn())
        .await
        .during("limit_lock")?;
    Ok(())
}

/// The accounts of those of these workers that have one.
pub async fn worker_accounts(tx: &mut PlatformTx, workers: &[WorkerId]) -> Result<Vec<(WorkerId, String)>, StoreError> {
    let ids: Vec<uuid::Uuid> = workers.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"SELECT id, account AS "account!" FROM eve.workers WHERE id = ANY ($1) AND account IS NOT NULL"#,
        &ids
    )
    .fetch_all(tx.conn())
    .await
    .during("worker_accounts")?;
    Ok(rows.into_iter().map(|row| (WorkerId::from_uuid(row.id), row.account)).collect())
}

/// Sets a limit, or lifts it.
pub async fn limit_put(
    tx: &mut PlatformTx,
    org: Option<OrgId>,
    scope: &str,
    name: &str,
    max_running: Option<i32>,
) -> Result<(), StoreError> {
    const OP: &str = "limit_put";
    match max_running {
        Some(max) => sqlx::query!(
            "INSERT INTO eve.limits (org_id, scope, name, max_running) VALUES ($1, $2, $3, $4)
             ON CONFLICT (scope, org_id, name) DO UPDATE SET max_running = excluded.max_running",
            org.map(OrgId::uuid),
            scope,
            name,
            max
        )
        .execute(tx.conn())
        .await
        .during(OP)?,
        None => sqlx::query!(
            "DELETE FROM eve.limits WHERE org_id IS NOT DISTINCT FROM $1 AND scope = $2 AND name = $3",
            org.map(OrgId::uuid),
            scope,
            name
        )
        .execute(tx.conn())
        .await
        .during(OP)?,
    };
    Ok(())
}
