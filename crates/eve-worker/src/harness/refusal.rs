//! What kind of failure it is when a model's provider does not answer.
//!
//! A status code is believed before words. Words are only looked at where a CLI reports an error of the provider,
//! never in what an agent says: an agent may well talk about rate limits.

use eve_core::FailureClass;

const CONTEXT: &[&str] =
    &["prompt is too long", "context window", "context length", "context_length", "maximum context", "out of room"];
const BILLING: &[&str] =
    &["credit balance", "insufficient_quota", "exceeded your current quota", "quota exceeded", "payment required"];
const RATE_LIMIT: &[&str] = &["rate limit", "rate_limit", "too many requests", "usage limit"];
const AUTHENTICATION: &[&str] = &[
    "invalid api key",
    "incorrect api key",
    "not logged in",
    "unauthorized",
    "authentication",
    "missing environment variable",
];
const UNAVAILABLE: &[&str] = &[
    "overloaded",
    "at capacity",
    "high demand",
    "connection",
    "econnrefused",
    "econnreset",
    "error sending request",
    "stream disconnected",
    "network error",
    "timed out",
    "service unavailable",
    "internal server error",
    "bad gateway",
];

/// The class of a refusal with this HTTP status; the text decides where one status has several reasons.
pub(super) fn class_of_status(status: u16, text: &str) -> FailureClass {
    let text = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match status {
        401 | 407 => FailureClass::Authentication,
        402 => FailureClass::Billing,
        403 if says(BILLING) => FailureClass::Billing,
        403 => FailureClass::Authentication,
        // OpenAI's word for an empty account.
        429 if says(BILLING) => FailureClass::Billing,
        429 => FailureClass::RateLimited,
        408 => FailureClass::ProviderUnavailable,
        413 => FailureClass::ContextTooLong,
        400..=499 if says(CONTEXT) => FailureClass::ContextTooLong,
        400..=499 if says(BILLING) => FailureClass::Billing,
        400..=499 => FailureClass::InvalidModelRequest,
        _ => FailureClass::ProviderUnavailable,
    }
}

/// The class of an error message without a status, if its words say anything.
pub(super) fn class_of_text(text: &str) -> Option<FailureClass> {
    let text = text.to_lowercase();
    [
        (CONTEXT, FailureClass::ContextTooLong),
        (BILLING, FailureClass::Billing),
        (RATE_LIMIT, FailureClass::RateLimited),
        (AUTHENTICATION, FailureClass::Authentication),
        (UNAVAILABLE, FailureClass::ProviderUnavailable),
    ]
    .into_iter()
    .find(|(words, _)| words.iter().any(|word| text.contains(word)))
    .map(|(_, class)| class)
}

/// The HTTP status that a message mentions, as in `unexpected status 401 Unauthorized` or `last status: 429`.
pub(super) fn status_in(text: &str) -> Option<u16> {
    text.split("status").skip(1).find_map(|rest| {
        let rest = rest.trim_start_matches([':', ' ']);
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok().filter(|status| (100..=599).contains(status))
    })
}
