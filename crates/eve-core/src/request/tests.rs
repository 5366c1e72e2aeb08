use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).expect("valid")
}

fn calm() -> Jitter {
    Jitter::from_bits(0)
}

fn attempt(n: u128) -> AttemptId {
    AttemptId::from_uuid(Uuid::from_u128(n))
}

fn fresh() -> RequestLife {
    RequestLife::new(RequestState::Pending { run_at: now() }, RetryPolicy::default(), DependencyPolicy::Fail)
}

fn after(life: &RequestLife, event: RequestEvent) -> Transition {
    life.apply(&event, now(), calm()).expect("allowed")
}

fn processing() -> RequestLife {
    let life = after(&fresh(), RequestEvent::Claimed { attempt: attempt(1), fence: Fence(1) }).life;
    after(&life, RequestEvent::Started { fence: Fence(1) }).life
}

fn failed(class: FailureClass) -> Outcome {
    Outcome::Failed { class, message: "because".into(), retry_at: None }
}

#[test]
fn the_usual_life() {
    let done = after(
        &processing(),
        RequestEvent::Settled {
            fence: Fence(1),
            outcome: Outcome::Succeeded { output: serde_json::json!({}), summary: String::new() },
        },
    );
    assert_eq!(done.life.state, RequestState::Completed);
    insta::assert_debug_snapshot!(done.effects, @r#"
    [
        EndAttempt {
            attempt: att_00000000000000000000000001,
            state: Settled,
        },
        WriteResult(
            Success,
        ),
        FreeDependants,
        Emit(
            "request:completed",
        ),
    ]
    "#);
}

#[test]
fn an_old_fence_changes_nothing() {
    let lost = after(&processing(), RequestEvent::LeaseExpired { fence: Fence(1) }).life;
    let again = after(&lost, RequestEvent::Claimed { attempt: attempt(2), fence: Fence(2) }).life;
    for event in [
        RequestEvent::Settled { fence: Fence(1), outcome: failed(FailureClass::AgentFailed) },
        RequestEvent::Started { fence: Fence(1) },
        RequestEvent::Released { fence: Fence(1) },
        RequestEvent::LeaseExpired { fence: Fence(1) },
        RequestEvent::Claimed { attempt: attempt(3), fence: Fence(2) },
    ] {
        assert!(matches!(again.apply(&event, now(), calm()), Err(Refused::Stale { .. })), "{event:?}");
    }
}

#[test]
fn a_lost_worker_burns_nothing_but_a_poisonous_request_is_quarantined() {
    let mut life = fresh();
    for round in 1..=life.policy.max_crashes {
        let fence = Fence(i64::from(round));
        life = after(&life, RequestEvent::Claimed { attempt: attempt(1), fence }).life;
        life = after(&life, RequestEvent::LeaseExpired { fence }).life;
        assert_eq!(life.burned, 0);
    }
    assert_eq!(life.state, RequestState::Failed(FailureClass::Quarantined));
}

#[test]
fn transient_failures_end_after_the_last_attempt() {
    let mut life = fresh();
    for round in 1..=life.policy.max_attempts {
        let at = match life.state {
            RequestState::Pending { run_at } => run_at,
            state => panic!("attempt {round} is not pending but {state:?}"),
        };
        let fence = Fence(i64::from(round));
        life = life.apply(&RequestEvent::Claimed { attempt: attempt(1), fence }, at, calm()).expect("due").life;
        life = after(&life, RequestEvent::Settled { fence, outcome: failed(FailureClass::Idle) }).life;
    }
    assert_eq!(life.state, RequestState::Failed(FailureClass::Idle));
}

#[test]
fn a_rate_limit_parks_until_the_reset() {
    let reset = now().saturating_add(SignedDuration::from_mins(30)).expect("in range");
    let outcome = Outcome::Failed { class: FailureClass::RateLimited, message: String::new(), retry_at: Some(reset) };
    let life = after(&processing(), RequestEvent::Settled { fence: Fence(1), outcome }).life;
    assert_eq!(life.burned, 0);
    let RequestState::Waiting(WaitReason::Quota { until }) = life.state else { panic!("{:?}", life.state) };
    assert!(until >= reset);
    assert_eq!(life.state.place(until), Place::Parked, "somebody has to wake it");
    assert_eq!(after(&life, RequestEvent::Woken).life.state, RequestState::Pending { run_at: now() });
}

#[test]
fn cancelling_a_running_request_waits_for_its_attempt() {
    let stopping = after(&processing(), RequestEvent::CancelRequested);
    assert_eq!(stopping.effects, vec![Effect::StopAttempt(attempt(1))]);
    // Whatever the attempt reports, and also when its worker dies, the request ends as cancelled…
    for event in [
        RequestEvent::Settled { fence: Fence(1), outcome: Outcome::Cancelled },
        RequestEvent::Settled { fence: Fence(1), outcome: failed(FailureClass::Idle) },
        RequestEvent::LeaseExpired { fence: Fence(1) },
    ] {
        assert_eq!(after(&stopping.life, event).life.state, RequestState::Cancelled);
    }
    // …unless it had finished first.
    let outcome = Outcome::Succeeded { output: serde_json::Value::Null, summary: String::new() };
    let event = RequestEvent::Settled { fence: Fence(1), outcome };
    assert_eq!(after(&stopping.life, event).life.state, RequestState::Completed);
}

#[test]
fn a_failed_dependency_fails_or_is_ignored_by_policy() {
    let blocked = RequestLife { state: RequestState::Blocked, ..fresh() };
    let bad = RequestEvent::DependencyFinished(Blockers { open: 0, failed: 1 });
    assert_eq!(after(&blocked, bad.clone()).life.state, RequestState::Failed(FailureClass::DependencyFailed));
    let stubborn = RequestLife { on_dependency_failure: DependencyPolicy::Proceed, ..blocked };
    assert_eq!(after(&stubborn, bad).life.state.name(), StateName::Pending);
    let early = RequestEvent::DependencyFinished(Blockers { open: 1, failed: 0 });
    assert!(blocked.apply(&early, now(), calm()).is_err());
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Succeeded { output: serde_json::Value::Null, summary: String::new() }),
        Just(Outcome::NeedsInput { question: "which?".into() }),
        Just(Outcome::AwaitsChildren),
        Just(Outcome::Cancelled),
        proptest::sample::select(FailureClass::ALL.to_vec()).prop_map(failed),
    ]
}

fn events() -> impl Strategy<Value = RequestEvent> {
    let fence = (0i64..6).prop_map(Fence);
    prop_oneof![
        (0u32..2, 0u32..2).prop_map(|(open, failed)| RequestEvent::DependencyFinished(Blockers { open, failed })),
        Just(RequestEvent::Admitted),
        Just(RequestEvent::Rejected),
        (fence.clone(), 0u128..9).prop_map(|(fence, n)| RequestEvent::Claimed { attempt: attempt(n), fence }),
        fence.clone().prop_map(|fence| RequestEvent::Started { fence }),
        (fence.clone(), outcomes()).prop_map(|(fence, outcome)| RequestEvent::Settled { fence, outcome }),
        fence.clone().prop_map(|fence| RequestEvent::Released { fence }),
        fence.prop_map(|fence| RequestEvent::LeaseExpired { fence }),
        Just(RequestEvent::CancelRequested),
        Just(RequestEvent::PauseRequested),
        Just(RequestEvent::Resumed),
        Just(RequestEvent::Reprioritised),
        Just(RequestEvent::Woken),
    ]
}

fn starts() -> impl Strategy<Value = RequestState> {
    prop_oneof![
        Just(RequestState::Blocked),
        Just(RequestState::Held(HoldReason::Approval)),
        Just(RequestState::Pending { run_at: now() }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever happens in whatever order: a finished request stays so, it is finished once, its fence only grows,
    /// it is in the place that its state says, and leases are ended as often as they are taken.
    #[test]
    fn no_sequence_of_events_breaks_a_promise(start in starts(), sequence in prop::collection::vec(events(), 1..60)) {
        let mut life = RequestLife { state: start, ..fresh() };
        let (mut results, mut leases) = (0, 0);
        let mut time = now();
        for event in sequence {
            time = time.saturating_add(SignedDuration::from_mins(7)).expect("in range");
            let Ok(next) = life.apply(&event, time, calm()) else { continue };
            prop_assert!(!life.state.name().is_terminal(), "left {:?} by {event:?}", life.state);
            prop_assert!(next.life.fence >= life.fence);
            if life.state.live_attempt().is_none() && next.life.state.live_attempt().is_some() {
                leases += 1;
                prop_assert!(next.life.fence > life.fence);
            }
            for effect in &next.effects {
                match effect {
                    Effect::WriteResult(_) => results += 1,
                    Effect::EndAttempt { .. } => leases -= 1,
                    Effect::StopAttempt(_) | Effect::FreeDependants | Effect::Emit(_) => {}
                }
            }
            life = next.life;
            prop_assert_eq!(life.state.place(time) == Place::Lease, life.state.live_attempt().is_some());
            prop_assert_eq!(life.state.place(time) == Place::Result, life.state.name().is_terminal());
            prop_assert_eq!(leases, i32::from(life.state.live_attempt().is_some()));
            prop_assert_eq!(results, i32::from(life.state.name().is_terminal()));
        }
    }
}
