use std::collections::HashSet;
use std::time::Duration;
use std::time::Instant;

use eve_core::Priority;
use eve_core::StateName;
use eve_engine::Bootstrap;
use eve_engine::CreateOutcome;
use eve_engine::FencedAttempt;
use eve_engine::RequestDraft;
use jiff::SignedDuration;
use jiff::Timestamp;

use crate::harness::World;
use crate::harness::draft;
use crate::harness::wait_for_work;

#[tokio::test(flavor = "multi_thread")]
async fn urgent_first_then_oldest_and_nothing_before_its_time() {
    let world = World::new().await;
    let low = world.ask(RequestDraft { priority: Some(Priority::Low), ..draft("low") }).await;
    let first = world.ask(draft("first")).await;
    let second = world.ask(draft("second")).await;
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    let due_later = RequestDraft { priority: Some(Priority::Critical), run_at: Some(later), ..draft("not yet") };
    let not_yet = world.ask(due_later).await;
    let critical = world.ask(RequestDraft { priority: Some(Priority::Critical), ..draft("now") }).await;
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
    world.assert_places();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_claim_is_woken_by_a_new_request_also_of_another_process() {
    let world = World::new().await;
    let other = eve_engine::Engine::start(world.database.store(), eve_engine::EngineOptions::default())
        .await
        .expect("a second process");
    for engine in [&world.engine, &other] {
        let claim = wait_for_work(engine, world.worker, 1).await;
        let asked = Instant::now();
        let request = world.ask(draft("wake up")).await;
        let claims = claim.await.expect("no panic");
        assert_eq!(claims.first().map(|claim| claim.request_id), Some(request.id));
        assert!(asked.elapsed() < Duration::from_millis(1500), "woken, not polled: {:?}", asked.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_gets_only_the_types_it_serves() {
    let world = World::new().await;
    let review = world.ask(RequestDraft { worker_type: Some("code-review".into()), ..draft("review") }).await;
    let types = ["general".to_owned()];
    let none = world.engine.queue_claim(&crate::harness::worker(), world.worker, &types, 5, Duration::ZERO).await;
    assert!(none.expect("claimed").is_empty());
    let types = ["code-review".to_owned()];
    let one = world.engine.queue_claim(&crate::harness::worker(), world.worker, &types, 5, Duration::ZERO).await;
    let one = one.expect("claimed");
    assert_eq!(one.first().map(|claim| claim.request_id), Some(review.id));
    assert!(one.first().is_some_and(|claim| claim.instructions.contains("review")), "the type's skill comes along");
}

#[tokio::test(flavor = "multi_thread")]
async fn organizations_take_turns_however_much_one_asks_for() {
    let world = World::new().await;
    let key = Bootstrap::organization(&world.store, "quiet", "quiet@localhost").await.expect("founded");
    let quiet = world.engine.authenticate(&key).await.expect("its key");
    for n in 0..40 {
        world.ask(draft(&format!("noise {n}"))).await;
    }
    for n in 0..3 {
        let made = world.engine.request_create(&quiet, draft(&format!("quiet {n}")), None).await.expect("created");
        assert!(matches!(made, CreateOutcome::Created(_)));
    }
    let mut orgs = Vec::new();
    for _ in 0..6 {
        orgs.extend(world.claim(1).await.into_iter().map(|claim| claim.org_id));
    }
    assert_eq!(orgs.iter().filter(|org| **org == quiet.org_id).count(), 3, "every other one is theirs");
    let rest = world.claim(100).await;
    assert_eq!(rest.len(), 37, "and nothing is left over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_straight_to_a_worker_that_waits() {
    goes_straight(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_a_key_goes_straight_to_a_worker_that_waits() {
    goes_straight(Some("a key")).await;
}

async fn goes_straight(key: Option<&str>) {
    let world = World::new().await;
    let claim = wait_for_work(&world.engine, world.worker, 2).await;
    let made = world.engine.request_create(&world.owner, draft("hand over"), key).await.expect("created");
    let CreateOutcome::Created(request) = made else { panic!("repeated: {made:?}") };
    let claims = claim.await.expect("no panic");
    let claim = claims.first().expect("one");
    assert_eq!((claim.request_id, claim.prompt.as_str(), claim.fence.0), (request.id, "hand over", 1));
    assert!(claim.instructions.len() > 10, "the type's skill comes along");
    // It never was in the queue: the transaction that made it gave it away.
    let same = "SELECT count(*) FROM eve.requests r JOIN eve.leases l ON l.request_id = r.id AND l.xmin = r.xmin";
    assert_eq!(world.count(same), 1);
    assert_eq!(world.settle(claim, crate::harness::success()).await.expect("settled"), StateName::Completed);
    world.assert_places();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_never_heard_of_goes_back() {
    let world = World::with_lease(SignedDuration::from_secs(1)).await;
    let request = world.ask(draft("lost on the way")).await;
    let lost = world.claim(1).await.pop().expect("claimed");
    let beat = || {
        let engine = world.engine.clone();
        let who = world.worker;
        async move {
            let nothing: [FencedAttempt; 0] = [];
            engine.worker_heartbeat(&crate::harness::worker(), who, "active", &nothing, Duration::ZERO).await
        }
    };
    beat().await.expect("alive");
    assert_eq!(world.count("SELECT count(*) FROM eve.leases"), 1, "the answer may still be on its way");
    tokio::time::sleep(Duration::from_millis(600)).await;
    beat().await.expect("alive");
    tokio::time::sleep(Duration::from_millis(600)).await;
    beat().await.expect("alive");
    let again = world.claim_waiting(1, Duration::from_secs(2)).await.pop().expect("it is there again");
    assert_eq!((again.request_id, again.fence.0), (request.id, lost.fence.0 + 1));
    assert_eq!(world.get(request.id).await.burned, 0);
    world.assert_places();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_limit_is_never_passed_and_blocks_nobody_else() {
    let world = World::new().await;
    let key = Bootstrap::organization(&world.store, "other", "other@localhost").await.expect("founded");
    let other = world.engine.authenticate(&key).await.expect("its key");
    let org = world.owner.org_id.uuid();
    crate::harness::sqlx_free::execute(
        &world.database,
        &format!("INSERT INTO eve.limits (org_id, scope, name, max_running) VALUES ('{org}', 'organization', '', 2)"),
    );
    for n in 0..5 {
        world.ask(draft(&format!("mine {n}"))).await;
        world.engine.request_create(&other, draft(&format!("theirs {n}")), None).await.expect("created");
    }
    // A second process knows of the same limit.
    let twin =
        eve_engine::Engine::start(world.database.store(), eve_engine::EngineOptions::default()).await.expect("twin");
    let types = ["*".to_owned()];
    let context = crate::harness::worker();
    let (mine, theirs) = tokio::join!(
        world.engine.queue_claim(&context, world.worker, &types, 20, Duration::from_millis(300)),
        twin.queue_claim(&context, world.worker, &types, 20, Duration::from_millis(300)),
    );
    let mut claims = mine.expect("claimed");
    claims.extend(theirs.expect("claimed"));
    let of = |org| claims.iter().filter(|claim| claim.org_id == org).count();
    assert_eq!((of(world.owner.org_id), of(other.org_id)), (2, 5));
    // What ends makes room.
    let ended = claims.iter().find(|claim| claim.org_id == world.owner.org_id).expect("one of ours");
    world.settle(ended, crate::harness::success()).await.expect("settled");
    assert_eq!(world.claim_waiting(20, Duration::from_secs(2)).await.len(), 1);
    world.assert_places();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_does_not_wait_finds_what_is_ready_however_busy_the_dispatcher_is() {
    let world = std::sync::Arc::new(World::new().await);
    let drafts = (0..300).map(|n| draft(&format!("request {n}"))).collect();
    world.engine.request_create_many(&world.owner, drafts).await.expect("created");
    let mut left = 300;
    let mut settling = tokio::task::JoinSet::new();
    while left > 0 {
        let claims = world.claim(5).await;
        assert!(!claims.is_empty(), "{left} requests wait");
        left -= claims.len();
        for claim in claims {
            let world = world.clone();
            settling.spawn(async move { world.settle(&claim, crate::harness::success()).await });
        }
    }
    while let Some(settled) = settling.join_next().await {
        assert_eq!(settled.expect("no panic").expect("settled"), StateName::Completed);
    }
    assert!(world.claim(1).await.is_empty(), "and then there is nothing");
    world.assert_places();
}
