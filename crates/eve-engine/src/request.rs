//! Asking for things, looking at them, calling them off.

mod draft;
pub mod limits;

use aws_lc_rs::digest;
use eve_core::RequestEvent;
use eve_core::RequestId;
use eve_core::StateName;
use eve_store::attempt;
use eve_store::attempt::AttemptRow;
use eve_store::attempt_log;
use eve_store::attempt_log::LogPosition;
use eve_store::attempt_log::RequestLogEntry;
use eve_store::dependency;
use eve_store::event;
use eve_store::queue;
use eve_store::request;
use eve_store::request::IdempotencyOutcome;
use eve_store::request::NewRequest;
use eve_store::request::RequestFilter;
use eve_store::request::RequestRow;
use eve_store::result;
use eve_store::result::ResultRow;

pub use draft::RequestDraft;

use crate::Engine;
use crate::Error;
use crate::ErrorKind;
use crate::OpContext;
use crate::Topic;
use crate::clock;
use crate::metrics::StatusLabels;
use crate::transition;
use crate::transition::Aftermath;
use crate::transition::Cause;

/// What asking led to.
#[derive(Debug)]
pub enum CreateOutcome {
    /// A new request.
    Created(RequestRow),
    /// The request that an earlier call with the same idempotency key made.
    Repeated(RequestRow),
}

/// A patch and what it is called.
#[derive(Debug)]
pub struct RequestDiff {
    /// The difference.
    pub patch: String,
}

impl Engine {
    /// Asks for something. Durable when it returns.
    ///
    /// # Errors
    /// When the draft is malformed, names what is not there, or reuses an idempotency key.
    pub async fn request_create(
        &self,
        ctx: &OpContext,
        draft: RequestDraft,
        idempotency_key: Option<&str>,
    ) -> Result<CreateOutcome, Error> {
        if idempotency_key.is_some_and(|key| !(1..=limits::IDEMPOTENCY_KEY_LEN).contains(&key.chars().count())) {
            return Err(Error::invalid(format!(
                "An Idempotency-Key has between 1 and {} characters.",
                limits::IDEMPOTENCY_KEY_LEN
            )));
        }
        let fingerprint =
            idempotency_key.map(|_| digest::digest(&digest::SHA256, format!("{draft:?}").as_bytes()).as_ref().to_vec());
        let mut tx = self.store().org(ctx.org_id).await?;
        let blocked_by = draft.blocked_by.clone();
        let new = draft.resolve(&mut tx, ctx).await?;
        let (id, worker_type) = (new.id, new.worker_type.as_str().to_owned());
        let held_back = NewRequest { run_at: if blocked_by.is_empty() { new.run_at } else { None }, ..new };
        request::request_create(&mut tx, &[held_back]).await?;
        if let (Some(key), Some(fingerprint)) = (idempotency_key, fingerprint) {
            match request::idempotency_take(&mut tx, key, &fingerprint, id).await? {
                IdempotencyOutcome::Fresh => {}
                IdempotencyOutcome::Conflict => {
                    return Err(Error::new(
                        ErrorKind::IdempotencyConflict,
                        "This Idempotency-Key was used for a different request. Use a new key for a new request.",
                    ));
                }
                IdempotencyOutcome::Repeated(earlier) => {
                    // The row made above goes with the transaction.
                    drop(tx);
                    return Ok(CreateOutcome::Repeated(self.request_get(ctx, earlier).await?));
                }
            }
        }
        let mut aftermath = Aftermath::default();
        event::event_append_created(&mut tx, &[id], &worker_type, &ctx.actor()).await?;
        if !blocked_by.is_empty() {
            if let Err(missing) = dependency::dependency_add(&mut tx, id, &blocked_by).await? {
                let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
                return Err(Error::invalid(format!("blocked_by names what is not there: {}.", names.join(", "))));
            }
            transition::release(&mut tx, ctx.org_id, id, &mut aftermath).await?;
        }
        let row = request::request_get(&mut tx, id).await?.ok_or_else(|| Error::not_found(id))?;
        tx.commit().await?;
        self.inner
            .metrics
            .requests
            .get_or_create(&StatusLabels { worker_type: worker_type.clone(), status: "created".into() })
            .inc();
        self.hub().wake(aftermath.topics);
        self.hub().wake([Topic::Queue(worker_type), Topic::Events(ctx.org_id)]);
        Ok(CreateOutcome::Created(row))
    }

    /// One request.
    ///
    /// # Errors
    /// When there is none of that id in the organization.
    pub async fn request_get(&self, ctx: &OpContext, id: RequestId) -> Result<RequestRow, Error> {
        let mut tx = self.store().org(ctx.org_id).await?;
        let row = request::request_get(&mut tx, id).await?;
        tx.commit().await?;
        row.ok_or_else(|| Error::not_found(format!("request {id}")))
    }

    /// One request with its attempts.
    ///
    /// # Errors
    /// As [`Self::request_get`].
    pub async fn request_detail(&self, ctx: &OpContext, id: RequestId) -> Result<(RequestRow, Vec<AttemptRow>), Error> {
        let mut tx = self.store().org(ctx.org_id).await?;
        let row = request::request_get(&mut tx, id).await?.ok_or_else(|| Error::not_found(format!("request {id}")))?;
        let attempts = attempt::attempt_list(&mut tx, id).await?;
        tx.commit().await?;
        Ok((row, attempts))
    }

    /// Requests, newest first, after `before`; and whether there are more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn request_list(
        &self,
        ctx: &OpContext,
        filter: &RequestFilter,
        before: Option<RequestId>,
        limit: i64,
    ) -> Result<(Vec<RequestRow>, bool), Error> {
        let limit = limit.clamp(1, limits::PAGE_LIMIT);
        let mut tx = self.store().org(ctx.org_id).await?;
        let mut rows = request::request_list(&mut tx, filter, before, limit + 1).await?;
        tx.commit().await?;
        let more = i64::try_from(rows.len()).unwrap_or(i64::MAX) > limit;
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok((rows, more))
    }

    /// Calls a request off. One that is running is cancelled as soon as its agent has stopped.
    ///
    /// # Errors
    /// When it is finished already.
    pub async fn request_cancel(&self, ctx: &OpContext, id: RequestId) -> Result<RequestRow, Error> {
        self.request_change(ctx, id, &RequestEvent::CancelRequested).await
    }

    /// Stops a request for now.
    ///
    /// # Errors
    /// When it is finished or paused already.
    pub async fn request_pause(&self, ctx: &OpContext, id: RequestId) -> Result<RequestRow, Error> {
        self.request_change(ctx, id, &RequestEvent::PauseRequested).await
    }

    /// Lets a paused request go on.
    ///
    /// # Errors
    /// When it is not paused.
    pub async fn request_resume(&self, ctx: &OpContext, id: RequestId) -> Result<RequestRow, Error> {
        self.request_change(ctx, id, &RequestEvent::Resumed).await
    }

    async fn request_change(&self, ctx: &OpContext, id: RequestId, event: &RequestEvent) -> Result<RequestRow, Error> {
        let mut tx = self.store().org(ctx.org_id).await?;
        queue::queue_lock(&mut tx, id).await?;
        let locked = request::request_life_lock(&mut tx, ctx.org_id, id)
            .await?
            .ok_or_else(|| Error::not_found(format!("request {id}")))?;
        let transition = locked.life.apply(event, locked.now, clock::jitter())?;
        let mut aftermath = Aftermath::default();
        let actor = ctx.actor();
        transition::write(&mut tx, &locked, &transition, &Cause { actor: &actor, report: None }, &mut aftermath)
            .await?;
        transition::free_dependants(&mut tx, &mut aftermath).await?;
        let row = request::request_get(&mut tx, id).await?.ok_or_else(|| Error::not_found(format!("request {id}")))?;
        tx.commit().await?;
        self.hub().wake(aftermath.topics);
        if row.state == StateName::Cancelled {
            self.count_finished(&row.worker_type, row.state);
        }
        Ok(row)
    }

    pub(crate) fn count_finished(&self, worker_type: &str, state: StateName) {
        let labels = StatusLabels { worker_type: worker_type.to_owned(), status: state.name().to_owned() };
        self.inner.metrics.requests.get_or_create(&labels).inc();
    }

    /// Asks again for what a finished request asked for. The new request points back.
    ///
    /// # Errors
    /// When the request is not finished.
    pub async fn request_replay(&self, ctx: &OpContext, id: RequestId) -> Result<RequestRow, Error> {
        let old = self.request_get(ctx, id).await?;
        if !old.state.is_terminal() {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("The request is still {}. Cancel it first, or wait until it is finished.", old.state),
            ));
        }
        match self.request_create(ctx, RequestDraft::replay(old), None).await? {
            CreateOutcome::Created(row) | CreateOutcome::Repeated(row) => Ok(row),
        }
    }

    /// Entries of a request's log after a position, in order.
    ///
    /// # Errors
    /// When there is no such request.
    pub async fn request_log(
        &self,
        ctx: &OpContext,
        id: RequestId,
        after: LogPosition,
        limit: i64,
    ) -> Result<Vec<RequestLogEntry>, Error> {
        let mut tx = self.store().org(ctx.org_id).await?;
        let entries = attempt_log::request_log_list(&mut tx, id, after, limit.clamp(1, limits::LOG_PAGE_LIMIT)).await?;
        if entries.is_empty() && request::request_get(&mut tx, id).await?.is_none() {
            return Err(Error::not_found(format!("request {id}")));
        }
        tx.commit().await?;
        Ok(entries)
    }

    /// The result of a request.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] until there is one, with how the request stands.
    pub async fn result_get(&self, ctx: &OpContext, id: RequestId) -> Result<ResultRow, Error> {
        let mut tx = self.store().org(ctx.org_id).await?;
        let found = result::result_get(&mut tx, id).await?;
        let request = request::request_get(&mut tx, id).await?;
        tx.commit().await?;
        match (found, request) {
            (Some(result), _) => Ok(result),
            (None, Some(request)) => Err(Error::new(
                ErrorKind::NotFound,
                format!("Request {id} has no result yet: it is {}.", request.state),
            )),
            (None, None) => Err(Error::not_found(format!("request {id}"))),
        }
    }

    /// The difference that a request's result makes.
    ///
    /// # Errors
    /// When there is no result yet, or it changes no file.
    pub async fn request_diff(&self, ctx: &OpContext, id: RequestId) -> Result<RequestDiff, Error> {
        let result = self.result_get(ctx, id).await?;
        let patch = result
            .patch
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("The result of request {id} changes no file.")))?;
        Ok(RequestDiff { patch })
    }
}
