//! Takes back the requests of workers that are not heard of any more.
//!
//! A worker whose lease ran out by the database's clock is given up for good: it has to enter anew. What it held is
//! queued again (or quarantined after too many lost workers), in batches. A claim that was under way while its worker
//! was given up leaves a lease behind that the next round finds; so does one that was under way when its worker stopped
//! in order, which is given back and counts for nothing. The worker's processes are its own business: it kills them
//! before its lease can run out.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use eve_core::FailureClass;
use eve_core::RequestEvent;
use eve_core::RequestState;
use eve_crash::Point;
use eve_store::lease;
use eve_store::worker;
use jiff::SignedDuration;

use super::Service;
use crate::Engine;
use crate::Error;
use crate::LeaseTerms;
use crate::transition;
use crate::transition::Aftermath;

/// Most leases taken back in one transaction.
const REAP_BATCH: i64 = 500;
/// Most transactions in one round.
const MAX_BATCHES_PER_ROUND: usize = 40;
/// Shortest and longest rest between two rounds.
const PERIOD: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// How long after a start of the database nobody is given up; a lease at most, so that whoever was heard since is never
/// given up later for it. Workers try again every five seconds at the latest; what they had to end meanwhile they give
/// back, and that is no loss.
const RESTART_GRACE: SignedDuration = SignedDuration::from_secs(7);
/// Rounds after a worker was given up in which its leases are looked for; beyond, every so many rounds.
const LOOK_ROUNDS: u32 = 20;

pub(super) struct Reaper {
    period: Duration,
    grace: SignedDuration,
    /// Rounds since a worker was given up here. Only how often to look, never what to do, depends on it.
    calm: AtomicU32,
}

impl Reaper {
    pub(super) fn new(terms: LeaseTerms) -> Self {
        let tenth = Duration::try_from(terms.ttl / 10).unwrap_or(PERIOD.1);
        let grace = RESTART_GRACE.min(terms.ttl);
        Self { period: tenth.clamp(PERIOD.0, PERIOD.1), grace, calm: AtomicU32::new(0) }
    }
}

#[async_trait::async_trait]
impl Service for Reaper {
    fn name(&self) -> &'static str {
        "reaper"
    }

    fn description(&self) -> &'static str {
        "queues again what lost workers held"
    }

    fn period(&self) -> Duration {
        self.period
    }

    fn longest_rest(&self) -> Duration {
        self.period
    }

    async fn activate(&self, engine: &Engine) -> Result<Option<String>, Error> {
        let mut tx = engine.store().platform().await?;
        let lost = worker::worker_expire(&mut tx, self.grace).await?.len();
        tx.commit().await?;
        if lost > 0 {
            eve_crash::pass(Point::ReaperExpired);
        }
        engine.metrics().workers_lost.inc_by(u64::try_from(lost).unwrap_or(0));
        let calm = if lost > 0 { 0 } else { self.calm.load(Ordering::Relaxed).saturating_add(1) };
        self.calm.store(calm, Ordering::Relaxed);
        if calm > LOOK_ROUNDS && calm % LOOK_ROUNDS != 0 {
            return Ok(None);
        }
        let mut taken = 0;
        for _ in 0..MAX_BATCHES_PER_ROUND {
            let count = reap(engine).await?;
            taken += count;
            if i64::try_from(count).unwrap_or(i64::MAX) < REAP_BATCH {
                break;
            }
        }
        Ok((taken + lost > 0).then(|| format!("gave up {lost} workers and took back {taken} requests")))
    }
}

async fn reap(engine: &Engine) -> Result<usize, Error> {
    let mut tx = engine.store().platform().await?;
    let standings = lease::lease_take_lost(&mut tx, REAP_BATCH).await?;
    let count = standings.len();
    let mut decided = Vec::with_capacity(count);
    for (before, unheard) in standings {
        let fence = before.life.fence;
        // A worker that stopped in order is no lost one, and nobody's fault.
        let event = if unheard { RequestEvent::Released { fence } } else { RequestEvent::LeaseExpired { fence } };
        decided.push(transition::decide_taken(before, &event)?);
    }
    let quarantine = RequestState::Failed(FailureClass::Quarantined);
    let quarantined = decided.iter().filter(|one| one.transition.life.state == quarantine).count();
    let mut aftermath = Aftermath::default();
    transition::write(&mut tx, decided, &mut aftermath).await?;
    if count > 0 {
        eve_crash::pass(Point::ReaperTaken);
    }
    tx.commit().await?;
    if count > 0 {
        eve_crash::pass(Point::ReaperCommitted);
    }
    engine.metrics().takeovers.inc_by(u64::try_from(count).unwrap_or(0));
    engine.metrics().quarantined.inc_by(u64::try_from(quarantined).unwrap_or(0));
    engine.inner.dispatcher.finish(aftermath);
    Ok(count)
}
