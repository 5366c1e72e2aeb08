//! One change for many requests: what it does to each of them, and which it leaves alone.
//!
//! The verdict about one request is all that is decided here. A preview and the service that does the work ask the same
//! function, so that what is announced is what is done. Finding the requests is the store's.

use std::fmt;

use crate::Priority;
use crate::StateName;

/// What a bulk action does to each request that it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BulkChange {
    /// Calls it off.
    Cancel,
    /// Asks again for what it asked for.
    Replay,
    /// Makes it as urgent as this.
    Reprioritise(Priority),
}

/// Why a request is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Skip {
    /// It is finished, with this state.
    Finished(StateName),
    /// Its agent is being stopped for good already.
    Stopping,
    /// It is not finished yet, but in this state.
    Unfinished(StateName),
    /// It is as urgent as that already.
    SamePriority(Priority),
    /// It is in this state by now, which the filter does not want.
    Moved(StateName),
    /// It is gone.
    Gone,
}

/// All of a request that a verdict depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkFacts {
    /// Where it stands.
    pub state: StateName,
    /// How urgent it is.
    pub priority: Priority,
    /// Whether its agent is being stopped for good.
    pub stopping: bool,
}

impl BulkChange {
    /// The name, as in the database and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Replay => "replay",
            Self::Reprioritise(_) => "reprioritise",
        }
    }

    /// The change with this name and, where it takes one, this priority.
    pub fn from_name(name: &str, priority: Option<Priority>) -> Option<Self> {
        match (name, priority) {
            ("cancel", None) => Some(Self::Cancel),
            ("replay", None) => Some(Self::Replay),
            ("reprioritise", Some(priority)) => Some(Self::Reprioritise(priority)),
            _ => None,
        }
    }

    /// The priority that it sets, if it sets one.
    pub const fn priority(self) -> Option<Priority> {
        match self {
            Self::Reprioritise(priority) => Some(priority),
            Self::Cancel | Self::Replay => None,
        }
    }

    /// Why this change leaves a request alone, if it does.
    pub fn skips(self, facts: BulkFacts) -> Option<Skip> {
        let finished = facts.state.is_terminal();
        match self {
            Self::Cancel | Self::Reprioritise(_) if finished => Some(Skip::Finished(facts.state)),
            Self::Cancel => facts.stopping.then_some(Skip::Stopping),
            Self::Replay => (!finished).then_some(Skip::Unfinished(facts.state)),
            Self::Reprioritise(priority) => (priority == facts.priority).then_some(Skip::SamePriority(priority)),
        }
    }
}

impl fmt::Display for Skip {
    /// A stable code, such as `already_completed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished(state) => write!(f, "already_{state}"),
            Self::Stopping => f.write_str("already_stopping"),
            Self::Unfinished(state) => write!(f, "still_{state}"),
            Self::SamePriority(priority) => write!(f, "already_{}", priority.name().to_ascii_lowercase()),
            Self::Moved(state) => write!(f, "now_{state}"),
            Self::Gone => f.write_str("gone"),
        }
    }
}

#[cfg(test)]
mod tests;
