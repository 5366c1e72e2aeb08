//! Workers are asked to stop under load: some may let their agents end, some are hurried and give everything back.
//!
//! Gates: no attempt counts, none is lost with its lease, and every worker ends in order and in time.

use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;

use super::Context;
use crate::bed::Bed;
use crate::evidence::client::Work;
use crate::evidence::database;
use crate::outcome::Outcome;
use crate::outcome::percentile;
use crate::outcome::seconds;
use crate::wait::until;
use crate::world::Settings;
use crate::world::WorkerPlan;

/// Workers, and what each runs at once.
const WORKERS: usize = 8;
const SLOTS: u32 = 2;
/// How many are asked at once.
const AT_ONCE: usize = 4;
/// Longest time from the signal to the end: the drain limit of a worker, and five seconds.
const ENDED_WITHIN: Duration = Duration::from_secs(35);
/// Unfinished requests that there are at least, while workers are asked.
const BACKLOG: u64 = 20;

pub(super) async fn run(context: &mut Context) -> anyhow::Result<Outcome> {
    let drains = context.size.pick(8, 100);
    let mut outcome = Outcome::default();
    let mut bed = Bed::start(Settings { servers: 2, ..Settings::default() }).await?;
    let plan = WorkerPlan { slots: SLOTS, ..WorkerPlan::default() };
    bed.add_workers(WORKERS, &plan).await?;
    let mut conn = bed.look().await?;
    let (mut took, mut disorderly, mut asking, mut asked) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for round in 0..drains / AT_ONCE {
        while database::unfinished(&mut conn).await? < BACKLOG {
            let works: Vec<Work> = (0..BACKLOG).map(|_| Work::of(context.random.u64(50..1_200))).collect();
            asked += works.len();
            asking.push(bed.ask(works, 8));
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let first = (round * AT_ONCE) % WORKERS;
        let began = Instant::now();
        for index in first..first + AT_ONCE {
            let Some(worker) = bed.world.workers.get(index) else { continue };
            worker.daemon.signal(Signal::SIGTERM);
            if context.random.bool() {
                // The second signal is for whoever has heard the first.
                let daemon = &worker.daemon;
                until("the first signal is heard", ENDED_WITHIN, async || {
                    Ok(daemon.log().contains("Draining").then_some(()))
                })
                .await?;
                daemon.signal(Signal::SIGTERM);
                outcome.fault("worker hurried", 1);
            } else {
                outcome.fault("worker drained", 1);
            }
        }
        for index in first..first + AT_ONCE {
            let Some(worker) = bed.world.workers.get_mut(index) else { continue };
            let name = worker.daemon.name.clone();
            let status =
                until(&format!("{name} ends"), ENDED_WITHIN, async || Ok(worker.daemon.has_ended().map(str::to_owned)))
                    .await?;
            took.push(crate::clock::millis(began.elapsed()));
            if status != "exit status: 0" {
                disorderly.push(format!("{name}: {status}"));
            }
            let server = index % bed.world.servers.len();
            bed.world.replace_worker(index, &WorkerPlan { server, ..plan.clone() }).await?;
        }
        bed.workers_entered().await?;
    }
    for task in asking {
        task.await?;
    }
    let verdict = bed.verdict(asked).await?;
    outcome.add(&verdict);
    let evidence = bed.evidence().await?;
    let burned: u64 = evidence.records.requests.iter().map(|record| record.burned).sum();
    outcome.gate(
        format!(
            "attempts that counted: {burned}, lost: {}; given back: {}",
            verdict.figures.expired, verdict.figures.released
        ),
        burned == 0 && verdict.figures.expired == 0,
    );
    let slowest = percentile(&took, 100);
    outcome.gate(
        format!("ended in order within {ENDED_WITHIN:?}: {} at worst; not in order: {disorderly:?}", seconds(slowest)),
        disorderly.is_empty() && took.len() == drains,
    );
    bed.end(outcome.is_good());
    Ok(outcome)
}
