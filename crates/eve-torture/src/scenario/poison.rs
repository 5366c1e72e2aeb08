//! Some requests kill every worker that takes them.
//!
//! Gates: each is kept away from workers after as many deaths as are allowed, and everything else is done.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use eve_core::RequestId;

use super::Context;
use crate::bed::Bed;
use crate::checker::QUARANTINE;
use crate::evidence::client::Expect;
use crate::evidence::client::Work;
use crate::evidence::database;
use crate::evidence::world::Tail;
use crate::evidence::world::What;
use crate::outcome::Outcome;
use crate::wait::QUIET;
use crate::world::Settings;
use crate::world::WorkerPlan;

/// Workers with a slot each, so that the poison takes nobody with it.
const WORKERS: usize = 6;

pub(super) async fn run(context: &mut Context) -> anyhow::Result<Outcome> {
    let (poisons, others) = (context.size.pick(1, 6), context.size.pick(30, 400));
    let mut outcome = Outcome::default();
    let mut bed = Bed::start(Settings::default()).await?;
    let plan = WorkerPlan { slots: 1, ..WorkerPlan::default() };
    bed.add_workers(WORKERS, &plan).await?;
    // It works until its worker is dead.
    let never = bed.world.path("never");
    let poison = Work::of(0).told(format!("gate={}", never.display())).expecting(Expect::Failed("quarantined"));
    let poisonous: Vec<RequestId> = bed.client.ask_all(vec![poison; poisons], 1).await.into_iter().flatten().collect();
    let asking = bed.ask((0..others).map(|_| Work::of(context.random.u64(20..200))).collect(), 4);
    let mut tail = Tail::new(&bed.world.world_dir());
    let mut deaths: BTreeMap<RequestId, u64> = BTreeMap::new();
    let mut conn = bed.look().await?;
    let began = Instant::now();
    while !asking.is_finished() || database::unfinished(&mut conn).await? > 0 {
        anyhow::ensure!(began.elapsed() < QUIET * 2, "the poison is not quarantined: {deaths:?}");
        for line in tail.news()? {
            if line.what != What::Start || !poisonous.contains(&line.request) {
                continue;
            }
            let victim = bed.world.workers.iter().position(|worker| worker.daemon.name == line.worker);
            if let Some(victim) = victim {
                bed.world.kill_worker(victim);
                bed.world.replace_worker(victim, &plan).await?;
                *deaths.entry(line.request).or_default() += 1;
                outcome.fault("worker killed by a request", 1);
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    asking.await?;
    let verdict = bed.verdict(others).await?;
    outcome.add(&verdict);
    outcome.gate(
        format!("deaths of workers by poisonous request: {:?}, each {QUARANTINE}", deaths.values().collect::<Vec<_>>()),
        deaths.len() == poisons && deaths.values().all(|count| *count == QUARANTINE),
    );
    outcome.gate(
        format!(
            "quarantined: {} of {poisons}; all others done: {} of {others}",
            verdict.figures.failed, verdict.figures.completed
        ),
        verdict.figures.failed == poisons && verdict.figures.completed == others,
    );
    bed.end(outcome.is_good());
    Ok(outcome)
}
