//! One worker process: many requests as fast as it can, or one at a time when it has nothing else to do.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use clap::Args;
use eve_core::AttemptId;
use eve_core::WorkerId;
use eve_engine::Engine;
use eve_engine::FencedAttempt;
use eve_engine::NewWorker;
use eve_engine::RetentionPeriods;
use eve_engine::Services;
use eve_engine::WorkerContext;
use eve_store::PgConnectOptions;
use eve_store::Store;
use eve_testkit::bench;
use serde_json::Value;
use serde_json::json;
use sqlx::ConnectOptions;
use sqlx::PgConnection;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::bed;

/// Attempts that the worker says it runs at once; the queue does not look at it.
const SLOTS: i32 = 500;
/// How long a claim waits when the queue is empty.
const CLAIM_WAIT: Duration = Duration::from_secs(20);
/// The part of the requests after which the start is over, for the steady rate.
const START_SHARE: usize = 10;
/// The worker of `lat` is idle after that.
const SETTLE_DOWN: Duration = Duration::from_secs(1);
/// Samples of `lat` that only make everything warm.
const WARM_UP: usize = 20;
/// Between two samples of `lat`.
const PAUSE: Duration = Duration::from_millis(2);

/// How a worker works.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Sizes {
    /// Requests in one claim, and in one settlement.
    #[arg(long, default_value_t = 500)]
    pub(crate) batch: usize,
    /// Claims and their settlements at once: while one batch is settled, others are claimed.
    #[arg(long, default_value_t = 6)]
    pub(crate) claims: usize,
}

type Held = Arc<Mutex<HashMap<AttemptId, FencedAttempt>>>;

/// A worker that entered, with all that runs beside it.
struct Worker {
    engine: Engine,
    id: WorkerId,
    held: Held,
    services: Services,
    tasks: JoinSet<Result<()>>,
}

impl Worker {
    async fn enter(engine: Engine) -> Result<Self> {
        let new = NewWorker {
            name: "queue-peer".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            worker_types: vec![bed::TYPE.to_owned()],
            harnesses: json!([]),
            slots: SLOTS,
            account: None,
        };
        let id = engine.worker_register(&context(), &new).await?;
        let services = Services::start(&engine, RetentionPeriods::default());
        let held = Held::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(beat(engine.clone(), id, held.clone()));
        Ok(Self { engine, id, held, services, tasks })
    }
}

fn context() -> WorkerContext {
    WorkerContext::in_process()
}

async fn beat(engine: Engine, worker: WorkerId, held: Held) -> Result<()> {
    let period = Duration::try_from(engine.lease_terms().heartbeat)?;
    loop {
        tokio::time::sleep(period).await;
        let attempts: Vec<FencedAttempt> =
            held.lock().unwrap_or_else(PoisonError::into_inner).values().copied().collect();
        engine.worker_heartbeat(&context(), worker, "active", &attempts, Duration::ZERO).await?;
    }
}

async fn claim(engine: &Engine, worker: WorkerId, held: &Held, limit: usize) -> Result<Vec<FencedAttempt>> {
    let claims = engine.queue_claim(&context(), worker, &[bed::TYPE.to_owned()], limit, CLAIM_WAIT).await?;
    let attempts: Vec<FencedAttempt> = claims.iter().map(FencedAttempt::from).collect::<Vec<_>>();
    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
    held.extend(attempts.iter().map(|attempt| (attempt.attempt_id, *attempt)));
    Ok(attempts)
}

async fn settle(engine: &Engine, held: &Held, attempts: &[FencedAttempt]) -> Result<()> {
    let reports = attempts.iter().map(|attempt| (*attempt, bench::success())).collect();
    for answer in engine.attempt_settle(&context(), reports).await? {
        let state = answer?;
        ensure!(state.is_terminal(), "a settled request is {state}");
    }
    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
    for attempt in attempts {
        held.remove(&attempt.attempt_id);
    }
    Ok(())
}

/// A worker that did what it was asked for, and still runs.
pub(crate) struct Worked {
    pub(crate) result: Value,
    worker: Worker,
    store: Store,
}

impl Worked {
    /// Gives back what the worker holds, and stops.
    pub(crate) async fn end(self) -> Result<()> {
        let Worker { engine, id, services, mut tasks, .. } = self.worker;
        tasks.shutdown().await;
        engine.worker_heartbeat(&context(), id, "stopped", &[], Duration::ZERO).await?;
        services.stop().await;
        engine.stop();
        self.store.close().await;
        Ok(())
    }
}

/// Settles so many of the requests that wait. The clock starts before the engine does.
pub(crate) async fn drain(db: &PgConnectOptions, count: usize, sizes: Sizes) -> Result<Worked> {
    let store = bed::store(db);
    store.platform().await?.commit().await?;
    let cpu = bench::own_cpu_seconds()?;
    let begun = Instant::now();
    let (engine, _) = bed::engine(&store).await?;
    let mut worker = Worker::enter(engine).await?;
    let (done, mut progress) = mpsc::unbounded_channel();
    for _ in 0..sizes.claims {
        let (engine, id, held, done) = (worker.engine.clone(), worker.id, worker.held.clone(), done.clone());
        worker.tasks.spawn(async move {
            loop {
                let attempts = claim(&engine, id, &held, sizes.batch).await?;
                settle(&engine, &held, &attempts).await?;
                if done.send(attempts.len()).is_err() {
                    return Ok(());
                }
            }
        });
    }
    drop(done);
    let (mut settled, mut started) = (0, None);
    while settled < count {
        let more = tokio::select! {
            more = progress.recv() => more.context("the worker stopped")?,
            Some(ended) = worker.tasks.join_next() => {
                ended??;
                continue;
            }
        };
        ensure!(more > 0, "the queue is empty after {settled} requests");
        settled += more;
        if started.is_none() && settled >= count / START_SHARE {
            started = Some((settled, Instant::now()));
        }
    }
    let ended = Instant::now();
    let cpu = bench::own_cpu_seconds()? - cpu;
    let rate = |settled: usize, since: Instant| -> Result<f64> {
        Ok((bench::as_float(u64::try_from(settled)?) / ended.duration_since(since).as_secs_f64()).round())
    };
    let (first, since) = started.unwrap_or((0, begun));
    let result = json!({
        "n": settled,
        "jobs_s": rate(settled, begun)?,
        "steady_jobs_s": rate(settled - first, since)?,
        "wall_s": ended.duration_since(begun).as_secs_f64(),
        "worker_cpu_s": cpu,
        "rss_mb": bench::peak_rss_mib()?.round(),
    });
    Ok(Worked { result, worker, store })
}

/// From before a request is asked for until an idle worker of the same process has it. The worker has slots free, so it
/// claims again at once and settles beside.
pub(crate) async fn latency(db: &PgConnectOptions, count: usize) -> Result<Value> {
    let (engine, owner) = bed::engine(&bed::store(db)).await?;
    let mut worker = Worker::enter(engine.clone()).await?;
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let (id, held, claiming) = (worker.id, worker.held.clone(), engine.clone());
    worker.tasks.spawn(async move {
        let mut settling = JoinSet::new();
        loop {
            let attempts = claim(&claiming, id, &held, 1).await?;
            let now = Instant::now();
            if attempts.is_empty() {
                continue;
            }
            if arrived.send(now).is_err() {
                return Ok(());
            }
            let (engine, held) = (claiming.clone(), held.clone());
            settling.spawn(async move { settle(&engine, &held, &attempts).await });
            while let Some(done) = settling.try_join_next() {
                done??;
            }
        }
    });
    let mut commits = Commits::prepare(db).await?;
    tokio::time::sleep(SETTLE_DOWN).await;
    // In a task, as a server's handlers are: whoever runs outside of one is woken through another thread.
    let sampling = tokio::spawn(async move {
        let mut samples = Vec::with_capacity(count);
        for sample in 0..count + WARM_UP {
            commits.sample().await?;
            let before = Instant::now();
            engine.request_create(&owner, bench::draft(bed::TYPE), None).await?;
            let at = arrivals.recv().await.context("the worker stopped")?;
            if sample >= WARM_UP {
                let earlier = "something else waited in the queue; give an empty one";
                samples.push(at.checked_duration_since(before).context(earlier)?);
            }
            tokio::time::sleep(PAUSE).await;
        }
        anyhow::Ok((samples, commits))
    });
    let (mut samples, mut commits) = tokio::select! {
        sampled = sampling => sampled??,
        Some(ended) = worker.tasks.join_next() => {
            ended??;
            anyhow::bail!("the worker stopped");
        }
    };
    samples.sort_unstable();
    commits.took.sort_unstable();
    Ok(json!({
        "n": samples.len(),
        "p50_ms": percentile(&samples, 50),
        "p90_ms": percentile(&samples, 90),
        "p99_ms": percentile(&samples, 99),
        "max_ms": percentile(&samples, 100),
        "commit_p50_ms": percentile(&commits.took, 50),
    }))
}

/// Of sorted samples the nearest rank of `(n - 1) × share / 100`, as in the programs that this is compared with.
fn percentile(samples: &[Duration], share: usize) -> f64 {
    let rank = (samples.len().saturating_sub(1) * share + 50) / 100;
    samples.get(rank).map_or(0.0, |sample| sample.as_secs_f64() * 1000.0)
}

/// Durable commits of one row by one connection, without Eve: what the disk allows in the very moments of the samples.
struct Commits {
    connection: PgConnection,
    took: Vec<Duration>,
}

impl Commits {
    async fn prepare(db: &PgConnectOptions) -> Result<Self> {
        let mut connection = db.connect().await?;
        sqlx::raw_sql("CREATE TABLE public.queue_peer (id bigint PRIMARY KEY, payload text)")
            .execute(&mut connection)
            .await?;
        Ok(Self { connection, took: Vec::new() })
    }

    async fn sample(&mut self) -> Result<()> {
        let id = i64::try_from(self.took.len())?;
        let before = Instant::now();
        sqlx::query("INSERT INTO public.queue_peer VALUES ($1, $2)")
            .bind(id)
            .bind("a row about as long as a job")
            .execute(&mut self.connection)
            .await?;
        self.took.push(before.elapsed());
        Ok(())
    }
}
