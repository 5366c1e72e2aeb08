//! The lines of `--output-format stream-json`, as much of them as Eve uses.
//!
//! The CLI is updated more often than Eve. So no field is required and an unknown kind of line or block is a value
//! of its own, not an error.

use eve_core::CostBasis;
use eve_core::Usage;
use rust_decimal::Decimal;
use serde_json::Value;

use crate::harness::lenient::count_at;
use crate::harness::lenient::dollars_at;
use crate::harness::lenient::flag_at;
use crate::harness::lenient::list_at;
use crate::harness::lenient::name_at;
use crate::harness::lenient::parts_text;
use crate::harness::lenient::status_at;
use crate::harness::lenient::text_at;
use crate::harness::text::NAME_LIMIT;
use crate::harness::text::REMARK_LIMIT;
use crate::harness::text::TEXT_LIMIT;
use crate::harness::text::TOOL_RESULT_LIMIT;
use crate::harness::text::head;
use crate::harness::text::tool_input;

/// One line.
#[derive(Debug)]
pub(super) enum Line {
    /// The session begins, or goes on.
    Init(Init),
    /// A request to the model failed and will be made again.
    ApiRetry(ApiRetry),
    /// The conversation was shortened to fit the model.
    Compacted,
    /// Known, and said again by another line.
    Redundant,
    /// What the model said, or what the CLI says in its place.
    Assistant(Assistant),
    /// What the tools answered.
    User(User),
    /// How much of a subscription is left.
    RateLimit(RateLimit),
    /// The last word.
    Result(Box<RunResult>),
}

#[derive(Debug)]
pub(super) struct Init {
    pub(super) session_id: Option<String>,
    pub(super) model: Option<String>,
    /// Tool servers that did not start; the CLI goes on without them.
    pub(super) failed_servers: Vec<String>,
}

#[derive(Debug)]
pub(super) struct ApiRetry {
    pub(super) status: Option<u16>,
    pub(super) error: String,
    pub(super) attempt: u64,
    pub(super) max_retries: u64,
}

#[derive(Debug)]
pub(super) struct Assistant {
    pub(super) message_id: String,
    /// What this message used. The tokens written are a placeholder: the line is printed before they are counted.
    pub(super) usage: Usage,
    pub(super) blocks: Vec<Block>,
    /// Set when the CLI speaks in the model's place because the provider refused.
    pub(super) error: Option<String>,
}

#[derive(Debug)]
pub(super) struct User {
    pub(super) blocks: Vec<Block>,
    /// Whether this is the conversation of a sub-agent.
    pub(super) nested: bool,
}

#[derive(Debug)]
pub(super) enum Block {
    Text(String),
    ToolUse {
        id: String,
        name: String,
        input: Value,
    },
    ToolResult {
        id: String,
        output: String,
        is_error: bool,
    },
    /// The model's thoughts, which are not kept.
    Thinking,
    Unknown(Value),
}

#[derive(Debug)]
pub(super) struct RateLimit {
    pub(super) status: String,
    pub(super) window: String,
    pub(super) resets_at: Option<jiff::Timestamp>,
}

#[derive(Debug)]
pub(super) struct RunResult {
    pub(super) session_id: Option<String>,
    pub(super) subtype: String,
    pub(super) terminal_reason: Option<String>,
    pub(super) is_error: bool,
    pub(super) api_error_status: Option<u16>,
    /// The agent's answer, or the text of the error.
    pub(super) text: Option<String>,
    pub(super) errors: Vec<String>,
    pub(super) structured_output: Option<Value>,
    /// Names of the tools whose use was denied, once per use.
    pub(super) denied_tools: Vec<String>,
    pub(super) usage: ReportedUsage,
}

/// The places in which a result line speaks of usage.
#[derive(Debug, Default)]
pub(super) struct ReportedUsage {
    /// `model_usage_since_last_result`: this run's, by model, with costs. Complete, but newer than the others.
    pub(super) since_last_result: Option<Vec<Usage>>,
    /// `usage`: this run's tokens. Leaves out the turn that was cut off by a limit.
    pub(super) tokens: Usage,
    /// `total_cost_usd`: the whole session's, earlier runs included.
    pub(super) session_cost: Option<Decimal>,
}

/// Reads a line of standard output; nothing if it is of no known kind.
pub(super) fn parse(line: &str) -> Option<Line> {
    let value: Value = serde_json::from_str(line).ok()?;
    match text_at(&value, "type")? {
        "system" => system(&value),
        "assistant" => Some(Line::Assistant(assistant(&value))),
        "user" => Some(Line::User(user(&value))),
        "rate_limit_event" => value.get("rate_limit_info").map(rate_limit).map(Line::RateLimit),
        "result" => Some(Line::Result(Box::new(result(&value)))),
        _ => None,
    }
}

fn system(value: &Value) -> Option<Line> {
    match text_at(value, "subtype")? {
        "init" => Some(Line::Init(Init {
            session_id: optional_name(value, "session_id"),
            model: optional_name(value, "model"),
            failed_servers: list_at(value, "mcp_servers")
                .iter()
                .filter(|server| text_at(server, "status") == Some("failed"))
                .map(|server| name_at(server, "name"))
                .collect(),
        })),
        "api_retry" => Some(Line::ApiRetry(ApiRetry {
            status: status_at(value, "error_status"),
            error: name_at(value, "error"),
            attempt: count_at(value, "attempt"),
            max_retries: count_at(value, "max_retries"),
        })),
        "compact_boundary" => Some(Line::Compacted),
        // A denial is also the tool's answer and part of the result; a hook's verdict is the tool's answer.
        // What a background task does is also the answer of the tool that started it.
        "permission_denied" | "hook_started" | "hook_response" | "task_started" | "task_progress" | "task_updated"
        | "task_notification" => Some(Line::Redundant),
        _ => None,
    }
}

fn assistant(value: &Value) -> Assistant {
    let message = value.get("message").unwrap_or(&Value::Null);
    let mut usage = message.get("usage").map(tokens).unwrap_or_default();
    usage.model = optional_name(message, "model");
    Assistant {
        message_id: name_at(message, "id"),
        usage,
        blocks: blocks(message),
        error: optional_name(value, "error"),
    }
}

fn user(value: &Value) -> User {
    let message = value.get("message").unwrap_or(&Value::Null);
    User { blocks: blocks(message), nested: text_at(value, "parent_tool_use_id").is_some() }
}

fn blocks(message: &Value) -> Vec<Block> {
    match message.get("content") {
        Some(Value::String(text)) => vec![Block::Text(head(text, TEXT_LIMIT))],
        Some(Value::Array(items)) => items.iter().map(block).collect(),
        _ => Vec::new(),
    }
}

fn block(value: &Value) -> Block {
    match text_at(value, "type") {
        Some("text") => Block::Text(head(text_at(value, "text").unwrap_or_default(), TEXT_LIMIT)),
        Some("thinking" | "redacted_thinking") => Block::Thinking,
        Some("tool_use" | "server_tool_use" | "mcp_tool_use") => Block::ToolUse {
            id: name_at(value, "id"),
            name: name_at(value, "name"),
            input: value.get("input").map(tool_input).unwrap_or_default(),
        },
        Some("tool_result") => Block::ToolResult {
            id: name_at(value, "tool_use_id"),
            output: head(&content_text(value.get("content")), TOOL_RESULT_LIMIT),
            is_error: flag_at(value, "is_error"),
        },
        _ => Block::Unknown(value.clone()),
    }
}

fn content_text(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts_text(parts),
        _ => String::new(),
    }
}

fn rate_limit(info: &Value) -> RateLimit {
    RateLimit {
        status: name_at(info, "status"),
        window: name_at(info, "rateLimitType"),
        resets_at: info
            .get("resetsAt")
            .and_then(Value::as_i64)
            .and_then(|second| jiff::Timestamp::from_second(second).ok()),
    }
}

fn result(value: &Value) -> RunResult {
    let subtype = name_at(value, "subtype");
    RunResult {
        session_id: optional_name(value, "session_id"),
        terminal_reason: optional_name(value, "terminal_reason"),
        // "success" with `is_error` is what an error of the provider looks like.
        is_error: flag_at(value, "is_error") || subtype.starts_with("error"),
        subtype,
        api_error_status: status_at(value, "api_error_status"),
        text: text_at(value, "result").map(|text| head(text, TEXT_LIMIT)),
        errors: list_at(value, "errors")
            .iter()
            .filter_map(Value::as_str)
            .map(|error| head(error, REMARK_LIMIT))
            .collect(),
        // Kept whole: half a structured answer is worse than none, and the line as a whole is bounded already.
        structured_output: value.get("structured_output").filter(|output| !output.is_null()).cloned(),
        denied_tools: list_at(value, "permission_denials").iter().map(|denial| name_at(denial, "tool_name")).collect(),
        usage: ReportedUsage {
            since_last_result: value
                .get("model_usage_since_last_result")
                .and_then(Value::as_object)
                .map(|models| models.iter().map(|(model, usage)| model_usage(model, usage)).collect()),
            tokens: value.get("usage").map(tokens).unwrap_or_default(),
            session_cost: dollars_at(value, "total_cost_usd"),
        },
    }
}

/// The API's form of usage.
fn tokens(value: &Value) -> Usage {
    Usage {
        input_tokens: count_at(value, "input_tokens"),
        output_tokens: count_at(value, "output_tokens"),
        cache_read_tokens: count_at(value, "cache_read_input_tokens"),
        cache_write_tokens: count_at(value, "cache_creation_input_tokens"),
        ..Usage::default()
    }
}

/// The CLI's own form of usage.
fn model_usage(model: &str, value: &Value) -> Usage {
    let cost_usd = dollars_at(value, "costUSD");
    Usage {
        model: Some(head(model, NAME_LIMIT)),
        input_tokens: count_at(value, "inputTokens"),
        output_tokens: count_at(value, "outputTokens"),
        cache_read_tokens: count_at(value, "cacheReadInputTokens"),
        cache_write_tokens: count_at(value, "cacheCreationInputTokens"),
        cost_usd,
        cost_basis: cost_usd.map(|_| CostBasis::Observed),
    }
}

fn optional_name(value: &Value, key: &str) -> Option<String> {
    text_at(value, key).map(|name| head(name, NAME_LIMIT))
}
