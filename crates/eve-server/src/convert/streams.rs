//! Events and log entries, and the positions that they are followed from.

use eve_api_types::Event;
use eve_api_types::LogEntry;
use eve_engine::EventPosition;
use eve_engine::EventRow;
use eve_engine::LogPosition;
use eve_engine::RequestLogEntry;

use crate::error::ApiError;

/// Something that happened.
pub(crate) fn event(row: EventRow) -> Event {
    Event {
        id: row.position.to_string(),
        kind: row.kind,
        request_id: row.request_id,
        attempt_id: row.attempt_id,
        actor: row.actor,
        payload: row.payload,
        at: row.at,
    }
}

/// The position that an event's id stands for.
pub(crate) fn event_position(text: &str) -> Result<EventPosition, ApiError> {
    text.parse().map_err(|()| not_a_position(text, "an event"))
}

/// An entry of a request's log.
pub(crate) fn log_entry(row: RequestLogEntry) -> LogEntry {
    LogEntry {
        id: format!("{}-{}", row.position.attempt, row.position.seq),
        attempt_id: row.attempt_id,
        at: row.at,
        event: row.event,
    }
}

/// The position that a log entry's id stands for.
pub(crate) fn log_position(text: &str) -> Result<LogPosition, ApiError> {
    text.split_once('-')
        .and_then(|(attempt, seq)| Some(LogPosition { attempt: attempt.parse().ok()?, seq: seq.parse().ok()? }))
        .ok_or_else(|| not_a_position(text, "a log entry"))
}

fn not_a_position(text: &str, what: &str) -> ApiError {
    let shown: String = text.chars().take(64).collect();
    ApiError::invalid(format!("`{shown}` is not the id of {what}. Give the `id` of the last one you have."))
}
