//! What the benchmarks share: an empty database made ready, the smallest things to ask for, and what a process costs.

use std::fs;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use eve_core::AttemptReport;
use eve_core::Delivery;
use eve_core::Outcome;
use eve_core::Usage;
use eve_engine::RequestDraft;
use eve_engine::WorkerType;
use eve_store::PgConnectOptions;
use sqlx::ConnectOptions;

/// Limits of a request that does nothing.
const TIMEOUT_SECONDS: i32 = 60;
/// Clock ticks in a second in `/proc`: `USER_HZ`, part of the kernel's interface and 100 wherever Eve runs.
const TICKS: f64 = 100.0;
const KIB_PER_MIB: f64 = 1024.0;

/// Brings roles and schema into a database. Only into an empty one: a worker would claim what waits there.
///
/// # Errors
/// When there is a schema already, the log-in may not make roles, or the database does not answer.
pub async fn migrate(options: &PgConnectOptions) -> Result<()> {
    let mut connection = options.connect().await.context("cannot reach the database")?;
    let taken: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'eve')")
        .fetch_one(&mut connection)
        .await?;
    ensure!(!taken, "the database has Eve's schema already; give an empty one, made for this measurement");
    eve_store::ensure_roles(options, options).await?;
    eve_store::migrate(options).await?;
    Ok(())
}

/// A worker type whose requests run once.
///
/// # Errors
/// When the name is malformed.
pub fn worker_type(name: &str) -> Result<WorkerType> {
    Ok(WorkerType {
        name: name.parse()?,
        title: name.to_owned(),
        description: String::new(),
        capabilities: Vec::new(),
        instructions: "Do nothing.".to_owned(),
        harness: None,
        model: None,
        image: None,
        timeout_seconds: TIMEOUT_SECONDS,
        idle_timeout_seconds: TIMEOUT_SECONDS,
        max_attempts: 1,
        config: serde_json::json!({}),
    })
}

/// A request as small as one can be.
pub fn draft(kind: &str) -> RequestDraft {
    RequestDraft { worker_type: Some(kind.to_owned()), prompt: "Do nothing.".to_owned(), ..RequestDraft::default() }
}

/// What a worker writes about an agent that had nothing to do.
pub fn success() -> AttemptReport {
    AttemptReport {
        outcome: Outcome::Succeeded { output: serde_json::json!({"text": "done"}), summary: "done".to_owned() },
        usage: Usage { input_tokens: 1000, output_tokens: 50, ..Usage::default() },
        delivery: Delivery::default(),
        duration_ms: 1,
        session_id: None,
        exit_code: Some(0),
        dropped_bytes: 0,
    }
}

/// CPU of one process, in ticks.
#[derive(Debug, Clone, Copy)]
pub struct Ticks {
    /// The process that made it.
    pub parent: u32,
    /// Its own.
    pub own: u64,
    /// That of its children that have ended.
    pub children: u64,
}

/// What `/proc` says about a process, or about this one if it is `self`.
pub fn ticks(pid: &str) -> Option<Ticks> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; what follows it does not.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Ticks {
        parent: fields.get(1)?.parse().ok()?,
        own: number(11)? + number(12)?,
        children: number(13)? + number(14)?,
    })
}

/// Ticks in seconds.
pub fn seconds(ticks: u64) -> f64 {
    as_float(ticks) / TICKS
}

/// A count to calculate with.
#[expect(clippy::cast_precision_loss, reason = "ticks, bytes and counts are far below 2^52")]
pub fn as_float(number: u64) -> f64 {
    number as f64
}

/// CPU of this process so far.
///
/// # Errors
/// When there is no `/proc`.
pub fn own_cpu_seconds() -> Result<f64> {
    Ok(seconds(ticks("self").context("/proc/self/stat")?.own))
}

/// The most memory that this process has had.
///
/// # Errors
/// When there is no `/proc`.
pub fn peak_rss_mib() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in /proc/self/status")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().context("VmHWM is no number")?;
    Ok(as_float(kib) / KIB_PER_MIB)
}
