//! Every error is a problem document, whoever gives it.

use reqwest::Method;
use serde_json::json;

use crate::redact::redact;
use crate::server::Answer;
use crate::server::TestServer;

/// Largest body of a call.
const BODY_LIMIT: usize = 2 * 1024 * 1024;

#[tokio::test]
async fn every_refusal_is_a_problem_document() {
    let server = TestServer::start().await;
    let post = || server.member(Method::POST, "/requests");
    let as_json = |body: &'static str| post().header("content-type", "application/json").body(body);
    let large = json!({"prompt": "x".repeat(BODY_LIMIT)});
    for (name, call, status, code) in [
        ("broken_json", as_json("{\"prompt\": "), 400, "invalid_request"),
        ("wrong_json", as_json("{\"prompt\": 7}"), 400, "invalid_request"),
        ("no_body", as_json(""), 400, "invalid_request"),
        ("no_media_type", post().body("{}"), 415, "unsupported_media_type"),
        ("wrong_media_type", post().header("content-type", "text/plain").body("{}"), 415, "unsupported_media_type"),
        ("too_large", post().json(&large), 413, "too_large"),
        ("wrong_id", server.member(Method::GET, "/requests/att_00000000000000000000000000"), 400, "invalid_request"),
        ("no_id", server.member(Method::GET, "/requests/%20"), 400, "invalid_request"),
        ("not_utf8", server.member(Method::GET, "/requests/%ff"), 400, "invalid_request"),
        ("wrong_query", server.member(Method::GET, "/requests?limit=x"), 400, "invalid_request"),
        ("no_address", server.member(Method::GET, "/nothing"), 404, "not_found"),
        ("no_such_thing", server.member(Method::GET, "/requests/req_00000000000000000000000000"), 404, "not_found"),
        ("no_root_address", server.call(Method::GET, "/nothing"), 404, "not_found"),
        ("wrong_method", server.member(Method::DELETE, "/requests"), 405, "method_not_allowed"),
        ("no_key", server.call(Method::GET, "/api/v1/requests"), 401, "unauthenticated"),
    ] {
        let answer = Answer::to(call.header("x-request-id", format!("test:{name}"))).await;
        assert_eq!(answer.header("x-request-id"), format!("test:{name}"));
        answer.is_problem(status, code);
        insta::assert_json_snapshot!(format!("problem_{name}"), redact(&answer.json()));
    }
    let answer = Answer::to(server.member(Method::DELETE, "/requests")).await;
    let mut allowed: Vec<&str> = answer.header("allow").split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
}

#[tokio::test]
async fn a_request_id_is_taken_over_if_it_is_plain_and_made_otherwise() {
    let server = TestServer::start().await;
    let answered = async |id: &str| {
        let call = server.call(Method::GET, "/healthz").header("x-request-id", id);
        Answer::to(call).await.header("x-request-id").to_owned()
    };
    for plain in ["1", "a-b_c.d:e/f", &"x".repeat(128)] {
        assert_eq!(answered(plain).await, plain);
    }
    for unusable in ["", "two words", "\"quoted\"", &"x".repeat(129)] {
        assert!(uuid::Uuid::try_parse(&answered(unusable).await).is_ok(), "{unusable}");
    }
    let made = Answer::to(server.call(Method::GET, "/healthz")).await;
    assert!(uuid::Uuid::try_parse(made.header("x-request-id")).is_ok());
}
