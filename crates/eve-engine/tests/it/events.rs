use eve_engine::EventPosition;

use crate::harness::World;
use crate::harness::draft;
use crate::harness::sqlx_free;
use crate::harness::success;

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_tells_a_request_s_life_in_order() {
    let world = World::new().await;
    world.ask(draft("tell")).await;
    let claim = world.run_one().await;
    world.settle(&claim, success()).await.expect("settled");
    let page = world.engine.event_list(&world.owner, EventPosition::default(), 100).await.expect("listed");
    let kinds: Vec<&str> = page.events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["request:created", "request:started", "request:completed"]);
    let rest = world.engine.event_list(&world.owner, page.next, 100).await.expect("listed");
    assert!(rest.events.is_empty());
}

/// Few rows hold them, and a page may end in the middle of one.
#[tokio::test(flavor = "multi_thread")]
async fn pages_tell_each_event_of_a_batch_once() {
    let world = World::new().await;
    let drafts = (0..130).map(|n| draft(&format!("request {n}"))).collect();
    let asked = world.engine.request_create_many(&world.owner, drafts).await.expect("created");
    assert_eq!(world.count("SELECT count(*) FROM eve.events"), 3);
    let mut told = Vec::new();
    let mut position = EventPosition::default();
    loop {
        let page = world.engine.event_list(&world.owner, position, 50).await.expect("listed");
        if page.events.is_empty() {
            break;
        }
        assert!(page.events.len() <= 50);
        assert!(page.events.iter().all(|event| event.payload["worker_type"] == "general"), "{:?}", page.events);
        told.extend(page.events.into_iter().filter_map(|event| event.request_id));
        position = page.next;
    }
    assert_eq!(told, asked.iter().map(|row| row.id).collect::<Vec<_>>());
    let end = world.engine.event_end(&world.owner).await.expect("its end");
    assert!(end >= position);
    world.ask(draft("after the end")).await;
    let page = world.engine.event_list(&world.owner, end, 50).await.expect("listed");
    assert_eq!(page.events.len(), 1);
}

/// The reason for ordering by transaction: a writer that commits late must not be skipped.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_comes_late_is_not_skipped() {
    let world = World::new().await;
    let org = world.owner.org_id.uuid();
    let url = world.database.url("postgres");
    // This transaction draws its number first and commits last.
    let late = std::thread::spawn(move || {
        let sql = format!(
            "BEGIN; INSERT INTO eve.events (org_id, kind, actor) VALUES ('{org}', 'test:late', 'test'); SELECT pg_sleep(1.5); COMMIT;"
        );
        std::process::Command::new("psql").args(["-X", "-q", "-c", &sql, &url]).status().expect("psql runs")
    });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    world.ask(draft("in between")).await;
    let mut seen = Vec::new();
    let mut position = EventPosition::default();
    for _ in 0..40 {
        let page = world.engine.event_list(&world.owner, position, 100).await.expect("listed");
        seen.extend(page.events.into_iter().map(|event| event.kind));
        position = page.next;
        if seen.len() == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(late.join().expect("no panic").success());
    assert_eq!(seen, ["test:late", "request:created"]);
    assert_eq!(sqlx_free::query(&world.database, "SELECT count(*) FROM eve.events").trim(), "2");
}
