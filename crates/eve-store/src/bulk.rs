//! Bulk actions: one change for many requests, how far it has come, and the requests that it is for.
//!
//! The row of an action is also the lock of whoever works on it. Requests are found slice by slice, in the order of their
//! ids, each slice bounded whether or not anything in it fits the filter; what is done to them is decided elsewhere.

mod scan;

pub use scan::Candidate;
pub use scan::Slice;
pub use scan::Source;
pub use scan::bulk_scan;

use std::collections::BTreeMap;

use eve_core::BulkActionId;
use eve_core::BulkChange;
use eve_core::KeyId;
use eve_core::OrgId;
use eve_core::Priority;
use eve_core::RequestId;
use eve_core::UserId;
use jiff::SignedDuration;
use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;

use crate::OrgTx;
use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;
use crate::request::RequestFilter;

/// How an action stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BulkState {
    /// Nothing was done yet.
    Pending,
    /// It is being done.
    Running,
    /// Everything was looked at.
    Completed,
    /// Somebody stopped it.
    Cancelled,
}

impl BulkState {
    const ALL: [Self; 4] = [Self::Pending, Self::Running, Self::Completed, Self::Cancelled];

    /// The name, as in the database and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more is done.
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled)
    }
}

/// How many requests were left alone, or failed, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BulkReasons {
    /// Left alone.
    pub skipped: BTreeMap<String, i64>,
    /// Could not be changed.
    pub failed: BTreeMap<String, i64>,
}

/// A bulk action.
#[derive(Debug, Clone)]
pub struct BulkActionRow {
    /// Its organization.
    pub org_id: OrgId,
    /// Its id.
    pub id: BulkActionId,
    /// Who asked.
    pub user_id: UserId,
    /// With which key.
    pub key_id: KeyId,
    /// Who asked, as events name them.
    pub user_name: String,
    /// What it does to each request.
    pub change: BulkChange,
    /// Which requests.
    pub filter: RequestFilter,
    /// How it stands.
    pub state: BulkState,
    /// The last request that was looked at.
    pub cursor: Option<RequestId>,
    /// Requests changed.
    pub done: i64,
    /// Requests left alone.
    pub skipped: i64,
    /// Requests that could not be changed.
    pub failed: i64,
    /// Why.
    pub reasons: BulkReasons,
    /// When it was asked. Only requests from before count.
    pub created_at: Timestamp,
    /// When the first request was looked at.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
}

/// What a caller wants done.
#[derive(Debug, Clone)]
pub struct NewBulkAction<'a> {
    /// Its id.
    pub id: BulkActionId,
    /// Who asks.
    pub user_id: UserId,
    /// With which key.
    pub key_id: KeyId,
    /// Who asks, as events name them.
    pub user_name: &'a str,
    /// What it does to each request.
    pub change: BulkChange,
    /// Which requests.
    pub filter: &'a RequestFilter,
}

fn impossible(detail: String) -> StoreError {
    StoreError::Impossible { table: "bulk_actions", detail }
}

macro_rules! bulk_row {
    ($row:expr) => {{
        let row = $row;
        let priority = row
            .priority
            .map(|number| Priority::from_number(number).ok_or_else(|| impossible(format!("priority {number}"))));
        Ok(BulkActionRow {
            org_id: OrgId::from_uuid(row.org_id),
            id: BulkActionId::from_uuid(row.id),
            user_id: UserId::from_uuid(row.user_id),
            key_id: KeyId::from_uuid(row.key_id),
            user_name: row.user_name,
            change: BulkChange::from_name(&row.action, priority.transpose()?)
                .ok_or_else(|| impossible(format!("action {}", row.action)))?,
            filter: serde_json::from_value(row.filter).map_err(|error| impossible(format!("filter: {error}")))?,
            state: BulkState::ALL
                .into_iter()
                .find(|state| state.name() == row.state)
                .ok_or_else(|| impossible(format!("state {}", row.state)))?,
            cursor: row.cursor_id.map(RequestId::from_uuid),
            done: row.done,
            skipped: row.skipped,
            failed: row.failed,
            reasons: serde_json::from_value(row.reasons).map_err(|error| impossible(format!("reasons: {error}")))?,
            created_at: row.created_at.to_jiff(),
            started_at: row.started_at.map(|at| at.to_jiff()),
            finished_at: row.finished_at.map(|at| at.to_jiff()),
        })
    }};
}

/// Has the statements of this transaction planned for what they are given, and by index. They take thousands of ids from
/// tables that are empty now and large in a moment; a plan that was right for the one would read the other once for each id.
async fn plan_for_many(tx: &mut OrgTx) -> Result<(), StoreError> {
    sqlx::raw_sql("SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_seqscan = off")
        .execute(tx.conn())
        .await
        .during("plan_for_many")?;
    Ok(())
}

/// Notes an action for the service that does it.
pub async fn bulk_action_create(tx: &mut OrgTx, new: NewBulkAction<'_>) -> Result<BulkActionRow, StoreError> {
    let filter = serde_json::to_value(new.filter).map_err(|error| impossible(format!("filter: {error}")))?;
    let row = sqlx::query!(
        "INSERT INTO eve.bulk_actions (org_id, id, user_id, key_id, user_name, action, priority, filter)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         RETURNING org_id, id, user_id, key_id, user_name, action, priority, filter, state, cursor_id, done, skipped,
                   failed, reasons, created_at, started_at, finished_at",
        tx.org().uuid(),
        new.id.uuid(),
        new.user_id.uuid(),
        new.key_id.uuid(),
        new.user_name,
        new.change.name(),
        new.change.priority().map(Priority::number),
        filter
    )
    .fetch_one(tx.conn())
    .await
    .during("bulk_action_create")?;
    bulk_row!(row)
}

/// One action of the transaction's organization.
pub async fn bulk_action_get(tx: &mut OrgTx, id: BulkActionId) -> Result<Option<BulkActionRow>, StoreError> {
    let row = sqlx::query!(
        "SELECT org_id, id, user_id, key_id, user_name, action, priority, filter, state, cursor_id, done, skipped,
                failed, reasons, created_at, started_at, finished_at
         FROM eve.bulk_actions WHERE org_id = $1 AND id = $2",
        tx.org().uuid(),
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .during("bulk_action_get")?;
    row.map(|row| bulk_row!(row)).transpose()
}

/// Actions of the transaction's organization, newest first, from `before` on.
pub async fn bulk_action_list(
    tx: &mut OrgTx,
    before: Option<BulkActionId>,
    limit: i64,
) -> Result<Vec<BulkActionRow>, StoreError> {
    let rows = sqlx::query!(
        "SELECT org_id, id, user_id, key_id, user_name, action, priority, filter, state, cursor_id, done, skipped,
                failed, reasons, created_at, started_at, finished_at
         FROM eve.bulk_actions WHERE org_id = $1 AND ($2::uuid IS NULL OR id < $2)
         ORDER BY org_id, id DESC LIMIT $3",
        tx.org().uuid(),
        before.map(BulkActionId::uuid),
        limit
    )
    .fetch_all(tx.conn())
    .await
    .during("bulk_action_list")?;
    rows.into_iter().map(|row| bulk_row!(row)).collect()
}

/// How many actions of the transaction's organization are not finished.
pub async fn bulk_action_open_count(tx: &mut OrgTx) -> Result<i64, StoreError> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM eve.bulk_actions WHERE org_id = $1 AND state IN ('pending', 'running')"#,
        tx.org().uuid()
    )
    .fetch_one(tx.conn())
    .await
    .during("bulk_action_open_count")
}

/// What came of stopping an action.
#[derive(Debug, Clone)]
pub enum BulkCancel {
    /// It does nothing more.
    Cancelled(Box<BulkActionRow>),
    /// It was over already.
    Finished(BulkState),
    /// The transaction sees no such action.
    Missing,
}

/// Stops an action. Waits for a batch that is being written.
pub async fn bulk_action_cancel(tx: &mut OrgTx, id: BulkActionId) -> Result<BulkCancel, StoreError> {
    let row = sqlx::query!(
        "UPDATE eve.bulk_actions SET state = 'cancelled', finished_at = now()
         WHERE org_id = $1 AND id = $2 AND state IN ('pending', 'running')
         RETURNING org_id, id, user_id, key_id, user_name, action, priority, filter, state, cursor_id, done, skipped,
                   failed, reasons, created_at, started_at, finished_at",
        tx.org().uuid(),
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .during("bulk_action_cancel")?;
    if let Some(row) = row {
        let row: Result<BulkActionRow, StoreError> = bulk_row!(row);
        return Ok(BulkCancel::Cancelled(Box::new(row?)));
    }
    Ok(bulk_action_get(tx, id).await?.map_or(BulkCancel::Missing, |row| BulkCancel::Finished(row.state)))
}

/// Actions that are not finished, whose turn is longest ago first.
pub async fn bulk_action_due(tx: &mut PlatformTx, limit: i64) -> Result<Vec<(OrgId, BulkActionId)>, StoreError> {
    let rows = sqlx::query!(
        "SELECT org_id, id FROM eve.bulk_actions WHERE state IN ('pending', 'running') ORDER BY served_at LIMIT $1",
        limit
    )
    .fetch_all(tx.conn())
    .await
    .during("bulk_action_due")?;
    Ok(rows.into_iter().map(|row| (OrgId::from_uuid(row.org_id), BulkActionId::from_uuid(row.id))).collect())
}

/// Locks an action to work on it. Nothing if it is finished, or somebody else works on it.
pub async fn bulk_action_take(tx: &mut OrgTx, id: BulkActionId) -> Result<Option<BulkActionRow>, StoreError> {
    plan_for_many(tx).await?;
    let row = sqlx::query!(
        "SELECT org_id, id, user_id, key_id, user_name, action, priority, filter, state, cursor_id, done, skipped,
                failed, reasons, created_at, started_at, finished_at
         FROM eve.bulk_actions WHERE org_id = $1 AND id = $2 AND state IN ('pending', 'running')
         FOR NO KEY UPDATE SKIP LOCKED",
        tx.org().uuid(),
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .during("bulk_action_take")?;
    row.map(|row| bulk_row!(row)).transpose()
}

/// Writes how far a locked action has come: place, counts, reasons and state.
pub async fn bulk_action_move(tx: &mut OrgTx, row: &BulkActionRow) -> Result<(), StoreError> {
    let reasons = serde_json::to_value(&row.reasons).map_err(|error| impossible(format!("reasons: {error}")))?;
    sqlx::query!(
        "UPDATE eve.bulk_actions
         SET state = $3, cursor_id = $4, done = $5, skipped = $6, failed = $7, reasons = $8,
             served_at = clock_timestamp(), started_at = coalesce(started_at, now()),
             finished_at = CASE WHEN $3 IN ('completed', 'cancelled') THEN clock_timestamp() END
         WHERE org_id = $1 AND id = $2",
        tx.org().uuid(),
        row.id.uuid(),
        row.state.name(),
        row.cursor.map(RequestId::uuid),
        row.done,
        row.skipped,
        row.failed,
        reasons
    )
    .execute(tx.conn())
    .await
    .during("bulk_action_move")?;
    Ok(())
}

/// Forgets actions that were over longer ago than the period.
pub async fn bulk_action_purge(tx: &mut PlatformTx, older: SignedDuration, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "DELETE FROM eve.bulk_actions WHERE (org_id, id) IN (
             SELECT org_id, id FROM eve.bulk_actions
             WHERE finished_at < now() - make_interval(secs => $1) LIMIT $2)",
        older.as_secs_f64(),
        limit
    )
    .execute(tx.conn())
    .await
    .during("bulk_action_purge")?;
    Ok(done.rows_affected())
}
