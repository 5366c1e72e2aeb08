//! Requests: the row as asked for, and the state that `eve-core` decides on.

mod life;

pub use life::LockedRequest;
pub use life::request_life_lock;
pub use life::request_life_save;

use eve_core::AttemptId;
use eve_core::DependencyPolicy;
use eve_core::OrgId;
use eve_core::Priority;
use eve_core::ProjectId;
use eve_core::RequestId;
use eve_core::StateName;
use eve_core::UserId;
use eve_core::WorkerTypeName;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;

use crate::OrgTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;

/// What was asked, ready to be written.
#[derive(Debug, Clone)]
pub struct NewRequest {
    /// Its id.
    pub id: RequestId,
    /// Who asked.
    pub user_id: UserId,
    /// The project it belongs to.
    pub project_id: Option<ProjectId>,
    /// The request that created it.
    pub parent_id: Option<RequestId>,
    /// The request that it repeats.
    pub replay_of: Option<RequestId>,
    /// Who does it.
    pub worker_type: WorkerTypeName,
    /// A line for lists and branch names.
    pub title: String,
    /// What to do.
    pub prompt: String,
    /// The repository to work in.
    pub repository: Option<String>,
    /// The branch or commit to start from.
    pub branch: Option<String>,
    /// Variables for the agent.
    pub context: serde_json::Value,
    /// Settings that no column holds.
    pub config: serde_json::Value,
    /// Whatever the asker wants to find again.
    pub metadata: serde_json::Value,
    /// Where the answer goes.
    pub reply_to: Option<serde_json::Value>,
    /// The harness to use.
    pub harness: Option<String>,
    /// The model to use.
    pub model: Option<String>,
    /// Longest run of an attempt.
    pub timeout_seconds: Option<i32>,
    /// Attempts that may count.
    pub max_attempts: i32,
    /// What a failed dependency means.
    pub on_dependency_failure: DependencyPolicy,
    /// How urgent it is.
    pub priority: Priority,
    /// When it may start; nothing while it is blocked.
    pub run_at: Option<Timestamp>,
}

/// A request as people see it.
#[derive(Debug, Clone)]
pub struct RequestRow {
    /// Its id.
    pub id: RequestId,
    /// Its organization.
    pub org_id: OrgId,
    /// Who asked.
    pub user_id: UserId,
    /// The project it belongs to.
    pub project_id: Option<ProjectId>,
    /// The request that created it.
    pub parent_id: Option<RequestId>,
    /// The request that it repeats.
    pub replay_of: Option<RequestId>,
    /// Who does it.
    pub worker_type: String,
    /// A line for lists.
    pub title: String,
    /// What to do.
    pub prompt: String,
    /// The repository to work in.
    pub repository: Option<String>,
    /// The branch or commit to start from.
    pub branch: Option<String>,
    /// Variables for the agent.
    pub context: serde_json::Value,
    /// Settings that no column holds.
    pub config: serde_json::Value,
    /// Whatever the asker wants to find again.
    pub metadata: serde_json::Value,
    /// Where the answer goes.
    pub reply_to: Option<serde_json::Value>,
    /// The harness asked for.
    pub harness: Option<String>,
    /// The model asked for.
    pub model: Option<String>,
    /// Longest run of an attempt.
    pub timeout_seconds: Option<i32>,
    /// Attempts that may count.
    pub max_attempts: i32,
    /// What a failed dependency means.
    pub on_dependency_failure: DependencyPolicy,
    /// How urgent it is.
    pub priority: Priority,
    /// Where it stands.
    pub state: StateName,
    /// Why it is held, waiting or failed.
    pub reason: Option<String>,
    /// When it may be claimed.
    pub run_at: Option<Timestamp>,
    /// The attempt that runs it.
    pub attempt_id: Option<AttemptId>,
    /// Attempts that counted.
    pub burned: i16,
    /// Claims so far.
    pub fence: i64,
    /// Whether a person wants it stopped.
    pub stop: Option<String>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When it was asked.
    pub created_at: Timestamp,
    /// When its agent first started.
    pub started_at: Option<Timestamp>,
    /// When it finished.
    pub finished_at: Option<Timestamp>,
    /// What it depends on.
    pub blocked_by: Vec<RequestId>,
}

/// Which requests a list shows.
#[derive(Debug, Clone, Default)]
pub struct RequestFilter {
    /// Only these states; all when empty.
    pub states: Vec<StateName>,
    /// Only this worker type.
    pub worker_type: Option<WorkerTypeName>,
    /// Only this project's.
    pub project_id: Option<ProjectId>,
    /// Only this request's children.
    pub parent_id: Option<RequestId>,
}

/// Writes requests and puts them among the claimable or the blocked; all of one organization, a few thousand at most.
pub async fn request_create(tx: &mut OrgTx, new: &[NewRequest]) -> Result<(), StoreError> {
    // One statement for any number: the arrays are unnested side by side. The rest of the columns travels as JSON,
    // which costs less than twenty more arrays.
    let org = tx.org().uuid();
    let rows: Vec<serde_json::Value> = new.iter().map(as_json).collect();
    sqlx::query!(
        "WITH made AS (INSERT INTO eve.requests (org_id, id, user_id, project_id, parent_id, replay_of, worker_type, title, prompt,
             repository, branch, context, config, metadata, reply_to, harness, model, timeout_seconds, max_attempts,
             on_dependency_failure, priority, state, run_at)
         SELECT $1, r.id, r.user_id, r.project_id, r.parent_id, r.replay_of, r.worker_type, r.title, r.prompt,
             r.repository, r.branch, r.context, r.config, r.metadata, r.reply_to, r.harness, r.model,
             r.timeout_seconds, r.max_attempts, r.on_dependency_failure, r.priority,
             CASE WHEN r.run_at IS NULL THEN 'blocked' ELSE 'pending' END, r.run_at
         FROM jsonb_to_recordset($2) AS r (id uuid, user_id uuid, project_id uuid, parent_id uuid, replay_of uuid,
             worker_type text, title text, prompt text, repository text, branch text, context jsonb, config jsonb,
             metadata jsonb, reply_to jsonb, harness text, model text, timeout_seconds int, max_attempts int,
             on_dependency_failure text, priority smallint, run_at timestamptz)
         RETURNING org_id, id, worker_type, priority, run_at),
         queued AS (INSERT INTO eve.queue (request_id, org_id, worker_type, priority, run_at)
             SELECT id, org_id, worker_type, priority, run_at FROM made WHERE run_at IS NOT NULL)
         INSERT INTO eve.blocked (request_id, org_id) SELECT id, org_id FROM made WHERE run_at IS NULL",
        org,
        serde_json::Value::Array(rows)
    )
    .execute(tx.conn())
    .await
    .during("request_create")?;
    Ok(())
}

fn as_json(new: &NewRequest) -> serde_json::Value {
    serde_json::json!({
        "id": new.id.uuid(),
        "user_id": new.user_id.uuid(),
        "project_id": new.project_id.map(ProjectId::uuid),
        "parent_id": new.parent_id.map(RequestId::uuid),
        "replay_of": new.replay_of.map(RequestId::uuid),
        "worker_type": new.worker_type.as_str(),
        "title": new.title,
        "prompt": new.prompt,
        "repository": new.repository,
        "branch": new.branch,
        "context": new.context,
        "config": new.config,
        "metadata": new.metadata,
        "reply_to": new.reply_to,
        "harness": new.harness,
        "model": new.model,
        "timeout_seconds": new.timeout_seconds,
        "max_attempts": new.max_attempts,
        "on_dependency_failure": new.on_dependency_failure.name(),
        "priority": new.priority.number(),
        "run_at": new.run_at,
    })
}

/// One request of the transaction's organization.
pub async fn request_get(tx: &mut OrgTx, id: RequestId) -> Result<Option<RequestRow>, StoreError> {
    let rows = select(tx, &RequestFilter::default(), Some(id), None, 1).await?;
    Ok(rows.into_iter().next())
}

/// Requests of the transaction's organization, newest first, from `before` on.
pub async fn request_list(
    tx: &mut OrgTx,
    filter: &RequestFilter,
    before: Option<RequestId>,
    limit: i64,
) -> Result<Vec<RequestRow>, StoreError> {
    select(tx, filter, None, before, limit).await
}

async fn select(
    tx: &mut OrgTx,
    filter: &RequestFilter,
    only: Option<RequestId>,
    before: Option<RequestId>,
    limit: i64,
) -> Result<Vec<RequestRow>, StoreError> {
    let states: Vec<String> = filter.states.iter().map(|state| state.name().to_owned()).collect();
    let rows = sqlx::query!(
        r#"SELECT r.*, ARRAY(SELECT d.depends_on_id FROM eve.request_dependencies d
                             WHERE d.org_id = r.org_id AND d.request_id = r.id ORDER BY 1) AS "blocked_by!"
           FROM eve.requests r
           WHERE r.org_id = $1
             AND ($2::uuid IS NULL OR r.id = $2)
             AND ($3::uuid IS NULL OR r.id < $3)
             AND (cardinality($4::text[]) = 0 OR r.state = ANY ($4))
             AND ($5::text IS NULL OR r.worker_type = $5)
             AND ($6::uuid IS NULL OR r.project_id = $6)
             AND ($7::uuid IS NULL OR r.parent_id = $7)
           ORDER BY r.org_id, r.id DESC
           LIMIT $8"#,
        tx.org().uuid(),
        only.map(RequestId::uuid),
        before.map(RequestId::uuid),
        &states,
        filter.worker_type.as_ref().map(WorkerTypeName::as_str),
        filter.project_id.map(ProjectId::uuid),
        filter.parent_id.map(RequestId::uuid),
        limit
    )
    .fetch_all(tx.conn())
    .await
    .during("request_list")?;
    rows.into_iter()
        .map(|row| {
            let impossible = |detail: String| StoreError::Impossible { table: "requests", detail };
            Ok(RequestRow {
                id: RequestId::from_uuid(row.id),
                org_id: OrgId::from_uuid(row.org_id),
                user_id: UserId::from_uuid(row.user_id),
                project_id: row.project_id.map(ProjectId::from_uuid),
                parent_id: row.parent_id.map(RequestId::from_uuid),
                replay_of: row.replay_of.map(RequestId::from_uuid),
                worker_type: row.worker_type,
                title: row.title,
                prompt: row.prompt,
                repository: row.repository,
                branch: row.branch,
                context: row.context,
                config: row.config,
                metadata: row.metadata,
                reply_to: row.reply_to,
                harness: row.harness,
                model: row.model,
                timeout_seconds: row.timeout_seconds,
                max_attempts: row.max_attempts,
                on_dependency_failure: DependencyPolicy::from_name(&row.on_dependency_failure)
                    .ok_or_else(|| impossible(row.on_dependency_failure.clone()))?,
                priority: Priority::from_number(row.priority)
                    .ok_or_else(|| impossible(format!("priority {}", row.priority)))?,
                state: StateName::from_name(&row.state).ok_or_else(|| impossible(row.state.clone()))?,
                reason: row.reason,
                run_at: row.run_at.map(|at| at.to_jiff()),
                attempt_id: row.attempt_id.map(AttemptId::from_uuid),
                burned: row.burned,
                fence: row.fence,
                stop: row.stop,
                last_error: row.last_error,
                created_at: row.created_at.to_jiff(),
                started_at: row.started_at.map(|at| at.to_jiff()),
                finished_at: row.finished_at.map(|at| at.to_jiff()),
                blocked_by: row.blocked_by.into_iter().map(RequestId::from_uuid).collect(),
            })
        })
        .collect()
}

/// What an earlier call with the same key made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdempotencyOutcome {
    /// The key is new and now taken.
    Fresh,
    /// The same call made this request before.
    Repeated(RequestId),
    /// Another call used the key.
    Conflict,
}

/// Takes an idempotency key for a call, or says what the earlier call with it made.
pub async fn idempotency_take(
    tx: &mut OrgTx,
    key: &str,
    fingerprint: &[u8],
    request: RequestId,
) -> Result<IdempotencyOutcome, StoreError> {
    const OP: &str = "idempotency_take";
    let org = tx.org().uuid();
    let taken = sqlx::query!(
        "INSERT INTO eve.idempotency_keys (org_id, key, fingerprint, request_id) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
        org,
        key,
        fingerprint,
        request.uuid()
    )
    .execute(tx.conn())
    .await
    .during(OP)?;
    if taken.rows_affected() == 1 {
        return Ok(IdempotencyOutcome::Fresh);
    }
    let row = sqlx::query!(
        "SELECT fingerprint, request_id FROM eve.idempotency_keys WHERE org_id = $1 AND key = $2",
        org,
        key
    )
    .fetch_one(tx.conn())
    .await
    .during(OP)?;
    Ok(if row.fingerprint == fingerprint {
        IdempotencyOutcome::Repeated(RequestId::from_uuid(row.request_id))
    } else {
        IdempotencyOutcome::Conflict
    })
}

/// The database's clock: the only one that decides.
pub async fn database_now(tx: &mut impl Tx) -> Result<Timestamp, StoreError> {
    let now = sqlx::query_scalar!(r#"SELECT now() AS "now!""#).fetch_one(tx.conn()).await.during("database_now")?;
    Ok(now.to_jiff())
}

/// Notes what went wrong last.
pub async fn request_error_note(tx: &mut impl Tx, org: OrgId, id: RequestId, error: &str) -> Result<(), StoreError> {
    sqlx::query!("UPDATE eve.requests SET last_error = $3 WHERE org_id = $1 AND id = $2", org.uuid(), id.uuid(), error)
        .execute(tx.conn())
        .await
        .during("request_error_note")?;
    Ok(())
}

pub(crate) fn stamp(at: Timestamp) -> jiff_sqlx::Timestamp {
    at.to_sqlx()
}
