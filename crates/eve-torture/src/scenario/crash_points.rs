//! Every named crash point, many times: the process that passes it is killed there and started again.
//!
//! A point has a world of its own in a full run. Its process is armed with a passing that the seed chooses, requests of
//! all kinds flow, and whenever it has died, its successor is armed with the next. Since a point that is not passed kills
//! nobody, and the scenario then fails, none of them can be dead. Gate: every point, every seed, and no violation.

mod traffic;

use std::time::Duration;
use std::time::Instant;

use anyhow::Context as _;
use anyhow::bail;
use eve_crash::Point;
use eve_crash::Side;

use super::Context;
use super::Size;
use crate::bed::Bed;
use crate::checker::Verdict;
use crate::outcome::Outcome;
use crate::say::say;
use crate::world::Settings;
use crate::world::WorkerPlan;

use traffic::Traffic;

/// Workers that are left alone, and what each runs at once.
const STEADY: usize = 2;
const SLOTS: u32 = 3;
/// Worlds at once.
const LANES: usize = 2;
/// Longest time that traffic may take to bring a process to its point.
const PASSED_WITHIN: Duration = Duration::from_secs(120);
/// How often the process is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// The rarer something happens, the earlier it must count: the last passing that a seed may choose.
const fn latest(point: Point) -> u64 {
    match point {
        Point::RequestCommitted
        | Point::ClaimTaken
        | Point::ClaimCommitted
        | Point::StartCommitted
        | Point::HeartbeatCommitted
        | Point::LogCommitted
        | Point::TransitionLeft
        | Point::TransitionEntered
        | Point::TransitionAttempts
        | Point::TransitionResults
        | Point::TransitionFinished
        | Point::SettleWritten
        | Point::SettleCommitted => 6,
        Point::RequestAloneCommitted | Point::ChangeCommitted | Point::PromoterTaken | Point::PromoterCommitted => 2,
        Point::WorkerEntered
        | Point::ReaperExpired
        | Point::ReaperTaken
        | Point::ReaperCommitted
        | Point::ReleaseTaken
        | Point::ReleaseCommitted
        | Point::MigrationNext
        | Point::MigrationDone
        | Point::Entered => 1,
        Point::Claimed
        | Point::Prepared
        | Point::StartHeard
        | Point::Spawned
        | Point::LogFlushed
        | Point::AgentEnded
        | Point::EndTold
        | Point::EndHeard => 3,
        Point::HandOverBegun | Point::HandedOver => 1,
    }
}

pub(super) async fn run(context: &mut Context) -> anyhow::Result<Outcome> {
    let wanted = |point: &Point| context.point.is_none_or(|only| only == *point);
    let mut groups: Vec<Vec<Point>> = Vec::new();
    for side in [Side::Server, Side::Worker] {
        let own: Vec<Point> = Point::ALL.into_iter().filter(|point| point.side() == side && wanted(point)).collect();
        // A sample shares one world; a full run gives each point its own.
        let size = if context.size == Size::Short { own.len().max(1) } else { 1 };
        groups.extend(own.chunks(size).map(<[Point]>::to_vec));
    }
    let seeds = context.size.pick(1, 20);
    let points: usize = groups.iter().map(Vec::len).sum();
    // While one waits for a lease to run out, another may work.
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for (index, group) in groups.into_iter().enumerate() {
        if index % LANES == 0 { left.push(group) } else { right.push(group) }
    }
    let (left, right) = tokio::join!(lane(context, left, seeds), lane(context, right, seeds));
    let mut outcome = Outcome::default();
    let (mut right_branches, mut wrong_branches, mut killed) = (0, Vec::new(), 0);
    for done in left.into_iter().chain(right) {
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                outcome.gate(format!("it can be carried out: {error:#}"), false);
                continue;
            }
        };
        outcome.add(&done.verdict);
        killed += done.killed;
        right_branches += done.branches.0;
        wrong_branches.extend(done.branches.1);
    }
    outcome.fault("killed at a crash point", u64::try_from(killed)?);
    outcome.gate(
        format!("each of {points} points × {seeds} seeds killed its process: {killed}"),
        killed == points * seeds && killed > 0,
    );
    if context.point.is_none() {
        outcome.gate(
            format!("{right_branches} branches hold what their results' attempts made; others: {wrong_branches:?}"),
            wrong_branches.is_empty() && right_branches > 0,
        );
    }
    Ok(outcome)
}

/// What came of the points of one world.
struct Done {
    verdict: Verdict,
    killed: usize,
    /// How many branches are as they should be, and which are not.
    branches: (usize, Vec<String>),
}

/// Worlds, one after the other.
async fn lane(context: &Context, groups: Vec<Vec<Point>>, seeds: usize) -> Vec<anyhow::Result<Done>> {
    let mut all = Vec::new();
    for points in groups {
        let name = points.first().map_or("", |point| point.name());
        let began = Instant::now();
        let done = one_world(context, &points, seeds).await.with_context(|| format!("at {name}"));
        if let Ok(done) = &done
            && context.size == Size::Full
        {
            let (asked, took) = (done.verdict.figures.asked, began.elapsed().as_secs_f64());
            say(&format!("{name}: {} kills, {asked} requests, {took:.1} s", done.killed));
        }
        if !done.as_ref().is_ok_and(|done| done.verdict.is_good()) {
            say(&format!("that was at {name}: add `--point {name}` to repeat it alone"));
        }
        all.push(done);
    }
    all
}

async fn one_world(context: &Context, points: &[Point], seeds: usize) -> anyhow::Result<Done> {
    let mut bed = Bed::start(Settings::default()).await?;
    bed.add_workers(STEADY, &WorkerPlan { slots: SLOTS, ..WorkerPlan::default() }).await?;
    let mut traffic = Traffic::new(&mut bed).await?;
    let mut killed = 0;
    for point in points {
        // The same for a point alone as for a point among the others.
        let mut random = fastrand::Rng::with_seed(context.seed.wrapping_mul(31).wrapping_add(*point as u64));
        let nths: Vec<u64> = (0..seeds).map(|_| random.u64(1..=latest(*point))).collect();
        killed += match point.side() {
            Side::Worker => kill_workers(&mut bed, &mut traffic, *point, &nths).await?,
            Side::Server | Side::Migration => kill_servers(&mut bed, &mut traffic, *point, &nths).await?,
        };
    }
    traffic.ended().await?;
    let verdict = bed.verdict(traffic.minimum()).await?;
    let branches = traffic.branches(&bed).await?;
    bed.end(verdict.is_good() && branches.1.is_empty());
    Ok(Done { verdict, killed, branches })
}

/// Kills the only server at a point, again and again. Says how often.
async fn kill_servers(bed: &mut Bed, traffic: &mut Traffic, point: Point, nths: &[u64]) -> anyhow::Result<usize> {
    bed.world.kill_server(0);
    for nth in nths {
        bed.world.restart_server(0, Some((point, *nth)))?;
        // One that dies while it enters workers is dead before it is seen to be ready.
        if let Err(error) = bed.world.server_ready(0).await
            && !bed.world.died_at(&bed.world.server_name(0), point)
        {
            return Err(error);
        }
        let began = Instant::now();
        while bed.world.server_lives(0) {
            if began.elapsed() > PASSED_WITHIN {
                bail!("{} was not passed {nth} times within {PASSED_WITHIN:?}", point.name());
            }
            traffic.go_on(bed, point).await?;
            tokio::time::sleep(LOOK).await;
        }
        if !bed.world.died_at(&bed.world.server_name(0), point) {
            bail!("the server died, but not at {}", point.name());
        }
    }
    bed.world.restart_server(0, None)?;
    bed.world.server_ready(0).await?;
    Ok(nths.len())
}

/// Kills further workers at a point, one after the other. Says how many.
async fn kill_workers(bed: &mut Bed, traffic: &mut Traffic, point: Point, nths: &[u64]) -> anyhow::Result<usize> {
    for nth in nths {
        let plan = WorkerPlan { slots: SLOTS, crash: Some((point, *nth)), ..WorkerPlan::default() };
        let index = bed.world.add_worker(&plan).await?;
        let began = Instant::now();
        while bed.world.worker_lives(index) {
            if began.elapsed() > PASSED_WITHIN {
                bail!("{} was not passed {nth} times within {PASSED_WITHIN:?}", point.name());
            }
            traffic.go_on(bed, point).await?;
            tokio::time::sleep(LOOK).await;
        }
        bed.world.note_death(index);
        if !bed.world.died_at(&bed.world.worker_name(index), point) {
            bail!("the worker died, but not at {}", point.name());
        }
    }
    Ok(nths.len())
}
