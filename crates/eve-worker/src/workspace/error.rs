//! What can go wrong with a workspace, and what kind of failure that is to a request.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use eve_core::FailureClass;

use super::refname::InvalidName;
use super::repository::InvalidRepository;

/// What git writes when a disk or quota is full.
pub(super) const NO_SPACE: [&str; 2] = ["No space left on device", "Disk quota exceeded"];

/// Why git did not do what it was told. Addresses in it carry no credentials.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The program did not start.
    #[error("git does not start")]
    Spawn {
        /// What the kernel said.
        source: io::Error,
    },
    /// It took too long and was killed.
    #[error("git {operation} was stopped after {} s", after.as_secs())]
    TimedOut {
        /// The git command.
        operation: String,
        /// The limit.
        after: Duration,
    },
    /// It said no.
    #[error("git {operation} failed ({code}): {message}", code = ExitCode(*code))]
    Failed {
        /// The git command.
        operation: String,
        /// Its exit code; none after a signal.
        code: Option<i32>,
        /// The last lines of its complaint.
        message: String,
    },
    /// Talking to it failed.
    #[error("git {operation}: reading or writing failed")]
    Pipe {
        /// The git command.
        operation: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// It answered something that it never should.
    #[error("git {operation} gave an unexpected answer")]
    Answer {
        /// The git command.
        operation: String,
    },
}

/// Why a workspace could not be made, read or handed over.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// The address is none.
    #[error("the repository's address is not usable")]
    Address {
        /// What is wrong with it.
        #[from]
        source: InvalidRepository,
    },
    /// A repository on this host, and this worker may not use those.
    #[error("{repository} lies on the worker's host, and this worker may not use local repositories")]
    LocalRefused {
        /// The repository.
        repository: String,
    },
    /// A path inside Eve's own directories, where other attempts keep their work.
    #[error("{repository} belongs to Eve itself")]
    OwnDirectory {
        /// The repository.
        repository: String,
    },
    /// A branch name that git would not take.
    #[error("`{name}` is no name of a branch")]
    Name {
        /// The name, as given.
        name: String,
        /// What is wrong with it.
        source: InvalidName,
    },
    /// The repository could not be fetched.
    #[error("{repository} cannot be fetched")]
    Fetch {
        /// The repository.
        repository: String,
        /// What git said.
        source: GitError,
    },
    /// There is no such branch, tag or commit.
    #[error("{repository} has no branch, tag or commit `{base}`")]
    BaseNotFound {
        /// The repository.
        repository: String,
        /// What was looked for.
        base: String,
    },
    /// The repository has commits, but its HEAD names none and no branch stands out.
    #[error("{repository} has no default branch; name the branch to start from")]
    NoDefaultBranch {
        /// The repository.
        repository: String,
    },
    /// Others held the mirror for too long.
    #[error("the mirror of {repository} was busy for {} s", waited.as_secs())]
    MirrorBusy {
        /// The repository.
        repository: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The checkout could not be made.
    #[error("the checkout cannot be made")]
    Checkout {
        /// What git said.
        source: GitError,
    },
    /// What the agent left as its result is not acceptable.
    #[error("the result is refused: {reason}")]
    ResultRefused {
        /// Why.
        reason: String,
    },
    /// The result could not be read.
    #[error("the result cannot be read")]
    Collect {
        /// What git said.
        source: GitError,
    },
    /// The branch could not be written.
    #[error("`{branch}` cannot be handed over to {repository}")]
    HandOver {
        /// The repository.
        repository: String,
        /// The branch.
        branch: String,
        /// What git said.
        source: GitError,
    },
    /// Every name that was tried is taken by somebody's work.
    #[error("{repository} already has `{branch}` and its numbered siblings, with work in them that is not Eve's")]
    NoFreeBranch {
        /// The repository.
        repository: String,
        /// The first name that was tried.
        branch: String,
    },
    /// The result of that attempt is not (or no longer) kept here.
    #[error("the result of {attempt} is not kept on this worker")]
    ResultGone {
        /// The attempt.
        attempt: String,
    },
    /// The mirrors could not be tidied.
    #[error("the mirror {mirror} cannot be tidied")]
    Tidy {
        /// Its directory.
        mirror: PathBuf,
        /// What git said.
        source: GitError,
    },
    /// A file operation of Eve's own failed.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl WorkspaceError {
    /// Which kind of failure this is to a request, which decides about a retry.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Address { .. } | Self::LocalRefused { .. } | Self::OwnDirectory { .. } | Self::Name { .. } => {
                FailureClass::RepositoryRefused
            }
            Self::BaseNotFound { .. } | Self::NoDefaultBranch { .. } | Self::MirrorBusy { .. } => {
                FailureClass::RepositoryUnavailable
            }
            Self::Fetch { source, .. } | Self::Checkout { source } => {
                source.class_or(FailureClass::RepositoryUnavailable)
            }
            Self::Collect { source } | Self::HandOver { source, .. } | Self::Tidy { source, .. } => {
                source.class_or(FailureClass::HandOverFailed)
            }
            Self::ResultRefused { .. } | Self::NoFreeBranch { .. } | Self::ResultGone { .. } => {
                FailureClass::HandOverFailed
            }
            Self::Io { source, .. } if is_full(source) => FailureClass::DiskFull,
            Self::Io { .. } => FailureClass::RepositoryUnavailable,
        }
    }

    /// The whole story in one line: this error and what caused it.
    pub fn explain(&self) -> String {
        let mut story = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            story.push_str(": ");
            story.push_str(&error.to_string());
            cause = error.source();
        }
        story
    }

    /// For `map_err`: a file operation of Eve's own failed.
    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

impl GitError {
    fn class_or(&self, otherwise: FailureClass) -> FailureClass {
        let full = match self {
            Self::Spawn { source } | Self::Pipe { source, .. } => is_full(source),
            Self::Failed { message, .. } => NO_SPACE.iter().any(|words| message.contains(words)),
            Self::TimedOut { .. } | Self::Answer { .. } => false,
        };
        if full { FailureClass::DiskFull } else { otherwise }
    }

    /// Whether its complaint holds these words.
    pub(super) fn says(&self, words: &str) -> bool {
        match self {
            Self::Failed { message, .. } => message.contains(words),
            Self::Spawn { .. } | Self::TimedOut { .. } | Self::Pipe { .. } | Self::Answer { .. } => false,
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

struct ExitCode(Option<i32>);

impl fmt::Display for ExitCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(code) => write!(f, "exit code {code}"),
            None => f.write_str("killed by a signal"),
        }
    }
}
