//! Cancelling races completion, thousands of times.
//!
//! Agents would be too slow for so many, so the harness is the worker: it claims, starts and settles over HTTP like one,
//! stops when it is told to, and leaves the lines in the world ledger that an agent would. Gate: what a cancel was
//! answered, what came of the request, and what its events say are the same story.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use eve_core::RequestId;
use serde_json::Value;
use serde_json::json;

use super::Context;
use crate::bed::Bed;
use crate::clock;
use crate::evidence::client::Expect;
use crate::evidence::client::Work;
use crate::outcome::Outcome;
use crate::world::Settings;

/// Workers that the harness plays, and how much each holds at once.
const WORKERS: usize = 4;
const SLOTS: usize = 16;
/// Races at once.
const RACERS: usize = 24;
/// Longest time that a claim waits, in milliseconds.
const WAIT_MS: u64 = 1_000;
/// Between two heartbeats.
const BEAT: Duration = Duration::from_millis(400);
/// Longest time from asking to calling off, and from start to end, in milliseconds.
const SPREAD_MS: u64 = 60;

pub(super) async fn run(context: &mut Context) -> anyhow::Result<Outcome> {
    let races = context.size.pick(200, 10_000);
    let mut outcome = Outcome::default();
    let mut bed = Bed::start(Settings { servers: 2, ..Settings::default() }).await?;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut workers = Vec::new();
    for index in 0..WORKERS {
        let server = bed.world.servers.get(index % bed.world.servers.len()).map(|server| server.front.url());
        let worker = Player {
            http: reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?,
            base: format!("{}/api/v1/worker", server.unwrap_or_default()),
            key: bed.world.worker_key()?,
            name: format!("player-{index}"),
            ledger: Arc::new(File::options().create(true).append(true).open(bed.world.world_dir().join("ledger"))?),
            told_to_stop: Arc::default(),
            held: Arc::default(),
        };
        workers.push(tokio::spawn(worker.play(stop.clone(), context.random.fork())));
    }
    let left = Arc::new(std::sync::atomic::AtomicUsize::new(races));
    let mut racers = Vec::new();
    for _ in 0..RACERS {
        racers.push(tokio::spawn(race(bed.client.clone(), left.clone(), context.random.fork())));
    }
    for racer in racers {
        racer.await?;
    }
    bed.quiet().await?;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for worker in workers {
        worker.await??;
    }
    // A race that one side always wins is none: both must have won one in twenty.
    let verdict = bed.verdict(races / 20).await?;
    outcome.add(&verdict);
    outcome.fault("cancel raced against completion", u64::try_from(races)?);
    let evidence = bed.evidence().await?;
    let states: BTreeMap<RequestId, &str> =
        evidence.records.requests.iter().map(|record| (record.id, record.state.as_str())).collect();
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    let mut contradictions = 0;
    for asked in &evidence.asked {
        let state = asked.acknowledged().and_then(|id| states.get(&id).copied()).unwrap_or("nowhere");
        for cancel in &asked.cancels {
            let answer = if cancel.stopping { "stopping" } else { cancel.status.as_str() };
            *answers.entry(format!("{} {answer} → {state}", cancel.code)).or_default() += 1;
            // There was one cancel each: if that came too late, nobody cancelled.
            contradictions += usize::from(cancel.code == 409 && state != "completed");
        }
    }
    let cancelled = verdict.figures.cancelled;
    outcome.gate(format!("too late, and cancelled all the same: {contradictions}"), contradictions == 0);
    outcome.gate(
        format!("each side won one race in twenty: {} completed, {cancelled} cancelled", verdict.figures.completed),
        cancelled >= races / 20,
    );
    outcome.note(format!("answers: {answers:?}"));
    bed.end(outcome.is_good());
    Ok(outcome)
}

/// Asks, waits a moment, and calls off.
async fn race(
    client: crate::evidence::client::Client,
    left: Arc<std::sync::atomic::AtomicUsize>,
    mut random: fastrand::Rng,
) {
    use std::sync::atomic::Ordering;
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        let work = Work { keyed: random.bool(), ..Work::of(0) };
        let Some(id) = client.ask(&work.expecting(Expect::CompletedOrCancelled)).await else { continue };
        tokio::time::sleep(Duration::from_millis(random.u64(0..SPREAD_MS))).await;
        client.cancel(id).await;
    }
}

/// A worker that the harness plays.
#[derive(Clone)]
struct Player {
    http: reqwest::Client,
    base: String,
    key: String,
    name: String,
    ledger: Arc<File>,
    /// Attempts that are to stop.
    told_to_stop: Arc<Mutex<BTreeSet<String>>>,
    /// What it holds, as heartbeats name it.
    held: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl Player {
    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        let answer = self.http.post(format!("{}/{path}", self.base)).bearer_auth(&self.key).json(body).send().await?;
        let code = answer.status().as_u16();
        Ok((code, serde_json::from_str(&answer.text().await?).unwrap_or_default()))
    }

    async fn play(self, stop: Arc<std::sync::atomic::AtomicBool>, mut random: fastrand::Rng) -> anyhow::Result<()> {
        let entry = json!({
            "name": self.name, "version": "torture", "worker_types": ["*"], "slots": SLOTS,
            "harnesses": [{"name": "command", "kind": "command", "version": null, "signed_in": "yes"}],
        });
        let (code, answer) = self.post("register", &entry).await?;
        anyhow::ensure!(code == 200 || code == 201, "register answered {code} {answer}");
        let id = answer["worker_id"].clone();
        let beating = tokio::spawn(self.clone().beat(id.clone(), stop.clone()));
        let mut attempts = tokio::task::JoinSet::new();
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            while attempts.try_join_next().is_some() {}
            let free = SLOTS.saturating_sub(attempts.len());
            if free == 0 {
                attempts.join_next().await;
                continue;
            }
            let claim = json!({"worker_id": id, "worker_types": ["*"], "limit": free, "wait_ms": WAIT_MS});
            let (_, answer) = self.post("claim", &claim).await?;
            for assignment in answer["assignments"].as_array().cloned().unwrap_or_default() {
                attempts.spawn(self.clone().attempt(assignment, random.fork()));
            }
        }
        attempts.join_all().await;
        beating.await?
    }

    async fn beat(self, id: Value, stop: Arc<std::sync::atomic::AtomicBool>) -> anyhow::Result<()> {
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            let held: Vec<Value> = self.held.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
            let body = json!({"worker_id": id, "state": "active", "attempts": held});
            let (_, answer) = self.post("heartbeat?wait_ms=0", &body).await?;
            let signals = answer["signals"].as_array().cloned().unwrap_or_default();
            let told = held.iter().zip(signals).filter(|(_, signal)| signal == "stop");
            let told = told.filter_map(|(fenced, _)| fenced["attempt_id"].as_str().map(str::to_owned));
            self.told_to_stop.lock().unwrap_or_else(PoisonError::into_inner).extend(told);
            tokio::time::sleep(BEAT).await;
        }
        Ok(())
    }

    async fn attempt(self, assignment: Value, mut random: fastrand::Rng) {
        let text = |name: &str| assignment[name].as_str().unwrap_or_default().to_owned();
        let (request, attempt) = (text("request_id"), text("attempt_id"));
        let fence = &assignment["fence"];
        let fenced = json!({"request_id": request, "attempt_id": attempt, "fence": fence});
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(attempt.clone(), fenced.clone());
        let mut start = fenced.clone();
        start["harness"] = json!("command");
        let note = |what: &str, number: &str| {
            let line = format!("{what} {request} {attempt} {fence} {} 1 {}{number}\n", self.name, clock::now_ms());
            // A line that is missing is a violation that somebody will look at.
            let _ = (&*self.ledger).write_all(line.as_bytes());
        };
        if matches!(self.post("attempts/start", &start).await, Ok((200..=299, _))) {
            note("start", "");
            tokio::time::sleep(Duration::from_millis(random.u64(0..SPREAD_MS))).await;
            let stopped = self.told_to_stop.lock().unwrap_or_else(PoisonError::into_inner).contains(&attempt);
            let outcome = if stopped {
                json!({"kind": "cancelled"})
            } else {
                note("end", " 0");
                json!({"kind": "succeeded", "output": {}, "summary": "played"})
            };
            let mut settlement = fenced;
            settlement["report"] =
                json!({"outcome": outcome, "usage": {}, "delivery": {}, "duration_ms": 1, "dropped_bytes": 0});
            let settle = json!({"settlements": [settlement]});
            while self.post("attempts/settle", &settle).await.is_err() {
                tokio::time::sleep(BEAT).await;
            }
        }
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&attempt);
    }
}
