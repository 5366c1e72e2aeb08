//! A worker dies or freezes in the middle, and another one finishes its requests, once.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use nix::sys::signal::Signal;
use serde_json::Value;
use serde_json::json;

use crate::processes;
use crate::wait::SOON;
use crate::wait::figure;
use crate::wait::until;
use crate::world::SHORT_LEASE_SECONDS;
use crate::world::Settings;
use crate::world::World;

/// Requests of each of the two workers.
const EACH: u32 = 10;
/// Longest time that the processes of a killed worker may live on. Far shorter than its lease.
const KILLED_WITHIN: Duration = Duration::from_secs(2);
/// Longest time until all requests of a lost worker run again.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(20);

/// Asks for gated scripts and waits until all of them run.
async fn ask_and_run(world: &World, count: u32, gate: &str) -> anyhow::Result<Vec<String>> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(world.ask_script(&world.gated(gate)).await?);
    }
    for id in &ids {
        world.running(id, 1).await?;
    }
    Ok(ids)
}

/// The attempts of these requests that this worker runs.
async fn attempts_of(world: &World, worker: &Value, ids: &[String]) -> anyhow::Result<Vec<String>> {
    let mut attempts = Vec::new();
    for id in ids {
        let request = world.request(id).await?;
        let list = request["attempt_list"].as_array().cloned().unwrap_or_default();
        let of_worker = list.iter().filter(|attempt| attempt["worker_id"] == worker["id"]);
        attempts.extend(of_worker.filter_map(|attempt| attempt["id"].as_str().map(str::to_owned)));
    }
    Ok(attempts)
}

/// Whether the second attempt of a request runs.
fn is_taken_over(request: &Value) -> bool {
    request["status"] == "processing" && request["attempts"] == 2
}

#[tokio::test]
async fn a_killed_workers_requests_are_finished_by_another() -> anyhow::Result<()> {
    let mut world = World::split(Settings { lease_seconds: SHORT_LEASE_SECONDS, ..Settings::default() }).await?;
    // The second worker has room for all of them, but comes when the first one is full.
    let doomed = world.start_worker(EACH).await?;
    let of_doomed = ask_and_run(&world, EACH, "gate").await?;
    let survivor = world.start_worker(2 * EACH).await?;
    let of_survivor = ask_and_run(&world, EACH, "gate").await?;
    let all = [of_doomed.clone(), of_survivor.clone()].concat();
    let worker = world.worker(doomed).await?.unwrap_or_default();
    let attempts = attempts_of(&world, &worker, &all).await?;
    assert_eq!(attempts.len(), of_doomed.len(), "the first worker runs the first requests");
    let markers: Vec<String> = attempts.iter().map(|id| processes::of_attempt(id)).collect();
    assert!(markers.iter().all(|marker| processes::with(marker).len() >= 2), "a keeper and a script each");

    world.kill(doomed)?;
    let killed_at = Instant::now();
    let died_after = processes::gone(&markers, KILLED_WITHIN).await?;
    let mut latest = Duration::ZERO;
    for id in &of_doomed {
        world.request_until(id, TAKEN_OVER_WITHIN, is_taken_over).await?;
        world.running(id, 2).await?;
        latest = killed_at.elapsed();
    }
    figure(&format!(
        "kill -9 of a worker with {EACH} of {} running requests: its processes were gone after {:.3} s, all of its \
         requests ran again after {:.2} s (lease {SHORT_LEASE_SECONDS} s)",
        all.len(),
        died_after.as_secs_f64(),
        latest.as_secs_f64()
    ));
    assert!(latest < TAKEN_OVER_WITHIN);

    world.open("gate")?;
    for id in &all {
        world.finished(id, SOON).await?;
    }
    world.assert_completed_once(&all).await?;
    for id in &of_doomed {
        let request = world.request(id).await?;
        let states = [&request["attempt_list"][0]["state"], &request["attempt_list"][1]["state"]];
        assert_eq!(states, ["expired", "settled"], "{request:#}");
        assert_eq!(request["attempts_counted"], 0, "a lost worker is not the request's fault: {request:#}");
    }
    for id in &of_survivor {
        assert_eq!(world.request(id).await?["attempts"], 1, "what the other worker ran was left alone");
    }
    let markers: Vec<String> = all.iter().map(|id| processes::of_request(id)).collect();
    processes::gone(&markers, SOON).await?;
    assert!(world.worker(survivor).await?.is_some_and(|worker| worker["state"] == "active"));
    world.passed();
    Ok(())
}

#[tokio::test]
async fn a_frozen_workers_late_writes_change_nothing() -> anyhow::Result<()> {
    let mut world = World::split(Settings { lease_seconds: SHORT_LEASE_SECONDS, ..Settings::default() }).await?;
    let frozen = world.start_worker(3).await?;
    let ids = ask_and_run(&world, 3, "gate").await?;
    let survivor = world.start_worker(6).await?;
    let worker = world.worker(frozen).await?.unwrap_or_default();
    let attempts = attempts_of(&world, &worker, &ids).await?;
    assert_eq!(attempts.len(), ids.len());
    let markers: Vec<String> = attempts.iter().map(|id| processes::of_attempt(id)).collect();
    assert!(markers.iter().all(|marker| !processes::with(marker).is_empty()));

    // Nobody tells the keepers anything any more, so they end what they keep, before anybody else may begin.
    processes::signal(frozen, Signal::SIGSTOP);
    let frozen_at = Instant::now();
    let mut died_after = None;
    until("the other worker has all of them", TAKEN_OVER_WITHIN, async || {
        let mut taken = 0;
        for id in &ids {
            taken += usize::from(world.request(id).await?["attempts"] == 2);
        }
        let alive = markers.iter().any(|marker| !processes::with(marker).is_empty());
        assert!(!(alive && taken > 0), "a request was given away while its first attempt still ran");
        if !alive && died_after.is_none() {
            died_after = Some(frozen_at.elapsed());
        }
        Ok((taken == ids.len()).then_some(()))
    })
    .await?;
    let taken_after = frozen_at.elapsed();
    for id in &ids {
        world.running(id, 2).await?;
    }
    figure(&format!(
        "SIGSTOP of a worker: its agents were dead after {:.2} s, its requests taken over after {:.2} s (lease \
         {SHORT_LEASE_SECONDS} s)",
        died_after.unwrap_or(taken_after).as_secs_f64(),
        taken_after.as_secs_f64()
    ));

    // It wakes up with the ends of three attempts to tell.
    processes::signal(frozen, Signal::SIGCONT);
    until("the worker gives its attempts up", SOON, async || {
        let log = world.log_of(frozen)?;
        let given_up = log.lines().filter(|line| line.contains("attempt over") && line.contains("lease")).count();
        Ok((given_up == ids.len()).then_some(()))
    })
    .await?;
    for id in &ids {
        let request = world.request(id).await?;
        assert!(is_taken_over(&request), "{request:#}");
    }
    // And if it insisted, it would be refused: its fence is the old one.
    for (id, attempt) in ids.iter().zip(&attempts) {
        let fenced = json!({"request_id": id, "attempt_id": attempt, "fence": 1});
        let report = json!({
            "outcome": {"kind": "succeeded", "output": {"text": "late"}, "summary": "late"},
            "usage": {}, "delivery": {}, "duration_ms": 1, "dropped_bytes": 0,
        });
        let settle = json!({"settlements": [{"request_id": id, "attempt_id": attempt, "fence": 1, "report": report}]});
        for (path, body) in [("/attempts/settle", settle), ("/attempts/release", json!({"attempts": [fenced]}))] {
            let (status, answer) = world.as_worker(path, &body).await?;
            assert_eq!((status, &answer["outcomes"]), (200, &json!([{"outcome": "stale"}])), "{path}: {answer:#}");
        }
        let entry = json!({"seq": 1000, "at": "2026-01-01T00:00:00Z", "event": {"type": "text", "text": "late"}});
        let mut log = fenced;
        log["entries"] = json!([entry]);
        let (status, problem) = world.as_worker("/attempts/log", &log).await?;
        assert_eq!((status, &problem["code"]), (409, &"stale_fence".into()), "{problem:#}");
    }

    world.open("gate")?;
    for id in &ids {
        world.finished(id, SOON).await?;
        let said = world.log(id).await?;
        assert!(!said.iter().any(|entry| entry["event"]["text"] == "late"), "{said:#?}");
    }
    world.assert_completed_once(&ids).await?;

    // The worker that was frozen is as good as new.
    world.kill(survivor)?;
    let id = world.ask_script(&world.gated("gate")).await?;
    let request = world.finished(&id, SOON).await?;
    assert_eq!(request["status"], "completed", "{request:#}");
    let worker = world.worker(frozen).await?.unwrap_or_default();
    // The poll of the worker that was just killed may still have been handed the request, and given it back at once.
    let attempts = request["attempt_list"].as_array().cloned().unwrap_or_default();
    let (last, earlier) = attempts.split_last().context("an attempt")?;
    assert_eq!(last["worker_id"], worker["id"], "{request:#}");
    assert!(earlier.iter().all(|attempt| attempt["state"] == "released"), "{request:#}");
    world.passed();
    Ok(())
}
