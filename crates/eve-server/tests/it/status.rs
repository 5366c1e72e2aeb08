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
    let tables: Vec<_> = database["hot_tables"].as_array().unwrap().iter().map(|table| &table["name"]).collect();
    assert_eq!(tables, ["queue", "parked", "leases", "workers", "dependencies"]);
    assert!(database["holders"].is_array() && database["sees_others"] == true, "{database:#}");
}

#[tokio::test]
async fn an_admin_sees_what_the_queue_knows_about_itself() {
    let server = TestServer::start().await;
    let id = server.ask("waits").await;
    let health = server.get("/queue/health").await.json();
    let oldest = &health["oldest"][0];
    assert_eq!((&oldest["org"], &oldest["worker_type"]), (&json!("default"), &json!("general")));
    assert_eq!(oldest["request_id"], json!(id));
    assert_eq!(health["last_day"], json!({"workers_lost": 0, "attempts_expired": 0, "quarantined": 0}));
    assert_eq!(health["listener"]["connected"], true);
    let recent = server.get("/queue/places").await.json();
    assert_eq!(recent, json!({"checked": 2, "found": 0, "misplaced": []}));
    let (mut checked, mut path) = (0, "/queue/places?deep=true".to_owned());
    loop {
        let page = server.get(&path).await.json();
        checked += page["checked"].as_u64().unwrap();
        assert_eq!(page["found"], 0);
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/queue/places?after={next}");
    }
    assert_eq!(checked, 2, "as many as in the short look");
    server.get("/queue/places?after=nonsense").await.is_problem(400, "invalid_request");
}

#[tokio::test]
async fn a_member_sees_neither() {
    let server = TestServer::start().await;
    server.installation.demote_everybody().await;
    for path in ["/services", "/database", "/queue/health", "/queue/places"] {
        server.get(path).await.is_problem(403, "forbidden");
    }
    assert_eq!(server.get("/status").await.status, 200);
}
