//! The columns that a decision reads and writes: one conversion each way, loud on an impossible row.

use eve_core::AttemptId;
use eve_core::DependencyPolicy;
use eve_core::FailureClass;
use eve_core::Fence;
use eve_core::HoldReason;
use eve_core::OrgId;
use eve_core::Priority;
use eve_core::RequestId;
use eve_core::RequestLife;
use eve_core::RequestState;
use eve_core::RetryPolicy;
use eve_core::StateName;
use eve_core::StopKind;
use eve_core::WaitReason;
use jiff::Timestamp;

use super::stamp;
use crate::StoreError;
use crate::Tx;
use crate::error::During;

/// A request whose row is locked until the transaction ends.
#[derive(Debug, Clone)]
pub struct LockedRequest {
    /// Its organization.
    pub org_id: OrgId,
    /// Its id.
    pub id: RequestId,
    /// Who does it.
    pub worker_type: String,
    /// How urgent it is.
    pub priority: Priority,
    /// What decisions depend on.
    pub life: RequestLife,
    /// The request that created it.
    pub parent_id: Option<RequestId>,
    /// The database's time in this transaction.
    pub now: Timestamp,
}

const fn hold_name(reason: HoldReason) -> &'static str {
    match reason {
        HoldReason::Approval => "approval",
        HoldReason::Budget => "budget",
    }
}

const fn wait_name(reason: WaitReason) -> &'static str {
    match reason {
        WaitReason::Answer => "answer",
        WaitReason::Children => "children",
    }
}

/// What `reason`, `run_at` and `attempt_id` hold in a state.
struct Columns {
    reason: Option<&'static str>,
    run_at: Option<Timestamp>,
    attempt: Option<AttemptId>,
}

const fn columns(state: RequestState) -> Columns {
    let empty = Columns { reason: None, run_at: None, attempt: None };
    match state {
        RequestState::Held(reason) => Columns { reason: Some(hold_name(reason)), ..empty },
        RequestState::Pending { run_at } => Columns { run_at: Some(run_at), ..empty },
        RequestState::Claimed { attempt } | RequestState::Processing { attempt } => {
            Columns { attempt: Some(attempt), ..empty }
        }
        RequestState::Waiting(reason) => Columns { reason: Some(wait_name(reason)), ..empty },
        RequestState::Failed(class) => Columns { reason: Some(class.code()), ..empty },
        RequestState::Blocked | RequestState::Paused | RequestState::Completed | RequestState::Cancelled => empty,
    }
}

fn state(
    name: &str,
    reason: Option<&str>,
    run_at: Option<Timestamp>,
    attempt: Option<AttemptId>,
) -> Option<RequestState> {
    Some(match StateName::from_name(name)? {
        StateName::Blocked => RequestState::Blocked,
        StateName::Held => RequestState::Held(match reason? {
            "approval" => HoldReason::Approval,
            "budget" => HoldReason::Budget,
            _ => return None,
        }),
        StateName::Pending => RequestState::Pending { run_at: run_at? },
        StateName::Claimed => RequestState::Claimed { attempt: attempt? },
        StateName::Processing => RequestState::Processing { attempt: attempt? },
        StateName::Waiting => RequestState::Waiting(match reason? {
            "answer" => WaitReason::Answer,
            "children" => WaitReason::Children,
            _ => return None,
        }),
        StateName::Paused => RequestState::Paused,
        StateName::Completed => RequestState::Completed,
        StateName::Failed => RequestState::Failed(FailureClass::from_code(reason?)?),
        StateName::Cancelled => RequestState::Cancelled,
    })
}

const fn stop_name(stop: Option<StopKind>) -> Option<&'static str> {
    match stop {
        Some(StopKind::Cancel) => Some("cancel"),
        Some(StopKind::Pause) => Some("pause"),
        None => None,
    }
}

/// Locks a request and reads what decisions depend on; nothing if the transaction does not see it.
pub async fn request_life_lock(
    tx: &mut impl Tx,
    org: OrgId,
    id: RequestId,
) -> Result<Option<LockedRequest>, StoreError> {
    let row = sqlx::query!(
        r#"SELECT org_id, worker_type, priority, state, reason, run_at, attempt_id, fence, burned, crashes,
                  max_attempts, on_dependency_failure, stop, parent_id, now() AS "now!"
           FROM eve.requests WHERE org_id = $1 AND id = $2 FOR NO KEY UPDATE"#,
        org.uuid(),
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .during("request_life_lock")?;
    let Some(row) = row else { return Ok(None) };
    let attempt = row.attempt_id.map(AttemptId::from_uuid);
    let parsed = (|| {
        Some(RequestLife {
            state: state(&row.state, row.reason.as_deref(), row.run_at.map(|at| at.to_jiff()), attempt)?,
            fence: Fence(row.fence),
            burned: u16::try_from(row.burned).ok()?,
            crashes: u16::try_from(row.crashes).ok()?,
            policy: RetryPolicy { max_attempts: u16::try_from(row.max_attempts).ok()?, ..RetryPolicy::default() },
            on_dependency_failure: DependencyPolicy::from_name(&row.on_dependency_failure)?,
            stop: match row.stop.as_deref() {
                None => None,
                Some("cancel") => Some(StopKind::Cancel),
                Some("pause") => Some(StopKind::Pause),
                Some(_) => return None,
            },
        })
    })();
    let impossible = || StoreError::Impossible { table: "requests", detail: format!("{id} is {}", row.state) };
    Ok(Some(LockedRequest {
        org_id: OrgId::from_uuid(row.org_id),
        id,
        worker_type: row.worker_type.clone(),
        priority: Priority::from_number(row.priority).ok_or_else(impossible)?,
        life: parsed.ok_or_else(impossible)?,
        parent_id: row.parent_id.map(RequestId::from_uuid),
        now: row.now.to_jiff(),
    }))
}

/// Writes what was decided about a locked request.
pub async fn request_life_save(tx: &mut impl Tx, locked: &LockedRequest, life: &RequestLife) -> Result<(), StoreError> {
    let Columns { reason, run_at, attempt } = columns(life.state);
    sqlx::query!(
        "UPDATE eve.requests
         SET state = $3, reason = $4, run_at = $5, attempt_id = $6, fence = $7, burned = $8, crashes = $9, stop = $10,
             started_at = CASE WHEN $3 = 'processing' THEN coalesce(started_at, now()) ELSE started_at END,
             finished_at = CASE WHEN $11 THEN now() END
         WHERE org_id = $1 AND id = $2",
        locked.org_id.uuid(),
        locked.id.uuid(),
        life.state.name().name(),
        reason,
        run_at.map(stamp) as _,
        attempt.map(AttemptId::uuid),
        life.fence.0,
        i16::try_from(life.burned).unwrap_or(i16::MAX),
        i16::try_from(life.crashes).unwrap_or(i16::MAX),
        stop_name(life.stop),
        life.state.name().is_terminal()
    )
    .execute(tx.conn())
    .await
    .during("request_life_save")?;
    if locked.life.state == RequestState::Blocked && life.state != RequestState::Blocked {
        sqlx::query!("DELETE FROM eve.blocked WHERE request_id = $1", locked.id.uuid())
            .execute(tx.conn())
            .await
            .during("request_life_save")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
