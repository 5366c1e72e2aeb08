//! The log of a request, as a list and as it happens.

use std::time::Duration;

use reqwest::Method;

use crate::redact::redact;
use crate::server::Answer;
use crate::server::TestServer;
use crate::sse::Stream;
use crate::worker::FakeWorker;
use crate::worker::succeeded;

/// What counts as at once, well below the interval at which streams look by themselves.
const AT_ONCE: Duration = Duration::from_secs(1);

fn stream(server: &TestServer, id: &str, query: &str) -> reqwest::RequestBuilder {
    server.member(Method::GET, &format!("/requests/{id}/log{query}"))
}

#[tokio::test]
async fn a_log_is_read_page_by_page() {
    let server = TestServer::start().await;
    let id = server.ask("log something").await;
    let path = format!("/requests/{id}/log");
    assert_eq!(server.get(&path).await.text, r#"{"items":[]}"#);
    let attempt = FakeWorker::enter(&server).await.claim().await;
    attempt.start().await;
    attempt.log(1..=5).await;
    // What is there already stays as it is.
    attempt.log(4..=6).await;
    let page = server.get(&format!("{path}?limit=2")).await;
    insta::assert_json_snapshot!("log_page", redact(&page.json()));
    let rest = server.get(&format!("{path}?after={}", page.text_at("next_cursor"))).await;
    let ids: Vec<_> = rest.items().iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, ["1-3", "1-4", "1-5", "1-6"]);
    assert!(server.get(&format!("{path}?after=1-6")).await.json().get("next_cursor").is_none());
    for after in ["1", "x-1", "1-", "1-2-3", "99999999999-1"] {
        server.get(&format!("{path}?after={after}")).await.is_problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_stream_follows_until_the_end() {
    let server = TestServer::start().await;
    let id = server.ask("log something").await;
    let mut log = Stream::open(stream(&server, &id, "")).await;
    let attempt = FakeWorker::enter(&server).await.claim().await;
    attempt.start().await;
    for seq in 1..=3 {
        attempt.log(seq..=seq).await;
        let (name, id, data) = tokio::time::timeout(AT_ONCE, log.event()).await.unwrap().unwrap();
        assert_eq!((name.as_str(), id), ("log", Some(format!("1-{seq}"))));
        assert_eq!(data["event"]["text"], format!("line {seq}"));
        assert_eq!(data["attempt_id"], attempt.attempt_id.as_str());
    }
    attempt.settle(&succeeded()).await;
    let (name, _, data) = tokio::time::timeout(AT_ONCE, log.event()).await.unwrap().unwrap();
    assert_eq!((name.as_str(), &data["status"], &data["id"]), ("end", &"completed".into(), &id.into()));
    assert_eq!(log.event().await, None);
}

#[tokio::test]
async fn a_stream_goes_on_where_it_broke() {
    let server = TestServer::start().await;
    let id = server.ask("log something").await;
    let attempt = FakeWorker::enter(&server).await.claim().await;
    attempt.start().await;
    attempt.log(1..=4).await;
    let mut first = Stream::open(stream(&server, &id, "")).await;
    assert_eq!(first.names(2).await, ["log", "log"]);
    drop(first);
    attempt.log(5..=5).await;
    // What the header says counts before what the address says.
    let call = stream(&server, &id, "?after=1-1").header("Last-Event-ID", "1-2");
    let mut second = Stream::open(call).await;
    for seq in 3..=5 {
        assert_eq!(second.event().await.unwrap().1, Some(format!("1-{seq}")));
    }
    attempt.settle(&succeeded()).await;
    assert_eq!(second.names(1).await, ["end"]);
    let mut third = Stream::open(stream(&server, &id, "?after=1-4")).await;
    assert_eq!(third.names(2).await, ["log", "end"]);
    assert_eq!(third.event().await, None);
}

#[tokio::test]
async fn a_stream_goes_on_over_all_attempts() {
    let server = TestServer::start().await;
    let id = server.ask("log something").await;
    let mut log = Stream::open(stream(&server, &id, "")).await;
    let worker = FakeWorker::enter(&server).await;
    let first = worker.claim().await;
    first.log(1..=2).await;
    assert_eq!(first.release().await["outcome"], "ended");
    let second = worker.claim().await;
    second.log(1..=1).await;
    second.succeed().await;
    let mut ids = Vec::new();
    while let Some((_, id, _)) = log.event().await {
        ids.push(id);
    }
    assert_eq!(ids, [Some("1-1".to_owned()), Some("1-2".to_owned()), Some("2-1".to_owned()), None]);
}

#[tokio::test]
async fn what_cannot_be_streamed_is_refused_as_a_problem() {
    let server = TestServer::start().await;
    let id = server.ask("x").await;
    let accept = |call: reqwest::RequestBuilder| Answer::to(call.header("accept", "text/event-stream"));
    accept(stream(&server, "req_00000000000000000000000000", "")).await.is_problem(404, "not_found");
    accept(stream(&server, &id, "?after=x")).await.is_problem(400, "invalid_request");
    accept(stream(&server, &id, "").header("last-event-id", "x")).await.is_problem(400, "invalid_request");
}
