//! PostgreSQL is stopped as by a crash, again and again, while requests flow, and started again after a while.
//!
//! Gates: nothing that was acknowledged is lost, the first claim comes within five seconds after the database accepts
//! connections again, and no process of Eve's has to be started anew.

use std::time::Duration;
use std::time::Instant;

use jiff::Timestamp;

use super::Context;
use crate::bed::Bed;
use crate::evidence::client::Work;
use crate::evidence::database;
use crate::outcome::Outcome;
use crate::outcome::percentile;
use crate::outcome::seconds;
use crate::say::say;
use crate::world::Settings;
use crate::world::WorkerPlan;

/// Workers, and what each runs at once.
const WORKERS: usize = 3;
const SLOTS: u32 = 3;
/// Longest time from the first accepted connection to the first claim, in milliseconds.
const CLAIM_MS: u64 = 5_000;
/// Longest wait for that claim; longer than the gate, so that a miss has a figure.
const CLAIM_WAIT: Duration = Duration::from_secs(30);
/// Requests at a time.
const BATCH: usize = 8;

pub(super) async fn run(context: &mut Context) -> anyhow::Result<Outcome> {
    let stops = context.size.pick(2, 20);
    let mut outcome = Outcome::default();
    let mut bed = Bed::start(Settings { servers: 2, ..Settings::default() }).await?;
    bed.add_workers(WORKERS, &WorkerPlan { slots: SLOTS, ..WorkerPlan::default() }).await?;
    let (mut claimed_after, mut asking) = (Vec::new(), Vec::new());
    let mut late = 0;
    for stop in 0..stops {
        asking.push(bed.ask(works(&mut context.random, BATCH), BATCH));
        // In the middle of it.
        tokio::time::sleep(Duration::from_millis(context.random.u64(100..1_500))).await;
        bed.world.database.stop_at_once();
        tokio::time::sleep(Duration::from_millis(context.random.u64(0..2_500))).await;
        // What is asked meanwhile must wait, and is there to be claimed afterwards.
        asking.push(bed.ask(works(&mut context.random, BATCH), BATCH));
        tokio::time::sleep(Duration::from_millis(200)).await;
        bed.world.database.start_again()?;
        let accepts = Timestamp::now().as_millisecond();
        let began = Instant::now();
        let mut conn = bed.look().await?;
        let claimed = loop {
            match database::claimed_after(&mut conn, accepts).await? {
                Some(at) => break Some(u64::try_from(at - accepts).unwrap_or_default()),
                None if began.elapsed() > CLAIM_WAIT => break None,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        late += usize::from(claimed.is_none());
        claimed_after.extend(claimed);
        if (stop + 1) % 10 == 0 {
            say(&format!("{} of {stops} stops", stop + 1));
        }
    }
    for task in asking {
        task.await?;
    }
    let verdict = bed.verdict(stops * BATCH).await?;
    outcome.add(&verdict);
    outcome.fault("PostgreSQL stopped at once", u64::try_from(stops)?);
    let slowest = percentile(&claimed_after, 100);
    outcome.gate(
        format!(
            "first claim ≤ {} after it accepts connections: {} at worst, {} (p50)",
            seconds(Some(CLAIM_MS)),
            seconds(slowest),
            seconds(percentile(&claimed_after, 50))
        ),
        late == 0 && slowest.is_some_and(|slowest| slowest <= CLAIM_MS),
    );
    let ended = (0..bed.world.servers.len()).filter(|index| !bed.world.server_lives(*index)).count()
        + (0..bed.world.workers.len()).filter(|index| !bed.world.worker_lives(*index)).count();
    outcome.gate(format!("processes of Eve's that ended: {ended}"), ended == 0);
    outcome.note(format!("{} calls without an answer or with a 5xx, repeated by the client", verdict.figures.unheard));
    bed.end(outcome.is_good());
    Ok(outcome)
}

fn works(random: &mut fastrand::Rng, count: usize) -> Vec<Work> {
    (0..count).map(|_| Work::of(random.u64(20..600))).collect()
}
