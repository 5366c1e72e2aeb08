//! What the database does with each message: one transaction each, and all decisions by `RequestLife::apply`.

use eve_core::Effect;
use eve_core::Fence;
use eve_core::Place;
use eve_core::RequestEvent;
use eve_core::StateName;

use crate::life;
use crate::life::Life;
use crate::rules::Bounds;
use crate::rules::Clock;
use crate::rules::Guard;
use crate::rules::Rules;
use crate::rules::Unnamed;
use crate::world::Answer;
use crate::world::Database;
use crate::world::Lease;
use crate::world::Message;
use crate::world::Request;
use crate::world::Session;
use crate::world::Task;
use crate::world::Write;

impl Request {
    /// Writes what was decided, row by row, as the store does.
    fn write(&mut self, (after, effects): (Life, Vec<Effect>)) {
        self.life = after;
        for effect in effects {
            match effect {
                Effect::StopAttempt(_) => {
                    if let Some(lease) = &mut self.lease {
                        lease.stop = after.0.stop;
                    }
                }
                Effect::EndAttempt { .. } => self.lease = None,
                Effect::WriteResult(status) => self.results.push(status),
                Effect::FreeDependants | Effect::Emit(_) => {}
            }
        }
        let place = after.place();
        (self.queued, self.parked) = (place == Place::Queue, place == Place::Parked);
    }

    /// Applies an event; false when it is refused.
    pub(crate) fn happen(&mut self, event: &RequestEvent) -> bool {
        match self.life.apply(event) {
            Ok(decided) => {
                self.write(decided);
                true
            }
            Err(_) => false,
        }
    }

    /// What it rested for is over.
    pub(crate) fn fall_due(&mut self) {
        self.life = self.life.due();
        (self.queued, self.parked) = (true, false);
    }
}

impl Database {
    /// A message arrives. Nothing when the database keeps it until there is something to answer.
    pub(crate) fn receive(&mut self, rules: &Rules, bounds: &Bounds, message: Message) -> Option<Answer> {
        match message {
            Message::Register => self.enter(rules, bounds),
            Message::Beat { session, holds } => Some(self.beat(rules, bounds, session, holds)),
            Message::Claim { session } => self.claim(rules, bounds, session),
            Message::Write(task, write) => Some(self.write(rules, task, write)),
        }
    }

    fn enter(&mut self, rules: &Rules, bounds: &Bounds) -> Option<Answer> {
        if self.entered >= bounds.sessions {
            return None;
        }
        let id = self.entered;
        self.entered += 1;
        self.sessions.push(Session { id, left: period(rules, bounds), lost: false, reaping: false });
        Some(Answer::Session(id))
    }

    fn beat(&mut self, rules: &Rules, bounds: &Bounds, session: u8, holds: Option<Task>) -> Answer {
        if !self.lives(session) && rules.lost_is_final {
            return Answer::Refused;
        }
        let left = period(rules, bounds);
        match self.sessions.iter_mut().find(|row| row.id == session) {
            Some(row) => (row.left, row.lost) = (left, false),
            None => self.sessions.push(Session { id: session, left, lost: false, reaping: false }),
        }
        for (request, row) in (0..).zip(&mut self.requests) {
            if let Some(lease) = row.lease
                && lease.session == session
                && holds != Some(Task { request, fence: lease.fence })
                && lease.age >= bounds.lease
                && match rules.unnamed {
                    Unnamed::NotStarted => row.life.0.state.name() == StateName::Claimed,
                    Unnamed::Old => true,
                    Unnamed::None => false,
                }
            {
                row.happen(&RequestEvent::Released { fence: Fence(lease.fence.into()) });
            }
        }
        match holds {
            None => Answer::Continue,
            Some(task) => match self.lease(task) {
                None => Answer::Stale,
                Some(Lease { stop: Some(_), .. }) => Answer::Stop,
                Some(Lease { stop: None, .. }) => Answer::Continue,
            },
        }
    }

    fn claim(&mut self, rules: &Rules, bounds: &Bounds, session: u8) -> Option<Answer> {
        if rules.claim_needs_life && !self.lives(session) {
            return Some(Answer::Refused);
        }
        let may = |row: &Request| row.queued && row.life.fence() < bounds.claims;
        let (request, row) = (0..).zip(&mut self.requests).find(|(_, row)| may(row))?;
        if !row.happen(&row.life.claim()) {
            return None;
        }
        let fence = row.life.fence();
        row.lease = Some(Lease { session, fence, age: 0, stop: None });
        Some(Answer::Claimed(Task { request, fence }))
    }

    fn write(&mut self, rules: &Rules, task: Task, write: Write) -> Answer {
        let held = self.lease(task).is_some();
        let Some(row) = self.requests.get_mut(usize::from(task.request)) else { return Answer::Stale };
        let current = row.life.0.fence;
        let passes = match rules.guard {
            Guard::Lease => held,
            Guard::LastFence => current == Fence(task.fence.into()),
            Guard::State => row.life.is_leased(),
            Guard::Request => true,
        };
        if !passes {
            return Answer::Stale;
        }
        if rules.guard != Guard::Lease {
            row.life = row.life.as_if_processing();
        }
        let fence = if rules.guard == Guard::Lease { Fence(task.fence.into()) } else { current };
        let event = match write {
            Write::Start => RequestEvent::Started { fence },
            Write::Settle(report) => RequestEvent::Settled { fence, outcome: life::outcome(report) },
            Write::Release => RequestEvent::Released { fence },
        };
        if row.happen(&event) { Answer::Done } else { Answer::Stale }
    }

    /// Whether the session is there and not lost. That its time is over does not matter until the reaper has seen it.
    pub(crate) fn lives(&self, session: u8) -> bool {
        self.sessions.iter().any(|row| row.id == session && !row.lost)
    }

    /// The lease of an attempt.
    pub(crate) fn lease(&self, task: Task) -> Option<Lease> {
        self.requests.get(usize::from(task.request))?.lease.filter(|lease| lease.fence == task.fence)
    }

    /// The reaper's first transaction: a worker whose time is over is lost.
    pub(crate) fn mark_lost(&mut self, session: u8) {
        for row in self.sessions.iter_mut().filter(|row| row.id == session) {
            (row.lost, row.reaping) = (true, true);
        }
        self.forget_reaped();
    }

    /// One of the transactions that follow: a lease goes back.
    pub(crate) fn reap(&mut self, request: u8) {
        if let Some(row) = self.requests.get_mut(usize::from(request))
            && let Some(lease) = row.lease
        {
            row.happen(&RequestEvent::LeaseExpired { fence: Fence(lease.fence.into()) });
        }
        self.forget_reaped();
    }

    /// The reaper is through with those that have no lease left.
    pub(crate) fn forget_reaped(&mut self) {
        let requests = &self.requests;
        let has_lease = |id| requests.iter().any(|row| row.lease.is_some_and(|lease| lease.session == id));
        for row in self.sessions.iter_mut().filter(|row| row.reaping && !has_lease(row.id)) {
            row.reaping = false;
        }
        self.sessions.retain(|row| !row.lost || row.reaping);
    }

    /// Time passes.
    pub(crate) fn tick(&mut self, bounds: &Bounds) {
        for row in &mut self.sessions {
            // A lost session's time means nothing any more.
            row.left = if row.lost { -1 } else { (row.left - 1).max(-1) };
        }
        for lease in self.requests.iter_mut().filter_map(|row| row.lease.as_mut()) {
            lease.age = (lease.age + 1).min(bounds.lease);
        }
    }
}

/// Ticks that a heartbeat wins, by the database's clock.
pub(crate) fn period(rules: &Rules, bounds: &Bounds) -> i8 {
    let behind = match rules.clock {
        Clock::Database => 0,
        Clock::Worker(behind) => behind,
    };
    i8::try_from(bounds.lease.saturating_sub(behind)).unwrap_or(i8::MAX)
}
