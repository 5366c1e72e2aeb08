//! The protocol as a model: in each state, everything that can happen next.
//!
//! Nothing is in time unless it must be: messages and answers take as long as they like, workers act when they like,
//! and the reaper comes when it likes. The one exception is what the protocol rests on: an agent whose time is over
//! is killed before time goes on.

use eve_core::RequestEvent;
use eve_core::RequestState;
use eve_core::RetryPolicy;

use crate::action::Act;
use crate::action::Action;
use crate::action::Fate;
use crate::action::Line;
use crate::checker::Model;
use crate::life::Life;
use crate::rules::Bounds;
use crate::rules::Rules;
use crate::world::Agent;
use crate::world::Answer;
use crate::world::Call;
use crate::world::Lease;
use crate::world::Message;
use crate::world::Report;
use crate::world::Request;
use crate::world::Session;
use crate::world::Work;
use crate::world::Worker;
use crate::world::World;
use crate::world::Write;

/// The protocol under some rules, within some bounds.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// What is in force.
    pub rules: Rules,
    /// How much is explored.
    pub bounds: Bounds,
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn initial(&self) -> World {
        let policy = RetryPolicy { max_attempts: self.bounds.max_attempts, max_crashes: self.bounds.max_crashes };
        let life = Life::ready(policy);
        let request = Request { life, queued: true, parked: false, lease: None, results: Vec::new() };
        World::new(&self.rules, &self.bounds, &request)
    }

    fn steps(&self, state: &World) -> Vec<(Action, World)> {
        if state.is_over() {
            return Vec::new();
        }
        let mut steps = Steps { protocol: self, state, found: Vec::with_capacity(16) };
        steps.time();
        for (id, worker) in (0..).zip(&state.workers) {
            steps.network(id, worker);
            steps.faults(id, worker);
            if !worker.frozen {
                steps.worker(id, worker);
            }
        }
        steps.database();
        steps.people();
        steps.found
    }
}

/// Collects the steps of a state.
struct Steps<'a> {
    protocol: &'a Protocol,
    state: &'a World,
    found: Vec<(Action, World)>,
}

impl Steps<'_> {
    /// Adds a step unless it leaves everything as it is.
    fn add(&mut self, act: Act, change: impl FnOnce(&mut World)) {
        let mut after = self.state.clone();
        change(&mut after);
        after.tidy(&self.protocol.rules, &self.protocol.bounds);
        if after != *self.state {
            self.found.push((Action(act), after));
        }
    }

    fn time(&mut self) {
        let Protocol { rules, bounds } = self.protocol;
        if !self.state.owes_a_kill(rules) {
            self.add(Act::Tick, |world| world.tick(rules, bounds));
        }
        for (index, agent) in self.state.agents.iter().enumerate() {
            let over = agent.left <= bounds.drift && (rules.keeper || !self.state.is_frozen(agent.worker));
            if over || agent.orphan {
                self.add(Act::Kill(index, agent.worker, agent.task), |world| {
                    world.agents.remove(index);
                });
            }
        }
    }

    /// What becomes of a worker's calls on the way, whatever the worker does.
    fn network(&mut self, id: u8, worker: &Worker) {
        for (line, call) in [(Line::Beat, worker.beat), (Line::Work, worker.call)] {
            if let Some(call @ Call { message, answer: None, .. }) = call {
                self.arrive(Act::Arrive(id, line, message), message, |world, answer| {
                    let answered = Call { answer: Some(answer), ..call };
                    world.workers[usize::from(id)].put(line, answered);
                });
            }
        }
    }

    fn arrive(&mut self, act: Act, message: Message, deliver: impl FnOnce(&mut World, Answer)) {
        let Protocol { rules, bounds } = self.protocol;
        let mut after = self.state.clone();
        if let Some(answer) = after.database.receive(rules, bounds, message) {
            deliver(&mut after, answer);
            after.tidy(rules, bounds);
            self.found.push((Action(act), after));
        }
    }

    fn worker(&mut self, id: u8, worker: &Worker) {
        let Protocol { rules, bounds } = self.protocol;
        let index = usize::from(id);
        match worker.beat {
            None => self.send(id, Line::Beat, worker.next_beat()),
            Some(Call { message, answer: Some(_), .. }) => {
                self.add(Act::Hear(id, message), |world| world.hear(rules, bounds, id, Line::Beat));
            }
            Some(Call { answer: None, .. }) => {}
        }
        match (worker.call, worker.next_call()) {
            (None, Some(message)) => self.send(id, Line::Work, message),
            (Some(Call { message, answer: Some(_), .. }), _) => {
                self.add(Act::Hear(id, message), |world| world.hear(rules, bounds, id, Line::Work));
            }
            (Some(Call { answer: None, .. }), _) | (None, None) => {}
        }
        match worker.work {
            Work::Spawning(task, left) if left > 0 => self.add(Act::Spawn(id, task), |world| {
                world.agents.push(Agent { worker: id, task, left, orphan: false });
                world.workers[index].work = Work::Running(task);
            }),
            Work::Running(task) if self.state.agent(id, task).is_some() => {
                self.end_agent(id, Report::Success);
                self.end_agent(id, Report::Failure);
                if self.state.budget.drains > 0 {
                    self.add(Act::Drain(id), |world| {
                        world.budget.drains -= 1;
                        world.kill_agents_of(id);
                        world.workers[index].work = Work::Ending(task, Write::Release);
                    });
                }
            }
            Work::Spawning(task, _) | Work::Running(task) => {
                self.add(Act::FindDead(id), |world| world.workers[index].end_unfinished(rules, task));
            }
            Work::Idle | Work::Starting(_) | Work::Ending(..) => {}
        }
    }

    fn send(&mut self, id: u8, line: Line, message: Message) {
        let Protocol { rules, bounds } = self.protocol;
        let slow = id < bounds.slow_workers;
        let mut after = self.state.clone();
        let answer = if slow { None } else { after.database.receive(rules, bounds, message) };
        after.workers[usize::from(id)].put(line, Call { message, answer, age: 0 });
        if answer.is_some() {
            after.hear(rules, bounds, id, line);
        } else if !slow {
            return;
        }
        let act = if slow { Act::Send(id, message) } else { Act::Call(id, message) };
        self.add(act, |world| *world = after);
    }

    fn end_agent(&mut self, id: u8, report: Report) {
        let fails = u8::from(report == Report::Failure);
        let index = usize::from(id);
        if let Some(task) = self.state.workers[index].work.task()
            && self.state.budget.failures >= fails
        {
            self.add(Act::AgentEnds(id, report), |world| {
                world.budget.failures -= fails;
                world.kill_agents_of(id);
                world.workers[index].work = Work::Ending(task, Write::Settle(report));
            });
        }
    }

    fn faults(&mut self, id: u8, worker: &Worker) {
        let index = usize::from(id);
        let budget = &self.state.budget;
        let room = self.state.strays.len() < self.protocol.bounds.strays;
        let can_stray = |call: &Call| room && call.answer.is_none() && call.message != Message::Register;
        if worker.frozen {
            self.add(Act::Thaw(id), |world| world.workers[index].frozen = false);
        } else if budget.freezes > 0 && self.state.agents.iter().any(|agent| agent.worker == id) {
            // Without an agent it is only slow, which every worker may be anyway.
            self.add(Act::Freeze(id), |world| {
                world.budget.freezes -= 1;
                world.workers[index].frozen = true;
            });
        }
        let calls = [(Line::Beat, worker.beat), (Line::Work, worker.call)];
        for fate in [Fate::Lost, Fate::Stray] {
            for (line, call) in calls {
                let Some(call) = call.filter(|call| fate == Fate::Lost || can_stray(call)) else { continue };
                if budget.lost_calls == 0 || worker.frozen {
                    continue;
                }
                self.add(Act::GiveUp(id, line, fate, call.message), |world| {
                    world.budget.lost_calls -= 1;
                    match line {
                        Line::Beat => world.workers[index].beat = None,
                        Line::Work => world.workers[index].give_up_call(),
                    }
                    if fate == Fate::Stray {
                        world.stray(call.message);
                    }
                });
            }
            let stray = calls.iter().rev().filter_map(|(_, call)| *call).find(can_stray);
            if budget.crashes == 0 || worker.session.is_none() || (fate == Fate::Stray && stray.is_none()) {
                continue;
            }
            self.add(Act::Crash(id, fate), |world| {
                world.budget.crashes -= 1;
                world.workers[index] = Worker::new();
                for agent in world.agents.iter_mut().filter(|agent| agent.worker == id) {
                    agent.orphan = true;
                }
                if let (Fate::Stray, Some(call)) = (fate, stray) {
                    world.stray(call.message);
                }
            });
        }
    }

    /// Messages that come late, and what the database does by itself.
    fn database(&mut self) {
        for (index, message) in self.state.strays.iter().enumerate() {
            self.arrive(Act::ArriveLate(index, *message), *message, |world, _| {
                world.strays.remove(index);
            });
        }
        for session in self.state.database.sessions.iter().filter(|session| session.left < 0 && !session.lost) {
            self.add(Act::MarkLost(session.id), |world| world.database.mark_lost(session.id));
        }
        for (id, request) in (0..).zip(&self.state.database.requests) {
            let at_it = |row: &Session| row.reaping && (row.lost || !self.protocol.rules.reaper_looks_again);
            let reaped =
                |lease: Lease| self.state.database.sessions.iter().any(|row| row.id == lease.session && at_it(row));
            if request.lease.is_some_and(reaped) {
                self.add(Act::Reap(id), |world| world.database.reap(id));
            }
            if request.life.rests() {
                self.add(Act::Due(id), |world| world.database.requests[usize::from(id)].fall_due());
            }
        }
    }

    fn people(&mut self) {
        for (id, request) in (0..).zip(&self.state.database.requests) {
            let index = usize::from(id);
            if request.life.0.state.name().is_terminal() {
                continue;
            }
            if self.state.budget.cancels > 0 {
                self.add(Act::Cancel(id), |world| {
                    world.budget.cancels -= 1;
                    world.database.requests[index].happen(&RequestEvent::CancelRequested);
                });
            }
            if request.life.0.state == RequestState::Paused {
                self.add(Act::Resume(id), |world| {
                    world.database.requests[index].happen(&RequestEvent::Resumed);
                });
            } else if self.state.budget.pauses > 0 {
                self.add(Act::Pause(id), |world| {
                    world.budget.pauses -= 1;
                    world.database.requests[index].happen(&RequestEvent::PauseRequested);
                });
            }
        }
    }
}
