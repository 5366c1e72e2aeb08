//! What may be asked without a key.

use reqwest::Method;

use crate::server::Answer;
use crate::server::TestServer;

async fn get(server: &TestServer, path: &str) -> Answer {
    Answer::to(server.call(Method::GET, path)).await
}

#[tokio::test]
async fn anybody_learns_whether_the_server_is_well() {
    let server = TestServer::start().await;
    for path in ["/healthz", "/readyz"] {
        let answer = get(&server, path).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "ok"), "{path}");
    }
    let index = get(&server, "/").await.json();
    for field in ["openapi", "health", "ready", "metrics"] {
        assert_eq!(get(&server, index[field].as_str().unwrap()).await.status, 200, "{field}");
    }
}

#[tokio::test]
async fn a_server_without_its_database_is_not_ready_but_alive() {
    let server = TestServer::start().await;
    server.installation.lose_database().await;
    let answer = get(&server, "/readyz").await;
    answer.is_problem(503, "unavailable");
    assert_eq!(answer.header("retry-after"), "1");
    assert!(!answer.text.contains("connect"), "the cause is private: {}", answer.text);
    assert_eq!(get(&server, "/healthz").await.status, 200);
}

#[tokio::test]
async fn the_metrics_count_requests() {
    let server = TestServer::start().await;
    server.ask("count me").await;
    let answer = get(&server, "/metrics").await;
    assert_eq!(answer.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let counted = r#"eve_requests_total{worker_type="general",status="created"} 1"#;
    assert!(answer.text.contains(counted) && answer.text.ends_with("# EOF\n"), "{}", answer.text);
}
