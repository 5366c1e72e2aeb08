use eve_core::FailureClass;
use eve_core::Fence;
use eve_core::Outcome;
use eve_core::ResultStatus;
use eve_core::StateName;
use eve_engine::Claim;
use eve_engine::ErrorKind;
use eve_engine::FencedAttempt;
use eve_engine::LogEntry;
use eve_engine::LogPosition;
use jiff::Timestamp;

use crate::harness::World;
use crate::harness::draft;
use crate::harness::failure;
use crate::harness::success;
use crate::harness::worker;

#[tokio::test(flavor = "multi_thread")]
async fn from_asking_to_result() {
    let world = World::new().await;
    let request = world.ask(draft("do it")).await;
    let early = world.engine.result_get(&world.owner, request.id).await.expect_err("no result yet");
    assert_eq!(early.kind, ErrorKind::NotFound);
    let claim = world.run_one().await;
    assert_eq!(world.get(request.id).await.state, StateName::Processing);
    let state = world.settle(&claim, success()).await.expect("settled");
    assert_eq!(state, StateName::Completed);
    let result = world.engine.result_get(&world.owner, request.id).await.expect("a result");
    assert_eq!((result.status, result.input_tokens, result.duration_ms), (ResultStatus::Success, 1000, 1234));
    assert_eq!(world.count("SELECT count(*) FROM eve.leases"), 0);
    let (_, attempts) = world.engine.request_detail(&world.owner, request.id).await.expect("there");
    assert_eq!(attempts.first().and_then(|attempt| attempt.session_id.clone()), Some("session".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_settlement_and_every_write_with_an_old_fence_are_refused() {
    let world = World::new().await;
    world.ask(draft("do it")).await;
    let claim = world.run_one().await;
    world.settle(&claim, success()).await.expect("settled");
    let entry = LogEntry { seq: 1, at: Timestamp::now(), event: eve_core::AgentEvent::info("late") };
    // The same report again is answered as it was, since its answer may have been lost, and changes nothing.
    assert_eq!(world.settle(&claim, failure(FailureClass::AgentFailed)).await.expect("known"), StateName::Completed);
    let attempt = FencedAttempt::from(&claim);
    let ahead = Claim { fence: Fence(claim.fence.0 + 1), ..claim.clone() };
    let refused = [
        world.settle(&ahead, failure(FailureClass::AgentFailed)).await.map(|_| ()),
        world.release(&claim).await.map(|_| ()),
        world.engine.attempt_start(&worker(), attempt, "command").await,
        world.engine.attempt_log_append(&worker(), attempt, &[entry]).await,
        world.engine.attempt_log_append(&worker(), FencedAttempt::from(&ahead), &[]).await,
    ];
    for outcome in refused {
        assert_eq!(outcome.expect_err("stale").kind, ErrorKind::Stale);
    }
    assert_eq!(world.count("SELECT count(*) FROM eve.results WHERE status = 'success'"), 1);
    assert_eq!(world.count("SELECT count(*) FROM eve.attempt_events"), 0);
    let metrics = world.engine.metrics_render().await.expect("rendered");
    assert!(metrics.contains("eve_stale_writes_total{operation=\"attempt_settle\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_and_completion_race_to_one_end() {
    let world = World::new().await;
    for _ in 0..20 {
        let request = world.ask(draft("race")).await;
        let claim = world.run_one().await;
        let cancel = world.engine.request_cancel(&world.owner, request.id);
        let settle = world.settle(&claim, success());
        let (cancelled, settled) = tokio::join!(cancel, settle);
        // Whoever came second was told the truth: the agent had finished, so the request is completed.
        assert_eq!(settled.expect("the attempt held its lease"), StateName::Completed);
        if let Err(error) = cancelled {
            assert_eq!(error.kind, ErrorKind::Conflict);
        }
        assert_eq!(world.get(request.id).await.state, StateName::Completed);
    }
    assert_eq!(world.count("SELECT count(*) FROM eve.results"), 20);
    let ends = "SELECT count(*) FROM eve.event_view WHERE kind IN ('request:completed', 'request:cancelled', 'request:failed')";
    assert_eq!(world.count(ends), 20);
    world.assert_places();
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_running_request_reaches_its_worker_at_once() {
    let world = World::new().await;
    let request = world.ask(draft("long")).await;
    let claim = world.run_one().await;
    let heartbeat = {
        let (engine, id) = (world.engine.clone(), world.worker);
        let attempts = [FencedAttempt::from(&claim)];
        tokio::spawn(async move {
            let wait = std::time::Duration::from_secs(20);
            engine.worker_heartbeat(&worker(), id, "active", &attempts, wait).await
        })
    };
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let asked = std::time::Instant::now();
    let row = world.engine.request_cancel(&world.owner, request.id).await.expect("accepted");
    assert_eq!((row.state, row.stop.as_deref()), (StateName::Processing, Some("cancel")));
    let signals = heartbeat.await.expect("no panic").expect("answered");
    assert_eq!(signals, [eve_engine::WorkerSignal::Stop]);
    assert!(asked.elapsed() < std::time::Duration::from_secs(2));
    assert_eq!(world.settle(&claim, Outcome::Cancelled).await.expect("settled"), StateName::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_that_waits_hears_of_a_cancel_of_what_was_claimed_since() {
    let world = World::new().await;
    let heartbeat = {
        let (engine, id) = (world.engine.clone(), world.worker);
        tokio::spawn(async move {
            let wait = std::time::Duration::from_secs(20);
            engine.worker_heartbeat(&worker(), id, "active", &[], wait).await
        })
    };
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let request = world.ask(draft("long")).await;
    let claim = world.run_one().await;
    assert!(!heartbeat.is_finished(), "a claim is no news for it");
    let asked = std::time::Instant::now();
    world.engine.request_cancel(&world.owner, request.id).await.expect("accepted");
    assert!(heartbeat.await.expect("no panic").expect("answered").is_empty());
    assert!(asked.elapsed() < std::time::Duration::from_secs(2));

    // The one after it names the attempt.
    let named = [FencedAttempt::from(&claim)];
    let wait = std::time::Duration::from_secs(20);
    let signals = world.engine.worker_heartbeat(&worker(), world.worker, "active", &named, wait).await;
    assert_eq!(signals.expect("answered"), [eve_engine::WorkerSignal::Stop]);
    assert!(asked.elapsed() < std::time::Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn transient_failures_are_tried_again_and_permanent_ones_are_not() {
    let world = World::new().await;
    let request = world.ask(draft("flaky")).await;
    let claim = world.run_one().await;
    let state = world.settle(&claim, failure(FailureClass::ProviderUnavailable)).await.expect("settled");
    assert_eq!(state, StateName::Pending);
    let row = world.get(request.id).await;
    assert!(row.run_at.is_some_and(|at| at > Timestamp::now()), "it waits for its backoff");
    assert_eq!((row.burned, row.last_error.as_deref()), (1, Some("because")));
    assert!(world.claim(1).await.is_empty(), "not before its time");

    let other = world.ask(draft("hopeless")).await;
    let claim = world.run_one().await;
    assert_eq!(world.settle(&claim, failure(FailureClass::Authentication)).await.expect("settled"), StateName::Failed);
    let result = world.engine.result_get(&world.owner, other.id).await.expect("a result");
    assert_eq!((result.status, result.error_code.as_deref()), (ResultStatus::Error, Some("authentication")));
    world.assert_places();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_keeps_order_and_takes_a_repeated_batch_once() {
    let world = World::new().await;
    let request = world.ask(draft("talk")).await;
    let claim = world.run_one().await;
    let entry = |seq| LogEntry { seq, at: Timestamp::now(), event: eve_core::AgentEvent::info(format!("line {seq}")) };
    let batch: Vec<LogEntry> = (1..=10).map(entry).collect();
    for _ in 0..2 {
        world.engine.attempt_log_append(&worker(), FencedAttempt::from(&claim), &batch).await.expect("stored");
    }
    let page = world.engine.request_log(&world.owner, request.id, LogPosition { attempt: 1, seq: 4 }, 100).await;
    let seqs: Vec<i64> = page.expect("there").iter().map(|entry| entry.position.seq).collect();
    assert_eq!(seqs, [5, 6, 7, 8, 9, 10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_makes_one_request_however_often_and_at_once() {
    let world = World::new().await;
    let mut calls = Vec::new();
    for _ in 0..8 {
        let (engine, owner) = (world.engine.clone(), world.owner.clone());
        calls.push(tokio::spawn(async move { engine.request_create(&owner, draft("once"), Some("key")).await }));
    }
    let mut ids = std::collections::HashSet::new();
    for call in calls {
        match call.await.expect("no panic").expect("answered") {
            eve_engine::CreateOutcome::Created(row) | eve_engine::CreateOutcome::Repeated(row) => ids.insert(row.id),
        };
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(world.count("SELECT count(*) FROM eve.requests"), 1);
    let other = world.engine.request_create(&world.owner, draft("something else"), Some("key")).await;
    assert_eq!(other.expect_err("another call").kind, ErrorKind::IdempotencyConflict);
}

/// Keys are taken by the statement that takes many requests in; one that is taken already must not harm the others.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_many_callers_make_one_request_each() {
    let world = World::new().await;
    let mut calls = Vec::new();
    for number in 0..120 {
        let (engine, owner) = (world.engine.clone(), world.owner.clone());
        calls.push(tokio::spawn(async move {
            let key = format!("key {}", number % 60);
            let made = engine.request_create(&owner, draft(&key), Some(&key)).await.expect("answered");
            (key, made)
        }));
    }
    let (mut made, mut created) = (std::collections::BTreeMap::new(), 0);
    for call in calls {
        let (key, outcome) = call.await.expect("no panic");
        created += usize::from(matches!(outcome, eve_engine::CreateOutcome::Created(_)));
        let (eve_engine::CreateOutcome::Created(row) | eve_engine::CreateOutcome::Repeated(row)) = outcome;
        assert_eq!(row.prompt, key);
        assert_eq!(*made.entry(key).or_insert(row.id), row.id);
    }
    assert_eq!((made.len(), created), (60, 60));
    assert_eq!(world.count("SELECT count(*) FROM eve.requests"), 60);
    assert_eq!(world.count("SELECT count(*) FROM eve.idempotency_keys"), 60);
    world.assert_places();
}

#[tokio::test(flavor = "multi_thread")]
async fn replay_points_back_and_only_what_is_finished_is_replayed() {
    let world = World::new().await;
    let request = world.ask(draft("again")).await;
    let early = world.engine.request_replay(&world.owner, request.id).await.expect_err("not finished");
    assert_eq!(early.kind, ErrorKind::Conflict);
    world.engine.request_cancel(&world.owner, request.id).await.expect("cancelled");
    let again = world.engine.request_replay(&world.owner, request.id).await.expect("replayed");
    assert_eq!((again.replay_of, again.state), (Some(request.id), StateName::Pending));
    assert_eq!(again.prompt, "again");
}

#[tokio::test(flavor = "multi_thread")]
async fn pausing_takes_a_request_from_the_queue_and_resuming_puts_it_back() {
    let world = World::new().await;
    let request = world.ask(draft("wait")).await;
    world.engine.request_pause(&world.owner, request.id).await.expect("paused");
    assert!(world.claim(1).await.is_empty());
    world.engine.request_resume(&world.owner, request.id).await.expect("resumed");
    assert_eq!(world.claim(1).await.len(), 1);
    world.assert_places();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_settled_together_and_one_bad_apple_spoils_nothing() {
    let world = World::new().await;
    for n in 0..20 {
        world.ask(draft(&format!("request {n}"))).await;
    }
    let claims = world.claim(20).await;
    assert_eq!(claims.len(), 20);
    let mut reports: Vec<_> =
        claims.iter().map(|claim| (FencedAttempt::from(claim), crate::harness::report(success()))).collect();
    // One fence is old, one attempt is named twice, and one report holds what no database number can.
    if let Some(first) = reports.first_mut() {
        first.0.fence = Fence(7);
    }
    reports.extend(reports.get(1).cloned());
    if let Some(third) = reports.get_mut(2) {
        third.1.usage.cost_usd = Some("99999999999999999999".parse().expect("a number"));
    }
    let answers = world.engine.attempt_settle(&worker(), reports).await.expect("answered");
    let words: Vec<String> = answers
        .into_iter()
        .map(|answer| answer.map_or_else(|error| format!("{:?}", error.kind), |state| state.to_string()))
        .collect();
    assert_eq!(words.len(), 21);
    assert_eq!(words.first().map(String::as_str), Some("Stale"));
    assert_eq!(words.get(2).map(String::as_str), Some("Internal"), "it alone");
    assert_eq!(words.iter().filter(|word| *word == "completed").count(), 19);
    assert_eq!(world.count("SELECT count(*) FROM eve.results"), 18);
    assert_eq!(world.count("SELECT count(*) FROM eve.leases"), 2);
    world.assert_places();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_released_burns_nothing_and_is_claimed_again_with_the_next_fence() {
    let world = World::new().await;
    let request = world.ask(draft("drain")).await;
    let claim = world.run_one().await;
    assert_eq!(world.release(&claim).await.expect("released"), StateName::Pending);
    assert_eq!(world.release(&claim).await.expect("known"), StateName::Pending, "a repetition is answered alike");
    let again = world.run_one().await;
    assert_eq!((again.request_id, again.fence), (request.id, Fence(2)));
    assert_eq!(again.resume_session, None, "no session was reported");
    assert_eq!(world.get(request.id).await.burned, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_due_but_not_queued_yet_can_be_called_off_like_any_other() {
    let world = World::new().await;
    // Nothing queues what is due here: the services are not started.
    let soon = Timestamp::now() + jiff::SignedDuration::from_millis(300);
    let due = |name: &str| eve_engine::RequestDraft { run_at: Some(soon), ..draft(name) };
    let (cancelled, paused) = (world.ask(due("cancelled")).await, world.ask(due("paused")).await);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    world.engine.request_cancel(&world.owner, cancelled.id).await.expect("cancelled");
    world.engine.request_pause(&world.owner, paused.id).await.expect("paused");
    world.assert_places();
    world.engine.request_resume(&world.owner, paused.id).await.expect("resumed");
    world.assert_places();
    assert_eq!(world.claim(2).await.len(), 1, "only what goes on");
}
