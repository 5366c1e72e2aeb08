//! Workers are killed at random while requests run, and others take their place.
//!
//! Gates: nothing is lost, nothing is finished twice, and 99 of 100 requests of a killed worker are in another's hands
//! within a lease and two seconds.

use std::time::Duration;

use super::Context;
use crate::bed::Bed;
use crate::evidence::client::Work;
use crate::evidence::database;
use crate::outcome::Outcome;
use crate::outcome::percentile;
use crate::outcome::seconds;
use crate::say::say;
use crate::world::LEASE_SECONDS;
use crate::world::Settings;
use crate::world::WorkerPlan;

/// Workers at once, and what each runs at once.
const WORKERS: usize = 6;
const SLOTS: u32 = 4;
/// Calls of the client at once.
const CLIENTS: usize = 8;
/// Longest time from a death to the next claim, in milliseconds.
const TAKEOVER_MS: u64 = LEASE_SECONDS as u64 * 1000 + 2_000;
/// Longest work of an agent, in milliseconds; also what a process is left behind for.
const LONGEST_RUN_MS: u64 = 400;

pub(super) async fn run(context: &mut Context) -> anyhow::Result<Outcome> {
    let requests = context.size.pick(150, 10_000);
    let kills = context.size.pick(4, 50);
    let mut outcome = Outcome::default();
    let mut bed = Bed::start(Settings { servers: 2, ..Settings::default() }).await?;
    let plan = WorkerPlan { slots: SLOTS, ..WorkerPlan::default() };
    bed.add_workers(WORKERS, &plan).await?;
    let works = (0..requests).map(|_| work(&mut context.random)).collect();
    let asking = bed.ask(works, CLIENTS);
    let mut conn = bed.look().await?;
    for kill in 0..kills {
        // Spread over the whole run: each comes when so much is done.
        let due = u64::try_from(requests * kill / kills)?;
        while database::finished(&mut conn).await? < due {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(context.random.u64(0..500))).await;
        let victim = context.random.usize(0..WORKERS);
        bed.world.kill_worker(victim);
        let server = victim % bed.world.servers.len();
        bed.world.replace_worker(victim, &WorkerPlan { server, ..plan.clone() }).await?;
        if (kill + 1) % 10 == 0 {
            say(&format!("{} of {kills} kills, {} of {requests} done", kill + 1, database::finished(&mut conn).await?));
        }
    }
    asking.await?;
    let verdict = bed.verdict(requests * 98 / 100).await?;
    outcome.add(&verdict);
    outcome.fault("worker killed", u64::try_from(kills)?);
    let takeovers = &verdict.figures.takeovers_ms;
    let p99 = percentile(takeovers, 99);
    outcome.gate(
        format!(
            "takeover p99 ≤ {}: {} (p50 {}, {} takeovers)",
            seconds(Some(TAKEOVER_MS)),
            seconds(p99),
            seconds(percentile(takeovers, 50)),
            takeovers.len()
        ),
        p99.is_some_and(|p99| p99 <= TAKEOVER_MS),
    );
    outcome.gate(
        format!("overlap of two live attempts: {} ms", verdict.figures.overlap_ms),
        verdict.figures.overlap_ms == 0,
    );
    outcome
        .note(format!("leases taken from living workers, on a machine this busy: {}", verdict.figures.expired_living));
    bed.end(outcome.is_good());
    Ok(outcome)
}

fn work(random: &mut fastrand::Rng) -> Work {
    let work = Work::of(random.u64(20..LONGEST_RUN_MS));
    let mut work = if random.u8(0..8) == 0 { work.told("child=1") } else { work };
    work.keyed = random.bool();
    work
}
