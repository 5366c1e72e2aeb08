//! What the protocol promises, and what must be seen to happen, or the promises would be kept by doing nothing.

use eve_core::FailureClass;
use eve_core::RequestState;
use eve_core::ResultStatus;
use eve_core::StateName;
use eve_core::StopKind;

use crate::action::Act;
use crate::checker::Kind;
use crate::checker::Property;
use crate::checker::Step;
use crate::protocol::Protocol;
use crate::world::Message;
use crate::world::Report;
use crate::world::Request;
use crate::world::Task;
use crate::world::Worker;
use crate::world::World;
use crate::world::Write;

/// All properties.
pub fn properties() -> Vec<Property<Protocol>> {
    let always = [
        ("one live agent", Kind::Always(one_live_agent)),
        ("an agent has the lease", Kind::Always(agent_has_the_lease)),
        ("one place", Kind::Always(one_place)),
        ("one result", Kind::Always(one_result)),
        ("a result stays", Kind::EveryStep(result_stays)),
        ("a stale write changes nothing", Kind::EveryStep(stale_write_changes_nothing)),
        ("the fence grows", Kind::EveryStep(fence_grows)),
        ("only failures burn", Kind::EveryStep(only_failures_burn)),
        ("only lost workers count as crashes", Kind::EveryStep(only_lost_workers_count)),
        ("every request can still end", Kind::CanStill(all_ended, goes_well)),
    ];
    let sometimes = [
        ("completed", Kind::Sometimes(completed)),
        ("taken over and completed", Kind::Sometimes(taken_over)),
        ("failed and tried again", Kind::Sometimes(tried_again)),
        ("out of attempts", Kind::Sometimes(out_of_attempts)),
        ("stale settlement refused", Kind::Sometimes(stale_settlement)),
        ("settlement repeated", Kind::Sometimes(settlement_repeated)),
        ("cancelled while running", Kind::Sometimes(cancelled_running)),
        ("cancel lost to completion", Kind::Sometimes(cancel_lost)),
        ("paused while running", Kind::Sometimes(paused_running)),
        ("lost claim taken back", Kind::Sometimes(lost_claim_taken_back)),
        ("late start refused", Kind::Sometimes(late_start)),
        ("quarantined", Kind::Sometimes(quarantined)),
        ("released by a drain", Kind::Sometimes(released)),
        ("agent of a frozen worker killed", Kind::Sometimes(frozen_killed)),
        ("lost worker refused", Kind::Sometimes(lost_refused)),
    ];
    always.into_iter().chain(sometimes).map(|(name, kind)| Property { name, kind }).collect()
}

fn one_live_agent(_: &Protocol, world: &World) -> bool {
    let agents = &world.agents;
    agents
        .iter()
        .enumerate()
        .all(|(index, agent)| !agents.iter().skip(index + 1).any(|other| other.task.request == agent.task.request))
}

fn agent_has_the_lease(_: &Protocol, world: &World) -> bool {
    world.agents.iter().all(|agent| world.database.lease(agent.task).is_some())
}

/// Queue, parked, leases or results; and the state says which.
fn one_place(_: &Protocol, world: &World) -> bool {
    world.database.requests.iter().all(|request| {
        let places = [request.queued, request.parked, request.lease.is_some(), !request.results.is_empty()];
        let expected = match request.life.0.state.name() {
            StateName::Pending => [!request.life.rests(), request.life.rests(), false, false],
            StateName::Claimed | StateName::Processing => [false, false, true, false],
            StateName::Completed | StateName::Failed | StateName::Cancelled => [false, false, false, true],
            StateName::Blocked | StateName::Held | StateName::Waiting | StateName::Paused => {
                [false, true, false, false]
            }
        };
        places == expected
    })
}

fn one_result(_: &Protocol, world: &World) -> bool {
    world.database.requests.iter().all(|request| request.results.len() <= 1)
}

fn pairs<'a>(step: &Step<'a, Protocol>) -> impl Iterator<Item = (&'a Request, &'a Request)> {
    step.before.database.requests.iter().zip(&step.after.database.requests)
}

fn result_stays(_: &Protocol, step: &Step<'_, Protocol>) -> bool {
    pairs(step).all(|(before, after)| before.results.is_empty() || before.results == after.results)
}

/// The write that arrives in this step.
fn written(step: &Step<'_, Protocol>) -> Option<(Task, Write)> {
    match step.action.0.arriving() {
        Some(Message::Write(task, write)) => Some((task, write)),
        Some(Message::Register | Message::Beat { .. } | Message::Claim { .. }) | None => None,
    }
}

/// The same, when its lease is there.
fn accepted(step: &Step<'_, Protocol>) -> Option<(Task, Write)> {
    written(step).filter(|(task, _)| step.before.database.lease(*task).is_some())
}

/// The same, when it is not.
fn stale(step: &Step<'_, Protocol>) -> Option<(Task, Write)> {
    written(step).filter(|(task, _)| step.before.database.lease(*task).is_none())
}

fn stale_write_changes_nothing(_: &Protocol, step: &Step<'_, Protocol>) -> bool {
    stale(step).is_none() || step.before.database == step.after.database
}

fn fence_grows(_: &Protocol, step: &Step<'_, Protocol>) -> bool {
    pairs(step).all(|(before, after)| {
        let claimed = matches!(step.action.0.arriving(), Some(Message::Claim { .. })) && after.lease != before.lease;
        after.life.fence() == before.life.fence() + u8::from(claimed)
    })
}

fn only_failures_burn(_: &Protocol, step: &Step<'_, Protocol>) -> bool {
    (0..).zip(pairs(step)).all(|(id, (before, after))| {
        let failed = match accepted(step) {
            Some((task, Write::Settle(Report::Failure))) => task.request == id && before.life.0.stop != CANCEL,
            Some((_, Write::Start | Write::Release | Write::Settle(_))) | None => false,
        };
        after.life.0.burned == before.life.0.burned + u16::from(failed)
    })
}

fn only_lost_workers_count(_: &Protocol, step: &Step<'_, Protocol>) -> bool {
    (0..).zip(pairs(step)).all(|(id, (before, after))| {
        after.life.0.crashes <= before.life.0.crashes + u16::from(step.action.0 == Act::Reap(id))
    })
}

/// Or the bounds of the exploration were reached, behind which nothing is known: no claim is left, or no worker.
fn all_ended(protocol: &Protocol, world: &World) -> bool {
    let no_claim_left = |request: &Request| request.lease.is_none() && request.life.fence() >= protocol.bounds.claims;
    let lives = |worker: &Worker| worker.session.is_some_and(|session| world.database.lives(session));
    let no_worker_left = world.database.entered >= protocol.bounds.sessions && !world.workers.iter().any(lives);
    no_worker_left
        || world.database.requests.iter().all(|request| !request.results.is_empty() || no_claim_left(request))
}

/// No accident, no whim, and nobody is taken for lost who is there.
fn goes_well(_: &Protocol, step: &Step<'_, Protocol>) -> bool {
    match step.action.0 {
        Act::GiveUp(..) | Act::Freeze(_) | Act::Crash(..) | Act::Cancel(_) | Act::Pause(_) | Act::Drain(_) => false,
        Act::MarkLost(session) => !step.before.workers.iter().any(|worker| worker.session == Some(session)),
        _ => true,
    }
}

const CANCEL: Option<StopKind> = Some(StopKind::Cancel);

/// The requests that came into this state by this step.
fn became(step: &Step<'_, Protocol>, is: impl Fn(RequestState) -> bool) -> bool {
    pairs(step).any(|(before, after)| is(after.life.0.state) && !is(before.life.0.state))
}

fn completed(_: &Protocol, step: &Step<'_, Protocol>) -> bool {
    became(step, |state| state == RequestState::Completed)
}

/// By one worker, after the other was lost with it.
fn taken_over(protocol: &Protocol, step: &Step<'_, Protocol>) -> bool {
    let (Act::Arrive(worker, ..) | Act::Call(worker, _)) = step.action.0 else { return false };
    let other = step.before.workers.get(usize::from(1 - worker));
    let other_is_lost = other.is_some_and(|other| other.session.is_none_or(|id| !step.before.database.lives(id)));
    let was_lost = step.before.database.requests.iter().any(|request| request.life.0.crashes > 0);
    other_is_lost && was_lost && completed(protocol, step)
}

fn tried_again(protocol: &Protocol, step: &Step<'_, Protocol>) -> bool {
    step.before.database.requests.iter().any(|request| request.life.0.burned > 0) && completed(protocol, step)
}

fn out_of_attempts(_: &Protocol, step: &Step<'_, Protocol>) -> bool {
    became(step, |state| state == RequestState::Failed(FailureClass::NoResult))
}

fn stale_settlement(_: &Protocol, step: &Step<'_, Protocol>) -> bool {
    matches!(stale(step), Some((task, Write::Settle(_)))
        if step.before.database.requests.get(usize::from(task.request)).is_some_and(|request| request.lease.is_some()))
}

/// The first was heard, but not its answer.
fn settlement_repeated(_: &Protocol, step: &Step<'_, Protocol>) -> bool {
    matches!(stale(step), Some((task, Write::Settle(Report::Success)))
    if step.before.database.requests.get(usize::from(task.request)).is_some_and(|request| {
        request.results == [ResultStatus::Success] && request.life.fence() == task.fence
    }))
}

fn cancelled_running(_: &Protocol, step: &Step<'_, Protocol>) -> bool {
    matches!(accepted(step), Some((_, Write::Settle(Report::Stopped))))
        && became(step, |state| state == RequestState::Cancelled)
}

fn cancel_lost(protocol: &Protocol, step: &Step<'_, Protocol>) -> bool {
    step.before.database.requests.iter().any(|request| request.life.0.stop == CANCEL) && completed(protocol, step)
}

fn paused_running(_: &Protocol, step: &Step<'_, Protocol>) -> bool {
    matches!(accepted(step), Some((_, Write::Settle(Report::Stopped))))
        && became(step, |state| state == RequestState::Paused)
}

fn lost_claim_taken_back(_: &Protocol, step: &Step<'_, Protocol>) -> bool {
    matches!(step.action.0.arriving(), Some(Message::Beat { .. }))
        && pairs(step).any(|(before, after)| before.lease.is_some() && after.queued)
}

fn late_start(_: &Protocol, step: &Step<'_, Protocol>) -> bool {
    matches!((step.action.0, stale(step)), (Act::Arrive(..), Some((_, Write::Start))))
}

fn quarantined(_: &Protocol, step: &Step<'_, Protocol>) -> bool {
    became(step, |state| state == RequestState::Failed(FailureClass::Quarantined))
}

fn released(protocol: &Protocol, step: &Step<'_, Protocol>) -> bool {
    matches!(accepted(step), Some((_, Write::Release))) && step.before.budget.drains < protocol.bounds.drains
}

fn frozen_killed(_: &Protocol, step: &Step<'_, Protocol>) -> bool {
    matches!(step.action.0, Act::Kill(_, worker, _) if step.before.is_frozen(worker))
}

fn lost_refused(_: &Protocol, step: &Step<'_, Protocol>) -> bool {
    matches!(step.action.0.arriving(), Some(Message::Beat { session, .. }) if !step.before.database.lives(session))
}
