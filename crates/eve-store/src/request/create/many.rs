//! Any number of requests in one statement.

use eve_core::RequestId;

use super::NewKey;
use super::NewRequest;
use super::Shape;
use super::Written;
use crate::Tenant;
use crate::columns::slices;
use crate::columns::sparse;
use crate::event::EVENTS_OF_A_ROW;
use crate::request::stamp;

/// Columns come as arrays, which are unnested side by side in the select
/// list, where PostgreSQL steps through them together; in FROM it would store each of them away first. What it refers to
/// is read under the tenant's own policies, which stands in for foreign keys. Where the rows go is left to the caller,
/// since a table that gets nothing still costs a statement the trouble of opening it.
macro_rules! create {
    ($tx:expr, $new:expr, $keys:literal, $places:literal, $delayed:literal) => {{
        let keyed: Vec<(&NewKey, &NewRequest)> =
            $new.iter().filter_map(|request| Some((request.key.as_ref()?, request))).collect();
        let told = told($new);
        let (low, high) = slices(told.iter().map(|row| row.len()));
        sqlx::query!(
            "WITH new AS MATERIALIZED (
             SELECT unnest($2::uuid[]) AS id, unnest($3::uuid[]) AS user_id, unnest($4::uuid[]) AS parent_id,
                 unnest($5::uuid[]) AS replay_of, unnest($6::int[]) AS lane_id, unnest($7::text[]) AS title,
                 unnest($8::text[]) AS prompt, unnest($9::text[]) AS repository, unnest($10::text[]) AS branch,
                 unnest($11::jsonb[]) AS context, unnest($12::jsonb[]) AS config, unnest($13::jsonb[]) AS metadata,
                 unnest($14::jsonb[]) AS reply_to, unnest($15::text[]) AS harness, unnest($16::text[]) AS model,
                 unnest($17::int[]) AS timeout_seconds, unnest($18::smallint[]) AS max_attempts,
                 unnest($19::text[]) AS on_dependency_failure, unnest($20::smallint[]) AS priority,
                 unnest($21::timestamptz[]) AS run_at, unnest($22::int[]) AS open, unnest($23::uuid[]) AS attempt_id,
                 unnest($24::uuid[]) AS worker_id, unnest($25::text[]) AS blocked_by
           ), made AS (
             INSERT INTO eve.requests (org_id, id, user_id, parent_id, replay_of, lane_id, title, prompt, repository,
                 branch, context, config, metadata, reply_to, harness, model, timeout_seconds, max_attempts,
                 on_dependency_failure, priority, run_at, blocked_by)
             SELECT $1, n.id, n.user_id, n.parent_id, n.replay_of, n.lane_id, n.title, n.prompt, n.repository,
                 n.branch, n.context, n.config, n.metadata, n.reply_to, n.harness, n.model, n.timeout_seconds,
                 n.max_attempts, n.on_dependency_failure, n.priority, n.run_at,
                 n.blocked_by::uuid[]
             FROM new n
             WHERE n.lane_id = ANY (ARRAY(SELECT id FROM eve.lanes WHERE org_id = $1 AND id = ANY ($6)))
               AND n.user_id = ANY (ARRAY(SELECT user_id FROM eve.members WHERE org_id = $1 AND user_id = ANY ($3)))
             RETURNING id
           ), told AS (
             INSERT INTO eve.events (org_id, kind, actor, request_ids, attempt_ids, lane_ids)
             SELECT $1, 'request:created', actor, ($2::uuid[])[low:high], ($23::uuid[])[low:high], ($6::int[])[low:high]
             FROM (SELECT unnest($26::text[]) AS actor, unnest($27::int[]) AS low, unnest($28::int[]) AS high) r
           ), " + $keys
                + $places
                + "
           SELECT 1 / ((SELECT count(*) FROM made) = cardinality($2::uuid[]))::int AS \"complete!\",
                  now() AS \"now!\", "
                + $delayed
                + " AS \"delayed!: Vec<uuid::Uuid>\"",
            $tx.org().uuid(),
            &$new.iter().map(|request| request.id.uuid()).collect::<Vec<_>>(),
            &$new.iter().map(|request| request.user_id.uuid()).collect::<Vec<_>>(),
            &sparse($new.iter().map(|request| request.parent_id.map(RequestId::uuid))) as &[Option<uuid::Uuid>],
            &sparse($new.iter().map(|request| request.replay_of.map(RequestId::uuid))) as &[Option<uuid::Uuid>],
            &$new.iter().map(|request| request.lane.id.0).collect::<Vec<_>>(),
            &$new.iter().map(|request| request.title.clone()).collect::<Vec<_>>(),
            &$new.iter().map(|request| request.prompt.clone()).collect::<Vec<_>>(),
            &texts($new, |request| &request.repository) as &[Option<String>],
            &texts($new, |request| &request.branch) as &[Option<String>],
            &$new.iter().map(|request| request.context.clone()).collect::<Vec<_>>(),
            &$new.iter().map(|request| request.config.clone()).collect::<Vec<_>>(),
            &$new.iter().map(|request| request.metadata.clone()).collect::<Vec<_>>(),
            &sparse($new.iter().map(|request| request.reply_to.clone())) as &[Option<serde_json::Value>],
            &texts($new, |request| &request.harness) as &[Option<String>],
            &texts($new, |request| &request.model) as &[Option<String>],
            &sparse($new.iter().map(|request| request.timeout_seconds)) as &[Option<i32>],
            &$new.iter().map(|request| i16::try_from(request.max_attempts).unwrap_or(i16::MAX)).collect::<Vec<_>>(),
            &$new.iter().map(|request| request.on_dependency_failure.name().to_owned()).collect::<Vec<_>>(),
            &$new.iter().map(|request| request.priority.number()).collect::<Vec<_>>(),
            &sparse($new.iter().map(|request| request.run_at.map(stamp))) as &[Option<jiff_sqlx::Timestamp>],
            &$new.iter().map(|request| request.open).collect::<Vec<_>>(),
            &sparse($new.iter().map(|request| request.lease.as_ref().map(|lease| lease.attempt_id.uuid())))
                as &[Option<uuid::Uuid>],
            &sparse($new.iter().map(|request| request.lease.as_ref().map(|lease| lease.worker_id.uuid())))
                as &[Option<uuid::Uuid>],
            &sparse($new.iter().map(|request| id_list(&request.blocked_by))) as &[Option<String>],
            &told.iter().filter_map(|row| Some(row.first()?.actor.as_str())).collect::<Vec<_>>() as &[&str],
            &low,
            &high,
            &keyed.iter().map(|(_, request)| request.id.uuid()).collect::<Vec<_>>(),
            &keyed.iter().map(|(key, _)| key.key.as_str()).collect::<Vec<_>>() as &[&str],
            &keyed.iter().map(|(key, _)| key.fingerprint.as_slice()).collect::<Vec<_>>() as &[&[u8]]
        )
        .fetch_one($tx.conn())
        .await
        .map(|row| {
            let delayed: Vec<RequestId> = row.delayed.into_iter().map(RequestId::from_uuid).collect();
            (row.now.to_jiff(), delayed)
        })
    }};
}

fn texts(new: &[NewRequest], of: fn(&NewRequest) -> &Option<String>) -> Vec<Option<String>> {
    sparse(new.iter().map(|request| of(request).clone()))
}

/// Those that follow each other in a call, by the same actor: a row of `request:created` each.
fn told(new: &[NewRequest]) -> Vec<&[NewRequest]> {
    new.chunk_by(|one, next| one.actor == next.actor).flat_map(|same| same.chunks(EVENTS_OF_A_ROW)).collect()
}

/// Ids as the text of an array, since arrays within arrays would all have to be of one length.
fn id_list(ids: &[RequestId]) -> Option<String> {
    let texts: Vec<String> = ids.iter().map(|id| id.uuid().to_string()).collect();
    (!texts.is_empty()).then(|| format!("{{{}}}", texts.join(",")))
}

/// How the arrays of keys are used. A table that gets nothing is not opened; a SELECT that nobody reads is not run.
macro_rules! create_keyed {
    ($tx:expr, $new:expr, $places:literal, $delayed:literal) => {
        if $new.iter().any(|request| request.key.is_some()) {
            create!(
                $tx,
                $new,
                "keyed AS (
             INSERT INTO eve.idempotency_keys (org_id, request_id, key, fingerprint)
             SELECT $1, unnest($29::uuid[]), unnest($30::text[]), unnest($31::bytea[])
           ), ",
                $places,
                $delayed
            )
        } else {
            create!($tx, $new, "keyed AS (SELECT $29::uuid[], $30::text[], $31::bytea[]), ", $places, $delayed)
        }
    };
}

/// Writes requests into their places.
pub(super) async fn create(
    tx: &mut impl Tenant,
    new: &[NewRequest],
    shape: Shape,
) -> Result<Option<Written>, sqlx::Error> {
    let written = match shape {
        Shape::Ready => create_keyed!(
            tx,
            new,
            "queued AS (
             INSERT INTO eve.queue (request_id, org_id, parent_id, lane_id, priority, max_attempts)
             SELECT id, $1, parent_id, lane_id, priority, max_attempts FROM new)",
            "'{}'::uuid[]"
        ),
        Shape::Given => create_keyed!(
            tx,
            new,
            "leased AS (
             INSERT INTO eve.leases (request_id, org_id, attempt_id, worker_id, parent_id, fence, lane_id, priority,
                                     burned, crashes, max_attempts)
             SELECT id, $1, attempt_id, worker_id, parent_id, 1, lane_id, priority, 0, 0, max_attempts FROM new)",
            "'{}'::uuid[]"
        ),
        Shape::Mixed => create_keyed!(
            tx,
            new,
            "parked AS (
             INSERT INTO eve.parked (request_id, org_id, parent_id, run_at, lane_id, open, priority, max_attempts, state,
                                     on_dependency_failure)
             SELECT id, $1, parent_id, CASE WHEN open = 0 THEN run_at END, lane_id, open, priority, max_attempts,
                    CASE WHEN open = 0 THEN 'pending' ELSE 'blocked' END, on_dependency_failure
             FROM new WHERE open > 0 OR run_at > now()
             RETURNING request_id, open
           ), leased AS (
             INSERT INTO eve.leases (request_id, org_id, attempt_id, worker_id, parent_id, fence, lane_id, priority,
                                     burned, crashes, max_attempts)
             SELECT id, $1, attempt_id, worker_id, parent_id, 1, lane_id, priority, 0, 0, max_attempts
             FROM new WHERE attempt_id IS NOT NULL
           ), queued AS (
             INSERT INTO eve.queue (request_id, org_id, parent_id, lane_id, priority, max_attempts)
             SELECT id, $1, parent_id, lane_id, priority, max_attempts
             FROM new WHERE open = 0 AND attempt_id IS NULL AND (run_at IS NULL OR run_at <= now()))",
            "ARRAY(SELECT request_id FROM parked WHERE open = 0)"
        ),
    };
    match written {
        Ok(written) => Ok(Some(written)),
        // The division by zero that keeps an incomplete statement from being committed.
        Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| code == "22012") => Ok(None),
        Err(error) => Err(error),
    }
}
