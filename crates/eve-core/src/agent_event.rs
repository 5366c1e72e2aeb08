//! What an agent said and did, in Eve's own words whatever CLI it was.
//!
//! These are kept for years, streamed and read by programs that we do not control, so the serialised form is a
//! contract: it changes only by addition, and each variant has a snapshot.

use serde::Deserialize;
use serde::Serialize;

use crate::Usage;

/// Version of the serialised form, kept with every row.
pub const EVENT_VERSION: i16 = 1;

/// Which pipe a raw line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How much attention one of Eve's own remarks deserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeLevel {
    /// Progress.
    Info,
    /// Something a person may want to mend.
    Warn,
    /// The reason an attempt ends badly.
    Error,
}

/// One entry of an attempt's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AgentEvent {
    /// The agent's own session, for resuming.
    Session {
        /// The id as the agent's CLI wants it back.
        session_id: String,
        /// The model that the session uses, where it is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<String>,
    },
    /// Words meant for the person.
    Text {
        /// The words.
        text: String,
    },
    /// The agent uses a tool.
    ToolCall {
        /// The agent's id for the call.
        id: String,
        /// The tool's name.
        name: String,
        /// Its arguments.
        input: serde_json::Value,
    },
    /// What the tool answered.
    ToolResult {
        /// The id of the call.
        id: String,
        /// The answer as text.
        output: String,
        /// Whether the tool failed or was denied.
        is_error: bool,
    },
    /// Tokens and money used since the last such event.
    Usage(Usage),
    /// The agent wants to know something from a person.
    Question {
        /// What it asks.
        text: String,
        /// Answers it offers, if any.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        options: Vec<String>,
    },
    /// The agent's CLI tries the model again.
    Retry {
        /// HTTP status of the refusal, where it is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// Why.
        reason: String,
    },
    /// The agent's last word.
    Result {
        /// Its answer.
        text: String,
        /// Whether it says that it failed.
        is_error: bool,
    },
    /// A line that is not the agent's protocol: a script's output, or standard error.
    Output {
        /// Where it came from.
        stream: OutputStream,
        /// The line, without its end.
        text: String,
    },
    /// A remark of Eve's own about the attempt.
    Notice {
        /// How much attention it deserves.
        level: NoticeLevel,
        /// What happened.
        text: String,
    },
    /// A line of the agent's protocol that this version of Eve does not know.
    Unrecognised {
        /// The line.
        raw: String,
    },
}

impl AgentEvent {
    /// One of Eve's own remarks at level info.
    pub fn info(text: impl Into<String>) -> Self {
        Self::Notice { level: NoticeLevel::Info, text: text.into() }
    }

    /// The variant's name, as in the serialised `type`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Session { .. } => "session",
            Self::Text { .. } => "text",
            Self::ToolCall { .. } => "tool_call",
            Self::ToolResult { .. } => "tool_result",
            Self::Usage(_) => "usage",
            Self::Question { .. } => "question",
            Self::Retry { .. } => "retry",
            Self::Result { .. } => "result",
            Self::Output { .. } => "output",
            Self::Notice { .. } => "notice",
            Self::Unrecognised { .. } => "unrecognised",
        }
    }
}

#[cfg(test)]
mod tests;
