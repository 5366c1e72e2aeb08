//! Worker types: who does a request.

use eve_core::OrgId;
use eve_core::WorkerTypeName;

use crate::StoreError;
use crate::Tx;
use crate::error::During;

/// A worker type of an organization.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerType {
    /// Its name.
    pub name: WorkerTypeName,
    /// Its name for people.
    pub title: String,
    /// What it is for.
    pub description: String,
    /// What it can do, in words that agents and people search for.
    pub capabilities: Vec<String>,
    /// The skills attached to it, as Markdown.
    pub instructions: String,
    /// The harness it prefers.
    pub harness: Option<String>,
    /// The model it prefers.
    pub model: Option<String>,
    /// The container image it runs in, where workers use one.
    pub image: Option<String>,
    /// Longest run of an attempt, in seconds.
    pub timeout_seconds: i32,
    /// Longest silence of an agent, in seconds.
    pub idle_timeout_seconds: i32,
    /// Attempts that may count.
    pub max_attempts: i32,
    /// Anything else.
    pub config: serde_json::Value,
}

/// Makes or changes a worker type of an organization.
pub async fn worker_type_put(tx: &mut impl Tx, org: OrgId, new: &WorkerType) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO eve.worker_types (org_id, name, title, description, capabilities, instructions, harness, model,
                                       image, timeout_seconds, idle_timeout_seconds, max_attempts, config)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         ON CONFLICT (org_id, name) DO UPDATE
         SET title = excluded.title, description = excluded.description, capabilities = excluded.capabilities,
             instructions = excluded.instructions, harness = excluded.harness, model = excluded.model,
             image = excluded.image, timeout_seconds = excluded.timeout_seconds,
             idle_timeout_seconds = excluded.idle_timeout_seconds, max_attempts = excluded.max_attempts,
             config = excluded.config, updated_at = now()",
        org.uuid(),
        new.name.as_str(),
        new.title,
        new.description,
        &new.capabilities,
        new.instructions,
        new.harness,
        new.model,
        new.image,
        new.timeout_seconds,
        new.idle_timeout_seconds,
        new.max_attempts,
        new.config
    )
    .execute(tx.conn())
    .await
    .during("worker_type_put")?;
    Ok(())
}

/// The worker types of an organization, by name; only `only`, if given.
pub async fn worker_type_list(
    tx: &mut impl Tx,
    org: OrgId,
    only: Option<&WorkerTypeName>,
) -> Result<Vec<WorkerType>, StoreError> {
    let rows = sqlx::query!(
        "SELECT name, title, description, capabilities, instructions, harness, model, image, timeout_seconds,
                idle_timeout_seconds, max_attempts, config
         FROM eve.worker_types
         WHERE org_id = $1 AND ($2::text IS NULL OR name = $2)
         ORDER BY name LIMIT 500",
        org.uuid(),
        only.map(WorkerTypeName::as_str)
    )
    .fetch_all(tx.conn())
    .await
    .during("worker_type_list")?;
    rows.into_iter()
        .map(|row| {
            let name = row.name.parse().map_err(|error: eve_core::InvalidWorkerType| StoreError::Impossible {
                table: "worker_types",
                detail: error.to_string(),
            })?;
            Ok(WorkerType {
                name,
                title: row.title,
                description: row.description,
                capabilities: row.capabilities,
                instructions: row.instructions,
                harness: row.harness,
                model: row.model,
                image: row.image,
                timeout_seconds: row.timeout_seconds,
                idle_timeout_seconds: row.idle_timeout_seconds,
                max_attempts: row.max_attempts,
                config: row.config,
            })
        })
        .collect()
}
