//! A herd: hundreds of connections that enqueue at once, over HTTP, against a server process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use eve_testkit::database::TestDatabase;
use serde_json::Value;
use serde_json::json;
use sqlx::ConnectOptions;
use tokio::task::JoinSet;

use super::Finding;
use super::Sizes;
use super::millis;
use super::percentile;
use super::processes::Installation;
use super::processes::client;
use super::rate;
use crate::bed::Bed;
use crate::cost;

const NAME: &str = "herd";
/// What is aimed at, at the 99th percentile.
const TARGET: Duration = Duration::from_secs(1);
/// What the only refusal is that a herd may see, with a header that says when to come again.
const COME_AGAIN: u16 = 503;

/// A worker type that no worker of `many` serves, on the same cluster.
const NOBODYS: &str = "code-review";

/// What one call came to.
struct Call {
    took: Duration,
    status: u16,
    /// The request's id, if it was acknowledged.
    id: Option<String>,
    /// Refused without a word about when to come again.
    silent: bool,
}

pub(super) async fn run(_bed: &mut Bed, database: Option<&TestDatabase>, sizes: &Sizes) -> Result<Vec<Finding>> {
    let database = database.context("herd needs a cluster of its own")?;
    let mut installation = Installation::start(sizes.eve.as_deref(), database).await?;
    let mut findings = Vec::new();
    for keyed in [false, true] {
        let begun = Instant::now();
        let mut calls = enqueue(&installation, sizes, keyed).await?;
        let took = begun.elapsed();
        installation.check()?;
        findings.extend(judge(database, sizes, keyed, &mut calls, took).await?);
    }
    let server = installation.server()?;
    findings.push(Finding::new(NAME, "memory of the server afterwards", server.resident_mib, "MiB"));
    findings.push(Finding::new(NAME, "its CPU in all", server.cpu_seconds, "s"));
    Ok(findings)
}

/// Every connection enqueues one after the other, until all are.
async fn enqueue(installation: &Installation, sizes: &Sizes, keyed: bool) -> Result<Vec<Call>> {
    let next = Arc::new(AtomicUsize::new(0));
    let http = client()?;
    let mut tasks = JoinSet::new();
    for _ in 0..sizes.connections {
        let (http, next, total) = (http.clone(), next.clone(), sizes.herd);
        let (url, key) = (format!("{}/api/v1/requests", installation.url), installation.key.clone());
        tasks.spawn(async move {
            let mut calls = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= total {
                    return anyhow::Ok(calls);
                }
                let mut call =
                    http.post(&url).bearer_auth(&key).json(&json!({"prompt": "Do nothing.", "worker_type": NOBODYS}));
                if keyed {
                    call = call.header("Idempotency-Key", format!("herd-{number}"));
                }
                let before = Instant::now();
                let answer = call.send().await?;
                let status = answer.status().as_u16();
                let silent = status == COME_AGAIN && !answer.headers().contains_key("retry-after");
                let body: Value = answer.json().await.unwrap_or_default();
                let took = before.elapsed();
                let id = body.get("id").and_then(Value::as_str).filter(|_| status == 201).map(str::to_owned);
                calls.push(Call { took, status, id, silent });
            }
        });
    }
    let mut calls = Vec::with_capacity(sizes.herd);
    while let Some(done) = tasks.join_next().await {
        calls.extend(done??);
    }
    Ok(calls)
}

async fn judge(
    database: &TestDatabase,
    sizes: &Sizes,
    keyed: bool,
    calls: &mut [Call],
    took: Duration,
) -> Result<Vec<Finding>> {
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for call in &*calls {
        *statuses.entry(call.status).or_default() += 1;
    }
    let faults = calls.iter().filter(|call| call.silent || call.status >= 500 && call.status != COME_AGAIN).count();
    let ids: Vec<uuid::Uuid> = calls
        .iter()
        .filter_map(|call| call.id.as_deref())
        .map(|id| id.parse::<eve_core::RequestId>().map(eve_core::RequestId::uuid).context("an id"))
        .collect::<Result<_>>()?;
    let mut beside = database.admin().connect().await?;
    let lost: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM unnest($1::uuid[]) i (id) WHERE NOT EXISTS (SELECT FROM eve.requests r WHERE r.id = i.id)",
    )
    .bind(&ids)
    .fetch_one(&mut beside)
    .await?;
    let mut times: Vec<Duration> = calls.iter().map(|call| call.took).collect();
    let (p50, p99) = (percentile(&mut times, 50), percentile(&mut times, 99));
    let told: Vec<String> = statuses.iter().map(|(status, count)| format!("{count} × {status}")).collect();
    let how = if keyed { "with an Idempotency-Key each" } else { "without keys" };
    let lost = usize::try_from(lost).unwrap_or(usize::MAX);
    Ok(vec![
        Finding::new(
            NAME,
            format!("{} by {} connections, {how}", sizes.herd, sizes.connections),
            rate(calls.len(), took),
            "/s",
        ),
        Finding::new(NAME, format!("acknowledged ({}) but not there, {how}", ids.len()), cost::float(lost), "")
            .target("none", lost == 0),
        Finding::new(NAME, format!("answers that are faults, of {}, {how}", told.join(", ")), cost::float(faults), "")
            .target("none", faults == 0),
        Finding::new(NAME, format!("answer, p99, {how}"), millis(p99), "ms")
            .beside(millis(p50))
            .target("≤ 1 s; beside it the median", p99 <= TARGET),
    ])
}
