use eve_core::StateName;
use eve_engine::ErrorKind;
use eve_engine::FencedAttempt;
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
    for _ in 0..400 {
        if done() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("it did not happen in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_worker_s_request_is_taken_over_and_its_late_writes_change_nothing() {
    let world = World::with_lease(SignedDuration::from_secs(30)).await;
    world.past_restart_grace().await;
    let request = world.ask(draft("survive")).await;
    let healthy = world.ask(draft("healthy")).await;
    let lost = world.run_one().await;
    let neighbour = World::enter(&world.engine).await;
    let alive = world.claim_as(neighbour, 1, std::time::Duration::ZERO).await.pop().expect("the other");
    assert_eq!((lost.request_id, alive.request_id), (request.id, healthy.id));
    world.expire(world.worker);
    let services = Services::start(&world.engine, RetentionPeriods::default());
    until(|| world.count("SELECT count(*) FROM eve.leases") == 1).await;
    let taken = world.claim_as(neighbour, 1, std::time::Duration::from_secs(5)).await.pop().expect("taken over");
    assert_eq!((taken.request_id, taken.fence.0), (request.id, 2));
    let beat = |who, attempts: Vec<FencedAttempt>| {
        let engine = world.engine.clone();
        async move { engine.worker_heartbeat(&worker(), who, "active", &attempts, std::time::Duration::ZERO).await }
    };
    let dead = beat(world.worker, vec![FencedAttempt::from(&lost)]).await.expect_err("it was given up for good");
    assert_eq!(dead.kind, ErrorKind::Stale);
    let signals = beat(neighbour, vec![FencedAttempt::from(&lost), FencedAttempt::from(&alive)]).await;
    assert_eq!(signals.expect("answered"), [WorkerSignal::Lost, WorkerSignal::Continue]);
    let types = ["*".to_owned()];
    let refused = world.engine.queue_claim(&worker(), world.worker, &types, 1, std::time::Duration::ZERO).await;
    assert!(refused.map_or(true, |claims| claims.is_empty()), "and gets no more work");
    assert_eq!(world.settle(&lost, success()).await.expect_err("late").kind, ErrorKind::Stale);
    assert_eq!(world.settle(&taken, success()).await.expect("settled"), StateName::Completed);
    assert_eq!(world.get(request.id).await.burned, 0, "a lost worker burns no attempt");
    // The other one was left alone.
    assert_eq!(world.get(healthy.id).await.state, StateName::Claimed);
    services.stop().await;
    let reaper = services.reports().into_iter().find(|report| report.name == "reaper").expect("there is one");
    assert!(reaper.last_action.is_some_and(|action| action.contains("took back 1 request")));
    world.assert_places();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_that_stopped_in_order_never_heard_of_is_given_back() {
    let world = World::new().await;
    let request = world.ask(draft("unheard")).await;
    let claims = world.claim_as(world.worker, 1, std::time::Duration::ZERO).await;
    assert_eq!(claims.len(), 1);
    // Its last word names nothing: the answer to the claim came too late for it.
    let (ctx, at_once) = (worker(), std::time::Duration::ZERO);
    world.engine.worker_heartbeat(&ctx, world.worker, "stopped", &[], at_once).await.expect("heard");
    let services = Services::start(&world.engine, RetentionPeriods::default());
    until(|| world.count("SELECT count(*) FROM eve.leases") == 0).await;
    services.stop().await;
    assert_eq!(world.get(request.id).await.state, StateName::Pending);
    assert_eq!(world.count("SELECT count(*) FROM eve.attempts WHERE state = 'released'"), 1);
    assert_eq!(world.count("SELECT count(*) FROM eve.queue WHERE crashes = 0 AND burned = 0"), 1, "nobody is to blame");
    world.assert_places();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_could_not_be_heard_because_the_database_was_down_is_not_lost() {
    let mut world = World::new().await;
    let request = world.ask(draft("survive")).await;
    let claim = world.run_one().await;
    world.database.crash_and_restart().expect("it comes back");
    // As if it had been down for longer than the lease.
    world.expire(world.worker);
    let services = Services::start(&world.engine, RetentionPeriods::default());
    let rounds = || services.reports().iter().find(|report| report.name == "reaper").map_or(0, |report| report.rounds);
    until(|| rounds() > 1).await;
    let held = [FencedAttempt::from(&claim)];
    let (ctx, at_once) = (worker(), std::time::Duration::ZERO);
    let signals = world.engine.worker_heartbeat(&ctx, world.worker, "active", &held, at_once).await;
    assert_eq!(signals.expect("heard"), [WorkerSignal::Continue]);
    // Whoever stays silent is given up all the same.
    world.expire(world.worker);
    until(|| world.count("SELECT count(*) FROM eve.leases") == 0).await;
    services.stop().await;
    assert_eq!(world.get(request.id).await.state, StateName::Pending);
}

/// Moves a request into the past: an id of that time, with everything that belongs to it.
fn age(world: &World, id: eve_core::RequestId, days: i64) -> eve_core::RequestId {
    let old = sqlx_free::query(&world.database, &format!("SELECT eve.uuid_at(now() - interval '{days} days')"));
    let old = eve_core::RequestId::from_uuid(old.trim().parse().expect("a UUID"));
    for (table, column) in
        [("requests", "id"), ("results", "request_id"), ("attempts", "request_id"), ("queue", "request_id")]
    {
        sqlx_free::execute(
            &world.database,
            &format!("UPDATE eve.{table} SET {column} = '{}' WHERE {column} = '{}'", old.uuid(), id.uuid()),
        );
    }
    old
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_drops_partitions_past_their_period_and_nothing_else() {
    let world = World::new().await;
    for (table, from, to) in
        [("requests", 130, 100), ("requests", 100, 95), ("results", 130, 100), ("attempts", 130, 100)]
    {
        let hour = |days: i32| format!("date_trunc('hour', now()) - interval '{days} days'");
        let sql = format!("SELECT eve.partition_create('{table}', {}, {})", hour(from), hour(to));
        sqlx_free::execute(&world.database, &sql);
    }
    let finished = world.ask(draft("old")).await;
    let claim = world.run_one().await;
    world.settle(&claim, success()).await.expect("settled");
    let old = age(&world, finished.id, 110);
    let waiting = world.ask(draft("old, but not finished")).await;
    let waiting = age(&world, waiting.id, 97);
    let recent = world.ask(draft("recent")).await;
    world.engine.request_cancel(&world.owner, recent.id).await.expect("cancelled");
    assert_eq!(world.get(old).await.state, StateName::Completed);
    let services = Services::start(&world.engine, RetentionPeriods::default());
    until(|| world.count("SELECT count(*) FROM eve.requests") == 2).await;
    services.stop().await;
    let gone = world.engine.request_get(&world.owner, old).await.expect_err("removed");
    assert_eq!(gone.kind, ErrorKind::NotFound);
    assert_eq!(world.count("SELECT count(*) FROM eve.attempt_view"), 0, "its attempts went along");
    assert_eq!(world.get(recent.id).await.state, StateName::Cancelled);
    assert_eq!(world.get(waiting).await.state, StateName::Pending, "kept while one of its partition is not finished");
    assert_eq!(world.count("SELECT count(*) FROM eve.requests_rest"), 0, "everything has its partition");
    world.assert_places();
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
