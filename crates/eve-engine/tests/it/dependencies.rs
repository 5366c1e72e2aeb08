use eve_core::DependencyPolicy;
use eve_core::FailureClass;
use eve_core::Outcome;
use eve_core::RequestId;
use eve_core::StateName;
use eve_engine::ErrorKind;
use eve_engine::RequestDraft;
use eve_engine::RequestRow;
use eve_engine::RetentionPeriods;
use eve_engine::Services;

use crate::harness::World;
use crate::harness::draft;
use crate::harness::failure;
use crate::harness::success;

async fn after(world: &World, blocked_by: Vec<RequestId>, policy: DependencyPolicy) -> RequestRow {
    world.ask(RequestDraft { blocked_by, on_dependency_failure: policy, ..draft("after") }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_dependency_frees_in_the_transaction_that_finishes_it() {
    let world = World::new().await;
    let (a, b) = (world.ask(draft("a")).await, world.ask(draft("b")).await);
    let c = after(&world, vec![a.id, b.id], DependencyPolicy::Fail).await;
    assert_eq!((c.state, c.blocked_by.len()), (StateName::Blocked, 2));
    let first = world.run_one().await;
    let second = world.run_one().await;
    world.settle(&first, success()).await.expect("settled");
    assert_eq!(world.get(c.id).await.state, StateName::Blocked);
    world.settle(&second, success()).await.expect("settled");
    assert_eq!(world.get(c.id).await.state, StateName::Pending);
    assert_eq!(world.count("SELECT count(*) FROM eve.parked WHERE state = 'blocked'"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_dependencies_that_finish_at_once_free_it_exactly_once() {
    let world = World::new().await;
    for _ in 0..10 {
        let (a, b) = (world.ask(draft("a")).await, world.ask(draft("b")).await);
        let c = after(&world, vec![a.id, b.id], DependencyPolicy::Fail).await;
        let first = world.run_one().await;
        let second = world.run_one().await;
        let (x, y) = tokio::join!(world.settle(&first, success()), world.settle(&second, success()));
        x.and(y).expect("both settled");
        let claim = world.run_one().await;
        assert_eq!(claim.request_id, c.id);
        world.settle(&claim, success()).await.expect("settled");
    }
    assert_eq!(world.count("SELECT count(*) FROM eve.event_view WHERE kind = 'request:ready'"), 10);
    world.assert_places();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_fails_the_chain_or_is_forgiven_by_policy() {
    let world = World::new().await;
    let a = world.ask(draft("a")).await;
    let strict = after(&world, vec![a.id], DependencyPolicy::Fail).await;
    let next = after(&world, vec![strict.id], DependencyPolicy::Fail).await;
    let stubborn = after(&world, vec![strict.id], DependencyPolicy::Proceed).await;
    let claim = world.run_one().await;
    world.settle(&claim, failure(FailureClass::AgentFailed)).await.expect("settled");
    for id in [strict.id, next.id] {
        let row = world.get(id).await;
        assert_eq!((row.state, row.reason.as_deref()), (StateName::Failed, Some("dependency_failed")));
        assert!(world.engine.result_get(&world.owner, id).await.is_ok(), "a finished request has a result");
    }
    assert_eq!(world.get(stubborn.id).await.state, StateName::Pending);
    world.assert_places();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_finished_already_blocks_nothing_and_what_is_not_there_is_refused() {
    let world = World::new().await;
    let a = world.ask(draft("a")).await;
    let claim = world.run_one().await;
    world.settle(&claim, success()).await.expect("settled");
    assert_eq!(after(&world, vec![a.id], DependencyPolicy::Fail).await.state, StateName::Pending);
    let nobody = RequestId::from_uuid(eve_store::new_id());
    let bad = RequestDraft { blocked_by: vec![nobody], ..draft("bad") };
    let error = world.engine.request_create(&world.owner, bad, None).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.contains(&nobody.to_string()));
    assert_eq!(world.count("SELECT count(*) FROM eve.requests WHERE prompt = 'bad'"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reconciler_frees_the_rest_of_a_large_fan_out() {
    let world = World::new().await;
    let a = world.ask(draft("a")).await;
    for _ in 0..620 {
        after(&world, vec![a.id], DependencyPolicy::Fail).await;
    }
    let claim = world.run_one().await;
    world.settle(&claim, success()).await.expect("settled");
    assert_eq!(world.count("SELECT count(*) FROM eve.queue"), 500, "one transaction frees so many");
    let left = world.count("SELECT count(*) FROM eve.parked WHERE state = 'blocked'");
    assert!(left > 0, "more than one transaction frees");
    let services = Services::start(&world.engine, RetentionPeriods::default());
    for _ in 0..100 {
        if world.count("SELECT count(*) FROM eve.parked WHERE state = 'blocked'") == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    services.stop().await;
    assert_eq!(world.count("SELECT count(*) FROM eve.queue"), 620);
    world.assert_places();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_waits_for_its_children_is_woken_once_by_the_last() {
    let world = World::new().await;
    let parent = world.ask(draft("parent")).await;
    let lead = world.run_one().await;
    let mut children = Vec::new();
    for n in 0..12 {
        let child = RequestDraft { parent_id: Some(parent.id), ..draft(&format!("child {n}")) };
        children.push(world.ask(child).await.id);
    }
    let running = world.claim(12).await;
    // The first ends before its parent lies down, the others all at once with it.
    let (first, rest) = running.split_first().expect("twelve");
    world.settle(first, success()).await.expect("settled");
    let ends = rest.iter().map(|claim| world.settle(claim, success()));
    let (down, ends) = tokio::join!(world.settle(&lead, Outcome::AwaitsChildren), futures_join(ends.collect()));
    down.expect("it lies down");
    assert!(ends.into_iter().all(|end| end.is_ok()));
    let again = world.run_one().await;
    assert_eq!((again.request_id, again.fence.0), (parent.id, 2));
    assert!(world.claim(1).await.is_empty(), "woken once");
    assert_eq!(world.get(parent.id).await.burned, 0);
    world.assert_places();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_comes_later_is_waited_for_too() {
    let world = World::new().await;
    let parent = world.ask(draft("parent")).await;
    let lead = world.run_one().await;
    let child = |name: &str| RequestDraft { parent_id: Some(parent.id), ..draft(name) };
    world.ask(child("first")).await;
    world.settle(&lead, Outcome::AwaitsChildren).await.expect("settled");
    let row = world.get(parent.id).await;
    assert_eq!((row.state, row.reason.as_deref()), (StateName::Waiting, Some("children")));
    world.ask(child("second")).await;
    let first = world.run_one().await;
    world.settle(&first, failure(FailureClass::AgentFailed)).await.expect("settled");
    assert_eq!(world.get(parent.id).await.state, StateName::Waiting);
    let second = world.run_one().await;
    world.settle(&second, success()).await.expect("settled");
    assert_eq!(world.get(parent.id).await.state, StateName::Pending);
    world.assert_places();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_chain_of_failures_wakes_a_parent_wherever_it_waits_for_it() {
    let world = World::new().await;
    let parents = [world.ask(draft("parent")).await, world.ask(draft("parent")).await];
    let leads = world.claim(2).await;
    let first = world.ask(draft("first")).await;
    let mut last = first.id;
    // One child falls with the last round of the transaction that fails the first, the other in a service's.
    for n in 1..=14 {
        let parent_id = match n {
            8 => parents.first().map(|parent| parent.id),
            14 => parents.last().map(|parent| parent.id),
            _ => None,
        };
        last = world.ask(RequestDraft { blocked_by: vec![last], parent_id, ..draft("link") }).await.id;
    }
    for lead in &leads {
        world.settle(lead, Outcome::AwaitsChildren).await.expect("they lie down");
    }
    let claim = world.claim(1).await.pop().expect("the first");
    assert_eq!(claim.request_id, first.id);
    world.settle(&claim, failure(FailureClass::AgentFailed)).await.expect("settled");
    let services = Services::start(&world.engine, RetentionPeriods::default());
    for parent in &parents {
        for _ in 0..100 {
            if world.get(parent.id).await.state == StateName::Pending {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(world.get(parent.id).await.state, StateName::Pending);
    }
    services.stop().await;
    assert_eq!(world.count("SELECT count(*) FROM eve.results WHERE error_code = 'dependency_failed'"), 14);
    world.assert_places();
}

async fn futures_join<T>(futures: Vec<impl std::future::Future<Output = T>>) -> Vec<T> {
    let mut out = Vec::new();
    let mut running: Vec<_> = futures.into_iter().map(Box::pin).collect();
    // All of them are polled at once: the dispatcher answers them in whatever batches it makes.
    std::future::poll_fn(|context| {
        running.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(done) => {
                out.push(done);
                false
            }
            std::task::Poll::Pending => true,
        });
        if running.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    out
}
