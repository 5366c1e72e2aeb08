//! The worker types that come with Eve: the same files that a user can read, copy and change.

use std::sync::LazyLock;

use eve_store::worker_type::WorkerType;
use serde::Deserialize;

use crate::Error;
use crate::ErrorKind;

const TYPES: [&str; 2] =
    [include_str!("../../../worker-types/general.toml"), include_str!("../../../worker-types/code-review.toml")];
const SKILLS: [(&str, &str); 2] = [
    ("general", include_str!("../../../skills/general/SKILL.md")),
    ("code-review", include_str!("../../../skills/code-review/SKILL.md")),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    title: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    capabilities: Vec<String>,
    #[serde(default)]
    skills: Vec<String>,
    timeout_seconds: i32,
    idle_timeout_seconds: i32,
    max_attempts: i32,
}

/// The text of a skill without its front matter.
fn skill(name: &str) -> Option<&'static str> {
    let (_, text) = SKILLS.iter().find(|(known, _)| *known == name)?;
    let body = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")).map_or(*text, |(_, body)| body);
    Some(body.trim())
}

/// Whether a worker type comes with Eve, by its name.
pub(crate) fn is_seeded(name: &str) -> bool {
    static TYPES_OF_EVE: LazyLock<Vec<WorkerType>> = LazyLock::new(|| worker_types().unwrap_or_default());
    TYPES_OF_EVE.iter().any(|kind| kind.name.as_str() == name)
}

/// The worker types of a new organization.
pub(crate) fn worker_types() -> Result<Vec<WorkerType>, Error> {
    TYPES
        .iter()
        .map(|text| {
            let broken = |message: String| Error::new(ErrorKind::Internal, message);
            let file: File = toml::from_str(text).map_err(|error| broken(format!("a worker type file: {error}")))?;
            let mut instructions = Vec::new();
            for name in &file.skills {
                instructions.push(skill(name).ok_or_else(|| broken(format!("there is no skill {name}")))?);
            }
            Ok(WorkerType {
                name: file.name.parse().map_err(|error| broken(format!("{error}")))?,
                title: file.title,
                description: file.description,
                capabilities: file.capabilities,
                instructions: instructions.join("\n\n"),
                harness: None,
                model: None,
                image: None,
                timeout_seconds: file.timeout_seconds,
                idle_timeout_seconds: file.idle_timeout_seconds,
                max_attempts: file.max_attempts,
                config: serde_json::json!({}),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
