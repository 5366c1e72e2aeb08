//! Worker types: who does a request.

use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::server::Answer;
use crate::server::TestServer;

async fn put(server: &TestServer, name: &str, body: &Value) -> Answer {
    Answer::to(server.member(Method::PUT, &format!("/worker-types/{name}")).json(body)).await
}

#[tokio::test]
async fn a_worker_type_is_made_and_changed() {
    let server = TestServer::start().await;
    let made = put(&server, "tester", &json!({"name": "tester", "title": "Tester"})).await;
    assert_eq!(made.status, 200);
    insta::assert_json_snapshot!("worker_type", made.json());
    let mut wanted = made.json();
    wanted["title"] = json!("Senior tester");
    wanted["config"] = json!({"strict": true});
    assert_eq!(put(&server, "tester", &wanted).await.json(), wanted);
    assert_eq!(server.get("/worker-types/tester").await.json(), wanted);
    let list = server.get("/worker-types").await.items();
    let names: Vec<_> = list.iter().map(|kind| kind["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["code-review", "general", "tester"]);
    let asked = server.post("/requests", &json!({"prompt": "test it", "worker_type": "tester"})).await;
    assert_eq!(asked.status, 201);
}

#[tokio::test]
async fn what_is_no_worker_type_is_refused() {
    let server = TestServer::start().await;
    put(&server, "one", &json!({"name": "two", "title": "x"})).await.is_problem(400, "invalid_request");
    put(&server, "No", &json!({"name": "No", "title": "x"})).await.is_problem(400, "invalid_worker_type");
    for (field, value) in [
        ("timeout_seconds", json!(0)),
        ("timeout_seconds", json!(4_000_000_000_u32)),
        ("max_attempts", json!(101)),
        ("titel", json!("x")),
        ("title", json!("x\u{0}y")),
        ("config", json!({"nested": ["x\u{0}y"]})),
    ] {
        let mut body = json!({"name": "tester", "title": "x"});
        body[field] = value;
        put(&server, "tester", &body).await.is_problem(400, "invalid_request");
    }
    server.get("/worker-types/tester").await.is_problem(404, "not_found");
    server.get("/worker-types/No%20Such").await.is_problem(400, "invalid_worker_type");
}

#[tokio::test]
async fn only_an_admin_changes_worker_types() {
    let server = TestServer::start().await;
    server.installation.demote_everybody().await;
    let body = json!({"name": "tester", "title": "Tester"});
    put(&server, "tester", &body).await.is_problem(403, "forbidden");
    assert_eq!(server.get("/worker-types/general").await.status, 200);
}
