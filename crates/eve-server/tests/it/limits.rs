//! Concurrency limits: how many attempts may run at once.

use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use crate::redact::redact;
use crate::server::Answer;
use crate::server::TestServer;
use crate::worker::FakeWorker;

async fn put(server: &TestServer, body: &Value) -> Answer {
    Answer::to(server.member(Method::PUT, "/limits").json(body)).await
}

#[tokio::test]
async fn limits_are_set_shown_and_lifted() {
    let server = TestServer::start().await;
    assert!(server.get("/limits").await.items().is_empty());
    let organization = json!({"scope": "organization", "name": "", "max_running": 10});
    let made = put(&server, &json!({"scope": "organization", "max_running": 10})).await;
    assert_eq!((made.status, made.json()), (200, organization));
    assert_eq!(put(&server, &json!({"scope": "worker_type", "name": "general", "max_running": 1})).await.status, 200);
    server.ask("runs").await;
    let worker = FakeWorker::enter(&server).await;
    worker.claim().await;
    server.ask("waits").await;
    let claim = Answer::to(server.worker("/claim", &worker.claim_body(0))).await;
    assert_eq!(claim.json()["assignments"], json!([]));
    insta::assert_json_snapshot!("limits", redact(&server.get("/limits").await.json()));
    let lifted = json!({"scope": "worker_type", "name": "general", "max_running": null});
    assert_eq!(put(&server, &lifted).await.json(), lifted);
    assert_eq!(server.get("/limits").await.items().len(), 1);
    worker.claim().await;
}

#[tokio::test]
async fn what_is_no_limit_is_refused() {
    let server = TestServer::start().await;
    let mut text = String::new();
    for body in [
        json!({"scope": "planet", "max_running": 1}),
        json!({"scope": "service", "name": "claude", "max_running": 1}),
        json!({"scope": "organization", "name": "acme", "max_running": 1}),
        json!({"scope": "project", "name": "shop", "max_running": 1}),
        json!({"scope": "project", "name": "prj_01h455vb4pex5vsknk084sn02q", "max_running": 1}),
        json!({"scope": "worker_type", "name": "tester", "max_running": 1}),
        json!({"scope": "worker_type", "name": "tester", "max_running": null}),
        json!({"scope": "worker_type", "name": "No Such", "max_running": 1}),
        json!({"scope": "organization", "max_running": -1}),
        json!({"scope": "organization", "max_running": 1_000_001}),
        json!({"scope": "organization", "max_running": "many"}),
        // Nothing said is not the same as null.
        json!({"scope": "organization"}),
        json!({"scope": "organization", "max_runing": 1, "max_running": 1}),
    ] {
        let refused = put(&server, &body).await;
        let code = refused.text_at("code");
        refused.is_problem(400, &code);
        text.push_str(&format!("{body}\n  {code}: {}\n", refused.text_at("detail")));
    }
    insta::assert_snapshot!("refused", text);
    assert!(server.get("/limits").await.items().is_empty());
}

#[tokio::test]
async fn strangers_see_none_of_it() {
    let server = TestServer::start().await;
    assert_eq!(put(&server, &json!({"scope": "organization", "max_running": 0})).await.status, 200);
    assert_eq!(server.get("/limits").await.items().len(), 1);
    assert!(Answer::to(server.stranger(Method::GET, "/limits")).await.items().is_empty());
}

#[tokio::test]
async fn only_an_admin_sets_limits() {
    let server = TestServer::start().await;
    server.installation.demote_everybody().await;
    for max_running in [json!(1), json!(null)] {
        put(&server, &json!({"scope": "organization", "max_running": max_running})).await.is_problem(403, "forbidden");
    }
    assert_eq!(server.get("/limits").await.status, 200);
}
