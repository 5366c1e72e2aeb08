//! Frees the rest of those who wait for a request that many wait for.
//!
//! The transaction that finishes a request frees what waited for it, up to a limit, and leaves a row in `releases` when
//! more may wait. A candidate here is such a row. It goes with the last dependant; until then each round frees a batch
//! of them in a transaction of its own.

use std::time::Duration;

use eve_crash::Point;
use eve_store::dependency;

use super::Service;
use crate::Engine;
use crate::Error;
use crate::transition;
use crate::transition::Aftermath;

/// Most batches of dependants freed in one round.
const MAX_BATCHES_PER_ROUND: usize = 100;

pub(super) struct DependencyRelease;

#[async_trait::async_trait]
impl Service for DependencyRelease {
    fn name(&self) -> &'static str {
        "dependency-release"
    }

    fn description(&self) -> &'static str {
        "frees requests whose dependencies are finished"
    }

    fn period(&self) -> Duration {
        Duration::from_millis(200)
    }

    async fn activate(&self, engine: &Engine) -> Result<Option<String>, Error> {
        let mut released = 0;
        for _ in 0..MAX_BATCHES_PER_ROUND {
            let mut tx = engine.store().platform().await?;
            let Some(release) = dependency::release_take(&mut tx, 1).await?.pop() else { break };
            let mut aftermath = Aftermath::default();
            // When there are more, this leaves the row for the next turn.
            released += transition::release(&mut tx, release, &mut aftermath).await?;
            eve_crash::pass(Point::ReleaseTaken);
            tx.commit().await?;
            eve_crash::pass(Point::ReleaseCommitted);
            engine.inner.dispatcher.finish(aftermath);
        }
        Ok((released > 0).then(|| format!("freed {released} blocked requests")))
    }
}
