//! Removes what is older than its period.
//!
//! Candidates are finished requests (with attempts, logs and results), log entries of ended attempts, events and
//! idempotency keys, each past its own period. Requests that have children keep until the children are gone.

use std::time::Duration;

use eve_store::retention;
use jiff::SignedDuration;

use super::Service;
use crate::Engine;
use crate::Error;

/// Most rows removed by one statement.
const MAX_PURGED_PER_STATEMENT: i64 = 1000;
/// Most statements of one kind in one round.
const MAX_STATEMENTS_PER_ROUND: usize = 20;
/// How long an idempotency key counts.
const KEY_PERIOD: SignedDuration = SignedDuration::from_hours(48);

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

pub(super) struct Retention {
    periods: RetentionPeriods,
}

impl Retention {
    pub(super) const fn new(periods: RetentionPeriods) -> Self {
        Self { periods }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Logs,
    Requests,
    Events,
    Keys,
}

#[async_trait::async_trait]
impl Service for Retention {
    fn name(&self) -> &'static str {
        "retention"
    }

    fn description(&self) -> &'static str {
        "removes requests, logs and events past their period"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(300)
    }

    async fn activate(&self, engine: &Engine) -> Result<Option<String>, Error> {
        let logs = purge(engine, Kind::Logs, self.periods.logs).await?;
        let requests = purge(engine, Kind::Requests, self.periods.requests).await?;
        let events = purge(engine, Kind::Events, self.periods.events).await?;
        let keys = purge(engine, Kind::Keys, KEY_PERIOD).await?;
        let total = logs + requests + events + keys;
        Ok((total > 0)
            .then(|| format!("removed {requests} requests, {logs} log entries, {events} events, {keys} keys")))
    }
}

async fn purge(engine: &Engine, kind: Kind, older: SignedDuration) -> Result<u64, Error> {
    let mut removed = 0;
    for _ in 0..MAX_STATEMENTS_PER_ROUND {
        let mut tx = engine.store().platform().await?;
        let limit = MAX_PURGED_PER_STATEMENT;
        let count = match kind {
            Kind::Logs => retention::attempt_log_purge(&mut tx, older, limit).await?,
            Kind::Requests => retention::request_purge(&mut tx, older, limit).await?,
            Kind::Events => retention::event_purge(&mut tx, older, limit).await?,
            Kind::Keys => retention::key_purge(&mut tx, older, limit).await?,
        };
        tx.commit().await?;
        removed += count;
        if count < u64::try_from(limit).unwrap_or(u64::MAX) {
            break;
        }
    }
    Ok(removed)
}
