//! What goes over the wire: the public API, the workers' API, errors, pages and stream events.
//!
//! These types are a contract with programs that we do not control. Core types are not part of it: they are copied
//! here by hand, so that a refactoring cannot change an answer by accident. Field names are snake_case; times are
//! RFC 3339 in UTC; money is a decimal in a string; ids are text with a prefix.

#![warn(missing_docs)]

mod auth;
mod bulk;
mod event;
mod limit;
mod page;
mod problem;
mod request;
mod result;
mod status;
mod worker;
mod worker_type;

pub use auth::Token;
pub use auth::TokenRequest;
pub use auth::WhoAmI;
pub use bulk::BulkAction;
pub use bulk::BulkFilter;
pub use bulk::BulkPreview;
pub use bulk::BulkRequest;
pub use bulk::BulkRequestFault;
pub use bulk::BulkRequestForm;
pub use bulk::BulkSample;
pub use bulk::CreatedRequest;
pub use bulk::CreatedRequests;
pub use bulk::NewBulkAction;
pub use bulk::NewPriority;
pub use bulk::NewRequests;
pub use event::Event;
pub use event::LogEntry;
pub use limit::Limit;
pub use limit::LimitSetting;
pub use page::Page;
pub use problem::PROBLEM_MEDIA_TYPE;
pub use problem::Problem;
pub use problem::ProblemCode;
pub use problem::ProblemEntry;
pub use request::Attempt;
pub use request::NewRequest;
pub use request::Request;
pub use request::RequestDetail;
pub use request::RequestStatus;
pub use result::RequestResult;
pub use status::ComponentHealth;
pub use status::DatabaseStatus;
pub use status::HotTable;
pub use status::LastDay;
pub use status::ListenerStatus;
pub use status::MisplacedRequest;
pub use status::PlacesReport;
pub use status::QueueAge;
pub use status::QueueHealth;
pub use status::QueueLane;
pub use status::ServiceStatus;
pub use status::SinceStart;
pub use status::SnapshotHolder;
pub use status::StaleWrites;
pub use status::Status;
pub use worker::AppendEntries;
pub use worker::Assignment;
pub use worker::AttemptSignal;
pub use worker::ClaimAnswer;
pub use worker::ClaimRequest;
pub use worker::EndAnswer;
pub use worker::EndOutcome;
pub use worker::FencedAttempt;
pub use worker::HarnessInfo;
pub use worker::HeartbeatAnswer;
pub use worker::HeartbeatRequest;
pub use worker::LogLine;
pub use worker::RegisterAnswer;
pub use worker::RegisterRequest;
pub use worker::ReleaseRequest;
pub use worker::SettleRequest;
pub use worker::Settlement;
pub use worker::StartRequest;
pub use worker::Worker;
pub use worker::WorkerAttempt;
pub use worker::WorkerState;
pub use worker_type::WorkerType;
