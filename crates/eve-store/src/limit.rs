//! Concurrency limits: how many attempts may run at once in a scope.

use eve_core::OrgId;
use eve_core::ProjectId;
use eve_core::WorkerId;

use crate::OrgTx;
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

/// The limits of the installation.
pub async fn installation_limit_list(tx: &mut PlatformTx) -> Result<Vec<LimitRow>, StoreError> {
    let rows = sqlx::query!(
        "SELECT scope, name, max_running FROM eve.limits WHERE org_id IS NULL ORDER BY scope, name LIMIT 100000"
    )
    .fetch_all(tx.conn())
    .await
    .during("installation_limit_list")?;
    Ok(rows
        .into_iter()
        .map(|row| LimitRow { org_id: None, scope: row.scope, name: row.name, max_running: row.max_running })
        .collect())
}

/// Live attempts of one organization that are alike to its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningCount {
    /// Who does the requests.
    pub worker_type: String,
    /// The project, if they belong to one.
    pub project_id: Option<ProjectId>,
    /// How many.
    pub running: i64,
}

/// What runs in the transaction's organization.
pub async fn limit_counts(tx: &mut OrgTx) -> Result<Vec<RunningCount>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT n.worker_type, n.project_id, count(*) AS "running!"
           FROM eve.leases l JOIN eve.lanes n ON n.id = l.lane_id GROUP BY n.worker_type, n.project_id"#
    )
    .fetch_all(tx.conn())
    .await
    .during("limit_counts")?;
    Ok(rows
        .into_iter()
        .map(|row| RunningCount {
            worker_type: row.worker_type,
            project_id: row.project_id.map(ProjectId::from_uuid),
            running: row.running,
        })
        .collect())
}

/// What became of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitPut {
    /// It is as was asked.
    Set,
    /// It is gone.
    Lifted,
    /// It was to be lifted, and there was none.
    NotThere,
}

/// Sets a limit of the transaction's organization, or lifts it.
pub async fn limit_put(
    tx: &mut OrgTx,
    scope: &str,
    name: &str,
    max_running: Option<i32>,
) -> Result<LimitPut, StoreError> {
    const OP: &str = "limit_put";
    let org = tx.org().uuid();
    let Some(max_running) = max_running else {
        let lifted = sqlx::query!(
            "DELETE FROM eve.limits WHERE org_id = $1 AND scope = $2 AND name = $3 RETURNING max_running",
            org,
            scope,
            name
        )
        .fetch_optional(tx.conn())
        .await
        .during(OP)?;
        return Ok(if lifted.is_some() { LimitPut::Lifted } else { LimitPut::NotThere });
    };
    sqlx::query!(
        "INSERT INTO eve.limits (org_id, scope, name, max_running) VALUES ($1, $2, $3, $4)
         ON CONFLICT (scope, org_id, name) DO UPDATE SET max_running = excluded.max_running",
        org,
        scope,
        name,
        max_running
    )
    .execute(tx.conn())
    .await
    .during(OP)?;
    Ok(LimitPut::Set)
}

/// Replaces the limits of the installation. Whoever else does so at the same time must wait: see [`limit_lock`].
pub async fn limits_configure(tx: &mut PlatformTx, limits: &[LimitRow]) -> Result<(), StoreError> {
    const OP: &str = "limits_configure";
    let scopes: Vec<String> = limits.iter().map(|limit| limit.scope.clone()).collect();
    let names: Vec<String> = limits.iter().map(|limit| limit.name.clone()).collect();
    let most: Vec<i32> = limits.iter().map(|limit| limit.max_running).collect();
    sqlx::query!("DELETE FROM eve.limits WHERE org_id IS NULL").execute(tx.conn()).await.during(OP)?;
    sqlx::query!(
        "INSERT INTO eve.limits (scope, name, max_running) SELECT * FROM unnest($1::text[], $2::text[], $3::int[])",
        &scopes,
        &names,
        &most
    )
    .execute(tx.conn())
    .await
    .during(OP)?;
    Ok(())
}
