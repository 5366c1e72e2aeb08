use eve_core::StateName;
use eve_engine::ErrorKind;
use eve_engine::RetentionPeriods;
use eve_engine::Services;
use eve_engine::WorkerSignal;
use jiff::SignedDuration;

use crate::harness::World;
use crate::harness::draft;
use crate::harness::sqlx_free;
use crate::harness::success;
use crate::harness::worker;

async fn until(mut done: impl FnMut() -> bool) {
    for _ in 0..100 {
        if done() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("it did not happen in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_worker_s_request_is_taken_over_and_its_late_writes_change_nothing() {
    let world = World::with_lease(SignedDuration::from_secs(5)).await;
    let request = world.ask(draft("survive")).await;
    let healthy = world.ask(draft("healthy")).await;
    let lost = world.run_one().await;
    let alive = world.run_one().await;
    assert_eq!((lost.request_id, alive.request_id), (request.id, healthy.id));
    world.expire(&lost).await;
    let services = Services::start(&world.engine, RetentionPeriods::default());
    until(|| world.count("SELECT count(*) FROM eve.leases") == 1).await;
    let taken = world.run_one().await;
    assert_eq!((taken.request_id, taken.number), (request.id, 2));
    let signals = world
        .engine
        .worker_heartbeat(
            &worker(),
            world.worker,
            "active",
            &[(lost.attempt_id, lost.fence), (alive.attempt_id, alive.fence)],
            std::time::Duration::ZERO,
        )
        .await;
    assert_eq!(signals.expect("answered"), [WorkerSignal::Lost, WorkerSignal::Continue]);
    assert_eq!(world.settle(&lost, success()).await.expect_err("late").kind, ErrorKind::Stale);
    assert_eq!(world.settle(&taken, success()).await.expect("settled"), StateName::Completed);
    assert_eq!(world.get(request.id).await.burned, 0, "a lost worker burns no attempt");
    // The other one was left alone.
    assert_eq!(world.get(healthy.id).await.state, StateName::Processing);
    services.stop().await;
    let reaper = services.reports().into_iter().find(|report| report.name == "reaper").expect("there is one");
    assert!(reaper.last_action.is_some_and(|action| action.contains("took back 1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_removes_what_is_past_its_period_and_nothing_else() {
    let world = World::new().await;
    let old = world.ask(draft("old")).await;
    let claim = world.run_one().await;
    world.settle(&claim, success()).await.expect("settled");
    let recent = world.ask(draft("recent")).await;
    world.engine.request_cancel(&world.owner, recent.id).await.expect("cancelled");
    let running = world.ask(draft("running")).await;
    sqlx_free::execute(
        &world.database,
        &format!("UPDATE eve.requests SET finished_at = now() - interval '91 days' WHERE id = '{}'", old.id.uuid()),
    );
    let services = Services::start(&world.engine, RetentionPeriods::default());
    until(|| world.count("SELECT count(*) FROM eve.requests") == 2).await;
    services.stop().await;
    let gone = world.engine.request_get(&world.owner, old.id).await.expect_err("removed");
    assert_eq!(gone.kind, ErrorKind::NotFound);
    assert_eq!(world.get(recent.id).await.state, StateName::Cancelled);
    assert_eq!(world.get(running.id).await.state, StateName::Pending);
    assert_eq!(world.count("SELECT count(*) FROM eve.attempts"), 0, "its attempts went along");
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_is_durable_and_a_crash_of_the_database_is_survived() {
    let mut world = World::new().await;
    let request = world.ask(draft("survive")).await;
    let claim = world.run_one().await;
    world.database.crash_and_restart().expect("it comes back");
    assert_eq!(world.get(request.id).await.state, StateName::Processing);
    assert_eq!(world.settle(&claim, success()).await.expect("settled"), StateName::Completed);
}
