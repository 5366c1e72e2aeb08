//! A noisy neighbour: how long one organization's single request waits for its start while another has a million queued
//! and every slot is busy with them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use anyhow::ensure;
use eve_core::RequestId;
use eve_engine::CreateOutcome;
use eve_engine::OpContext;
use eve_testkit::bench;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Finding;
use super::LOOK;
use super::Sizes;
use super::fill;
use super::millis;
use super::percentile;
use crate::bed::Bed;
use crate::scenario::carry_out;

const NAME: &str = "noisy";
const KIND: &str = "bench-noisy";
/// Slots of the worker: all of them busy with the noisy one's requests.
const SLOTS: usize = 32;
/// Longest wait of one claim.
const CLAIM_WAIT: Duration = Duration::from_secs(1);
/// Longest wait for the start of a single request.
const START_LIMIT: Duration = Duration::from_secs(60);
/// What is aimed at, at the 95th percentile.
const TARGET: Duration = Duration::from_secs(2);

/// When the worker had which request of the quiet organization.
type Starts = Arc<Mutex<HashMap<RequestId, Instant>>>;

pub(super) async fn run(bed: &mut Bed, sizes: &Sizes) -> Result<Vec<Finding>> {
    let quiet = bed.organization("quiet", KIND).await?;
    let mut alone = sample(bed, sizes, &quiet).await?;
    fill(bed, &bed.owner, KIND, sizes.noisy).await?;
    bed.tidy().await?;
    let mut noisy = sample(bed, sizes, &quiet).await?;
    let (p50, p95) = (percentile(&mut noisy, 50), percentile(&mut noisy, 95));
    let what = |share: &str| format!("time to start beside {} of another organization, {share}", sizes.noisy);
    Ok(vec![
        Finding::new(NAME, what("p50"), millis(p50), "ms").beside(millis(percentile(&mut alone, 50))),
        Finding::new(NAME, what("p95"), millis(p95), "ms")
            .beside(millis(percentile(&mut alone, 95)))
            .target("≤ 2 s", p95 <= TARGET),
    ])
}

/// Submits one after the other, and says how long each took to its start.
async fn sample(bed: &Bed, sizes: &Sizes, quiet: &OpContext) -> Result<Vec<Duration>> {
    let (starts, stop) = (Starts::default(), CancellationToken::new());
    let working = tokio::spawn(serve(bed, Duration::from_millis(sizes.noisy_ms), quiet, starts.clone(), stop.clone()));
    let mut samples = Vec::with_capacity(sizes.noisy_samples);
    for _ in 0..sizes.noisy_samples {
        let before = Instant::now();
        let (CreateOutcome::Created(row) | CreateOutcome::Repeated(row)) =
            bed.engine.request_create(quiet, bench::draft(KIND), None).await?;
        let started = loop {
            let known = starts.lock().unwrap_or_else(PoisonError::into_inner).remove(&row.id);
            if let Some(started) = known {
                break started;
            }
            ensure!(before.elapsed() < START_LIMIT, "a request did not start within {} s", START_LIMIT.as_secs());
            ensure!(!working.is_finished(), "the worker ended too early");
            tokio::time::sleep(LOOK / 5).await;
        };
        samples.push(started.duration_since(before));
    }
    stop.cancel();
    working.await??;
    Ok(samples)
}

/// A worker whose slots are always busy as long as something waits.
fn serve(
    bed: &Bed,
    each: Duration,
    quiet: &OpContext,
    starts: Starts,
    stop: CancellationToken,
) -> impl Future<Output = Result<()>> + Send + use<> {
    let (engine, worker, quiet) = (bed.engine.clone(), bed.worker, quiet.org_id);
    async move {
        let slots = Arc::new(Semaphore::new(SLOTS));
        while !stop.is_cancelled() {
            let first = slots.clone().acquire_owned().await?;
            let mut free = vec![first];
            while let Ok(another) = slots.clone().try_acquire_owned() {
                free.push(another);
            }
            let types = [KIND.to_owned()];
            let claims = engine.queue_claim(&crate::bed::context(), worker, &types, free.len(), CLAIM_WAIT).await?;
            let now = Instant::now();
            for claim in claims {
                if claim.org_id == quiet {
                    starts.lock().unwrap_or_else(PoisonError::into_inner).insert(claim.request_id, now);
                }
                let (engine, permit) = (engine.clone(), free.pop());
                tokio::spawn(async move {
                    tokio::time::sleep(each).await;
                    let _ = carry_out(&engine, &claim).await;
                    drop(permit);
                });
            }
        }
        // What still runs ends before the next part begins.
        let all = u32::try_from(SLOTS).unwrap_or(u32::MAX);
        drop(slots.acquire_many(all).await?);
        Ok(())
    }
}
