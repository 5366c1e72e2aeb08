//! The server stops without cutting anybody off and without waiting for those who only listen.

use std::time::Duration;
use std::time::Instant;

use reqwest::Method;

use crate::server::Answer;
use crate::server::TestServer;
use crate::sse::Stream;
use crate::worker::FakeWorker;

/// How long it may take when nothing is under way but waiting.
const SOON: Duration = Duration::from_secs(2);

#[tokio::test]
async fn streams_and_long_polls_end_when_the_server_stops() {
    let server = TestServer::start().await;
    let worker = FakeWorker::enter(&server).await;
    let id = server.ask("runs").await;
    let attempt = worker.claim().await;
    let mut events = Stream::open(server.member(Method::GET, "/events")).await;
    let mut log = Stream::open(server.member(Method::GET, &format!("/requests/{id}/log"))).await;
    let claim = tokio::spawn(Answer::to(server.worker("/claim", &worker.claim_body(30_000))));
    let beat = serde_json::json!({
        "worker_id": worker.id, "state": "active",
        "attempts": [attempt.body(&serde_json::json!({}))],
    });
    let beat = tokio::spawn(Answer::to(server.worker("/heartbeat?wait_ms=30000", &beat)));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!claim.is_finished() && !beat.is_finished());

    let began = Instant::now();
    server.shutdown.cancel();
    assert_eq!(events.event().await, None);
    assert_eq!(log.event().await, None);
    let claim = claim.await.unwrap();
    assert_eq!((claim.status, claim.text.as_str()), (200, r#"{"assignments":[]}"#));
    let beat = beat.await.unwrap();
    assert_eq!((beat.status, beat.text.as_str()), (200, r#"{"signals":["continue"]}"#));
    server.serving.await.unwrap().unwrap();
    assert!(began.elapsed() < SOON, "stopping took {:?}", began.elapsed());
}
