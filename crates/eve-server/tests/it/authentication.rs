//! Every operation of the API asks who is calling, but for a short list.

use reqwest::Method;
use serde_json::Value;

use crate::server::Answer;
use crate::server::TestServer;

/// What anybody may call. To grow it is a decision.
const OPEN: [&str; 6] =
    ["GET /", "GET /healthz", "GET /readyz", "GET /metrics", "GET /openapi.json", "POST /api/v1/auth/token"];

/// Every operation of the description as method, path and content.
pub(crate) fn operations(document: &Value) -> Vec<(Method, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let each = paths.iter().flat_map(|(path, item)| {
        let operations = item.as_object().unwrap().iter();
        operations
            .map(move |(method, operation)| (method.to_uppercase().parse().unwrap(), path.clone(), operation.clone()))
    });
    each.collect()
}

#[tokio::test]
async fn every_operation_asks_for_a_key() {
    let server = TestServer::start().await;
    let document = Answer::to(server.call(Method::GET, "/openapi.json")).await.json();
    let operations = operations(&document);
    assert!(operations.len() >= 30, "only {} operations are described", operations.len());
    let mut open = Vec::new();
    for (method, path, operation) in operations {
        let name = format!("{method} {path}");
        let id = "00000000-0000-7000-8000-000000000000";
        let address = path.replace("{id}", id).replace("{request_id}", id).replace("{name}", "general");
        // Without a body: who is calling comes before what is asked.
        let answer = Answer::to(server.call(method, &address)).await;
        if OPEN.contains(&name.as_str()) {
            assert_ne!(answer.status, 401, "{name}");
            assert_eq!(operation["security"], serde_json::json!([]), "{name}");
            open.push(name);
            continue;
        }
        assert_eq!(answer.status, 401, "{name} answers {}", answer.text);
        answer.is_problem(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{name}");
        assert_ne!(operation["security"], serde_json::json!([]), "{name}");
    }
    assert_eq!(open.len(), OPEN.len(), "the list names what is not there: {open:?}");
}
