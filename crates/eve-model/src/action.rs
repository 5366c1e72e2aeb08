//! What can happen in one step.

use std::fmt;

use crate::world::Message;
use crate::world::Report;
use crate::world::Task;
use crate::world::Write;

/// Which of a worker's two calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    Beat,
    Work,
}

/// What becomes of a message that nobody waits for any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Lost,
    Stray,
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action(pub(crate) Act);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Time passes.
    Tick,
    /// A worker sends.
    Send(u8, Message),
    /// A worker calls and hears the answer at once.
    Call(u8, Message),
    /// The database acts on a worker's message.
    Arrive(u8, Line, Message),
    /// The database acts on a message that nobody waits for.
    ArriveLate(usize, Message),
    /// A worker hears the answer.
    Hear(u8, Message),
    /// A worker waits no more for the answer.
    GiveUp(u8, Line, Fate, Message),
    /// The agent begins.
    Spawn(u8, Task),
    /// The agent ends by itself.
    AgentEnds(u8, Report),
    /// A worker finds its agent killed, or its time over before it began.
    FindDead(u8),
    /// A worker stops its agent because it is to shut down.
    Drain(u8),
    /// An agent is killed because time is over, or because its worker is gone.
    Kill(usize, u8, Task),
    /// A worker is stopped by a signal.
    Freeze(u8),
    /// It goes on.
    Thaw(u8),
    /// A worker's process ends, and starts again.
    Crash(u8, Fate),
    /// The reaper sees that a worker's time is over.
    MarkLost(u8),
    /// The reaper takes back one lease of a lost worker.
    Reap(u8),
    /// What a request rested for is over.
    Due(u8),
    /// A person cancels.
    Cancel(u8),
    /// A person pauses.
    Pause(u8),
    /// A person resumes.
    Resume(u8),
}

impl Act {
    /// The message on which the database acts.
    pub(crate) const fn arriving(self) -> Option<Message> {
        match self {
            Self::Call(_, message) | Self::Arrive(_, _, message) | Self::ArriveLate(_, message) => Some(message),
            _ => None,
        }
    }
}

/// Workers are A and B, requests 1, 2, …
fn name(worker: u8) -> char {
    char::from(b'A' + worker)
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {} fence {}", self.request + 1, self.fence)
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Register => f.write_str("register"),
            Self::Beat { session, holds: None } => write!(f, "heartbeat(session {session}, nothing)"),
            Self::Beat { session, holds: Some(task) } => write!(f, "heartbeat(session {session}, {task})"),
            Self::Claim { session } => write!(f, "claim(session {session})"),
            Self::Write(task, Write::Start) => write!(f, "start({task})"),
            Self::Write(task, Write::Settle(report)) => write!(f, "settle({task}, {report:?})"),
            Self::Write(task, Write::Release) => write!(f, "release({task})"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Act::Tick => f.write_str("a tick passes"),
            Act::Send(worker, message) => write!(f, "{} sends {message}", name(worker)),
            Act::Call(worker, message) => write!(f, "{} sends {message} and hears the answer", name(worker)),
            Act::Arrive(worker, _, message) => write!(f, "database takes {}'s {message}", name(worker)),
            Act::ArriveLate(_, message) => write!(f, "database takes a late {message}"),
            Act::Hear(worker, message) => write!(f, "{} hears the answer to {message}", name(worker)),
            Act::GiveUp(worker, _, Fate::Lost, message) => {
                write!(f, "{} gives up {message}, which is lost, or its answer", name(worker))
            }
            Act::GiveUp(worker, _, Fate::Stray, message) => {
                write!(f, "{} gives up {message}, which stays in flight", name(worker))
            }
            Act::Spawn(worker, task) => write!(f, "{} starts the agent of {task}", name(worker)),
            Act::AgentEnds(worker, report) => write!(f, "{}'s agent ends: {report:?}", name(worker)),
            Act::FindDead(worker) => write!(f, "{} finds its time over", name(worker)),
            Act::Drain(worker) => write!(f, "{} drains", name(worker)),
            Act::Kill(_, worker, task) => write!(f, "{}'s agent of {task} is killed", name(worker)),
            Act::Freeze(worker) => write!(f, "{} freezes", name(worker)),
            Act::Thaw(worker) => write!(f, "{} thaws", name(worker)),
            Act::Crash(worker, Fate::Lost) => write!(f, "{} crashes", name(worker)),
            Act::Crash(worker, Fate::Stray) => write!(f, "{} crashes, its messages stay in flight", name(worker)),
            Act::MarkLost(session) => write!(f, "reaper marks session {session} lost"),
            Act::Reap(request) => write!(f, "reaper takes back request {}", request + 1),
            Act::Due(request) => write!(f, "request {} falls due", request + 1),
            Act::Cancel(request) => write!(f, "a person cancels request {}", request + 1),
            Act::Pause(request) => write!(f, "a person pauses request {}", request + 1),
            Act::Resume(request) => write!(f, "a person resumes request {}", request + 1),
        }
    }
}
