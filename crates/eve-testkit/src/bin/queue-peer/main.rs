//! Eve in the form that a comparison of queues calls: a step of it for each call, on a database of somebody's.
//!
//! ```text
//! queue-peer setup --db postgres://…             # an empty database, whose log-in may make roles
//! queue-peer enq1 --n 1000 --conc 8 --db …       # requests one at a time
//! queue-peer enqb --n 50000 --batch 1000 --db …  # in batches
//! queue-peer work --n 20000 --db …               # one worker process, until so many are settled
//! queue-peer lat --n 1000 --db …                 # from asking to an idle worker's claim
//! ```
//!
//! Nothing is shortened, as in `queue-bench`: row-level security, fences, leases, attempts, results and events are all
//! written, the services of a serving process run beside the worker, and so does its heartbeat. A request counts when
//! its settlement is durable. HTTP and agents are left out. The last line is `RESULT` and a JSON object.

mod ask;
mod bed;
mod work;

use std::io;
use std::io::Write;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;
use eve_store::PgConnectOptions;
use serde_json::Value;

/// One step of a comparison.
#[derive(Debug, Parser)]
struct Options {
    /// What to do.
    #[command(subcommand)]
    step: Step,
    /// The database.
    #[arg(long, value_name = "URL", global = true)]
    db: Option<PgConnectOptions>,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Makes the empty database ready.
    Setup,
    /// Requests created one at a time.
    Enq1 {
        /// How many.
        #[arg(long, default_value_t = 1000)]
        n: usize,
        /// Callers at once.
        #[arg(long, default_value_t = 1)]
        conc: usize,
    },
    /// Requests created in batches, one batch after the other.
    Enqb {
        /// How many.
        #[arg(long, default_value_t = 1000)]
        n: usize,
        /// Requests in one call.
        #[arg(long, default_value_t = 1000)]
        batch: usize,
    },
    /// Waiting requests carried out by one worker.
    Work {
        /// How many to settle.
        #[arg(long, default_value_t = 1000)]
        n: usize,
        #[command(flatten)]
        sizes: work::Sizes,
        /// How to end.
        #[arg(long, value_enum, default_value_t = Stop::Orderly)]
        stop: Stop,
    },
    /// How long an idle worker takes to have a new request.
    Lat {
        /// How many samples.
        #[arg(long, default_value_t = 1000)]
        n: usize,
    },
}

/// How a worker ends after its last request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stop {
    /// What it holds is given back.
    Orderly,
    /// At once.
    Kill,
}

fn main() -> Result<()> {
    let Options { step, db } = Options::parse();
    let db = db.context("--db is missing")?;
    let sizes = match &step {
        Step::Setup => [1; 3],
        Step::Enq1 { n, conc } => [*n, *conc, 1],
        Step::Enqb { n, batch } => [*n, *batch, 1],
        Step::Work { n, sizes, .. } => [*n, sizes.batch, sizes.claims],
        Step::Lat { n } => [*n, 1, 1],
    };
    ensure!(sizes.iter().all(|size| *size > 0), "no number may be 0");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(step, &db))
}

async fn run(step: Step, db: &PgConnectOptions) -> Result<()> {
    match step {
        Step::Setup => print(&bed::setup(db).await?),
        Step::Enq1 { n, conc } => print(&ask::singly(db, n, conc).await?),
        Step::Enqb { n, batch } => print(&ask::in_batches(db, n, batch).await?),
        Step::Work { n, sizes, stop } => {
            let worked = work::drain(db, n, sizes).await?;
            print(&worked.result)?;
            if stop == Stop::Orderly {
                worked.end().await?;
            }
            Ok(())
        }
        Step::Lat { n } => print(&work::latency(db, n).await?),
    }
}

fn print(result: &Value) -> Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "RESULT {result}")?;
    stdout.flush()?;
    Ok(())
}
