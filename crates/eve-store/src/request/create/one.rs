//! One request, in a statement as short as can be: nobody shares its cost, and a caller or a worker waits for it.

use eve_core::RequestId;
use sqlx::error::DatabaseError;
use sqlx::error::ErrorKind;
use sqlx::postgres::PgDatabaseError;

use super::NewRequest;
use super::Written;
use crate::Tenant;

/// What the request refers to is read under the tenant's own policies; what is not there becomes NULL, which the columns
/// refuse. A SELECT that nobody reads is not run: it names the parameters that only another place needs.
macro_rules! create_one {
    ($tx:expr, $new:expr, $place:literal, $key:literal) => {{
        let key = $new.key.as_ref();
        let lease = $new.lease.as_ref();
        let blocked_by: Vec<uuid::Uuid> = $new.blocked_by.iter().map(|id| id.uuid()).collect();
        sqlx::query!(
            "WITH told AS (
               INSERT INTO eve.events (org_id, kind, actor, request_ids, attempt_ids, lane_ids)
               VALUES ($1, 'request:created', $22, ARRAY[$2::uuid], $23::uuid[], ARRAY[$6::int])
             ), unread AS (
               SELECT $24::uuid, $25::uuid, $26::text, $27::bytea
             ), "
                + $key
                + $place
                + "
             INSERT INTO eve.requests (org_id, id, user_id, parent_id, replay_of, lane_id, title, prompt, repository,
                 branch, context, config, metadata, reply_to, harness, model, timeout_seconds, max_attempts,
                 on_dependency_failure, priority, blocked_by)
             VALUES ($1, $2, (SELECT user_id FROM eve.members WHERE org_id = $1 AND user_id = $3), $4, $5,
                     (SELECT id FROM eve.lanes WHERE org_id = $1 AND id = $6), $7, $8, $9, $10, $11, $12, $13, $14, $15,
                     $16, $17, $18::smallint, $19, $20::smallint, $21::uuid[])
             RETURNING created_at",
            $tx.org().uuid(),
            $new.id.uuid(),
            $new.user_id.uuid(),
            $new.parent_id.map(RequestId::uuid),
            $new.replay_of.map(RequestId::uuid),
            $new.lane.id.0,
            $new.title.as_str(),
            $new.prompt.as_str(),
            $new.repository.as_deref(),
            $new.branch.as_deref(),
            &$new.context,
            &$new.config,
            &$new.metadata,
            $new.reply_to.as_ref(),
            $new.harness.as_deref(),
            $new.model.as_deref(),
            $new.timeout_seconds,
            i16::try_from($new.max_attempts).unwrap_or(i16::MAX),
            $new.on_dependency_failure.name(),
            $new.priority.number(),
            (!blocked_by.is_empty()).then_some(blocked_by.as_slice()) as Option<&[uuid::Uuid]>,
            $new.actor.as_str(),
            lease.map(|lease| vec![lease.attempt_id.uuid()]) as Option<Vec<uuid::Uuid>>,
            lease.map(|lease| lease.attempt_id.uuid()),
            lease.map(|lease| lease.worker_id.uuid()),
            key.map(|key| key.key.as_str()),
            key.map(|key| key.fingerprint.as_slice()),
        )
        .fetch_one($tx.conn())
        .await
        .map(|row| (row.created_at.to_jiff(), Vec::new()))
    }};
}

/// A table that gets nothing is not opened.
macro_rules! create_one_keyed {
    ($tx:expr, $new:expr, $place:literal) => {
        if $new.key.is_some() {
            create_one!(
                $tx,
                $new,
                $place,
                "keyed AS (
               INSERT INTO eve.idempotency_keys (org_id, request_id, key, fingerprint)
               VALUES ($1, $2, $26, $27)
             ), "
            )
        } else {
            create_one!($tx, $new, $place, "")
        }
    };
}

/// Writes a request that is ready, or starts in the hands of the worker of its lease.
pub(super) async fn create(tx: &mut impl Tenant, new: &NewRequest) -> Result<Option<Written>, sqlx::Error> {
    let written = if new.lease.is_some() {
        create_one_keyed!(
            tx,
            new,
            "leased AS (
               INSERT INTO eve.leases (request_id, org_id, attempt_id, worker_id, parent_id, fence, lane_id, priority,
                                       burned, crashes, max_attempts)
               VALUES ($2, $1, $24, $25, $4, 1, $6, $20::smallint, 0, 0, $18::smallint))"
        )
    } else {
        create_one_keyed!(
            tx,
            new,
            "queued AS (
               INSERT INTO eve.queue (request_id, org_id, parent_id, lane_id, priority, max_attempts)
               VALUES ($2, $1, $4, $6, $20::smallint, $18::smallint))"
        )
    };
    match written {
        Ok(written) => Ok(Some(written)),
        Err(sqlx::Error::Database(error)) if refers_to_nothing(error.as_ref()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the lane or the user is not there.
fn refers_to_nothing(error: &dyn DatabaseError) -> bool {
    let column = error.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::column);
    error.kind() == ErrorKind::NotNullViolation && matches!(column, Some("lane_id" | "user_id"))
}
