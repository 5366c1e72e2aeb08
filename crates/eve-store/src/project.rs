//! Projects: what requests of one organization may belong to.

use eve_core::ProjectId;

use crate::OrgTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;

/// Whether the transaction's organization has this project.
pub async fn project_exists(tx: &mut OrgTx, project: ProjectId) -> Result<bool, StoreError> {
    let org = tx.org();
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM eve.projects WHERE org_id = $1 AND id = $2) AS "there!""#,
        org.uuid(),
        project.uuid()
    )
    .fetch_one(tx.conn())
    .await
    .during("project_exists")
}
