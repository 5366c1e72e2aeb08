//! Agent CLIs as pure adapters: a spec becomes a command, lines of output become agent events.
//!
//! No adapter spawns, sleeps, reads a file or asks the environment; the supervisor does, once, for all of them.
//! That is why an adapter can be tested with a recorded transcript and no CLI installed. A line that an adapter
//! does not know becomes [`AgentEvent::Unrecognised`]: decoding never fails.

mod claude_code;
mod codex;
mod command;
mod ending;
mod lenient;
mod refusal;
mod text;

use std::ffi::OsString;
use std::path::PathBuf;

use eve_core::AgentEvent;
use eve_core::Outcome;
use eve_core::OutputStream;
use eve_core::Usage;

/// The adapters that exist, by the name of their protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HarnessKind {
    /// Runs the prompt as a script.
    Command,
    /// Claude Code and whatever keeps its flags and events, such as a cc-mirror variant.
    ClaudeCode,
    /// OpenAI's Codex CLI.
    Codex,
}

/// What an agent is to do and with what.
#[derive(Debug, Clone)]
pub struct HarnessSpec {
    /// The agent's program: an absolute path, or a name to be found on the attempt's PATH.
    pub program: PathBuf,
    /// What was asked.
    pub prompt: String,
    /// The worker type's skill: how to go about it.
    pub instructions: Option<String>,
    /// The model, or the CLI's own default.
    pub model: Option<String>,
    /// A session to go on with.
    pub resume: Option<String>,
    /// A fresh UUID for the new session, where the CLI lets the caller choose.
    pub new_session: uuid::Uuid,
    /// A private directory of the attempt, outside the workspace, that exists and is writable by the agent.
    pub scratch: PathBuf,
    /// Where to reach the model, if not where the CLI would look for it.
    pub gateway: Option<Gateway>,
    /// What the earlier runs of the session to go on with used, as they reported it; zero for a new session.
    ///
    /// Some CLIs report a session's running total. Where this is not known, such a total cannot be told apart:
    /// its tokens are then taken for this run's, rather too many than too few, and its cost is left out.
    pub prior_usage: Usage,
}

/// An endpoint that speaks the API of the CLI's own provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Its base URL, as the CLI's own setting wants it: with `/v1` for Codex, without for Claude Code.
    pub base_url: String,
    /// The environment variable that holds the key. The supervisor passes it. Claude Code reads no other than
    /// `ANTHROPIC_API_KEY` and `ANTHROPIC_AUTH_TOKEN`.
    pub key_env: String,
}

/// A process to start. The supervisor adds the environment that every attempt gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSpec {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables that this CLI needs on top of the common ones.
    pub env: Vec<(String, String)>,
    /// What it reads on standard input; nothing means an empty input.
    pub stdin: Option<String>,
    /// Files to write before the start: path under the scratch directory, content, executable.
    pub files: Vec<SpecFile>,
}

/// A file that must exist before the agent starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecFile {
    /// Absolute path, inside the scratch directory.
    pub path: PathBuf,
    /// Its content.
    pub content: String,
    /// Whether it is a program.
    pub executable: bool,
}

/// How the agent's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// What an adapter makes of a run once the process is gone.
#[derive(Debug, Clone, PartialEq)]
pub struct Finish {
    /// How it ended. Never decided by the exit code alone where the protocol has a last word.
    pub outcome: Outcome,
    /// Everything that was used in this run (not in earlier runs of a resumed session).
    pub usage: Usage,
    /// The agent's session, for resuming.
    pub session_id: Option<String>,
}

/// Reads one run's output.
pub trait Decoder: Send {
    /// Takes one line without its end. Never fails.
    fn line(&mut self, stream: OutputStream, line: &str) -> Vec<AgentEvent>;

    /// The run is over; says what it came to.
    fn finish(&mut self, exit: Exit) -> Finish;
}

impl HarnessKind {
    /// The command that carries out the spec.
    pub fn command(self, spec: &HarnessSpec) -> CommandSpec {
        match self {
            Self::Command => command::command(spec),
            Self::ClaudeCode => claude_code::command(spec),
            Self::Codex => codex::command(spec),
        }
    }

    /// A reader for one run of that command.
    pub fn decoder(self, spec: &HarnessSpec) -> Box<dyn Decoder> {
        match self {
            Self::Command => Box::new(command::CommandDecoder::new()),
            Self::ClaudeCode => Box::new(claude_code::ClaudeCodeDecoder::new(spec)),
            Self::Codex => Box::new(codex::CodexDecoder::new(spec)),
        }
    }

    /// The name in settings, in the database and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::ClaudeCode => "claude-code",
            Self::Codex => "codex",
        }
    }

    /// Variables to set where the worker's own environment does not set them.
    ///
    /// Claude Code would try a refused key again for minutes and wait for a silent provider as long.
    pub const fn default_env(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::ClaudeCode => &[("API_TIMEOUT_MS", "600000"), ("CLAUDE_CODE_MAX_RETRIES", "3")],
            Self::Command | Self::Codex => &[],
        }
    }

    /// Variables of the worker's own environment that this CLI needs to reach its model.
    pub const fn passed_env(self) -> &'static [&'static str] {
        match self {
            Self::Command => &[],
            Self::ClaudeCode => &[
                "ANTHROPIC_API_KEY",
                "ANTHROPIC_AUTH_TOKEN",
                "ANTHROPIC_BASE_URL",
                "ANTHROPIC_MODEL",
                "CLAUDE_CODE_OAUTH_TOKEN",
                "CLAUDE_CODE_MAX_RETRIES",
                "CLAUDE_CONFIG_DIR",
                "API_TIMEOUT_MS",
            ],
            Self::Codex => &["CODEX_API_KEY", "CODEX_HOME"],
        }
    }
}

#[cfg(test)]
mod tests;
