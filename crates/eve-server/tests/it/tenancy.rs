//! What belongs to one organization does not exist for another.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::json;

use crate::authentication::operations;
use crate::redact::redact;
use crate::server::Answer;
use crate::server::TestServer;
use crate::worker::FakeWorker;

/// Every operation with a variable address, and what it means by it. A new one fails the test until it is here.
const ADDRESSED: [(&str, Meaning); 14] = [
    ("GET /api/v1/requests/{id}", Meaning::Request),
    ("POST /api/v1/requests/{id}/cancel", Meaning::Request),
    ("POST /api/v1/requests/{id}/pause", Meaning::Request),
    ("POST /api/v1/requests/{id}/resume", Meaning::Request),
    ("POST /api/v1/requests/{id}/replay", Meaning::Request),
    ("POST /api/v1/requests/{id}/reprioritise", Meaning::Request),
    ("GET /api/v1/bulk-actions/{id}", Meaning::BulkAction),
    ("POST /api/v1/bulk-actions/{id}/cancel", Meaning::BulkAction),
    ("GET /api/v1/requests/{id}/log", Meaning::Request),
    ("GET /api/v1/requests/{id}/diff", Meaning::Request),
    ("GET /api/v1/results/{request_id}", Meaning::Request),
    ("GET /api/v1/worker-types/{name}", Meaning::WorkerType),
    // Makes the caller's own; checked below.
    ("PUT /api/v1/worker-types/{name}", Meaning::Own),
    // Workers serve everybody; what they ran for whom is checked below.
    ("GET /api/v1/workers/{id}/attempts", Meaning::Own),
];

#[derive(Clone, Copy)]
enum Meaning {
    Request,
    BulkAction,
    WorkerType,
    Own,
}

fn worker_type(title: &str) -> serde_json::Value {
    json!({"name": "secret-type", "title": title})
}

#[tokio::test]
async fn nothing_of_another_organization_can_be_reached() {
    let server = TestServer::start().await;
    let finished = server.ask("finished").await;
    FakeWorker::enter(&server).await.claim().await.succeed().await;
    let pending = server.ask("pending").await;
    let all = json!({"action": "replay", "filter": {"all": true}});
    let action = server.post("/bulk-actions", &all).await.text_at("id");
    let put = server.member(Method::PUT, "/worker-types/secret-type").json(&worker_type("Ours"));
    assert_eq!(Answer::to(put).await.status, 200);

    let described: BTreeSet<String> = operations(&serde_json::from_str(&eve_server::openapi_json()).unwrap())
        .into_iter()
        .filter(|(_, path, _)| path.contains('{'))
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    assert_eq!(described, ADDRESSED.iter().map(|(name, _)| (*name).to_owned()).collect());

    for (name, meaning) in ADDRESSED {
        let targets: &[&str] = match meaning {
            Meaning::Request => &[&finished, &pending],
            Meaning::BulkAction => &[&action],
            Meaning::WorkerType => &["secret-type"],
            Meaning::Own => &[],
        };
        for target in targets {
            let (method, path) = name.split_once(' ').unwrap();
            let method: Method = method.parse().unwrap();
            let path = path.trim_start_matches("/api/v1").replace("{id}", target).replace("{request_id}", target);
            let path = path.replace("{name}", target);
            for accept in ["application/json", "text/event-stream"] {
                let mut call = server.stranger(method.clone(), &path).header("accept", accept);
                if name.ends_with("/reprioritise") {
                    call = call.json(&json!({"priority": "HIGH"}));
                }
                let answer = Answer::to(call).await;
                answer.is_problem(404, "not_found");
            }
        }
    }
    assert_eq!(server.get(&format!("/requests/{pending}")).await.text_at("status"), "pending");
}

#[tokio::test]
async fn lists_hold_only_what_is_ones_own() {
    let server = TestServer::start().await;
    server.ask("finished").await;
    let worker = FakeWorker::enter(&server).await;
    worker.claim().await.succeed().await;
    server.ask("pending").await;
    let attempts = format!("/workers/{}/attempts", worker.id);
    server.post("/bulk-actions", &json!({"action": "replay", "filter": {"status": ["failed"]}})).await;
    for path in ["/requests", "/queue", &attempts, "/events", "/bulk-actions"] {
        let asked = |call: reqwest::RequestBuilder| Answer::to(call.header("accept", "application/json"));
        assert!(!asked(server.member(Method::GET, path)).await.items().is_empty(), "{path}");
        let items = asked(server.stranger(Method::GET, path)).await.items();
        assert!(items.is_empty(), "{path} shows {items:?}");
    }
    let status = Answer::to(server.stranger(Method::GET, "/status")).await;
    insta::assert_json_snapshot!("status_of_another_organization", redact(&status.json()));
}

#[tokio::test]
async fn worker_types_of_the_same_name_are_apart() {
    let server = TestServer::start().await;
    let path = "/worker-types/secret-type";
    for (call, title) in [(server.member(Method::PUT, path), "Ours"), (server.stranger(Method::PUT, path), "Theirs")] {
        assert_eq!(Answer::to(call.json(&worker_type(title))).await.status, 200);
    }
    assert_eq!(server.get(path).await.text_at("title"), "Ours");
    assert_eq!(Answer::to(server.stranger(Method::GET, path)).await.text_at("title"), "Theirs");
}

#[tokio::test]
async fn requests_of_another_organization_cannot_be_named() {
    let server = TestServer::start().await;
    let theirs = server.ask("theirs").await;
    for body in [json!({"prompt": "x", "parent_id": theirs}), json!({"prompt": "x", "blocked_by": [theirs]})] {
        Answer::to(server.stranger(Method::POST, "/requests").json(&body)).await.is_problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_cursor_counts_only_where_it_was_given() {
    let server = TestServer::start().await;
    server.ask("one").await;
    server.ask("two").await;
    let cursor = server.get("/requests?limit=1").await.text_at("next_cursor");
    assert_eq!(server.get(&format!("/requests?cursor={cursor}")).await.items().len(), 1);
    let path = format!("/requests?cursor={cursor}");
    Answer::to(server.stranger(Method::GET, &path)).await.is_problem(400, "invalid_request");
    let (id, tag) = cursor.split_once('.').unwrap();
    let flipped = if tag.starts_with('0') { "1" } else { "0" };
    let another = server.ask("three").await;
    for forged in [
        format!("{id}.{flipped}{}", &tag[1..]),
        format!("{id}.{}", &tag[1..]),
        format!("{id}."),
        format!("{another}.{tag}"),
        id.to_owned(),
        String::from("x"),
    ] {
        server.get(&format!("/requests?cursor={forged}")).await.is_problem(400, "invalid_request");
    }
}
