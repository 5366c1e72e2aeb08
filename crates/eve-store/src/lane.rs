//! Lanes: where requests of one organization, worker type, project and service queue up.
//!
//! A lane's number keeps the queue's rows and index narrow, and is what a claim names. Lanes are few, never change
//! and never go, so processes may remember them.

use eve_core::LaneId;
use eve_core::OrgId;
use eve_core::ProjectId;

use crate::OrgTx;
use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;

/// A lane and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lane {
    /// Its number.
    pub id: LaneId,
    /// The organization.
    pub org_id: OrgId,
    /// Who does what is in it.
    pub worker_type: String,
    /// The project, if its requests belong to one.
    pub project_id: Option<ProjectId>,
    /// The harness that its requests need; empty when any will do.
    pub service: String,
}

/// The lane of the transaction's organization for these, made if need be.
///
/// # Errors
/// With the constraint `lanes_org_id_worker_type_fkey` or `lanes_org_id_project_id_fkey` when the organization has no
/// such worker type or project.
pub async fn lane_put(
    tx: &mut OrgTx,
    worker_type: &str,
    project: Option<ProjectId>,
    service: &str,
) -> Result<Lane, StoreError> {
    const OP: &str = "lane_put";
    let org = tx.org();
    let project_id = project.map(ProjectId::uuid);
    let made = sqlx::query_scalar!(
        "INSERT INTO eve.lanes (org_id, worker_type, project_id, service) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING RETURNING id",
        org.uuid(),
        worker_type,
        project_id,
        service
    )
    .fetch_optional(tx.conn())
    .await
    .during(OP)?;
    let id = match made {
        Some(id) => id,
        None => sqlx::query_scalar!(
            "SELECT id FROM eve.lanes
             WHERE org_id = $1 AND worker_type = $2 AND project_id IS NOT DISTINCT FROM $3 AND service = $4",
            org.uuid(),
            worker_type,
            project_id,
            service
        )
        .fetch_one(tx.conn())
        .await
        .during(OP)?,
    };
    Ok(Lane {
        id: LaneId(id),
        org_id: org,
        worker_type: worker_type.to_owned(),
        project_id: project,
        service: service.to_owned(),
    })
}

/// The lanes of these numbers.
pub async fn lane_list(tx: &mut PlatformTx, ids: &[LaneId]) -> Result<Vec<Lane>, StoreError> {
    let ids: Vec<i32> = ids.iter().map(|id| id.0).collect();
    let rows =
        sqlx::query!("SELECT id, org_id, worker_type, project_id, service FROM eve.lanes WHERE id = ANY ($1)", &ids)
            .fetch_all(tx.conn())
            .await
            .during("lane_list")?;
    Ok(rows
        .into_iter()
        .map(|row| Lane {
            id: LaneId(row.id),
            org_id: OrgId::from_uuid(row.org_id),
            worker_type: row.worker_type,
            project_id: row.project_id.map(ProjectId::from_uuid),
            service: row.service,
        })
        .collect())
}
