//! The name of a worker type: who does a request.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::Serialize;

/// A text cannot name a worker type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid worker type `{text}`: use 1 to 64 lower-case letters, digits and hyphens, starting with a letter")]
pub struct InvalidWorkerType {
    /// The text as given, cut at 80 characters.
    pub text: String,
}

/// A well-formed worker type name such as `general` or `code-review`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkerTypeName(String);

impl WorkerTypeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The type that is used when none is named.
    pub fn general() -> Self {
        Self("general".to_owned())
    }
}

impl FromStr for WorkerTypeName {
    type Err = InvalidWorkerType;
    fn from_str(text: &str) -> Result<Self, InvalidWorkerType> {
        let starts = text.starts_with(|c: char| c.is_ascii_lowercase());
        let letters = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if starts && letters && text.len() <= 64 {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidWorkerType { text: text.chars().take(80).collect() })
        }
    }
}

impl TryFrom<String> for WorkerTypeName {
    type Error = InvalidWorkerType;
    fn try_from(text: String) -> Result<Self, InvalidWorkerType> {
        text.parse()
    }
}

impl From<WorkerTypeName> for String {
    fn from(name: WorkerTypeName) -> Self {
        name.0
    }
}

impl fmt::Display for WorkerTypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
