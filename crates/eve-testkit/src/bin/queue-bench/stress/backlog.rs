//! A million that wait: working the oldest of them, listing them and counting them.

use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use eve_core::StateName;
use eve_engine::RequestFilter;

use super::Finding;
use super::Sizes;
use super::cpu;
use super::fill;
use super::millis;
use super::percentile;
use super::rate;
use super::work;
use crate::bed::Bed;
use crate::cost::Cost;
use crate::cost::Meter;

const NAME: &str = "backlog";
const KIND: &str = "bench-backlog";
/// Calls of each kind whose 95th percentile is told.
const CALLS: usize = 60;
/// Requests on a page, as `eve request list` asks for.
const PAGE: i64 = 50;
/// The share of the rate without a backlog that is aimed at.
const SHARE: f64 = 0.9;

/// How long the calls that people make take, at the 95th percentile.
struct Looks {
    newest: Duration,
    pending: Duration,
    running: Duration,
    status: Duration,
}

pub(super) async fn run(bed: &mut Bed, sizes: &Sizes) -> Result<Vec<Finding>> {
    // Once for the plans and caches, once for the figure.
    fill(bed, &bed.owner, KIND, sizes.backlog_work).await?;
    work(bed, KIND, sizes.backlog_work).await?;
    fill(bed, &bed.owner, KIND, sizes.backlog_work).await?;
    bed.tidy().await?;
    let (small, small_cost) = measured(bed, sizes.backlog_work).await?;
    let few = looks(bed).await?;
    let begun = Instant::now();
    fill(bed, &bed.owner, KIND, sizes.backlog + sizes.backlog_work).await?;
    let filled = rate(sizes.backlog + sizes.backlog_work, begun.elapsed());
    bed.tidy().await?;
    let (large, large_cost) = measured(bed, sizes.backlog_work).await?;
    let many = looks(bed).await?;
    let (small, large) = (rate(sizes.backlog_work, small), rate(sizes.backlog_work, large));
    let look = |what: &str, many: Duration, few: Duration| {
        Finding::new(NAME, format!("{what}, p95"), millis(many), "ms").beside(millis(few))
    };
    let count = sizes.backlog_work;
    let cpu = cpu("while they wait", NAME, (&large_cost, count), (&small_cost, count));
    let mut findings = vec![
        Finding::new(NAME, format!("working {} while {} wait", sizes.backlog_work, sizes.backlog), large, "/s")
            .beside(small)
            .target("≥ 0.9 of the rate without", large >= SHARE * small),
        Finding::new(NAME, "filling, 1000 in a call", filled, "/s"),
        look("list, newest", many.newest, few.newest),
        look("list, pending", many.pending, few.pending),
        look("list, running or failed", many.running, few.running),
        look("status", many.status, few.status),
    ];
    findings.extend(cpu);
    Ok(findings)
}

/// Works so many, and says what that took.
async fn measured(bed: &mut Bed, count: usize) -> Result<(Duration, Cost)> {
    let meter = Meter::start(bed.cluster, &mut bed.beside).await?;
    let took = work(bed, KIND, count).await?;
    Ok((took, meter.stop(&mut bed.beside).await?))
}

async fn looks(bed: &Bed) -> Result<Looks> {
    let of = |states: &[StateName]| RequestFilter { states: states.to_vec(), ..RequestFilter::default() };
    let mut status = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let before = Instant::now();
        bed.engine.status_get(&bed.owner).await?;
        status.push(before.elapsed());
    }
    Ok(Looks {
        newest: list(bed, &of(&[])).await?,
        pending: list(bed, &of(&[StateName::Pending])).await?,
        running: list(bed, &of(&[StateName::Claimed, StateName::Processing, StateName::Failed])).await?,
        status: percentile(&mut status, 95),
    })
}

async fn list(bed: &Bed, filter: &RequestFilter) -> Result<Duration> {
    let mut samples = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let before = Instant::now();
        bed.engine.request_list(&bed.owner, filter, None, PAGE).await?;
        samples.push(before.elapsed());
    }
    Ok(percentile(&mut samples, 95))
}
