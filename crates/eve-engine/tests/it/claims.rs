use std::collections::HashSet;
use std::time::Duration;
use std::time::Instant;

use eve_core::Priority;
use eve_core::StateName;
use jiff::SignedDuration;
use jiff::Timestamp;

use crate::harness::World;
use crate::harness::draft;

#[tokio::test(flavor = "multi_thread")]
async fn urgent_first_then_oldest_and_nothing_before_its_time() {
    let world = World::new().await;
    let low = world.ask(eve_engine::RequestDraft { priority: Some(Priority::Low), ..draft("low") }).await;
    let first = world.ask(draft("first")).await;
    let second = world.ask(draft("second")).await;
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    let due_later =
        eve_engine::RequestDraft { priority: Some(Priority::Critical), run_at: Some(later), ..draft("not yet") };
    let not_yet = world.ask(due_later).await;
    let critical = world.ask(eve_engine::RequestDraft { priority: Some(Priority::Critical), ..draft("now") }).await;
    let mut order = Vec::new();
    while let Some(claim) = world.claim(1).await.pop() {
        order.push(claim.request_id);
    }
    assert_eq!(order, [critical.id, first.id, second.id, low.id]);
    assert_eq!(world.get(not_yet.id).await.state, StateName::Pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_claim_at_once_never_share_a_request() {
    let world = World::new().await;
    for n in 0..60 {
        world.ask(draft(&format!("request {n}"))).await;
    }
    let mut claimers = Vec::new();
    for _ in 0..8 {
        let (engine, worker) = (world.engine.clone(), world.worker);
        claimers.push(tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let types = ["general".to_owned()];
                let claims = engine
                    .queue_claim(&crate::harness::worker(), worker, &types, 3, Duration::ZERO)
                    .await
                    .expect("claimed");
                if claims.is_empty() {
                    return mine;
                }
                mine.extend(claims);
            }
        }));
    }
    let mut all = Vec::new();
    for claimer in claimers {
        all.extend(claimer.await.expect("no panic"));
    }
    let distinct: HashSet<_> = all.iter().map(|claim| claim.request_id).collect();
    assert_eq!((all.len(), distinct.len()), (60, 60));
    assert_eq!(world.count("SELECT count(*) FROM eve.leases"), 60);
    assert_eq!(world.count("SELECT count(*) FROM eve.queue"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_claim_is_woken_by_a_new_request_also_of_another_process() {
    let world = World::new().await;
    let other = eve_engine::Engine::start(world.database.store(), eve_engine::EngineOptions::default())
        .await
        .expect("a second process");
    for engine in [&world.engine, &other] {
        let claim = {
            let (engine, worker) = (engine.clone(), world.worker);
            tokio::spawn(async move {
                let types = ["*".to_owned()];
                let wait = Duration::from_secs(20);
                engine.queue_claim(&crate::harness::worker(), worker, &types, 1, wait).await
            })
        };
        tokio::time::sleep(Duration::from_millis(300)).await;
        let asked = Instant::now();
        let request = world.ask(draft("wake up")).await;
        let claims = claim.await.expect("no panic").expect("claimed");
        assert_eq!(claims.first().map(|claim| claim.request_id), Some(request.id));
        assert!(asked.elapsed() < Duration::from_millis(1500), "woken, not polled: {:?}", asked.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_gets_only_the_types_it_serves() {
    let world = World::new().await;
    let review =
        world.ask(eve_engine::RequestDraft { worker_type: Some("code-review".into()), ..draft("review") }).await;
    let types = ["general".to_owned()];
    let none = world.engine.queue_claim(&crate::harness::worker(), world.worker, &types, 5, Duration::ZERO).await;
    assert!(none.expect("claimed").is_empty());
    let types = ["code-review".to_owned()];
    let one = world.engine.queue_claim(&crate::harness::worker(), world.worker, &types, 5, Duration::ZERO).await;
    let one = one.expect("claimed");
    assert_eq!(one.first().map(|claim| claim.request_id), Some(review.id));
    assert!(one.first().is_some_and(|claim| claim.instructions.contains("review")), "the type's skill comes along");
}
