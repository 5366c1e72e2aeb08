//! Results: what came of a request. Written once, in the transaction that finishes it.

use eve_core::AttemptId;
use eve_core::AttemptReport;
use eve_core::CostBasis;
use eve_core::OrgId;
use eve_core::Outcome;
use eve_core::RequestId;
use eve_core::ResultStatus;
use jiff::Timestamp;
use rust_decimal::Decimal;

use crate::OrgTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;

/// A result as people see it.
#[derive(Debug, Clone)]
pub struct ResultRow {
    /// The request.
    pub request_id: RequestId,
    /// The attempt that finished it, if one did.
    pub attempt_id: Option<AttemptId>,
    /// What came of it.
    pub status: ResultStatus,
    /// The answer, as structured as the harness could make it.
    pub output: serde_json::Value,
    /// The answer in a few words.
    pub summary: String,
    /// The branch that holds the work.
    pub branch: Option<String>,
    /// The commit at its tip.
    pub commit_id: Option<String>,
    /// The commit it started from.
    pub base_commit_id: Option<String>,
    /// The address of the pull request.
    pub pull_request: Option<String>,
    /// Number of files that differ.
    pub files_changed: i32,
    /// The difference.
    pub patch: Option<String>,
    /// From the agent's start to its end.
    pub duration_ms: i64,
    /// The model that answered.
    pub model: Option<String>,
    /// Tokens read.
    pub input_tokens: i64,
    /// Tokens written.
    pub output_tokens: i64,
    /// Tokens read from a cache.
    pub cache_read_tokens: i64,
    /// Tokens written to a cache.
    pub cache_write_tokens: i64,
    /// US dollars, if known.
    pub cost_usd: Option<Decimal>,
    /// How the cost is known.
    pub cost_basis: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// Its stable code.
    pub error_code: Option<String>,
    /// When it was written.
    pub created_at: Timestamp,
}

pub(crate) const fn basis_name(basis: Option<CostBasis>) -> Option<&'static str> {
    match basis {
        Some(CostBasis::Observed) => Some("observed"),
        Some(CostBasis::Priced) => Some("priced"),
        Some(CostBasis::Estimated) => Some("estimated"),
        None => None,
    }
}

/// What a result says when no attempt's report explains it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultError {
    /// The stable code.
    pub code: String,
    /// What a person should read.
    pub message: String,
}

/// Writes the result of a request. The primary key keeps a second one out.
pub async fn result_write(
    tx: &mut impl Tx,
    org: OrgId,
    request: RequestId,
    attempt: Option<AttemptId>,
    status: ResultStatus,
    report: Option<&AttemptReport>,
    error: Option<&ResultError>,
) -> Result<(), StoreError> {
    let empty = serde_json::Value::Null;
    let (output, summary) = match report.map(|report| &report.outcome) {
        Some(Outcome::Succeeded { output, summary }) => (output, summary.as_str()),
        Some(Outcome::NeedsInput { question }) => (&empty, question.as_str()),
        Some(Outcome::Failed { .. } | Outcome::Cancelled) | None => (&empty, ""),
    };
    let usage = report.map(|report| report.usage.clone()).unwrap_or_default();
    let delivery = report.map(|report| report.delivery.clone()).unwrap_or_default();
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    sqlx::query!(
        "INSERT INTO eve.results (org_id, request_id, attempt_id, status, output, summary, branch, commit_id,
             base_commit_id, files_changed, patch, duration_ms, model, input_tokens, output_tokens, cache_read_tokens,
             cache_write_tokens, cost_usd, cost_basis, error, error_code)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)",
        org.uuid(),
        request.uuid(),
        attempt.map(AttemptId::uuid),
        status.name(),
        output,
        summary,
        delivery.branch,
        delivery.commit,
        delivery.base_commit,
        i32::try_from(delivery.files_changed).unwrap_or(i32::MAX),
        delivery.patch,
        report.map_or(0, |report| count(report.duration_ms)),
        usage.model,
        count(usage.input_tokens),
        count(usage.output_tokens),
        count(usage.cache_read_tokens),
        count(usage.cache_write_tokens),
        usage.cost_usd,
        basis_name(usage.cost_basis),
        error.map(|error| error.message.as_str()),
        error.map(|error| error.code.as_str())
    )
    .execute(tx.conn())
    .await
    .during("result_write")?;
    Ok(())
}

/// The result of a request, if there is one yet.
pub async fn result_get(tx: &mut OrgTx, request: RequestId) -> Result<Option<ResultRow>, StoreError> {
    let row = sqlx::query!(
        "SELECT attempt_id, status, output, summary, branch, commit_id, base_commit_id, pull_request, files_changed,
                patch, duration_ms, model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens,
                cost_usd, cost_basis, error, error_code, created_at
         FROM eve.results WHERE org_id = $1 AND request_id = $2",
        tx.org().uuid(),
        request.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .during("result_get")?;
    row.map(|row| {
        Ok(ResultRow {
            request_id: request,
            attempt_id: row.attempt_id.map(AttemptId::from_uuid),
            status: ResultStatus::from_name(&row.status)
                .ok_or_else(|| StoreError::Impossible { table: "results", detail: row.status.clone() })?,
            output: row.output,
            summary: row.summary,
            branch: row.branch,
            commit_id: row.commit_id,
            base_commit_id: row.base_commit_id,
            pull_request: row.pull_request,
            files_changed: row.files_changed,
            patch: row.patch,
            duration_ms: row.duration_ms,
            model: row.model,
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
            cache_read_tokens: row.cache_read_tokens,
            cache_write_tokens: row.cache_write_tokens,
            cost_usd: row.cost_usd,
            cost_basis: row.cost_basis,
            error: row.error,
            error_code: row.error_code,
            created_at: row.created_at.to_jiff(),
        })
    })
    .transpose()
}
