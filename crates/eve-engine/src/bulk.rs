//! Bulk actions: one change for all requests that a filter finds.
//!
//! A preview says what would happen and writes nothing. An action is a row that says what to do; a service does it in
//! batches ([`step`]). Preview and service look at the same slices and ask the same verdict.

pub(crate) mod step;

use std::collections::BTreeMap;

use eve_core::BulkActionId;
use eve_core::BulkChange;
use eve_core::StateName;
use eve_store::bulk;
use eve_store::bulk::BulkActionRow;
use eve_store::bulk::BulkCancel;
use eve_store::bulk::Candidate;
use eve_store::bulk::NewBulkAction;
use eve_store::event;
use eve_store::request::RequestFilter;

use crate::Engine;
use crate::Error;
use crate::ErrorKind;
use crate::OpContext;
use crate::Topic;
use crate::limits;
use crate::request::KeyOfCall;

/// Requests that a preview looks at in one statement.
const PREVIEW_SLICE: usize = 20_000;
/// Most requests that a preview looks at; beyond it, its numbers are only the least.
const PREVIEW_LIMIT: usize = 1_000_000;
/// Most requests that a preview shows.
const SAMPLE: usize = 20;

/// What a bulk action would do.
#[derive(Debug, Clone, Default)]
pub struct BulkPreview {
    /// Requests that would be changed, by how they stand.
    pub affected: BTreeMap<StateName, i64>,
    /// Requests that fit the filter and would be left alone, by reason.
    pub skipped: BTreeMap<String, i64>,
    /// The first that would be changed.
    pub sample: Vec<Candidate>,
    /// Whether everything was looked at.
    pub complete: bool,
}

/// What asking for a bulk action led to.
#[derive(Debug)]
pub enum BulkOutcome {
    /// A new action.
    Created(BulkActionRow),
    /// The action that an earlier call with the same idempotency key made.
    Repeated(BulkActionRow),
}

/// Which requests come first. What waits for others was asked after them and has to be cancelled before them: otherwise
/// it would fail for them. What is asked again keeps its order.
pub(crate) const fn newest_first(change: BulkChange) -> bool {
    matches!(change, BulkChange::Cancel)
}

/// Whether a filter is within its limits.
pub(crate) fn filter_check(filter: &RequestFilter) -> Result<(), Error> {
    if filter.ids.len() > limits::FILTER_IDS {
        return Err(Error::invalid(format!("`ids` names at most {} requests.", limits::FILTER_IDS)));
    }
    if let Some(text) = &filter.text {
        if !(1..=limits::FILTER_TEXT_LEN).contains(&text.chars().count()) {
            return Err(Error::invalid(format!("`text` has between 1 and {} characters.", limits::FILTER_TEXT_LEN)));
        }
        if text.contains('\0') {
            return Err(Error::invalid("`text` holds a NUL character, which no database text can."));
        }
    }
    Ok(())
}

impl Engine {
    /// What a bulk action would do now. Writes nothing.
    ///
    /// # Errors
    /// When the filter names too much.
    pub async fn bulk_action_preview(
        &self,
        ctx: &OpContext,
        change: BulkChange,
        filter: &RequestFilter,
    ) -> Result<BulkPreview, Error> {
        filter_check(filter)?;
        let mut tx = self.store().org(ctx.org_id).await?;
        let mut preview = BulkPreview::default();
        let (mut after, mut looked_at) = (None, 0);
        while looked_at < PREVIEW_LIMIT {
            let slice = bulk::bulk_scan(&mut tx, filter, None, after, newest_first(change), PREVIEW_SLICE).await?;
            looked_at += slice.looked_at;
            for candidate in slice.matched {
                if let Some(skip) = change.skips(candidate.facts) {
                    *preview.skipped.entry(skip.to_string()).or_default() += 1;
                    continue;
                }
                *preview.affected.entry(candidate.facts.state).or_default() += 1;
                if preview.sample.len() < SAMPLE {
                    preview.sample.push(candidate);
                }
            }
            if slice.looked_at < PREVIEW_SLICE {
                preview.complete = true;
                break;
            }
            after = slice.last;
        }
        tx.commit().await?;
        Ok(preview)
    }

    /// Has a change made to every request that fits the filter and was asked before now. Returns at once; a service does
    /// the work.
    ///
    /// # Errors
    /// When the filter names too much, too many actions of the organization are under way, or the idempotency key was
    /// used for another call.
    pub async fn bulk_action_create(
        &self,
        ctx: &OpContext,
        change: BulkChange,
        filter: &RequestFilter,
        idempotency_key: Option<&str>,
    ) -> Result<BulkOutcome, Error> {
        filter_check(filter)?;
        let key = KeyOfCall::new(idempotency_key, &("bulk action", change, filter))?;
        let id = BulkActionId::from_uuid(eve_store::new_id());
        let mut tx = self.store().org(ctx.org_id).await?;
        if let Some(key) = key
            && let Some(earlier) = key.take(&mut tx, &[id.uuid()]).await?
        {
            drop(tx);
            let earlier = BulkActionId::from_uuid(earlier.first().copied().unwrap_or_default());
            return Ok(BulkOutcome::Repeated(self.bulk_action_get(ctx, earlier).await?));
        }
        if bulk::bulk_action_open_count(&mut tx).await? >= limits::OPEN_BULK_ACTIONS {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "{} bulk actions of the organization are under way. Wait for one, or cancel it.",
                    limits::OPEN_BULK_ACTIONS
                ),
            ));
        }
        let new =
            NewBulkAction { id, user_id: ctx.user_id, key_id: ctx.key_id, user_name: &ctx.user_name, change, filter };
        let row = bulk::bulk_action_create(&mut tx, new).await?;
        let about = serde_json::json!({"bulk_action_id": row.id, "action": change.name()});
        event::event_append_about(&mut tx, "bulk_action:created", &ctx.actor(), &about).await?;
        tx.commit().await?;
        self.hub().wake(&[Topic::Events(ctx.org_id)]);
        Ok(BulkOutcome::Created(row))
    }

    /// One bulk action.
    ///
    /// # Errors
    /// When there is none of that id in the organization.
    pub async fn bulk_action_get(&self, ctx: &OpContext, id: BulkActionId) -> Result<BulkActionRow, Error> {
        let mut tx = self.store().org(ctx.org_id).await?;
        let row = bulk::bulk_action_get(&mut tx, id).await?;
        tx.commit().await?;
        row.ok_or_else(|| Error::not_found(format!("bulk action {id}")))
    }

    /// Bulk actions, newest first, after `before`; and whether there are more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn bulk_action_list(
        &self,
        ctx: &OpContext,
        before: Option<BulkActionId>,
        limit: i64,
    ) -> Result<(Vec<BulkActionRow>, bool), Error> {
        let limit = limit.clamp(1, limits::BULK_PAGE_LIMIT);
        let mut tx = self.store().org(ctx.org_id).await?;
        let mut rows = bulk::bulk_action_list(&mut tx, before, limit + 1).await?;
        tx.commit().await?;
        let more = i64::try_from(rows.len()).unwrap_or(i64::MAX) > limit;
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok((rows, more))
    }

    /// Stops a bulk action. What it did stays done.
    ///
    /// # Errors
    /// When it is over already.
    pub async fn bulk_action_cancel(&self, ctx: &OpContext, id: BulkActionId) -> Result<BulkActionRow, Error> {
        let mut tx = self.store().org(ctx.org_id).await?;
        let row = match bulk::bulk_action_cancel(&mut tx, id).await? {
            BulkCancel::Cancelled(row) => *row,
            BulkCancel::Finished(state) => {
                let message = format!("The bulk action is already {}.", state.name());
                return Err(Error::new(ErrorKind::Conflict, message));
            }
            BulkCancel::Missing => return Err(Error::not_found(format!("bulk action {id}"))),
        };
        let about = serde_json::json!({"bulk_action_id": row.id, "action": row.change.name()});
        event::event_append_about(&mut tx, "bulk_action:cancelled", &ctx.actor(), &about).await?;
        tx.commit().await?;
        self.hub().wake(&[Topic::Events(ctx.org_id)]);
        Ok(row)
    }
}
