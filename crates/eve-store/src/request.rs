//! Requests: what was asked, written once; and the view of it with where it stands.

mod create;
mod idempotency;

pub use create::CREATE_LIMIT;
pub use create::KEY_CONSTRAINT;
pub use create::NewKey;
pub use create::NewRequest;
pub use create::request_create;
pub use idempotency::IdempotencyOutcome;
pub use idempotency::idempotency_take;

use std::collections::HashMap;

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
use jiff_sqlx::ToSqlx as _;
use serde::Deserialize;
use serde::Serialize;

use crate::OrgTx;
use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;

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

/// Which requests a list shows, or a bulk action is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestFilter {
    /// Only these states; all when empty.
    pub states: Vec<StateName>,
    /// Of those that wait, only those that wait for a person's answer, or only the others.
    pub answer: Option<bool>,
    /// Only this worker type.
    pub worker_type: Option<WorkerTypeName>,
    /// Only this project's.
    pub project_id: Option<ProjectId>,
    /// Only this request's children.
    pub parent_id: Option<RequestId>,
    /// Only those asked at this time or later.
    pub created_after: Option<Timestamp>,
    /// Only those asked before this time.
    pub created_before: Option<Timestamp>,
    /// Only those with this in their title or prompt, in capitals or not.
    pub text: Option<String>,
    /// Only these; all when empty.
    pub ids: Vec<RequestId>,
}

/// What an attempt needs of a request, for many at once.
#[derive(Debug, Clone)]
pub struct Brief {
    /// The request.
    pub id: RequestId,
    /// Who asked.
    pub user_id: UserId,
    /// A line for branch names.
    pub title: String,
    /// What to do.
    pub prompt: String,
    /// The repository to work in.
    pub repository: Option<String>,
    /// The branch or commit to start from.
    pub branch: Option<String>,
    /// Variables for the agent.
    pub context: serde_json::Value,
    /// The harness asked for.
    pub harness: Option<String>,
    /// The model asked for.
    pub model: Option<String>,
    /// Longest run of an attempt.
    pub timeout_seconds: Option<i32>,
}

macro_rules! brief {
    ($row:expr) => {{
        let row = $row;
        Brief {
            id: RequestId::from_uuid(row.id),
            user_id: UserId::from_uuid(row.user_id),
            title: row.title,
            prompt: row.prompt,
            repository: row.repository,
            branch: row.branch,
            context: row.context,
            harness: row.harness,
            model: row.model,
            timeout_seconds: row.timeout_seconds,
        }
    }};
}

/// What attempts of these requests need to know.
///
/// Mostly all are one organization's: then one scan of an index finds them, and their range says which partitions need not
/// be looked at.
pub async fn request_brief_list(
    tx: &mut PlatformTx,
    requests: &[(OrgId, RequestId)],
) -> Result<Vec<Brief>, StoreError> {
    const OP: &str = "request_brief_list";
    let orgs: Vec<uuid::Uuid> = requests.iter().map(|(org, _)| org.uuid()).collect();
    let ids: Vec<uuid::Uuid> = requests.iter().map(|(_, id)| id.uuid()).collect();
    let (Some(org), Some(first), Some(last)) = (orgs.first(), ids.iter().min(), ids.iter().max()) else {
        return Ok(Vec::new());
    };
    if orgs.iter().all(|one| one == org) {
        let rows = sqlx::query!(
            "SELECT id, user_id, title, prompt, repository, branch, context, harness, model, timeout_seconds
             FROM eve.requests WHERE org_id = $1 AND id = ANY ($2) AND id BETWEEN $3 AND $4",
            org,
            &ids,
            first,
            last
        )
        .fetch_all(tx.conn())
        .await
        .during(OP)?;
        return Ok(rows.into_iter().map(|row| brief!(row)).collect());
    }
    let rows = sqlx::query!(
        r#"SELECT r.id, r.user_id, r.title, r.prompt, r.repository, r.branch, r.context, r.harness, r.model,
                  r.timeout_seconds
           FROM unnest($1::uuid[], $2::uuid[]) AS h (org_id, id)
           CROSS JOIN LATERAL (
               SELECT * FROM eve.requests r WHERE r.org_id = h.org_id AND r.id = h.id OFFSET 0) r"#,
        &orgs,
        &ids
    )
    .fetch_all(tx.conn())
    .await
    .during(OP)?;
    Ok(rows.into_iter().map(|row| brief!(row)).collect())
}

macro_rules! request_row {
    ($row:expr) => {{
        let row = $row;
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
            max_attempts: i32::from(row.max_attempts),
            on_dependency_failure: DependencyPolicy::from_name(&row.on_dependency_failure)
                .ok_or_else(|| impossible(row.on_dependency_failure.clone()))?,
            priority: Priority::from_number(row.priority)
                .ok_or_else(|| impossible(format!("priority {}", row.priority)))?,
            state: row
                .state
                .as_deref()
                .and_then(StateName::from_name)
                .ok_or_else(|| impossible(format!("{} is nowhere", row.id)))?,
            reason: row.reason,
            run_at: row.run_at.map(|at| at.to_jiff()),
            attempt_id: row.attempt_id.map(AttemptId::from_uuid),
            burned: row.burned.unwrap_or_default(),
            fence: row.fence.unwrap_or_default(),
            stop: row.stop,
            last_error: row.last_error,
            created_at: row.created_at.to_jiff(),
            started_at: row.first_started_at.map(|at| at.to_jiff()),
            finished_at: row.finished_at.map(|at| at.to_jiff()),
            blocked_by: row.blocked_by.unwrap_or_default().into_iter().map(RequestId::from_uuid).collect(),
        })
    }};
}

/// One request of the transaction's organization.
pub async fn request_get(tx: &mut OrgTx, id: RequestId) -> Result<Option<RequestRow>, StoreError> {
    let row = sqlx::query!(
        r#"SELECT id AS "id!", org_id AS "org_id!", user_id AS "user_id!", project_id, parent_id, replay_of,
                  worker_type AS "worker_type!", title AS "title!", prompt AS "prompt!", repository, branch,
                  context AS "context!", config AS "config!", metadata AS "metadata!", reply_to, harness, model,
                  timeout_seconds, max_attempts AS "max_attempts!", on_dependency_failure AS "on_dependency_failure!",
                  priority AS "priority!", state, reason, run_at, attempt_id, burned, fence, stop,
                  created_at AS "created_at!", finished_at, blocked_by,
                  coalesce(result_error, (SELECT a.message FROM eve.attempts a WHERE a.request_id = v.id
                      AND a.failure_class IS NOT NULL ORDER BY a.fence DESC LIMIT 1)) AS last_error,
                  coalesce((SELECT a.started_at FROM eve.attempt_view a WHERE a.request_id = v.id
                      AND a.started_at IS NOT NULL ORDER BY a.fence LIMIT 1), lease_started_at) AS first_started_at
           FROM eve.request_view v WHERE org_id = $1 AND id = $2"#,
        tx.org().uuid(),
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .during("request_get")?;
    row.map(|row| request_row!(row)).transpose()
}

/// Requests of the transaction's organization, newest first, from `before` on.
pub async fn request_list(
    tx: &mut OrgTx,
    filter: &RequestFilter,
    before: Option<RequestId>,
    limit: i64,
) -> Result<Vec<RequestRow>, StoreError> {
    let states: Vec<String> = filter.states.iter().map(|state| state.name().to_owned()).collect();
    // Requests in some states are looked for in the places where those are, each from the newest on: walking through all
    // requests would pass by a million that wait to find the one that failed before them. What else is asked for is asked
    // there, too, since each place gives no more than a page; where it cannot be, all requests are walked through.
    // Children have an index of their own.
    let elsewhere = filter.parent_id.is_some() || filter.text.is_some() || !filter.ids.is_empty();
    let timed = filter.created_after.is_some() || filter.created_before.is_some();
    let by_place = !(filter.states.is_empty() || elsewhere || timed);
    let rows = sqlx::query!(
        r#"SELECT id AS "id!", org_id AS "org_id!", user_id AS "user_id!", project_id, parent_id, replay_of,
                  worker_type AS "worker_type!", title AS "title!", prompt AS "prompt!", repository, branch,
                  context AS "context!", config AS "config!", metadata AS "metadata!", reply_to, harness, model,
                  timeout_seconds, max_attempts AS "max_attempts!", on_dependency_failure AS "on_dependency_failure!",
                  priority AS "priority!", state, reason, run_at, attempt_id, burned, fence, stop,
                  created_at AS "created_at!", finished_at, blocked_by,
                  coalesce(result_error, (SELECT a.message FROM eve.attempts a WHERE a.request_id = v.id
                      AND a.failure_class IS NOT NULL ORDER BY a.fence DESC LIMIT 1)) AS last_error,
                  coalesce((SELECT a.started_at FROM eve.attempt_view a WHERE a.request_id = v.id
                      AND a.started_at IS NOT NULL ORDER BY a.fence LIMIT 1), lease_started_at) AS first_started_at
           FROM eve.request_view v
           WHERE org_id = $1
             AND ($2::uuid IS NULL OR id < $2)
             AND (cardinality($3::text[]) = 0 OR state = ANY ($3))
             AND ($4::text IS NULL OR worker_type = $4)
             AND ($5::uuid IS NULL OR project_id = $5)
             AND ($6::uuid IS NULL OR parent_id = $6)
             AND ($9::timestamptz IS NULL OR created_at >= $9)
             AND ($10::timestamptz IS NULL OR created_at < $10)
             AND ($11::text IS NULL OR strpos(lower(title), lower($11)) > 0 OR strpos(lower(prompt), lower($11)) > 0)
             AND ($12::bool IS NULL OR state <> 'waiting' OR (reason = 'answer') = $12)
             AND (cardinality($13::uuid[]) = 0 OR id = ANY ($13))
             AND (NOT $7 OR id = ANY (ARRAY(
                 WITH own AS MATERIALIZED (
                     SELECT l.id FROM eve.lanes l
                     WHERE $7 AND ($4::text IS NULL OR l.worker_type = $4) AND ($5::uuid IS NULL OR l.project_id = $5))
                 (SELECT q.request_id FROM own CROSS JOIN unnest('{1,2,3,4}'::smallint[]) AS p (priority)
                  CROSS JOIN LATERAL (
                      SELECT n.request_id FROM eve.queue n
                      WHERE n.lane_id = own.id AND n.priority = p.priority AND ($2::uuid IS NULL OR n.request_id < $2)
                      ORDER BY n.request_id DESC LIMIT $8) q
                  WHERE 'pending' = ANY ($3))
                 UNION ALL
                 (SELECT request_id FROM eve.leases WHERE $7 AND org_id = $1)
                 UNION ALL
                 (SELECT n.request_id FROM eve.parked n
                  WHERE $7 AND n.org_id = $1 AND n.state = ANY ($3) AND ($2::uuid IS NULL OR n.request_id < $2)
                    AND ($12::bool IS NULL OR n.state <> 'waiting' OR (n.reason = 'answer') = $12)
                    AND n.lane_id IN (SELECT id FROM own)
                  ORDER BY n.request_id DESC LIMIT $8)
                 UNION ALL
                 (SELECT n.request_id FROM eve.results n
                  WHERE $7 AND n.org_id = $1 AND n.state <> 'completed' AND n.state = ANY ($3)
                    AND ($2::uuid IS NULL OR n.request_id < $2)
                    AND ($4::text IS NULL AND $5::uuid IS NULL
                         OR (SELECT r.lane_id FROM eve.requests r WHERE r.org_id = $1 AND r.id = n.request_id)
                            IN (SELECT id FROM own))
                  ORDER BY n.request_id DESC LIMIT $8)
                 UNION ALL
                 (SELECT n.request_id FROM eve.results n
                  WHERE $7 AND n.org_id = $1 AND n.state = 'completed' AND 'completed' = ANY ($3)
                    AND ($2::uuid IS NULL OR n.request_id < $2)
                    AND ($4::text IS NULL AND $5::uuid IS NULL
                         OR (SELECT r.lane_id FROM eve.requests r WHERE r.org_id = $1 AND r.id = n.request_id)
                            IN (SELECT id FROM own))
                  ORDER BY n.request_id DESC LIMIT $8))))
           ORDER BY org_id, id DESC
           LIMIT $8"#,
        tx.org().uuid(),
        before.map(RequestId::uuid),
        &states,
        filter.worker_type.as_ref().map(WorkerTypeName::as_str),
        filter.project_id.map(ProjectId::uuid),
        filter.parent_id.map(RequestId::uuid),
        by_place,
        limit,
        filter.created_after.map(stamp) as _,
        filter.created_before.map(stamp) as _,
        filter.text,
        filter.answer,
        &filter.ids.iter().map(|id| id.uuid()).collect::<Vec<_>>()
    )
    .fetch_all(tx.conn())
    .await
    .during("request_list")?;
    rows.into_iter().map(|row| request_row!(row)).collect()
}

/// How urgent a request of the organization is now, which its children inherit.
pub async fn request_priority(tx: &mut OrgTx, id: RequestId) -> Result<Option<Priority>, StoreError> {
    Ok(request_priorities(tx, &[id]).await?.remove(&id))
}

/// The same for many. Those that the organization does not have are missing from the answer.
pub async fn request_priorities(tx: &mut OrgTx, ids: &[RequestId]) -> Result<HashMap<RequestId, Priority>, StoreError> {
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"SELECT id AS "id!", priority AS "priority!" FROM eve.request_view WHERE org_id = $1 AND id = ANY ($2)"#,
        tx.org().uuid(),
        &ids
    )
    .fetch_all(tx.conn())
    .await
    .during("request_priorities")?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Priority::from_number(row.priority).map(|level| (RequestId::from_uuid(row.id), level)))
        .collect())
}

/// How many children of a request are not finished.
pub async fn request_children_open(tx: &mut impl Tx, org: OrgId, parent: RequestId) -> Result<i64, StoreError> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM eve.requests c
           WHERE c.org_id = $1 AND c.parent_id = $2
             AND NOT EXISTS (SELECT FROM eve.results z WHERE z.request_id = c.id)"#,
        org.uuid(),
        parent.uuid()
    )
    .fetch_one(tx.conn())
    .await
    .during("request_children_open")
}

pub(crate) fn stamp(at: Timestamp) -> jiff_sqlx::Timestamp {
    at.to_sqlx()
}
