//! One execution of a request: its fence, how it can end, what it delivers.

use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;

use crate::FailureClass;
use crate::Usage;

/// A number that grows with every claim of a request and never goes back.
///
/// Every write of an attempt carries the fence it was claimed with; the database refuses any other. So an
/// attempt that was given up for dead can finish late without harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub i64);

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptState {
    /// Leased to a worker; the agent is not running yet.
    Claimed,
    /// The agent runs.
    Running,
    /// Ended by itself, well or badly, and settled by the worker that ran it.
    Settled,
    /// Given back unfinished by its worker (drain); burns nothing.
    Released,
    /// Its lease ran out.
    Expired,
}

impl AttemptState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Claimed, Self::Running, Self::Settled, Self::Released, Self::Expired];
    /// States in which a lease is held.
    pub const LIVE: [Self; 2] = [Self::Claimed, Self::Running];

    /// The name that the database keeps.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Running => "running",
            Self::Settled => "settled",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }

    /// The state with this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// What a result says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultStatus {
    /// Done as asked.
    Success,
    /// Failed for good.
    Error,
    /// Something was delivered, but not all.
    Partial,
    /// Stopped at its time limit.
    Timeout,
    /// Ended with a question to a person.
    NeedsInput,
    /// Stopped because somebody cancelled it.
    Cancelled,
}

impl ResultStatus {
    /// All statuses.
    pub const ALL: [Self; 6] =
        [Self::Success, Self::Error, Self::Partial, Self::Timeout, Self::NeedsInput, Self::Cancelled];

    /// The name on the wire and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Partial => "partial",
            Self::Timeout => "timeout",
            Self::NeedsInput => "needs_input",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status with this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// What an attempt leaves behind in git.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Delivery {
    /// The branch that holds the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit at its tip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The commit it started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_commit: Option<String>,
    /// Number of files that differ.
    #[serde(default)]
    pub files_changed: u32,
    /// The difference as a patch, cut at a limit of the worker's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// The agent did what was asked.
    Succeeded {
        /// Its answer, as structured as the harness could make it.
        output: serde_json::Value,
        /// The answer in a few words.
        summary: String,
    },
    /// The agent ended with a question to a person.
    NeedsInput {
        /// What it asks.
        question: String,
    },
    /// It ended badly.
    Failed {
        /// What kind of failure, which decides about a retry.
        class: FailureClass,
        /// What a person should read.
        message: String,
        /// When the provider will answer again, if it said so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<Timestamp>,
    },
    /// It ends here and goes on when the requests that it created are finished.
    AwaitsChildren,
    /// It was stopped because its request was cancelled.
    Cancelled,
}

/// All that a worker reports when an attempt is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptReport {
    /// How it ended.
    pub outcome: Outcome,
    /// What it used in all.
    #[serde(default)]
    pub usage: Usage,
    /// What it left in git.
    #[serde(default)]
    pub delivery: Delivery,
    /// From the agent's start to its end, in milliseconds.
    pub duration_ms: u64,
    /// The agent's session, for resuming.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The process's exit code, or 128 + signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Bytes of output that were beyond the limit and are gone.
    #[serde(default)]
    pub dropped_bytes: u64,
}
