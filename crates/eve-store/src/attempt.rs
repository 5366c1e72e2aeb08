//! Attempts: one row for each claim of a request.

use eve_core::AttemptId;
use eve_core::AttemptReport;
use eve_core::AttemptState;
use eve_core::OrgId;
use eve_core::Outcome;
use eve_core::RequestId;
use eve_core::WorkerId;
use jiff::Timestamp;
use rust_decimal::Decimal;

use crate::OrgTx;
use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;

/// An attempt as people see it.
#[derive(Debug, Clone)]
pub struct AttemptRow {
    /// Its id.
    pub id: AttemptId,
    /// Which attempt of the request, from 1.
    pub number: i32,
    /// Who ran it.
    pub worker_id: WorkerId,
    /// Where it stands.
    pub state: AttemptState,
    /// What it ran with.
    pub harness: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// The agent's session.
    pub session_id: Option<String>,
    /// How it ended.
    pub failure_class: Option<String>,
    /// What a person should read about its end.
    pub message: Option<String>,
    /// The exit code of the agent.
    pub exit_code: Option<i32>,
    /// Output that was beyond the limit.
    pub dropped_bytes: i64,
    /// All tokens.
    pub tokens: i64,
    /// US dollars, if known.
    pub cost_usd: Option<Decimal>,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// When its agent started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Notes that the agent runs, and with what.
pub async fn attempt_start(
    tx: &mut PlatformTx,
    org: OrgId,
    attempt: AttemptId,
    harness: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE eve.attempts SET state = 'running', started_at = now(), harness = $3 WHERE org_id = $1 AND id = $2",
        org.uuid(),
        attempt.uuid(),
        harness
    )
    .execute(tx.conn())
    .await
    .during("attempt_start")?;
    Ok(())
}

/// Notes the agent's session as soon as it is known, so that a crash does not lose it.
pub async fn attempt_session_note(
    tx: &mut PlatformTx,
    org: OrgId,
    attempt: AttemptId,
    session: &str,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE eve.attempts SET session_id = $3 WHERE org_id = $1 AND id = $2",
        org.uuid(),
        attempt.uuid(),
        session
    )
    .execute(tx.conn())
    .await
    .during("attempt_session_note")?;
    Ok(())
}

/// Closes an attempt's row; with what its worker reported, if it did.
pub async fn attempt_end(
    tx: &mut impl Tx,
    org: OrgId,
    attempt: AttemptId,
    state: AttemptState,
    report: Option<&AttemptReport>,
) -> Result<(), StoreError> {
    const OP: &str = "attempt_end";
    let Some(report) = report else {
        sqlx::query!(
            "UPDATE eve.attempts SET state = $3, ended_at = now() WHERE org_id = $1 AND id = $2",
            org.uuid(),
            attempt.uuid(),
            state.name()
        )
        .execute(tx.conn())
        .await
        .during(OP)?;
        return Ok(());
    };
    let (outcome, class, message) = match &report.outcome {
        Outcome::Succeeded { summary, .. } => ("succeeded", None, summary.as_str()),
        Outcome::NeedsInput { question } => ("needs_input", None, question.as_str()),
        Outcome::Failed { class, message, .. } => ("failed", Some(class.code()), message.as_str()),
        Outcome::Cancelled => ("cancelled", None, ""),
    };
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    sqlx::query!(
        "UPDATE eve.attempts
         SET state = $3, ended_at = now(), outcome = $4, failure_class = $5, message = $6, exit_code = $7,
             dropped_bytes = $8, input_tokens = $9, output_tokens = $10, cache_read_tokens = $11,
             cache_write_tokens = $12, cost_usd = $13, cost_basis = $14, session_id = coalesce($15, session_id),
             model = coalesce($16, model)
         WHERE org_id = $1 AND id = $2",
        org.uuid(),
        attempt.uuid(),
        state.name(),
        outcome,
        class,
        message,
        report.exit_code,
        count(report.dropped_bytes),
        count(report.usage.input_tokens),
        count(report.usage.output_tokens),
        count(report.usage.cache_read_tokens),
        count(report.usage.cache_write_tokens),
        report.usage.cost_usd,
        crate::result::basis_name(report.usage.cost_basis),
        report.session_id,
        report.usage.model
    )
    .execute(tx.conn())
    .await
    .during(OP)?;
    Ok(())
}

/// The attempts of a request, first to last.
pub async fn attempt_list(tx: &mut OrgTx, request: RequestId) -> Result<Vec<AttemptRow>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT id, number, worker_id, state, harness, model, session_id, failure_class, message, exit_code,
                  dropped_bytes, input_tokens + output_tokens + cache_read_tokens + cache_write_tokens AS "tokens!",
                  cost_usd, claimed_at, started_at, ended_at
           FROM eve.attempts WHERE org_id = $1 AND request_id = $2 ORDER BY fence LIMIT 1000"#,
        tx.org().uuid(),
        request.uuid()
    )
    .fetch_all(tx.conn())
    .await
    .during("attempt_list")?;
    rows.into_iter()
        .map(|row| {
            Ok(AttemptRow {
                id: AttemptId::from_uuid(row.id),
                number: row.number,
                worker_id: WorkerId::from_uuid(row.worker_id),
                state: AttemptState::from_name(&row.state)
                    .ok_or_else(|| StoreError::Impossible { table: "attempts", detail: row.state.clone() })?,
                harness: row.harness,
                model: row.model,
                session_id: row.session_id,
                failure_class: row.failure_class,
                message: row.message,
                exit_code: row.exit_code,
                dropped_bytes: row.dropped_bytes,
                tokens: row.tokens,
                cost_usd: row.cost_usd,
                claimed_at: row.claimed_at.to_jiff(),
                started_at: row.started_at.map(|at| at.to_jiff()),
                ended_at: row.ended_at.map(|at| at.to_jiff()),
            })
        })
        .collect()
}
