//! Taking requests in: one statement writes any number of them into their places, and a shorter one a single request.

mod many;
mod one;

use eve_core::DependencyPolicy;
use eve_core::Priority;
use eve_core::RequestId;
use eve_core::UserId;
use jiff::Timestamp;

use crate::StoreError;
use crate::Tenant;
use crate::error::During;
use crate::lane::Lane;
use crate::standing::LeaseFacts;

/// The constraint that a second use of an idempotency key breaks.
pub const KEY_CONSTRAINT: &str = "idempotency_keys_pkey";
/// Most requests in one [`request_create`].
pub const CREATE_LIMIT: usize = 1000;

/// What was asked, ready to be written.
#[derive(Debug, Clone)]
pub struct NewRequest {
    /// Its id.
    pub id: RequestId,
    /// Who asked.
    pub user_id: UserId,
    /// The request that created it.
    pub parent_id: Option<RequestId>,
    /// The request that it repeats.
    pub replay_of: Option<RequestId>,
    /// Where it queues: who does it, for which project.
    pub lane: Lane,
    /// A line for lists and branch names.
    pub title: String,
    /// What to do.
    pub prompt: String,
    /// The repository to work in.
    pub repository: Option<String>,
    /// The branch or commit to start from.
    pub branch: Option<String>,
    /// Variables for the agent.
    pub context: serde_json::Value,
    /// Settings that no column holds.
    pub config: serde_json::Value,
    /// Whatever the asker wants to find again.
    pub metadata: serde_json::Value,
    /// Where the answer goes.
    pub reply_to: Option<serde_json::Value>,
    /// The harness to use.
    pub harness: Option<String>,
    /// The model to use.
    pub model: Option<String>,
    /// Longest run of an attempt.
    pub timeout_seconds: Option<i32>,
    /// Attempts that may count.
    pub max_attempts: i32,
    /// What a failed dependency means.
    pub on_dependency_failure: DependencyPolicy,
    /// How urgent it is.
    pub priority: Priority,
    /// Not before this time.
    pub run_at: Option<Timestamp>,
    /// What must be finished first.
    pub blocked_by: Vec<RequestId>,
    /// How many of those are not finished yet; more than none means blocked.
    pub open: i32,
    /// Who asked, for the event.
    pub actor: String,
    /// The lease it starts its life with, where a worker waits for it already.
    pub lease: Option<LeaseFacts>,
    /// The idempotency key that it takes; if that is taken already, nothing is written.
    pub key: Option<NewKey>,
}

/// An idempotency key of a call that asks for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The key.
    pub key: String,
    /// What the call asks for, in a few bytes.
    pub fingerprint: Vec<u8>,
}

/// When requests were created, and which of them are due later.
type Written = (Timestamp, Vec<RequestId>);

/// Where the requests of a call go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// All are ready.
    Ready,
    /// All start in a worker's hands.
    Given,
    /// This and that.
    Mixed,
}

impl Shape {
    fn of(new: &[NewRequest]) -> Self {
        let plain = |request: &NewRequest| request.run_at.is_none() && request.open == 0;
        if new.iter().all(|request| plain(request) && request.lease.is_none()) {
            Self::Ready
        } else if new.iter().all(|request| plain(request) && request.lease.is_some()) {
            Self::Given
        } else {
            Self::Mixed
        }
    }
}

/// Writes requests, each into its place: blocked, due later, ready, or in the hands of a worker that waits for it.
/// All of one organization, [`CREATE_LIMIT`] at most; with the event `request:created` for each.
///
/// Answers when they were created and which of them are due later, or nothing if a lane or the user is not the
/// organization's; nothing is written then. Parents are the caller's to check. Of a key that is taken, the error is
/// that of its constraint: [`KEY_CONSTRAINT`].
pub async fn request_create(
    tx: &mut impl Tenant,
    new: &[NewRequest],
) -> Result<Option<(Timestamp, Vec<RequestId>)>, StoreError> {
    let shape = Shape::of(new);
    let written = match (new, shape) {
        ([request], Shape::Ready | Shape::Given) => one::create(tx, request).await,
        _ => many::create(tx, new, shape).await,
    };
    written.during("request_create")
}
