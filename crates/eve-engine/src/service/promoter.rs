//! Queues requests whose time has come.
//!
//! Candidates are parked rows with a `run_at` that is not in the future: requests due later, retries after backoff, and
//! requests that wait for a provider's quota. They move in batches; a claim never sees one before that.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use eve_core::RequestEvent;
use eve_core::RequestState;
use eve_core::Transition;
use eve_crash::Point;
use eve_store::parked;

use super::IDLE_REST;
use super::Service;
use crate::Engine;
use crate::Error;
use crate::transition;
use crate::transition::Aftermath;
use crate::transition::Decided;
use crate::transition::PLATFORM;

/// Most requests moved in one transaction.
const BATCH: i64 = 500;
/// Most transactions in one round.
const MAX_BATCHES_PER_ROUND: usize = 40;

/// Shortest rest between two rounds.
const PERIOD: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct Promoter {
    /// Milliseconds until the next request is due, as the last round saw it. Only how soon to look depends on it: what is
    /// parked later and due sooner waits for the longest rest at most.
    next: AtomicU64,
}

#[async_trait::async_trait]
impl Service for Promoter {
    fn name(&self) -> &'static str {
        "promoter"
    }

    fn description(&self) -> &'static str {
        "queues requests whose time has come"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn longest_rest(&self) -> Duration {
        Duration::from_millis(self.next.load(Ordering::Relaxed)).clamp(PERIOD, IDLE_REST)
    }

    async fn activate(&self, engine: &Engine) -> Result<Option<String>, Error> {
        let mut moved = 0;
        for _ in 0..MAX_BATCHES_PER_ROUND {
            let count = self.promote(engine).await?;
            moved += count;
            if i64::try_from(count).unwrap_or(i64::MAX) < BATCH {
                break;
            }
        }
        Ok((moved > 0).then(|| format!("queued {moved} requests that were due")))
    }
}

impl Promoter {
    async fn promote(&self, engine: &Engine) -> Result<usize, Error> {
        let mut tx = engine.store().platform().await?;
        let due = parked::parked_take_due(&mut tx, BATCH).await?;
        let count = due.len();
        if count == 0 {
            let next = parked::parked_next_due(&mut tx).await?.map_or(IDLE_REST, |next| next.unsigned_abs());
            self.next.store(u64::try_from(next.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
            tx.commit().await?;
            return Ok(0);
        }
        let mut decided = Vec::with_capacity(count);
        for before in due {
            decided.push(match before.life.state {
                // It is pending already, and only in another place from now on.
                RequestState::Pending { .. } => {
                    let transition = Transition { life: before.life, effects: Vec::new() };
                    Decided { before, transition, actor: PLATFORM, report: None, taken: true }
                }
                _ => transition::decide_taken(before, &RequestEvent::Woken)?,
            });
        }
        let mut aftermath = Aftermath::default();
        transition::write(&mut tx, decided, &mut aftermath).await?;
        eve_crash::pass(Point::PromoterTaken);
        tx.commit().await?;
        eve_crash::pass(Point::PromoterCommitted);
        engine.inner.dispatcher.finish(aftermath);
        Ok(count)
    }
}
