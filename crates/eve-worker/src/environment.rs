//! The environment of an agent: cleared, then filled with what it needs.

use std::collections::BTreeMap;
use std::path::Path;

use eve_api_types::Assignment;
use serde_json::Value;

use crate::inventory::HarnessEntry;
use crate::inventory::HostEnvironment;

/// Variables of the worker's own environment that every agent may see.
const COMMON: [&str; 9] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"];

/// What an attempt's processes find in their environment. Later layers win: the host's common variables, those that
/// the harness needs, the operator's settings for it, the command's own, and Eve's.
pub(crate) fn environment(
    host: &HostEnvironment,
    entry: &HarnessEntry,
    command: &[(String, String)],
    assignment: &Assignment,
    workspace: &Path,
    scratch: &Path,
) -> Vec<(String, String)> {
    let mut env: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |name: &str, value: String| {
        if !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0') {
            env.insert(name.to_owned(), value);
        }
    };
    set("LANG", "C.UTF-8".to_owned());
    set("TERM", "dumb".to_owned());
    set("TMPDIR", scratch.join("tmp").to_string_lossy().into_owned());
    for (name, value) in entry.kind.default_env() {
        set(name, (*value).to_owned());
    }
    let passed = entry.kind.passed_env().iter().copied().chain(entry.settings.pass_env.iter().map(String::as_str));
    for name in COMMON.into_iter().chain(passed) {
        if let Some(value) = host.var(name) {
            set(name, value.to_owned());
        }
    }
    for (name, value) in &entry.settings.env {
        set(name, value.clone());
    }
    for (name, value) in command {
        set(name, value.clone());
    }
    set("EVE_REQUEST_ID", assignment.request_id.to_string());
    set("EVE_ATTEMPT_ID", assignment.attempt_id.to_string());
    set("EVE_ATTEMPT_NUMBER", assignment.number.to_string());
    set("EVE_ORG_ID", assignment.org_id.to_string());
    set("EVE_USER_ID", assignment.user_id.to_string());
    set("EVE_PROJECT_ID", assignment.project_id.map(|id| id.to_string()).unwrap_or_default());
    set("EVE_WORKER_TYPE", assignment.worker_type.clone());
    set("EVE_WORKSPACE", workspace.to_string_lossy().into_owned());
    set("EVE_CONTEXT", assignment.context.to_string());
    if let Value::Object(map) = &assignment.context {
        for (key, value) in map {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => continue,
            };
            set(&format!("EVE_CONTEXT_{}", variable_name(key)), value);
        }
    }
    env.into_iter().collect()
}

/// Upper case, with an underscore for whatever a variable's name cannot hold.
fn variable_name(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

#[cfg(test)]
mod tests;
