//! A snapshot held open: no dead row can be removed while it is, and the queue makes three of them for each request.

use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use tokio::task::JoinHandle;

use super::CLAIM;
use super::Finding;
use super::Sizes;
use super::cpu;
use super::fill;
use super::rate;
use super::work;
use crate::bed::Bed;
use crate::cost::Meter;

const NAME: &str = "snapshot";
const KIND: &str = "bench-snapshot";
/// Windows into which the time is cut, to see whether the rate falls.
const WINDOWS: u32 = 10;
/// Longest time for which the same is measured without the snapshot.
const BESIDE: Duration = Duration::from_secs(60);
/// What waits at any time: filled again whenever less does.
const AHEAD: usize = 10_000;
/// Requests worked between two looks at the clock.
const STRETCH: usize = CLAIM * 20;
/// The share of the rate without the snapshot that is aimed at.
const SHARE: f64 = 0.75;

/// Requests that were worked in a stretch of time, and how many still wait.
struct Run {
    /// In a second, window by window.
    rates: Vec<f64>,
    whole: f64,
    /// All that were worked, those too that were only cleared away in the end.
    count: usize,
}

pub(super) async fn run(bed: &mut Bed, sizes: &Sizes) -> Result<Vec<Finding>> {
    let hold = Duration::from_secs(sizes.hold);
    fill(bed, &bed.owner, KIND, AHEAD).await?;
    work(bed, KIND, AHEAD).await?;
    bed.tidy().await?;
    let meter = Meter::start(bed.cluster, &mut bed.beside).await?;
    let without = keep_working(bed, hold.min(BESIDE)).await?;
    let without_cost = meter.stop(&mut bed.beside).await?;
    bed.tidy().await?;
    let held = Held::open(bed).await?;
    let meter = Meter::start(bed.cluster, &mut bed.beside).await?;
    let with = keep_working(bed, hold).await?;
    let with_cost = meter.stop(&mut bed.beside).await?;
    let (rows, dead) = dead_rows(bed).await?;
    held.close().await?;
    let last = with.rates.last().copied().unwrap_or_default();
    let windows: Vec<String> = with.rates.iter().map(|rate| format!("{rate:.0}")).collect();
    let cpu = cpu("enqueued and worked meanwhile", NAME, (&with_cost, with.count), (&without_cost, without.count));
    let mut findings = vec![
        Finding::new(NAME, format!("working while a snapshot is held for {} s", sizes.hold), with.whole, "/s")
            .beside(without.whole)
            .target("≥ 0.75 of the rate without", with.whole >= SHARE * without.whole),
        Finding::new(NAME, format!("its last tenth ({} /s)", windows.join(", ")), last, "/s").beside(without.whole),
        Finding::new(NAME, "dead rows of the hot tables in the end", dead, "rows").beside(rows),
    ];
    findings.extend(cpu);
    Ok(findings)
}

/// A transaction of another program's.
struct Held {
    connection: sqlx::PgConnection,
}

impl Held {
    async fn open(bed: &Bed) -> Result<Self> {
        let mut connection = bed.another().await?;
        sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM eve.workers")
            .execute(&mut connection)
            .await?;
        Ok(Self { connection })
    }

    async fn close(mut self) -> Result<()> {
        sqlx::raw_sql("COMMIT").execute(&mut self.connection).await?;
        Ok(())
    }
}

/// Works for that long, while somebody else keeps the queue filled.
async fn keep_working(bed: &Bed, time: Duration) -> Result<Run> {
    fill(bed, &bed.owner, KIND, AHEAD).await?;
    let (begun, window) = (Instant::now(), time / WINDOWS);
    let (mut rates, mut total, mut here, mut since) = (Vec::new(), 0, 0, begun);
    let mut feeding: Option<JoinHandle<Result<()>>> = None;
    let mut ahead = AHEAD;
    while begun.elapsed() < time {
        if ahead < AHEAD && feeding.as_ref().is_none_or(JoinHandle::is_finished) {
            if let Some(done) = feeding.take() {
                done.await??;
            }
            let (engine, owner) = (bed.engine.clone(), bed.owner.clone());
            feeding = Some(tokio::spawn(async move {
                for _ in 0..AHEAD / super::FILL_BATCH {
                    let drafts = (0..super::FILL_BATCH).map(|_| eve_testkit::bench::draft(KIND)).collect();
                    engine.request_create_many(&owner, drafts).await?;
                }
                Ok(())
            }));
            ahead += AHEAD;
        }
        // Never more than what is there for sure: what is being filled in counts once it is done.
        let sure = if feeding.as_ref().is_some_and(|feeding| !feeding.is_finished()) { ahead - AHEAD } else { ahead };
        let stretch = STRETCH.min(sure);
        if stretch == 0 {
            tokio::time::sleep(super::LOOK).await;
            continue;
        }
        work(bed, KIND, stretch).await?;
        ahead -= stretch;
        here += stretch;
        if since.elapsed() >= window {
            rates.push(rate(here, since.elapsed()));
            total += here;
            (here, since) = (0, Instant::now());
        }
    }
    let worked = total + here;
    let whole = rate(worked, begun.elapsed());
    if let Some(feeding) = feeding {
        feeding.await??;
    }
    work(bed, KIND, ahead).await?;
    Ok(Run { rates, whole, count: worked + ahead })
}

/// Live and dead rows of the tables that every request passes through.
async fn dead_rows(bed: &mut Bed) -> Result<(f64, f64)> {
    let found = sqlx::query_as(
        "SELECT coalesce(sum(n_live_tup), 0)::float8, coalesce(sum(n_dead_tup), 0)::float8 FROM pg_stat_user_tables
         WHERE schemaname = 'eve' AND relname IN ('queue', 'leases', 'parked')",
    )
    .fetch_one(&mut bed.beside)
    .await?;
    Ok(found)
}
