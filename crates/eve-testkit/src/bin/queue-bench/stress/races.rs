//! Cancelling what ends at the same moment: whoever comes first decides, and nobody is told otherwise.
//!
//! Every second agent succeeded, which counts even if somebody called it off meanwhile. The others failed: then a cancel
//! that was accepted makes the request cancelled, and one that came too late leaves it failed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use eve_core::FailureClass;
use eve_core::Outcome;
use eve_core::StateName;
use eve_engine::Claim;
use eve_engine::Engine;
use eve_engine::ErrorKind;
use eve_engine::FencedAttempt;
use eve_engine::OpContext;
use eve_engine::PlacesScope;
use eve_testkit::bench;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::CLAIM;
use super::CONCURRENCY;
use super::Finding;
use super::Sizes;
use super::fill;
use crate::bed;
use crate::bed::Bed;
use crate::cost;

const NAME: &str = "races";
const KIND: &str = "bench-races";
/// Contradictions that are told of in full before the rest is only counted.
const TOLD: usize = 3;

/// The start that a cancel has in every second race.
const HEAD_START: Duration = Duration::from_millis(2);

/// How one race ended.
enum End {
    Of(StateName),
    Contradiction(String),
}

pub(super) async fn run(bed: &mut Bed, sizes: &Sizes) -> Result<Vec<Finding>> {
    fill(bed, &bed.owner, KIND, sizes.races).await?;
    let permits = Arc::new(Semaphore::new(CONCURRENCY));
    let mut tasks = JoinSet::new();
    let mut left = sizes.races;
    let mut ends = Vec::with_capacity(sizes.races);
    while left > 0 {
        let claims = bed.claim(KIND, CLAIM.min(left), Duration::ZERO).await?;
        ensure!(!claims.is_empty(), "the queue is empty, but {left} requests were not claimed");
        for claim in claims {
            left -= 1;
            let permit = permits.clone().acquire_owned().await?;
            let (engine, owner) = (bed.engine.clone(), bed.owner.clone());
            let (succeeds, cancel_first) = (left.is_multiple_of(2), left.is_multiple_of(4) || left % 4 == 3);
            tasks.spawn(async move {
                let end = race(&engine, &owner, &claim, succeeds, cancel_first).await;
                drop(permit);
                end
            });
        }
        while let Some(done) = tasks.try_join_next() {
            ends.push(done??);
        }
    }
    while let Some(done) = tasks.join_next().await {
        ends.push(done??);
    }
    let mut odd: Vec<&str> = Vec::new();
    let mut states = [(StateName::Completed, 0), (StateName::Failed, 0), (StateName::Cancelled, 0)];
    for end in &ends {
        match end {
            End::Of(state) => states.iter_mut().filter(|(name, _)| name == state).for_each(|(_, count)| *count += 1),
            End::Contradiction(text) => odd.push(text),
        }
    }
    let contradictions = odd.len() + rows_too_many(bed, sizes.races).await? + misplaced(bed).await?;
    let told = odd.iter().take(TOLD).map(|text| format!("; {text}")).collect::<String>();
    let mut findings = vec![
        Finding::new(NAME, format!("contradictions in {} races{told}", sizes.races), cost::float(contradictions), "")
            .target("none", contradictions == 0),
    ];
    findings.extend(
        states.into_iter().map(|(state, count)| Finding::new(NAME, format!("ended {state}"), cost::float(count), "")),
    );
    Ok(findings)
}

/// Cancels and ends at once; now and then the cancel has a start, so that both orders happen.
async fn race(engine: &Engine, owner: &OpContext, claim: &Claim, succeeds: bool, cancel_first: bool) -> Result<End> {
    let mut report = bench::success();
    if !succeeds {
        let (class, message) = (FailureClass::AgentFailed, "on purpose".to_owned());
        report.outcome = Outcome::Failed { class, message, retry_at: None };
    }
    let cancel = engine.request_cancel(owner, claim.request_id);
    let settle = async {
        if cancel_first {
            tokio::time::sleep(HEAD_START).await;
        }
        let reports = vec![(FencedAttempt::from(claim), report)];
        engine.attempt_settle(&bed::context(), reports).await?.pop().context("no answer")?.map_err(anyhow::Error::from)
    };
    let (cancelled, settled) = tokio::join!(cancel, settle);
    let settled = settled?;
    let row = engine.request_get(owner, claim.request_id).await?;
    let result = engine.result_get(owner, claim.request_id).await;
    let odd = |text: &str| Ok(End::Contradiction(format!("{}: {text}", claim.request_id)));
    if row.state != settled {
        return odd(&format!("the worker was told {settled}, and it is {}", row.state));
    }
    if result.is_err() {
        return odd("finished without a result");
    }
    let expected = match cancelled {
        Err(error) if error.kind != ErrorKind::Conflict => return Err(error.into()),
        _ if succeeds => StateName::Completed,
        Ok(_) => StateName::Cancelled,
        Err(_) => StateName::Failed,
    };
    if row.state == expected {
        return Ok(End::Of(row.state));
    }
    odd(&format!("it should be {expected}, and is {}", row.state))
}

/// Each has exactly one result, one attempt and one event of its end.
async fn rows_too_many(bed: &mut Bed, races: usize) -> Result<usize> {
    let counts: (i64, i64, i64) = sqlx::query_as(
        "WITH ours AS (SELECT r.id FROM eve.requests r JOIN eve.lanes l ON l.id = r.lane_id WHERE l.worker_type = $1)
         SELECT (SELECT count(*) FROM eve.results z JOIN ours ON ours.id = z.request_id),
                (SELECT count(*) FROM eve.attempt_view a JOIN ours ON ours.id = a.request_id),
                (SELECT count(*) FROM eve.event_view e JOIN ours ON ours.id = e.request_id
                 WHERE e.kind IN ('request:completed', 'request:cancelled', 'request:failed'))",
    )
    .bind(KIND)
    .fetch_one(&mut bed.beside)
    .await?;
    let expected = i64::try_from(races).unwrap_or(i64::MAX);
    let rounds = (counts.0 / expected).max(1);
    let wrong = [counts.0, counts.1, counts.2].iter().map(|count| count.abs_diff(expected * rounds)).sum::<u64>();
    Ok(usize::try_from(wrong).unwrap_or(usize::MAX))
}

async fn misplaced(bed: &Bed) -> Result<usize> {
    let mut next = None;
    let mut found = 0;
    loop {
        let page = bed.engine.places_check(&bed.owner, PlacesScope::Deep(next)).await?;
        found += page.found;
        next = page.next;
        if next.is_none() {
            return Ok(found);
        }
    }
}
