//! What the stub remembers of the requests it got.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

use axum::http::HeaderMap;
use serde_json::Value;

/// Headers whose values are secrets: only their presence is recorded.
const SECRET_HEADERS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-api-key"];
/// What stands for a secret.
const BLANK: &str = "***";

/// A request as the stub got it.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedRequest {
    /// The HTTP method.
    pub method: String,
    /// The path, with the script's prefix and without the query.
    pub path: String,
    /// The headers by lower-case name. A secret is `***`.
    pub headers: BTreeMap<String, String>,
    /// The model that was asked for.
    pub model: Option<String>,
    /// The client's name for the conversation.
    pub session: Option<String>,
    /// How many turns the model had taken in the conversation.
    pub turns: usize,
    /// The tools that the agent offered.
    pub tools: Vec<String>,
    /// What came back.
    pub served: Served,
    /// The body, or null if it was no JSON.
    pub body: Arc<Value>,
}

/// What a request was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Served {
    /// The step at this place of the script.
    Step(usize),
    /// The closing words, as the script had no step left.
    Over,
    /// The fixed text for a request that is not part of the conversation.
    Side,
    /// Something that is no answer of a model: a probe, a list of models, a path that is not known.
    Other,
    /// A refusal, because the script asks for what the request makes impossible.
    Refused(String),
}

impl RecordedRequest {
    /// How many requests are kept for each script; a conversation makes bodies of 100 kB and more.
    pub const KEPT: usize = 256;

    /// Whether the request carried a key, in whichever header.
    pub fn has_key(&self) -> bool {
        self.headers.contains_key("authorization") || self.headers.contains_key("x-api-key")
    }

    /// Whether this text is anywhere in the body, such as an instruction that should have reached the model.
    pub fn mentions(&self, text: &str) -> bool {
        mentions(&self.body, text)
    }
}

/// The requests for every script.
#[derive(Debug, Default)]
pub(super) struct Log {
    scripts: HashMap<String, ScriptLog>,
}

#[derive(Debug, Default)]
struct ScriptLog {
    latest: VecDeque<RecordedRequest>,
    count: usize,
}

impl Log {
    pub(super) fn push(&mut self, script: &str, request: RecordedRequest) {
        let log = self.scripts.entry(script.to_owned()).or_default();
        if log.latest.len() == RecordedRequest::KEPT {
            log.latest.pop_front();
        }
        log.latest.push_back(request);
        log.count += 1;
    }

    pub(super) fn latest(&self, script: &str) -> Vec<RecordedRequest> {
        self.scripts.get(script).map(|log| log.latest.iter().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn count(&self, script: &str) -> usize {
        self.scripts.get(script).map_or(0, |log| log.count)
    }
}

/// The headers as they are recorded.
pub(super) fn without_secrets(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .map(|(name, value)| {
            let secret = SECRET_HEADERS.contains(&name.as_str());
            let value = if secret { BLANK.into() } else { String::from_utf8_lossy(value.as_bytes()) };
            (name.as_str().to_owned(), value.into_owned())
        })
        .collect()
}

fn mentions(value: &Value, text: &str) -> bool {
    match value {
        Value::String(string) => string.contains(text),
        Value::Array(values) => values.iter().any(|value| mentions(value, text)),
        Value::Object(fields) => fields.values().any(|value| mentions(value, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn request(turns: usize) -> RecordedRequest {
        RecordedRequest {
            method: "POST".into(),
            path: "/v1/messages".into(),
            headers: BTreeMap::new(),
            model: None,
            session: None,
            turns,
            tools: Vec::new(),
            served: Served::Over,
            body: Arc::new(json!({ "messages": [{ "content": "Create hello.txt" }] })),
        }
    }

    #[test]
    fn the_oldest_requests_make_room() {
        let mut log = Log::default();
        for turns in 0..RecordedRequest::KEPT + 2 {
            log.push("a", request(turns));
        }
        assert_eq!(log.count("a"), RecordedRequest::KEPT + 2);
        let latest = log.latest("a");
        assert_eq!((latest.len(), latest[0].turns), (RecordedRequest::KEPT, 2));
        assert_eq!(log.count("b"), 0);
    }

    #[test]
    fn secrets_are_blanked_out() {
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", HeaderValue::from_static("sk-secret"));
        headers.insert("accept", HeaderValue::from_static("text/plain"));
        let recorded = RecordedRequest { headers: without_secrets(&headers), ..request(0) };
        assert_eq!(recorded.headers["x-api-key"], "***");
        assert_eq!(recorded.headers["accept"], "text/plain");
        assert!(recorded.has_key() && !request(0).has_key());
    }

    #[test]
    fn texts_are_found_anywhere_in_a_body() {
        assert!(request(0).mentions("hello.txt"));
        assert!(!request(0).mentions("messages"));
    }
}
