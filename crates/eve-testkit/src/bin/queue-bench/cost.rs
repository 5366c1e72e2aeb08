//! What something cost: time, CPU of the database and of this process, log written, memory.

use std::fs;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use eve_testkit::bench::as_float;
use eve_testkit::bench::own_cpu_seconds;
use eve_testkit::bench::seconds;
use eve_testkit::bench::ticks;
use sqlx::PgConnection;

/// Readings of a cluster's CPU at one moment. A child that ends between two files is missed by one reading, and no
/// reading can be too high, so the highest is right.
const READINGS: usize = 4;
/// Between two readings.
const READING_REST: Duration = Duration::from_millis(20);
const KIB_PER_MIB: f64 = 1024.0;

/// The processes of a PostgreSQL server on this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cluster {
    postmaster: u32,
}

/// A count to calculate with.
pub(crate) fn float(count: usize) -> f64 {
    as_float(u64::try_from(count).unwrap_or(u64::MAX))
}

impl Cluster {
    /// The server behind a connection, if it runs here.
    pub(crate) async fn find(connection: &mut PgConnection) -> Result<Option<Self>> {
        let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(connection).await?;
        let title = fs::read(format!("/proc/{backend}/cmdline")).unwrap_or_default();
        // Another machine's number may be somebody else's here.
        if !title.starts_with(b"postgres: ") {
            return Ok(None);
        }
        Ok(ticks(&backend.to_string()).map(|of| Self { postmaster: of.parent }))
    }

    /// CPU of all its processes, living and dead, since it started.
    async fn cpu_seconds(self) -> Result<f64> {
        let mut highest = 0;
        for _ in 0..READINGS {
            highest = highest.max(self.reading()?);
            tokio::time::sleep(READING_REST).await;
        }
        Ok(seconds(highest))
    }

    fn reading(self) -> Result<u64> {
        let of = ticks(&self.postmaster.to_string()).context("the PostgreSQL server is gone")?;
        let mut total = of.own + of.children;
        for entry in fs::read_dir("/proc")?.filter_map(Result::ok) {
            let name = entry.file_name();
            let Some(pid) = name.to_str().filter(|name| name.starts_with(|first: char| first.is_ascii_digit())) else {
                continue;
            };
            // Processes come and go while the directory is read.
            if let Some(of) = ticks(pid).filter(|of| of.parent == self.postmaster) {
                total += of.own + of.children;
            }
        }
        Ok(total)
    }
}

async fn log_bytes(connection: &mut PgConnection) -> Result<i64> {
    let bytes = sqlx::query_scalar("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::int8")
        .fetch_one(connection)
        .await?;
    Ok(bytes)
}

/// Counters before something is measured.
pub(crate) struct Meter {
    cluster: Option<(Cluster, f64)>,
    own: f64,
    log: i64,
    start: Instant,
}

/// What it cost.
#[derive(Debug)]
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    pub(crate) cluster_cpu: Option<f64>,
    pub(crate) own_cpu: f64,
    pub(crate) log_kib: f64,
}

impl Meter {
    /// Reads the counters; the clock starts last.
    pub(crate) async fn start(cluster: Option<Cluster>, connection: &mut PgConnection) -> Result<Self> {
        let log = log_bytes(connection).await?;
        let cluster = match cluster {
            Some(cluster) => Some((cluster, cluster.cpu_seconds().await?)),
            None => None,
        };
        Ok(Self { cluster, own: own_cpu_seconds()?, log, start: Instant::now() })
    }

    /// Reads them again; the clock stops first.
    pub(crate) async fn stop(self, connection: &mut PgConnection) -> Result<Cost> {
        let seconds = self.start.elapsed().as_secs_f64();
        let own_cpu = own_cpu_seconds()? - self.own;
        let cluster_cpu = match self.cluster {
            Some((cluster, before)) => Some(cluster.cpu_seconds().await? - before),
            None => None,
        };
        let bytes = u64::try_from(log_bytes(connection).await? - self.log).unwrap_or(0);
        Ok(Cost { seconds, cluster_cpu, own_cpu, log_kib: as_float(bytes) / KIB_PER_MIB })
    }
}

/// The load of the last minute.
pub(crate) fn load_average() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg").context("/proc/loadavg")?;
    text.split(' ').next().and_then(|first| first.parse().ok()).context("/proc/loadavg has no number")
}
