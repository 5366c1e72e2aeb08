//! Between the engine's rows and the wire: by hand, so that a refactoring there cannot change an answer here.

mod bulk;
mod health;
mod installation;
mod requests;
mod streams;
mod workers;

use eve_api_types::Page;
use eve_api_types::ProblemCode;
use eve_core::WorkerTypeName;

use crate::error::ApiError;

pub(crate) use bulk::bulk_action;
pub(crate) use bulk::bulk_change;
pub(crate) use bulk::bulk_filter;
pub(crate) use bulk::bulk_line;
pub(crate) use bulk::bulk_preview;
pub(crate) use bulk::created_requests;
pub(crate) use bulk::line_faults;
pub(crate) use bulk::line_names;
pub(crate) use health::database;
pub(crate) use health::places_report;
pub(crate) use health::queue_health;
pub(crate) use installation::limit;
pub(crate) use installation::queue_lane;
pub(crate) use installation::service;
pub(crate) use installation::status;
pub(crate) use installation::token;
pub(crate) use installation::who_am_i;
pub(crate) use installation::worker_type;
pub(crate) use installation::worker_type_row;
pub(crate) use requests::priority;
pub(crate) use requests::request;
pub(crate) use requests::request_detail;
pub(crate) use requests::request_draft;
pub(crate) use requests::request_filter;
pub(crate) use requests::result;

pub(crate) use requests::statuses;
pub(crate) use streams::event;
pub(crate) use streams::event_position;
pub(crate) use streams::log_entry;
pub(crate) use streams::log_position;
pub use workers::assignment;
pub use workers::end_answer;
pub use workers::fenced;
pub use workers::fenced_all;
pub use workers::log_lines;
pub use workers::new_worker;
pub use workers::register_answer;
pub use workers::settlements;
pub use workers::signal;
pub(crate) use workers::worker;
pub(crate) use workers::worker_attempt;
pub use workers::worker_state;

/// A list that fits on one page.
pub(crate) fn page<R, T>(rows: Vec<R>, convert: impl Fn(R) -> T) -> Page<T> {
    Page { items: rows.into_iter().map(convert).collect(), next_cursor: None }
}

/// A worker type's name as a caller wrote it.
pub(crate) fn worker_type_name(text: &str) -> Result<WorkerTypeName, ApiError> {
    text.parse().map_err(|error| ApiError::new(ProblemCode::InvalidWorkerType, format!("{error}.")))
}

/// A number of milliseconds for the wire.
fn millis(duration: jiff::SignedDuration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or_default()
}

/// A count that is never negative.
fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}
