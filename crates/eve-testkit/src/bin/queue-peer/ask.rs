//! Requests taken in, one at a time and in batches.

use std::time::Instant;

use anyhow::Result;
use eve_store::PgConnectOptions;
use eve_testkit::bench;
use serde_json::Value;
use serde_json::json;
use tokio::task::JoinSet;

use crate::bed;

/// Each caller asks, waits for the answer, and asks again.
pub(crate) async fn singly(db: &PgConnectOptions, count: usize, callers: usize) -> Result<Value> {
    let (engine, owner) = bed::engine(&bed::store(db)).await?;
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let share = count / callers + usize::from(caller < count % callers);
        let (engine, owner) = (engine.clone(), owner.clone());
        tasks.spawn(async move {
            for _ in 0..share {
                engine.request_create(&owner, bench::draft(bed::TYPE), None).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    rate(count, begun)
}

/// One caller, many requests in each call.
pub(crate) async fn in_batches(db: &PgConnectOptions, count: usize, batch: usize) -> Result<Value> {
    let (engine, owner) = bed::engine(&bed::store(db)).await?;
    let begun = Instant::now();
    let mut left = count;
    while left > 0 {
        let size = batch.min(left);
        let drafts = (0..size).map(|_| bench::draft(bed::TYPE)).collect();
        engine.request_create_many(&owner, drafts).await?;
        left -= size;
    }
    rate(count, begun)
}

fn rate(count: usize, begun: Instant) -> Result<Value> {
    let seconds = begun.elapsed().as_secs_f64();
    Ok(json!({"rate": (bench::as_float(u64::try_from(count)?) / seconds).round()}))
}
