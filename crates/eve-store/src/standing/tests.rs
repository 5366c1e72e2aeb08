use eve_core::HoldReason;
use eve_core::RequestState;
use eve_core::WaitReason;
use jiff::Timestamp;

use super::*;

#[test]
fn every_parked_state_survives_the_columns() {
    let at = Timestamp::from_second(1_700_000_000).expect("valid");
    for state in [
        RequestState::Blocked,
        RequestState::Held(HoldReason::Approval),
        RequestState::Held(HoldReason::Budget),
        RequestState::Pending { run_at: at },
        RequestState::Waiting(WaitReason::Answer),
        RequestState::Waiting(WaitReason::Children),
        RequestState::Waiting(WaitReason::Quota { until: at }),
        RequestState::Paused,
    ] {
        let StateColumns { state: name, reason, run_at } = state_columns(state);
        assert_eq!(parked_state(name, reason, run_at), Some(state));
    }
}

#[test]
fn what_no_version_writes_is_refused() {
    assert_eq!(parked_state("held", Some("whim"), None), None);
    assert_eq!(parked_state("pending", None, None), None);
    assert_eq!(parked_state("completed", None, None), None, "finished requests are not parked");
    assert_eq!(parked_state("waiting", Some("quota"), None), None);
}
