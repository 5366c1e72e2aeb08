//! What Eve is about, as plain data and pure decisions.
//!
//! Everything here is a function of its arguments: no I/O, no clock, no randomness. A caller passes the time
//! and, where chance is wanted, a number drawn elsewhere. That is what makes the request's life testable by
//! property and the same on every host. Reading and writing rows is `eve-store`'s; doing what was decided is
//! `eve-engine`'s and `eve-worker`'s.

#![warn(missing_docs)]

mod agent_event;
mod attempt;
mod branch;
mod bulk;
mod failure;
mod fairness;
mod id;
mod priority;
mod reference;
mod request;
mod usage;
mod worker_type;

pub use agent_event::AgentEvent;
pub use agent_event::EVENT_VERSION;
pub use agent_event::NoticeLevel;
pub use agent_event::OutputStream;
pub use attempt::AttemptReport;
pub use attempt::AttemptState;
pub use attempt::Delivery;
pub use attempt::Fence;
pub use attempt::Outcome;
pub use attempt::ResultStatus;
pub use branch::branch_name;
pub use branch::slug;
pub use bulk::BulkChange;
pub use bulk::BulkFacts;
pub use bulk::Skip;
pub use failure::Disposition;
pub use failure::FailureClass;
pub use failure::Jitter;
pub use failure::RetryPolicy;
pub use fairness::Ageing;
pub use fairness::Candidate;
pub use fairness::FairShare;
pub use id::AttemptId;
pub use id::BulkActionId;
pub use id::IdError;
pub use id::KeyId;
pub use id::LaneId;
pub use id::OrgId;
pub use id::ProjectId;
pub use id::RequestId;
pub use id::UserId;
pub use id::WorkerId;
pub use priority::Priority;
pub use reference::Cycle;
pub use reference::Reference;
pub use reference::reference_order;
pub use request::Blockers;
pub use request::DependencyPolicy;
pub use request::Effect;
pub use request::HoldReason;
pub use request::Place;
pub use request::Refused;
pub use request::RequestEvent;
pub use request::RequestLife;
pub use request::RequestState;
pub use request::StateName;
pub use request::StopKind;
pub use request::Transition;
pub use request::WaitReason;
pub use usage::CostBasis;
pub use usage::Usage;
pub use worker_type::InvalidWorkerType;
pub use worker_type::WorkerTypeName;
