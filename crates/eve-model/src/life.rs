//! A request's life as the model keeps it: the product's, made hashable, with time taken out.
//!
//! The model knows no absolute time, or its states would never repeat. Every decision is asked for at the same
//! moment, [`NOW`]; what is to happen later is merely later, and the model lets it become due at any time.

use std::hash::Hash;
use std::hash::Hasher;

use eve_core::AttemptId;
use eve_core::DependencyPolicy;
use eve_core::Effect;
use eve_core::FailureClass;
use eve_core::Fence;
use eve_core::Jitter;
use eve_core::Outcome;
use eve_core::Place;
use eve_core::Refused;
use eve_core::RequestEvent;
use eve_core::RequestLife;
use eve_core::RequestState;
use eve_core::RetryPolicy;
use eve_core::WaitReason;
use jiff::Timestamp;
use uuid::Uuid;

use crate::world::Report;

/// The moment at which everything is decided.
const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// A request's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life(pub(crate) RequestLife);

impl Life {
    /// A request that may be claimed.
    pub(crate) const fn ready(policy: RetryPolicy) -> Self {
        Self(RequestLife::new(RequestState::Pending { run_at: NOW }, policy, DependencyPolicy::Fail))
    }

    /// What the product decides.
    pub(crate) fn apply(self, event: &RequestEvent) -> Result<(Self, Vec<Effect>), Refused> {
        let transition = self.0.apply(event, NOW, Jitter::from_bits(0))?;
        Ok((Self(transition.life), transition.effects))
    }

    /// The number of its last claim.
    pub(crate) fn fence(self) -> u8 {
        u8::try_from(self.0.fence.0).unwrap_or(u8::MAX)
    }

    /// The claim that comes next.
    pub(crate) fn claim(self) -> RequestEvent {
        let fence = Fence(self.0.fence.0 + 1);
        RequestEvent::Claimed { attempt: attempt(fence), fence }
    }

    /// Whether an attempt holds it.
    pub(crate) const fn is_leased(self) -> bool {
        self.0.state.live_attempt().is_some()
    }

    /// The same as if an attempt held it: what a guard that does not look takes it for.
    pub(crate) fn as_if_processing(self) -> Self {
        let state =
            if self.is_leased() { self.0.state } else { RequestState::Processing { attempt: attempt(self.0.fence) } };
        Self(RequestLife { state, ..self.0 })
    }

    /// The same, when what it rested for is over.
    pub(crate) const fn due(self) -> Self {
        Self(RequestLife { state: RequestState::Pending { run_at: NOW }, ..self.0 })
    }

    /// Whether it may be claimed only later.
    pub(crate) fn rests(self) -> bool {
        matches!(self.0.state, RequestState::Waiting(WaitReason::Quota { .. }))
            || matches!(self.0.state, RequestState::Pending { run_at } if run_at > NOW)
    }

    /// Which table its row belongs to.
    pub(crate) fn place(self) -> Place {
        self.0.state.place(NOW)
    }
}

// The product has no need to hash a state.
impl Hash for Life {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let RequestLife { state, fence, burned, crashes, policy: _, on_dependency_failure: _, stop } = self.0;
        (state.name(), self.rests(), fence.0, burned, crashes, stop).hash(hasher);
        if let RequestState::Failed(class) = state {
            class.hash(hasher);
        }
    }
}

/// What an attempt reports, in the product's words.
pub(crate) fn outcome(report: Report) -> Outcome {
    match report {
        Report::Success => Outcome::Succeeded { output: serde_json::Value::Null, summary: String::new() },
        Report::Failure => Outcome::Failed { class: FailureClass::NoResult, message: String::new(), retry_at: None },
        Report::Stopped => Outcome::Cancelled,
    }
}

/// One attempt for each claim.
fn attempt(fence: Fence) -> AttemptId {
    AttemptId::from_uuid(Uuid::from_u128(fence.0.unsigned_abs().into()))
}
