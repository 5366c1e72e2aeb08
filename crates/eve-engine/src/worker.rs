//! The workers' side: claim, heartbeat, log, settle, give back. Every write is fenced.

use std::time::Duration;

use eve_core::AgentEvent;
use eve_core::AttemptId;
use eve_core::AttemptReport;
use eve_core::Fence;
use eve_core::RequestEvent;
use eve_core::RequestId;
use eve_core::StateName;
use eve_core::WorkerId;
use eve_core::WorkerTypeName;
use eve_crash::Point;
use eve_store::attempt_log;
use eve_store::attempt_log::Appended;
use eve_store::attempt_log::LogEntry;
use eve_store::event;
use eve_store::event::NewEvent;
use eve_store::lease;
use eve_store::lease::Heartbeat;
use eve_store::queue;
use eve_store::worker;
use eve_store::worker::NewWorker;
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use crate::Claim;
use crate::Engine;
use crate::Error;
use crate::ErrorKind;
use crate::Topic;
use crate::WorkerContext;
use crate::clock;
use crate::dispatch::Ending;
use crate::dispatch::Wanted;
use crate::nul::without_nul;
use crate::transition;
use crate::transition::Aftermath;

/// Most requests in one claim.
pub(crate) const CLAIM_LIMIT: usize = 500;
/// Most endings in one call.
pub(crate) const END_LIMIT: usize = 500;
/// Longest wait of a claim or a heartbeat.
pub(crate) const WAIT_LIMIT: Duration = Duration::from_secs(30);
/// Most log entries in one call.
pub(crate) const APPEND_LIMIT: usize = 2000;

/// How leases run.
#[derive(Debug, Clone, Copy)]
pub struct LeaseTerms {
    /// How long a lease lasts after a claim or a heartbeat.
    pub ttl: SignedDuration,
    /// How often a worker sends a heartbeat.
    pub heartbeat: SignedDuration,
}

impl Default for LeaseTerms {
    fn default() -> Self {
        Self::with_ttl(SignedDuration::from_secs(30))
    }
}

impl LeaseTerms {
    /// Terms with this life time, and a heartbeat six times in it.
    pub fn with_ttl(ttl: SignedDuration) -> Self {
        Self { ttl, heartbeat: ttl / 6 }
    }
}

/// What a heartbeat learns about one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerSignal {
    /// Go on.
    Continue,
    /// Stop the agent and report.
    Stop,
    /// Kill the agent and write nothing more.
    Lost,
}

impl From<Heartbeat> for WorkerSignal {
    fn from(heartbeat: Heartbeat) -> Self {
        match heartbeat {
            Heartbeat::Held => Self::Continue,
            Heartbeat::StopWanted(_) => Self::Stop,
            Heartbeat::Lost => Self::Lost,
        }
    }
}

/// An attempt as its worker names it: the request it is of, and the fence it was claimed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FencedAttempt {
    /// The request.
    pub request_id: RequestId,
    /// The attempt.
    pub attempt_id: AttemptId,
    /// Its fence.
    pub fence: Fence,
}

impl FencedAttempt {
    const fn key(self) -> lease::Fenced {
        (self.request_id, self.fence)
    }
}

impl From<&Claim> for FencedAttempt {
    fn from(claim: &Claim) -> Self {
        Self { request_id: claim.request_id, attempt_id: claim.attempt_id, fence: claim.fence }
    }
}

impl Engine {
    /// Enters a worker.
    ///
    /// # Errors
    /// When it serves no type or has no slot.
    pub async fn worker_register(&self, ctx: &WorkerContext, new: &NewWorker) -> Result<WorkerId, Error> {
        if new.worker_types.is_empty() || new.slots < 1 {
            return Err(Error::invalid("A worker serves at least one worker type with at least one slot."));
        }
        let mut tx = self.store().platform().await?;
        let id = worker::worker_register(&mut tx, new, self.inner.lease.ttl).await?;
        tx.commit().await?;
        eve_crash::pass(Point::WorkerEntered);
        tracing::info!(worker_id = %id, name = new.name, key = ctx.name, slots = new.slots, "worker entered");
        Ok(id)
    }

    /// Takes up to `limit` due requests of these worker types (`*` for all), waiting for some if there are none.
    ///
    /// # Errors
    /// When the database does not answer, or the worker is not entered or was given up.
    pub async fn queue_claim(
        &self,
        ctx: &WorkerContext,
        worker: WorkerId,
        types: &[String],
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<Claim>, Error> {
        self.queue_claim_until(ctx, worker, types, limit, wait, &CancellationToken::new()).await
    }

    /// The same, but stops waiting when `stop` fires. What was claimed by then is returned. If the call is dropped, it
    /// goes back into the queue.
    ///
    /// # Errors
    /// As [`Self::queue_claim`].
    pub async fn queue_claim_until(
        &self,
        _ctx: &WorkerContext,
        worker: WorkerId,
        types: &[String],
        limit: usize,
        wait: Duration,
        stop: &CancellationToken,
    ) -> Result<Vec<Claim>, Error> {
        for name in types.iter().filter(|name| *name != queue::EVERY_TYPE) {
            name.parse::<WorkerTypeName>()
                .map_err(|error| Error::new(ErrorKind::InvalidWorkerType, format!("{error}.")))?;
        }
        let wanted = Wanted { worker, types: types.to_vec(), limit: limit.clamp(1, CLAIM_LIMIT) };
        self.inner.dispatcher.claim(wanted, wait.min(WAIT_LIMIT), stop).await
    }

    /// The agent is about to run. Saying so again changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] when the lease was given away.
    pub async fn attempt_start(
        &self,
        _ctx: &WorkerContext,
        attempt: FencedAttempt,
        harness: &str,
    ) -> Result<(), Error> {
        let mut tx = self.store().platform().await?;
        let started = lease::lease_start(&mut tx, attempt.key(), harness).await?;
        let (standing, news) = started.ok_or_else(|| self.stale("attempt_start"))?;
        if !news {
            tx.commit().await?;
            return Ok(());
        }
        let event = RequestEvent::Started { fence: attempt.fence };
        let transition = standing.life.apply(&event, standing.now, clock::jitter())?;
        let events: Vec<NewEvent<'_>> = transition
            .effects
            .iter()
            .filter_map(|effect| match effect {
                eve_core::Effect::Emit(kind) => Some(NewEvent {
                    org: standing.org_id,
                    kind,
                    request_id: standing.id,
                    attempt_id: Some(attempt.attempt_id),
                    lane: standing.lane,
                    actor: "worker",
                }),
                _ => None,
            })
            .collect();
        event::event_append(&mut tx, &events).await?;
        tx.commit().await?;
        eve_crash::pass(Point::StartCommitted);
        self.hub().wake(&[Topic::Events(standing.org_id), Topic::Request(standing.id)]);
        Ok(())
    }

    /// Extends the worker's lease, which all its attempts run under, then waits up to `wait` for a reason to stop one of
    /// them. One answer each, in order. A reason to stop an attempt that is not named, because it has begun since, ends
    /// the wait, too: the next heartbeat names it.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] when the worker was given up: all that it runs is lost, and it has to enter anew. When the
    /// database does not answer, the lease runs on as it was.
    pub async fn worker_heartbeat(
        &self,
        _ctx: &WorkerContext,
        worker: WorkerId,
        state: &str,
        attempts: &[FencedAttempt],
        wait: Duration,
    ) -> Result<Vec<WorkerSignal>, Error> {
        let mut waiter = self.waiter(vec![Topic::Stop(worker)]);
        let signals = self.heartbeat_once(worker, state, attempts).await?;
        if wait.is_zero() || signals.iter().any(|signal| *signal != WorkerSignal::Continue) {
            return Ok(signals);
        }
        let before = clock::instant();
        waiter.wait(wait.min(WAIT_LIMIT)).await;
        if clock::instant().duration_since(before) >= wait {
            return Ok(signals);
        }
        self.heartbeat_once(worker, state, attempts).await
    }

    async fn heartbeat_once(
        &self,
        worker: WorkerId,
        state: &str,
        attempts: &[FencedAttempt],
    ) -> Result<Vec<WorkerSignal>, Error> {
        let held: Vec<lease::Fenced> = attempts.iter().map(|attempt| attempt.key()).collect();
        let mut tx = self.store().heartbeat().await?;
        if !worker::worker_beat(&mut tx, worker, state, self.inner.lease.ttl).await? {
            return Err(self.stale("worker_heartbeat"));
        }
        let signals = lease::lease_check(&mut tx, &held).await?;
        let mut aftermath = Aftermath::default();
        if self.inner.orphans.is_due(worker, self.inner.lease.ttl) {
            let unheard = lease::lease_take_unheard(&mut tx, worker, &held, self.inner.lease.ttl).await?;
            if !unheard.is_empty() {
                tracing::warn!(worker_id = %worker, count = unheard.len(), "a worker never heard of what it claimed");
            }
            let mut decided = Vec::with_capacity(unheard.len());
            for before in unheard {
                let event = RequestEvent::Released { fence: before.life.fence };
                decided.push(transition::decide_taken(before, &event)?);
            }
            transition::write(&mut tx, decided, &mut aftermath).await?;
        }
        tx.commit().await?;
        eve_crash::pass(Point::HeartbeatCommitted);
        self.inner.dispatcher.finish(aftermath);
        Ok(signals.into_iter().map(WorkerSignal::from).collect())
    }

    /// Appends to an attempt's log.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] when the lease was given away; nothing is written then.
    pub async fn attempt_log_append(
        &self,
        _ctx: &WorkerContext,
        attempt: FencedAttempt,
        entries: &[LogEntry],
    ) -> Result<(), Error> {
        if entries.len() > APPEND_LIMIT {
            return Err(Error::invalid(format!("At most {APPEND_LIMIT} entries in one call.")));
        }
        let storable = |entry: &LogEntry| {
            let event = without_nul(&entry.event).unwrap_or_else(|| entry.event.clone());
            LogEntry { event, ..*entry }
        };
        let entries: Vec<LogEntry> = entries.iter().map(storable).collect();
        let mut tx = self.store().platform().await?;
        match attempt_log::attempt_log_append(&mut tx, attempt.key(), &entries).await? {
            Appended::Stale => Err(self.stale("attempt_log_append")),
            Appended::Stored => {
                for entry in &entries {
                    if let AgentEvent::Session { session_id, .. } = &entry.event {
                        lease::lease_session_note(&mut tx, attempt.request_id, session_id).await?;
                    }
                }
                tx.commit().await?;
                eve_crash::pass(Point::LogCommitted);
                self.hub().wake(&[Topic::Request(attempt.request_id)]);
                Ok(())
            }
        }
    }

    /// Attempts are over: result, state, freed dependants and events of each in one transaction. One answer each, in
    /// order; a report that was written before is answered as it was then.
    ///
    /// # Errors
    /// When there are more than [`END_LIMIT`]. Of each: [`ErrorKind::Stale`] when its lease was given away; nothing is
    /// written for it then.
    pub async fn attempt_settle(
        &self,
        _ctx: &WorkerContext,
        reports: Vec<(FencedAttempt, AttemptReport)>,
    ) -> Result<Vec<Result<StateName, Error>>, Error> {
        if reports.len() > END_LIMIT {
            return Err(Error::invalid(format!("At most {END_LIMIT} reports in one call.")));
        }
        let endings = reports
            .into_iter()
            .map(|(attempt, report)| {
                let report = without_nul(&report).unwrap_or(report);
                (attempt.key(), Ending::Report(Box::new(report)))
            })
            .collect();
        Ok(self.inner.dispatcher.settle(endings).await)
    }

    /// A worker gives requests back unfinished; burns no attempt. One answer each, in order.
    ///
    /// # Errors
    /// As [`Self::attempt_settle`].
    pub async fn attempt_release(
        &self,
        _ctx: &WorkerContext,
        attempts: &[FencedAttempt],
    ) -> Result<Vec<Result<StateName, Error>>, Error> {
        if attempts.len() > END_LIMIT {
            return Err(Error::invalid(format!("At most {END_LIMIT} attempts in one call.")));
        }
        let endings = attempts.iter().map(|attempt| (attempt.key(), Ending::Release)).collect();
        Ok(self.inner.dispatcher.settle(endings).await)
    }

    fn stale(&self, operation: &'static str) -> Error {
        self.inner.metrics.stale_write(operation);
        Error::stale()
    }
}

/// When each worker's leases were last compared with what it says it holds: an answer to a claim that got lost is found
/// so. It costs a look at all leases, hence once in a lease's time.
#[derive(Debug, Default)]
pub(crate) struct Orphans {
    looked: std::sync::Mutex<std::collections::HashMap<WorkerId, std::time::Instant>>,
}

impl Orphans {
    /// Workers remembered before all are forgotten.
    const REMEMBERED: usize = 10_000;

    fn is_due(&self, worker: WorkerId, period: SignedDuration) -> bool {
        let now = clock::instant();
        let mut looked = self.looked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if looked.len() > Self::REMEMBERED {
            looked.clear();
        }
        let period = Duration::try_from(period).unwrap_or(WAIT_LIMIT);
        let last = *looked.entry(worker).or_insert(now);
        let due = now.duration_since(last) >= period;
        if due {
            looked.insert(worker, now);
        }
        due
    }
}
