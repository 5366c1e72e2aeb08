//! Claude Code, headless: `claude -p` with the prompt on standard input and one JSON object per line as output.
//!
//! Whatever keeps its flags and events is served as well: a cc-mirror variant is this adapter with another program.
//! Permissions are by mode and allow list, not by skipping the checks, because the CLI refuses that to root. The
//! result line has the last word: the exit code is 0 after a denied tool and after an interrupt, and `subtype` is
//! "success" when the provider refused.
//!
//! Left to others: the common environment, the key and the configuration directory (passed by the supervisor), what
//! the tools may reach (the sandbox), and the limits on time, output and money.

mod meter;
mod wire;

use std::collections::BTreeSet;
use std::ffi::OsString;

use eve_core::AgentEvent;
use eve_core::FailureClass;
use eve_core::NoticeLevel;
use eve_core::Outcome;
use eve_core::OutputStream;
use jiff::Timestamp;
use serde_json::json;

use super::CommandSpec;
use super::Decoder;
use super::Exit;
use super::Finish;
use super::HarnessSpec;
use super::ending;
use super::refusal;
use super::text::RAW_LIMIT;
use super::text::REMARK_LIMIT;
use super::text::TEXT_LIMIT;
use super::text::Tail;
use super::text::head;
use super::text::summary;
use meter::Meter;
use wire::ApiRetry;
use wire::Assistant;
use wire::Block;
use wire::Init;
use wire::Line;
use wire::RateLimit;
use wire::RunResult;
use wire::User;

/// Tools that never ask, because nobody is there to answer. Without them `acceptEdits` denies most commands.
const ALLOWED_TOOLS: &str = "Bash,Edit,Write,Read,Glob,Grep,NotebookEdit,Skill,Task,TodoWrite,WebFetch,WebSearch";

/// No update in the middle of a run, and nothing sent to anybody but the model's provider.
const QUIET: [(&str, &str); 4] = [
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("DISABLE_AUTOUPDATER", "1"),
    ("DISABLE_ERROR_REPORTING", "1"),
    ("DISABLE_TELEMETRY", "1"),
];

pub(super) fn command(spec: &HarnessSpec) -> CommandSpec {
    let mut args = vec!["-p", "--output-format", "stream-json", "--verbose"];
    args.extend(["--permission-mode", "acceptEdits", "--allowedTools", ALLOWED_TOOLS]);
    let mut args: Vec<OsString> = args.into_iter().map(OsString::from).collect();
    // `--flag=value`, so that a value that starts with a dash stays a value.
    let mut option = |flag: &str, value: &str| args.push(format!("{flag}={value}").into());
    match &spec.resume {
        Some(session) => option("--resume", session),
        None => option("--session-id", &spec.new_session.to_string()),
    }
    if let Some(model) = &spec.model {
        option("--model", model);
    }
    if let Some(instructions) = &spec.instructions {
        option("--append-system-prompt", instructions);
    }
    let mut env: Vec<(String, String)> = QUIET.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    if let Some(gateway) = &spec.gateway {
        env.push(("ANTHROPIC_BASE_URL".to_owned(), gateway.base_url.clone()));
    }
    CommandSpec { program: spec.program.clone(), args, env, stdin: Some(spec.prompt.clone()), files: Vec::new() }
}

/// Reads one run's events.
#[derive(Debug)]
pub(super) struct ClaudeCodeDecoder {
    /// Whether any line of the protocol was seen.
    began: bool,
    session_id: Option<String>,
    /// The last result line. There is one per turn, and background work can bring a turn more.
    result: Option<RunResult>,
    meter: Meter,
    /// The provider's refusal that the CLI reported last, unless the model answered after it.
    refusal: Option<String>,
    /// The retry that was announced last, unless the model answered after it.
    retry: Option<String>,
    /// When a used-up subscription is usable again.
    resets_at: Option<Timestamp>,
    stderr: Tail,
}

impl ClaudeCodeDecoder {
    pub(super) fn new(spec: &HarnessSpec) -> Self {
        let session_cost =
            if spec.resume.is_some() { spec.prior_usage.cost_usd } else { Some(rust_decimal::Decimal::ZERO) };
        Self {
            began: false,
            session_id: None,
            result: None,
            meter: Meter::new(session_cost),
            refusal: None,
            retry: None,
            resets_at: None,
            stderr: Tail::last_words(),
        }
    }

    fn stdout(&mut self, line: &str) -> Vec<AgentEvent> {
        if line.trim().is_empty() {
            return Vec::new();
        }
        let Some(parsed) = wire::parse(line) else {
            return vec![AgentEvent::Unrecognised { raw: head(line, RAW_LIMIT) }];
        };
        self.began = true;
        match parsed {
            Line::Init(init) => self.init(init),
            Line::ApiRetry(retry) => self.api_retry(retry),
            Line::Compacted => vec![AgentEvent::info("the conversation was shortened to fit the model")],
            Line::Redundant => Vec::new(),
            Line::Assistant(message) => self.assistant(message),
            Line::User(message) => user(message),
            Line::RateLimit(limit) => self.rate_limit(limit),
            Line::Result(result) => self.result(*result),
        }
    }

    fn init(&mut self, init: Init) -> Vec<AgentEvent> {
        let mut events = Vec::new();
        // Every turn begins with this line; only the first one is news.
        if let Some(session_id) = init.session_id.filter(|id| self.session_id.as_ref() != Some(id)) {
            self.session_id = Some(session_id.clone());
            events.push(AgentEvent::Session { session_id, model: init.model });
            events
                .extend(init.failed_servers.iter().map(|name| warn(&format!("the tool server {name} did not start"))));
        }
        events
    }

    fn api_retry(&mut self, retry: ApiRetry) -> Vec<AgentEvent> {
        let ApiRetry { status, error, attempt, max_retries } = retry;
        let reason = format!("{error} (retry {attempt} of {max_retries})");
        self.retry = Some(status.map_or_else(|| reason.clone(), |status| format!("{status} {reason}")));
        vec![AgentEvent::Retry { status, reason }]
    }

    fn assistant(&mut self, message: Assistant) -> Vec<AgentEvent> {
        self.meter.message(&message);
        self.retry = None;
        self.refusal = message.error;
        let refused = self.refusal.is_some();
        message
            .blocks
            .into_iter()
            .filter_map(|block| match block {
                // The CLI's words about the refusal, not the model's.
                Block::Text(text) if refused => {
                    Some(AgentEvent::Notice { level: NoticeLevel::Error, text: head(&text, REMARK_LIMIT) })
                }
                Block::Text(text) => Some(AgentEvent::Text { text }),
                other => block_event(other),
            })
            .collect()
    }

    fn rate_limit(&mut self, limit: RateLimit) -> Vec<AgentEvent> {
        let RateLimit { status, window, resets_at } = limit;
        if status == "rejected" {
            self.resets_at = resets_at;
        }
        if status == "allowed" || status.is_empty() {
            return Vec::new();
        }
        let until = resets_at.map_or_else(String::new, |at| format!(" until {at}"));
        vec![warn(&format!("the provider's limit {window} says {status}{until}"))]
    }

    fn result(&mut self, mut result: RunResult) -> Vec<AgentEvent> {
        let mut events = Vec::new();
        if !result.denied_tools.is_empty() {
            let names: BTreeSet<&str> = result.denied_tools.iter().map(String::as_str).collect();
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            events.push(warn(&format!("uses of a tool that were denied: {} ({names})", result.denied_tools.len())));
        }
        let usage = std::mem::take(&mut result.usage);
        events.extend(self.meter.report(usage).into_iter().map(AgentEvent::Usage));
        let text = if result.is_error { error_text(&result) } else { result.text.clone().unwrap_or_default() };
        events.push(AgentEvent::Result { text: head(&text, TEXT_LIMIT), is_error: result.is_error });
        if self.session_id.is_none() && !result.is_error {
            self.session_id.clone_from(&result.session_id);
        }
        self.result = Some(result);
        events
    }

    fn failure(&self, result: &RunResult) -> Outcome {
        let class = self.class(result);
        let retry_at = self.resets_at.filter(|_| class == FailureClass::RateLimited);
        Outcome::Failed { class, message: head(&error_text(result), REMARK_LIMIT), retry_at }
    }

    fn class(&self, result: &RunResult) -> FailureClass {
        let text = result.text.as_deref().unwrap_or_default();
        if result.terminal_reason.as_deref() == Some("prompt_too_long") {
            return FailureClass::ContextTooLong;
        }
        let refusal = self.refusal.as_deref();
        if refusal == Some("billing_error") {
            return FailureClass::Billing;
        }
        if let Some(status) = result.api_error_status {
            return refusal::class_of_status(status, text);
        }
        match refusal {
            Some("authentication_failed") => FailureClass::Authentication,
            Some("rate_limit") => FailureClass::RateLimited,
            Some("overloaded" | "server_error") => FailureClass::ProviderUnavailable,
            Some("invalid_request") => refusal::class_of_status(400, text),
            Some(_) => refusal::class_of_text(text).unwrap_or(FailureClass::ProviderUnavailable),
            None if result.terminal_reason.as_deref() == Some("api_error") => {
                refusal::class_of_text(text).unwrap_or(FailureClass::ProviderUnavailable)
            }
            // Limits of turns or money, an interrupt, a session that does not exist: the agent's own ending.
            None => FailureClass::AgentFailed,
        }
    }
}

impl Decoder for ClaudeCodeDecoder {
    fn line(&mut self, stream: OutputStream, line: &str) -> Vec<AgentEvent> {
        match stream {
            OutputStream::Stdout => self.stdout(line),
            OutputStream::Stderr => {
                self.stderr.push(line);
                vec![AgentEvent::Output { stream, text: head(line, TEXT_LIMIT) }]
            }
        }
    }

    fn finish(&mut self, exit: Exit) -> Finish {
        let outcome = match &self.result {
            Some(result) if result.is_error => self.failure(result),
            Some(result) => succeeded(result),
            None => ending::without_result(self.began, exit, &self.stderr, self.retry.as_deref()),
        };
        Finish { outcome, usage: self.meter.total(), session_id: self.session_id.clone() }
    }
}

fn succeeded(result: &RunResult) -> Outcome {
    let text = result.text.as_deref().unwrap_or_default();
    let output = result.structured_output.clone().unwrap_or_else(|| json!({ "text": text }));
    Outcome::Succeeded { output, summary: summary(text) }
}

/// What a failed run says for itself: the provider's words, or the kind of ending and its reasons.
fn error_text(result: &RunResult) -> String {
    if let Some(text) = result.text.as_ref().filter(|text| !text.is_empty()) {
        return text.clone();
    }
    let mut text = result.subtype.clone();
    if let Some(reason) = &result.terminal_reason {
        text.push_str(&format!(" ({reason})"));
    }
    if !result.errors.is_empty() {
        text.push_str(": ");
        text.push_str(&result.errors.join("; "));
    }
    text
}

fn user(message: User) -> Vec<AgentEvent> {
    let nested = message.nested;
    message
        .blocks
        .into_iter()
        .filter_map(|block| match block {
            // A task for a sub-agent was the input of a tool call already.
            Block::Text(_) if nested => None,
            // The CLI speaks to the model: it was interrupted, it has to answer in a form.
            Block::Text(text) => Some(AgentEvent::info(head(&text, REMARK_LIMIT))),
            other => block_event(other),
        })
        .collect()
}

fn block_event(block: Block) -> Option<AgentEvent> {
    match block {
        Block::Text(text) => Some(AgentEvent::Text { text }),
        Block::ToolUse { id, name, input } => Some(AgentEvent::ToolCall { id, name, input }),
        Block::ToolResult { id, output, is_error } => Some(AgentEvent::ToolResult { id, output, is_error }),
        Block::Thinking => None,
        Block::Unknown(value) => Some(AgentEvent::Unrecognised { raw: head(&value.to_string(), RAW_LIMIT) }),
    }
}

fn warn(text: &str) -> AgentEvent {
    AgentEvent::Notice { level: NoticeLevel::Warn, text: head(text, REMARK_LIMIT) }
}
