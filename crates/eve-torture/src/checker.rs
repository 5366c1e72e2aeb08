//! The one checker: reconciles the three ledgers, and says what they disagree about.
//!
//! It is pure, knows nothing about how faults were made, and is the same for every scenario. That nothing happened is
//! its worst case: a run in which every call failed would agree with itself. So it fails, too, when too little
//! succeeded. Its own tests feed it ledgers with each kind of violation in them.

mod attempts;
mod requests;

use std::collections::BTreeMap;
use std::fmt;

use eve_core::AttemptId;
use eve_core::RequestId;

use crate::evidence::Evidence;

/// Workers that may be lost with a request in a row before it is kept away from others: `RetryPolicy::max_crashes`.
pub(crate) const QUARANTINE: u64 = 5;
/// Longest time from a worker's death to that of everything it ran, in milliseconds.
pub(crate) const DEATH_LIMIT_MS: u64 = 2_000;
/// How far the database's clock, in whole milliseconds, and the host's may seem apart.
pub(crate) const CLOCKS_MS: u64 = 20;

/// What is not as it was promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Violation {
    /// It was acknowledged, and the database has none.
    Lost,
    /// It was asked for once, and there are several.
    Duplicated { count: usize },
    /// Repeating a call was answered with another request, or the key made another one.
    KeyMismatch,
    /// It is in no place, or in several.
    Places(Vec<String>),
    /// It is not finished, long after the last fault.
    Unfinished { state: String },
    /// It has not exactly one event that says how it ended, or one that says something else than the result.
    Endings(Vec<String>),
    /// What is shown of it is not what its result says.
    Shown { shown: String, result: String },
    /// It came to something that it must not come to.
    UnexpectedEnd { state: String, error_code: Option<String> },
    /// It was quarantined without so many lost workers in a row.
    Quarantined { lost: u64 },
    /// Two attempts were alive at once.
    Overlap { first: AttemptId, second: AttemptId, ms: u64 },
    /// An attempt did something when it should have been dead.
    Undead { attempt: AttemptId, ms: u64, why: &'static str },
    /// Its attempts' fences do not grow by one from one.
    Fences(Vec<u64>),
    /// Its result is not of its last attempt.
    ResultFence { result: u64, last: u64 },
    /// It is completed, but the attempt that is said to have done it never came to its end.
    NeverDone { attempt: Option<AttemptId> },
    /// An agent ran for an attempt or with a fence that the database does not know.
    Unknown { attempt: AttemptId },
    /// Attempts counted that should not have.
    Burned { counted: u64, failures: u64 },
    /// What a cancel was answered is not what came of it.
    Cancelled { answer: String, state: String },
}

impl Violation {
    /// Its kind in a word, for counting.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Duplicated { .. } => "duplicated",
            Self::KeyMismatch => "key mismatch",
            Self::Places(_) => "not in one place",
            Self::Unfinished { .. } => "unfinished",
            Self::Endings(_) => "not finished once",
            Self::Shown { .. } => "shown otherwise",
            Self::UnexpectedEnd { .. } => "unexpected end",
            Self::Quarantined { .. } => "quarantined without cause",
            Self::Overlap { .. } => "two live attempts",
            Self::Undead { .. } => "undead",
            Self::Fences(_) => "fences",
            Self::ResultFence { .. } => "result of another fence",
            Self::NeverDone { .. } => "never done",
            Self::Unknown { .. } => "unknown attempt",
            Self::Burned { .. } => "burned",
            Self::Cancelled { .. } => "cancel contradicted",
        }
    }
}

/// A violation and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) request: Option<RequestId>,
    pub(crate) violation: Violation,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = self.request.map_or_else(|| "a request without an id".to_owned(), |id| id.to_string());
        write!(f, "{}: {request}: {:?}", self.violation.kind(), self.violation)
    }
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Requests that clients wanted, and those that were acknowledged.
    pub(crate) asked: usize,
    pub(crate) acknowledged: usize,
    /// Calls that were never answered, or with a 429 or 5xx.
    pub(crate) unheard: usize,
    pub(crate) completed: usize,
    pub(crate) failed: usize,
    pub(crate) cancelled: usize,
    /// Those that failed because so many workers were lost with them.
    pub(crate) quarantined: usize,
    /// Attempts that were lost with their worker, those of them whose worker was not killed, and those given back.
    pub(crate) expired: usize,
    pub(crate) expired_living: usize,
    pub(crate) released: usize,
    /// Longest time that two attempts of a request were alive at once.
    pub(crate) overlap_ms: u64,
    /// From each death of a worker to the next claim of what it held.
    pub(crate) takeovers_ms: Vec<u64>,
}

/// What the checker found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) findings: Vec<Finding>,
    pub(crate) figures: Figures,
    /// Said when too little succeeded.
    pub(crate) too_few: Option<String>,
}

impl Verdict {
    /// Whether everything is as promised.
    pub(crate) fn is_good(&self) -> bool {
        self.findings.is_empty() && self.too_few.is_none()
    }

    /// How many violations of each kind there are.
    pub(crate) fn kinds(&self) -> BTreeMap<&'static str, usize> {
        let mut kinds = BTreeMap::new();
        for finding in &self.findings {
            *kinds.entry(finding.violation.kind()).or_default() += 1;
        }
        kinds
    }
}

/// Compares the ledgers. At least `minimum` requests must have completed.
pub(crate) fn check(evidence: &Evidence, minimum: usize) -> Verdict {
    let mut verdict = Verdict::default();
    requests::check(evidence, &mut verdict);
    attempts::check(evidence, &mut verdict);
    let completed = verdict.figures.completed;
    if completed < minimum {
        verdict.too_few = Some(format!("{completed} requests completed, and at least {minimum} must"));
    }
    verdict
}

#[cfg(test)]
mod tests;
