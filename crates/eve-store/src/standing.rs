//! Where a request stands: the row that one of `queue`, `parked`, `leases` and `results` holds.
//!
//! A [`Standing`] is that row, read by the statement that deleted or locked it. What becomes of it is decided by
//! `eve-core`, and written as a row of the place that the new state belongs to.

mod lock;
mod parse;

pub use lock::Locked;
pub use lock::LockedMany;
pub use lock::standing_lock;
pub use lock::standing_lock_many;
#[cfg(test)]
use parse::StateColumns;
pub(crate) use parse::parked_state;
pub(crate) use parse::state_columns;
pub(crate) use parse::stop_kind;
pub(crate) use parse::stop_name;

use eve_core::AttemptId;
use eve_core::DependencyPolicy;
use eve_core::Fence;
use eve_core::LaneId;
use eve_core::OrgId;
use eve_core::Place;
use eve_core::Priority;
use eve_core::RequestId;
use eve_core::RequestLife;
use eve_core::RequestState;
use eve_core::RetryPolicy;
use eve_core::WorkerId;
use jiff::Timestamp;

use crate::StoreError;

/// What a lease says of its attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseFacts {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// Who has it.
    pub worker_id: WorkerId,
    /// Since when.
    pub claimed_at: Timestamp,
    /// When its agent started.
    pub started_at: Option<Timestamp>,
    /// What it runs with.
    pub harness: Option<String>,
    /// The agent's session, as far as it was reported.
    pub session_id: Option<String>,
}

/// A request that is not finished, and all that decisions about it depend on.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Its organization.
    pub org_id: OrgId,
    /// Its id.
    pub id: RequestId,
    /// The request that created it.
    pub parent_id: Option<RequestId>,
    /// Where its row was read. By its state it may belong elsewhere by now: what is parked until a time that has come is
    /// in the queue only when it has been moved there.
    pub place: Place,
    /// Where it queues.
    pub lane: LaneId,
    /// How urgent it is.
    pub priority: Priority,
    /// What decisions depend on.
    pub life: RequestLife,
    /// The lease, when it is in a worker's hands.
    pub lease: Option<LeaseFacts>,
    /// The database's time in the transaction that read it.
    pub now: Timestamp,
}

/// The columns that all places but the results have.
pub(crate) struct Common {
    pub(crate) org_id: uuid::Uuid,
    pub(crate) request_id: uuid::Uuid,
    pub(crate) parent_id: Option<uuid::Uuid>,
    pub(crate) lane_id: i32,
    pub(crate) priority: i16,
    pub(crate) fence: i64,
    pub(crate) burned: i16,
    pub(crate) crashes: i16,
    pub(crate) max_attempts: i16,
    pub(crate) now: Timestamp,
}

impl Common {
    pub(crate) fn standing(
        self,
        place: Place,
        state: RequestState,
        lease: Option<LeaseFacts>,
    ) -> Result<Standing, StoreError> {
        let table = match place {
            Place::Queue => "queue",
            Place::Parked => "parked",
            Place::Lease => "leases",
            Place::Result => "results",
        };
        let id = RequestId::from_uuid(self.request_id);
        let impossible = || StoreError::Impossible { table, detail: format!("{id} has numbers out of range") };
        let count = |number: i16| u16::try_from(number).map_err(|_| impossible());
        let policy = RetryPolicy { max_attempts: count(self.max_attempts)?, ..RetryPolicy::default() };
        Ok(Standing {
            org_id: OrgId::from_uuid(self.org_id),
            id,
            parent_id: self.parent_id.map(RequestId::from_uuid),
            place,
            lane: LaneId(self.lane_id),
            priority: Priority::from_number(self.priority).ok_or_else(impossible)?,
            life: RequestLife {
                state,
                fence: Fence(self.fence),
                burned: count(self.burned)?,
                crashes: count(self.crashes)?,
                policy,
                on_dependency_failure: DependencyPolicy::Fail,
                stop: None,
            },
            lease,
            now: self.now,
        })
    }
}

/// Turns a row with the common columns into [`Common`]; a macro, because each statement's row is a type of its own.
macro_rules! common {
    ($row:expr) => {
        $crate::standing::Common {
            org_id: $row.org_id,
            request_id: $row.request_id,
            parent_id: $row.parent_id,
            lane_id: $row.lane_id,
            priority: $row.priority,
            fence: $row.fence,
            burned: $row.burned,
            crashes: $row.crashes,
            max_attempts: $row.max_attempts,
            now: $row.now.to_jiff(),
        }
    };
}
pub(crate) use common;

/// Turns a row of `leases` into a [`Standing`].
macro_rules! lease_standing {
    ($row:expr) => {{
        let attempt_id = eve_core::AttemptId::from_uuid($row.attempt_id);
        let state = match $row.started_at {
            None => eve_core::RequestState::Claimed { attempt: attempt_id },
            Some(_) => eve_core::RequestState::Processing { attempt: attempt_id },
        };
        let facts = $crate::standing::LeaseFacts {
            attempt_id,
            worker_id: eve_core::WorkerId::from_uuid($row.worker_id),
            claimed_at: $row.claimed_at.to_jiff(),
            started_at: $row.started_at.map(|at| at.to_jiff()),
            harness: $row.harness.clone(),
            session_id: $row.session_id.clone(),
        };
        let stop = $crate::standing::stop_kind($row.stop.as_deref());
        $crate::standing::common!($row).standing(eve_core::Place::Lease, state, Some(facts)).map(|mut standing| {
            standing.life.stop = stop;
            standing
        })
    }};
}
pub(crate) use lease_standing;

/// Turns a row of `parked` into a [`Standing`].
macro_rules! parked_standing {
    ($row:expr) => {{
        let run_at = $row.run_at.map(|at| at.to_jiff());
        let state = $crate::standing::parked_state(&$row.state, $row.reason.as_deref(), run_at);
        let policy = eve_core::DependencyPolicy::from_name(&$row.on_dependency_failure);
        match state.zip(policy) {
            None => Err($crate::StoreError::Impossible { table: "parked", detail: format!("state {}", $row.state) }),
            Some((state, policy)) => {
                $crate::standing::common!($row).standing(eve_core::Place::Parked, state, None).map(|mut standing| {
                    standing.life.on_dependency_failure = policy;
                    standing
                })
            }
        }
    }};
}
pub(crate) use parked_standing;

#[cfg(test)]
mod tests;
