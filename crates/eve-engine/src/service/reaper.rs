//! Takes back the requests of workers that are not heard of any more.
//!
//! A candidate is a lease that ran out by the database's clock. The attempt's row is closed as expired and the
//! request is queued again (or quarantined after too many lost workers), in one transaction each. The worker's
//! processes are its own business: it kills them before its lease can run out.

use std::time::Duration;

use eve_core::RequestEvent;
use eve_core::StateName;
use eve_store::lease;
use eve_store::lease::Lease;
use eve_store::request;

use super::Service;
use crate::Engine;
use crate::Error;
use crate::LeaseTerms;
use crate::clock;
use crate::transition;
use crate::transition::Aftermath;
use crate::transition::Cause;

/// Most leases taken back in one round.
const MAX_REAPED_PER_ROUND: i64 = 500;
/// Shortest and longest rest between two rounds.
const PERIOD: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

pub(super) struct Reaper {
    period: Duration,
}

impl Reaper {
    pub(super) fn new(terms: LeaseTerms) -> Self {
        let tenth = Duration::try_from(terms.ttl / 10).unwrap_or(PERIOD.1);
        Self { period: tenth.clamp(PERIOD.0, PERIOD.1) }
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

    async fn activate(&self, engine: &Engine) -> Result<Option<String>, Error> {
        let mut tx = engine.store().platform().await?;
        let expired = lease::lease_expired(&mut tx, MAX_REAPED_PER_ROUND).await?;
        tx.commit().await?;
        let (mut taken, mut finished) = (0, 0);
        for lease in &expired {
            match reap(engine, lease).await? {
                None => {}
                Some(state) => {
                    taken += 1;
                    finished += u32::from(state.is_terminal());
                }
            }
        }
        Ok((taken > 0)
            .then(|| format!("took back {taken} leases that ran out; {finished} of the requests ended with it")))
    }
}

async fn reap(engine: &Engine, expired: &Lease) -> Result<Option<StateName>, Error> {
    let mut tx = engine.store().platform().await?;
    let Some(locked) = request::request_life_lock(&mut tx, expired.org_id, expired.request_id).await? else {
        return Ok(None);
    };
    // Somebody else may have reaped it, or a heartbeat come at the last moment.
    if !lease::lease_lock_expired(&mut tx, expired).await? {
        return Ok(None);
    }
    let event = RequestEvent::LeaseExpired { fence: expired.fence };
    let transition = locked.life.apply(&event, locked.now, clock::jitter())?;
    let mut aftermath = Aftermath::default();
    transition::write(&mut tx, &locked, &transition, &Cause { actor: "platform", report: None }, &mut aftermath)
        .await?;
    transition::free_dependants(&mut tx, &mut aftermath).await?;
    tx.commit().await?;
    engine.metrics().takeovers.inc();
    engine.hub().wake(aftermath.topics);
    let state = transition.life.state.name();
    if state.is_terminal() {
        engine.count_finished(&locked.worker_type, state);
    }
    Ok(Some(state))
}
