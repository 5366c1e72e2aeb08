//! Keeping time: partitions that are made ahead and dropped when their period is over.
//!
//! Dropping a partition costs the same whether it holds ten rows or ten million, and leaves nothing for vacuum. What is
//! older than its period goes a little late, with the last of its partition.

use jiff::SignedDuration;
use jiff::Timestamp;

use crate::PlatformTx;
use crate::StoreError;
use crate::Tx;
use crate::error::During;
use crate::request::stamp;

/// The tables that are kept in partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Partitioned {
    /// What was asked.
    Requests,
    /// What came of it.
    Results,
    /// The attempts at it.
    Attempts,
    /// What agents said and did.
    AttemptEvents,
    /// What happened.
    Events,
}

impl Partitioned {
    /// Those whose rows belong to one request each, and go with it.
    pub const OF_REQUESTS: [Self; 3] = [Self::Requests, Self::Results, Self::Attempts];

    /// The table's name.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Results => "results",
            Self::Attempts => "attempts",
            Self::AttemptEvents => "attempt_events",
            Self::Events => "events",
        }
    }
}

/// A partition, by the period that its name tells.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partition {
    /// First moment of what it holds.
    pub from: Timestamp,
    /// First moment that it does not hold any more.
    pub to: Timestamp,
    /// Its name.
    pub name: String,
}

fn hour(digits: &str) -> Option<Timestamp> {
    let part = |range: std::ops::Range<usize>| digits.get(range)?.parse::<i16>().ok();
    let small = |range| part(range).and_then(|number| i8::try_from(number).ok());
    let date = jiff::civil::date(part(0..4)?, small(4..6)?, small(6..8)?);
    date.at(small(8..10)?, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// The partitions of a table, oldest first, without the one for the rest.
pub async fn partition_list(tx: &mut PlatformTx, of: Partitioned) -> Result<Vec<Partition>, StoreError> {
    let names = sqlx::query_scalar!(
        r#"SELECT c.relname::text AS "name!" FROM pg_inherits i
           JOIN pg_class c ON c.oid = i.inhrelid
           WHERE i.inhparent = ('eve.' || $1)::regclass
             AND c.relname ~ '_[0-9]{10}_[0-9]{10}$'
           ORDER BY 1"#,
        of.table()
    )
    .fetch_all(tx.conn())
    .await
    .during("partition_list")?;
    names
        .into_iter()
        .map(|name| {
            let mut digits = name.rsplit('_');
            let to = digits.next().and_then(hour);
            let from = digits.next().and_then(hour);
            match from.zip(to) {
                Some((from, to)) => Ok(Partition { from, to, name }),
                None => Err(StoreError::Impossible { table: "pg_inherits", detail: name }),
            }
        })
        .collect()
}

/// Makes a partition for whole hours, if it is not there.
pub async fn partition_create(
    tx: &mut PlatformTx,
    of: Partitioned,
    from: Timestamp,
    to: Timestamp,
) -> Result<bool, StoreError> {
    sqlx::query_scalar!(
        r#"SELECT eve.partition_create($1, $2, $3) AS "made!""#,
        of.table(),
        stamp(from) as _,
        stamp(to) as _
    )
    .fetch_one(tx.conn())
    .await
    .during("partition_create")
}

/// Drops a partition with everything in it.
pub async fn partition_drop(tx: &mut PlatformTx, of: Partitioned, name: &str) -> Result<bool, StoreError> {
    sqlx::query_scalar!(r#"SELECT eve.partition_drop($1, $2) AS "dropped!""#, of.table(), name)
        .fetch_one(tx.conn())
        .await
        .during("partition_drop")
}

/// How many requests of a partition's period are not finished.
pub async fn standing_count(tx: &mut PlatformTx, of: &Partition) -> Result<i64, StoreError> {
    sqlx::query_scalar!(
        r#"WITH period AS (SELECT eve.uuid_at($1) AS low, eve.uuid_at($2) AS high)
           SELECT (SELECT count(*) FROM eve.queue, period WHERE request_id >= low AND request_id < high)
                + (SELECT count(*) FROM eve.parked, period WHERE request_id >= low AND request_id < high)
                + (SELECT count(*) FROM eve.leases, period WHERE request_id >= low AND request_id < high) AS "count!""#,
        stamp(of.from) as _,
        stamp(of.to) as _
    )
    .fetch_one(tx.conn())
    .await
    .during("standing_count")
}

/// Removes idempotency keys from before the period.
pub async fn key_purge(tx: &mut PlatformTx, older: SignedDuration, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "DELETE FROM eve.idempotency_keys WHERE (org_id, key) IN (
             SELECT org_id, key FROM eve.idempotency_keys WHERE created_at < now() - make_interval(secs => $1) LIMIT $2)",
        older.as_secs_f64(),
        limit
    )
    .execute(tx.conn())
    .await
    .during("key_purge")?;
    Ok(done.rows_affected())
}

/// Forgets workers that were not heard of for longer than the period.
pub async fn worker_purge(tx: &mut PlatformTx, older: SignedDuration) -> Result<u64, StoreError> {
    let done = sqlx::query!(
        "DELETE FROM eve.workers WHERE state IN ('lost', 'stopped') AND last_seen_at < now() - make_interval(secs => $1)
           AND NOT EXISTS (SELECT FROM eve.leases l WHERE l.worker_id = workers.id)",
        older.as_secs_f64()
    )
    .execute(tx.conn())
    .await
    .during("worker_purge")?;
    Ok(done.rows_affected())
}
