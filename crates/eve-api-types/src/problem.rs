//! Errors as RFC 9457 problem details, with codes that stay.

use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of every error.
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong, for programs. Codes are only ever added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// The request's form or content is wrong.
    InvalidRequest,
    /// There is no such worker type.
    InvalidWorkerType,
    /// No valid key or token was given.
    Unauthenticated,
    /// The caller may not do this.
    Forbidden,
    /// There is no such thing, or the caller may not see it.
    NotFound,
    /// The thing is not in a state that allows it.
    Conflict,
    /// The idempotency key was used for another call.
    IdempotencyConflict,
    /// The write carries an old fence: the lease was given away.
    StaleFence,
    /// The method does not exist here.
    MethodNotAllowed,
    /// The body's media type is not supported.
    UnsupportedMediaType,
    /// The body is too large.
    TooLarge,
    /// Too many requests; try again after the time in `Retry-After`.
    RateLimited,
    /// The database or another part is away; try again.
    Unavailable,
    /// Something is broken on the server's side.
    Internal,
}

impl ProblemCode {
    /// The HTTP status that goes with it.
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidRequest | Self::InvalidWorkerType => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict | Self::StaleFence => 409,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::IdempotencyConflict => 422,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    /// The code as text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidWorkerType => "invalid_worker_type",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::IdempotencyConflict => "idempotency_conflict",
            Self::StaleFence => "stale_fence",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::InvalidRequest => "The request is not valid",
            Self::InvalidWorkerType => "Invalid worker type",
            Self::Unauthenticated => "Not authenticated",
            Self::Forbidden => "Not allowed",
            Self::NotFound => "Not found",
            Self::Conflict => "Not possible in this state",
            Self::IdempotencyConflict => "The idempotency key was used for another request",
            Self::StaleFence => "The lease was given away",
            Self::MethodNotAllowed => "Method not allowed",
            Self::UnsupportedMediaType => "Unsupported media type",
            Self::TooLarge => "The request is too large",
            Self::RateLimited => "Too many requests",
            Self::Unavailable => "Temporarily unavailable",
            Self::Internal => "Internal error",
        }
    }
}

/// An error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem; `urn:eve:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong this time, and what to do about it.
    pub detail: String,
    /// The same as `detail`, for clients that look for it under this name.
    pub message: String,
    /// The stable code.
    pub code: ProblemCode,
    /// The request id, as in the `x-request-id` header and in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What is wrong with each part of a call that asks for many things.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ProblemEntry>,
}

/// What is wrong with one part of a call that asks for many things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemEntry {
    /// Its place in the call, from 0.
    pub index: usize,
    /// The name that it has there.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A JSON pointer to what is wrong in the call's body.
    pub pointer: String,
    /// What is wrong, and what to do about it.
    pub detail: String,
}

impl Problem {
    /// A problem with these particulars.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            kind: format!("urn:eve:problem:{}", code.name()),
            title: code.title().to_owned(),
            status: code.status(),
            message: detail.clone(),
            detail,
            code,
            request_id: None,
            errors: Vec::new(),
        }
    }
}
