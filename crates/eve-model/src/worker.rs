//! What a worker does by itself and with each answer.

use crate::action::Line;
use crate::rules::Bounds;
use crate::rules::Deadline;
use crate::rules::Rules;
use crate::world::Answer;
use crate::world::Call;
use crate::world::Message;
use crate::world::Report;
use crate::world::Task;
use crate::world::Work;
use crate::world::Worker;
use crate::world::Write;

impl Worker {
    /// A process that was just started.
    pub(crate) const fn new() -> Self {
        Self { session: None, left: 0, frozen: false, beat: None, work: Work::Idle, call: None }
    }

    /// The message of the next heartbeat, or of entering when there is no session.
    pub(crate) const fn next_beat(&self) -> Message {
        match self.session {
            None => Message::Register,
            Some(session) => Message::Beat { session, holds: self.work.task() },
        }
    }

    /// What the work waits to send, if anything.
    pub(crate) const fn next_call(&self) -> Option<Message> {
        match (self.work, self.session) {
            (Work::Idle, Some(session)) if self.left > 0 => Some(Message::Claim { session }),
            (Work::Starting(task), _) => Some(Message::Write(task, Write::Start)),
            (Work::Ending(task, write), _) => Some(Message::Write(task, write)),
            (Work::Idle | Work::Spawning(..) | Work::Running(_), _) => None,
        }
    }

    /// A call is under way.
    pub(crate) const fn put(&mut self, line: Line, call: Call) {
        match line {
            Line::Beat => self.beat = Some(call),
            Line::Work => self.call = Some(call),
        }
    }

    /// The answer to the heartbeat is here. Whether its agent must be killed.
    pub(crate) fn heed(&mut self, rules: &Rules, bounds: &Bounds) -> bool {
        let Some(Call { message, answer: Some(answer), age }) = self.beat.take() else { return false };
        // What was said about an attempt says nothing about the next one.
        let asked_about = match message {
            Message::Beat { holds, .. } => holds.filter(|task| self.work.task() == Some(*task)),
            Message::Register | Message::Claim { .. } | Message::Write(..) => None,
        };
        if answer == Answer::Refused {
            (self.session, self.left) = (None, 0);
            self.drop_work();
            return true;
        }
        if let Answer::Session(session) = answer {
            self.session = Some(session);
        }
        let gone = if rules.deadline == Deadline::Sent { age } else { 0 };
        self.left = self.left.max(grant(rules, bounds).saturating_sub(gone));
        match (answer, asked_about) {
            (Answer::Stale, Some(_)) => {
                self.drop_work();
                true
            }
            (Answer::Stop, Some(task)) if matches!(self.work, Work::Spawning(..) | Work::Running(_)) => {
                self.work = Work::Ending(task, Write::Settle(Report::Stopped));
                true
            }
            _ => false,
        }
    }

    /// The answer to the work's call is here.
    pub(crate) fn go_on(&mut self, rules: &Rules, bounds: &Bounds) {
        let Some(Call { answer: Some(answer), .. }) = self.call.take() else { return };
        if rules.claim_wins_time && matches!(answer, Answer::Claimed(_)) {
            self.left = grant(rules, bounds);
        }
        self.work = match (self.work, answer) {
            (Work::Idle, Answer::Claimed(task)) if rules.start_is_awaited => Work::Starting(task),
            (Work::Idle, Answer::Claimed(task)) => Work::Spawning(task, self.left),
            (Work::Starting(task), Answer::Done) => Work::Spawning(task, self.left),
            _ => Work::Idle,
        };
    }

    /// Waits no more for the answer to the work's call. A start is not tried again: who knows what it did.
    pub(crate) fn give_up_call(&mut self) {
        self.call = None;
        if let Work::Starting(task) = self.work {
            self.work = Work::Ending(task, Write::Release);
        }
    }

    /// Has nothing to do with its attempt any more.
    fn drop_work(&mut self) {
        self.work = Work::Idle;
        self.call = None;
    }

    /// The agent is gone, or cannot be started in time.
    pub(crate) fn end_unfinished(&mut self, rules: &Rules, task: Task) {
        self.work = if rules.killed_is_released { Work::Ending(task, Write::Release) } else { Work::Idle };
    }
}

/// Ticks that a heartbeat wins, by the worker's clock when that loses as much as it may.
pub(crate) const fn grant(rules: &Rules, bounds: &Bounds) -> u8 {
    bounds.lease.saturating_sub(rules.margin) + bounds.drift
}
