//! A worker that does nothing but what a test tells it.

use serde_json::Value;
use serde_json::json;

use crate::server::Answer;
use crate::server::TestServer;

/// A worker that has entered.
pub(crate) struct FakeWorker<'a> {
    server: &'a TestServer,
    pub(crate) id: String,
}

/// An attempt in its hands.
pub(crate) struct FakeAttempt<'a> {
    server: &'a TestServer,
    pub(crate) assignment: Value,
    pub(crate) attempt_id: String,
    pub(crate) request_id: String,
    pub(crate) fence: i64,
}

impl<'a> FakeWorker<'a> {
    pub(crate) async fn enter(server: &'a TestServer) -> Self {
        let body = json!({
            "name": "test-host/1", "version": "0.0.0", "worker_types": ["general", "code-review"], "slots": 2,
            "harnesses": [{"name": "claude", "kind": "claude-code", "version": "2.1.0", "signed_in": "yes"}],
        });
        let answer = Answer::to(server.worker("/register", &body)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        Self { server, id: answer.text_at("worker_id") }
    }

    pub(crate) fn claim_body(&self, wait_ms: u64) -> Value {
        json!({"worker_id": self.id, "worker_types": ["general"], "limit": 1, "wait_ms": wait_ms})
    }

    /// Takes the one request that must be there or come.
    pub(crate) async fn claim(&self) -> FakeAttempt<'a> {
        let answer = Answer::to(self.server.worker("/claim", &self.claim_body(5000))).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let assignment = answer.json()["assignments"][0].clone();
        let text = |field: &str| assignment[field].as_str().expect("something was claimed").to_owned();
        let fence = assignment["fence"].as_i64().unwrap();
        FakeAttempt {
            server: self.server,
            attempt_id: text("attempt_id"),
            request_id: text("request_id"),
            fence,
            assignment,
        }
    }
}

impl FakeAttempt<'_> {
    /// The body of a fenced write.
    pub(crate) fn body(&self, rest: &Value) -> Value {
        let mut body = json!({"request_id": self.request_id, "attempt_id": self.attempt_id, "fence": self.fence});
        body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        body
    }

    pub(crate) async fn write(&self, path: &str, rest: &Value) -> Answer {
        Answer::to(self.server.worker(path, &self.body(rest))).await
    }

    pub(crate) async fn start(&self) {
        let answer = self.write("/attempts/start", &json!({"harness": "claude"})).await;
        assert_eq!(answer.status, 204, "{}", answer.text);
    }

    /// Logs a line of text for each number.
    pub(crate) async fn log(&self, numbers: std::ops::RangeInclusive<i64>) {
        let line = |seq| json!({"seq": seq, "at": "2026-01-02T03:04:05Z", "event": {"type": "text", "text": format!("line {seq}")}});
        let entries: Vec<Value> = numbers.map(line).collect();
        let answer = self.write("/attempts/log", &json!({"entries": entries})).await;
        assert_eq!(answer.status, 204, "{}", answer.text);
    }

    /// Reports an outcome and returns the status that the request has then.
    pub(crate) async fn settle(&self, outcome: &Value) -> String {
        let told = self.end("/attempts/settle", &self.settlement(outcome)).await;
        assert_eq!(told["outcome"], "ended", "{told}");
        told["status"].as_str().unwrap().to_owned()
    }

    pub(crate) fn settlement(&self, outcome: &Value) -> Value {
        json!({"settlements": [self.body(&json!({"report": report(outcome)}))]})
    }

    /// Gives the request back.
    pub(crate) async fn release(&self) -> Value {
        self.end("/attempts/release", &json!({"attempts": [self.body(&json!({}))]})).await
    }

    /// What ending one attempt led to.
    pub(crate) async fn end(&self, path: &str, body: &Value) -> Value {
        let answer = Answer::to(self.server.worker(path, body)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["outcomes"][0].clone()
    }

    /// Starts and settles with success.
    pub(crate) async fn succeed(&self) {
        self.start().await;
        assert_eq!(self.settle(&succeeded()).await, "completed");
    }
}

pub(crate) fn succeeded() -> Value {
    json!({"kind": "succeeded", "output": {"answer": 42}, "summary": "It is done."})
}

pub(crate) fn report(outcome: &Value) -> Value {
    json!({
        "outcome": outcome,
        "usage": {
            "model": "some-model", "input_tokens": 100, "output_tokens": 20, "cache_read_tokens": 3,
            "cache_write_tokens": 4, "cost_usd": "0.0125", "cost_basis": "observed",
        },
        "delivery": {
            "branch": "eve/line-endings", "commit": "1111111111111111111111111111111111111111",
            "base_commit": "2222222222222222222222222222222222222222", "files_changed": 1,
            "patch": "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-one\n+two\n",
        },
        "duration_ms": 1500, "session_id": "session-1", "exit_code": 0,
    })
}
