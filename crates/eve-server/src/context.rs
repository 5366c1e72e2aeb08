//! What surrounds every request: its id, its log span, its time limit, and the writing of its errors.
//!
//! The id is taken from `x-request-id` if the caller sent a usable one and made here otherwise. It is in the
//! response's header, in the problem document and on every log line of the request.

use std::time::Duration;
use std::time::Instant;

use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::response::Response;
use eve_api_types::ProblemCode;
use tracing::Instrument;

use crate::error;
use crate::error::ApiError;

/// The header that carries the id, in both directions.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a caller.
const REQUEST_ID_LEN: usize = 128;
/// Longest part of an address that a message repeats, in characters.
const SHOWN_PATH_LEN: usize = 200;

/// Runs a request within its context. The limit is on the time until the response begins, so streams may go on.
pub(crate) async fn with_context(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let path: String = request.uri().path().chars().take(SHOWN_PATH_LEN).collect();
    let asked = format!("{} {path}", request.method());
    let span = tracing::info_span!("http", request_id = id, method = %request.method(), path);
    async move {
        let began = Instant::now();
        let answer = tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
            ApiError::new(ProblemCode::Unavailable, "This took too long and was given up. Try again in a moment.")
                .into_response()
        });
        let mut answer = error::finish(answer, &asked, &id);
        if let Ok(value) = HeaderValue::from_str(&id) {
            answer.headers_mut().insert(REQUEST_ID, value);
        }
        tracing::debug!(status = answer.status().as_u16(), elapsed = ?began.elapsed(), "answered");
        answer
    }
    .instrument(span)
    .await
}

/// The caller's id if it is short and plain, so that it cannot forge a line of the log; otherwise a new one.
fn request_id(headers: &HeaderMap) -> String {
    let plain = |text: &&str| {
        (1..=REQUEST_ID_LEN).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte))
    };
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(plain)
        .map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}
