//! Long dependencies: ten thousand that wait for one, one that waits for ten thousand, a parent of ten thousand, and a
//! chain of ten thousand. What is measured is the time from the last completion until everything is released.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use eve_core::AttemptReport;
use eve_core::Outcome;
use eve_core::RequestId;
use eve_core::StateName;
use eve_engine::Claim;
use eve_engine::CreateOutcome;
use eve_engine::FencedAttempt;
use eve_engine::RequestDraft;
use eve_testkit::bench;
use tokio::task::JoinSet;

use super::CONCURRENCY;
use super::Finding;
use super::Sizes;
use super::fill;
use super::millis;
use super::rate;
use super::until_none;
use super::work;
use crate::bed;
use crate::bed::Bed;
use crate::cost;
use crate::scenario::carry_out;

const NAME: &str = "dependencies";
/// One worker type for what is waited for, one for what waits: neither is claimed by mistake.
const FIRST: &str = "bench-first";
const THEN: &str = "bench-then";
/// Longest wait of one claim.
const CLAIM_WAIT: Duration = Duration::from_secs(20);
/// What a parent of nobody else's may take to be woken.
const WOKEN: Duration = Duration::from_secs(1);

const BLOCKED: &str = "SELECT count(*) FROM eve.parked WHERE state = 'blocked'";
const WAITING: &str = "SELECT count(*) FROM eve.parked WHERE state = 'waiting'";
const OPEN: &str = "SELECT (SELECT count(*) FROM eve.dependencies) + (SELECT count(*) FROM eve.releases)";

pub(super) async fn run(bed: &mut Bed, sizes: &Sizes) -> Result<Vec<Finding>> {
    let mut findings = fan_out(bed, sizes.fan).await?;
    findings.extend(fan_in(bed, sizes.fan).await?);
    findings.extend(parent(bed, sizes.fan).await?);
    findings.extend(chain_worked(bed, sizes.fan).await?);
    findings.extend(chain_failed(bed, sizes.fan).await?);
    Ok(findings)
}

async fn ask(bed: &Bed, draft: RequestDraft) -> Result<RequestId> {
    let (CreateOutcome::Created(row) | CreateOutcome::Repeated(row)) =
        bed.engine.request_create(&bed.owner, draft, None).await?;
    Ok(row.id)
}

/// Asks for so many drafts by calls of their own, many at once.
async fn ask_many(bed: &Bed, count: usize, draft: impl Fn() -> RequestDraft) -> Result<Duration> {
    let begun = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..CONCURRENCY {
        let (engine, owner, next, draft) = (bed.engine.clone(), bed.owner.clone(), next.clone(), draft());
        tasks.spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < count {
                engine.request_create(&owner, draft.clone(), None).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(begun.elapsed())
}

async fn claim_one(bed: &Bed, kind: &str) -> Result<Claim> {
    let claim = bed.claim(kind, 1, CLAIM_WAIT).await?.pop();
    claim.with_context(|| format!("no request for {kind} was claimed in time"))
}

async fn end(bed: &Bed, claim: &Claim, report: AttemptReport) -> Result<()> {
    let reports = vec![(FencedAttempt::from(claim), report)];
    bed.engine.attempt_settle(&bed::context(), reports).await?.pop().context("no answer")??;
    Ok(())
}

/// How often a request became ready.
async fn woken(bed: &mut Bed, id: RequestId) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM eve.event_view WHERE request_id = $1 AND kind = 'request:ready'")
        .bind(id.uuid())
        .fetch_one(&mut bed.beside)
        .await?)
}

/// Many that wait for one.
async fn fan_out(bed: &mut Bed, count: usize) -> Result<Vec<Finding>> {
    let blocker = ask(bed, bench::draft(FIRST)).await?;
    let asked = ask_many(bed, count, || RequestDraft { blocked_by: vec![blocker], ..bench::draft(THEN) }).await?;
    bed.tidy().await?;
    let claim = claim_one(bed, FIRST).await?;
    let begun = Instant::now();
    carry_out(&bed.engine, &claim).await?;
    let answered = begun.elapsed();
    let released = until_none(bed, "blocked requests", BLOCKED).await?.duration_since(begun);
    until_none(bed, "dependencies", OPEN).await?;
    work(bed, THEN, count).await?;
    Ok(vec![
        Finding::new(NAME, format!("asking for {count} that wait for one"), rate(count, asked), "/s"),
        Finding::new(
            NAME,
            format!("{count} that wait for one, from its completion until all are free"),
            millis(released),
            "ms",
        ),
        Finding::new(NAME, "the worker's answer meanwhile", millis(answered), "ms"),
    ])
}

/// One that waits for many, named in one call.
async fn fan_in(bed: &mut Bed, count: usize) -> Result<Vec<Finding>> {
    let mut blocked_by = Vec::with_capacity(count);
    while blocked_by.len() < count {
        let batch = (count - blocked_by.len()).min(super::FILL_BATCH);
        let drafts = (0..batch).map(|_| bench::draft(FIRST)).collect();
        let rows = bed.engine.request_create_many(&bed.owner, drafts).await?;
        blocked_by.extend(rows.into_iter().map(|row| row.id));
    }
    bed.tidy().await?;
    let begun = Instant::now();
    let waits = ask(bed, RequestDraft { blocked_by, ..bench::draft(THEN) }).await?;
    let asked = begun.elapsed();
    let worked = work(bed, FIRST, count).await?;
    let last = Instant::now();
    let claim = claim_one(bed, THEN).await?;
    let released = last.elapsed();
    ensure!(claim.request_id == waits, "something else was free");
    carry_out(&bed.engine, &claim).await?;
    let times = woken(bed, waits).await?;
    fill(bed, &bed.owner, FIRST, count).await?;
    let alone = work(bed, FIRST, count).await?;
    Ok(vec![
        Finding::new(NAME, format!("asking for one that waits for {count}"), millis(asked), "ms"),
        Finding::new(NAME, format!("working the {count} that one waits for"), rate(count, worked), "/s")
            .beside(rate(count, alone)),
        Finding::new(NAME, "from the last completion until the one was claimed", millis(released), "ms")
            .target("≤ 1 s", released <= WOKEN),
        Finding::new(NAME, "how often it became ready", cost::float(usize::try_from(times).unwrap_or(0)), "×")
            .target("once", times == 1),
    ])
}

/// A parent that waits for its children.
async fn parent(bed: &mut Bed, count: usize) -> Result<Vec<Finding>> {
    let parent = ask(bed, bench::draft(THEN)).await?;
    let lead = claim_one(bed, THEN).await?;
    let asked = ask_many(bed, count, || RequestDraft { parent_id: Some(parent), ..bench::draft(FIRST) }).await?;
    let begun = Instant::now();
    end(bed, &lead, AttemptReport { outcome: Outcome::AwaitsChildren, ..bench::success() }).await?;
    let parked = begun.elapsed();
    bed.tidy().await?;
    let worked = work(bed, FIRST, count).await?;
    let last = Instant::now();
    let claim = claim_one(bed, THEN).await?;
    let released = last.elapsed();
    ensure!(claim.request_id == parent, "something else was free");
    carry_out(&bed.engine, &claim).await?;
    until_none(bed, "waiting parents", WAITING).await?;
    let times = woken(bed, parent).await?;
    Ok(vec![
        Finding::new(NAME, format!("asking for {count} children of one parent"), rate(count, asked), "/s"),
        Finding::new(NAME, "the parent begins to wait for them", millis(parked), "ms"),
        Finding::new(NAME, format!("working {count} children of a parent that waits"), rate(count, worked), "/s"),
        Finding::new(NAME, "from the last child's completion until the parent was claimed", millis(released), "ms")
            .target("≤ 1 s", released <= WOKEN),
        Finding::new(NAME, "how often the parent was woken", cost::float(usize::try_from(times).unwrap_or(0)), "×")
            .target("once", times == 1),
    ])
}

/// A chain, each of which waits for the one before. The first is claimed already when the others are asked for.
async fn chain(bed: &Bed, count: usize) -> Result<(Claim, RequestId)> {
    let mut last = ask(bed, bench::draft(FIRST)).await?;
    let first = claim_one(bed, FIRST).await?;
    for _ in 1..count {
        last = ask(bed, RequestDraft { blocked_by: vec![last], ..bench::draft(FIRST) }).await?;
    }
    Ok((first, last))
}

/// A chain that is worked from its beginning to its end: nothing can be done at once.
async fn chain_worked(bed: &mut Bed, count: usize) -> Result<Vec<Finding>> {
    let (mut claim, _) = chain(bed, count).await?;
    bed.tidy().await?;
    let begun = Instant::now();
    for _ in 1..count {
        carry_out(&bed.engine, &claim).await?;
        claim = claim_one(bed, FIRST).await?;
    }
    carry_out(&bed.engine, &claim).await?;
    let chained = begun.elapsed();
    until_none(bed, "blocked requests", BLOCKED).await?;
    // The same one by one, where nothing waits for anything.
    let alone = (count / 10).max(1);
    fill(bed, &bed.owner, FIRST, alone).await?;
    let begun = Instant::now();
    for _ in 0..alone {
        let claim = claim_one(bed, FIRST).await?;
        carry_out(&bed.engine, &claim).await?;
    }
    let alone = millis(begun.elapsed()) / cost::float(alone);
    Ok(vec![
        Finding::new(
            NAME,
            format!("a link of a chain of {count}, beside one that nothing waits for"),
            millis(chained) / cost::float(count),
            "ms",
        )
        .beside(alone),
    ])
}

/// A chain whose first fails: all of it fails.
async fn chain_failed(bed: &mut Bed, count: usize) -> Result<Vec<Finding>> {
    let (claim, last) = chain(bed, count).await?;
    bed.tidy().await?;
    let begun = Instant::now();
    let failed = Outcome::Failed {
        class: eve_core::FailureClass::AgentFailed,
        message: "on purpose".to_owned(),
        retry_at: None,
    };
    end(bed, &claim, AttemptReport { outcome: failed, ..bench::success() }).await?;
    let done = until_none(bed, "blocked requests", BLOCKED).await?.duration_since(begun);
    let state = bed.engine.request_get(&bed.owner, last).await?.state;
    ensure!(state == StateName::Failed, "the last of a failed chain is {state}");
    Ok(vec![Finding::new(NAME, format!("a chain of {count} fails, from its first to its last"), millis(done), "ms")])
}
