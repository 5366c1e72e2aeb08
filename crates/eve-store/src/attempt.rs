//! Attempts: one row for each claim of a request that is over. A live attempt is a lease, and one that succeeded is
//! recorded with the result that it led to; `attempt_view` shows them together.

use eve_core::AttemptId;
use eve_core::AttemptReport;
use eve_core::AttemptState;
use eve_core::Fence;
use eve_core::OrgId;
use eve_core::Outcome;
use eve_core::RequestId;
use eve_core::StateName;
use eve_core::WorkerId;
use jiff::Timestamp;
use rust_decimal::Decimal;

use crate::OrgTx;
use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::columns::sparse;
use crate::error::During;
use crate::lease::Fenced;
use crate::request::stamp;
use crate::standing::LeaseFacts;

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

/// An attempt that is over.
#[derive(Debug, Clone)]
pub struct EndedAttempt<'a> {
    /// Whose request it was of.
    pub org_id: OrgId,
    /// The request.
    pub request_id: RequestId,
    /// Its fence, which is also its number.
    pub fence: Fence,
    /// What the lease said.
    pub lease: LeaseFacts,
    /// How it ended.
    pub state: AttemptState,
    /// What its worker reported, if it did.
    pub report: Option<&'a AttemptReport>,
}

pub(crate) fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Zero is kept as nothing: most rows are smaller so.
pub(crate) fn some_count(number: Option<u64>) -> Option<i64> {
    number.filter(|number| *number > 0).map(count)
}

/// The agent's session, as its worker told at the end or before.
pub(crate) fn session<'a>(lease: &'a LeaseFacts, report: Option<&'a AttemptReport>) -> Option<&'a str> {
    report.and_then(|report| report.session_id.as_deref()).or(lease.session_id.as_deref())
}

/// Writes down attempts that are over and did not succeed.
pub async fn attempt_record(tx: &mut impl Tx, ended: &[EndedAttempt<'_>]) -> Result<(), StoreError> {
    if ended.is_empty() {
        return Ok(());
    }
    let usage = |of: fn(&eve_core::Usage) -> u64| -> Vec<Option<i64>> {
        sparse(ended.iter().map(|row| some_count(row.report.map(|report| of(&report.usage)))))
    };
    let words: Vec<_> = ended.iter().map(|row| outcome_words(row.report)).collect();
    let started: Vec<Option<jiff_sqlx::Timestamp>> = sparse(ended.iter().map(|row| row.lease.started_at.map(stamp)));
    sqlx::query!(
        "INSERT INTO eve.attempts (org_id, request_id, fence, id, worker_id, claimed_at, started_at, dropped_bytes,
             input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, exit_code, state, outcome, harness,
             model, session_id, failure_class, message, cost_usd, cost_basis)
         SELECT unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::bigint[]), unnest($4::uuid[]), unnest($5::uuid[]),
             unnest($6::timestamptz[]), unnest($7::timestamptz[]), unnest($8::bigint[]), unnest($9::bigint[]),
             unnest($10::bigint[]), unnest($11::bigint[]), unnest($12::bigint[]), unnest($13::int[]),
             unnest($14::text[]), unnest($15::text[]), unnest($16::text[]), unnest($17::text[]), unnest($18::text[]),
             unnest($19::text[]), unnest($20::text[]), unnest($21::numeric[]), unnest($22::text[])",
        &ended.iter().map(|row| row.org_id.uuid()).collect::<Vec<_>>(),
        &ended.iter().map(|row| row.request_id.uuid()).collect::<Vec<_>>(),
        &ended.iter().map(|row| row.fence.0).collect::<Vec<_>>(),
        &ended.iter().map(|row| row.lease.attempt_id.uuid()).collect::<Vec<_>>(),
        &ended.iter().map(|row| row.lease.worker_id.uuid()).collect::<Vec<_>>(),
        &ended.iter().map(|row| stamp(row.lease.claimed_at)).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
        &started as &[Option<jiff_sqlx::Timestamp>],
        &sparse(ended.iter().map(|row| some_count(row.report.map(|report| report.dropped_bytes)))) as &[Option<i64>],
        &usage(|usage| usage.input_tokens) as &[Option<i64>],
        &usage(|usage| usage.output_tokens) as &[Option<i64>],
        &usage(|usage| usage.cache_read_tokens) as &[Option<i64>],
        &usage(|usage| usage.cache_write_tokens) as &[Option<i64>],
        &sparse(ended.iter().map(|row| row.report.and_then(|report| report.exit_code))) as &[Option<i32>],
        &ended.iter().map(|row| row.state.name().to_owned()).collect::<Vec<_>>(),
        &sparse(words.iter().map(|words| words.0.map(str::to_owned))) as &[Option<String>],
        &sparse(ended.iter().map(|row| row.lease.harness.clone())) as &[Option<String>],
        &sparse(ended.iter().map(|row| row.report.and_then(|report| report.usage.model.clone())))
            as &[Option<String>],
        &sparse(ended.iter().map(|row| session(&row.lease, row.report))) as &[Option<&str>],
        &sparse(words.iter().map(|words| words.1.map(str::to_owned))) as &[Option<String>],
        &sparse(words.iter().map(|words| words.2.map(str::to_owned))) as &[Option<String>],
        &sparse(ended.iter().map(|row| row.report.and_then(|report| report.usage.cost_usd))) as &[Option<Decimal>],
        &sparse(ended.iter().map(|row| {
            crate::result::basis_name(row.report.and_then(|report| report.usage.cost_basis)).map(str::to_owned)
        })) as &[Option<String>]
    )
    .execute(tx.conn())
    .await
    .during("attempt_record")?;
    Ok(())
}

/// Outcome, failure class and message of a report, as the columns hold them.
fn outcome_words(report: Option<&AttemptReport>) -> (Option<&'static str>, Option<&'static str>, Option<&str>) {
    match report.map(|report| &report.outcome) {
        None => (None, None, None),
        Some(Outcome::Succeeded { .. }) => (Some("succeeded"), None, None),
        Some(Outcome::NeedsInput { question }) => (Some("needs_input"), None, Some(question)),
        Some(Outcome::AwaitsChildren) => (Some("awaits_children"), None, None),
        Some(Outcome::Failed { class, message, .. }) => (Some("failed"), Some(class.code()), Some(message)),
        Some(Outcome::Cancelled) => (Some("cancelled"), None, None),
    }
}

/// Of these attempts, those that their workers settled or released, with how their requests stand now.
pub async fn attempt_settled_list(
    tx: &mut PlatformTx,
    fenced: &[Fenced],
) -> Result<Vec<(Fenced, AttemptState, StateName)>, StoreError> {
    let ids: Vec<uuid::Uuid> = fenced.iter().map(|(id, _)| id.uuid()).collect();
    let fences: Vec<i64> = fenced.iter().map(|(_, fence)| fence.0).collect();
    let rows = sqlx::query!(
        r#"SELECT a.request_id AS "request_id!", a.fence AS "fence!", a.state AS "ended!", v.state AS "state!"
           FROM unnest($1::uuid[], $2::bigint[]) AS h (request_id, fence)
           JOIN eve.attempt_view a
                ON a.request_id = h.request_id AND a.fence = h.fence AND a.state IN ('settled', 'released')
           JOIN eve.request_view v ON v.org_id = a.org_id AND v.id = a.request_id"#,
        &ids,
        &fences
    )
    .fetch_all(tx.conn())
    .await
    .during("attempt_settled_list")?;
    rows.into_iter()
        .map(|row| {
            let state = StateName::from_name(&row.state)
                .ok_or_else(|| StoreError::Impossible { table: "requests", detail: row.state.clone() })?;
            let ended = AttemptState::from_name(&row.ended)
                .ok_or_else(|| StoreError::Impossible { table: "attempts", detail: row.ended.clone() })?;
            Ok(((RequestId::from_uuid(row.request_id), Fence(row.fence)), ended, state))
        })
        .collect()
}

/// The agent's session of the last attempt of each request that reported one.
pub async fn attempt_session_list(
    tx: &mut PlatformTx,
    requests: &[RequestId],
) -> Result<Vec<(RequestId, String)>, StoreError> {
    let ids: Vec<uuid::Uuid> = requests.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"SELECT h.request_id AS "request_id!", a.session_id AS "session_id!"
           FROM unnest($1::uuid[]) AS h (request_id)
           CROSS JOIN LATERAL (
               SELECT a.session_id FROM eve.attempts a
               WHERE a.request_id = h.request_id AND a.session_id IS NOT NULL
               ORDER BY a.fence DESC LIMIT 1) a"#,
        &ids
    )
    .fetch_all(tx.conn())
    .await
    .during("attempt_session_list")?;
    Ok(rows.into_iter().map(|row| (RequestId::from_uuid(row.request_id), row.session_id)).collect())
}

/// The attempts of a request, first to last.
pub async fn attempt_list(tx: &mut OrgTx, request: RequestId) -> Result<Vec<AttemptRow>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT id AS "id!", fence AS "fence!", worker_id AS "worker_id!", state AS "state!", harness, model, session_id,
                  failure_class, message, exit_code, coalesce(dropped_bytes, 0) AS "dropped_bytes!",
                  coalesce(input_tokens, 0) + coalesce(output_tokens, 0) + coalesce(cache_read_tokens, 0)
                      + coalesce(cache_write_tokens, 0) AS "tokens!",
                  cost_usd, claimed_at AS "claimed_at!", started_at, ended_at
           FROM (SELECT id, fence, worker_id, state, harness, model, session_id, failure_class, message, exit_code,
                        dropped_bytes, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_usd,
                        claimed_at, started_at, ended_at
                 FROM eve.attempt_view WHERE request_id = $1
                 UNION ALL
                 SELECT attempt_id, fence, worker_id, CASE WHEN started_at IS NULL THEN 'claimed' ELSE 'running' END,
                        harness, NULL, session_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, claimed_at,
                        started_at, NULL
                 FROM eve.leases WHERE request_id = $1) a
           ORDER BY fence LIMIT 1000"#,
        request.uuid()
    )
    .fetch_all(tx.conn())
    .await
    .during("attempt_list")?;
    rows.into_iter()
        .map(|row| {
            Ok(AttemptRow {
                id: AttemptId::from_uuid(row.id),
                number: i32::try_from(row.fence).unwrap_or(i32::MAX),
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
