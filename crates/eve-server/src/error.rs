//! Errors: one type for all of them, one table to codes, one place that logs and writes them.
//!
//! A handler or an extractor answers with [`ApiError`]. Its response is a status and the error itself as an
//! extension; [`finish`], called by the outermost layer, logs it once with all its causes and writes the problem
//! document. The same function catches what others answer (the router's 404 and 405), so nothing but
//! `application/problem+json` leaves the server with an error status, and a cause never does.

use std::any::Any;
use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use eve_api_types::PROBLEM_MEDIA_TYPE;
use eve_api_types::Problem;
use eve_api_types::ProblemCode;
use eve_api_types::ProblemEntry;
use eve_engine::ErrorKind;

/// What a client is told to wait before it tries again, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// An error on its way to the client.
#[derive(Debug)]
pub(crate) struct ApiError {
    code: ProblemCode,
    detail: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
    entries: Vec<ProblemEntry>,
}

impl ApiError {
    /// An error that is entirely public.
    pub(crate) fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), cause: None, entries: Vec::new() }
    }

    /// The request's form or content is wrong.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(ProblemCode::InvalidRequest, detail)
    }

    /// A bug; the cause goes to the log only.
    pub(crate) fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let detail = "Something broke on the server's side. Its log has the details.".to_owned();
        Self { code: ProblemCode::Internal, detail, cause: Some(cause.into()), entries: Vec::new() }
    }

    /// The same error under another code.
    pub(crate) fn with_code(self, code: ProblemCode) -> Self {
        Self { code, ..self }
    }

    /// The same error, with what is wrong with each part of the call.
    pub(crate) fn with_entries(self, entries: Vec<ProblemEntry>) -> Self {
        Self { entries, ..self }
    }

    /// What the caller is told.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Writes the error and everything that led to it to the log.
    pub(crate) fn log(&self) {
        let mut chain = self.detail.clone();
        let mut cause = self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static));
        while let Some(error) = cause {
            // Writing into a string does not fail.
            let _ = write!(chain, ": {error}");
            cause = error.source();
        }
        let code = self.code.name();
        match self.code {
            ProblemCode::Internal => tracing::error!(code, "{chain}"),
            ProblemCode::Unavailable => tracing::warn!(code, "{chain}"),
            ProblemCode::InvalidRequest
            | ProblemCode::InvalidWorkerType
            | ProblemCode::Unauthenticated
            | ProblemCode::Forbidden
            | ProblemCode::NotFound
            | ProblemCode::Conflict
            | ProblemCode::IdempotencyConflict
            | ProblemCode::StaleFence
            | ProblemCode::MethodNotAllowed
            | ProblemCode::UnsupportedMediaType
            | ProblemCode::TooLarge
            | ProblemCode::RateLimited => tracing::info!(code, "{chain}"),
        }
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<eve_engine::Error> for ApiError {
    fn from(error: eve_engine::Error) -> Self {
        let code = match error.kind {
            ErrorKind::Invalid => ProblemCode::InvalidRequest,
            ErrorKind::InvalidWorkerType => ProblemCode::InvalidWorkerType,
            ErrorKind::Unauthenticated => ProblemCode::Unauthenticated,
            ErrorKind::Forbidden => ProblemCode::Forbidden,
            ErrorKind::NotFound => ProblemCode::NotFound,
            ErrorKind::Conflict => ProblemCode::Conflict,
            ErrorKind::IdempotencyConflict => ProblemCode::IdempotencyConflict,
            ErrorKind::Stale => ProblemCode::StaleFence,
            ErrorKind::Unavailable => ProblemCode::Unavailable,
            ErrorKind::Internal => ProblemCode::Internal,
        };
        Self { code, detail: error.message, cause: error.cause, entries: Vec::new() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// The answer to a request whose handler panicked. The panic hook has logged the place.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands over the panic's payload")]
pub(crate) fn panicked(payload: Box<dyn Any + Send + 'static>) -> Response {
    let said = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    ApiError::internal(format!("a handler panicked: {}", said.unwrap_or("without a word"))).into_response()
}

/// Logs an error response and writes its problem document; lets every other response pass.
pub(crate) fn finish(mut response: Response, asked: &str, request_id: &str) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let error = response.extensions_mut().remove::<Arc<ApiError>>().unwrap_or_else(|| Arc::new(foreign(status, asked)));
    error.log();
    let mut problem = Problem::new(error.code, error.detail.clone());
    problem.request_id = Some(request_id.to_owned());
    problem.errors.clone_from(&error.entries);
    let mut finished = (error.status(), axum::Json(problem)).into_response();
    let headers = finished.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_MEDIA_TYPE));
    if error.code == ProblemCode::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if error.code == ProblemCode::Unavailable {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    finished
}

/// What an error status means that no handler of ours gave.
fn foreign(status: StatusCode, asked: &str) -> ApiError {
    match status {
        StatusCode::NOT_FOUND => {
            ApiError::new(ProblemCode::NotFound, format!("There is nothing at `{asked}`. /openapi.json lists what is."))
        }
        StatusCode::METHOD_NOT_ALLOWED => ApiError::new(
            ProblemCode::MethodNotAllowed,
            format!("`{asked}` does not exist. The header `Allow` names the methods that do."),
        ),
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(ProblemCode::TooLarge, "The request is too large."),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            ApiError::new(ProblemCode::UnsupportedMediaType, "The body's media type is not supported here.")
        }
        _ if status.is_client_error() => ApiError::invalid(format!("The request cannot be answered ({status}).")),
        _ => ApiError::internal(format!("a layer answered {status}")),
    }
}
