use std::time::Duration;

use eve_core::Priority;
use eve_core::RequestId;
use eve_core::StateName;
use eve_engine::Bootstrap;
use eve_engine::ErrorKind;
use eve_engine::OpContext;
use eve_engine::RequestDraft;
use jiff::Timestamp;
use serde_json::json;

use crate::harness::World;
use crate::harness::draft;
use crate::harness::success;
use crate::harness::wait_for_work;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_drafts_arrive_together_and_in_order() {
    let world = World::new().await;
    let prompts: Vec<String> = (0..1000).map(|n| format!("request {n}")).collect();
    let drafts = prompts.iter().map(|prompt| draft(prompt)).collect();
    let rows = world.engine.request_create_many(&world.owner, drafts).await.expect("created");
    assert_eq!(rows.iter().map(|row| row.prompt.clone()).collect::<Vec<_>>(), prompts);
    assert!(rows.iter().all(|row| row.state == StateName::Pending));
    assert_eq!(world.count("SELECT count(DISTINCT xid) FROM eve.event_view WHERE kind = 'request:created'"), 1);
    let mut claimed = Vec::new();
    for _ in 0..2 {
        // Whichever way a claim lists them, the first five hundred go out first.
        let mut ids: Vec<RequestId> = world.claim(500).await.iter().map(|claim| claim.request_id).collect();
        ids.sort_unstable();
        claimed.extend(ids);
    }
    assert_eq!(claimed, rows.iter().map(|row| row.id).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_draft_refuses_all() {
    let world = World::new().await;
    let earlier = world.ask(draft("earlier")).await.id;
    let bad = [
        draft(" "),
        RequestDraft { worker_type: Some("nobody".into()), ..draft("for nobody") },
        RequestDraft { parent_id: Some(earlier), ..draft("a child") },
        RequestDraft { blocked_by: vec![earlier], ..draft("a dependant") },
    ];
    for one in bad {
        let prompt = one.prompt.clone();
        let drafts = vec![draft("good"), one, draft("good too")];
        let error = world.engine.request_create_many(&world.owner, drafts).await.expect_err("refused");
        assert!(matches!(error.kind, ErrorKind::Invalid | ErrorKind::InvalidWorkerType), "{prompt}: {error}");
        assert!(error.message.starts_with("Request 2 of the call: "), "{prompt}: {error}");
    }
    assert_eq!(world.count("SELECT count(*) FROM eve.requests"), 1);
    assert_eq!(world.count("SELECT count(*) FROM eve.queue"), 1);
    assert_eq!(world.count("SELECT count(*) FROM eve.event_view WHERE kind = 'request:created'"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_are_refused_and_none_is_nothing() {
    let world = World::new().await;
    let drafts = vec![draft("again"); 1001];
    let error = world.engine.request_create_many(&world.owner, drafts).await.expect_err("refused");
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Invalid, "At most 1000 requests in one call."));
    let none = world.engine.request_create_many(&world.owner, Vec::new()).await.expect("nothing to do");
    assert!(none.is_empty());
    assert_eq!(world.count("SELECT count(*) FROM eve.requests"), 0);
}

/// One with everything that a request can have.
fn full() -> RequestDraft {
    RequestDraft {
        title: Some("a title".into()),
        repository: Some("https://example.invalid/app.git".into()),
        branch: Some("main".into()),
        context: json!({"NAME": "value"}),
        config: json!({"a": [1]}),
        metadata: json!({"b": {"c": null}}),
        reply_to: Some(json!({"channel": "here"})),
        priority: Some(Priority::High),
        harness: Some("command".into()),
        model: Some("some-model".into()),
        timeout_seconds: Some(77),
        max_attempts: Some(9),
        ..draft("do all of it")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_is_written_of_one_alone_and_of_one_among_others() {
    let world = World::new().await;
    world.engine.request_create_many(&world.owner, vec![full(), full()]).await.expect("created");
    world.ask(full()).await;
    let keyed = world.engine.request_create(&world.owner, full(), Some("a key")).await;
    keyed.expect("created");
    let alike = [
        "SELECT count(DISTINCT to_jsonb(r) - '{id,created_at}'::text[]) + 10 * count(*) FROM eve.requests r",
        "SELECT count(DISTINCT to_jsonb(q) - 'request_id') + 10 * count(*) FROM eve.queue q",
        "SELECT count(DISTINCT to_jsonb(e) - '{row_seq,xid,seq,at,request_id}'::text[]) + 10 * count(*) \
         FROM eve.event_view e WHERE kind = 'request:created'",
    ];
    for sql in alike {
        assert_eq!(world.count(sql), 41, "four, all alike: {sql}");
    }
    assert_eq!(world.count("SELECT count(*) FROM eve.requests r JOIN eve.event_view e ON e.request_id = r.id"), 4);
    world.assert_places();

    // What is not said is not there, whichever way it is not said.
    world.engine.request_create_many(&world.owner, vec![draft("bare"), draft("bare")]).await.expect("created");
    world.ask(draft("bare")).await;
    let bare = "SELECT count(DISTINCT to_jsonb(r) - '{id,created_at}'::text[]) + 10 * count(*) \
                FROM eve.requests r WHERE prompt = 'bare'";
    assert_eq!(world.count(bare), 31);

    // Of what it waited for, a request that need not wait says it all the same.
    let (first, second) = (world.run_one().await, world.run_one().await);
    for claim in [&first, &second] {
        world.settle(claim, success()).await.expect("settled");
    }
    let blocked_by = vec![first.request_id, second.request_id];
    let after = world.ask(RequestDraft { blocked_by: blocked_by.clone(), ..draft("after") }).await;
    assert_eq!((after.state, after.blocked_by), (StateName::Pending, blocked_by));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_for_a_user_of_another_organization() {
    let world = World::new().await;
    let key = Bootstrap::organization(&world.store, "other", "other@localhost").await.expect("founded");
    let other = world.engine.authenticate(&key).await.expect("its key");
    let forged = OpContext { user_id: other.user_id, ..world.owner.clone() };
    let mut waits = None;
    for where_to in ["queue", "a worker that waits"] {
        for key in [None, Some(where_to)] {
            let error = world.engine.request_create(&forged, draft("alone"), key).await.expect_err("refused");
            assert_eq!(error.kind, ErrorKind::Internal, "{where_to}: {error}");
            // The worker was set aside for it, heard of nothing, and asks again.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let late = RequestDraft { run_at: Some(Timestamp::MAX), ..draft("late") };
        world.engine.request_create(&forged, late, None).await.expect_err("refused");
        let both = vec![draft("one"), draft("another")];
        world.engine.request_create_many(&forged, both).await.expect_err("refused");
        for table in ["requests", "queue", "leases", "parked", "idempotency_keys", "events"] {
            assert_eq!(world.count(&format!("SELECT count(*) FROM eve.{table}")), 0, "{where_to}: {table}");
        }
        if waits.is_none() {
            waits = Some(wait_for_work(&world.engine, world.worker, 8).await);
        }
    }
    let asked = world.ask(draft("really")).await;
    let claims = waits.expect("a worker").await.expect("no panic");
    assert_eq!(claims.iter().map(|claim| claim.request_id).collect::<Vec<_>>(), [asked.id], "it waited all the time");
}
