//! Server-sent events: following something in the database for as long as the caller listens.
//!
//! A wake-up only says that there may be news; what is sent is always read from the database after a position, so a
//! lost wake-up costs a moment and a reconnect with `Last-Event-ID` misses nothing. The waiter exists before the
//! first read. Pages are bounded and read only when the client has taken the last one, so a slow client costs a slow
//! stream and no memory. What is followed and how it looks is the [`Source`]'s business.

use std::convert::Infallible;
use std::time::Duration;
use std::time::Instant;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::response::sse::Event;
use axum::response::sse::KeepAlive;
use axum::response::sse::Sse;
use eve_engine::Topic;
use eve_engine::Waiter;
use futures_util::StreamExt;
use futures_util::stream;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use utoipa::IntoParams;

use crate::App;
use crate::authentication::Credential;
use crate::error::ApiError;
use crate::extract::Accept;
use crate::extract::Shutdown;
use crate::extract::header_text;

/// The header with which a client connects again.
const LAST_EVENT_ID: &str = "last-event-id";
/// What a client is told to wait before it connects again.
const RECONNECT: Duration = Duration::from_millis(1000);
/// First rest after a wake-up that found nothing: what woke us may be hidden for a moment behind another transaction.
const FIRST_REST: Duration = Duration::from_millis(20);
/// How often the caller's key is looked at again, so that a revoked one does not go on listening.
const RECHECK: Duration = Duration::from_secs(60);

/// The header that describes itself in the API's description; [`Listener::position`] reads it.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "for the description only")]
pub(crate) struct LastEventId {
    /// The id of the last one received; counts before `after`.
    #[param(rename = "Last-Event-ID")]
    last_event_id: Option<String>,
}

/// Who asks for something that can be followed, and how.
#[derive(FromRequestParts)]
pub(crate) struct Listener {
    /// As a stream or as a list.
    pub(crate) accept: Accept,
    credential: Credential,
    shutdown: Shutdown,
    headers: HeaderMap,
}

impl Listener {
    /// Where to go on: what a client that connects again says in its header counts before what its address says.
    pub(crate) fn position<'a>(&'a self, after: Option<&'a str>) -> Result<Option<&'a str>, ApiError> {
        let last = header_text(&self.headers, LAST_EVENT_ID)?;
        Ok(last.or(after).filter(|text| !text.is_empty()))
    }
}

/// What one read found.
pub(crate) struct Read {
    /// To be sent now.
    pub(crate) events: Vec<Event>,
    /// What to do then.
    pub(crate) then: Then,
}

/// What to do after a read.
pub(crate) enum Then {
    /// Read again: there was something, so there may be more.
    ReadOn,
    /// Wait for news.
    Wait,
    /// Nothing will follow.
    End,
}

/// Something that can be followed.
pub(crate) trait Source: Send + 'static {
    /// Reads the next bounded page after the last one.
    fn read(&mut self) -> impl Future<Output = Result<Read, ApiError>> + Send;
}

/// Answers with a stream of what the source finds whenever there is news about the topic.
pub(crate) fn follow(app: &App, listener: Listener, topic: Topic, source: impl Source) -> Response {
    let follower = Follower {
        waiter: app.engine.waiter(vec![topic]),
        source,
        shutdown: listener.shutdown.0,
        app: app.clone(),
        credential: listener.credential,
        checked: Instant::now(),
        rest: FIRST_REST,
        next: Then::ReadOn,
    };
    let span = tracing::Span::current();
    let pages = stream::unfold(follower, move |mut follower| {
        let page = async move { follower.page().await.map(|events| (stream::iter(events), follower)) };
        page.instrument(span.clone())
    });
    let hello = stream::iter([Event::default().retry(RECONNECT)]);
    let events = hello.chain(pages.flatten()).map(Ok::<_, Infallible>);
    let heartbeat = KeepAlive::new().interval(app.options.stream_heartbeat).text("heartbeat");
    let mut response = Sse::new(events).keep_alive(heartbeat).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that collect answers before they pass them on are asked not to.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

struct Follower<S> {
    waiter: Waiter,
    source: S,
    shutdown: CancellationToken,
    app: App,
    credential: Credential,
    checked: Instant,
    rest: Duration,
    next: Then,
}

impl<S: Source> Follower<S> {
    /// The next events to send; nothing when the stream is over.
    async fn page(&mut self) -> Option<Vec<Event>> {
        loop {
            match self.next {
                Then::ReadOn if self.shutdown.is_cancelled() => return None,
                Then::ReadOn => {}
                Then::Wait => self.wait().await?,
                Then::End => return None,
            }
            let read = match self.read().await {
                Ok(read) => read,
                Err(error) => {
                    // The client connects again and is told then.
                    error.log();
                    return None;
                }
            };
            self.next = read.then;
            if !read.events.is_empty() {
                self.rest = FIRST_REST;
                return Some(read.events);
            }
        }
    }

    async fn read(&mut self) -> Result<Read, ApiError> {
        if self.checked.elapsed() >= RECHECK {
            self.app.engine.authenticate(self.credential.text()).await?;
            self.checked = Instant::now();
        }
        self.source.read().await
    }

    /// Waits for news or for the time to look without any; nothing if the server stops.
    async fn wait(&mut self) -> Option<()> {
        let began = Instant::now();
        tokio::select! {
            () = self.shutdown.cancelled() => return None,
            () = self.waiter.wait(self.rest) => {}
        }
        let woken = began.elapsed() < self.rest;
        self.rest = if woken { FIRST_REST } else { (self.rest * 4).min(self.app.options.stream_poll) };
        Some(())
    }
}

/// An event with a JSON form of its own.
pub(crate) fn event(name: &str, id: Option<&str>, data: &impl Serialize) -> Result<Event, ApiError> {
    let event = Event::default().event(name).json_data(data).map_err(ApiError::internal)?;
    Ok(match id {
        Some(id) => event.id(id),
        None => event,
    })
}
