//! The log of a request: what its agents said and did, as a list or as it happens.

use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::response::sse;
use eve_api_types::LogEntry;
use eve_api_types::Page;
use eve_core::RequestId;
use eve_engine::Engine;
use eve_engine::LogPosition;
use eve_engine::OpContext;
use eve_engine::Topic;
use eve_engine::limits;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::App;
use crate::convert;
use crate::error::ApiError;
use crate::extract::Json;
use crate::extract::Path;
use crate::extract::Query;
use crate::stream;
use crate::stream::Listener;
use crate::stream::Read;
use crate::stream::Then;

/// Entries on a page when nothing is said.
const PAGE_SIZE: i64 = 200;

/// Which entries to read.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RequestLogQuery {
    /// Only entries after the one with this id.
    #[param(example = "1-17")]
    after: Option<String>,
    /// At most so many, up to 1000; 200 when nothing is said. Does not count for a stream.
    limit: Option<i64>,
}

/// The log of a request over all its attempts, in order.
///
/// As JSON, a page; `next_cursor` is the id of its last entry, to go on with `after`. With
/// `Accept: text/event-stream`, a stream that goes on with the request: events `log` with an entry each, then one
/// event `end` with the request when it is finished.
#[utoipa::path(
    get,
    path = "/requests/{id}/log",
    tag = "requests",
    params(
        ("id" = String, Path, description = "The request."),
        RequestLogQuery,
        stream::LastEventId
    ),
    responses((status = 200, content((Page<LogEntry> = "application/json"), (String = "text/event-stream"))))
)]
pub(crate) async fn request_log(
    State(app): State<App>,
    ctx: OpContext,
    listener: Listener,
    Path(id): Path<RequestId>,
    Query(query): Query<RequestLogQuery>,
) -> Result<Response, ApiError> {
    let after = match listener.position(query.after.as_deref())? {
        Some(text) => convert::log_position(text)?,
        None => LogPosition::default(),
    };
    if listener.accept.event_stream {
        // What is not there is refused as a problem, not as a stream that ends.
        app.engine.request_get(&ctx, id).await?;
        let source = Log { engine: app.engine.clone(), ctx, id, after };
        return Ok(stream::follow(&app, listener, Topic::Request(id), source));
    }
    let entries = app.engine.request_log(&ctx, id, after, query.limit.unwrap_or(PAGE_SIZE)).await?;
    let items: Vec<LogEntry> = entries.into_iter().map(convert::log_entry).collect();
    let next_cursor = items.last().map(|entry| entry.id.clone());
    Ok(Json(Page { items, next_cursor }).into_response())
}

/// A log that is followed until its request is finished.
struct Log {
    engine: Engine,
    ctx: OpContext,
    id: RequestId,
    after: LogPosition,
}

impl stream::Source for Log {
    async fn read(&mut self) -> Result<Read, ApiError> {
        // The state first: a finished request has no lease, so nothing is added to a log that is read after it.
        let request = self.engine.request_get(&self.ctx, self.id).await?;
        let entries = self.engine.request_log(&self.ctx, self.id, self.after, limits::LOG_PAGE_LIMIT).await?;
        if let Some(last) = entries.last() {
            self.after = last.position;
            let events = entries.into_iter().map(|entry| {
                let entry = convert::log_entry(entry);
                stream::event("log", Some(&entry.id), &entry)
            });
            return Ok(Read { events: events.collect::<Result<Vec<sse::Event>, _>>()?, then: Then::ReadOn });
        }
        if !request.state.is_terminal() {
            return Ok(Read { events: Vec::new(), then: Then::Wait });
        }
        let end = stream::event("end", None, &convert::request(request))?;
        Ok(Read { events: vec![end], then: Then::End })
    }
}
