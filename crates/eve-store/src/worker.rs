//! Worker processes: who they are and when they were last heard of.

use eve_core::AttemptId;
use eve_core::RequestId;
use eve_core::WorkerId;
use jiff::SignedDuration;
use jiff::Timestamp;

use crate::OrgTx;
use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;
use crate::new_id;

/// What a worker says of itself when it starts.
#[derive(Debug, Clone)]
pub struct NewWorker {
    /// Host and process, for people.
    pub name: String,
    /// Eve's version.
    pub version: String,
    /// What it serves.
    pub worker_types: Vec<String>,
    /// The agents it found, as data for people.
    pub harnesses: serde_json::Value,
    /// Attempts it runs at once.
    pub slots: i32,
    /// The account that its agents are signed in with, where a limit shall count by it.
    pub account: Option<String>,
}

/// A worker as people see it.
#[derive(Debug, Clone)]
pub struct WorkerRow {
    /// Its id.
    pub id: WorkerId,
    /// Host and process.
    pub name: String,
    /// Eve's version.
    pub version: String,
    /// What it serves.
    pub worker_types: Vec<String>,
    /// The agents it found.
    pub harnesses: serde_json::Value,
    /// Attempts it runs at once.
    pub slots: i32,
    /// `active`, `draining`, `stopped`, or `lost` when it was not heard of for long.
    pub state: String,
    /// Live attempts of the transaction's organization.
    pub running: i64,
    /// When it started.
    pub started_at: Timestamp,
    /// When it was last heard of.
    pub last_seen_at: Timestamp,
}

/// An attempt that a worker ran for the transaction's organization.
#[derive(Debug, Clone)]
pub struct WorkerAttempt {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// Its request.
    pub request_id: RequestId,
    /// The request's title.
    pub title: String,
    /// Where the attempt stands.
    pub state: String,
    /// How it ended.
    pub failure_class: Option<String>,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Enters a worker.
pub async fn worker_register(
    tx: &mut PlatformTx,
    new: &NewWorker,
    lease: SignedDuration,
) -> Result<WorkerId, StoreError> {
    let id = new_id();
    sqlx::query!(
        "INSERT INTO eve.workers (id, name, version, worker_types, harnesses, slots, account, state, lease_until)
         VALUES ($1, $2, $3, $4, $5, $6, $8, 'active', clock_timestamp() + make_interval(secs => $7))",
        id,
        new.name,
        new.version,
        &new.worker_types,
        new.harnesses,
        new.slots,
        lease.as_secs_f64(),
        new.account
    )
    .execute(tx.conn())
    .await
    .during("worker_register")?;
    Ok(WorkerId::from_uuid(id))
}

/// Extends the lease of a worker and notes whether it drains or has stopped. False if it was never entered, or was
/// given up: what it held is somebody else's then, and it has to enter anew.
pub async fn worker_beat(
    tx: &mut PlatformTx,
    worker: WorkerId,
    state: &str,
    lease: SignedDuration,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "UPDATE eve.workers
         SET last_seen_at = clock_timestamp(), state = $2,
             lease_until = clock_timestamp() + make_interval(secs => $3)
         WHERE id = $1 AND state IN ('active', 'draining')",
        worker.uuid(),
        state,
        lease.as_secs_f64()
    )
    .execute(tx.conn())
    .await
    .during("worker_beat")?;
    Ok(done.rows_affected() == 1)
}

/// Gives up the workers whose lease ran out, by the database's clock. None while the database has been up for less than
/// `grace`: nobody could be heard while it was down.
pub async fn worker_expire(tx: &mut PlatformTx, grace: SignedDuration) -> Result<Vec<WorkerId>, StoreError> {
    let rows = sqlx::query_scalar!(
        "UPDATE eve.workers SET state = 'lost'
         WHERE state IN ('active', 'draining') AND lease_until < clock_timestamp()
           AND pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => $1)
         RETURNING id",
        grace.as_secs_f64()
    )
    .fetch_all(tx.conn())
    .await
    .during("worker_expire")?;
    Ok(rows.into_iter().map(WorkerId::from_uuid).collect())
}

/// Which of these workers may be given work: entered, not given up, not on their way out.
pub async fn worker_list_active(tx: &mut PlatformTx, workers: &[WorkerId]) -> Result<Vec<WorkerId>, StoreError> {
    let ids: Vec<uuid::Uuid> = workers.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_scalar!(
        "SELECT id FROM eve.workers WHERE id = ANY ($1) AND state = 'active' AND lease_until > clock_timestamp()",
        &ids
    )
    .fetch_all(tx.conn())
    .await
    .during("worker_list_active")?;
    Ok(rows.into_iter().map(WorkerId::from_uuid).collect())
}

/// Workers that run or were heard of in the last day, newest first.
pub async fn worker_list(tx: &mut OrgTx) -> Result<Vec<WorkerRow>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT w.id, w.name, w.version, w.worker_types, w.harnesses, w.slots,
                  CASE WHEN w.state <> 'stopped' AND w.lease_until < now() THEN 'lost' ELSE w.state END AS "state!",
                  (SELECT count(*) FROM eve.leases l WHERE l.worker_id = w.id) AS "running!",
                  w.started_at, w.last_seen_at
           FROM eve.workers w
           WHERE w.last_seen_at > now() - interval '1 day'
           ORDER BY w.id DESC LIMIT 200"#
    )
    .fetch_all(tx.conn())
    .await
    .during("worker_list")?;
    Ok(rows
        .into_iter()
        .map(|row| WorkerRow {
            id: WorkerId::from_uuid(row.id),
            name: row.name,
            version: row.version,
            worker_types: row.worker_types,
            harnesses: row.harnesses,
            slots: row.slots,
            state: row.state,
            running: row.running,
            started_at: row.started_at.to_jiff(),
            last_seen_at: row.last_seen_at.to_jiff(),
        })
        .collect())
}

/// What a worker ran for the transaction's organization, newest first.
pub async fn worker_attempt_list(
    tx: &mut OrgTx,
    worker: WorkerId,
    limit: i64,
) -> Result<Vec<WorkerAttempt>, StoreError> {
    // Attempts have no index by worker, which every settlement would pay for. Its live ones are few, and of those that
    // are over the newest are looked through, up to a limit.
    let rows = sqlx::query!(
        r#"SELECT a.id AS "id!", a.request_id AS "request_id!", r.title, a.state AS "state!", a.failure_class,
                  a.claimed_at AS "claimed_at!", a.ended_at
           FROM (SELECT attempt_id AS id, request_id, CASE WHEN started_at IS NULL THEN 'claimed' ELSE 'running' END AS state,
                        NULL AS failure_class, claimed_at, NULL::timestamptz AS ended_at
                 FROM eve.leases WHERE worker_id = $2
                 UNION ALL
                 SELECT id, request_id, state, failure_class, claimed_at, ended_at
                 FROM ((SELECT id, request_id, state, failure_class, claimed_at, ended_at, worker_id
                        FROM eve.attempts ORDER BY request_id DESC LIMIT 20000)
                       UNION ALL
                       (SELECT attempt_id, request_id, 'settled', NULL, claimed_at, created_at, worker_id
                        FROM eve.results ORDER BY request_id DESC LIMIT 20000)) newest WHERE worker_id = $2) a
           JOIN eve.requests r ON r.org_id = $1 AND r.id = a.request_id
           ORDER BY a.claimed_at DESC LIMIT $3"#,
        tx.org().uuid(),
        worker.uuid(),
        limit
    )
    .fetch_all(tx.conn())
    .await
    .during("worker_attempt_list")?;
    Ok(rows
        .into_iter()
        .map(|row| WorkerAttempt {
            attempt_id: AttemptId::from_uuid(row.id),
            request_id: RequestId::from_uuid(row.request_id),
            title: row.title,
            state: row.state,
            failure_class: row.failure_class,
            claimed_at: row.claimed_at.to_jiff(),
            ended_at: row.ended_at.map(|at| at.to_jiff()),
        })
        .collect())
}
