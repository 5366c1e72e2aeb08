//! The scenarios. Each measures durable commits before and after itself, in the same minute.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use eve_engine::Claim;
use eve_engine::Engine;
use eve_engine::FencedAttempt;
use eve_testkit::bench;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::CALLERS;
use crate::baseline::Baseline;
use crate::bed;
use crate::bed::Bed;
use crate::cost;
use crate::cost::Meter;
use crate::report::Measured;
use crate::report::Row;

/// Longest wait for a request that was just enqueued; what takes longer is a fault and no measurement.
const CLAIM_WAIT: Duration = Duration::from_secs(20);
/// Samples of `latency` that only make everything warm.
const WARM_UP: usize = 20;
/// Between two samples of `latency`: the worker looks at the empty queue and lies down, and the notification to other
/// processes that the last settlement caused is through.
const IDLE: Duration = Duration::from_millis(25);

/// The size of `work`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) requests: usize,
    pub(crate) claim: usize,
    pub(crate) concurrency: usize,
}

/// Durable commits by themselves.
pub(crate) async fn commit(bed: &mut Bed, count: usize) -> Result<Row> {
    let load = cost::load_average()?;
    let mut baseline = Baseline::default();
    let meter = Meter::start(bed.cluster, &mut bed.beside).await?;
    baseline.sample_many(&mut bed.beside, count).await?;
    let cost = meter.stop(&mut bed.beside).await?;
    Ok(Row::of(Measured {
        scenario: "commit".to_owned(),
        n: count,
        samples: baseline.commits(),
        cost,
        baseline: &baseline,
        load,
        note: None,
    }))
}

/// Requests created one at a time by so many callers.
pub(crate) async fn enqueue(bed: &mut Bed, count: usize, callers: usize) -> Result<Row> {
    let load = cost::load_average()?;
    let mut baseline = Baseline::default();
    baseline.sample(&mut bed.beside).await?;
    let meter = Meter::start(bed.cluster, &mut bed.beside).await?;
    let samples = fill(bed, "bench-enqueue", count, callers).await?;
    let cost = meter.stop(&mut bed.beside).await?;
    baseline.sample(&mut bed.beside).await?;
    let who = if callers == 1 { "1 caller".to_owned() } else { format!("{callers} callers") };
    Ok(Row::of(Measured {
        scenario: format!("enqueue, {who}"),
        n: count,
        samples: &samples,
        cost,
        baseline: &baseline,
        load,
        note: None,
    }))
}

/// Creates requests and says how long each call took.
async fn fill(bed: &Bed, kind: &'static str, count: usize, callers: usize) -> Result<Vec<Duration>> {
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let share = count / callers + usize::from(caller < count % callers);
        let (engine, owner) = (bed.engine.clone(), bed.owner.clone());
        tasks.spawn(async move {
            let mut samples = Vec::with_capacity(share);
            for _ in 0..share {
                let before = Instant::now();
                engine.request_create(&owner, bench::draft(kind), None).await?;
                samples.push(before.elapsed());
            }
            anyhow::Ok(samples)
        });
    }
    let mut samples = Vec::with_capacity(count);
    while let Some(done) = tasks.join_next().await {
        samples.extend(done??);
    }
    Ok(samples)
}

/// Waiting requests carried out by one worker: claimed in batches, each settled by a call of its own.
pub(crate) async fn work(bed: &mut Bed, of: Load) -> Result<Row> {
    fill(bed, "bench-work", of.requests, CALLERS).await?;
    bed.tidy().await?;
    let load = cost::load_average()?;
    let mut baseline = Baseline::default();
    baseline.sample(&mut bed.beside).await?;
    let meter = Meter::start(bed.cluster, &mut bed.beside).await?;
    let Worked { attempts, claims, claiming } = drain(bed, of).await?;
    let cost = meter.stop(&mut bed.beside).await?;
    baseline.sample(&mut bed.beside).await?;
    let average = claiming.as_secs_f64() * 1000.0 / cost::float(claims);
    let note = format!(
        "p50 to p99 are from claimed to settled of one request, {} at once; {claims} claims of up to {} took {:.1} ms each",
        of.concurrency, of.claim, average
    );
    Ok(Row::of(Measured {
        scenario: format!("work, claims of {}", of.claim),
        n: of.requests,
        samples: &attempts,
        cost,
        baseline: &baseline,
        load,
        note: Some(note),
    }))
}

struct Worked {
    attempts: Vec<Duration>,
    claims: usize,
    claiming: Duration,
}

async fn drain(bed: &Bed, of: Load) -> Result<Worked> {
    let permits = Arc::new(Semaphore::new(of.concurrency));
    let mut tasks = JoinSet::new();
    let mut worked = Worked { attempts: Vec::with_capacity(of.requests), claims: 0, claiming: Duration::ZERO };
    let mut left = of.requests;
    while left > 0 {
        let before = Instant::now();
        let claims = bed.claim("bench-work", of.claim.min(left), Duration::ZERO).await?;
        worked.claiming += before.elapsed();
        worked.claims += 1;
        ensure!(!claims.is_empty(), "the queue is empty, but {left} requests were not claimed");
        left -= claims.len();
        for claim in claims {
            let permit = permits.clone().acquire_owned().await?;
            let engine = bed.engine.clone();
            tasks.spawn(async move {
                let before = Instant::now();
                carry_out(&engine, &claim).await?;
                drop(permit);
                anyhow::Ok(before.elapsed())
            });
        }
        while let Some(done) = tasks.try_join_next() {
            worked.attempts.push(done??);
        }
    }
    while let Some(done) = tasks.join_next().await {
        worked.attempts.push(done??);
    }
    Ok(worked)
}

/// What a worker does about an agent that had nothing to do.
pub(crate) async fn carry_out(engine: &Engine, claim: &Claim) -> Result<()> {
    let context = bed::context();
    let report = bench::success();
    let settled = engine.attempt_settle(&context, vec![(FencedAttempt::from(claim), report)]).await?.pop();
    let state = settled.context("no answer")??;
    ensure!(state.is_terminal(), "a settled request is {state}");
    Ok(())
}

/// From before a request is enqueued until the claim of an idle worker of the same process has it.
pub(crate) async fn latency(bed: &mut Bed, count: usize) -> Result<Row> {
    let load = cost::load_average()?;
    for _ in 0..WARM_UP {
        hand_over(bed).await?;
    }
    let mut baseline = Baseline::default();
    baseline.sample(&mut bed.beside).await?;
    let meter = Meter::start(bed.cluster, &mut bed.beside).await?;
    let mut samples = Vec::with_capacity(count);
    let mut answers = Vec::with_capacity(count);
    for _ in 0..count {
        let (answer, claim) = hand_over(bed).await?;
        answers.push(answer);
        samples.push(claim);
    }
    let cost = meter.stop(&mut bed.beside).await?;
    baseline.sample(&mut bed.beside).await?;
    answers.sort_unstable();
    let answer = answers.get(answers.len() / 2).copied().unwrap_or_default();
    let note = format!(
        "p50 to p99 are from the call to the claim; enqueueing answered after {:.2} ms at the median; the rate includes a \
         pause of {} ms before each and the settlement after it",
        answer.as_secs_f64() * 1000.0,
        IDLE.as_millis()
    );
    Ok(Row::of(Measured {
        scenario: "latency".to_owned(),
        n: count,
        samples: &samples,
        cost,
        baseline: &baseline,
        load,
        note: Some(note),
    }))
}

/// One request: how long the caller waited for its answer, and how long until the worker had it.
async fn hand_over(bed: &Bed) -> Result<(Duration, Duration)> {
    let types = ["bench-latency".to_owned()];
    let (engine, worker) = (bed.engine.clone(), bed.worker);
    let claiming = tokio::spawn(async move {
        let claims = engine.queue_claim(&bed::context(), worker, &types, 1, CLAIM_WAIT).await?;
        anyhow::Ok((Instant::now(), claims))
    });
    tokio::time::sleep(IDLE).await;
    let before = Instant::now();
    bed.engine.request_create(&bed.owner, bench::draft("bench-latency"), None).await?;
    let answer = before.elapsed();
    let (claimed, claims) = claiming.await??;
    let claim = claims.first().context("an enqueued request was not claimed in time")?;
    carry_out(&bed.engine, claim).await?;
    Ok((answer, claimed.duration_since(before)))
}
