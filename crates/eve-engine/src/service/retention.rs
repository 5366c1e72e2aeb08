//! Makes partitions ahead of time and drops those that are older than their period.
//!
//! Candidates are partitions of requests (with results and attempts, cut alike), of logs and of events whose end is
//! older than the period; and single rows of idempotency keys, workers and bulk actions. A partition of requests is kept while one of
//! its requests is not finished.

use std::time::Duration;

use eve_store::Store;
use eve_store::bulk;
use eve_store::retention;
use eve_store::retention::Partitioned;
use jiff::SignedDuration;
use jiff::Timestamp;

use super::Service;
use crate::Engine;
use crate::Error;
use crate::clock;

/// Most rows removed by one statement.
const MAX_PURGED_PER_STATEMENT: i64 = 1000;
/// Most statements of one kind in one round.
const MAX_STATEMENTS_PER_ROUND: usize = 20;
/// How long an idempotency key counts.
const KEY_PERIOD: SignedDuration = SignedDuration::from_hours(48);
/// How long a bulk action that is over is shown.
const BULK_PERIOD: SignedDuration = SignedDuration::from_hours(24 * 90);
/// How long a worker that is gone is shown.
const WORKER_PERIOD: SignedDuration = SignedDuration::from_hours(24 * 7);
/// A period is cut into so many partitions: what is kept too long is at most this part of it.
const CUTS: i32 = 4;
/// Shortest and longest partition.
const SPAN: (SignedDuration, SignedDuration) = (SignedDuration::from_hours(1), SignedDuration::from_hours(24 * 31));
/// A partition is there this long before it is needed.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
pub struct RetentionPeriods {
    /// Finished requests.
    pub requests: SignedDuration,
    /// Logs of ended attempts.
    pub logs: SignedDuration,
    /// Events.
    pub events: SignedDuration,
}

impl Default for RetentionPeriods {
    fn default() -> Self {
        let days = |n: i64| SignedDuration::from_hours(24 * n);
        Self { requests: days(90), logs: days(30), events: days(90) }
    }
}

impl RetentionPeriods {
    const fn of(self, table: Partitioned) -> SignedDuration {
        match table {
            Partitioned::Requests | Partitioned::Results | Partitioned::Attempts => self.requests,
            Partitioned::AttemptEvents => self.logs,
            Partitioned::Events => self.events,
        }
    }
}

const TABLES: [Partitioned; 5] = [
    Partitioned::Requests,
    Partitioned::Results,
    Partitioned::Attempts,
    Partitioned::AttemptEvents,
    Partitioned::Events,
];

pub(super) struct Retention {
    periods: RetentionPeriods,
}

impl Retention {
    pub(super) const fn new(periods: RetentionPeriods) -> Self {
        Self { periods }
    }
}

fn whole_hour(at: Timestamp) -> Timestamp {
    let seconds = at.as_second();
    Timestamp::from_second(seconds - seconds.rem_euclid(3600)).unwrap_or(at)
}

fn span(period: SignedDuration) -> SignedDuration {
    let hours = (period / CUTS).clamp(SPAN.0, SPAN.1).as_hours();
    SignedDuration::from_hours(hours.max(1))
}

/// Makes the partitions that will be needed soon. Several processes may do so at once.
pub(crate) async fn partitions_ensure(store: &Store, periods: RetentionPeriods) -> Result<usize, Error> {
    let now = clock::now();
    let until = now.saturating_add(AHEAD).unwrap_or(now);
    let mut made = 0;
    for table in TABLES {
        let mut tx = store.platform().await?;
        let last = retention::partition_list(&mut tx, table).await?.into_iter().map(|one| one.to).max();
        // The first begins before now, for clocks that are behind.
        let earlier = now.saturating_sub(SignedDuration::from_hours(2)).unwrap_or(now);
        let mut from = last.filter(|last| *last > earlier).unwrap_or_else(|| whole_hour(earlier));
        while from < until {
            let to = from.saturating_add(span(periods.of(table))).unwrap_or(from);
            made += usize::from(retention::partition_create(&mut tx, table, from, to).await?);
            from = to;
        }
        tx.commit().await?;
    }
    Ok(made)
}

#[async_trait::async_trait]
impl Service for Retention {
    fn name(&self) -> &'static str {
        "retention"
    }

    fn description(&self) -> &'static str {
        "makes partitions ahead and drops those past their period"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(300)
    }

    async fn activate(&self, engine: &Engine) -> Result<Option<String>, Error> {
        let made = partitions_ensure(engine.store(), self.periods).await?;
        let mut dropped = drop_requests(engine, self.periods.requests).await?;
        for table in [Partitioned::AttemptEvents, Partitioned::Events] {
            dropped.extend(drop_old(engine, table, self.periods.of(table)).await?);
        }
        let keys = purge_keys(engine).await?;
        let mut tx = engine.store().platform().await?;
        let workers = retention::worker_purge(&mut tx, WORKER_PERIOD).await?;
        let actions = bulk::bulk_action_purge(&mut tx, BULK_PERIOD, MAX_PURGED_PER_STATEMENT).await?;
        tx.commit().await?;
        let quiet = made == 0 && dropped.is_empty() && keys + workers + actions == 0;
        Ok((!quiet).then(|| {
            format!(
                "made {made} partitions, dropped {}, removed {keys} idempotency keys, {workers} workers and {actions} bulk actions",
                if dropped.is_empty() { "none".to_owned() } else { dropped.join(", ") }
            )
        }))
    }
}

async fn drop_old(engine: &Engine, table: Partitioned, period: SignedDuration) -> Result<Vec<String>, Error> {
    let now = clock::now();
    let before = now.saturating_sub(period).unwrap_or(now);
    let mut tx = engine.store().platform().await?;
    let mut dropped = Vec::new();
    for partition in retention::partition_list(&mut tx, table).await? {
        if partition.to <= before && retention::partition_drop(&mut tx, table, &partition.name).await? {
            dropped.push(partition.name);
        }
    }
    tx.commit().await?;
    Ok(dropped)
}

/// Requests go with their results and attempts, and only when all of a partition are finished.
async fn drop_requests(engine: &Engine, period: SignedDuration) -> Result<Vec<String>, Error> {
    let now = clock::now();
    let before = now.saturating_sub(period).unwrap_or(now);
    let mut dropped = Vec::new();
    let mut tx = engine.store().platform().await?;
    let old = retention::partition_list(&mut tx, Partitioned::Requests).await?;
    for partition in old.into_iter().filter(|partition| partition.to <= before) {
        if retention::standing_count(&mut tx, &partition).await? > 0 {
            continue;
        }
        for table in Partitioned::OF_REQUESTS {
            for twin in retention::partition_list(&mut tx, table).await? {
                if twin.from >= partition.from
                    && twin.to <= partition.to
                    && retention::partition_drop(&mut tx, table, &twin.name).await?
                {
                    dropped.push(twin.name);
                }
            }
        }
    }
    tx.commit().await?;
    Ok(dropped)
}

async fn purge_keys(engine: &Engine) -> Result<u64, Error> {
    let mut removed = 0;
    for _ in 0..MAX_STATEMENTS_PER_ROUND {
        let mut tx = engine.store().platform().await?;
        let count = retention::key_purge(&mut tx, KEY_PERIOD, MAX_PURGED_PER_STATEMENT).await?;
        tx.commit().await?;
        removed += count;
        if count < u64::try_from(MAX_PURGED_PER_STATEMENT).unwrap_or(u64::MAX) {
            break;
        }
    }
    Ok(removed)
}
