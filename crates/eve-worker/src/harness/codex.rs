//! OpenAI's Codex CLI, headless: `codex exec --json` with the prompt on standard input.
//!
//! The last word is `turn.completed` or `turn.failed`; an `error` before it may be no more than the announcement of
//! another try. Status codes are only found inside the text of a message. Usage is counted over the whole thread, so
//! a resumed run's is the total less [`HarnessSpec::prior_usage`]; a run that fails reports none.
//!
//! Left to others: the key and `CODEX_HOME` (passed by the supervisor) and the limits on time, output and money. Two
//! things are the supervisor's to know. `<scratch>/tmp` must exist before the start: the CLI's sandbox runs no command
//! at all, and says nothing, if `CODEX_HOME` lies in the temporary directory or that cannot be written. And the CLI
//! waits for a silent provider for ever, so only the idle limit ends that.

mod wire;

use std::collections::BTreeSet;
use std::ffi::OsString;

use eve_core::AgentEvent;
use eve_core::FailureClass;
use eve_core::NoticeLevel;
use eve_core::Outcome;
use eve_core::OutputStream;
use eve_core::Usage;
use serde_json::json;

use super::CommandSpec;
use super::Decoder;
use super::Exit;
use super::Finish;
use super::Gateway;
use super::HarnessSpec;
use super::ending;
use super::refusal;
use super::text::RAW_LIMIT;
use super::text::REMARK_LIMIT;
use super::text::TEXT_LIMIT;
use super::text::Tail;
use super::text::head;
use super::text::summary;
use wire::Item;
use wire::Line;
use wire::Phase;
use wire::Tool;

/// Features that talk to hosts other than the model's provider, or that wait for one without end.
const DISABLED: [&str; 4] = ["apps", "plugins", "remote_plugin", "unbounded_connection_retries"];

/// Settings of every run: nothing sent home, and no keys in the environment of the commands that the agent runs.
const SETTINGS: [&str; 3] = [
    "analytics.enabled=false",
    "check_for_update_on_startup=false",
    "shell_environment_policy.ignore_default_excludes=false",
];

/// The name of the gateway in the CLI's configuration.
const PROVIDER: &str = "gw";
/// Tries at one request, and at one broken stream; only a provider of our own can be bounded so.
const REQUEST_RETRIES: u8 = 2;
const STREAM_RETRIES: u8 = 3;

/// The only sign, and it is on standard error, that the CLI's sandbox will run no command in this run.
const SANDBOX_BROKEN: &str = "could not create PATH aliases";
const SANDBOX_BROKEN_ADVICE: &str = "the agent can run no command and does not say so: CODEX_HOME must not be in /tmp \
                                     or in the temporary directory, and that directory must be writable";

/// Tool uses that may be open at once. A use beyond them shows up when it ends instead of when it begins.
const OPEN_TOOLS: usize = 1024;

pub(super) fn command(spec: &HarnessSpec) -> CommandSpec {
    // A resumed thread is read-only unless the sandbox is named, and it is only heard before `resume`.
    let mut args: Vec<OsString> =
        ["exec", "--json", "--sandbox", "workspace-write", "--skip-git-repo-check"].map(OsString::from).into();
    for feature in DISABLED {
        args.extend(["--disable".into(), feature.into()]);
    }
    let mut settings: Vec<String> = SETTINGS.map(str::to_owned).into();
    settings.extend(spec.gateway.iter().flat_map(gateway_settings));
    if let Some(instructions) = &spec.instructions {
        settings.push(format!("developer_instructions={}", toml_string(instructions)));
    }
    for setting in settings {
        args.extend(["-c".into(), setting.into()]);
    }
    if let Some(model) = &spec.model {
        args.push(format!("--model={model}").into());
    }
    if let Some(thread) = &spec.resume {
        // What follows the dashes is no flag, whatever it looks like.
        args.extend(["resume".into(), "--".into(), thread.into()]);
    }
    args.push("-".into());
    let tmp = spec.scratch.join("tmp").to_string_lossy().into_owned();
    CommandSpec {
        program: spec.program.clone(),
        args,
        env: vec![("TMPDIR".to_owned(), tmp)],
        stdin: Some(spec.prompt.clone()),
        files: Vec::new(),
    }
}

/// The CLI ignores `OPENAI_BASE_URL`; a gateway has to be a provider of its own.
fn gateway_settings(gateway: &Gateway) -> [String; 2] {
    let name = toml_string(PROVIDER);
    let base_url = toml_string(&gateway.base_url);
    let env_key = toml_string(&gateway.key_env);
    [
        format!("model_provider={name}"),
        format!(
            "model_providers.{PROVIDER}={{name={name},base_url={base_url},env_key={env_key},wire_api=\"responses\",\
             request_max_retries={REQUEST_RETRIES},stream_max_retries={STREAM_RETRIES}}}"
        ),
    ]
}

/// A TOML basic string.
fn toml_string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The run's last word.
#[derive(Debug)]
enum LastWord {
    Completed,
    Failed(String),
}

/// Reads one run's events.
#[derive(Debug)]
pub(super) struct CodexDecoder {
    /// The model that was asked for: the CLI never names the one that answers.
    model: Option<String>,
    resume: Option<String>,
    /// What the thread had used at the last report.
    thread_usage: Usage,
    used: Usage,
    /// Whether any line of the protocol was seen.
    began: bool,
    thread_id: Option<String>,
    open: BTreeSet<String>,
    /// What the agent said last, which is its answer once the turn is completed.
    message: String,
    last_word: Option<LastWord>,
    /// The last error or announced retry, unless something came of it.
    trouble: Option<String>,
    stderr: Tail,
}

impl CodexDecoder {
    pub(super) fn new(spec: &HarnessSpec) -> Self {
        Self {
            model: spec.model.clone(),
            resume: spec.resume.clone(),
            thread_usage: if spec.resume.is_some() { spec.prior_usage.clone() } else { Usage::default() },
            used: Usage::default(),
            began: false,
            thread_id: None,
            open: BTreeSet::new(),
            message: String::new(),
            last_word: None,
            trouble: None,
            stderr: Tail::last_words(),
        }
    }

    fn stdout(&mut self, line: &str) -> Vec<AgentEvent> {
        if line.trim().is_empty() {
            return Vec::new();
        }
        let Some(parsed) = wire::parse(line) else { return unrecognised(line) };
        self.began = true;
        match parsed {
            Line::ThreadStarted { thread_id } => self.thread_started(thread_id),
            Line::TurnStarted => Vec::new(),
            Line::Item { item: Item::Unknown, .. } => unrecognised(line),
            Line::Item { phase, item } => self.item(phase, item),
            Line::Reconnecting { message } => {
                self.trouble = Some(message.clone());
                vec![AgentEvent::Retry { status: refusal::status_in(&message), reason: message }]
            }
            Line::Error { message } => {
                self.trouble = Some(message.clone());
                vec![notice(NoticeLevel::Error, message)]
            }
            Line::TurnCompleted { thread_usage } => self.turn_completed(thread_usage),
            Line::TurnFailed { message } => {
                self.last_word = Some(LastWord::Failed(message.clone()));
                vec![AgentEvent::Result { text: message, is_error: true }]
            }
        }
    }

    fn thread_started(&mut self, thread_id: String) -> Vec<AgentEvent> {
        if thread_id.is_empty() {
            return Vec::new();
        }
        let mut events = Vec::new();
        if let Some(wanted) = self.resume.take_if(|wanted| **wanted != thread_id) {
            // An id that is no UUID is taken for a name, and for an unknown name the CLI begins a thread.
            self.thread_usage = Usage::default();
            let text = format!("the thread {wanted} is not there; a new one began");
            events.push(notice(NoticeLevel::Warn, head(&text, REMARK_LIMIT)));
        }
        self.thread_id = Some(thread_id.clone());
        events.push(AgentEvent::Session { session_id: thread_id, model: self.model.clone() });
        events
    }

    fn item(&mut self, phase: Phase, item: Item) -> Vec<AgentEvent> {
        match (item, phase) {
            (Item::AgentMessage(text), Phase::Completed) => {
                self.trouble = None;
                self.message.clone_from(&text);
                vec![AgentEvent::Text { text }]
            }
            (Item::Tool(tool), Phase::Started) => {
                self.trouble = None;
                if self.open.len() >= OPEN_TOOLS {
                    return Vec::new();
                }
                self.open.insert(tool.id.clone());
                vec![tool_call(&tool)]
            }
            (Item::Tool(tool), Phase::Completed) => {
                let mut events = Vec::new();
                if !self.open.remove(&tool.id) {
                    events.push(tool_call(&tool));
                }
                events.push(AgentEvent::ToolResult { id: tool.id, output: tool.output, is_error: tool.is_error });
                events
            }
            (Item::TodoList(plan), Phase::Started | Phase::Updated) => vec![AgentEvent::info(plan)],
            (Item::Error(message), Phase::Completed) => vec![notice(NoticeLevel::Warn, message)],
            // Said in full once the item is completed, or said already.
            (Item::AgentMessage(_) | Item::Error(_), Phase::Started | Phase::Updated)
            | (Item::Tool(_), Phase::Updated)
            | (Item::TodoList(_), Phase::Completed)
            | (Item::Reasoning | Item::Unknown, _) => Vec::new(),
        }
    }

    fn turn_completed(&mut self, thread_usage: Option<Usage>) -> Vec<AgentEvent> {
        let mut events = Vec::new();
        if let Some(mut total) = thread_usage {
            total.model.clone_from(&self.model);
            let usage = total.since(&self.thread_usage);
            self.thread_usage = total;
            self.used.add(&usage);
            events.push(AgentEvent::Usage(usage));
        }
        self.last_word = Some(LastWord::Completed);
        events.push(AgentEvent::Result { text: self.message.clone(), is_error: false });
        events
    }
}

impl Decoder for CodexDecoder {
    fn line(&mut self, stream: OutputStream, line: &str) -> Vec<AgentEvent> {
        match stream {
            OutputStream::Stdout => self.stdout(line),
            OutputStream::Stderr => {
                self.stderr.push(line);
                let mut events = vec![AgentEvent::Output { stream, text: head(line, TEXT_LIMIT) }];
                if line.contains(SANDBOX_BROKEN) {
                    events.push(notice(NoticeLevel::Error, SANDBOX_BROKEN_ADVICE.to_owned()));
                }
                events
            }
        }
    }

    fn finish(&mut self, exit: Exit) -> Finish {
        let outcome = match &self.last_word {
            Some(LastWord::Completed) => {
                Outcome::Succeeded { output: json!({ "text": self.message }), summary: summary(&self.message) }
            }
            Some(LastWord::Failed(message)) => ending::failed(class(message), message),
            None => ending::without_result(self.began, exit, &self.stderr, self.trouble.as_deref()),
        };
        Finish { outcome, usage: self.used.clone(), session_id: self.thread_id.clone() }
    }
}

/// The class of a failed turn. What says nothing of the provider is the agent's own failure, such as a budget.
fn class(message: &str) -> FailureClass {
    match refusal::status_in(message) {
        Some(status) => refusal::class_of_status(status, message),
        None => refusal::class_of_text(message).unwrap_or(FailureClass::AgentFailed),
    }
}

fn tool_call(tool: &Tool) -> AgentEvent {
    AgentEvent::ToolCall { id: tool.id.clone(), name: tool.name.clone(), input: tool.input.clone() }
}

const fn notice(level: NoticeLevel, text: String) -> AgentEvent {
    AgentEvent::Notice { level, text }
}

fn unrecognised(line: &str) -> Vec<AgentEvent> {
    vec![AgentEvent::Unrecognised { raw: head(line, RAW_LIMIT) }]
}
