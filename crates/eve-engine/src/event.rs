//! Reading an organization's stream.

use eve_store::event;
use eve_store::event::EventPosition;
use eve_store::event::EventRow;

use crate::Engine;
use crate::Error;
use crate::OpContext;

/// Most events in one answer.
pub(crate) const EVENT_PAGE_LIMIT: i64 = 500;

/// Some events and where to go on.
#[derive(Debug)]
pub struct EventPage {
    /// The events, in order.
    pub events: Vec<EventRow>,
    /// The position after the last of them.
    pub next: EventPosition,
}

impl Engine {
    /// Events after a position, in order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn event_list(&self, ctx: &OpContext, after: EventPosition, limit: i64) -> Result<EventPage, Error> {
        let mut tx = self.store().org(ctx.org_id).await?;
        let events = event::event_list(&mut tx, after, limit.clamp(1, EVENT_PAGE_LIMIT)).await?;
        tx.commit().await?;
        let next = events.last().map_or(after, |event| event.position);
        Ok(EventPage { events, next })
    }

    /// The end of the stream as it is now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn event_end(&self, ctx: &OpContext) -> Result<EventPosition, Error> {
        let mut tx = self.store().org(ctx.org_id).await?;
        let end = event::event_end(&mut tx).await?;
        tx.commit().await?;
        Ok(end)
    }
}
