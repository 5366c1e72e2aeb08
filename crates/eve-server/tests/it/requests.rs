//! Requests: asking for things, looking at them, calling them off.

use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::redact::redact;
use crate::server::Answer;
use crate::server::TestServer;
use crate::worker::FakeWorker;

fn ids(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_prompt_is_enough() {
    let server = TestServer::start().await;
    let answer = server.post("/requests", &json!({"prompt": "Fix the line endings.\nAll of them."})).await;
    assert_eq!(answer.status, 201);
    let id = answer.text_at("id");
    assert_eq!(answer.header("location"), format!("/api/v1/requests/{id}"));
    insta::assert_json_snapshot!("created", redact(&answer.json()));
    let found = server.get(&format!("/requests/{id}")).await;
    assert_eq!(found.json()["attempt_list"], json!([]));
    let mut expected = answer.json();
    expected["attempt_list"] = json!([]);
    assert_eq!(found.json(), expected);
}

#[tokio::test]
async fn everything_can_be_said() {
    let server = TestServer::start().await;
    let parent = server.ask("the parent").await;
    // In the spelling of the first design, at its address.
    let body = json!({
        "workerType": "code-review", "prompt": "Review it.", "title": "A title", "repository": "/srv/shop.git",
        "branch": "main", "context": {"depth": 3}, "parentId": parent, "replyTo": {"channel": "C1"},
        "config": {"variant": "claude", "model": "m", "timeout_ms": 90500}, "metadata": {"ticket": 7},
        "priority": "critical", "blockedBy": [parent], "on_dependency_failure": "proceed",
        "max_attempts": 5,
    });
    let call = server.call(Method::POST, "/requests").bearer_auth(&server.installation.api_key);
    let answer = Answer::to(call.json(&body)).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    insta::assert_json_snapshot!("created_with_everything", redact(&answer.json()));
    let later = server.post("/requests", &json!({"prompt": "later", "runAt": "2999-01-01T00:00:00Z"})).await;
    assert_eq!(later.text_at("run_at"), "2999-01-01T00:00:00Z");
    let found = server.call(Method::GET, &format!("/requests/{}", answer.text_at("id")));
    assert_eq!(Answer::to(found.bearer_auth(&server.installation.api_key)).await.status, 200);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let server = TestServer::start().await;
    let refused = [
        ("no_prompt", json!({"title": "x"})),
        ("empty_prompt", json!({"prompt": "  "})),
        ("unknown_field", json!({"prompt": "x", "promt": "y"})),
        ("priority", json!({"prompt": "x", "priority": "URGENT"})),
        ("foreign_id", json!({"prompt": "x", "parent_id": "att_00000000000000000000000000"})),
        ("no_such_project", json!({"prompt": "x", "project_id": "prj_00000000000000000000000000"})),
        ("nul", json!({"prompt": "x\u{0}y"})),
        ("not_an_object", json!([])),
    ];
    for (name, body) in refused {
        let answer = server.post("/requests", &body).await;
        answer.is_problem(400, "invalid_request");
        insta::assert_snapshot!(format!("refused_{name}"), answer.text_at("detail"));
    }
    for name in ["plumber", "No Such Type", ""] {
        let answer = server.post("/requests", &json!({"prompt": "x", "workerType": name})).await;
        answer.is_problem(400, "invalid_worker_type");
        assert!(answer.text_at("message").starts_with("Invalid worker type"), "{}", answer.text);
    }
    assert!(server.get("/requests").await.items().is_empty());
}

#[tokio::test]
async fn asking_twice_with_one_key_asks_once() {
    let server = TestServer::start().await;
    let ask = |key: String, prompt: &str| {
        let call = server.member(Method::POST, "/requests").header("Idempotency-Key", key);
        Answer::to(call.json(&json!({"prompt": prompt})))
    };
    let first = ask("k-1".into(), "once").await;
    let again = ask("k-1".into(), "once").await;
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(first.json(), again.json());
    assert_eq!(first.header("location"), again.header("location"));
    ask("k-1".into(), "something else").await.is_problem(422, "idempotency_conflict");
    ask(String::new(), "x").await.is_problem(400, "invalid_request");
    ask("k".repeat(256), "x").await.is_problem(400, "invalid_request");
    assert_eq!(ask("k".repeat(255), "x").await.status, 201);
    // Another organization's key of the same text is another key.
    let call = server.stranger(Method::POST, "/requests").header("Idempotency-Key", "k-1");
    assert_eq!(Answer::to(call.json(&json!({"prompt": "once"}))).await.status, 201);
    assert_eq!(server.get("/requests").await.items().len(), 2);
}

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let server = TestServer::start().await;
    let mut asked = Vec::new();
    for number in 0..5 {
        asked.push(server.ask(&format!("number {number}")).await);
    }
    asked.reverse();
    let mut path = "/requests?limit=2&status=pending".to_owned();
    let mut found = Vec::new();
    let mut sizes = Vec::new();
    loop {
        let answer = server.get(&path).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        found.extend(ids(&answer.items()));
        sizes.push(answer.items().len());
        // Whatever is asked meanwhile does not move the pages.
        server.ask("meanwhile").await;
        let Some(next) = answer.headers.get("link").map(|link| link.to_str().unwrap()) else {
            assert!(answer.json().get("next_cursor").is_none());
            break;
        };
        let (address, rel) = next.split_once(">; ").unwrap();
        assert_eq!(rel, "rel=\"next\"");
        path = address.trim_start_matches("</api/v1").to_owned();
        let cursor = answer.text_at("next_cursor");
        assert_eq!(path, format!("/requests?limit=2&status=pending&cursor={cursor}"));
    }
    assert_eq!((found, sizes), (asked, vec![2, 2, 1]));
}

#[tokio::test]
async fn a_list_is_narrowed_down() {
    let server = TestServer::start().await;
    let parent = server.ask("parent").await;
    let child = server.post("/requests", &json!({"prompt": "c", "parent_id": parent})).await.text_at("id");
    let review = server.post("/requests", &json!({"prompt": "r", "worker_type": "code-review"})).await.text_at("id");
    server.act(&parent, "cancel").await;
    for (query, expected) in [
        ("status=pending", vec![&review, &child]),
        ("status=cancelled", vec![&parent]),
        ("status=cancelled,%20pending", vec![&review, &child, &parent]),
        ("status=", vec![&review, &child, &parent]),
        ("status=waiting_input", vec![]),
        ("worker_type=code-review", vec![&review]),
        ("worker_type=plumber", vec![]),
        (&format!("parent_id={parent}"), vec![&child]),
        ("project_id=prj_00000000000000000000000000", vec![]),
    ] {
        let answer = server.get(&format!("/requests?{query}")).await;
        assert_eq!(ids(&answer.items()).iter().collect::<Vec<_>>(), expected, "{query}");
    }
    for query in ["status=done", "limit=many", "parent_id=7", "workertype=general"] {
        let answer = server.get(&format!("/requests?{query}")).await;
        answer.is_problem(400, "invalid_request");
        let name = query.split('=').next().unwrap();
        insta::assert_snapshot!(format!("refused_query_{name}"), answer.text_at("detail"));
    }
    server.get("/requests?worker_type=No%20Such").await.is_problem(400, "invalid_worker_type");
}

#[tokio::test]
async fn waiting_for_a_person_is_a_status_of_its_own() {
    let server = TestServer::start().await;
    let id = server.ask("which one?").await;
    let attempt = FakeWorker::enter(&server).await.claim().await;
    attempt.start().await;
    assert_eq!(attempt.settle(&json!({"kind": "needs_input", "question": "Red or blue?"})).await, "waiting_input");
    assert_eq!(server.get(&format!("/requests/{id}")).await.text_at("status"), "waiting_input");
    assert_eq!(ids(&server.get("/requests?status=waiting_input").await.items()), [id]);
    assert!(server.get("/requests?status=waiting").await.items().is_empty());
}

#[tokio::test]
async fn a_request_is_paused_resumed_cancelled_and_replayed() {
    let server = TestServer::start().await;
    let id = server.ask("something").await;
    server.act(&id, "resume").await.is_problem(409, "conflict");
    server.act(&id, "replay").await.is_problem(409, "conflict");
    assert_eq!(server.act(&id, "pause").await.text_at("status"), "paused");
    assert_eq!(server.act(&id, "resume").await.text_at("status"), "pending");
    let cancelled = server.act(&id, "cancel").await;
    insta::assert_json_snapshot!("cancelled", redact(&cancelled.json()));
    let again = server.act(&id, "cancel").await;
    again.is_problem(409, "conflict");
    insta::assert_json_snapshot!("cancelled_twice", redact(&again.json()));
    let replayed = server.act(&id, "replay").await;
    assert_eq!(replayed.status, 201);
    assert_eq!(replayed.header("location"), format!("/api/v1/requests/{}", replayed.text_at("id")));
    assert_eq!(replayed.text_at("replay_of"), id);
    assert_eq!(replayed.text_at("status"), "pending");
}

#[tokio::test]
async fn a_finished_request_shows_its_attempts_and_its_difference() {
    let server = TestServer::start().await;
    let id = server.ask("change something").await;
    server.get(&format!("/requests/{id}/diff")).await.is_problem(404, "not_found");
    FakeWorker::enter(&server).await.claim().await.succeed().await;
    let detail = server.get(&format!("/requests/{id}")).await;
    insta::assert_json_snapshot!("completed", redact(&detail.json()));
    let diff = server.get(&format!("/requests/{id}/diff")).await;
    assert_eq!((diff.status, diff.header("content-type")), (200, "text/x-diff; charset=utf-8"));
    assert_eq!(diff.text, "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-one\n+two\n");
}
