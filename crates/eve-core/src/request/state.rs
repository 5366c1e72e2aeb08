//! Where a request can stand, with what is true there and nothing else.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;

use crate::AttemptId;
use crate::FailureClass;

/// A state's name, as in the database and on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    /// A dependency is not finished.
    Blocked,
    /// Needs an approval or a budget.
    Held,
    /// Ready to be claimed.
    Pending,
    /// Leased; the agent is not running yet.
    Claimed,
    /// The agent runs.
    Processing,
    /// For a person's answer, for children, or for a provider.
    Waiting,
    /// Stopped by a person for now.
    Paused,
    /// Done.
    Completed,
    /// Given up.
    Failed,
    /// Called off.
    Cancelled,
}

impl StateName {
    /// All states, in the order of a request's life.
    pub const ALL: [Self; 10] = [
        Self::Blocked,
        Self::Held,
        Self::Pending,
        Self::Claimed,
        Self::Processing,
        Self::Waiting,
        Self::Paused,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];
    /// States that nothing leaves.
    pub const TERMINAL: [Self; 3] = [Self::Completed, Self::Failed, Self::Cancelled];
    /// States in which an attempt holds a lease.
    pub const LEASED: [Self; 2] = [Self::Claimed, Self::Processing];

    /// The name as text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Held => "held",
            Self::Pending => "pending",
            Self::Claimed => "claimed",
            Self::Processing => "processing",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state with this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing leaves this state.
    pub fn is_terminal(self) -> bool {
        Self::TERMINAL.contains(&self)
    }
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a request is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldReason {
    /// A person must approve it.
    Approval,
    /// A budget has nothing left to reserve.
    Budget,
}

/// What a waiting request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WaitReason {
    /// A person's answer.
    Answer,
    /// Requests that it created.
    Children,
    /// A provider's quota, which is full again at this time.
    Quota {
        /// When it is tried again.
        until: Timestamp,
    },
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestState {
    /// This many dependencies are not finished.
    Blocked,
    /// Needs an approval or a budget.
    Held(HoldReason),
    /// Ready from this time on.
    Pending {
        /// When it may be claimed.
        run_at: Timestamp,
    },
    /// Leased; the agent is not running yet.
    Claimed {
        /// The attempt that holds the lease.
        attempt: AttemptId,
    },
    /// The agent runs.
    Processing {
        /// The attempt that holds the lease.
        attempt: AttemptId,
    },
    /// Holds no slot and no process.
    Waiting(WaitReason),
    /// Stopped by a person for now.
    Paused,
    /// Done.
    Completed,
    /// Given up, for this reason.
    Failed(FailureClass),
    /// Called off.
    Cancelled,
}

/// Which of the tables holds a request's row: a request is in exactly one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Ready to be claimed.
    Queue,
    /// Not finished, not ready, in nobody's hands.
    Parked,
    /// In a worker's hands.
    Lease,
    /// Finished.
    Result,
}

impl RequestState {
    /// Where the row of a request in this state belongs at this time.
    pub fn place(self, now: Timestamp) -> Place {
        match self {
            Self::Pending { run_at } if run_at <= now => Place::Queue,
            Self::Blocked | Self::Held(_) | Self::Pending { .. } | Self::Waiting(_) | Self::Paused => Place::Parked,
            Self::Claimed { .. } | Self::Processing { .. } => Place::Lease,
            Self::Completed | Self::Failed(_) | Self::Cancelled => Place::Result,
        }
    }

    /// The state without its data.
    pub const fn name(self) -> StateName {
        match self {
            Self::Blocked => StateName::Blocked,
            Self::Held(_) => StateName::Held,
            Self::Pending { .. } => StateName::Pending,
            Self::Claimed { .. } => StateName::Claimed,
            Self::Processing { .. } => StateName::Processing,
            Self::Waiting(_) => StateName::Waiting,
            Self::Paused => StateName::Paused,
            Self::Completed => StateName::Completed,
            Self::Failed(_) => StateName::Failed,
            Self::Cancelled => StateName::Cancelled,
        }
    }

    /// The attempt that holds the lease, if one does.
    pub const fn live_attempt(self) -> Option<AttemptId> {
        match self {
            Self::Claimed { attempt } | Self::Processing { attempt } => Some(attempt),
            Self::Blocked
            | Self::Held(_)
            | Self::Pending { .. }
            | Self::Waiting(_)
            | Self::Paused
            | Self::Completed
            | Self::Failed(_)
            | Self::Cancelled => None,
        }
    }
}

/// What to do when a dependency does not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependencyPolicy {
    /// Fail as well.
    #[default]
    Fail,
    /// Run all the same.
    Proceed,
}

impl DependencyPolicy {
    /// The name that the database keeps.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Proceed => "proceed",
        }
    }

    /// The policy with this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Fail, Self::Proceed].into_iter().find(|policy| policy.name() == name)
    }
}
