//! The OpenAI Responses API, as far as Codex uses it.

use axum::http::HeaderMap;
use serde_json::Value;
use serde_json::json;

use super::script::FailureKind;
use super::script::Step;
use super::script::TokenUsage;
use super::server::Conversation;
use super::server::Ids;
use super::server::write_command;
use super::sse::Events;

/// The headers in which Codex names the conversation; newer versions send both.
const SESSION_HEADERS: [&str; 2] = ["session-id", "session_id"];
/// How long Codex waits for a command before it tells the model that it still runs; more is cut to this.
const EXEC_YIELD_MS: u64 = 30_000;

/// What a request says about its conversation.
pub(super) fn conversation(headers: &HeaderMap, body: &Value) -> Conversation {
    let input = array(body, "input");
    let session = SESSION_HEADERS.iter().find_map(|name| headers.get(*name)?.to_str().ok());
    let mut tools = Vec::new();
    collect_tools(array(body, "tools"), &mut tools);
    // In code mode the tools ride in the conversation.
    for item in input.iter().filter(|item| kind(item) == "additional_tools") {
        collect_tools(array(item, "tools"), &mut tools);
    }
    Conversation {
        model: body.get("model").and_then(Value::as_str).map(str::to_owned),
        session: session.map(str::to_owned),
        turns: turns(input),
        tools,
        stream: body.get("stream").and_then(Value::as_bool).unwrap_or(false),
    }
}

/// The output item that carries out a step, or why this request does not allow it.
pub(super) fn item(step: &Step, conversation: &Conversation, ids: &Ids) -> Result<Value, String> {
    match step {
        Step::Text(text) => Ok(text_item(text, ids)),
        Step::Bash(command) => shell(command, conversation, ids),
        Step::Write { path, content } => match add_file(path, content) {
            Some(patch) if conversation.offers("apply_patch") => Ok(custom_call("apply_patch", &patch, ids)),
            _ => shell(&write_command(path, content), conversation, ids),
        },
        Step::Status(_) | Step::Hang | Step::CutStream => Err("a failure has no content".to_owned()),
    }
}

/// An output item of text.
pub(super) fn text_item(text: &str, ids: &Ids) -> Value {
    json!({
        "type": "message",
        "id": ids.next("msg"),
        "role": "assistant",
        "status": "completed",
        "content": [{ "type": "output_text", "text": text, "annotations": [] }],
    })
}

/// A whole answer with one output item.
pub(super) fn response(item: &Value, model: Option<&str>, usage: TokenUsage, ids: &Ids) -> Value {
    let mut response = unfinished(model, ids);
    finish(&mut response, item, usage);
    response
}

/// The same answer as a stream.
pub(super) fn stream(item: &Value, model: Option<&str>, usage: TokenUsage, ids: &Ids) -> String {
    let mut response = unfinished(model, ids);
    let mut events = Events::default();
    events.push(&json!({ "type": "response.created", "response": response }));
    events.push(&json!({ "type": "response.output_item.added", "output_index": 0, "item": opened(item) }));
    if let Some(text) = item.pointer("/content/0/text") {
        let id = item.get("id");
        events.push(&json!({
            "type": "response.output_text.delta",
            "item_id": id,
            "output_index": 0,
            "content_index": 0,
            "delta": text,
        }));
    }
    events.push(&json!({ "type": "response.output_item.done", "output_index": 0, "item": item }));
    finish(&mut response, item, usage);
    events.push(&json!({ "type": "response.completed", "response": response }));
    events.into_text()
}

/// What comes of a stream that is cut before it says anything.
pub(super) fn cut_stream(model: Option<&str>, ids: &Ids) -> String {
    let mut events = Events::default();
    events.push(&json!({ "type": "response.created", "response": unfinished(model, ids) }));
    let item = opened(&text_item("", ids));
    events.push(&json!({ "type": "response.output_item.added", "output_index": 0, "item": item }));
    events.into_text()
}

/// The body of an error.
pub(super) fn error(kind: FailureKind) -> Value {
    let (kind, code, message) = match kind {
        FailureKind::Authentication => ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
        FailureKind::Billing => {
            ("insufficient_quota", "insufficient_quota", "You exceeded your current quota, please check your plan.")
        }
        FailureKind::InvalidRequest => ("invalid_request_error", "invalid_value", "The script refuses this request."),
        FailureKind::PromptTooLong => (
            "invalid_request_error",
            "context_length_exceeded",
            "Your input exceeds the context window of this model. Please adjust your input and try again.",
        ),
        FailureKind::RateLimit => ("requests", "rate_limit_exceeded", "Rate limit reached. Please try again later."),
        FailureKind::Overloaded => {
            ("server_error", "server_is_overloaded", "Our servers are currently overloaded. Please try again later.")
        }
        FailureKind::Server => ("server_error", "server_error", "The server had an error processing your request."),
    };
    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
}

fn unfinished(model: Option<&str>, ids: &Ids) -> Value {
    json!({ "id": ids.next("resp"), "object": "response", "status": "in_progress", "model": model, "output": [] })
}

fn finish(response: &mut Value, item: &Value, usage: TokenUsage) {
    // Here the input includes what came from the cache.
    let input = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
    response["status"] = json!("completed");
    response["output"] = json!([item]);
    response["usage"] = json!({
        "input_tokens": input,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": input + usage.output_tokens,
    });
}

/// The item as it is announced, before anything is in it.
fn opened(item: &Value) -> Value {
    let mut opened = item.clone();
    opened["status"] = json!("in_progress");
    for (field, empty) in [("content", json!([])), ("arguments", json!("")), ("input", json!(""))] {
        if let Some(value) = opened.get_mut(field) {
            *value = empty;
        }
    }
    opened
}

/// Turns of the model: unbroken runs of items that it wrote.
fn turns(input: &[Value]) -> usize {
    let mut turns = 0;
    let mut in_turn = false;
    for item in input {
        let by_model = match kind(item) {
            "message" => item.get("role").is_some_and(|role| role == "assistant"),
            "reasoning" | "function_call" | "custom_tool_call" | "local_shell_call" | "tool_search_call" => true,
            _ => false,
        };
        turns += usize::from(by_model && !in_turn);
        in_turn = by_model;
    }
    turns
}

fn collect_tools(offered: &[Value], names: &mut Vec<String>) {
    for tool in offered {
        let name = tool.get("name").or_else(|| tool.get("type")).and_then(Value::as_str);
        names.extend(name.map(str::to_owned));
        collect_tools(array(tool, "tools"), names);
    }
}

/// A command through the shell tool of this model's dialect.
fn shell(command: &str, conversation: &Conversation, ids: &Ids) -> Result<Value, String> {
    let exec = json!({ "cmd": command, "yield_time_ms": EXEC_YIELD_MS });
    let (name, arguments) = if conversation.offers("exec_command") {
        ("exec_command", exec)
    } else if conversation.offers("shell_command") {
        ("shell_command", json!({ "command": command }))
    } else if conversation.offers("shell") {
        ("shell", json!({ "command": ["bash", "-lc", command] }))
    } else if conversation.offers("exec") {
        // Code mode: the model writes a program that calls the tool.
        let program = format!("text(JSON.stringify(await tools.exec_command({exec})));");
        return Ok(custom_call("exec", &program, ids));
    } else {
        return Err(format!("the script wants a shell, but the tools are {:?}", conversation.tools));
    };
    Ok(json!({
        "type": "function_call",
        "id": ids.next("fc"),
        "call_id": ids.next("call"),
        "name": name,
        "arguments": arguments.to_string(),
        "status": "completed",
    }))
}

fn custom_call(name: &str, input: &str, ids: &Ids) -> Value {
    json!({
        "type": "custom_tool_call",
        "id": ids.next("ctc"),
        "call_id": ids.next("call"),
        "name": name,
        "input": input,
        "status": "completed",
    })
}

/// A patch that adds a file, if one can express it: a patch knows nothing but whole lines.
fn add_file(path: &str, content: &str) -> Option<String> {
    let lines: String = content.strip_suffix('\n')?.split('\n').map(|line| format!("+{line}\n")).collect();
    Some(format!("*** Begin Patch\n*** Add File: {path}\n{lines}*** End Patch\n"))
}

fn kind(item: &Value) -> &str {
    // Plain messages may leave the type out.
    item.get("type").and_then(Value::as_str).unwrap_or("message")
}

fn array<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_tools(tools: &[&str]) -> Conversation {
        Conversation { tools: tools.iter().map(|&tool| tool.to_owned()).collect(), ..Conversation::default() }
    }

    #[test]
    fn a_run_of_items_by_the_model_is_one_turn() {
        let user = json!({ "type": "message", "role": "user" });
        let said = json!({ "type": "message", "role": "assistant" });
        let call = json!({ "type": "function_call" });
        let output = json!({ "type": "function_call_output" });
        let input = [&user, &said, &call, &output, &call, &output, &said, &user].map(Clone::clone);
        assert_eq!(turns(&input), 3);
        assert_eq!(turns(&[user]), 0);
    }

    #[test]
    fn tools_are_found_in_namespaces_and_in_the_conversation() {
        let body = json!({
            "tools": [{ "type": "function", "name": "exec_command" }, { "type": "web_search" }],
            "input": [{ "type": "additional_tools", "tools": [
                { "type": "namespace", "name": "functions", "tools": [{ "type": "custom", "name": "exec" }] },
            ] }],
        });
        let read = conversation(&HeaderMap::new(), &body);
        assert!(["exec_command", "web_search", "exec"].iter().all(|tool| read.offers(tool)), "{:?}", read.tools);
    }

    #[test]
    fn each_dialect_gets_its_own_call() {
        let ids = Ids::default();
        let step = Step::Bash("ls".into());
        let call = |tools: &[&str]| item(&step, &with_tools(tools), &ids).expect("a call");
        assert_eq!(call(&["exec", "exec_command"])["name"], "exec_command");
        assert_eq!(call(&["shell"])["arguments"], r#"{"command":["bash","-lc","ls"]}"#);
        assert_eq!(call(&["shell_command"])["arguments"], r#"{"command":"ls"}"#);
        assert_eq!(call(&["exec"])["type"], "custom_tool_call");
        assert!(item(&step, &with_tools(&["web_search"]), &ids).is_err());
    }

    #[test]
    fn patches_are_only_for_whole_lines() {
        let ids = Ids::default();
        let tools = with_tools(&["exec_command", "apply_patch"]);
        let write = |content: &str| item(&Step::write("a", content), &tools, &ids).expect("a call");
        assert_eq!(write("x\n\ny\n")["input"], "*** Begin Patch\n*** Add File: a\n+x\n+\n+y\n*** End Patch\n");
        assert_eq!(write("no line end")["name"], "exec_command");
        assert_eq!(write("")["name"], "exec_command");
    }
}
