//! The organization's events: what happened to its requests, as a list or as it happens.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use eve_api_types::Event;
use eve_api_types::Page;
use eve_engine::Engine;
use eve_engine::EventPosition;
use eve_engine::EventRow;
use eve_engine::OpContext;
use eve_engine::Topic;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::App;
use crate::convert;
use crate::error::ApiError;
use crate::extract::Json;
use crate::extract::Query;
use crate::stream;
use crate::stream::Listener;
use crate::stream::Read;
use crate::stream::Then;

/// Events on a page when nothing is said.
const PAGE_SIZE: i64 = 100;
/// Events read at once for a stream.
const STREAM_PAGE: i64 = 200;

/// Which events to read.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventListQuery {
    /// Only events about requests of these worker types, joined by commas.
    worker_type: Option<String>,
    /// Only events after the one with this id.
    after: Option<String>,
    /// At most so many, up to 500; 100 when nothing is said. Does not count for a stream.
    limit: Option<i64>,
}

/// What happens in the organization, in order.
///
/// A stream of server-sent events, each named by its kind, from now on or after the one that `Last-Event-ID` or
/// `after` names. With `Accept: application/json`, a page from the beginning or after `after`; `next_cursor` is where
/// to go on, and is absent when there was nothing to read.
#[utoipa::path(
    get,
    path = "/events",
    tag = "events",
    params(
        EventListQuery,
        stream::LastEventId
    ),
    responses((status = 200, content((Page<Event> = "application/json"), (String = "text/event-stream"))))
)]
pub(crate) async fn event_list(
    State(app): State<App>,
    ctx: OpContext,
    listener: Listener,
    Query(query): Query<EventListQuery>,
) -> Result<Response, ApiError> {
    let after = listener.position(query.after.as_deref())?.map(convert::event_position).transpose()?;
    let filter = WorkerTypeFilter::new(query.worker_type.as_deref())?;
    if listener.accept.json && !listener.accept.event_stream {
        let (after, limit) = (after.unwrap_or_default(), query.limit.unwrap_or(PAGE_SIZE));
        let page = app.engine.event_list(&ctx, after, limit).await?;
        let next_cursor = (!page.events.is_empty()).then(|| page.next.to_string());
        let wanted = filter.pick(page.events);
        let items = wanted.into_iter().map(convert::event).collect();
        return Ok(Json(Page { items, next_cursor }).into_response());
    }
    let after = match after {
        Some(after) => after,
        None => app.engine.event_end(&ctx).await?,
    };
    let topic = Topic::Events(ctx.org_id);
    let source = Events { engine: app.engine.clone(), ctx, after, filter };
    Ok(stream::follow(&app, listener, topic, source))
}

/// The organization's stream, followed for as long as somebody listens.
struct Events {
    engine: Engine,
    ctx: OpContext,
    after: EventPosition,
    filter: WorkerTypeFilter,
}

impl stream::Source for Events {
    async fn read(&mut self) -> Result<Read, ApiError> {
        let page = self.engine.event_list(&self.ctx, self.after, STREAM_PAGE).await?;
        let then = if page.events.is_empty() { Then::Wait } else { Then::ReadOn };
        self.after = page.next;
        let wanted = self.filter.pick(page.events);
        let events = wanted.into_iter().map(|row| {
            let event = convert::event(row);
            stream::event(&event.kind, Some(&event.id), &event)
        });
        Ok(Read { events: events.collect::<Result<_, _>>()?, then })
    }
}

/// Lets events of some worker types pass. Every event of a request says its type.
struct WorkerTypeFilter {
    /// All when empty.
    wanted: BTreeSet<String>,
}

impl WorkerTypeFilter {
    fn new(names: Option<&str>) -> Result<Self, ApiError> {
        let names = names.unwrap_or_default().split(',').filter(|name| !name.is_empty());
        let wanted =
            names.map(|name| convert::worker_type_name(name).map(String::from)).collect::<Result<_, ApiError>>()?;
        Ok(Self { wanted })
    }

    fn pick(&self, rows: Vec<EventRow>) -> Vec<EventRow> {
        let kind = |row: &EventRow| row.payload.get("worker_type").and_then(|name| name.as_str().map(str::to_owned));
        rows.into_iter()
            .filter(|row| self.wanted.is_empty() || kind(row).is_some_and(|name| self.wanted.contains(&name)))
            .collect()
    }
}
