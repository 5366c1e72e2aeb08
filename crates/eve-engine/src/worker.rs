//! The workers' side: claim, heartbeat, log, settle, give back. Every write is fenced.

use std::time::Duration;

use eve_core::AgentEvent;
use eve_core::AttemptId;
use eve_core::AttemptReport;
use eve_core::Fence;
use eve_core::RequestEvent;
use eve_core::StateName;
use eve_core::WorkerId;
use eve_core::WorkerTypeName;
use eve_store::attempt;
use eve_store::attempt_log;
use eve_store::attempt_log::Appended;
use eve_store::attempt_log::LogEntry;
use eve_store::lease;
use eve_store::lease::Heartbeat;
use eve_store::queue;
use eve_store::queue::Claim;
use eve_store::request;
use eve_store::worker;
use eve_store::worker::NewWorker;
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::Error;
use crate::ErrorKind;
use crate::Topic;
use crate::WorkerContext;
use crate::clock;
use crate::metrics::CostLabels;
use crate::metrics::OutcomeLabels;
use crate::metrics::TokenLabels;
use crate::metrics::TypeLabels;
use crate::nul::without_nul;
use crate::transition;
use crate::transition::Aftermath;
use crate::transition::Cause;

/// Most requests in one claim.
pub(crate) const CLAIM_LIMIT: usize = 100;
/// Longest wait of a claim or a heartbeat.
pub(crate) const WAIT_LIMIT: Duration = Duration::from_secs(30);
/// How often a waiting claim looks at the queue when nobody wakes it.
pub(crate) const POLL: Duration = Duration::from_secs(2);
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
            Heartbeat::Extended => Self::Continue,
            Heartbeat::StopWanted(_) => Self::Stop,
            Heartbeat::Lost => Self::Lost,
        }
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
        let id = worker::worker_register(&mut tx, new).await?;
        tx.commit().await?;
        tracing::info!(worker_id = %id, name = new.name, key = ctx.name, slots = new.slots, "worker entered");
        Ok(id)
    }

    /// Takes up to `limit` due requests of these worker types (`*` for all), waiting for some if there are none.
    ///
    /// # Errors
    /// When the database does not answer.
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

    /// The same, but stops waiting when `stop` fires. It does so only between two looks at the queue, so nothing is
    /// claimed that is not returned, as would happen if the call were dropped.
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
        let deadline = clock::instant() + wait.min(WAIT_LIMIT);
        let limit = limit.clamp(1, CLAIM_LIMIT);
        for name in types.iter().filter(|name| *name != queue::EVERY_TYPE) {
            name.parse::<WorkerTypeName>()
                .map_err(|error| Error::new(ErrorKind::InvalidWorkerType, format!("{error}.")))?;
        }
        let topics = types.iter().cloned().map(Topic::Queue).collect();
        let mut waiter = self.waiter(topics);
        loop {
            let mut tx = self.store().platform().await?;
            let claims = queue::queue_claim(&mut tx, worker, types, limit, self.inner.lease.ttl).await?;
            let due = if claims.is_empty() { queue::queue_next_due(&mut tx, types).await? } else { None };
            tx.commit().await?;
            let left = deadline.saturating_duration_since(clock::instant());
            if !claims.is_empty() || left.is_zero() || stop.is_cancelled() {
                self.count_claims(&claims);
                return Ok(claims);
            }
            let due = due.map_or(POLL, |due| Duration::try_from(due).unwrap_or(POLL));
            tokio::select! {
                () = waiter.wait(left.min(POLL).min(due.max(Duration::from_millis(1)))) => {}
                () = stop.cancelled() => return Ok(Vec::new()),
            }
        }
    }

    fn count_claims(&self, claims: &[Claim]) {
        let outcome = if claims.is_empty() { "empty" } else { "claimed" };
        let labels = OutcomeLabels { outcome };
        self.inner.metrics.claims.get_or_create(&labels).inc_by(u64::try_from(claims.len().max(1)).unwrap_or(1));
        let mut topics = Vec::new();
        for claim in claims {
            topics.extend([Topic::Events(claim.org_id), Topic::Request(claim.request_id)]);
        }
        self.hub().wake(topics);
    }

    /// The agent is about to run.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] when the lease was given away.
    pub async fn attempt_start(
        &self,
        _ctx: &WorkerContext,
        attempt: AttemptId,
        fence: Fence,
        harness: &str,
    ) -> Result<(), Error> {
        let mut tx = self.store().platform().await?;
        let lease = lease::lease_find(&mut tx, attempt, fence).await?.ok_or_else(|| self.stale("attempt_start"))?;
        let locked = request::request_life_lock(&mut tx, lease.org_id, lease.request_id)
            .await?
            .ok_or_else(|| self.stale("attempt_start"))?;
        let transition = locked.life.apply(&RequestEvent::Started { fence }, locked.now, clock::jitter())?;
        let mut aftermath = Aftermath::default();
        let cause = Cause { actor: "worker", report: None };
        transition::write(&mut tx, &locked, &transition, &cause, &mut aftermath).await?;
        attempt::attempt_start(&mut tx, lease.org_id, attempt, harness).await?;
        // The agent starts with a whole lease, however long the workspace took.
        lease::lease_extend(&mut tx, &[(attempt, fence)], self.inner.lease.ttl).await?;
        tx.commit().await?;
        self.hub().wake(aftermath.topics);
        Ok(())
    }

    /// Extends leases, then waits up to `wait` for a reason to stop one of the attempts. One answer each, in order.
    ///
    /// # Errors
    /// When the database does not answer; the leases then run on as they were.
    pub async fn worker_heartbeat(
        &self,
        _ctx: &WorkerContext,
        worker: WorkerId,
        state: &str,
        attempts: &[(AttemptId, Fence)],
        wait: Duration,
    ) -> Result<Vec<WorkerSignal>, Error> {
        let mut waiter = self.waiter(attempts.iter().map(|(id, _)| Topic::Stop(*id)).collect());
        let signals = self.heartbeat_once(worker, state, attempts).await?;
        if wait.is_zero() || attempts.is_empty() || signals.iter().any(|signal| *signal != WorkerSignal::Continue) {
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
        attempts: &[(AttemptId, Fence)],
    ) -> Result<Vec<WorkerSignal>, Error> {
        let mut tx = self.store().platform().await?;
        if !worker::worker_seen(&mut tx, worker, state).await? {
            return Err(Error::new(ErrorKind::NotFound, "This worker is not known here. Register again."));
        }
        let signals = lease::lease_extend(&mut tx, attempts, self.inner.lease.ttl).await?;
        tx.commit().await?;
        Ok(signals.into_iter().map(WorkerSignal::from).collect())
    }

    /// Appends to an attempt's log.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] when the lease was given away; nothing is written then.
    pub async fn attempt_log_append(
        &self,
        _ctx: &WorkerContext,
        attempt: AttemptId,
        fence: Fence,
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
        match attempt_log::attempt_log_append(&mut tx, attempt, fence, &entries).await? {
            Appended::Stale => Err(self.stale("attempt_log_append")),
            Appended::Stored { org_id, request_id } => {
                for entry in &entries {
                    if let AgentEvent::Session { session_id, .. } = &entry.event {
                        attempt::attempt_session_note(&mut tx, org_id, attempt, session_id).await?;
                    }
                }
                tx.commit().await?;
                self.hub().wake([Topic::Request(request_id)]);
                Ok(())
            }
        }
    }

    /// The attempt is over: result, state, freed dependants and events in one transaction.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] when the lease was given away; nothing is written then.
    pub async fn attempt_settle(
        &self,
        _ctx: &WorkerContext,
        attempt: AttemptId,
        fence: Fence,
        report: &AttemptReport,
    ) -> Result<StateName, Error> {
        let storable = without_nul(report);
        let report = storable.as_ref().unwrap_or(report);
        let outcome = report.outcome.clone();
        let event = RequestEvent::Settled { fence, outcome };
        let (worker_type, org, state) =
            self.attempt_end(attempt, fence, &event, Some(report), "attempt_settle").await?;
        self.count_usage(&worker_type, org, report);
        if state.is_terminal() {
            self.count_finished(&worker_type, state);
        }
        Ok(state)
    }

    /// The worker gives the request back unfinished; burns no attempt.
    ///
    /// # Errors
    /// [`ErrorKind::Stale`] when the lease was given away.
    pub async fn attempt_release(
        &self,
        _ctx: &WorkerContext,
        attempt: AttemptId,
        fence: Fence,
    ) -> Result<StateName, Error> {
        let event = RequestEvent::Released { fence };
        let (.., state) = self.attempt_end(attempt, fence, &event, None, "attempt_release").await?;
        Ok(state)
    }

    async fn attempt_end(
        &self,
        attempt: AttemptId,
        fence: Fence,
        event: &RequestEvent,
        report: Option<&AttemptReport>,
        operation: &'static str,
    ) -> Result<(String, eve_core::OrgId, StateName), Error> {
        let mut tx = self.store().platform().await?;
        let lease = lease::lease_find(&mut tx, attempt, fence).await?.ok_or_else(|| self.stale(operation))?;
        let locked = request::request_life_lock(&mut tx, lease.org_id, lease.request_id)
            .await?
            .ok_or_else(|| self.stale(operation))?;
        let transition = locked.life.apply(event, locked.now, clock::jitter())?;
        let mut aftermath = Aftermath::default();
        transition::write(&mut tx, &locked, &transition, &Cause { actor: "worker", report }, &mut aftermath).await?;
        transition::free_dependants(&mut tx, &mut aftermath).await?;
        tx.commit().await?;
        self.hub().wake(aftermath.topics);
        Ok((locked.worker_type, locked.org_id, transition.life.state.name()))
    }

    fn stale(&self, operation: &'static str) -> Error {
        self.inner.metrics.stale_write(operation);
        Error::stale()
    }

    fn count_usage(&self, worker_type: &str, org: eve_core::OrgId, report: &AttemptReport) {
        let metrics = &self.inner.metrics;
        let worker_type = worker_type.to_owned();
        #[expect(clippy::cast_precision_loss, reason = "a histogram needs no exact milliseconds")]
        let seconds = report.duration_ms as f64 / 1000.0;
        metrics.duration.get_or_create(&TypeLabels { worker_type: worker_type.clone() }).observe(seconds);
        for (direction, count) in [("input", report.usage.input_tokens), ("output", report.usage.output_tokens)] {
            metrics.tokens.get_or_create(&TokenLabels { worker_type: worker_type.clone(), direction }).inc_by(count);
        }
        if let Some(cost) = report.usage.cost_usd.and_then(|cost| f64::try_from(cost).ok()) {
            metrics.cost_usd.get_or_create(&CostLabels { org: org.to_string(), worker_type }).inc_by(cost);
        }
    }
}
