//! Asking for things, looking at them, calling them off.

mod bulk;
mod draft;
mod enter;
pub mod limits;

use aws_lc_rs::digest;
use eve_core::OrgId;
use eve_core::Priority;
use eve_core::Refused;
use eve_core::RequestEvent;
use eve_core::RequestId;
use eve_core::StateName;
use eve_crash::Point;
use eve_store::OrgTx;
use eve_store::attempt;
use eve_store::attempt::AttemptRow;
use eve_store::attempt_log;
use eve_store::attempt_log::LogPosition;
use eve_store::attempt_log::RequestLogEntry;
use eve_store::request;
use eve_store::request::CREATE_LIMIT;
use eve_store::request::IdempotencyOutcome;
use eve_store::request::NewKey;
use eve_store::request::NewRequest;
use eve_store::request::RequestFilter;
use eve_store::request::RequestRow;
use eve_store::result;
use eve_store::result::ResultRow;
use eve_store::standing::Locked;
use eve_store::standing::standing_lock;

pub use bulk::BulkCreateOutcome;
pub use bulk::BulkLine;
pub use bulk::LineFault;
pub(crate) use draft::Fault;
pub use draft::RequestDraft;
pub(crate) use enter::Entered;
pub(crate) use enter::enter;

use crate::Engine;
use crate::Error;
use crate::ErrorKind;
use crate::OpContext;
use crate::bulk::filter_check;
use crate::clock;
use crate::dispatch::Submitted;
use crate::transition;
use crate::transition::Aftermath;
use crate::transition::Decided;

/// What asking led to.
#[derive(Debug)]
pub enum CreateOutcome {
    /// A new request.
    Created(RequestRow),
    /// The request that an earlier call with the same idempotency key made.
    Repeated(RequestRow),
}

/// The idempotency key of a call, and what the call asks for in a few bytes.
pub(crate) struct KeyOfCall<'a> {
    key: &'a str,
    fingerprint: Vec<u8>,
}

impl<'a> KeyOfCall<'a> {
    /// The key, if one was given, for a call that asks for `asked`.
    pub(crate) fn new(key: Option<&'a str>, asked: &impl std::fmt::Debug) -> Result<Option<Self>, Error> {
        let Some(key) = key else { return Ok(None) };
        if !(1..=limits::IDEMPOTENCY_KEY_LEN).contains(&key.chars().count()) {
            return Err(Error::invalid(format!(
                "An Idempotency-Key has between 1 and {} characters.",
                limits::IDEMPOTENCY_KEY_LEN
            )));
        }
        let fingerprint = digest::digest(&digest::SHA256, format!("{asked:?}").as_bytes()).as_ref().to_vec();
        Ok(Some(Self { key, fingerprint }))
    }

    /// The key as it is taken with the only request that the call makes.
    fn of_request(&self) -> NewKey {
        NewKey { key: self.key.to_owned(), fingerprint: self.fingerprint.clone() }
    }

    /// Takes the key for what the call makes, or says what an earlier call with it made.
    pub(crate) async fn take(&self, tx: &mut OrgTx, makes: &[uuid::Uuid]) -> Result<Option<Vec<uuid::Uuid>>, Error> {
        match request::idempotency_take(tx, self.key, &self.fingerprint, makes).await? {
            IdempotencyOutcome::Fresh => Ok(None),
            IdempotencyOutcome::Repeated(made) => Ok(Some(made)),
            IdempotencyOutcome::Conflict => Err(Error::new(
                ErrorKind::IdempotencyConflict,
                "This Idempotency-Key was used for a different request. Use a new key for a new request.",
            )),
        }
    }
}

/// The same error, saying which of many drafts is meant.
fn of_draft(index: usize, error: Error) -> Error {
    Error { message: format!("Request {} of the call: {}", index + 1, error.message), ..error }
}

/// A patch and what it is called.
#[derive(Debug)]
pub struct RequestDiff {
    /// The difference.
    pub patch: String,
}

/// A request as it stands when it was just taken in.
fn fresh_row(org_id: OrgId, new: NewRequest, submitted: &Submitted) -> RequestRow {
    let delayed = submitted.delayed.contains(&new.id);
    RequestRow {
        id: new.id,
        org_id,
        user_id: new.user_id,
        project_id: new.lane.project_id,
        parent_id: new.parent_id,
        replay_of: new.replay_of,
        worker_type: new.lane.worker_type,
        title: new.title,
        prompt: new.prompt,
        repository: new.repository,
        branch: new.branch,
        context: new.context,
        config: new.config,
        metadata: new.metadata,
        reply_to: new.reply_to,
        harness: new.harness,
        model: new.model,
        timeout_seconds: new.timeout_seconds,
        max_attempts: new.max_attempts,
        on_dependency_failure: new.on_dependency_failure,
        priority: new.priority,
        state: StateName::Pending,
        reason: None,
        run_at: new.run_at.filter(|_| delayed).or(Some(submitted.at)),
        attempt_id: None,
        burned: 0,
        fence: 0,
        stop: None,
        last_error: None,
        created_at: submitted.at,
        started_at: None,
        finished_at: None,
        blocked_by: Vec::new(),
    }
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
        let key = KeyOfCall::new(idempotency_key, &draft)?;
        let new = draft.resolve(self, ctx).await.map_err(Fault::into_error)?;
        if new.blocked_by.is_empty() && new.parent_id.is_none() {
            let keyed = NewRequest { key: key.as_ref().map(KeyOfCall::of_request), ..new.clone() };
            match self.inner.dispatcher.submit(ctx.org_id, vec![keyed]).await {
                Ok(submitted) => return Ok(CreateOutcome::Created(fresh_row(ctx.org_id, new, &submitted))),
                // What was made with the key is looked up where it can be waited for.
                Err(error) if error.kind == ErrorKind::IdempotencyConflict => {}
                Err(error) => return Err(error),
            }
        }
        self.request_create_alone(ctx, new, key).await
    }

    /// Asks for many things at once: all of them, in this order, or none. Durable when it returns.
    ///
    /// A request with a parent or with dependencies is asked for by itself.
    ///
    /// # Errors
    /// When there are more than 1000, or one of them is malformed, names what is not there, or has a parent or
    /// dependencies. The message says which.
    pub async fn request_create_many(
        &self,
        ctx: &OpContext,
        drafts: Vec<RequestDraft>,
    ) -> Result<Vec<RequestRow>, Error> {
        if drafts.len() > CREATE_LIMIT {
            return Err(Error::invalid(format!("At most {CREATE_LIMIT} requests in one call.")));
        }
        let mut all = Vec::with_capacity(drafts.len());
        for (index, draft) in drafts.into_iter().enumerate() {
            if draft.parent_id.is_some() || !draft.blocked_by.is_empty() {
                let message = "one with `parent_id` or `blocked_by` is created by a call of its own.";
                return Err(of_draft(index, Error::invalid(message)));
            }
            all.push(draft.resolve(self, ctx).await.map_err(|fault| of_draft(index, fault.into_error()))?);
        }
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let submitted = self.inner.dispatcher.submit(ctx.org_id, all.clone()).await?;
        Ok(all.into_iter().map(|new| fresh_row(ctx.org_id, new, &submitted)).collect())
    }

    /// A request that needs a transaction of its own: it has dependencies or a parent, or its key was used before.
    async fn request_create_alone(
        &self,
        ctx: &OpContext,
        new: NewRequest,
        key: Option<KeyOfCall<'_>>,
    ) -> Result<CreateOutcome, Error> {
        let mut tx = self.store().org(ctx.org_id).await?;
        let id = new.id;
        if let Some(key) = key
            && let Some(earlier) = key.take(&mut tx, &[id.uuid()]).await?
        {
            drop(tx);
            let earlier = RequestId::from_uuid(earlier.first().copied().unwrap_or_default());
            return Ok(CreateOutcome::Repeated(self.request_get(ctx, earlier).await?));
        }
        let mut new = vec![new];
        let mut aftermath = Aftermath::default();
        if let Entered::Missing(missing) = enter(&mut tx, &mut new, &mut aftermath).await? {
            let field = missing.first().map_or("blocked_by", |name| name.field);
            let names: Vec<String> = missing.iter().map(|name| name.id.to_string()).collect();
            return Err(Error::invalid(format!("{field} names what is not there: {}.", names.join(", "))));
        }
        let row = request::request_get(&mut tx, id).await?.ok_or_else(|| Error::not_found(id))?;
        tx.commit().await?;
        eve_crash::pass(Point::RequestAloneCommitted);
        self.inner.metrics.count_created(&new);
        self.inner.dispatcher.finish(aftermath);
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
    /// When the filter names too much.
    pub async fn request_list(
        &self,
        ctx: &OpContext,
        filter: &RequestFilter,
        before: Option<RequestId>,
        limit: i64,
    ) -> Result<(Vec<RequestRow>, bool), Error> {
        filter_check(filter)?;
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

    /// Makes a request more or less urgent. One that runs goes on; it counts when the request has to wait again. If it
    /// is as urgent as that already, nothing happens.
    ///
    /// # Errors
    /// When it is finished.
    pub async fn request_reprioritise(
        &self,
        ctx: &OpContext,
        id: RequestId,
        priority: Priority,
    ) -> Result<RequestRow, Error> {
        let mut tx = self.store().org(ctx.org_id).await?;
        let before = match standing_lock(&mut tx, ctx.org_id, id).await? {
            Locked::Standing(standing) => *standing,
            Locked::Finished(state) => return Err(Refused::Finished(state).into()),
            Locked::Missing => return Err(Error::not_found(format!("request {id}"))),
        };
        let mut aftermath = Aftermath::default();
        if before.priority != priority {
            let transition = before.life.apply(&RequestEvent::Reprioritised, before.now, clock::jitter())?;
            let actor = ctx.actor();
            let decided = Decided { before, transition, actor: &actor, report: None, taken: false };
            transition::reprioritise(&mut tx, vec![decided], priority, &mut aftermath).await?;
        }
        let row = request::request_get(&mut tx, id).await?.ok_or_else(|| Error::not_found(format!("request {id}")))?;
        tx.commit().await?;
        self.inner.dispatcher.finish(aftermath);
        Ok(row)
    }

    async fn request_change(&self, ctx: &OpContext, id: RequestId, event: &RequestEvent) -> Result<RequestRow, Error> {
        let mut tx = self.store().org(ctx.org_id).await?;
        let before = match standing_lock(&mut tx, ctx.org_id, id).await? {
            Locked::Standing(standing) => *standing,
            Locked::Finished(state) => return Err(Refused::Finished(state).into()),
            Locked::Missing => return Err(Error::not_found(format!("request {id}"))),
        };
        let transition = before.life.apply(event, before.now, clock::jitter())?;
        let mut aftermath = Aftermath::default();
        let actor = ctx.actor();
        let decided = Decided { before, transition, actor: &actor, report: None, taken: false };
        transition::write(&mut tx, vec![decided], &mut aftermath).await?;
        let row = request::request_get(&mut tx, id).await?.ok_or_else(|| Error::not_found(format!("request {id}")))?;
        tx.commit().await?;
        eve_crash::pass(Point::ChangeCommitted);
        self.inner.dispatcher.finish(aftermath);
        Ok(row)
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
