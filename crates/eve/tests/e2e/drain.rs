//! Stopping on purpose: Eve drains, and people cancel and replay.

use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::processes;
use crate::wait::SOON;
use crate::wait::figure;
use crate::wait::until;
use crate::world::Settings;
use crate::world::World;

/// Longest time from a person's wish to the end of the agent.
const CANCELLED_WITHIN: Duration = Duration::from_secs(3);

/// Tells a daemon to stop, waits until it has heard, and tells it once more.
async fn terminate_twice(world: &mut World, pid: u32, heard: &str) -> anyhow::Result<()> {
    processes::signal(pid, Signal::SIGTERM);
    until("the first signal is heard", SOON, async || Ok(world.log_of(pid)?.contains(heard).then_some(()))).await?;
    processes::signal(pid, Signal::SIGTERM);
    let status = world.ended(pid, SOON).await?;
    assert_eq!(status.code(), Some(0), "{}", world.log_of(pid)?);
    Ok(())
}

/// Checks that a request was given back once, at no cost, and then completed.
async fn assert_given_back_once(world: &World, id: &str) -> anyhow::Result<()> {
    world.finished(id, SOON).await?;
    world.assert_completed_once(&[id.to_owned()]).await?;
    let request = world.request(id).await?;
    assert_eq!((&request["attempts"], &request["attempts_counted"]), (&2.into(), &0.into()), "{request:#}");
    let states = [&request["attempt_list"][0]["state"], &request["attempt_list"][1]["state"]];
    assert_eq!(states, ["released", "settled"], "{request:#}");
    Ok(())
}

#[tokio::test]
async fn eve_in_a_hurry_gives_requests_back_and_finishes_them_next_time() -> anyhow::Result<()> {
    let mut world = World::up(Settings::default()).await?;
    let id = world.ask_script(&world.gated("gate")).await?;
    world.running(&id, 1).await?;

    let stopped_at = Instant::now();
    let pid = world.last_pid();
    terminate_twice(&mut world, pid, "Stopping").await?;
    figure(&format!("`eve up` with a running request stopped after {:.2} s", stopped_at.elapsed().as_secs_f64()));
    // Nothing is left when it has ended: it waits for its agents and for PostgreSQL.
    assert_eq!(processes::with(&processes::of_request(&id)), []);
    assert_eq!(processes::with(&world.data_dir().to_string_lossy()), []);
    assert!(!world.data_dir().join("server.json").exists());
    let unreachable = world.eve(&["status"]).await?;
    assert_eq!(unreachable.code, Some(3), "{unreachable:?}");

    world.start_up().await?;
    world.running(&id, 2).await?;
    world.open("gate")?;
    assert_given_back_once(&world, &id).await?;
    world.passed();
    Ok(())
}

#[tokio::test]
async fn a_worker_in_a_hurry_gives_requests_back_to_others() -> anyhow::Result<()> {
    let mut world = World::split(Settings::default()).await?;
    let first = world.start_worker(2).await?;
    let id = world.ask_script(&world.gated("gate")).await?;
    world.running(&id, 1).await?;
    let second = world.start_worker(2).await?;

    let stopped_at = Instant::now();
    terminate_twice(&mut world, first, "Draining").await?;
    world.running(&id, 2).await?;
    figure(&format!("a worker's request ran elsewhere {:.2} s after SIGTERM", stopped_at.elapsed().as_secs_f64()));
    world.open("gate")?;
    assert_given_back_once(&world, &id).await?;

    // A worker that has time lets its agent end, and takes nothing new.
    let last = world.ask_script(&world.gated("gate-2")).await?;
    world.running(&last, 1).await?;
    processes::signal(second, Signal::SIGTERM);
    until("the worker drains", SOON, async || {
        let worker = world.worker(second).await?;
        Ok(worker.filter(|worker| worker["state"] == "draining"))
    })
    .await?;
    let too_late = world.ask_script("echo not here").await?;
    world.open("gate-2")?;
    assert_eq!(world.ended(second, SOON).await?.code(), Some(0));
    world.assert_completed_once(std::slice::from_ref(&last)).await?;
    assert_eq!(world.request(&last).await?["attempts"], 1);
    assert_eq!(world.request(&too_late).await?["status"], "pending");
    world.passed();
    Ok(())
}

#[tokio::test]
async fn a_running_request_is_cancelled_and_replayed() -> anyhow::Result<()> {
    let world = World::up(Settings::default()).await?;
    let id = world.ask_script(&world.gated("gate")).await?;
    world.running(&id, 1).await?;
    let marker = [processes::of_request(&id)];
    assert!(!processes::with(&marker[0]).is_empty());

    let wished_at = Instant::now();
    let cancel = world.eve(&["request", "cancel", &id]).await?;
    assert_eq!(cancel.code, Some(0), "{cancel:?}");
    assert_eq!(cancel.json()?["stopping"], Value::Bool(true));
    processes::gone(&marker, CANCELLED_WITHIN).await?;
    let gone_after = wished_at.elapsed();
    let request = world.finished(&id, CANCELLED_WITHIN).await?;
    let cancelled_after = wished_at.elapsed();
    figure(&format!(
        "cancel: processes gone after {:.3} s, cancelled after {:.3} s",
        gone_after.as_secs_f64(),
        cancelled_after.as_secs_f64()
    ));
    assert!(cancelled_after < CANCELLED_WITHIN, "{cancelled_after:?}");
    assert_eq!(request["status"], "cancelled", "{request:#}");
    assert_eq!(world.result(&id).await?["status"], "cancelled");
    assert_eq!(world.runs(&id).1, Vec::<String>::new(), "it did not come to its end");
    let again = world.eve(&["request", "cancel", &id]).await?;
    assert_eq!(again.code, Some(6), "a finished request cannot be cancelled: {again:?}");

    let replay = world.eve(&["replay", &id]).await?;
    assert_eq!(replay.code, Some(0), "{replay:?}");
    let replay = replay.json()?;
    assert_eq!(replay["replay_of"], id.as_str(), "{replay:#}");
    let new = replay["id"].as_str().unwrap_or_default().to_owned();
    assert_ne!(new, id);
    world.running(&new, 1).await?;
    world.open("gate")?;
    world.finished(&new, SOON).await?;
    world.assert_completed_once(&[new]).await?;
    assert_eq!(world.request(&id).await?["status"], "cancelled", "the first one stays as it was");
    world.passed();
    Ok(())
}
