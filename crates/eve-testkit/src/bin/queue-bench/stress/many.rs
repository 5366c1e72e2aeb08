//! Many agents at once, each a process of its own, and then an installation where ten thousand wait and nothing happens.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use eve_testkit::database::TestDatabase;
use serde_json::json;
use sqlx::ConnectOptions;
use sqlx::PgConnection;

use super::Finding;
use super::PATIENCE;
use super::Sizes;
use super::processes::Installation;
use super::processes::Usage;
use super::processes::client;
use crate::bed::Bed;
use crate::cost;

const NAME: &str = "many";
/// How long each agent runs, in seconds: several generations of them within a minute.
const AGENT_SECONDS: u64 = 20;
/// Requests enqueued at once.
const ENQUEUE: usize = 32;
/// Who does them; `herd` leaves requests for another.
pub(super) const TYPE: &str = "general";
/// Between two samples.
const SAMPLE: Duration = Duration::from_secs(1);
/// Samples of the worker for each of its whole tree, which costs a look at thousands of processes.
const TREES: usize = 10;
/// PostgreSQL counts a transaction up to ten seconds after it, when its connection has nothing else to do.
const COUNTED_LATE: Duration = Duration::from_secs(12);
/// The share of a core that an idle server may use.
const IDLE_CORE: f64 = 0.02;
/// How much the memory may grow from the first half of the time to the second.
const GROWTH: f64 = 1.15;

pub(super) async fn run(_bed: &mut Bed, database: Option<&TestDatabase>, sizes: &Sizes) -> Result<Vec<Finding>> {
    let database = database.context("many needs a cluster of its own")?;
    let mut beside = database.admin().connect().await?;
    let mut installation = Installation::start(sizes.eve.as_deref(), database).await?;
    enqueue(&installation, sizes.waiting).await?;
    let mut findings = idle(&installation, &mut beside, sizes).await?;
    installation.start_worker(sizes.agents).await?;
    let begun = Instant::now();
    loop {
        let running: i64 = sqlx::query_scalar("SELECT count(*) FROM eve.leases WHERE started_at IS NOT NULL")
            .fetch_one(&mut beside)
            .await?;
        if usize::try_from(running).is_ok_and(|running| running >= sizes.agents.min(sizes.waiting) * 9 / 10) {
            break;
        }
        installation.check()?;
        ensure!(begun.elapsed() < PATIENCE, "only {running} agents run after {} s", PATIENCE.as_secs());
        tokio::time::sleep(SAMPLE).await;
    }
    findings.push(Finding::new(NAME, format!("until {} agents ran", sizes.agents), begun.elapsed().as_secs_f64(), "s"));
    // Nothing is steady before as many have come and gone.
    while ended(&mut beside).await? < sizes.agents.min(sizes.waiting / 2) {
        installation.check()?;
        ensure!(begun.elapsed() < PATIENCE, "the first agents do not end");
        tokio::time::sleep(SAMPLE).await;
    }
    findings.extend(busy(&mut installation, &mut beside, sizes).await?);
    installation.kill_worker();
    Ok(findings)
}

/// Requests that are finished.
async fn ended(beside: &mut PgConnection) -> Result<usize> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM eve.results").fetch_one(beside).await?;
    Ok(usize::try_from(count)?)
}

async fn enqueue(installation: &Installation, count: usize) -> Result<()> {
    let http = client()?;
    let (url, key) = (format!("{}/api/v1/requests", installation.url), installation.key.as_str());
    let body = json!({"prompt": format!("sleep {AGENT_SECONDS}"), "harness": "command", "worker_type": TYPE});
    let mut left = count;
    while left > 0 {
        let batch = left.min(ENQUEUE);
        left -= batch;
        let calls = (0..batch).map(|_| http.post(&url).bearer_auth(key).json(&body).send());
        for answer in futures_util::future::try_join_all(calls).await? {
            ensure!(answer.status().as_u16() == 201, "not created: {}", answer.text().await?);
        }
    }
    Ok(())
}

/// Transactions of the database so far.
async fn transactions(beside: &mut PgConnection) -> Result<i64> {
    // The statistics of this session's own transactions are told when it is done with them.
    sqlx::raw_sql("SELECT pg_stat_clear_snapshot()").execute(&mut *beside).await?;
    Ok(sqlx::query_scalar(
        "SELECT (xact_commit + xact_rollback)::int8 FROM pg_stat_database WHERE datname = current_database()",
    )
    .fetch_one(beside)
    .await?)
}

/// What waits costs nothing.
async fn idle(installation: &Installation, beside: &mut PgConnection, sizes: &Sizes) -> Result<Vec<Finding>> {
    let watch = Duration::from_secs(sizes.watch);
    tokio::time::sleep(COUNTED_LATE).await;
    let (before, statements, begun) = (installation.server()?, transactions(beside).await?, Instant::now());
    tokio::time::sleep(watch).await;
    let (after, more) = (installation.server()?, transactions(beside).await?);
    let seconds = begun.elapsed().as_secs_f64();
    let core = (after.cpu_seconds - before.cpu_seconds) / seconds;
    let queries = cost::float(usize::try_from(more - statements).unwrap_or(0)) / seconds;
    Ok(vec![
        Finding::new(
            NAME,
            format!("server while {} wait and nothing happens", sizes.waiting),
            core * 100.0,
            "% of a core",
        )
        .target("≤ 2 %", core <= IDLE_CORE),
        Finding::new(NAME, "its transactions meanwhile", queries, "/s"),
        Finding::new(NAME, "its memory meanwhile", after.resident_mib, "MiB"),
    ])
}

/// Agents come and go, and what they cost stays the same.
async fn busy(installation: &mut Installation, beside: &mut PgConnection, sizes: &Sizes) -> Result<Vec<Finding>> {
    let begun = Instant::now();
    let (server_before, worker_before) = (installation.server()?, installation.worker()?);
    let (mut servers, mut workers, mut trees) = (Vec::new(), Vec::new(), Vec::new());
    while begun.elapsed() < Duration::from_secs(sizes.watch) {
        servers.push(installation.server()?);
        workers.push(installation.worker()?);
        if trees.len() * TREES <= workers.len() {
            trees.push(installation.worker_and_agents()?);
        }
        installation.check()?;
        tokio::time::sleep(SAMPLE).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let done = ended(&mut *beside).await?;
    let bad: i64 =
        sqlx::query_scalar("SELECT count(*) FROM eve.results WHERE state <> 'completed'").fetch_one(beside).await?;
    let tree = trees.iter().map(|tree| tree.processes).max().unwrap_or(0);
    let memory = trees.iter().map(|tree| tree.proportional_mib).fold(0.0, f64::max);
    let mut findings = Vec::new();
    for (who, before, samples) in [("server", server_before, &servers), ("worker", worker_before, &workers)] {
        let (first, second) = halves(samples);
        let cpu = samples.last().map_or(0.0, |last| last.cpu_seconds - before.cpu_seconds) / seconds * 100.0;
        findings.push(
            Finding::new(
                NAME,
                format!("memory of the {who}, second half of {} s beside the first", sizes.watch),
                second,
                "MiB",
            )
            .beside(first)
            .target("≤ 1.15 ×", second <= first * GROWTH),
        );
        findings.push(Finding::new(NAME, format!("CPU of the {who} with {} agents", sizes.agents), cpu, "% of a core"));
    }
    findings.push(Finding::new(
        NAME,
        format!("memory of worker, keepers and agents, {tree} processes at most, shared pages once"),
        memory,
        "MiB",
    ));
    findings.push(
        Finding::new(
            NAME,
            format!("agents that did not complete, of {done}"),
            cost::float(usize::try_from(bad).unwrap_or(0)),
            "",
        )
        .target("none", bad == 0),
    );
    Ok(findings)
}

/// The mean memory of either half.
fn halves(samples: &[Usage]) -> (f64, f64) {
    let (first, second) = samples.split_at(samples.len() / 2);
    let mean = |part: &[Usage]| part.iter().map(|one| one.resident_mib).sum::<f64>() / cost::float(part.len().max(1));
    (mean(first), mean(second))
}
