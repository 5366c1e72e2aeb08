//! Taking requests in: many callers, few commits, and straight into a worker's hands where one waits.
//!
//! A caller is answered after the commit that holds its request. While one commit runs, what arrives gathers and goes
//! into the next; two may run at once, because one alone would make callers queue for a slow disk. A transaction holds
//! requests of one organization only, so that its tenant is set like everybody's.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::PoisonError;

use eve_core::AttemptId;
use eve_core::DependencyPolicy;
use eve_core::Fence;
use eve_core::OrgId;
use eve_core::Place;
use eve_core::RequestId;
use eve_core::RequestLife;
use eve_core::RequestState;
use eve_core::RetryPolicy;
use eve_crash::Point;
use eve_store::request;
use eve_store::request::Brief;
use eve_store::request::CREATE_LIMIT;
use eve_store::request::KEY_CONSTRAINT;
use eve_store::request::NewRequest;
use eve_store::standing::LeaseFacts;
use eve_store::standing::Standing;
use jiff::Timestamp;
use tokio::sync::oneshot;

use super::Dispatcher;
use super::claim::Claim;
use super::claim::claim;
use super::demand::Demand;
use crate::Error;
use crate::ErrorKind;
use crate::Topic;
use crate::clock;

/// Transactions that take requests in at once. Each more lets callers wait less for a slow disk, and makes batches smaller.
const WRITERS: usize = 2;
/// Most requests that wait to be taken in; whoever comes then is asked to come again.
const WAITING: usize = 20_000;

/// Connections that are tried before a caller is told that the database does not answer.
const INTAKE_ATTEMPTS: usize = 4;

/// What became of requests taken in.
#[derive(Debug, Clone)]
pub(crate) struct Submitted {
    /// When they were created.
    pub(crate) at: Timestamp,
    /// Those that are due later.
    pub(crate) delayed: Vec<RequestId>,
}

struct Waiting {
    new: Vec<NewRequest>,
    reply: oneshot::Sender<Result<Submitted, Error>>,
}

#[derive(Default)]
pub(super) struct Submissions {
    waiting: HashMap<OrgId, VecDeque<Waiting>>,
    /// Organizations that wait, in turn.
    turns: VecDeque<OrgId>,
    count: usize,
    writers: usize,
}

impl Submissions {
    fn enter(&mut self, org: OrgId, waiting: Waiting) -> Result<(), Error> {
        if self.count + waiting.new.len() > WAITING {
            return Err(Error::unavailable());
        }
        self.count += waiting.new.len();
        let queue = self.waiting.entry(org).or_default();
        if queue.is_empty() {
            self.turns.push_back(org);
        }
        queue.push_back(waiting);
        Ok(())
    }

    /// What the next transaction holds: as much of one organization as fits.
    fn next(&mut self) -> Option<(OrgId, Vec<Waiting>)> {
        let org = self.turns.pop_front()?;
        let queue = self.waiting.get_mut(&org)?;
        let (mut batch, mut size) = (Vec::new(), 0);
        while let Some(next) = queue.front() {
            if !batch.is_empty() && size + next.new.len() > CREATE_LIMIT {
                break;
            }
            size += next.new.len();
            batch.extend(queue.pop_front());
        }
        if queue.is_empty() {
            self.waiting.remove(&org);
        } else {
            self.turns.push_back(org);
        }
        self.count -= size;
        Some((org, batch))
    }
}

/// Whether requests may go straight to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandOver {
    /// If one waits.
    Allowed,
    /// They may have been written by an earlier try whose answer was lost, with a lease that was drawn then. Another one
    /// must not be told to anybody.
    Never,
}

/// A demand that was set aside for requests of a transaction.
struct Reserved {
    demand: Demand,
    left: usize,
    claims: Vec<Claim>,
}

impl Dispatcher {
    /// Takes requests of one organization in; all of them or none.
    pub(crate) async fn submit(self: &Arc<Self>, org: OrgId, new: Vec<NewRequest>) -> Result<Submitted, Error> {
        let (reply, answer) = oneshot::channel();
        {
            let mut submissions = self.submissions.lock().unwrap_or_else(PoisonError::into_inner);
            submissions.enter(org, Waiting { new, reply })?;
            if submissions.writers < WRITERS {
                submissions.writers += 1;
                let this = self.clone();
                tokio::spawn(async move { this.write_submissions().await });
            }
        }
        answer.await.unwrap_or_else(|_| Err(Error::unavailable()))
    }

    async fn write_submissions(self: Arc<Self>) {
        loop {
            let next = {
                let mut submissions = self.submissions.lock().unwrap_or_else(PoisonError::into_inner);
                let next = submissions.next();
                if next.is_none() {
                    submissions.writers -= 1;
                }
                next
            };
            let Some((org, batch)) = next else { return };
            self.write_submission(org, batch).await;
        }
    }

    /// One transaction for all of them; if that fails, one for each, so that none suffers for another.
    async fn write_submission(self: &Arc<Self>, org: OrgId, mut batch: Vec<Waiting>) {
        let outcome = self.try_submission(org, &mut batch, HandOver::Allowed).await;
        match outcome {
            Ok(submitted) => {
                for waiting in batch {
                    // Whoever asked may be gone; what was taken in stays.
                    let _ = waiting.reply.send(Ok(submitted.clone()));
                }
            }
            Err(error) if batch.len() == 1 => {
                if let Some(waiting) = batch.pop() {
                    let _ = waiting.reply.send(Err(error));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a batch failed; its parts are tried one by one");
                for waiting in batch {
                    let mut alone = vec![waiting];
                    let outcome = self.try_submission(org, &mut alone, HandOver::Never).await;
                    if let Some(waiting) = alone.pop() {
                        let _ = waiting.reply.send(outcome);
                    }
                }
            }
        }
    }

    async fn try_submission(
        self: &Arc<Self>,
        org: OrgId,
        batch: &mut [Waiting],
        hand_over: HandOver,
    ) -> Result<Submitted, Error> {
        let mut reserved: Vec<Reserved> = Vec::new();
        let mut new: Vec<NewRequest> = Vec::new();
        for request in batch.iter().flat_map(|waiting| &waiting.new) {
            let mut request = request.clone();
            request.lease = match hand_over {
                HandOver::Allowed => self.reserve(&request, &mut reserved),
                HandOver::Never => None,
            };
            new.push(request);
        }
        let outcome = self.write_new(org, &new).await;
        let submitted = match outcome {
            Ok(submitted) => submitted,
            Err(error) => {
                // Who was set aside hears of nothing and asks again.
                for one in reserved {
                    one.demand.answer(Ok(Vec::new()));
                }
                return Err(error);
            }
        };
        eve_crash::pass(Point::RequestCommitted);
        self.deliver(org, &new, reserved, &submitted).await;
        Ok(submitted)
    }

    /// The lease that a request can start with, if a worker waits for it and nothing else waits for that worker.
    fn reserve(&self, request: &NewRequest, reserved: &mut Vec<Reserved>) -> Option<LeaseFacts> {
        if request.run_at.is_some() || request.open > 0 {
            return None;
        }
        let kind = &request.lane.worker_type;
        let index = match reserved.iter().position(|one| one.left > 0 && one.demand.serves(kind)) {
            Some(index) => index,
            None => {
                let mut state = self.state();
                let busy: Vec<String> = state
                    .book
                    .ready()
                    .filter_map(|(lane, ..)| self.catalog.known_lane(lane))
                    .map(|lane| lane.worker_type)
                    .collect();
                let demand = state.reserve(kind, |demand| busy.iter().any(|kind| demand.serves(kind)))?;
                reserved.push(Reserved { left: demand.wanted.limit, demand, claims: Vec::new() });
                reserved.len() - 1
            }
        };
        let one = reserved.get_mut(index)?;
        one.left -= 1;
        Some(LeaseFacts {
            attempt_id: AttemptId::from_uuid(eve_store::new_id()),
            worker_id: one.demand.wanted.worker,
            claimed_at: clock::now(),
            started_at: None,
            harness: None,
            session_id: None,
        })
    }

    async fn write_new(&self, org: OrgId, new: &[NewRequest]) -> Result<Submitted, Error> {
        let mut created = None;
        // A connection that rested through a restart of the database is broken. Whether the statement got through before
        // it broke, the ids tell, which nobody else draws: the next one then finds them taken. If it finds a key taken
        // instead, the caller looks up by whom.
        for attempt in 0..INTAKE_ATTEMPTS {
            let mut intake = self.store.intake(org).await?;
            match request::request_create(&mut intake, new).await {
                Ok(done) => {
                    intake.done();
                    created = done;
                    break;
                }
                Err(error) if error.is_duplicate() && error.constraint() != Some(KEY_CONSTRAINT) => {
                    let at = clock::now();
                    let later = new.iter().filter(|request| request.run_at.is_some_and(|run_at| run_at > at));
                    created = Some((at, later.map(|request| request.id).collect()));
                    break;
                }
                Err(error) if error.is_disconnect() && attempt + 1 < INTAKE_ATTEMPTS => {}
                Err(error) => return Err(error.into()),
            }
        }
        let Some((at, delayed)) = created else {
            return Err(Error::new(ErrorKind::Internal, "A lane or the user is gone. Ask again."));
        };
        Ok(Submitted { at, delayed })
    }

    /// After the commit: hands claims to the workers they were made for, and tells of the rest.
    async fn deliver(
        self: &Arc<Self>,
        org: OrgId,
        new: &[NewRequest],
        mut reserved: Vec<Reserved>,
        submitted: &Submitted,
    ) {
        let mut topics = vec![Topic::Events(org)];
        let mut queued = false;
        {
            let mut state = self.state();
            for request in new.iter().filter(|request| request.lease.is_none() && request.open == 0) {
                if !submitted.delayed.contains(&request.id) {
                    state.book.note(request.lane.id, request.priority, request.id);
                    queued = true;
                }
            }
        }
        topics.extend(queued.then_some(Topic::Queue));
        self.metrics.count_created(new);
        let mut given = 0;
        for request in new {
            let Some(lease) = &request.lease else { continue };
            let name = request.lane.worker_type.parse();
            let kind = match name {
                Ok(name) => self.catalog.worker_type(&self.store, org, &name).await.ok().flatten(),
                Err(_) => None,
            };
            let slot = reserved
                .iter_mut()
                .find(|one| one.demand.wanted.worker == lease.worker_id && one.claims.len() < one.demand.wanted.limit);
            if let (Some(kind), Some(slot)) = (kind, slot) {
                let standing = standing(org, request, lease.attempt_id, submitted.at);
                slot.claims.push(claim(&standing, lease.attempt_id, &request.lane, brief(request), &kind));
                given += 1;
            }
        }
        if given > 0 {
            self.metrics.count_claims(given);
        }
        for one in reserved {
            let unheard = one.demand.answer(Ok(one.claims));
            self.give_back(unheard);
        }
        self.hub.wake(&topics);
        self.kick();
    }
}

fn brief(request: &NewRequest) -> Brief {
    Brief {
        id: request.id,
        user_id: request.user_id,
        title: request.title.clone(),
        prompt: request.prompt.clone(),
        repository: request.repository.clone(),
        branch: request.branch.clone(),
        context: request.context.clone(),
        harness: request.harness.clone(),
        model: request.model.clone(),
        timeout_seconds: request.timeout_seconds,
    }
}

/// A request as it stands after it was handed over directly.
fn standing(org: OrgId, request: &NewRequest, attempt: AttemptId, at: Timestamp) -> Standing {
    let policy =
        RetryPolicy { max_attempts: u16::try_from(request.max_attempts).unwrap_or(u16::MAX), ..RetryPolicy::default() };
    let mut life = RequestLife::new(RequestState::Claimed { attempt }, policy, DependencyPolicy::Fail);
    life.fence = Fence(1);
    Standing {
        org_id: org,
        id: request.id,
        parent_id: request.parent_id,
        place: Place::Lease,
        lane: request.lane.id,
        priority: request.priority,
        life,
        lease: None,
        now: at,
    }
}
