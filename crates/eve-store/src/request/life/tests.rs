use super::*;

#[test]
fn every_state_survives_the_database_s_columns() {
    let attempt = AttemptId::from_uuid(uuid::Uuid::from_u128(7));
    let mut states = vec![
        RequestState::Blocked,
        RequestState::Held(HoldReason::Approval),
        RequestState::Held(HoldReason::Budget),
        RequestState::Pending { run_at: Timestamp::UNIX_EPOCH },
        RequestState::Claimed { attempt },
        RequestState::Processing { attempt },
        RequestState::Waiting(WaitReason::Answer),
        RequestState::Waiting(WaitReason::Children),
        RequestState::Paused,
        RequestState::Completed,
        RequestState::Cancelled,
    ];
    states.extend(FailureClass::ALL.map(RequestState::Failed));
    for expected in states {
        let Columns { reason, run_at, attempt } = columns(expected);
        assert_eq!(state(expected.name().name(), reason, run_at, attempt), Some(expected));
    }
}

#[test]
fn an_impossible_row_is_not_guessed_at() {
    assert_eq!(state("pending", None, None, None), None);
    assert_eq!(state("failed", Some("no such class"), None, None), None);
    assert_eq!(state("unheard-of", None, None, None), None);
}
