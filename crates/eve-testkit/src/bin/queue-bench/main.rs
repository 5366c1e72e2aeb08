//! What the queue costs: Eve's own use cases on a real PostgreSQL that keeps what it commits.
//!
//! ```text
//! cargo xtask bench queue                              # everything, on a throw-away cluster
//! cargo xtask bench queue --only work --requests 20000
//! cargo xtask bench queue --database-url postgres://…  # an empty database; it keeps what this leaves in it
//! ```
//!
//! Nothing is shortened: row-level security, fences, leases, attempts, results and events are all written, and the
//! services of a serving process run beside. Only HTTP and agents are left out. A rate alone says more about a disk
//! and its neighbours than about Eve, so durable commits of a single row are measured before and after each scenario,
//! and everything is told as a ratio to them. CPU seconds are the steadier figure on a busy machine.
//!
//! What the queue must bear (`stress.rs`) takes longer and runs only when it is named; each of those measures the same
//! work beside itself without the burden.
//!
//! ```text
//! cargo xtask bench queue --only backlog,snapshot --hold 900
//! ```
//!
//! A line for each scenario goes to standard error, the table to standard output.

mod baseline;
mod bed;
mod cost;
mod machine;
mod report;
mod scenario;
mod stress;

use std::io;
use std::io::Write;

use anyhow::Result;
use anyhow::ensure;
use clap::Parser;
use clap::ValueEnum;
use eve_testkit::bench;
use eve_testkit::database::TestDatabase;

use crate::bed::Bed;
use crate::machine::Machine;
use crate::report::Report;
use crate::report::Row;
use crate::scenario::Load;
use crate::stress::Finding;
use crate::stress::Sizes;

/// Measures Eve's queue on a durable PostgreSQL.
#[derive(Debug, Parser)]
struct Options {
    /// An empty database on this machine, in place of a throw-away cluster. The log-in must be able to make roles.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Only these scenarios.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Scenario::USUAL)]
    only: Vec<Scenario>,
    /// How often each scenario runs; all of them in turn, so that neighbours' load spreads over them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Durable commits of the scenario `commit`.
    #[arg(long, default_value_t = 1000)]
    commits: usize,
    /// Requests that one caller enqueues.
    #[arg(long, default_value_t = 1000)]
    enqueue: usize,
    /// Requests that eight callers enqueue together.
    #[arg(long, default_value_t = 4000)]
    enqueue_together: usize,
    /// Requests that wait for the worker of `work`.
    #[arg(long, default_value_t = 5000)]
    requests: usize,
    /// Requests in one claim of `work`.
    #[arg(long, default_value_t = 50)]
    claim: usize,
    /// Requests that the worker of `work` carries out at once.
    #[arg(long, default_value_t = 32)]
    concurrency: usize,
    /// Samples of `latency`.
    #[arg(long, default_value_t = 300)]
    samples: usize,
    #[command(flatten)]
    sizes: Sizes,
    /// Prints one JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// Single-row transactions of one connection: the baseline by itself.
    Commit,
    /// Requests created one at a time, by one caller and by eight.
    Enqueue,
    /// Waiting requests claimed, started and settled by one worker.
    Work,
    /// From enqueueing to an idle worker's claim.
    Latency,
    /// Working, listing and counting while a million requests wait.
    Backlog,
    /// Working while a snapshot is held open, which keeps every dead row.
    Snapshot,
    /// An organization's single requests while another has a million queued.
    Noisy,
    /// Two hundred connections that enqueue at once, over HTTP.
    Herd,
    /// Ten thousand that wait for one, one that waits for ten thousand, and a chain of ten thousand.
    Dependencies,
    /// Five hundred agents at once, and an installation where nothing happens; over HTTP.
    Many,
    /// Cancelling what completes at the same moment.
    Races,
}

impl Scenario {
    /// What runs when nothing is named.
    const USUAL: [Self; 4] = [Self::Commit, Self::Enqueue, Self::Work, Self::Latency];

    /// Whether it is borne by processes of its own, on a cluster of its own.
    const fn has_processes(self) -> bool {
        matches!(self, Self::Herd | Self::Many)
    }
}

/// Callers of the second part of `enqueue`.
const CALLERS: usize = 8;

fn main() -> Result<()> {
    let options = Options::parse();
    let sizes = [options.commits, options.enqueue, options.enqueue_together, options.requests, options.samples];
    ensure!(sizes.iter().all(|size| *size > 0), "every scenario needs something to measure: no size may be 0");
    ensure!(options.claim > 0 && options.concurrency > 0, "--claim and --concurrency start at 1");
    options.sizes.check()?;
    // By the main thread, which lives as long as the process: the kernel ends the server with the thread that made it.
    let database = options.database_url.is_none().then(TestDatabase::start_durable);
    // A server process of its own, that shares nothing with the engine in this one.
    let apart = options.only.iter().any(|scenario| scenario.has_processes()).then(TestDatabase::start_durable);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(measure(&options, database.as_ref(), apart.as_ref()))?;
    let mut stdout = io::stdout().lock();
    if options.json {
        serde_json::to_writer_pretty(&mut stdout, &report)?;
        writeln!(stdout)?;
    } else {
        write!(stdout, "{}", report.markdown())?;
    }
    stdout.flush()?;
    Ok(())
}

async fn measure(options: &Options, database: Option<&TestDatabase>, apart: Option<&TestDatabase>) -> Result<Report> {
    let mut bed = Bed::make(options.database_url.as_deref(), database).await?;
    let mut machine = Machine::look(&mut bed).await?;
    let (mut rows, mut findings) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        for scenario in &options.only {
            found(&mut findings, round, stress::run(*scenario, &mut bed, apart, &options.sizes).await?)?;
            match scenario {
                Scenario::Commit => note(&mut rows, round, scenario::commit(&mut bed, options.commits).await?)?,
                Scenario::Enqueue => {
                    note(&mut rows, round, scenario::enqueue(&mut bed, options.enqueue, 1).await?)?;
                    note(&mut rows, round, scenario::enqueue(&mut bed, options.enqueue_together, CALLERS).await?)?;
                }
                Scenario::Work => {
                    let load =
                        Load { requests: options.requests, claim: options.claim, concurrency: options.concurrency };
                    note(&mut rows, round, scenario::work(&mut bed, load).await?)?;
                }
                Scenario::Latency => note(&mut rows, round, scenario::latency(&mut bed, options.samples).await?)?,
                // Their findings are told already.
                Scenario::Backlog
                | Scenario::Snapshot
                | Scenario::Noisy
                | Scenario::Herd
                | Scenario::Dependencies
                | Scenario::Many
                | Scenario::Races => {}
            }
        }
    }
    machine.finish()?;
    let peak_rss_mib = bench::peak_rss_mib()?;
    bed.close().await;
    Ok(Report { machine, rows, findings, peak_rss_mib })
}

/// Says at once what was measured, so that a long run can be followed, and keeps it.
fn note(rows: &mut Vec<Row>, round: u32, mut row: Row) -> io::Result<()> {
    row.round = round;
    writeln!(io::stderr().lock(), "{}", row.line())?;
    rows.push(row);
    Ok(())
}

/// The same for what a burden came to.
fn found(findings: &mut Vec<Finding>, round: u32, new: Vec<Finding>) -> io::Result<()> {
    for finding in new {
        let finding = finding.in_round(round);
        writeln!(io::stderr().lock(), "{}", finding.line())?;
        findings.push(finding);
    }
    Ok(())
}
