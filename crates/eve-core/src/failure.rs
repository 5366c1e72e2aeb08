//! Ways an attempt ends badly, and what follows: the one place where retrying is decided.

use jiff::SignedDuration;
use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;

/// What kind of failure ended an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The agent ran and says, or its exit code says, that it failed.
    AgentFailed,
    /// The agent ended without the last word that its protocol promises.
    NoResult,
    /// Nothing was heard from the agent for longer than the idle limit.
    Idle,
    /// The time limit of the request passed.
    Timeout,
    /// The provider refused the key.
    Authentication,
    /// The provider wants money.
    Billing,
    /// The provider asks to come back later.
    RateLimited,
    /// The provider is overloaded or broken.
    ProviderUnavailable,
    /// The provider refused the request itself.
    InvalidModelRequest,
    /// The conversation no longer fits the model.
    ContextTooLong,
    /// The agent's program is not installed on the worker, or does not start.
    HarnessUnavailable,
    /// The repository cannot be fetched or its branch does not exist.
    RepositoryUnavailable,
    /// This worker may not use that repository.
    RepositoryRefused,
    /// The result could not be handed over to the repository.
    HandOverFailed,
    /// The sandbox cannot enforce what the worker type asks for.
    SandboxRefused,
    /// The worker stopped being heard of while it held the lease.
    WorkerLost,
    /// The worker gave the request back because it is shutting down.
    Drained,
    /// The worker's disk is full.
    DiskFull,
    /// The request ended several workers in a row and is kept away from more.
    Quarantined,
    /// A request it depends on did not complete.
    DependencyFailed,
}

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Try again after exponential backoff; the attempt counts.
    RetryBurning,
    /// Try again soon; the attempt does not count, because the request is not to blame.
    RetryFree,
    /// Wait for the provider, then try again; the attempt does not count.
    Park,
    /// Give up.
    Fail,
}

impl FailureClass {
    /// Every class.
    pub const ALL: [Self; 20] = [
        Self::AgentFailed,
        Self::NoResult,
        Self::Idle,
        Self::Timeout,
        Self::Authentication,
        Self::Billing,
        Self::RateLimited,
        Self::ProviderUnavailable,
        Self::InvalidModelRequest,
        Self::ContextTooLong,
        Self::HarnessUnavailable,
        Self::RepositoryUnavailable,
        Self::RepositoryRefused,
        Self::HandOverFailed,
        Self::SandboxRefused,
        Self::WorkerLost,
        Self::Drained,
        Self::DiskFull,
        Self::Quarantined,
        Self::DependencyFailed,
    ];

    /// What to do about it.
    pub const fn disposition(self) -> Disposition {
        match self {
            Self::NoResult
            | Self::Idle
            | Self::ProviderUnavailable
            | Self::RepositoryUnavailable
            | Self::HandOverFailed => Disposition::RetryBurning,
            Self::WorkerLost | Self::Drained | Self::DiskFull => Disposition::RetryFree,
            Self::RateLimited => Disposition::Park,
            // An agent that says "I could not" is answered, not repeated: the same prompt costs the same money.
            Self::AgentFailed
            | Self::Timeout
            | Self::Authentication
            | Self::Billing
            | Self::InvalidModelRequest
            | Self::ContextTooLong
            | Self::HarnessUnavailable
            | Self::RepositoryRefused
            | Self::SandboxRefused
            | Self::Quarantined
            | Self::DependencyFailed => Disposition::Fail,
        }
    }

    /// The stable code that results and the API show.
    pub const fn code(self) -> &'static str {
        match self {
            Self::AgentFailed => "agent_failed",
            Self::NoResult => "no_result",
            Self::Idle => "idle",
            Self::Timeout => "timeout",
            Self::Authentication => "authentication",
            Self::Billing => "billing",
            Self::RateLimited => "rate_limited",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::InvalidModelRequest => "invalid_model_request",
            Self::ContextTooLong => "context_too_long",
            Self::HarnessUnavailable => "harness_unavailable",
            Self::RepositoryUnavailable => "repository_unavailable",
            Self::RepositoryRefused => "repository_refused",
            Self::HandOverFailed => "hand_over_failed",
            Self::SandboxRefused => "sandbox_refused",
            Self::WorkerLost => "worker_lost",
            Self::Drained => "drained",
            Self::DiskFull => "disk_full",
            Self::Quarantined => "quarantined",
            Self::DependencyFailed => "dependency_failed",
        }
    }

    /// The class with this code, if there is one.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.code() == code)
    }

    /// What a person can do about it, in one sentence.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::AgentFailed => "read the log with `eve request logs ID`, change the prompt, and `eve replay ID`",
            Self::NoResult | Self::Idle => "read the log; the agent's program may be broken or waiting for input",
            Self::Timeout => "give it more time with `--timeout`, or ask for less at once",
            Self::Authentication => "sign the agent in on the worker's host; `eve doctor` shows which one",
            Self::Billing => "settle the account with the provider, then `eve replay ID`",
            Self::RateLimited | Self::ProviderUnavailable => "nothing: it is tried again by itself",
            Self::InvalidModelRequest => "check the model's name and the agent's version",
            Self::ContextTooLong => "ask for less at once",
            Self::HarnessUnavailable => "install the agent on the worker's host; `eve doctor` says how",
            Self::RepositoryUnavailable => "check the repository's address, branch and access from the worker's host",
            Self::RepositoryRefused => "use a URL, or allow local repositories in the worker's settings",
            Self::HandOverFailed => "check that the worker may write to the repository",
            Self::SandboxRefused => "install the sandbox on the worker's host; `eve doctor` says how",
            Self::WorkerLost | Self::Drained | Self::DiskFull => "nothing: another worker takes it over",
            Self::Quarantined => "read the logs of its attempts before you `eve replay ID`",
            Self::DependencyFailed => "replay the request it depended on, then this one",
        }
    }
}

/// A number from 0 up to, not including, 1 that the caller drew, so that retries do not come in waves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jitter(f64);

impl Jitter {
    /// Turns any 32 random bits into a jitter.
    pub fn from_bits(bits: u32) -> Self {
        Self(f64::from(bits) / (f64::from(u32::MAX) + 1.0))
    }

    fn scale(self, duration: SignedDuration) -> SignedDuration {
        // Between half and the whole of it: never at once, never later than announced.
        duration.mul_f64(0.5 + self.0 / 2.0)
    }
}

/// How often and how fast a request is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts that may count before the request fails.
    pub max_attempts: u16,
    /// Workers that may be lost in a row before the request is quarantined.
    pub max_crashes: u16,
}

impl RetryPolicy {
    /// First delay of the exponential backoff.
    pub const BACKOFF_BASE: SignedDuration = SignedDuration::from_secs(5);
    /// Longest delay of the exponential backoff.
    pub const BACKOFF_CAP: SignedDuration = SignedDuration::from_mins(10);
    /// How long a parked request waits when the provider names no time.
    pub const PARK_DEFAULT: SignedDuration = SignedDuration::from_mins(1);
    /// Longest time that a provider's answer may park a request.
    pub const PARK_CAP: SignedDuration = SignedDuration::from_hours(24);

    /// When to try again after `burned` attempts that counted.
    pub fn backoff(burned: u16, now: Timestamp, jitter: Jitter) -> Timestamp {
        let doublings = u32::from(burned.saturating_sub(1)).min(16);
        let delay = Self::BACKOFF_BASE
            .checked_mul(1 << doublings)
            .map_or(Self::BACKOFF_CAP, |delay| delay.min(Self::BACKOFF_CAP));
        now.saturating_add(jitter.scale(delay)).unwrap_or(now)
    }

    /// When to try again after a provider asked for patience.
    pub fn park(reset: Option<Timestamp>, now: Timestamp, jitter: Jitter) -> Timestamp {
        let wanted = reset.map_or(Self::PARK_DEFAULT, |at| at.duration_since(now));
        let wait = wanted.clamp(SignedDuration::from_secs(1), Self::PARK_CAP);
        let spread = jitter.scale(SignedDuration::from_secs(2));
        now.saturating_add(wait).and_then(|at| at.saturating_add(spread)).unwrap_or(now)
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 3, max_crashes: 5 }
    }
}

#[cfg(test)]
mod tests;
