//! Keys and tokens.

use reqwest::Method;
use serde_json::json;

use crate::redact::redact;
use crate::server::Answer;
use crate::server::TestServer;

#[tokio::test]
async fn a_token_opens_what_its_key_opens() {
    let server = TestServer::start().await;
    // Both spellings, at both addresses.
    for (path, field) in [("/api/v1/auth/token", "api_key"), ("/auth/token", "apiKey")] {
        let body = json!({field: server.installation.api_key});
        let answer = Answer::to(server.call(Method::POST, path).json(&body)).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{}", answer.text);
        assert_eq!((answer.json()["expires_in"].as_u64(), answer.text_at("token_type")), (Some(3600), "Bearer".into()));
        let token = answer.text_at("token");
        let answer = Answer::to(server.call(Method::GET, "/api/v1/auth/whoami").bearer_auth(token)).await;
        insta::allow_duplicates! { insta::assert_json_snapshot!("whoami", redact(&answer.json())) };
    }
}

#[tokio::test]
async fn a_key_may_come_in_three_ways() {
    let server = TestServer::start().await;
    let key = &server.installation.api_key;
    for (name, value) in [
        ("authorization", format!("Bearer {key}")),
        ("authorization", format!("bearer  {key}")),
        ("x-api-key", key.clone()),
    ] {
        let answer = Answer::to(server.call(Method::GET, "/api/v1/auth/whoami").header(name, value)).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text);
    }
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let server = TestServer::start().await;
    let worker_key = &server.installation.worker_key;
    for credential in ["", "nonsense", "eve_key_0000", "eyJhbGciOiJub25lIn0.e30.", worker_key] {
        let answer = Answer::to(server.call(Method::GET, "/api/v1/auth/whoami").bearer_auth(credential)).await;
        answer.is_problem(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    let answer = Answer::to(server.call(Method::POST, "/auth/token").json(&json!({"api_key": "eve_key_0000"}))).await;
    answer.is_problem(401, "unauthenticated");
    insta::assert_json_snapshot!("wrong_key", redact(&answer.json()));
    // A person's key does not make a worker.
    let claim = server.call(Method::POST, "/api/v1/worker/claim").bearer_auth(&server.installation.api_key);
    Answer::to(claim.json(&json!({}))).await.is_problem(401, "unauthenticated");
}
