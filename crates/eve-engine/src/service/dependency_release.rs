//! Frees requests whose dependencies are finished and that nobody freed.
//!
//! The transaction that finishes a request frees what waited for it, up to a limit. A candidate here is a blocked
//! request with nothing unfinished in its way, or with a failure in its way that its policy does not forgive: the
//! rest of a large fan-in, or one whose last dependency finished while it was being created.

use std::time::Duration;

use eve_store::dependency;

use super::Service;
use crate::Engine;
use crate::Error;
use crate::transition;
use crate::transition::Aftermath;

/// Most requests freed in one round.
const MAX_RELEASED_PER_ROUND: i64 = 500;

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
        Duration::from_millis(500)
    }

    async fn activate(&self, engine: &Engine) -> Result<Option<String>, Error> {
        let mut tx = engine.store().platform().await?;
        let candidates = dependency::dependency_release_candidates(&mut tx, MAX_RELEASED_PER_ROUND).await?;
        tx.commit().await?;
        let mut released = 0;
        for (org, id) in candidates {
            let mut tx = engine.store().platform().await?;
            let mut aftermath = Aftermath::default();
            released += u32::from(transition::release(&mut tx, org, id, &mut aftermath).await?);
            transition::free_dependants(&mut tx, &mut aftermath).await?;
            tx.commit().await?;
            engine.hub().wake(aftermath.topics);
        }
        Ok((released > 0).then(|| format!("freed {released} blocked requests")))
    }
}
