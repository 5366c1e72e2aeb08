//! Does what bulk actions ask for, one batch of each in turn.
//!
//! A candidate is an action that is neither completed nor cancelled. In each turn every one of them moves on by one batch,
//! whose turn is longest ago first, so that a large action of one organization does not hold up a small one of another.
//! What a batch does, and why no request is changed twice, is told in `bulk/step.rs`.

use std::time::Duration;

use eve_store::bulk;

use super::Service;
use crate::Engine;
use crate::Error;
use crate::bulk::step::Stepped;
use crate::bulk::step::step;

/// Most actions that have their turn together.
const ACTIONS_PER_TURN: i64 = 50;
/// Most batches in one round.
const BATCHES_PER_ROUND: usize = 100;

pub(super) struct BulkActions;

#[async_trait::async_trait]
impl Service for BulkActions {
    fn name(&self) -> &'static str {
        "bulk-actions"
    }

    fn description(&self) -> &'static str {
        "changes the requests that bulk actions are for"
    }

    fn period(&self) -> Duration {
        Duration::from_millis(200)
    }

    async fn activate(&self, engine: &Engine) -> Result<Option<String>, Error> {
        let (mut batches, mut changed, mut failure) = (0, 0, None);
        while batches < BATCHES_PER_ROUND && failure.is_none() {
            let mut tx = engine.store().platform().await?;
            let due = bulk::bulk_action_due(&mut tx, ACTIONS_PER_TURN).await?;
            tx.commit().await?;
            let mut moved = false;
            for (org, id) in due {
                batches += 1;
                match step(engine, org, id).await {
                    Ok(Stepped::Moved(count)) => (moved, changed) = (true, changed + count),
                    Ok(Stepped::Nothing) => {}
                    // The others have their turn all the same.
                    Err(error) => failure = Some(error),
                }
            }
            if !moved {
                break;
            }
        }
        match failure {
            Some(error) => Err(error),
            None => Ok((changed > 0).then(|| format!("changed {changed} requests for bulk actions"))),
        }
    }
}
