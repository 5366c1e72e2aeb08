//! The life of a request as one pure function: state, event and time in; next state and effects out.
//!
//! The states carry only what is true in them. `eve-store` keeps them as a name and typed columns and uses the
//! same named sets in its SQL. Whatever an event causes is returned as an [`Effect`], a row to be written in the
//! transaction that writes the state: nothing important happens only in memory.

mod state;

use jiff::SignedDuration;
use jiff::Timestamp;

use crate::AttemptId;
use crate::AttemptState;
use crate::Disposition;
use crate::FailureClass;
use crate::Fence;
use crate::Jitter;
use crate::Outcome;
use crate::ResultStatus;
use crate::RetryPolicy;

pub use state::DependencyPolicy;
pub use state::HoldReason;
pub use state::Place;
pub use state::RequestState;
pub use state::StateName;
pub use state::WaitReason;

/// How the dependencies of a request stand, as counted in the transaction that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blockers {
    /// Not finished yet.
    pub open: u32,
    /// Finished without completing.
    pub failed: u32,
}

/// Something that happens to a request.
#[derive(Debug, Clone, PartialEq)]
pub enum RequestEvent {
    /// A dependency finished, one way or the other.
    DependencyFinished(Blockers),
    /// A person approved it, or a budget was raised.
    Admitted,
    /// A person rejected it.
    Rejected,
    /// A worker took the lease.
    Claimed {
        /// The attempt that this makes.
        attempt: AttemptId,
        /// Its fence, one more than the last.
        fence: Fence,
    },
    /// The agent was started.
    Started {
        /// The attempt's fence.
        fence: Fence,
    },
    /// The attempt is over.
    Settled {
        /// The attempt's fence.
        fence: Fence,
        /// How it ended.
        outcome: Outcome,
    },
    /// The worker gave it back unfinished.
    Released {
        /// The attempt's fence.
        fence: Fence,
    },
    /// The lease ran out.
    LeaseExpired {
        /// The fence of the lease that ran out.
        fence: Fence,
    },
    /// A person wants it stopped for good.
    CancelRequested,
    /// A person wants it stopped for now.
    PauseRequested,
    /// A person lets it go on.
    Resumed,
    /// A person made it more or less urgent. It stays where it stands.
    Reprioritised,
    /// What it waited for is there.
    Woken,
}

/// A row to write in the transaction that writes the state.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Tell the worker that holds the lease to stop the agent.
    StopAttempt(AttemptId),
    /// End the lease and close the attempt's row in this state.
    EndAttempt {
        /// The attempt.
        attempt: AttemptId,
        /// Its last state.
        state: AttemptState,
    },
    /// Write the result.
    WriteResult(ResultStatus),
    /// Look at the requests that wait for this one.
    FreeDependants,
    /// Record an event in the organization's stream.
    Emit(&'static str),
}

/// What the caller shall write.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The request afterwards.
    pub life: RequestLife,
    /// What goes with it.
    pub effects: Vec<Effect>,
}

/// Why an event changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The write carries an old fence: another attempt has the lease, or none.
    #[error("the lease was given away: fence {given:?} is not the current {current:?}")]
    Stale {
        /// The fence of the write.
        given: Fence,
        /// The fence of the request.
        current: Fence,
    },
    /// The request is finished.
    #[error("the request is already {0}")]
    Finished(StateName),
    /// The event does not fit the state.
    #[error("a request that is {state} cannot be {event}")]
    WrongState {
        /// The state it is in.
        state: StateName,
        /// What was to happen.
        event: &'static str,
    },
}

/// All of a request that decisions depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLife {
    /// Where it stands.
    pub state: RequestState,
    /// The fence of its last claim.
    pub fence: Fence,
    /// Attempts that counted.
    pub burned: u16,
    /// Workers lost in a row.
    pub crashes: u16,
    /// How often it may be tried.
    pub policy: RetryPolicy,
    /// What a failed dependency means.
    pub on_dependency_failure: DependencyPolicy,
    /// Whether a person wants the running attempt stopped: for good (`Some(true)`) or for now (`Some(false)`).
    pub stop: Option<StopKind>,
}

/// What follows when a running attempt has been stopped on a person's wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopKind {
    /// Cancelled.
    Cancel,
    /// Paused.
    Pause,
}

/// How long a request rests after its worker died or gave it back.
const FREE_RETRY_DELAY: SignedDuration = SignedDuration::ZERO;

impl RequestLife {
    /// A request just asked for.
    pub const fn new(state: RequestState, policy: RetryPolicy, on_dependency_failure: DependencyPolicy) -> Self {
        Self { state, fence: Fence(0), burned: 0, crashes: 0, policy, on_dependency_failure, stop: None }
    }

    /// Decides what an event does. The request itself is not changed.
    ///
    /// # Errors
    /// [`Refused`] when the event comes too late or does not fit; nothing is to be written then.
    pub fn apply(&self, event: &RequestEvent, now: Timestamp, jitter: Jitter) -> Result<Transition, Refused> {
        if let Some(given) = event.fence() {
            // A claim is the only event that may bring a new fence.
            let expected = match event {
                RequestEvent::Claimed { .. } => Fence(self.fence.0 + 1),
                _ => self.fence,
            };
            if given != expected || (given == self.fence && self.state.live_attempt().is_none()) {
                return Err(Refused::Stale { given, current: self.fence });
            }
        }
        if self.state.name().is_terminal() {
            return Err(Refused::Finished(self.state.name()));
        }
        match event {
            RequestEvent::DependencyFinished(blockers) => self.on_dependency(*blockers, now),
            RequestEvent::Admitted => match self.state {
                RequestState::Held(_) => Ok(self.pending(now)),
                _ => Err(self.refuse("approved")),
            },
            RequestEvent::Rejected => match self.state {
                RequestState::Held(_) => Ok(self.cancelled(Vec::new())),
                _ => Err(self.refuse("rejected")),
            },
            RequestEvent::Claimed { attempt, fence } => match self.state {
                RequestState::Pending { run_at } if run_at <= now => {
                    let life = Self { state: RequestState::Claimed { attempt: *attempt }, fence: *fence, ..*self };
                    // No event of its own: the start and the end of the attempt follow, and this is the hottest path.
                    Ok(Transition { life, effects: Vec::new() })
                }
                _ => Err(self.refuse("claimed")),
            },
            RequestEvent::Started { .. } => match self.state {
                RequestState::Claimed { attempt } => {
                    let life = Self { state: RequestState::Processing { attempt }, ..*self };
                    Ok(Transition { life, effects: vec![Effect::Emit("request:started")] })
                }
                _ => Err(self.refuse("started")),
            },
            RequestEvent::Settled { outcome, .. } => self.on_settled(outcome, now, jitter),
            RequestEvent::Released { .. } => self.on_attempt_lost(AttemptState::Released, now),
            RequestEvent::LeaseExpired { .. } => self.on_attempt_lost(AttemptState::Expired, now),
            RequestEvent::CancelRequested => Ok(self.stop(StopKind::Cancel)),
            RequestEvent::PauseRequested => match self.state {
                RequestState::Paused => Err(self.refuse("paused")),
                _ => Ok(self.stop(StopKind::Pause)),
            },
            RequestEvent::Resumed => match self.state {
                RequestState::Paused => Ok(self.pending(now)),
                _ => Err(self.refuse("resumed")),
            },
            RequestEvent::Reprioritised => {
                Ok(Transition { life: *self, effects: vec![Effect::Emit("request:reprioritised")] })
            }
            RequestEvent::Woken => match self.state {
                RequestState::Waiting(_) => Ok(self.pending(now)),
                _ => Err(self.refuse("woken")),
            },
        }
    }

    fn on_dependency(&self, blockers: Blockers, now: Timestamp) -> Result<Transition, Refused> {
        if self.state != RequestState::Blocked {
            return Err(self.refuse("freed"));
        }
        if blockers.failed > 0 && self.on_dependency_failure == DependencyPolicy::Fail {
            return Ok(self.failed(FailureClass::DependencyFailed, Vec::new()));
        }
        if blockers.open > 0 {
            return Err(self.refuse("freed"));
        }
        Ok(self.pending(now))
    }

    fn on_settled(&self, outcome: &Outcome, now: Timestamp, jitter: Jitter) -> Result<Transition, Refused> {
        let Some(attempt) = self.state.live_attempt() else {
            return Err(self.refuse("settled"));
        };
        let end = vec![Effect::EndAttempt { attempt, state: AttemptState::Settled }];
        let this = Self { crashes: 0, ..*self };
        match outcome {
            Outcome::Succeeded { .. } => {
                Ok(this.finished(RequestState::Completed, ResultStatus::Success, "request:completed", end))
            }
            Outcome::NeedsInput { .. } => Ok(this.waiting(WaitReason::Answer, end)),
            Outcome::AwaitsChildren => match self.stop {
                Some(StopKind::Cancel) => Ok(this.cancelled(end)),
                Some(StopKind::Pause) => Ok(this.paused(end)),
                None => Ok(this.waiting(WaitReason::Children, end)),
            },
            Outcome::Cancelled => match self.stop {
                Some(StopKind::Pause) => Ok(this.paused(end)),
                Some(StopKind::Cancel) | None => Ok(this.cancelled(end)),
            },
            Outcome::Failed { class, retry_at, .. } => match (class.disposition(), self.stop) {
                (_, Some(StopKind::Cancel)) => Ok(this.cancelled(end)),
                (Disposition::Fail, _) => Ok(this.failed(*class, end)),
                (Disposition::RetryBurning, stop) => {
                    let this = Self { burned: self.burned.saturating_add(1), ..this };
                    if this.burned >= this.policy.max_attempts {
                        Ok(this.failed(*class, end))
                    } else if stop == Some(StopKind::Pause) {
                        Ok(this.paused(end))
                    } else {
                        Ok(this.retry(RetryPolicy::backoff(this.burned, now, jitter), end))
                    }
                }
                (Disposition::RetryFree | Disposition::Park, Some(StopKind::Pause)) => Ok(this.paused(end)),
                (Disposition::RetryFree, None) => Ok(this.retry(RetryPolicy::backoff(1, now, jitter), end)),
                (Disposition::Park, None) => {
                    let until = RetryPolicy::park(*retry_at, now, jitter);
                    Ok(this.waiting(WaitReason::Quota { until }, end))
                }
            },
        }
    }

    fn on_attempt_lost(&self, end: AttemptState, now: Timestamp) -> Result<Transition, Refused> {
        let Some(attempt) = self.state.live_attempt() else {
            return Err(self.refuse("given back"));
        };
        let lost = end == AttemptState::Expired;
        let effects = vec![Effect::EndAttempt { attempt, state: end }];
        let this = Self { crashes: if lost { self.crashes.saturating_add(1) } else { self.crashes }, ..*self };
        match self.stop {
            Some(StopKind::Cancel) => return Ok(this.cancelled(effects)),
            Some(StopKind::Pause) => return Ok(this.paused(effects)),
            None => {}
        }
        if lost && this.crashes >= this.policy.max_crashes {
            return Ok(this.failed(FailureClass::Quarantined, effects));
        }
        let run_at = now.saturating_add(FREE_RETRY_DELAY).unwrap_or(now);
        Ok(this.retry(run_at, effects))
    }

    fn refuse(&self, event: &'static str) -> Refused {
        Refused::WrongState { state: self.state.name(), event }
    }

    fn stop(&self, kind: StopKind) -> Transition {
        if let Some(attempt) = self.state.live_attempt() {
            // The attempt ends the request when it has stopped; cancelling beats pausing.
            let stop = if self.stop == Some(StopKind::Cancel) { StopKind::Cancel } else { kind };
            let life = Self { stop: Some(stop), ..*self };
            return Transition { life, effects: vec![Effect::StopAttempt(attempt)] };
        }
        match kind {
            StopKind::Cancel => self.cancelled(Vec::new()),
            StopKind::Pause => self.paused(Vec::new()),
        }
    }

    fn pending(&self, run_at: Timestamp) -> Transition {
        let life = Self { state: RequestState::Pending { run_at }, stop: None, ..*self };
        Transition { life, effects: vec![Effect::Emit("request:ready")] }
    }

    fn retry(&self, run_at: Timestamp, mut effects: Vec<Effect>) -> Transition {
        let life = Self { state: RequestState::Pending { run_at }, stop: None, ..*self };
        effects.push(Effect::Emit("request:retrying"));
        Transition { life, effects }
    }

    fn waiting(&self, reason: WaitReason, mut effects: Vec<Effect>) -> Transition {
        let life = Self { state: RequestState::Waiting(reason), stop: None, ..*self };
        effects.push(Effect::Emit("request:waiting"));
        Transition { life, effects }
    }

    fn paused(&self, mut effects: Vec<Effect>) -> Transition {
        let life = Self { state: RequestState::Paused, stop: None, ..*self };
        effects.push(Effect::Emit("request:paused"));
        Transition { life, effects }
    }

    fn cancelled(&self, effects: Vec<Effect>) -> Transition {
        self.finished(RequestState::Cancelled, ResultStatus::Cancelled, "request:cancelled", effects)
    }

    fn failed(&self, class: FailureClass, effects: Vec<Effect>) -> Transition {
        let status = if class == FailureClass::Timeout { ResultStatus::Timeout } else { ResultStatus::Error };
        self.finished(RequestState::Failed(class), status, "request:failed", effects)
    }

    fn finished(
        &self,
        state: RequestState,
        status: ResultStatus,
        event: &'static str,
        mut effects: Vec<Effect>,
    ) -> Transition {
        let life = Self { state, stop: None, ..*self };
        effects.extend([Effect::WriteResult(status), Effect::FreeDependants, Effect::Emit(event)]);
        Transition { life, effects }
    }
}

impl RequestEvent {
    const fn fence(&self) -> Option<Fence> {
        match self {
            Self::Claimed { fence, .. }
            | Self::Started { fence }
            | Self::Settled { fence, .. }
            | Self::Released { fence }
            | Self::LeaseExpired { fence } => Some(*fence),
            Self::DependencyFinished(_)
            | Self::Admitted
            | Self::Rejected
            | Self::CancelRequested
            | Self::PauseRequested
            | Self::Resumed
            | Self::Reprioritised
            | Self::Woken => None,
        }
    }
}

#[cfg(test)]
mod tests;
