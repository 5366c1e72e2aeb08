//! Many requests in one call, and one change for many requests.

use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::server::Answer;
use crate::server::TestServer;

/// Waits until a bulk action is over. The service acts by itself, so this looks until it did.
async fn finished(server: &TestServer, id: &str) -> Value {
    for _ in 0..400 {
        let action = server.get(&format!("/bulk-actions/{id}")).await.json();
        if action["finished_at"].is_string() {
            return action;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("it did not happen in time");
}

async fn begin(server: &TestServer, body: Value) -> Value {
    let answer = server.post("/bulk-actions", &body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let id = answer.text_at("id");
    assert!(id.starts_with("blk_"));
    assert_eq!(answer.header("location"), format!("/api/v1/bulk-actions/{id}"));
    finished(server, &id).await
}

#[tokio::test]
async fn many_are_asked_for_in_one_call_and_name_each_other() {
    let server = TestServer::start().await;
    let earlier = server.ask("earlier").await;
    let body = json!({"requests": [
        {"ref": "review", "prompt": "Review.", "workerType": "code-review", "blockedBy": ["ref:lint", earlier]},
        {"ref": "lint", "prompt": "Lint.", "priority": "high", "metadata": {"ticket": 7}},
        {"prompt": "A child.", "parent_id": "ref:lint"},
    ]});
    let call = || server.member(Method::POST, "/requests/bulk").header("Idempotency-Key", "k").json(&body);
    let answer = Answer::to(call()).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let items = answer.items();
    let id = |index: usize| items[index]["id"].as_str().unwrap().to_owned();
    let refs: Vec<&Value> = items.iter().map(|item| &item["ref"]).collect();
    assert_eq!(refs, [&json!("review"), &json!("lint"), &Value::Null]);
    let review = server.get(&format!("/requests/{}", id(0))).await.json();
    assert_eq!((&review["status"], &review["worker_type"]), (&json!("blocked"), &json!("code-review")));
    assert_eq!(review["blocked_by"], json!([id(1), earlier]));
    let child = server.get(&format!("/requests/{}", id(2))).await.json();
    assert_eq!((&child["parent_id"], &child["priority"]), (&json!(id(1)), &json!("HIGH")));
    let again = Answer::to(call()).await;
    assert_eq!((again.status, again.json()), (200, answer.json()));
    let other = json!({"requests": [{"prompt": "Something else."}]});
    let call = server.member(Method::POST, "/requests/bulk").header("Idempotency-Key", "k").json(&other);
    Answer::to(call).await.is_problem(422, "idempotency_conflict");
    assert_eq!(server.get("/requests").await.items().len(), 4);
}

#[tokio::test]
async fn each_wrong_request_of_a_call_has_its_entry() {
    let server = TestServer::start().await;
    let body = json!({"requests": [
        {"ref": "a", "prompt": "fine"},
        {"ref": "b", "prompt": 7},
        {"ref": "c", "promt": "x"},
        {"ref": "d", "prompt": "x", "priority": "URGENT"},
        {"ref": "e", "prompt": "x", "blocked_by": ["ref:a", "lint"]},
        {"ref": "f", "prompt": "x", "blocked_by": ["ref:nobody"]},
        {"ref": "g", "prompt": "x", "worker_type": "plumber"},
        {"ref": "h", "prompt": "x", "blocked_by": ["ref:a"], "blockedBy": []},
        {"ref": 9, "prompt": "x"},
        "a text",
        {"ref": "k", "prompt": "x", "metadata": {"a/b": "x\u{0}y"}},
        {"ref": "l", "prompt": "x", "parent_id": "req_00000000000000000000000000"},
        {"ref": "m", "prompt": "x", "project_id": "prj_00000000000000000000000000"},
    ]});
    let answer = server.post("/requests/bulk", &body).await;
    answer.is_problem(400, "invalid_request");
    insta::assert_json_snapshot!("bulk_refused", answer.json()["errors"]);
    let circle = json!({"requests": [
        {"ref": "a", "prompt": "x", "blocked_by": ["ref:b"]},
        {"ref": "b", "prompt": "x", "blocked_by": ["ref:c"]},
        {"ref": "c", "prompt": "x", "blocked_by": ["ref:a"]},
    ]});
    let answer = server.post("/requests/bulk", &circle).await;
    answer.is_problem(400, "invalid_request");
    insta::assert_snapshot!(answer.text_at("detail"), @"Nothing was created, since request 1 of the call is wrong: These wait for each other in a circle: a → b → c → a.");
    for body in [json!({"requests": []}), json!({}), json!({"requests": [], "more": 1})] {
        server.post("/requests/bulk", &body).await.is_problem(400, "invalid_request");
    }
    assert!(server.get("/requests").await.items().is_empty());
}

#[tokio::test]
async fn a_call_that_asks_for_many_may_be_large() {
    let server = TestServer::start().await;
    let prompt = "x".repeat(9_000);
    let requests: Vec<Value> = (0..1000).map(|_| json!({"prompt": prompt})).collect();
    let answer = server.post("/requests/bulk", &json!({"requests": requests})).await;
    assert_eq!((answer.status, answer.items().len()), (201, 1000));
    let prompt = "x".repeat(17_000);
    let requests: Vec<Value> = (0..1000).map(|_| json!({"prompt": prompt})).collect();
    server.post("/requests/bulk", &json!({"requests": requests})).await.is_problem(413, "too_large");
}

#[tokio::test]
async fn what_a_preview_says_is_what_an_action_does() {
    let server = TestServer::start().await;
    for prompt in ["one", "two", "three"] {
        server.ask(prompt).await;
    }
    let called_off = server.ask("called off").await;
    server.act(&called_off, "cancel").await;
    let body = json!({"action": "cancel", "filter": {"all": true}, "preview": true});
    let preview = server.post("/bulk-actions", &body).await;
    assert_eq!(preview.status, 200, "{}", preview.text);
    let preview = preview.json();
    assert_eq!((&preview["affected"], &preview["skipped"]), (&json!(3), &json!(1)));
    assert_eq!(preview["affected_by_status"], json!({"pending": 3}));
    assert_eq!(preview["skipped_by_reason"], json!({"already_cancelled": 1}));
    assert_eq!((preview["sample"].as_array().unwrap().len(), &preview["sample"][0]["title"]), (3, &json!("three")));
    assert!(server.get("/bulk-actions").await.items().is_empty());
    let done = begin(&server, json!({"action": "cancel", "filter": {"all": true}})).await;
    assert_eq!((&done["state"], &done["done"], &done["skipped"]), (&json!("completed"), &json!(3), &json!(1)));
    assert_eq!(done["skipped_by_reason"], json!({"already_cancelled": 1}));
    assert_eq!(done["filter"], json!({"all": true}));
    let filter = json!({"status": ["cancelled"], "text": "T", "created_before": "2999-01-01T00:00:00Z"});
    let replayed = begin(&server, json!({"action": "replay", "filter": filter})).await;
    assert_eq!((&replayed["done"], &replayed["filter"]), (&json!(2), &filter));
    let pending = server.get("/requests?status=pending&text=t&created_after=2020-01-01T00:00:00Z").await.items();
    assert_eq!(pending.iter().map(|item| item["title"].clone()).collect::<Vec<_>>(), [json!("three"), json!("two")]);
    let raised = json!({"action": "reprioritise", "priority": "critical", "filter": {"ids": [pending[0]["id"]]}});
    assert_eq!(begin(&server, raised).await["priority"], "CRITICAL");
    assert_eq!(
        server.get(&format!("/requests/{}", pending[0]["id"].as_str().unwrap())).await.text_at("priority"),
        "CRITICAL"
    );
    let page = server.get("/bulk-actions?limit=2").await;
    assert_eq!((page.items().len(), &page.items()[0]["action"]), (2, &json!("reprioritise")));
    let (address, _) = page.header("link").split_once(">; ").unwrap();
    let next = server.get(address.trim_start_matches("</api/v1")).await;
    assert_eq!((next.items().len(), &next.items()[0]["id"]), (1, &done["id"]));
    let over =
        Answer::to(server.member(Method::POST, &format!("/bulk-actions/{}/cancel", done["id"].as_str().unwrap())));
    over.await.is_problem(409, "conflict");
}

#[tokio::test]
async fn an_action_that_makes_no_sense_is_refused() {
    let server = TestServer::start().await;
    let mut told = String::new();
    for body in [
        json!({"action": "cancel", "filter": {}}),
        json!({"action": "cancel", "filter": {"all": true, "text": "x"}}),
        json!({"action": "cancel"}),
        json!({"action": "pause", "filter": {"all": true}}),
        json!({"action": "cancel", "priority": "HIGH", "filter": {"all": true}}),
        json!({"action": "reprioritise", "filter": {"all": true}}),
        json!({"action": "reprioritise", "priority": "URGENT", "filter": {"all": true}}),
        json!({"action": "cancel", "filter": {"text": ""}}),
        json!({"action": "cancel", "filter": {"text": "a\u{0}b"}}),
    ] {
        let answer = server.post("/bulk-actions", &body).await;
        answer.is_problem(400, "invalid_request");
        told.push_str(&answer.text_at("detail"));
        told.push('\n');
    }
    insta::assert_snapshot!(told);
    server.get("/requests?text=a%00b").await.is_problem(400, "invalid_request");
    assert!(server.get("/bulk-actions").await.items().is_empty());
}

#[tokio::test]
async fn a_request_is_made_more_urgent() {
    let server = TestServer::start().await;
    let id = server.ask("soon").await;
    let path = format!("/requests/{id}/reprioritise");
    assert_eq!(server.post(&path, &json!({"priority": "high"})).await.text_at("priority"), "HIGH");
    server.post(&path, &json!({"priority": "soon"})).await.is_problem(400, "invalid_request");
    server.act(&id, "cancel").await;
    server.post(&path, &json!({"priority": "LOW"})).await.is_problem(409, "conflict");
}
