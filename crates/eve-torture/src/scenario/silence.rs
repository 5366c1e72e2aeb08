//! Workers fall silent with a running agent each, for longer than their lease: frozen, or cut off. Others take over,
//! and then the silent ones come back with what they still have to say.
//!
//! Gates: no two live attempts of a request, not for a millisecond; every write of an old attempt is refused and
//! counted. The harness itself writes as each silent worker might: a start, a line of log, a result, and giving back.

mod stale;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use eve_core::AttemptId;
use eve_core::RequestId;
use nix::sys::signal::Signal;

use super::Context;
use crate::bed::Bed;
use crate::evidence::client::Work;
use crate::evidence::world::Line;
use crate::evidence::world::Tail;
use crate::evidence::world::What;
use crate::outcome::Outcome;
use crate::outcome::percentile;
use crate::outcome::seconds;
use crate::proxy::Weather;
use crate::say::say;
use crate::wait::SOON;
use crate::wait::until;
use crate::world::Settings;
use crate::world::WorkerPlan;

use stale::Refusals;

/// How a worker falls silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// SIGSTOP, later SIGCONT.
    Frozen,
    /// Its network goes, in one of several ways.
    CutOff,
}

/// Longest time from silence to the last takeover: a lease, the reaper's rest, and starting on a busy machine.
const TAKEN_WITHIN: Duration = Duration::from_secs(25);
/// Between two looks at the world.
const LOOK: Duration = Duration::from_millis(50);

/// An attempt whose worker fell silent.
#[derive(Debug, Clone)]
struct Silenced {
    request: RequestId,
    attempt: AttemptId,
    fence: u64,
    worker: usize,
}

pub(super) async fn run(context: &mut Context, silence: Silence) -> anyhow::Result<Outcome> {
    let (at_once, rounds) = match silence {
        Silence::Frozen => (context.size.pick(4, 20), context.size.pick(2, 50)),
        Silence::CutOff => (context.size.pick(4, 20), context.size.pick(2, 10)),
    };
    let mut outcome = Outcome::default();
    let mut bed = Bed::start(Settings { servers: 2, ..Settings::default() }).await?;
    // One slot each, and as many again, so that whoever falls silent has a successor.
    bed.add_workers(2 * at_once, &WorkerPlan { slots: 1, ..WorkerPlan::default() }).await?;
    let mut refusals = Refusals::new(&bed)?;
    let mut tail = Tail::new(&bed.world.world_dir());
    let (mut taken_after, mut dead_after) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let gate = bed.world.path(&format!("gate-{round}"));
        let work = Work { step_ms: 25, ..Work::of(0) }.told(format!("gate={}", gate.display()));
        let ids: Vec<RequestId> =
            bed.client.ask_all(vec![work; at_once], at_once).await.into_iter().flatten().collect();
        let ids: BTreeSet<RequestId> = ids.into_iter().collect();
        let mut lines = Vec::new();
        let silenced = running(&mut bed, &mut tail, &mut lines, &ids).await?;
        let began = crate::clock::now_ms();
        for one in &silenced {
            fall_silent(&bed, one.worker, silence, &mut context.random, &mut outcome);
        }
        // Their successors.
        until("others have taken over", TAKEN_WITHIN, async || {
            lines.extend(tail.news()?);
            Ok(silenced.iter().all(|one| taken_at(&lines, one).is_some()).then_some(()))
        })
        .await
        .with_context(|| {
            let left = silenced.iter().filter(|one| taken_at(&lines, one).is_none());
            left.map(|one| format!("{} on {}", one.attempt, state(&bed, one.worker))).collect::<Vec<_>>().join(", ")
        })?;
        for one in &silenced {
            taken_after.extend(taken_at(&lines, one).map(|at| at.saturating_sub(began)));
            let last = lines.iter().filter(|line| line.attempt == one.attempt).map(|line| line.at).max();
            dead_after.extend(last.map(|at| at.saturating_sub(began)));
            refusals.provoke(one.request, one.attempt, one.fence).await?;
        }
        for one in &silenced {
            come_back(&bed, one.worker, silence);
        }
        // They have to have said what they wanted to say before they fall silent again.
        spoken(&mut bed, &silenced).await?;
        std::fs::write(&gate, "")?;
        anyhow::ensure!(bed.quiet_within(SOON).await?, "round {round} does not come to an end");
        if (round + 1) % 10 == 0 {
            say(&format!("{} of {rounds} rounds", round + 1));
        }
    }
    let verdict = bed.verdict(at_once * rounds).await?;
    outcome.add(&verdict);
    outcome.gate(
        format!("overlap of two live attempts: {} ms in {} takeovers", verdict.figures.overlap_ms, taken_after.len()),
        verdict.figures.overlap_ms == 0 && taken_after.len() == at_once * rounds,
    );
    outcome.note(format!(
        "agents of silent workers did their last step after {} (p50), {} (latest); their requests ran elsewhere after \
         {} (p50), {} (p99)",
        seconds(percentile(&dead_after, 50)),
        seconds(percentile(&dead_after, 100)),
        seconds(percentile(&taken_after, 50)),
        seconds(percentile(&taken_after, 99)),
    ));
    refusals.judge(&mut bed, silence, &mut outcome).await?;
    bed.end(outcome.is_good());
    Ok(outcome)
}

/// Waits until each of the requests runs, and says where.
async fn running(
    bed: &mut Bed,
    tail: &mut Tail,
    lines: &mut Vec<Line>,
    ids: &BTreeSet<RequestId>,
) -> anyhow::Result<Vec<Silenced>> {
    let names: BTreeMap<String, usize> =
        bed.world.workers.iter().enumerate().map(|(index, worker)| (worker.daemon.name.clone(), index)).collect();
    let found = until("the agents run", SOON, async || {
        lines.extend(tail.news()?);
        let mut found: BTreeMap<RequestId, &Line> = BTreeMap::new();
        for line in lines.iter().filter(|line| ids.contains(&line.request) && line.what == What::Start) {
            let latest = found.entry(line.request).or_insert(line);
            if latest.fence < line.fence {
                *latest = line;
            }
        }
        tokio::time::sleep(LOOK).await;
        Ok((found.len() == ids.len()).then(|| found.into_values().cloned().collect::<Vec<Line>>()))
    })
    .await?;
    found
        .into_iter()
        .map(|line| {
            let worker = *names.get(&line.worker).with_context(|| format!("no worker {}", line.worker))?;
            Ok(Silenced { request: line.request, attempt: line.attempt, fence: line.fence, worker })
        })
        .collect()
}

/// A worker's name and what its process does: `T` is stopped.
fn state(bed: &Bed, worker: usize) -> String {
    let Some(worker) = bed.world.workers.get(worker) else { return "nobody".to_owned() };
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", worker.daemon.pid)).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.get(..1)).unwrap_or("?").to_owned();
    format!("{} ({state})", worker.daemon.name)
}

fn taken_at(lines: &[Line], one: &Silenced) -> Option<u64> {
    let successor = |line: &&Line| line.request == one.request && line.fence > one.fence && line.what == What::Start;
    lines.iter().find(successor).map(|line| line.at)
}

fn fall_silent(bed: &Bed, worker: usize, silence: Silence, random: &mut fastrand::Rng, outcome: &mut Outcome) {
    let Some(worker) = bed.world.workers.get(worker) else { return };
    if silence == Silence::Frozen {
        worker.daemon.signal(Signal::SIGSTOP);
        outcome.fault("worker frozen", 1);
        return;
    }
    let (name, weather, cut) = match random.u8(0..4) {
        0 => ("blackhole", Weather::Blackhole, false),
        1 => ("half-open: answers lost", Weather::AnswersLost, false),
        2 => ("reset, then refused", Weather::Refusing, true),
        _ => ("reset, then blackhole", Weather::Blackhole, true),
    };
    worker.network.set(weather);
    if cut {
        worker.network.cut();
    }
    outcome.fault(name, 1);
}

fn come_back(bed: &Bed, worker: usize, silence: Silence) {
    let Some(worker) = bed.world.workers.get(worker) else { return };
    match silence {
        Silence::Frozen => worker.daemon.signal(Signal::SIGCONT),
        Silence::CutOff => worker.network.set(Weather::Clear),
    }
}

/// Waits until every silenced worker has said something about the end of its attempt.
async fn spoken(bed: &mut Bed, silenced: &[Silenced]) -> anyhow::Result<()> {
    until("the silent ones have spoken", SOON, async || {
        let all = silenced.iter().all(|one| {
            let log = bed.world.workers.get(one.worker).map(|worker| worker.daemon.log()).unwrap_or_default();
            let attempt = one.attempt.to_string();
            log.lines().any(|line| line.contains("attempt over") && line.contains(&attempt))
        });
        tokio::time::sleep(LOOK).await;
        Ok(all.then_some(()))
    })
    .await
}
