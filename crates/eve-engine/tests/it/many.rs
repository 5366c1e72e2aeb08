use eve_core::RequestId;
use eve_core::StateName;
use eve_engine::ErrorKind;
use eve_engine::RequestDraft;

use crate::harness::World;
use crate::harness::draft;

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
