//! Wall clocks that are wrong by an hour, and leap: those of servers and of workers, by libfaketime.
//!
//! Leases are counted by the database's clock and by clocks that nobody sets, so none of this may matter. Gates: no
//! lease is taken from a living worker, and those of killed ones are taken in time.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;

use super::Context;
use crate::bed::Bed;
use crate::evidence::client::Work;
use crate::evidence::database;
use crate::outcome::Outcome;
use crate::outcome::percentile;
use crate::outcome::seconds;
use crate::world::LEASE_SECONDS;
use crate::world::Settings;
use crate::world::WorkerPlan;

/// Where Debian's package `libfaketime` has it.
const LIBRARIES: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"];
/// How wrong the clocks are: each worker has its own, and the last one's leaps.
const OFFSETS: [&str; 4] = ["+3600s", "-3600s", "+0s", "-3600s"];
const SLOTS: u32 = 2;
/// Longest time from a death to the next claim, in milliseconds.
const TAKEOVER_MS: u64 = LEASE_SECONDS as u64 * 1000 + 2_000;

/// Variables that give a process another wall clock, whose offset is in a file and may change.
fn clock(library: &str, file: &Path) -> Vec<(String, String)> {
    [
        ("LD_PRELOAD", library.to_owned()),
        ("FAKETIME_TIMESTAMP_FILE", file.to_string_lossy().into_owned()),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        // A kernel lets nobody set the others.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

pub(super) async fn run(context: &mut Context) -> anyhow::Result<Outcome> {
    let (kills, requests) = (context.size.pick(1, 8), context.size.pick(40, 400));
    let Some(library) = LIBRARIES.into_iter().find(|path| Path::new(path).is_file()) else {
        bail!("libfaketime is not installed: apt-get install libfaketime");
    };
    let mut outcome = Outcome::default();
    let files = tempfile::tempdir()?;
    let file = |name: &str| files.path().join(name);
    std::fs::write(file("server"), "+3600s\n")?;
    let settings = Settings { servers: 1, variables: clock(library, &file("server")), ..Settings::default() };
    let mut bed = Bed::start(settings).await?;
    let mut plans = Vec::new();
    for (index, offset) in OFFSETS.into_iter().enumerate() {
        let path = file(&format!("w{index}"));
        std::fs::write(&path, format!("{offset}\n"))?;
        let variables = clock(library, &path);
        plans.push(WorkerPlan { slots: SLOTS, variables, ..WorkerPlan::default() });
    }
    for plan in &plans {
        bed.world.add_worker(plan).await?;
    }
    bed.workers_entered().await?;
    let asking = bed.ask((0..requests).map(|_| Work::of(context.random.u64(50..800))).collect(), 4);
    let mut conn = bed.look().await?;
    for kill in 0..kills {
        let due = u64::try_from(requests * (kill + 1) / (kills + 1))?;
        while database::finished(&mut conn).await? < due {
            // The server's clock and the last worker's leap an hour this way or that, again and again.
            for name in ["server", "w3"] {
                let offset = context.random.i64(-3600..=3600);
                std::fs::write(file(name), format!("{offset:+}s\n"))?;
                outcome.fault("clock leaps", 1);
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let victim = kill % plans.len();
        bed.world.kill_worker(victim);
        outcome.fault("worker killed", 1);
        if let Some(plan) = plans.get(victim) {
            bed.world.replace_worker(victim, plan).await?;
        }
    }
    asking.await?;
    let verdict = bed.verdict(requests).await?;
    outcome.add(&verdict);
    let takeovers = &verdict.figures.takeovers_ms;
    let early = verdict.figures.expired_living;
    outcome.gate(format!("leases taken from the living: {early}"), early == 0);
    let slowest = percentile(takeovers, 100);
    outcome.gate(
        format!(
            "takeover from the dead ≤ {}: {} at worst ({} takeovers)",
            seconds(Some(TAKEOVER_MS)),
            seconds(slowest),
            takeovers.len()
        ),
        slowest.is_none_or(|slowest| slowest <= TAKEOVER_MS),
    );
    bed.end(outcome.is_good());
    Ok(outcome)
}
