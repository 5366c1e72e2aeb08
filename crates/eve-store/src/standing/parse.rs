//! States as columns and back, loud on an impossible row.

use eve_core::HoldReason;
use eve_core::RequestState;
use eve_core::StateName;
use eve_core::StopKind;
use eve_core::WaitReason;
use jiff::Timestamp;

const fn hold_name(reason: HoldReason) -> &'static str {
    match reason {
        HoldReason::Approval => "approval",
        HoldReason::Budget => "budget",
    }
}

/// What `state`, `reason` and `run_at` of a parked row hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StateColumns {
    pub(crate) state: &'static str,
    pub(crate) reason: Option<&'static str>,
    pub(crate) run_at: Option<Timestamp>,
}

pub(crate) const fn state_columns(state: RequestState) -> StateColumns {
    let (reason, run_at) = match state {
        RequestState::Held(reason) => (Some(hold_name(reason)), None),
        RequestState::Pending { run_at } => (None, Some(run_at)),
        RequestState::Waiting(WaitReason::Answer) => (Some("answer"), None),
        RequestState::Waiting(WaitReason::Children) => (Some("children"), None),
        RequestState::Waiting(WaitReason::Quota { until }) => (Some("quota"), Some(until)),
        RequestState::Failed(class) => (Some(class.code()), None),
        RequestState::Blocked
        | RequestState::Claimed { .. }
        | RequestState::Processing { .. }
        | RequestState::Paused
        | RequestState::Completed
        | RequestState::Cancelled => (None, None),
    };
    StateColumns { state: state.name().name(), reason, run_at }
}

/// The state of a parked row, if its columns make sense.
pub(crate) fn parked_state(name: &str, reason: Option<&str>, run_at: Option<Timestamp>) -> Option<RequestState> {
    Some(match StateName::from_name(name)? {
        StateName::Blocked => RequestState::Blocked,
        StateName::Held => RequestState::Held(match reason? {
            "approval" => HoldReason::Approval,
            "budget" => HoldReason::Budget,
            _ => return None,
        }),
        StateName::Pending => RequestState::Pending { run_at: run_at? },
        StateName::Waiting => RequestState::Waiting(match reason? {
            "answer" => WaitReason::Answer,
            "children" => WaitReason::Children,
            "quota" => WaitReason::Quota { until: run_at? },
            _ => return None,
        }),
        StateName::Paused => RequestState::Paused,
        StateName::Claimed
        | StateName::Processing
        | StateName::Completed
        | StateName::Failed
        | StateName::Cancelled => return None,
    })
}

pub(crate) const fn stop_name(stop: Option<StopKind>) -> Option<&'static str> {
    match stop {
        Some(StopKind::Cancel) => Some("cancel"),
        Some(StopKind::Pause) => Some("pause"),
        None => None,
    }
}

/// The column's check allows no other word.
pub(crate) fn stop_kind(name: Option<&str>) -> Option<StopKind> {
    match name {
        None => None,
        Some("pause") => Some(StopKind::Pause),
        Some(_) => Some(StopKind::Cancel),
    }
}
