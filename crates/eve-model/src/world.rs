//! What there is: the database's rows, the workers, the agents, the messages between them.

use eve_core::ResultStatus;
use eve_core::StateName;
use eve_core::StopKind;

use crate::action::Line;
use crate::database::period;
use crate::life::Life;
use crate::rules::Bounds;
use crate::rules::Rules;
use crate::rules::Unnamed;
use crate::worker::grant;

/// An attempt: a request and the fence of one claim of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Task {
    pub(crate) request: u8,
    pub(crate) fence: u8,
}

/// How a worker says that an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Report {
    /// Done.
    Success,
    /// Failed in a way that counts.
    Failure,
    /// Stopped because a person wanted it.
    Stopped,
}

/// What an attempt writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Write {
    Start,
    Settle(Report),
    Release,
}

/// What a worker sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Message {
    /// Enters.
    Register,
    /// Says that it lives, and what it holds.
    Beat { session: u8, holds: Option<Task> },
    /// Wants a request.
    Claim { session: u8 },
    /// Writes for an attempt.
    Write(Task, Write),
}

/// What a worker hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    /// Entered.
    Session(u8),
    /// Go on.
    Continue,
    /// Stop the agent and report.
    Stop,
    /// The attempt's lease is gone.
    Stale,
    /// The session is lost; enter again.
    Refused,
    /// The request is yours.
    Claimed(Task),
    /// Written.
    Done,
}

/// A call of a worker's that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Call {
    pub(crate) message: Message,
    /// There once the database has acted; on its way to the worker.
    pub(crate) answer: Option<Answer>,
    /// Ticks since it was sent, for a heartbeat.
    pub(crate) age: u8,
}

/// What a worker is at; one attempt at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    /// Nothing, or claiming.
    Idle,
    /// Asking for leave to start the agent.
    Starting(Task),
    /// Has leave and has looked at the clock: so much was left, as the keeper will be told.
    Spawning(Task, u8),
    /// The agent was started.
    Running(Task),
    /// The agent is gone; telling so until it is heard.
    Ending(Task, Write),
}

impl Work {
    /// The attempt that the worker has, if any.
    pub(crate) const fn task(self) -> Option<Task> {
        match self {
            Self::Idle => None,
            Self::Starting(task) | Self::Spawning(task, _) | Self::Running(task) | Self::Ending(task, _) => Some(task),
        }
    }
}

/// A worker's process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Worker {
    pub(crate) session: Option<u8>,
    /// Ticks until it must have killed its agents, if its clock loses as much as it may.
    pub(crate) left: u8,
    pub(crate) frozen: bool,
    /// Its heartbeat.
    pub(crate) beat: Option<Call>,
    pub(crate) work: Work,
    /// The call that its work waits for.
    pub(crate) call: Option<Call>,
}

/// An agent's processes, with their keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Agent {
    pub(crate) worker: u8,
    pub(crate) task: Task,
    /// Ticks until its keeper must have killed it.
    pub(crate) left: u8,
    /// Its worker's process has ended, and the keeper may see it at any time.
    pub(crate) orphan: bool,
}

/// A lease's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    pub(crate) session: u8,
    pub(crate) fence: u8,
    /// Ticks since the claim, counted up to the length of a lease period.
    pub(crate) age: u8,
    pub(crate) stop: Option<StopKind>,
}

/// A request's rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    pub(crate) life: Life,
    pub(crate) queued: bool,
    pub(crate) parked: bool,
    pub(crate) lease: Option<Lease>,
    pub(crate) results: Vec<ResultStatus>,
}

/// A worker's row. One that was lost and whose leases are all back is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    pub(crate) id: u8,
    /// Ticks until `lease_until`; below zero, it is in the past.
    pub(crate) left: i8,
    pub(crate) lost: bool,
    /// The reaper is at its leases, one transaction each.
    pub(crate) reaping: bool,
}

/// The database.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Database {
    pub(crate) requests: Vec<Request>,
    pub(crate) sessions: Vec<Session>,
    /// How many sessions there were.
    pub(crate) entered: u8,
}

/// What may still go wrong, or be wanted by people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    pub(crate) lost_calls: u8,
    pub(crate) crashes: u8,
    pub(crate) freezes: u8,
    pub(crate) cancels: u8,
    pub(crate) pauses: u8,
    pub(crate) drains: u8,
    pub(crate) failures: u8,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub(crate) database: Database,
    pub(crate) workers: Vec<Worker>,
    pub(crate) agents: Vec<Agent>,
    /// In flight, but nobody waits for the answer any more.
    pub(crate) strays: Vec<Message>,
    pub(crate) budget: Budget,
}

impl World {
    /// Two workers that have just entered, and requests that may be claimed.
    pub(crate) fn new(rules: &Rules, bounds: &Bounds, request: &Request) -> Self {
        let worker = |id| Worker { session: Some(id), left: grant(rules, bounds), ..Worker::new() };
        let left = period(rules, bounds);
        Self {
            database: Database {
                requests: vec![request.clone(); usize::from(bounds.requests)],
                sessions: (0..2).map(|id| Session { id, left, lost: false, reaping: false }).collect(),
                entered: 2,
            },
            workers: (0..2).map(worker).collect(),
            agents: Vec::new(),
            strays: Vec::new(),
            budget: Budget {
                lost_calls: bounds.lost_calls,
                crashes: bounds.crashes,
                freezes: bounds.freezes,
                cancels: bounds.cancels,
                pauses: bounds.pauses,
                drains: bounds.drains,
                failures: bounds.failures,
            },
        }
    }

    /// The agent of this worker's attempt.
    pub(crate) fn agent(&self, worker: u8, task: Task) -> Option<&Agent> {
        self.agents.iter().find(|agent| agent.worker == worker && agent.task == task && !agent.orphan)
    }

    /// A worker hears the answer to a call.
    pub(crate) fn hear(&mut self, rules: &Rules, bounds: &Bounds, id: u8, line: Line) {
        let Some(worker) = self.workers.get_mut(usize::from(id)) else { return };
        match line {
            Line::Work => worker.go_on(rules, bounds),
            Line::Beat => {
                let must_kill = worker.heed(rules, bounds);
                let left = worker.left;
                if must_kill {
                    self.kill_agents_of(id);
                }
                // The keepers of a worker's agents know what the worker knows.
                for agent in self.agents.iter_mut().filter(|agent| agent.worker == id && !agent.orphan) {
                    agent.left = left;
                }
            }
        }
    }

    /// Whether nothing that is still to come concerns a request.
    pub(crate) fn is_over(&self) -> bool {
        let writes = |message: &Message| matches!(message, Message::Write(..));
        self.agents.is_empty()
            && self.database.requests.iter().all(|request| !request.results.is_empty())
            && self.workers.iter().all(|worker| worker.work == Work::Idle)
            && !self.strays.iter().any(writes)
    }

    /// Forgets what makes no difference any more, so that equal worlds look equal.
    pub(crate) fn tidy(&mut self, rules: &Rules, bounds: &Bounds) {
        self.database.forget_reaped();
        for request in &mut self.database.requests {
            if let Some(lease) = &mut request.lease
                && rules.unnamed == Unnamed::NotStarted
                && request.life.0.state.name() == StateName::Processing
            {
                lease.age = bounds.lease;
            }
        }
        for beat in self.workers.iter_mut().filter_map(|worker| worker.beat.as_mut()) {
            if beat.answer == Some(Answer::Refused) {
                beat.age = 0;
            }
        }
    }

    /// A worker kills what it runs.
    pub(crate) fn kill_agents_of(&mut self, worker: u8) {
        self.agents.retain(|agent| agent.worker != worker || agent.orphan);
    }

    /// A message stays in flight, though nobody waits for its answer.
    pub(crate) fn stray(&mut self, message: Message) {
        self.strays.push(message);
        self.strays.sort_unstable();
    }

    /// Time passes everywhere.
    pub(crate) fn tick(&mut self, rules: &Rules, bounds: &Bounds) {
        self.database.tick(bounds);
        for worker in &mut self.workers {
            worker.left = worker.left.saturating_sub(1);
            if let Some(beat) = &mut worker.beat {
                beat.age = (beat.age + 1).min(grant(rules, bounds));
            }
            if let Work::Spawning(_, left) = &mut worker.work
                && rules.keeper_told_when
            {
                *left = left.saturating_sub(1);
            }
        }
        for agent in &mut self.agents {
            agent.left = agent.left.saturating_sub(1);
        }
    }

    /// Whether somebody must kill an agent before time may pass.
    pub(crate) fn owes_a_kill(&self, rules: &Rules) -> bool {
        self.agents.iter().any(|agent| agent.left == 0 && (rules.keeper || !self.is_frozen(agent.worker)))
    }

    /// Whether the worker's process is stopped.
    pub(crate) fn is_frozen(&self, worker: u8) -> bool {
        self.workers.get(usize::from(worker)).is_some_and(|worker| worker.frozen)
    }
}
