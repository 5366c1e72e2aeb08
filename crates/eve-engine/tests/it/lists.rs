//! Lists of requests: complete and in order, whatever stands between those that are asked for.

use eve_core::Priority;
use eve_core::RequestId;
use eve_core::StateName;
use eve_engine::RequestDraft;
use eve_engine::RequestFilter;

use crate::harness::World;
use crate::harness::draft;
use crate::harness::success;

/// More than a page of what is not asked for.
const BETWEEN: usize = 25;
const PAGE: i64 = 10;

/// All pages of a list.
async fn list(world: &World, filter: &RequestFilter) -> Vec<RequestId> {
    let (mut all, mut before): (Vec<RequestId>, _) = (Vec::new(), None);
    loop {
        let (page, more) =
            world.engine.request_list(&world.owner, filter, before, PAGE).await.expect("the database answers");
        assert!(!more || page.len() == 10, "a page is full while there are more");
        all.extend(page.iter().map(|row| row.id));
        before = all.last().copied();
        if !more {
            return all;
        }
    }
}

fn of(states: &[StateName], worker_type: Option<&str>) -> RequestFilter {
    RequestFilter {
        states: states.to_vec(),
        worker_type: worker_type.map(|name| name.parse().expect("a name")),
        ..RequestFilter::default()
    }
}

async fn cancelled(world: &World, worker_type: &str) -> RequestId {
    let id = world.ask(RequestDraft { worker_type: Some(worker_type.to_owned()), ..draft("x") }).await.id;
    world.engine.request_cancel(&world.owner, id).await.expect("cancelled").id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_and_a_worker_type_find_what_more_than_a_page_of_others_lies_before() {
    let world = World::new().await;
    let mut reviews = Vec::new();
    for _ in 0..3 {
        reviews.insert(0, cancelled(&world, "code-review").await);
    }
    for _ in 0..BETWEEN {
        cancelled(&world, "general").await;
    }
    assert_eq!(list(&world, &of(&[StateName::Cancelled], Some("code-review"))).await, reviews);
    assert_eq!(list(&world, &of(&[StateName::Cancelled], None)).await.len(), BETWEEN + 3);
    assert_eq!(list(&world, &of(&[StateName::Pending, StateName::Completed], None)).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_state_is_listed_page_by_page_from_the_newest_on() {
    let world = World::new().await;
    let done = world.ask(draft("done")).await.id;
    let claim = world.run_one().await;
    world.settle(&claim, success()).await.expect("settled");
    let running = world.ask(draft("running")).await.id;
    world.run_one().await;
    let mut pending = Vec::new();
    for number in 0..BETWEEN {
        let priority = [Priority::High, Priority::Low, Priority::Medium][number % 3];
        pending.insert(0, world.ask(RequestDraft { priority: Some(priority), ..draft("waits") }).await.id);
    }
    let later = Some("2999-01-01T00:00:00Z".parse().expect("a time"));
    pending.insert(0, world.ask(RequestDraft { run_at: later, ..draft("later") }).await.id);
    let blocked = world.ask(RequestDraft { blocked_by: vec![running], ..draft("blocked") }).await.id;
    assert_eq!(list(&world, &of(&[StateName::Pending], None)).await, pending);
    assert_eq!(list(&world, &of(&[StateName::Completed], None)).await, [done]);
    assert_eq!(list(&world, &of(&[StateName::Completed], Some("code-review"))).await, []);
    assert_eq!(list(&world, &of(&[StateName::Processing], Some("general"))).await, [running]);
    assert_eq!(list(&world, &of(&[StateName::Blocked, StateName::Completed], None)).await, [blocked, done]);
    let all = list(&world, &of(&[], None)).await;
    assert_eq!((all.len(), all[0], all[all.len() - 1]), (BETWEEN + 4, blocked, done));
    let every = StateName::ALL;
    assert_eq!(list(&world, &of(&every, None)).await, all, "all states are no filter");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_with_words_or_times_finds_what_more_than_a_page_of_others_lies_before() {
    let world = World::new().await;
    let wanted = world.ask(draft("the needle")).await;
    for _ in 0..BETWEEN {
        world.ask(draft("hay")).await;
    }
    let pending = of(&[StateName::Pending], None);
    let by_text = RequestFilter { text: Some("NEEDLE".to_owned()), ..pending.clone() };
    assert_eq!(list(&world, &by_text).await, [wanted.id]);
    let after = wanted.created_at + jiff::SignedDuration::from_micros(1);
    let by_time = RequestFilter { created_before: Some(after), ..pending.clone() };
    assert_eq!(list(&world, &by_time).await, [wanted.id]);
    let by_id = RequestFilter { ids: vec![wanted.id], ..pending };
    assert_eq!(list(&world, &by_id).await, [wanted.id]);
}
