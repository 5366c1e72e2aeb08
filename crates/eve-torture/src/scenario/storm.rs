//! Everything at once: whatever comes next is drawn from the seed, and several things are wrong at the same time.
//!
//! Gates: no violation, and no two live attempts of a request.

use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;

use super::Context;
use crate::bed::Bed;
use crate::evidence::client::Work;
use crate::evidence::database;
use crate::outcome::Outcome;
use crate::proxy::Weather;
use crate::world::Settings;
use crate::world::WorkerPlan;

/// Workers, and what each runs at once.
const WORKERS: usize = 6;
const SLOTS: u32 = 2;
/// Unfinished requests that there are at least.
const BACKLOG: usize = 24;
/// Between two faults, in milliseconds.
const REST_MS: u64 = 900;
/// Longest time that something stays wrong, in milliseconds: longer than a lease.
const LONGEST_MS: u64 = 5_000;
/// Longest start of a server; one that ends before, for want of a database, is not waited for.
const SERVER_START: Duration = Duration::from_secs(10);
/// Until a server that did not come up is started again.
const SERVER_REST: Duration = Duration::from_secs(1);

/// What has to be put right again, and when.
enum Wrong {
    Frozen(usize),
    Worker(usize),
    Database(usize),
    ServerGone(usize),
    PostgresGone,
}

pub(super) async fn run(context: &mut Context) -> anyhow::Result<Outcome> {
    let lasts = Duration::from_secs(if context.size == super::Size::Short { 12 } else { 300 });
    let mut outcome = Outcome::default();
    let mut bed = Bed::start(Settings { servers: 2, ..Settings::default() }).await?;
    let plan = WorkerPlan { slots: SLOTS, ..WorkerPlan::default() };
    bed.add_workers(WORKERS, &plan).await?;
    let began = Instant::now();
    let mut wrong: Vec<(Instant, Wrong)> = Vec::new();
    let mut asking = Vec::new();
    let mut postgres_gone = false;
    while began.elapsed() < lasts {
        if !postgres_gone && database::unfinished(&mut bed.look().await?).await? < u64::try_from(BACKLOG)? {
            let works = (0..BACKLOG).map(|_| work(&mut context.random)).collect();
            asking.push(bed.ask(works, BACKLOG / 2));
        }
        let until = Instant::now() + Duration::from_millis(context.random.u64(300..LONGEST_MS));
        match context.random.u8(0..10) {
            0 | 1 => {
                let victim = context.random.usize(0..WORKERS);
                // One that is frozen is killed as it is.
                wrong.retain(
                    |(_, what)| !matches!(what, Wrong::Frozen(index) | Wrong::Worker(index) if *index == victim),
                );
                bed.world.kill_worker(victim);
                bed.world.replace_worker(victim, &WorkerPlan { server: victim % 2, ..plan.clone() }).await?;
                outcome.fault("worker killed", 1);
            }
            2 | 3 => {
                let victim = context.random.usize(0..WORKERS);
                if let Some(worker) = bed.world.workers.get(victim) {
                    worker.daemon.signal(Signal::SIGSTOP);
                }
                wrong.push((until, Wrong::Frozen(victim)));
                outcome.fault("worker frozen", 1);
            }
            4 | 5 => {
                let victim = context.random.usize(0..WORKERS);
                if let Some(worker) = bed.world.workers.get(victim) {
                    let (name, weather) = weather(&mut context.random);
                    worker.network.set(weather);
                    if context.random.bool() {
                        worker.network.cut();
                    }
                    outcome.fault(&format!("worker and server: {name}"), 1);
                }
                wrong.push((until, Wrong::Worker(victim)));
            }
            6 | 7 => {
                let victim = context.random.usize(0..2);
                if let Some(server) = bed.world.servers.get(victim) {
                    let (name, weather) = weather(&mut context.random);
                    server.database.set(weather);
                    if context.random.bool() {
                        server.database.cut();
                    }
                    outcome.fault(&format!("server and PostgreSQL: {name}"), 1);
                }
                wrong.push((until, Wrong::Database(victim)));
            }
            8 => {
                let victim = context.random.usize(0..2);
                if bed.world.server_lives(victim) {
                    bed.world.kill_server(victim);
                    wrong.push((until, Wrong::ServerGone(victim)));
                    outcome.fault("server killed", 1);
                }
            }
            _ if !postgres_gone => {
                bed.world.database.stop_at_once();
                postgres_gone = true;
                wrong.push((Instant::now() + Duration::from_millis(context.random.u64(0..1_500)), Wrong::PostgresGone));
                outcome.fault("PostgreSQL stopped at once", 1);
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(context.random.u64(50..REST_MS))).await;
        let (due, later) = wrong.into_iter().partition(|(at, _)| *at <= Instant::now());
        wrong = later;
        wrong.extend(put_right(&mut bed, due, &mut postgres_gone).await?);
    }
    // PostgreSQL first: servers do not start without it.
    let (database_first, rest) = wrong.into_iter().partition(|(_, what)| matches!(what, Wrong::PostgresGone));
    put_right(&mut bed, database_first, &mut postgres_gone).await?;
    put_right(&mut bed, rest, &mut postgres_gone).await?;
    for index in 0..bed.world.servers.len() {
        if !bed.world.server_lives(index) {
            bed.world.restart_server(index, None)?;
        }
        bed.world.server_ready(index).await?;
    }
    for task in asking {
        task.await?;
    }
    let verdict = bed.verdict(usize::try_from(lasts.as_secs())?).await?;
    outcome.add(&verdict);
    let overlap = verdict.figures.overlap_ms;
    outcome.gate(format!("overlap of two live attempts: {overlap} ms"), overlap == 0);
    outcome.note(format!(
        "{} attempts lost and {} given back; {} calls without an answer or with a 5xx",
        verdict.figures.expired, verdict.figures.released, verdict.figures.unheard
    ));
    bed.end(outcome.is_good());
    Ok(outcome)
}

fn work(random: &mut fastrand::Rng) -> Work {
    let work = Work::of(random.u64(20..1_500));
    if random.u8(0..6) == 0 { work.told("child=1") } else { work }
}

fn weather(random: &mut fastrand::Rng) -> (&'static str, Weather) {
    match random.u8(0..4) {
        0 => ("blackhole", Weather::Blackhole),
        1 => ("answers lost", Weather::AnswersLost),
        2 => ("refused", Weather::Refusing),
        _ => ("slow by half a second", Weather::Slow(Duration::from_millis(500))),
    }
}

/// Puts right what is due. A server that does not come up, since what it needs is away, is tried again later.
async fn put_right(
    bed: &mut Bed,
    due: Vec<(Instant, Wrong)>,
    postgres_gone: &mut bool,
) -> anyhow::Result<Vec<(Instant, Wrong)>> {
    let mut later = Vec::new();
    for (_, what) in due {
        match what {
            Wrong::Frozen(index) => {
                if let Some(worker) = bed.world.workers.get(index) {
                    worker.daemon.signal(Signal::SIGCONT);
                }
            }
            Wrong::Worker(index) => {
                if let Some(worker) = bed.world.workers.get(index) {
                    worker.network.set(Weather::Clear);
                }
            }
            Wrong::Database(index) => {
                if let Some(server) = bed.world.servers.get(index) {
                    server.database.set(Weather::Clear);
                }
            }
            Wrong::ServerGone(index) => {
                bed.world.restart_server(index, None)?;
                if bed.world.server_ready_within(index, SERVER_START).await.is_err() {
                    bed.world.kill_server(index);
                    later.push((Instant::now() + SERVER_REST, Wrong::ServerGone(index)));
                }
            }
            Wrong::PostgresGone => {
                bed.world.database.start_again()?;
                *postgres_gone = false;
            }
        }
    }
    Ok(later)
}
