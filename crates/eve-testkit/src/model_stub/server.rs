//! The HTTP side: which script a path means, which step a request gets, and how a step becomes an answer.

use std::collections::HashMap;
use std::future;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::stream;
use serde_json::Value;
use serde_json::json;

use super::anthropic;
use super::openai;
use super::record::Log;
use super::record::RecordedRequest;
use super::record::Served;
use super::record::without_secrets;
use super::script::Fails;
use super::script::Failure;
use super::script::FailureKind;
use super::script::Next;
use super::script::Script;
use super::script::Step;
use super::script::TokenUsage;

/// The longest body: a long conversation with files in it.
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;
/// What a request that is not part of the conversation gets to read.
const SIDE_TEXT: &str = "Scripted run";
/// How long a stream that will be cut stays open, so that its beginning has left the house.
const CUT_AFTER: Duration = Duration::from_millis(20);
/// Bytes a token, for the estimate that `count_tokens` asks for.
const BYTES_PER_TOKEN: usize = 4;

/// What all requests share.
#[derive(Debug)]
pub(super) struct Shared {
    scripts: HashMap<String, Script>,
    ids: Ids,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    log: Log,
    /// Requests that met a failure, by where in which conversation.
    failed: HashMap<FailedAt, u32>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FailedAt {
    script: String,
    session: Option<String>,
    turns: usize,
}

/// Makes identifiers that differ from each other.
#[derive(Debug, Default)]
pub(super) struct Ids {
    last: AtomicU64,
}

/// What the stub needs to know of a request, whichever API it came by.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub(super) model: Option<String>,
    pub(super) session: Option<String>,
    pub(super) turns: usize,
    pub(super) tools: Vec<String>,
    pub(super) stream: bool,
}

/// A request, taken apart.
struct Request {
    method: Method,
    /// As it was sent, with the script's prefix.
    path: String,
    headers: HeaderMap,
    body: Arc<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    Anthropic,
    OpenAi,
}

/// What the model says, before it is put into the words of an API.
#[derive(Debug, Clone, Copy)]
enum Saying<'a> {
    Step(&'a Step),
    Text(&'static str),
}

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(handle).layer(DefaultBodyLimit::max(MAX_BODY_BYTES)).with_state(shared)
}

/// The shell command that writes a file, exactly.
pub(super) fn write_command(path: &str, content: &str) -> String {
    let [path, content] = [path, content].map(|text| format!("'{}'", text.replace('\'', r"'\''")));
    format!("mkdir -p \"$(dirname {path})\" && printf %s {content} > {path}")
}

impl Shared {
    pub(super) fn new(scripts: HashMap<String, Script>) -> Self {
        Self { scripts, ids: Ids::default(), memory: Mutex::default() }
    }

    pub(super) fn requests(&self, script: &str) -> Vec<RecordedRequest> {
        self.memory().log.latest(script)
    }

    pub(super) fn request_count(&self, script: &str) -> usize {
        self.memory().log.count(script)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, script: &str, request: &Request, conversation: Conversation, served: Served) {
        let recorded = RecordedRequest {
            method: request.method.to_string(),
            path: request.path.clone(),
            headers: without_secrets(&request.headers),
            model: conversation.model,
            session: conversation.session,
            turns: conversation.turns,
            tools: conversation.tools,
            served,
            body: Arc::clone(&request.body),
        };
        self.memory().log.push(script, recorded);
    }

    /// The step that a conversation is at. A step that fails its request is counted as met.
    fn advance<'a>(&self, name: &str, script: &'a Script, conversation: &Conversation) -> Next<'a> {
        let at = FailedAt { script: name.to_owned(), session: conversation.session.clone(), turns: conversation.turns };
        let mut memory = self.memory();
        let failed = memory.failed.get(&at).copied().unwrap_or_default();
        let next = script.next(conversation.turns, failed);
        if let Next::Step(_, step) = next
            && matches!(step.fails(), Fails::Times(_))
        {
            memory.failed.insert(at, failed + 1);
        }
        next
    }
}

/// Answers everything that is not known to any router: paths are taken apart here, as a prefix names the script.
async fn handle(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (name, path) = script_and_path(uri.path());
    let Some(script) = shared.scripts.get(name) else {
        return (StatusCode::NOT_FOUND, Json(json!({ "error": { "message": format!("no script named {name}") } })))
            .into_response();
    };
    let size = body.len();
    let body = Arc::new(serde_json::from_slice(&body).unwrap_or(Value::Null));
    let request = Request { method, path: uri.path().to_owned(), headers, body };
    match (request.method.as_str(), path) {
        ("POST", "/v1/messages") => answer(&shared, name, script, &request, Api::Anthropic).await,
        ("POST", "/v1/responses") => answer(&shared, name, script, &request, Api::OpenAi).await,
        (_, path) => {
            shared.record(name, &request, Conversation::default(), Served::Other);
            probe(&request, path, size)
        }
    }
}

/// Answers what is not for the model.
fn probe(request: &Request, path: &str, size: usize) -> Response {
    match (request.method.as_str(), path) {
        ("HEAD" | "GET", "/" | "") => StatusCode::OK.into_response(),
        ("POST", "/v1/messages/count_tokens") => {
            Json(json!({ "input_tokens": size.div_ceil(BYTES_PER_TOKEN) })).into_response()
        }
        ("GET", "/v1/models") => Json(json!({ "object": "list", "data": [], "models": [] })).into_response(),
        // Codex asks for a WebSocket first; this status sends it back to plain HTTP without further tries.
        ("GET", "/v1/responses") => StatusCode::UPGRADE_REQUIRED.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Answers a request for the model.
async fn answer(shared: &Shared, name: &str, script: &Script, request: &Request, api: Api) -> Response {
    let conversation = match api {
        Api::Anthropic => anthropic::conversation(&request.headers, &request.body),
        Api::OpenAi => openai::conversation(&request.headers, &request.body),
    };
    let (saying, usage, mut served) = if conversation.tools.is_empty() {
        (Saying::Text(SIDE_TEXT), TokenUsage::NONE, Served::Side)
    } else {
        match shared.advance(name, script, &conversation) {
            Next::Step(place, step) => (Saying::Step(step), script.usage, Served::Step(place)),
            Next::Over => (Saying::Text(Script::OVER), script.usage, Served::Over),
        }
    };
    let content = match saying {
        Saying::Step(Step::Status(_) | Step::Hang | Step::CutStream) => Ok(None),
        _ => api.content(saying, &conversation, &request.body, &shared.ids).map(Some),
    };
    if let Err(reason) = &content {
        served = Served::Refused(reason.clone());
    }
    let (model, stream) = (conversation.model.clone(), conversation.stream);
    let model = model.as_deref();
    shared.record(name, request, conversation, served);

    tokio::time::sleep(Duration::from_millis(script.delay_ms)).await;
    match (content, saying) {
        (Ok(Some(content)), _) if stream => event_stream(Body::from(api.stream(&content, model, usage, &shared.ids))),
        (Ok(Some(content)), _) => Json(api.whole(&content, model, usage, &shared.ids)).into_response(),
        (Ok(None), Saying::Step(Step::Status(failure))) => refuse(failure, api, &shared.ids),
        (Ok(None), Saying::Step(Step::CutStream)) => cut(api.cut_stream(model, &shared.ids)),
        (Ok(None), _) => future::pending().await,
        (Err(reason), _) => {
            // A client error, so that nobody retries what cannot get better.
            let mut body = api.error(FailureKind::InvalidRequest, &shared.ids);
            body["error"]["message"] = json!(reason);
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
    }
}

fn refuse(failure: &Failure, api: Api, ids: &Ids) -> Response {
    let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(api.error(failure.kind, ids))).into_response();
    if let Some(seconds) = failure.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// A stream that ends with a broken connection instead of its last event.
fn cut(beginning: String) -> Response {
    let beginning = stream::once(future::ready(Ok(Bytes::from(beginning))));
    let end = stream::once(async {
        tokio::time::sleep(CUT_AFTER).await;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    });
    event_stream(Body::from_stream(beginning.chain(end)))
}

fn event_stream(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")], body).into_response()
}

/// Splits `/r/NAME/REST` into the name and `/REST`; any other path belongs to the default script.
fn script_and_path(path: &str) -> (&str, &str) {
    let Some(rest) = path.strip_prefix("/r/") else { return (Script::DEFAULT, path) };
    rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash))
}

impl Api {
    fn content(
        self,
        saying: Saying<'_>,
        conversation: &Conversation,
        body: &Value,
        ids: &Ids,
    ) -> Result<Value, String> {
        match (self, saying) {
            (Self::Anthropic, Saying::Step(step)) => anthropic::content(step, conversation, body, ids),
            (Self::Anthropic, Saying::Text(text)) => Ok(anthropic::text_block(text)),
            (Self::OpenAi, Saying::Step(step)) => openai::item(step, conversation, ids),
            (Self::OpenAi, Saying::Text(text)) => Ok(openai::text_item(text, ids)),
        }
    }

    fn whole(self, content: &Value, model: Option<&str>, usage: TokenUsage, ids: &Ids) -> Value {
        match self {
            Self::Anthropic => anthropic::message(content, model, usage, ids),
            Self::OpenAi => openai::response(content, model, usage, ids),
        }
    }

    fn stream(self, content: &Value, model: Option<&str>, usage: TokenUsage, ids: &Ids) -> String {
        match self {
            Self::Anthropic => anthropic::stream(content, model, usage, ids),
            Self::OpenAi => openai::stream(content, model, usage, ids),
        }
    }

    fn cut_stream(self, model: Option<&str>, ids: &Ids) -> String {
        match self {
            Self::Anthropic => anthropic::cut_stream(model, ids),
            Self::OpenAi => openai::cut_stream(model, ids),
        }
    }

    fn error(self, kind: FailureKind, ids: &Ids) -> Value {
        match self {
            Self::Anthropic => anthropic::error(kind, ids),
            Self::OpenAi => openai::error(kind),
        }
    }
}

impl Ids {
    pub(super) fn next(&self, prefix: &str) -> String {
        format!("{prefix}_stub_{}", self.last.fetch_add(1, Ordering::Relaxed))
    }
}

impl Conversation {
    pub(super) fn offers(&self, tool: &str) -> bool {
        self.tools.iter().any(|offered| offered == tool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_names_the_script() {
        assert_eq!(script_and_path("/r/a/v1/messages"), ("a", "/v1/messages"));
        assert_eq!(script_and_path("/r/a"), ("a", ""));
        assert_eq!(script_and_path("/v1/messages"), (Script::DEFAULT, "/v1/messages"));
    }

    #[test]
    fn quotes_survive_the_shell() {
        assert_eq!(write_command("a b", "it's"), r#"mkdir -p "$(dirname 'a b')" && printf %s 'it'\''s' > 'a b'"#);
    }

    #[test]
    fn each_conversation_meets_a_failure_anew() {
        let shared = Shared::new(HashMap::new());
        let script = Script::new([Step::Status(Failure::overloaded().times(1)), Step::Text("a".into())]);
        let meet = |session: &str| {
            let conversation = Conversation { session: Some(session.to_owned()), ..Conversation::default() };
            match shared.advance("s", &script, &conversation) {
                Next::Step(place, _) => Some(place),
                Next::Over => None,
            }
        };
        assert_eq!([meet("x"), meet("y"), meet("x"), meet("x")], [Some(0), Some(0), Some(1), Some(1)]);
    }
}
