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
pub async fn worker_register(tx: &mut PlatformTx, new: &NewWorker) -> Result<WorkerId, StoreError> {
    let id = new_id();
    sqlx::query!(
        "INSERT INTO eve.workers (id, name, version, worker_types, harnesses, slots, state)
         VALUES ($1, $2, $3, $4, $5, $6, 'active')",
        id,
        new.name,
        new.version,
        &new.worker_types,
        new.harnesses,
        new.slots
    )
    .execute(tx.conn())
    .await
    .during("worker_register")?;
    Ok(WorkerId::from_uuid(id))
}

/// Notes that a worker was heard of, and whether it drains or has stopped. False if it was never entered.
pub async fn worker_seen(tx: &mut PlatformTx, worker: WorkerId, state: &str) -> Result<bool, StoreError> {
    let done =
        sqlx::query!("UPDATE eve.workers SET last_seen_at = now(), state = $2 WHERE id = $1", worker.uuid(), state)
            .execute(tx.conn())
            .await
            .during("worker_seen")?;
    Ok(done.rows_affected() == 1)
}

/// Workers that run or were heard of in the last day, newest first. One that was silent for longer than `lost_after`
/// counts as lost.
pub async fn worker_list(tx: &mut OrgTx, lost_after: SignedDuration) -> Result<Vec<WorkerRow>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT w.id, w.name, w.version, w.worker_types, w.harnesses, w.slots,
                  CASE WHEN w.state <> 'stopped' AND w.last_seen_at < now() - make_interval(secs => $1)
                       THEN 'lost' ELSE w.state END AS "state!",
                  (SELECT count(*) FROM eve.leases l WHERE l.worker_id = w.id) AS "running!",
                  w.started_at, w.last_seen_at
           FROM eve.workers w
           WHERE w.last_seen_at > now() - interval '1 day'
           ORDER BY w.id DESC LIMIT 200"#,
        lost_after.as_secs_f64()
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
    let rows = sqlx::query!(
        "SELECT a.id, a.request_id, r.title, a.state, a.failure_class, a.claimed_at, a.ended_at
         FROM eve.attempts a
         JOIN eve.requests r ON r.org_id = a.org_id AND r.id = a.request_id
         WHERE a.org_id = $1 AND a.worker_id = $2
         ORDER BY a.org_id, a.id DESC LIMIT $3",
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
