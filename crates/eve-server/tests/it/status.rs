//! How the installation stands.

use serde_json::json;

use crate::redact::redact;
use crate::server::TestServer;
use crate::worker::FakeWorker;

#[tokio::test]
async fn the_status_counts_workers_and_what_waits() {
    let server = TestServer::start().await;
    let worker = FakeWorker::enter(&server).await;
    server.ask("runs").await;
    worker.claim().await;
    server.ask("waits").await;
    server.post("/requests", &json!({"prompt": "later", "run_at": "2999-01-01T00:00:00Z"})).await;
    server.post("/requests", &json!({"prompt": "urgent", "priority": "HIGH"})).await;
    insta::assert_json_snapshot!("status", redact(&server.get("/status").await.json()));
    insta::assert_json_snapshot!("queue", redact(&server.get("/queue").await.json()));
}

#[tokio::test]
async fn an_admin_sees_services_and_database() {
    let server = TestServer::start().await;
    let services = server.get("/services").await.items();
    let names: Vec<_> = services.iter().map(|service| service["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"dependency-release"), "{names:?}");
    assert!(services.iter().all(|service| service["period_seconds"].as_f64().is_some_and(|period| period > 0.0)));
    let database = server.get("/database").await.json();
    assert_eq!(database["login_role"], "eve_service");
    assert_eq!(database["login_is_privileged"], false);
    assert_eq!((&database["owned_tables"], &database["unprotected_tables"]), (&json!(0), &json!([])));
}

#[tokio::test]
async fn a_member_sees_neither() {
    let server = TestServer::start().await;
    server.installation.demote_everybody().await;
    for path in ["/services", "/database"] {
        server.get(path).await.is_problem(403, "forbidden");
    }
    assert_eq!(server.get("/status").await.status, 200);
}
