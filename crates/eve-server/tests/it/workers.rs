//! Workers as people see them.

use crate::redact::redact;
use crate::server::TestServer;
use crate::worker::FakeWorker;

#[tokio::test]
async fn a_worker_and_what_it_ran_can_be_seen() {
    let server = TestServer::start().await;
    let worker = FakeWorker::enter(&server).await;
    server.ask("for the worker").await;
    let attempt = worker.claim().await;
    let workers = server.get("/workers").await;
    insta::assert_json_snapshot!("workers", redact(&workers.json()));
    attempt.succeed().await;
    let attempts = server.get(&format!("/workers/{}/attempts", worker.id)).await;
    insta::assert_json_snapshot!("worker_attempts", redact(&attempts.json()));
    server.get("/workers/req_1/attempts").await.is_problem(400, "invalid_request");
}
