//! Results: what came of a request.

use reqwest::Method;
use serde_json::json;

use crate::redact::redact;
use crate::server::Answer;
use crate::server::TestServer;
use crate::worker::FakeWorker;

#[tokio::test]
async fn a_result_is_there_once_the_request_is_finished() {
    let server = TestServer::start().await;
    let id = server.ask("what is the answer?").await;
    let path = format!("/results/{id}");
    let early = server.get(&path).await;
    early.is_problem(404, "not_found");
    insta::assert_json_snapshot!("no_result_yet", redact(&early.json()));
    FakeWorker::enter(&server).await.claim().await.succeed().await;
    let result = server.get(&path).await;
    assert_eq!(result.status, 200);
    insta::assert_json_snapshot!("result", redact(&result.json()));
    // The address of the first design.
    let alias = server.call(Method::GET, &path).bearer_auth(&server.installation.api_key);
    assert_eq!(Answer::to(alias).await.json(), result.json());
}

#[tokio::test]
async fn a_failure_is_a_result_too() {
    let server = TestServer::start().await;
    let id = server.ask("the impossible").await;
    let attempt = FakeWorker::enter(&server).await.claim().await;
    attempt.start().await;
    let outcome = json!({"kind": "failed", "class": "timeout", "message": "It took longer than 30 minutes."});
    assert_eq!(attempt.settle(&outcome).await, "failed");
    let result = server.get(&format!("/results/{id}")).await.json();
    assert_eq!((&result["status"], &result["error_code"]), (&json!("timeout"), &json!("timeout")));
    assert_eq!(result["error"], "It took longer than 30 minutes.");
}
