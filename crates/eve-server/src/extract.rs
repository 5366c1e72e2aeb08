//! Extractors whose refusals are problem documents, where axum's own would be plain text.

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use axum::extract::FromRequest;
use axum::extract::FromRequestParts;
use axum::extract::Request;
use axum::extract::rejection::JsonRejection;
use axum::extract::rejection::PathRejection;
use axum::extract::rejection::QueryRejection;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use axum::response::Response;
use eve_api_types::ProblemCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::error::ApiError;

/// Longest time for a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A JSON body, either way.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match tokio::time::timeout(BODY_TIMEOUT, axum::Json::from_request(request, state)).await {
            Ok(parsed) => Ok(Self(parsed.map(|axum::Json(value)| value)?)),
            Err(_) => Err(ApiError::invalid(format!("The body did not arrive within {BODY_TIMEOUT:?}."))),
        }
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// The variable parts of the address.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub(crate) struct Path<T>(pub(crate) T);

/// The part of the address after the question mark.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub(crate) struct Query<T>(pub(crate) T);

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::new(
                ProblemCode::UnsupportedMediaType,
                "Send the body as JSON, with the header `Content-Type: application/json`.",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => {
                Self::new(ProblemCode::TooLarge, "The body is larger than this address accepts.")
            }
            StatusCode::BAD_REQUEST => Self::invalid(format!("The body is not JSON: {}.", reason(&rejection))),
            _ => Self::invalid(format!("The body is not what this address expects: {}.", reason(&rejection))),
        }
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::invalid(format!("The address is not valid: {}.", reason(&rejection)))
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid(format!("The query is not valid: {}.", reason(&rejection)))
    }
}

/// What a rejection says beneath its own general words.
fn reason(rejection: &impl Error) -> String {
    rejection.source().map_or_else(|| rejection.to_string(), ToString::to_string)
}

/// What the caller would like to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accept {
    /// A stream of events.
    pub(crate) event_stream: bool,
    /// JSON.
    pub(crate) json: bool,
}

impl<S: Sync> FromRequestParts<S> for Accept {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let named = |media: &str| {
            let wanted = parts.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
            wanted
                .flat_map(|value| value.split(','))
                .any(|range| range.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(media)))
        };
        Ok(Self { event_stream: named("text/event-stream"), json: named("application/json") })
    }
}

/// A header as text; nothing if it is not there.
pub(crate) fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ApiError> {
    headers
        .get(name)
        .map(|value| value.to_str().map_err(|_| ApiError::invalid(format!("The header `{name}` is not plain text."))))
        .transpose()
}

/// Fires when the server stops, so that nothing waits any longer. [`crate::serve`] puts it there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shutdown(pub(crate) CancellationToken);

impl<S: Sync> FromRequestParts<S> for Shutdown {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}
