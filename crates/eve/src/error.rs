//! Errors of the command line: what kind, why, and what to do about it.
//!
//! A kind decides the exit code, which is a contract with scripts. Hints are data and are attached where the
//! knowledge is. Printing is `output`'s; deciding what a server's answer means is `client`'s.

use std::fmt;
use std::io;

/// What kind of ending it is. The exit codes are documented in `eve --help` and never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ErrorKind {
    /// It did not work.
    Failed,
    /// The arguments, the configuration or the content of the request are wrong.
    Usage,
    /// The server cannot be reached or cannot serve.
    Unreachable,
    /// No valid key, or not one that allows this.
    Unauthenticated,
    /// There is no such thing.
    NotFound,
    /// The thing is not in a state that allows it.
    Conflict,
    /// The request was watched to its end, and the end is not success.
    Unsuccessful,
    /// The time to wait is over and the request is not finished.
    StillRunning,
    /// The request goes on only when a person does something.
    NeedsPerson,
    /// Ctrl-C.
    Interrupted,
    /// Whoever read the output has left; nothing is wrong.
    BrokenPipe,
}

impl ErrorKind {
    /// All kinds, for tables and tests.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 11] = [
        Self::Failed,
        Self::Usage,
        Self::Unreachable,
        Self::Unauthenticated,
        Self::NotFound,
        Self::Conflict,
        Self::Unsuccessful,
        Self::StillRunning,
        Self::NeedsPerson,
        Self::Interrupted,
        Self::BrokenPipe,
    ];

    /// The process's exit code.
    pub(crate) const fn exit_code(self) -> u8 {
        match self {
            Self::BrokenPipe => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Unauthenticated => 4,
            Self::NotFound => 5,
            Self::Conflict => 6,
            Self::Unsuccessful => 7,
            Self::StillRunning => 8,
            Self::NeedsPerson => 9,
            Self::Interrupted => 130,
        }
    }

    /// Whether there is something to print: the reader of a broken pipe is gone, and who pressed Ctrl-C knows.
    pub(crate) const fn is_silent(self) -> bool {
        matches!(self, Self::BrokenPipe | Self::Interrupted)
    }
}

/// Why a command ends with another exit code than 0.
#[derive(Debug)]
pub(crate) struct CliError {
    /// Decides the exit code.
    pub(crate) kind: ErrorKind,
    /// What happened, with its causes.
    pub(crate) error: anyhow::Error,
    /// What to do about it, one line each.
    pub(crate) hints: Vec<String>,
}

impl CliError {
    /// An error with these words.
    pub(crate) fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self { kind, error: anyhow::Error::msg(message.to_string()), hints: Vec::new() }
    }

    /// An error with these words and this cause.
    pub(crate) fn caused(kind: ErrorKind, message: impl fmt::Display, cause: impl Into<anyhow::Error>) -> Self {
        Self { kind, error: cause.into().context(message.to_string()), hints: Vec::new() }
    }

    /// The arguments or the configuration are wrong.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// Adds a hint.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hints.push(hint.to_string());
        self
    }

    /// Adds these hints.
    #[must_use]
    pub(crate) fn hints(mut self, hints: impl IntoIterator<Item = String>) -> Self {
        self.hints.extend(hints);
        self
    }

    /// The text for standard error: heading, numbered causes, hints. `heading` and `hint` are painted by the caller.
    pub(crate) fn render(&self, heading: &str, hint: &str) -> String {
        let mut text = format!("{heading} {}\n", self.error);
        let causes: Vec<String> = self.error.chain().skip(1).map(ToString::to_string).collect();
        if !causes.is_empty() {
            text.push_str("caused by:\n");
        }
        for (index, cause) in causes.iter().enumerate() {
            text.push_str(&format!("  {}. {cause}\n", index + 1));
        }
        for line in &self.hints {
            text.push_str(&format!("{hint} {line}\n"));
        }
        text
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl From<anyhow::Error> for CliError {
    fn from(error: anyhow::Error) -> Self {
        Self { kind: ErrorKind::Failed, error, hints: Vec::new() }
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::BrokenPipe => ErrorKind::BrokenPipe,
            _ => ErrorKind::Failed,
        };
        Self { kind, error: error.into(), hints: Vec::new() }
    }
}

#[cfg(test)]
mod tests;
