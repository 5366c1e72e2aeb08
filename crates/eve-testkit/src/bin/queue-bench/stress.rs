//! What the queue must bear: a million that wait, a snapshot held open, a noisy neighbour, a herd of callers, long
//! dependencies, many agents, races.
//!
//! Each scenario measures the same work beside itself without the burden, in the same minutes and on the same database,
//! and tells its figure as a ratio to that. They take longer than the others and need room, so they run only when named.

mod backlog;
mod dependencies;
mod herd;
mod many;
mod noisy;
mod processes;
mod races;
mod snapshot;

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use anyhow::ensure;
use clap::Args;
use eve_engine::OpContext;
use eve_testkit::bench;
use eve_testkit::database::TestDatabase;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Scenario;
use crate::bed::Bed;
use crate::cost;
use crate::cost::Cost;
use crate::scenario::carry_out;

/// Requests in one call that fills a queue.
const FILL_BATCH: usize = 1000;
/// Calls that fill a queue at once.
const FILLERS: usize = 4;
/// Requests in one claim.
const CLAIM: usize = 50;
/// Requests carried out at once.
const CONCURRENCY: usize = 32;
/// CPU is told for so many requests.
const CPU_UNIT: f64 = 10_000.0;
/// Longest wait for something that has to happen; what takes longer is a fault.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two looks at what has to happen.
const LOOK: Duration = Duration::from_millis(5);

/// How much of it.
#[derive(Debug, Args)]
pub(crate) struct Sizes {
    /// Requests that wait in `backlog`.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) backlog: usize,
    /// Requests that are worked in `backlog`, with and without the others.
    #[arg(long, default_value_t = 50_000)]
    pub(crate) backlog_work: usize,
    /// Seconds for which `snapshot` holds a snapshot open.
    #[arg(long, default_value_t = 20)]
    pub(crate) hold: u64,
    /// Requests that the noisy organization of `noisy` has queued.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) noisy: usize,
    /// Milliseconds that each request of `noisy` takes.
    #[arg(long, default_value_t = 5)]
    pub(crate) noisy_ms: u64,
    /// Single requests of the other organization of `noisy`.
    #[arg(long, default_value_t = 200)]
    pub(crate) noisy_samples: usize,
    /// Requests enqueued in `herd`.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) herd: usize,
    /// Connections that enqueue them.
    #[arg(long, default_value_t = 200)]
    pub(crate) connections: usize,
    /// Requests that wait for one, that one waits for, and in the chain of `dependencies`.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) fan: usize,
    /// Agents at once in `many`.
    #[arg(long, default_value_t = 500)]
    pub(crate) agents: usize,
    /// Requests that wait in `many`.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) waiting: usize,
    /// Seconds for which `many` watches, once with agents and once without.
    #[arg(long, default_value_t = 60)]
    pub(crate) watch: u64,
    /// Races of `races`.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) races: usize,
    /// The program `eve` for `herd` and `many`; the one beside this program when nothing is said.
    #[arg(long, value_name = "PATH")]
    pub(crate) eve: Option<PathBuf>,
}

impl Sizes {
    /// No scenario measures nothing.
    pub(crate) fn check(&self) -> Result<()> {
        let counts = [self.backlog, self.backlog_work, self.noisy, self.noisy_samples, self.herd, self.connections];
        let others = [self.fan, self.agents, self.waiting, self.races];
        ensure!(counts.iter().chain(&others).all(|size| *size > 0), "no size may be 0");
        ensure!(self.hold > 0 && self.watch > 0, "--hold and --watch start at 1");
        ensure!(self.fan <= eve_engine::limits::BLOCKED_BY, "--fan ends at {}", eve_engine::limits::BLOCKED_BY);
        Ok(())
    }
}

/// One figure, and what was measured beside it.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    /// Which time it was measured in this run, from 1.
    round: u32,
    scenario: &'static str,
    what: String,
    figure: f64,
    unit: &'static str,
    /// The same without the burden.
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<f64>,
    /// What was aimed at, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'static str>,
    /// Whether it was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
}

pub(crate) const HEAD: &str = "| scenario | round | what | figure | beside | ratio | target | met |
| --- | --- | --- | --- | --- | --- | --- | --- |
";

impl Finding {
    fn new(scenario: &'static str, what: impl Into<String>, figure: f64, unit: &'static str) -> Self {
        Self { round: 1, scenario, what: what.into(), figure, unit, beside: None, target: None, met: None }
    }

    fn beside(self, beside: f64) -> Self {
        Self { beside: Some(beside), ..self }
    }

    fn target(self, target: &'static str, met: bool) -> Self {
        Self { target: Some(target), met: Some(met), ..self }
    }

    pub(crate) fn in_round(self, round: u32) -> Self {
        Self { round, ..self }
    }

    fn ratio(&self) -> Option<f64> {
        self.beside.filter(|beside| *beside > 0.0).map(|beside| self.figure / beside)
    }

    pub(crate) fn line(&self) -> String {
        let mut line = format!("{}: {} {:.2} {}", self.scenario, self.what, self.figure, self.unit);
        // Writing to a String cannot fail.
        if let Some((beside, ratio)) = self.beside.zip(self.ratio()) {
            let _ = write!(line, " (beside {beside:.2}, {ratio:.2}×)");
        }
        if let Some((target, met)) = self.target.zip(self.met) {
            let _ = write!(line, "; {target}: {}", if met { "met" } else { "MISSED" });
        }
        line
    }

    pub(crate) fn markdown(&self, out: &mut String) {
        let number = |number: Option<f64>| number.map_or_else(|| "–".to_owned(), |number| format!("{number:.2}"));
        let met = self.met.map_or("–", |met| if met { "yes" } else { "no" });
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "| {} | {} | {} | {:.2} {} | {} | {} | {} | {met} |",
            self.scenario,
            self.round,
            self.what,
            self.figure,
            self.unit,
            number(self.beside),
            number(self.ratio()),
            self.target.unwrap_or("–"),
        );
    }
}

/// Runs one of them; nothing if it is none.
pub(crate) async fn run(
    scenario: Scenario,
    bed: &mut Bed,
    database: Option<&TestDatabase>,
    sizes: &Sizes,
) -> Result<Vec<Finding>> {
    match scenario {
        Scenario::Commit | Scenario::Enqueue | Scenario::Work | Scenario::Latency => Ok(Vec::new()),
        Scenario::Backlog => backlog::run(bed, sizes).await,
        Scenario::Snapshot => snapshot::run(bed, sizes).await,
        Scenario::Noisy => noisy::run(bed, sizes).await,
        Scenario::Herd => herd::run(bed, database, sizes).await,
        Scenario::Dependencies => dependencies::run(bed, sizes).await,
        Scenario::Many => many::run(bed, database, sizes).await,
        Scenario::Races => races::run(bed, sizes).await,
    }
}

/// Fills a queue as a program would: a thousand in a call, several calls at once.
async fn fill(bed: &Bed, owner: &OpContext, kind: &'static str, count: usize) -> Result<()> {
    let permits = Arc::new(Semaphore::new(FILLERS));
    let mut tasks = JoinSet::new();
    let mut left = count;
    while left > 0 {
        let batch = left.min(FILL_BATCH);
        left -= batch;
        let permit = permits.clone().acquire_owned().await?;
        let (engine, owner) = (bed.engine.clone(), owner.clone());
        tasks.spawn(async move {
            let drafts = (0..batch).map(|_| bench::draft(kind)).collect();
            engine.request_create_many(&owner, drafts).await?;
            drop(permit);
            anyhow::Ok(())
        });
        while let Some(done) = tasks.try_join_next() {
            done??;
        }
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// Works so many that wait, and says how long that took.
async fn work(bed: &Bed, kind: &'static str, count: usize) -> Result<Duration> {
    let begun = Instant::now();
    let permits = Arc::new(Semaphore::new(CONCURRENCY));
    let mut tasks = JoinSet::new();
    let mut left = count;
    while left > 0 {
        let claims = bed.claim(kind, CLAIM.min(left), Duration::ZERO).await?;
        ensure!(!claims.is_empty(), "the queue is empty, but {left} requests were not claimed");
        left -= claims.len();
        for claim in claims {
            let permit = permits.clone().acquire_owned().await?;
            let engine = bed.engine.clone();
            tasks.spawn(async move {
                carry_out(&engine, &claim).await?;
                drop(permit);
                anyhow::Ok(())
            });
        }
        while let Some(done) = tasks.try_join_next() {
            done??;
        }
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(begun.elapsed())
}

/// The CPU of PostgreSQL for 10,000, which neighbours' load changes less than a rate; nothing if it runs elsewhere.
fn cpu(what: &str, scenario: &'static str, with: (&Cost, usize), without: (&Cost, usize)) -> Option<Finding> {
    let for_10k = |(cost, count): (&Cost, usize)| Some(cost.cluster_cpu? / cost::float(count) * CPU_UNIT);
    let (with, without) = for_10k(with).zip(for_10k(without))?;
    Some(Finding::new(scenario, format!("PostgreSQL's CPU for 10,000, {what}"), with, "s").beside(without))
}

/// So many in that time, in a second.
fn rate(count: usize, took: Duration) -> f64 {
    cost::float(count) / took.as_secs_f64()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The sample that this share of a hundred does not exceed.
fn percentile(samples: &mut [Duration], share: usize) -> Duration {
    samples.sort_unstable();
    let rank = (samples.len() * share).div_ceil(100).max(1);
    samples.get(rank - 1).copied().unwrap_or_default()
}

/// Waits until a count of the database's is zero, and says when that was.
async fn until_none(bed: &mut Bed, what: &'static str, sql: &'static str) -> Result<Instant> {
    let begun = Instant::now();
    loop {
        let left: i64 = sqlx::query_scalar(sql).fetch_one(&mut bed.beside).await?;
        if left == 0 {
            return Ok(Instant::now());
        }
        ensure!(begun.elapsed() < PATIENCE, "{left} {what} are left after {} s", PATIENCE.as_secs());
        tokio::time::sleep(LOOK).await;
    }
}
