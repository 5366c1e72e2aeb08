//! Eve herself is killed and started again on the same data directory; and a second one is refused.

use std::time::Duration;
use std::time::Instant;

use crate::processes;
use crate::wait::SOON;
use crate::wait::figure;
use crate::world::SHORT_LEASE_SECONDS;
use crate::world::Settings;
use crate::world::World;

/// Longest time that anything may outlive a killed Eve. PostgreSQL ends in order.
const GONE_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn killing_eve_loses_nothing_and_needs_no_repair() -> anyhow::Result<()> {
    let settings = Settings { slots: 5, lease_seconds: SHORT_LEASE_SECONDS, ..Settings::default() };
    let mut world = World::up(settings).await?;
    let first_life = world.last_pid();
    let done = world.ask_script("echo done before").await?;
    world.finished(&done, SOON).await?;
    let mut running = Vec::new();
    for _ in 0..5 {
        running.push(world.ask_script(&world.gated("gate")).await?);
    }
    for id in &running {
        world.running(id, 1).await?;
    }
    // One more than there are slots; in the next life it must not keep the others from theirs.
    world.open("open-gate")?;
    let queued = world.ask_script(&world.gated("open-gate")).await?;
    assert_eq!(world.request(&queued).await?["status"], "pending");

    world.kill(first_life)?;
    let killed_at = Instant::now();
    let mut markers: Vec<String> = running.iter().map(|id| processes::of_request(id)).collect();
    let agents_after = processes::gone(&markers, GONE_WITHIN).await?;
    // PostgreSQL and its guard name the data directory.
    markers.push(world.data_dir().to_string_lossy().into_owned());
    processes::gone(&markers, GONE_WITHIN).await?;
    let all_after = killed_at.elapsed();

    let ready_after = world.start_up().await?;
    for id in &running {
        world.running(id, 2).await?;
    }
    figure(&format!(
        "kill -9 of `eve up` with 5 running requests: agents gone after {:.3} s, PostgreSQL after {:.2} s; the next \
         `eve up` was ready after {:.2} s, all requests ran again {:.2} s after the kill",
        agents_after.as_secs_f64(),
        all_after.as_secs_f64(),
        ready_after.as_secs_f64(),
        killed_at.elapsed().as_secs_f64()
    ));
    world.open("gate")?;
    let all: Vec<String> = running.iter().chain([&queued]).cloned().collect();
    for id in &all {
        world.finished(id, SOON).await?;
    }
    world.assert_completed_once(&all).await?;
    assert_eq!(world.result(&done).await?["status"], "success", "what was finished before is still there");
    for id in &running {
        let request = world.request(id).await?;
        assert_eq!((&request["attempts"], &request["attempts_counted"]), (&2.into(), &0.into()), "{request:#}");
    }
    let markers: Vec<String> = all.iter().map(|id| processes::of_request(id)).collect();
    processes::gone(&markers, SOON).await?;
    world.passed();
    Ok(())
}

#[tokio::test]
async fn a_second_eve_on_the_same_data_directory_says_who_has_it() -> anyhow::Result<()> {
    let world = World::up(Settings::default()).await?;
    for command in ["up", "server"] {
        let second = world.eve_plain(&[command, "--listen", "127.0.0.1:0"]).await?;
        assert_eq!(second.code, Some(6), "{second:?}");
        let holder = format!("pid {}, {}", world.last_pid(), world.url());
        assert!(second.stderr.contains(&holder), "{holder} in {second:?}");
        assert!(second.stderr.contains("--data-dir"), "it says what to do: {second:?}");
    }
    // The first one did not notice.
    let id = world.ask_script("echo unharmed").await?;
    assert_eq!(world.finished(&id, SOON).await?["status"], "completed");
    assert_eq!(world.eve(&["status"]).await?.code, Some(0));
    world.passed();
    Ok(())
}
