//! What a worker needs from the rest of Eve, and nothing more.

pub mod http;

use std::time::Duration;

use eve_api_types::AppendEntries;
use eve_api_types::ClaimAnswer;
use eve_api_types::ClaimRequest;
use eve_api_types::EndAnswer;
use eve_api_types::HeartbeatAnswer;
use eve_api_types::HeartbeatRequest;
use eve_api_types::RegisterAnswer;
use eve_api_types::RegisterRequest;
use eve_api_types::ReleaseRequest;
use eve_api_types::SettleRequest;
use eve_api_types::StartRequest;

/// Why the control plane did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    /// The lease was given away: kill what runs under it, and write nothing more.
    #[error("the lease was given away")]
    Stale,
    /// It cannot be reached, or is not able to answer; trying again may help.
    #[error("the control plane does not answer: {0}")]
    Unavailable(String),
    /// It understood and refused; trying again will not help.
    #[error("the control plane refused: {0}")]
    Refused(String),
}

/// The two ways to it are HTTP, from another host, and a call, in the same process.
#[async_trait::async_trait]
pub trait ControlPlane: Send + Sync {
    /// Enters the worker.
    async fn worker_register(&self, request: &RegisterRequest) -> Result<RegisterAnswer, PlaneError>;
    /// Takes work, waiting for some.
    async fn queue_claim(&self, request: &ClaimRequest) -> Result<ClaimAnswer, PlaneError>;
    /// Extends the worker's lease, then waits up to `wait` for a reason to stop an attempt. [`PlaneError::Stale`] means
    /// that the worker was given up, with all its attempts.
    async fn worker_heartbeat(&self, request: &HeartbeatRequest, wait: Duration)
    -> Result<HeartbeatAnswer, PlaneError>;
    /// The agent is about to run.
    async fn attempt_start(&self, request: &StartRequest) -> Result<(), PlaneError>;
    /// Appends to the log.
    async fn attempt_log_append(&self, request: &AppendEntries) -> Result<(), PlaneError>;
    /// Attempts are over. Each is answered for itself.
    async fn attempt_settle(&self, request: &SettleRequest) -> Result<EndAnswer, PlaneError>;
    /// Gives requests back unfinished. Each is answered for itself.
    async fn attempt_release(&self, request: &ReleaseRequest) -> Result<EndAnswer, PlaneError>;
}
