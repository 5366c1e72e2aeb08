//! A server is killed while it brings a database up to date: between two migrations, after the last, and at any moment.
//!
//! Gates: the next start goes on where it ended, and the schema that comes of it is, to the last policy, the one that
//! comes of an undisturbed start.

use std::time::Duration;

use eve_crash::Point;

use super::Context;
use crate::bed::Bed;
use crate::evidence::client::Work;
use crate::evidence::database;
use crate::outcome::Outcome;
use crate::wait::SOON;
use crate::wait::until;
use crate::world::Settings;
use crate::world::WorkerPlan;

/// Longest time after which a start is killed at random, in milliseconds: longer than a start takes.
const SPREAD_MS: u64 = 900;

pub(super) async fn run(context: &mut Context) -> anyhow::Result<Outcome> {
    let rounds = context.size.pick(3, 40);
    let mut outcome = Outcome::default();
    let mut bed = Bed::start(Settings::default()).await?;
    let expected = database::schema(&bed.world.database, database::OWN).await?;
    let mut different = Vec::new();
    for round in 0..rounds {
        let name = format!("eve_{round}");
        database::create(&mut bed.look().await?, &name).await?;
        bed.world.kill_server(0);
        bed.world.use_database(0, &name);
        match round % 4 {
            0 => kill_at(&mut bed, Point::MigrationNext).await?,
            1 => kill_at(&mut bed, Point::MigrationDone).await?,
            _ => {
                bed.world.restart_server(0, None)?;
                tokio::time::sleep(Duration::from_millis(context.random.u64(0..SPREAD_MS))).await;
                bed.world.kill_server(0);
            }
        }
        outcome.fault(if round % 4 < 2 { "killed between migrations" } else { "killed at random in a start" }, 1);
        bed.world.restart_server(0, None)?;
        bed.world.server_ready(0).await?;
        let schema = database::schema(&bed.world.database, &name).await?;
        let missing: Vec<&String> = expected.symmetric_difference(&schema).take(3).collect();
        if !missing.is_empty() {
            different.push(format!("{name}: {missing:?}"));
        }
    }
    outcome.gate(
        format!("{rounds} schemas as of an undisturbed start ({} definitions); others: {different:?}", expected.len()),
        different.is_empty() && !expected.is_empty(),
    );
    // And it works.
    bed.world.kill_server(0);
    bed.world.use_database(0, database::OWN);
    bed.world.restart_server(0, None)?;
    bed.world.server_ready(0).await?;
    bed.add_workers(1, &WorkerPlan { slots: 1, ..WorkerPlan::default() }).await?;
    bed.client.ask(&Work::of(20)).await;
    let verdict = bed.verdict(1).await?;
    outcome.add(&verdict);
    bed.end(outcome.is_good());
    Ok(outcome)
}

async fn kill_at(bed: &mut Bed, point: Point) -> anyhow::Result<()> {
    bed.world.restart_server(0, Some((point, 1)))?;
    until("the server is killed", SOON, async || Ok((!bed.world.server_lives(0)).then_some(()))).await?;
    anyhow::ensure!(bed.world.died_at(&bed.world.server_name(0), point), "it died, but not at {}", point.name());
    Ok(())
}
