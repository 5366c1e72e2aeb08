//! The Anthropic Messages API, as far as Claude Code uses it.

use axum::http::HeaderMap;
use serde_json::Value;
use serde_json::json;

use super::script::FailureKind;
use super::script::Step;
use super::script::TokenUsage;
use super::server::Conversation;
use super::server::Ids;
use super::sse::Events;

/// The header with Claude Code's name for the conversation.
const SESSION_HEADER: &str = "x-claude-code-session-id";
/// What Claude Code puts before the working directory in the first prompt.
const WORKING_DIRECTORY: &str = "Primary working directory: ";
/// The longest that Claude Code lets a command run.
const BASH_TIMEOUT_MS: u64 = 600_000;

/// What a request says about its conversation.
pub(super) fn conversation(headers: &HeaderMap, body: &Value) -> Conversation {
    let messages = array(body, "messages");
    Conversation {
        model: body.get("model").and_then(Value::as_str).map(str::to_owned),
        session: headers.get(SESSION_HEADER).and_then(|value| value.to_str().ok()).map(str::to_owned),
        turns: messages.iter().filter(|message| message.get("role").is_some_and(|role| role == "assistant")).count(),
        tools: array(body, "tools").iter().filter_map(|tool| tool.get("name")?.as_str()).map(str::to_owned).collect(),
        stream: body.get("stream").and_then(Value::as_bool).unwrap_or(false),
    }
}

/// The content block that carries out a step, or why this request does not allow it.
pub(super) fn content(step: &Step, conversation: &Conversation, body: &Value, ids: &Ids) -> Result<Value, String> {
    match step {
        Step::Text(text) => Ok(text_block(text)),
        Step::Bash(command) => bash(command, conversation, ids),
        Step::Write { path, content } if conversation.offers("Write") => {
            let path = absolute(path, body);
            Ok(tool_use("Write", &json!({ "file_path": path, "content": content }), ids))
        }
        Step::Write { path, content } => bash(&super::server::write_command(path, content), conversation, ids),
        Step::Status(_) | Step::Hang | Step::CutStream => Err("a failure has no content".to_owned()),
    }
}

/// A content block of text.
pub(super) fn text_block(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

/// A whole answer with one content block.
pub(super) fn message(block: &Value, model: Option<&str>, usage: TokenUsage, ids: &Ids) -> Value {
    json!({
        "id": ids.next("msg"),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [block],
        "stop_reason": stop_reason(block),
        "stop_sequence": null,
        "usage": usage_json(usage),
    })
}

/// The same answer as a stream.
pub(super) fn stream(block: &Value, model: Option<&str>, usage: TokenUsage, ids: &Ids) -> String {
    let mut events = beginning(block, model, usage, ids);
    let delta = match block.get("input") {
        Some(input) => json!({ "type": "input_json_delta", "partial_json": input.to_string() }),
        None => json!({ "type": "text_delta", "text": block.get("text") }),
    };
    events.push(&json!({ "type": "content_block_delta", "index": 0, "delta": delta }));
    events.push(&json!({ "type": "content_block_stop", "index": 0 }));
    events.push(&json!({
        "type": "message_delta",
        "delta": { "stop_reason": stop_reason(block), "stop_sequence": null },
        "usage": { "output_tokens": usage.output_tokens },
    }));
    events.push(&json!({ "type": "message_stop" }));
    events.into_text()
}

/// What comes of a stream that is cut before it says anything.
pub(super) fn cut_stream(model: Option<&str>, ids: &Ids) -> String {
    beginning(&text_block(""), model, TokenUsage::NONE, ids).into_text()
}

/// The body of an error.
pub(super) fn error(kind: FailureKind, ids: &Ids) -> Value {
    let (kind, message) = match kind {
        FailureKind::Authentication => ("authentication_error", "invalid x-api-key"),
        FailureKind::Billing => {
            ("permission_error", "Your credit balance is too low to access the Anthropic API. Please purchase credits.")
        }
        FailureKind::InvalidRequest => ("invalid_request_error", "messages: the script refuses this request"),
        FailureKind::PromptTooLong => ("invalid_request_error", "prompt is too long: 250000 tokens > 200000 maximum"),
        FailureKind::RateLimit => ("rate_limit_error", "This request would exceed your rate limit."),
        FailureKind::Overloaded => ("overloaded_error", "Overloaded"),
        FailureKind::Server => ("api_error", "Internal server error"),
    };
    json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": ids.next("req") })
}

fn beginning(block: &Value, model: Option<&str>, usage: TokenUsage, ids: &Ids) -> Events {
    let mut start = message(block, model, usage, ids);
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    // Output is counted as it comes; the last word on it is in message_delta.
    start["usage"]["output_tokens"] = json!(usage.output_tokens.min(1));
    let mut empty = block.clone();
    match block.get("input") {
        Some(_) => empty["input"] = json!({}),
        None => empty["text"] = json!(""),
    }
    let mut events = Events::default();
    events.push(&json!({ "type": "message_start", "message": start }));
    events.push(&json!({ "type": "content_block_start", "index": 0, "content_block": empty }));
    events.push(&json!({ "type": "ping" }));
    events
}

fn bash(command: &str, conversation: &Conversation, ids: &Ids) -> Result<Value, String> {
    if !conversation.offers("Bash") {
        return Err(format!("the script wants a shell, but the tools are {:?}", conversation.tools));
    }
    let input = json!({ "command": command, "description": "Scripted command", "timeout": BASH_TIMEOUT_MS });
    Ok(tool_use("Bash", &input, ids))
}

fn tool_use(name: &str, input: &Value, ids: &Ids) -> Value {
    json!({ "type": "tool_use", "id": ids.next("toolu"), "name": name, "input": input })
}

fn stop_reason(block: &Value) -> &'static str {
    if block.get("input").is_some() { "tool_use" } else { "end_turn" }
}

fn usage_json(usage: TokenUsage) -> Value {
    json!({
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
        "service_tier": "standard",
    })
}

/// The Write tool is specified to take absolute paths, and the first prompt says where the agent is.
fn absolute(path: &str, body: &Value) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let texts = array(body, "messages").iter().flat_map(|message| array(message, "content"));
    let directory = texts
        .filter_map(|content| content.get("text")?.as_str())
        .find_map(|text| text.split_once(WORKING_DIRECTORY)?.1.lines().next())
        .map(str::trim);
    directory.map_or_else(|| path.to_owned(), |directory| format!("{}/{path}", directory.trim_end_matches('/')))
}

fn array<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation_with(tools: &[&str]) -> Conversation {
        Conversation { tools: tools.iter().map(|&tool| tool.to_owned()).collect(), ..Conversation::default() }
    }

    #[test]
    fn a_request_tells_its_turns_and_tools() {
        let mut headers = HeaderMap::new();
        headers.insert(SESSION_HEADER, "s-1".parse().expect("a header"));
        let body = json!({
            "model": "claude-sonnet-4-5",
            "stream": true,
            "tools": [{ "name": "Bash" }, { "name": "Write" }],
            "messages": [
                { "role": "user", "content": "go" },
                { "role": "assistant", "content": [text_block("a")] },
                { "role": "user", "content": [] },
            ],
        });
        let read = conversation(&headers, &body);
        assert_eq!((read.turns, read.stream, read.session.as_deref()), (1, true, Some("s-1")));
        assert!(read.offers("Bash") && read.offers("Write") && !read.offers("Edit"));
    }

    #[test]
    fn relative_paths_are_taken_from_the_prompt() {
        let body = json!({ "messages": [
            { "role": "user", "content": "a string" },
            { "role": "user", "content": [text_block("# Environment\n - Primary working directory: /w/x\n - More")] },
        ] });
        assert_eq!(absolute("a/b.txt", &body), "/w/x/a/b.txt");
        assert_eq!(absolute("/a/b.txt", &body), "/a/b.txt");
        assert_eq!(absolute("a", &json!({})), "a");
    }

    #[test]
    fn without_a_write_tool_the_shell_writes() {
        let ids = Ids::default();
        let step = Step::write("a", "b");
        let block = content(&step, &conversation_with(&["Bash"]), &json!({}), &ids).expect("a block");
        assert_eq!(block["name"], "Bash");
        assert!(content(&step, &conversation_with(&["Read"]), &json!({}), &ids).is_err());
    }
}
