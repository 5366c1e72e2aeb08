//! Results: what came of a request. Written once, in the transaction that finishes it.

use eve_core::AttemptId;
use eve_core::AttemptReport;
use eve_core::CostBasis;
use eve_core::Fence;
use eve_core::OrgId;
use eve_core::Outcome;
use eve_core::RequestId;
use eve_core::ResultStatus;
use eve_core::StateName;
use jiff::Timestamp;
use rust_decimal::Decimal;

use crate::OrgTx;
use crate::StoreError;
use crate::Tx;
use crate::attempt::count;
use crate::attempt::session;
use crate::attempt::some_count;
use crate::columns::sparse;
use crate::error::During;
use crate::request::stamp;
use crate::standing::LeaseFacts;

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

/// What came of a request.
#[derive(Debug, Clone)]
pub struct NewResult<'a> {
    /// Its organization.
    pub org_id: OrgId,
    /// The request.
    pub request_id: RequestId,
    /// The attempt that finished it, if one did.
    pub attempt_id: Option<AttemptId>,
    /// Claims of the request.
    pub fence: Fence,
    /// Attempts that counted.
    pub burned: u16,
    /// How the request stands now: finished.
    pub state: StateName,
    /// What came of it.
    pub status: ResultStatus,
    /// What its worker reported, if it did.
    pub report: Option<&'a AttemptReport>,
    /// The lease of the attempt that finished it, if that succeeded: it is recorded with the result.
    pub succeeded: Option<LeaseFacts>,
    /// Why it failed.
    pub error: Option<ResultError>,
}

/// Writes results. The primary key keeps a second one of a request out.
pub async fn result_write(tx: &mut impl Tx, new: &[NewResult<'_>]) -> Result<(), StoreError> {
    if new.is_empty() {
        return Ok(());
    }
    let usage = |of: fn(&eve_core::Usage) -> u64| -> Vec<Option<i64>> {
        sparse(new.iter().map(|row| some_count(row.report.map(|report| of(&report.usage)))))
    };
    let delivery = |of: fn(&eve_core::Delivery) -> &Option<String>| -> Vec<Option<&str>> {
        sparse(new.iter().map(|row| row.report.and_then(|report| of(&report.delivery).as_deref())))
    };
    let files = new
        .iter()
        .map(|row| row.report.map(|report| report.delivery.files_changed).filter(|count| *count > 0))
        .map(|count| count.map(|count| i32::try_from(count).unwrap_or(i32::MAX)));
    let files: Vec<Option<i32>> = sparse(files);
    let texts: Vec<(Option<&serde_json::Value>, &str)> = new.iter().map(|row| words(row.report)).collect();
    let lease = |of: fn(&LeaseFacts) -> Option<Timestamp>| -> Vec<Option<jiff_sqlx::Timestamp>> {
        sparse(new.iter().map(|row| row.succeeded.as_ref().and_then(of).map(stamp)))
    };
    let attempt = |of: fn(&AttemptReport) -> Option<i64>| -> Vec<Option<i64>> {
        sparse(new.iter().map(|row| row.succeeded.as_ref().and(row.report).and_then(of)))
    };
    sqlx::query!(
        "INSERT INTO eve.results (request_id, org_id, attempt_id, fence, duration_ms, input_tokens, output_tokens,
             cache_read_tokens, cache_write_tokens, files_changed, burned, state, status, summary, output, branch,
             commit_id, base_commit_id, patch, model, cost_usd, cost_basis, error, error_code, worker_id, claimed_at,
             started_at, dropped_bytes, exit_code, harness, session_id)
         SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::uuid[]), unnest($4::bigint[]),
             unnest($5::bigint[]), unnest($6::bigint[]), unnest($7::bigint[]), unnest($8::bigint[]),
             unnest($9::bigint[]), unnest($10::int[]), unnest($11::smallint[]), unnest($12::text[]),
             unnest($13::text[]), unnest($14::text[]), unnest($15::jsonb[]), unnest($16::text[]), unnest($17::text[]),
             unnest($18::text[]), unnest($19::text[]), unnest($20::text[]), unnest($21::numeric[]),
             unnest($22::text[]), unnest($23::text[]), unnest($24::text[]), unnest($25::uuid[]),
             unnest($26::timestamptz[]), unnest($27::timestamptz[]), unnest($28::bigint[]), unnest($29::int[]),
             unnest($30::text[]), unnest($31::text[])",
        &new.iter().map(|row| row.request_id.uuid()).collect::<Vec<_>>(),
        &new.iter().map(|row| row.org_id.uuid()).collect::<Vec<_>>(),
        &sparse(new.iter().map(|row| row.attempt_id.map(AttemptId::uuid))) as &[Option<uuid::Uuid>],
        &new.iter().map(|row| row.fence.0).collect::<Vec<_>>(),
        &sparse(new.iter().map(|row| row.report.map(|report| count(report.duration_ms)))) as &[Option<i64>],
        &usage(|usage| usage.input_tokens) as &[Option<i64>],
        &usage(|usage| usage.output_tokens) as &[Option<i64>],
        &usage(|usage| usage.cache_read_tokens) as &[Option<i64>],
        &usage(|usage| usage.cache_write_tokens) as &[Option<i64>],
        &files as &[Option<i32>],
        &new.iter().map(|row| i16::try_from(row.burned).unwrap_or(i16::MAX)).collect::<Vec<_>>(),
        &new.iter().map(|row| row.state.name()).collect::<Vec<_>>() as &[&str],
        &new.iter().map(|row| row.status.name()).collect::<Vec<_>>() as &[&str],
        &texts.iter().map(|text| text.1).collect::<Vec<_>>() as &[&str],
        &texts.iter().map(|text| text.0).collect::<Vec<_>>() as &[Option<&serde_json::Value>],
        &delivery(|delivery| &delivery.branch) as &[Option<&str>],
        &delivery(|delivery| &delivery.commit) as &[Option<&str>],
        &delivery(|delivery| &delivery.base_commit) as &[Option<&str>],
        &delivery(|delivery| &delivery.patch) as &[Option<&str>],
        &sparse(new.iter().map(|row| row.report.and_then(|report| report.usage.model.as_deref()))) as &[Option<&str>],
        &sparse(new.iter().map(|row| row.report.and_then(|report| report.usage.cost_usd))) as &[Option<Decimal>],
        &sparse(new.iter().map(|row| basis_name(row.report.and_then(|report| report.usage.cost_basis))))
            as &[Option<&str>],
        &sparse(new.iter().map(|row| row.error.as_ref().map(|error| error.message.as_str()))) as &[Option<&str>],
        &sparse(new.iter().map(|row| row.error.as_ref().map(|error| error.code.as_str()))) as &[Option<&str>],
        &sparse(new.iter().map(|row| row.succeeded.as_ref().map(|lease| lease.worker_id.uuid())))
            as &[Option<uuid::Uuid>],
        &lease(|lease| Some(lease.claimed_at)) as &[Option<jiff_sqlx::Timestamp>],
        &lease(|lease| lease.started_at) as &[Option<jiff_sqlx::Timestamp>],
        &attempt(|report| some_count(Some(report.dropped_bytes))) as &[Option<i64>],
        &sparse(new.iter().map(|row| row.succeeded.as_ref().and(row.report).and_then(|report| report.exit_code)))
            as &[Option<i32>],
        &sparse(new.iter().map(|row| row.succeeded.as_ref().and_then(|lease| lease.harness.as_deref())))
            as &[Option<&str>],
        &sparse(new.iter().map(|row| row.succeeded.as_ref().and_then(|lease| session(lease, row.report))))
            as &[Option<&str>]
    )
    .execute(tx.conn())
    .await
    .during("result_write")?;
    Ok(())
}

fn words(report: Option<&AttemptReport>) -> (Option<&serde_json::Value>, &str) {
    match report.map(|report| &report.outcome) {
        Some(Outcome::Succeeded { output, summary }) => (Some(output), summary),
        Some(Outcome::NeedsInput { question }) => (None, question),
        Some(Outcome::AwaitsChildren | Outcome::Failed { .. } | Outcome::Cancelled) | None => (None, ""),
    }
}

/// The result of a request, if there is one yet.
pub async fn result_get(tx: &mut OrgTx, request: RequestId) -> Result<Option<ResultRow>, StoreError> {
    let row = sqlx::query!(
        r#"SELECT attempt_id, status, coalesce(output, 'null') AS "output!", summary, branch, commit_id, base_commit_id,
                  pull_request, coalesce(files_changed, 0) AS "files_changed!", patch,
                  coalesce(duration_ms, 0) AS "duration_ms!", model, coalesce(input_tokens, 0) AS "input_tokens!",
                  coalesce(output_tokens, 0) AS "output_tokens!", coalesce(cache_read_tokens, 0) AS "cache_read_tokens!",
                  coalesce(cache_write_tokens, 0) AS "cache_write_tokens!", cost_usd, cost_basis, error, error_code,
                  created_at
           FROM eve.results WHERE request_id = $1"#,
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
