//! One error for every use case, with a public message and a private cause kept apart.

use eve_core::Refused;
use eve_store::StoreError;
use eve_store::request::KEY_CONSTRAINT;

/// What went wrong, without any transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The caller asked for something malformed.
    Invalid,
    /// The worker type does not exist.
    InvalidWorkerType,
    /// No valid key or token.
    Unauthenticated,
    /// The caller may not do this.
    Forbidden,
    /// No such thing, or none that the caller may see.
    NotFound,
    /// The thing's state does not allow it.
    Conflict,
    /// The idempotency key was used for another call.
    IdempotencyConflict,
    /// The fence is old.
    Stale,
    /// The database is away or overloaded.
    Unavailable,
    /// A bug, or a broken installation.
    Internal,
}

/// A use case failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What went wrong.
    pub kind: ErrorKind,
    /// What the caller may read, with the next step.
    pub message: String,
    /// What only the log may hold.
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error that is entirely public.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), cause: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn unavailable() -> Self {
        Self::new(ErrorKind::Unavailable, "The database does not answer or is overloaded. Try again in a moment.")
    }

    /// The same error for another caller; the cause stays with the first.
    pub(crate) fn again(&self) -> Self {
        Self::new(self.kind, self.message.clone())
    }

    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, format!("There is no {what} here, or it is not yours to see."))
    }

    /// Whether trying again later may help.
    pub const fn retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable)
    }
}

/// What only the database checks: the constraint, and what a caller is told who breaks it.
const CONSTRAINTS: [(&str, ErrorKind, &str); 2] = [
    ("lanes_org_id_project_id_fkey", ErrorKind::Invalid, "project_id names what is not there."),
    (KEY_CONSTRAINT, ErrorKind::IdempotencyConflict, "This Idempotency-Key was used before."),
];

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        if let Some((_, kind, message)) = CONSTRAINTS.into_iter().find(|(name, ..)| error.constraint() == Some(*name)) {
            return Self { kind, message: message.to_owned(), cause: Some(Box::new(error)) };
        }
        if error.is_unavailable() {
            return Self { cause: Some(Box::new(error)), ..Self::unavailable() };
        }
        let message = "Something broke on the server's side. Its log has the details.";
        Self { kind: ErrorKind::Internal, message: message.to_owned(), cause: Some(Box::new(error)) }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match &refused {
            Refused::Stale { .. } => Self::stale(),
            Refused::Finished(state) => Self::new(
                ErrorKind::Conflict,
                format!("The request is already {state}. Use replay to ask for it again."),
            ),
            Refused::WrongState { .. } => {
                let mut message = refused.to_string();
                if let Some(first) = message.get_mut(0..1) {
                    first.make_ascii_uppercase();
                }
                Self::new(ErrorKind::Conflict, message + ".")
            }
        }
    }
}

impl Error {
    pub(crate) fn stale() -> Self {
        Self::new(ErrorKind::Stale, "The lease of this attempt was given away. Stop the agent and write nothing more.")
    }
}
