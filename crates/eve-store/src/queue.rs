//! The queue: exactly the pending requests, claimed in batches.
//!
//! A claim takes rows with SKIP LOCKED in the order of the index and never looks at one that it may not take: not
//! at leased, blocked or finished requests, which are not there, and not at those due later, which lie behind the
//! end of the range that it reads in each priority.

use eve_core::AttemptId;
use eve_core::Fence;
use eve_core::OrgId;
use eve_core::Priority;
use eve_core::ProjectId;
use eve_core::RequestId;
use eve_core::UserId;
use eve_core::WorkerId;
use jiff::SignedDuration;
use jiff::Timestamp;

use crate::OrgTx;
use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;
use crate::new_id;
use crate::request::LockedRequest;
use crate::request::stamp;

/// A request in a worker's hands: all that it needs to run it.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The attempt that this makes.
    pub attempt_id: AttemptId,
    /// Its fence.
    pub fence: Fence,
    /// Which attempt of the request this is, from 1.
    pub number: i64,
    /// The organization.
    pub org_id: OrgId,
    /// The request.
    pub request_id: RequestId,
    /// Who asked.
    pub user_id: UserId,
    /// The project.
    pub project_id: Option<ProjectId>,
    /// Who does it.
    pub worker_type: String,
    /// A line for branch names.
    pub title: String,
    /// What to do.
    pub prompt: String,
    /// The skill of the worker type.
    pub instructions: String,
    /// The repository to work in.
    pub repository: Option<String>,
    /// The branch or commit to start from.
    pub branch: Option<String>,
    /// Variables for the agent.
    pub context: serde_json::Value,
    /// The harness, of the request or else of the worker type.
    pub harness: Option<String>,
    /// The model, of the request or else of the worker type.
    pub model: Option<String>,
    /// Longest run.
    pub timeout_seconds: i32,
    /// Longest silence.
    pub idle_timeout_seconds: i32,
    /// The agent's session of an earlier attempt that ended with a question or was cut short.
    pub resume_session: Option<String>,
}

/// Stands for every worker type.
pub const EVERY_TYPE: &str = "*";

/// Takes up to `limit` due requests for a worker, most urgent first, each with a lease of `lease`.
///
/// Worker types are names, or [`EVERY_TYPE`].
pub async fn queue_claim(
    tx: &mut PlatformTx,
    worker: WorkerId,
    worker_types: &[String],
    limit: usize,
    lease: SignedDuration,
) -> Result<Vec<Claim>, StoreError> {
    let ids: Vec<uuid::Uuid> = (0..limit).map(|_| new_id()).collect();
    let rows = sqlx::query!(
        r#"WITH picked AS MATERIALIZED (
             SELECT c.request_id
             FROM generate_series(1, 4) AS p (priority)
             CROSS JOIN (SELECT unnest($1::text[]) UNION SELECT name FROM eve.worker_types WHERE '*' = ANY ($1)) AS t (worker_type)
             CROSS JOIN LATERAL (
                 SELECT q.request_id FROM eve.queue q
                 WHERE q.worker_type = t.worker_type AND q.priority = p.priority AND q.run_at <= now()
                 ORDER BY q.run_at, q.request_id
                 LIMIT $2 FOR UPDATE SKIP LOCKED) c
             LIMIT $2
           ), gone AS (
             DELETE FROM eve.queue WHERE request_id = ANY (ARRAY(SELECT request_id FROM picked))
             RETURNING request_id, org_id
           ), named AS (
             SELECT request_id, org_id, ($3::uuid[])[row_number() OVER ()] AS attempt_id FROM gone
           ), taken AS (
             UPDATE eve.requests r
             SET state = 'claimed', run_at = NULL, fence = r.fence + 1, attempt_id = n.attempt_id
             FROM named n
             WHERE r.org_id = n.org_id AND r.id = n.request_id AND r.state = 'pending'
             RETURNING r.*
           ), attempts AS (
             INSERT INTO eve.attempts (org_id, id, request_id, number, fence, worker_id, state, harness, model)
             SELECT org_id, attempt_id, id, fence, fence, $4, 'claimed', harness, model FROM taken
           ), leases AS (
             INSERT INTO eve.leases (attempt_id, org_id, request_id, worker_id, fence, expires_at)
             SELECT attempt_id, org_id, id, $4, fence, now() + make_interval(secs => $5) FROM taken
           ), events AS (
             INSERT INTO eve.events (org_id, kind, request_id, attempt_id, actor, payload)
             SELECT org_id, 'request:claimed', id, attempt_id, 'worker', jsonb_build_object('worker_type', worker_type, 'number', fence) FROM taken
           )
           SELECT t.attempt_id AS "attempt_id!", t.fence, t.org_id, t.id, t.user_id, t.project_id, t.worker_type,
                  t.title, t.prompt, w.instructions, t.repository, t.branch, t.context,
                  coalesce(t.harness, w.harness) AS harness, coalesce(t.model, w.model) AS model,
                  coalesce(t.timeout_seconds, w.timeout_seconds) AS "timeout_seconds!", w.idle_timeout_seconds,
                  (SELECT a.session_id FROM eve.attempts a
                   WHERE t.fence > 1 AND a.org_id = t.org_id AND a.request_id = t.id AND a.session_id IS NOT NULL
                   ORDER BY a.fence DESC LIMIT 1) AS resume_session
           FROM taken t
           JOIN eve.worker_types w ON w.org_id = t.org_id AND w.name = t.worker_type
           ORDER BY t.priority, t.id"#,
        worker_types,
        i64::try_from(limit).unwrap_or(i64::MAX),
        &ids,
        worker.uuid(),
        lease.as_secs_f64()
    )
    .fetch_all(tx.conn())
    .await
    .during("queue_claim")?;
    Ok(rows
        .into_iter()
        .map(|row| Claim {
            attempt_id: AttemptId::from_uuid(row.attempt_id),
            fence: Fence(row.fence),
            number: row.fence,
            org_id: OrgId::from_uuid(row.org_id),
            request_id: RequestId::from_uuid(row.id),
            user_id: UserId::from_uuid(row.user_id),
            project_id: row.project_id.map(ProjectId::from_uuid),
            worker_type: row.worker_type,
            title: row.title,
            prompt: row.prompt,
            instructions: row.instructions,
            repository: row.repository,
            branch: row.branch,
            context: row.context,
            harness: row.harness,
            model: row.model,
            timeout_seconds: row.timeout_seconds,
            idle_timeout_seconds: row.idle_timeout_seconds,
            resume_session: row.resume_session,
        })
        .collect())
}

/// Puts a request among the claimable.
pub async fn queue_add(tx: &mut impl Tx, locked: &LockedRequest, run_at: Timestamp) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO eve.queue (request_id, org_id, worker_type, priority, run_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (request_id) DO UPDATE SET run_at = excluded.run_at, priority = excluded.priority",
        locked.id.uuid(),
        locked.org_id.uuid(),
        locked.worker_type,
        locked.priority.number(),
        stamp(run_at) as _
    )
    .execute(tx.conn())
    .await
    .during("queue_add")?;
    Ok(())
}

/// Waits for a claim of this request that is going on. Call it before locking the request: a claim locks the queue's
/// row first, too.
pub async fn queue_lock(tx: &mut impl Tx, id: RequestId) -> Result<(), StoreError> {
    sqlx::query!(r#"SELECT 1 AS "one!" FROM eve.queue WHERE request_id = $1 FOR UPDATE"#, id.uuid())
        .fetch_optional(tx.conn())
        .await
        .during("queue_lock")?;
    Ok(())
}

/// Takes a request from among the claimable.
pub async fn queue_remove(tx: &mut impl Tx, locked: &LockedRequest) -> Result<(), StoreError> {
    sqlx::query!("DELETE FROM eve.queue WHERE request_id = $1", locked.id.uuid())
        .execute(tx.conn())
        .await
        .during("queue_remove")?;
    Ok(())
}

/// What waits for one worker type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDepth {
    /// The worker type.
    pub worker_type: String,
    /// How urgent.
    pub priority: Priority,
    /// Ready to be claimed.
    pub ready: i64,
    /// Due later.
    pub delayed: i64,
    /// When the oldest ready one became due.
    pub oldest: Option<Timestamp>,
}

macro_rules! depth_rows {
    ($tx:expr) => {{
        let rows = sqlx::query!(
            r#"SELECT worker_type, priority, count(*) FILTER (WHERE run_at <= now()) AS "ready!",
                      count(*) FILTER (WHERE run_at > now()) AS "delayed!",
                      min(run_at) FILTER (WHERE run_at <= now()) AS oldest
               FROM eve.queue GROUP BY worker_type, priority ORDER BY worker_type, priority LIMIT 2000"#
        )
        .fetch_all($tx.conn())
        .await
        .during("queue_depth")?;
        rows.into_iter()
            .map(|row| QueueDepth {
                worker_type: row.worker_type,
                priority: Priority::from_number(row.priority).unwrap_or_default(),
                ready: row.ready,
                delayed: row.delayed,
                oldest: row.oldest.map(|at| at.to_jiff()),
            })
            .collect()
    }};
}

/// What waits in the transaction's organization.
pub async fn queue_depth(tx: &mut OrgTx) -> Result<Vec<QueueDepth>, StoreError> {
    Ok(depth_rows!(tx))
}

/// What waits in all organizations together.
pub async fn queue_depth_total(tx: &mut PlatformTx) -> Result<Vec<QueueDepth>, StoreError> {
    Ok(depth_rows!(tx))
}

/// When the next request becomes due that is not due yet, for these worker types.
pub async fn queue_next_due(
    tx: &mut PlatformTx,
    worker_types: &[String],
) -> Result<Option<SignedDuration>, StoreError> {
    let seconds = sqlx::query_scalar!(
        r#"SELECT min(extract(epoch FROM next.run_at - now()))::float8
           FROM generate_series(1, 4) AS p (priority)
           CROSS JOIN (SELECT unnest($1::text[]) UNION SELECT name FROM eve.worker_types WHERE '*' = ANY ($1)) AS t (worker_type)
           CROSS JOIN LATERAL (
               SELECT q.run_at FROM eve.queue q
               WHERE q.worker_type = t.worker_type AND q.priority = p.priority AND q.run_at > now()
               ORDER BY q.run_at LIMIT 1) next"#,
        worker_types
    )
    .fetch_one(tx.conn())
    .await
    .during("queue_next_due")?;
    Ok(seconds.map(|seconds| SignedDuration::from_secs_f64(seconds.clamp(0.0, 86_400.0))))
}
