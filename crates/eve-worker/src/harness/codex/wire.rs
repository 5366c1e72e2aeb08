//! The lines of `codex exec --json`, as much of them as Eve uses.
//!
//! No field is required and an unknown kind of item is a value of its own, not an error.

use eve_core::Usage;
use serde_json::Value;
use serde_json::json;

use crate::harness::lenient::count_at;
use crate::harness::lenient::flag_at;
use crate::harness::lenient::list_at;
use crate::harness::lenient::name_at;
use crate::harness::lenient::parts_text;
use crate::harness::lenient::text_at;
use crate::harness::text::REMARK_LIMIT;
use crate::harness::text::TEXT_LIMIT;
use crate::harness::text::TOOL_RESULT_LIMIT;
use crate::harness::text::head;
use crate::harness::text::tool_input;

/// What every announcement of another try at the model begins with.
const RECONNECTING: &str = "Reconnecting...";

/// One line.
#[derive(Debug)]
pub(super) enum Line {
    /// The thread begins, or goes on.
    ThreadStarted { thread_id: String },
    /// The model is asked.
    TurnStarted,
    /// Something the agent says or does.
    Item { phase: Phase, item: Item },
    /// A request to the model failed and will be made again.
    Reconnecting { message: String },
    /// Something went wrong; the last word is still to come.
    Error { message: String },
    /// The last word: done. With what the thread used since it began, earlier runs included.
    TurnCompleted { thread_usage: Option<Usage> },
    /// The last word: not done.
    TurnFailed { message: String },
}

/// How far an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Started,
    Updated,
    Completed,
}

#[derive(Debug)]
pub(super) enum Item {
    AgentMessage(String),
    /// The model's thoughts, which are not kept.
    Reasoning,
    /// A command, a change of files, a call of a tool server, a search.
    Tool(Tool),
    /// The agent's plan.
    TodoList(String),
    /// A warning: runs go on after it.
    Error(String),
    Unknown,
}

/// A tool's use. What it answered is there once the item is completed.
#[derive(Debug)]
pub(super) struct Tool {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) input: Value,
    pub(super) output: String,
    pub(super) is_error: bool,
}

/// Reads a line of standard output; nothing if it is of no known kind.
pub(super) fn parse(line: &str) -> Option<Line> {
    let value: Value = serde_json::from_str(line).ok()?;
    match text_at(&value, "type")? {
        "thread.started" => Some(Line::ThreadStarted { thread_id: name_at(&value, "thread_id") }),
        "turn.started" => Some(Line::TurnStarted),
        "item.started" => value.get("item").map(|item| Line::Item { phase: Phase::Started, item: parse_item(item) }),
        "item.updated" => value.get("item").map(|item| Line::Item { phase: Phase::Updated, item: parse_item(item) }),
        "item.completed" => {
            value.get("item").map(|item| Line::Item { phase: Phase::Completed, item: parse_item(item) })
        }
        "error" => {
            let message = remark_at(&value, "message");
            if message.starts_with(RECONNECTING) {
                Some(Line::Reconnecting { message })
            } else {
                Some(Line::Error { message })
            }
        }
        "turn.completed" => Some(Line::TurnCompleted { thread_usage: value.get("usage").map(usage) }),
        "turn.failed" => {
            let message = value.get("error").map(|error| remark_at(error, "message")).unwrap_or_default();
            Some(Line::TurnFailed { message })
        }
        _ => None,
    }
}

/// Input counts what came from and went to the cache as well; Eve counts each token once.
fn usage(value: &Value) -> Usage {
    let cache_read_tokens = count_at(value, "cached_input_tokens");
    let cache_write_tokens = count_at(value, "cache_write_input_tokens");
    Usage {
        input_tokens: count_at(value, "input_tokens")
            .saturating_sub(cache_read_tokens)
            .saturating_sub(cache_write_tokens),
        output_tokens: count_at(value, "output_tokens"),
        cache_read_tokens,
        cache_write_tokens,
        ..Usage::default()
    }
}

fn parse_item(value: &Value) -> Item {
    match text_at(value, "type") {
        Some("agent_message") => Item::AgentMessage(head(text_at(value, "text").unwrap_or_default(), TEXT_LIMIT)),
        Some("reasoning") => Item::Reasoning,
        Some("command_execution") => Item::Tool(command_execution(value)),
        Some("file_change") => Item::Tool(file_change(value)),
        Some("mcp_tool_call") => Item::Tool(mcp_tool_call(value)),
        Some("web_search") => Item::Tool(web_search(value)),
        Some("todo_list") => Item::TodoList(todo_list(value)),
        Some("error") => Item::Error(remark_at(value, "message")),
        _ => Item::Unknown,
    }
}

/// `declined` is said of what the CLI's own rules did not let through.
fn went_wrong(value: &Value) -> bool {
    matches!(text_at(value, "status"), Some("failed" | "declined"))
}

fn command_execution(value: &Value) -> Tool {
    let exit_code = value.get("exit_code").and_then(Value::as_i64);
    Tool {
        id: name_at(value, "id"),
        name: "command_execution".to_owned(),
        input: tool_input(&json!({ "command": value.get("command") })),
        output: head(text_at(value, "aggregated_output").unwrap_or_default(), TOOL_RESULT_LIMIT),
        is_error: went_wrong(value) || exit_code.is_some_and(|code| code != 0),
    }
}

fn file_change(value: &Value) -> Tool {
    let changes: Vec<String> = list_at(value, "changes")
        .iter()
        .map(|change| format!("{} {}", name_at(change, "kind"), text_at(change, "path").unwrap_or_default()))
        .collect();
    Tool {
        id: name_at(value, "id"),
        name: "file_change".to_owned(),
        input: tool_input(&json!({ "changes": value.get("changes") })),
        output: head(&changes.join("\n"), TOOL_RESULT_LIMIT),
        is_error: went_wrong(value),
    }
}

fn mcp_tool_call(value: &Value) -> Tool {
    let error = value.get("error").filter(|error| !error.is_null());
    let output = match error {
        Some(error) => text_at(error, "message").map_or_else(|| error.to_string(), str::to_owned),
        None => value.get("result").map(|result| parts_text(list_at(result, "content"))).unwrap_or_default(),
    };
    Tool {
        id: name_at(value, "id"),
        // The name that the model itself knows the tool by.
        name: format!("mcp__{}__{}", name_at(value, "server"), name_at(value, "tool")),
        input: value.get("arguments").map(tool_input).unwrap_or_default(),
        output: head(&output, TOOL_RESULT_LIMIT),
        is_error: error.is_some() || went_wrong(value),
    }
}

fn web_search(value: &Value) -> Tool {
    Tool {
        id: name_at(value, "id"),
        name: "web_search".to_owned(),
        input: tool_input(&json!({ "query": value.get("query") })),
        output: String::new(),
        is_error: went_wrong(value),
    }
}

fn todo_list(value: &Value) -> String {
    let lines: Vec<String> = list_at(value, "items")
        .iter()
        .map(|item| {
            let mark = if flag_at(item, "completed") { 'x' } else { ' ' };
            format!("[{mark}] {}", text_at(item, "text").unwrap_or_default())
        })
        .collect();
    head(&lines.join("\n"), REMARK_LIMIT)
}

fn remark_at(value: &Value, key: &str) -> String {
    head(text_at(value, key).unwrap_or_default(), REMARK_LIMIT)
}
