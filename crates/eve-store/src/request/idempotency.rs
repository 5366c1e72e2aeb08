//! Idempotency keys: a call that is repeated with its key makes nothing new.

use uuid::Uuid;

use crate::OrgTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;

/// What an earlier call with the same key made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdempotencyOutcome {
    /// The key is new and now taken.
    Fresh,
    /// The same call made these before, in this order.
    Repeated(Vec<Uuid>),
    /// Another call used the key.
    Conflict,
}

/// Takes an idempotency key for a call that makes these, or says what the earlier call with it made.
pub async fn idempotency_take(
    tx: &mut OrgTx,
    key: &str,
    fingerprint: &[u8],
    makes: &[Uuid],
) -> Result<IdempotencyOutcome, StoreError> {
    const OP: &str = "idempotency_take";
    let org = tx.org().uuid();
    let first = makes.first().copied().unwrap_or_default();
    let taken = sqlx::query!(
        "INSERT INTO eve.idempotency_keys (org_id, key, fingerprint, request_id, made)
         VALUES ($1, $2, $3, $4, CASE WHEN cardinality($5::uuid[]) > 1 THEN $5::uuid[] END) ON CONFLICT DO NOTHING",
        org,
        key,
        fingerprint,
        first,
        makes
    )
    .execute(tx.conn())
    .await
    .during(OP)?;
    if taken.rows_affected() == 1 {
        return Ok(IdempotencyOutcome::Fresh);
    }
    let row = sqlx::query!(
        r#"SELECT fingerprint, coalesce(made, ARRAY[request_id]) AS "made!" FROM eve.idempotency_keys
           WHERE org_id = $1 AND key = $2"#,
        org,
        key
    )
    .fetch_one(tx.conn())
    .await
    .during(OP)?;
    let same = row.fingerprint == fingerprint;
    Ok(if same { IdempotencyOutcome::Repeated(row.made) } else { IdempotencyOutcome::Conflict })
}
