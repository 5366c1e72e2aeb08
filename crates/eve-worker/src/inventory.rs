//! The agent CLIs on a host: which there are, whether they can reach a model, and which one to take.
//!
//! Whether a CLI is signed in is read off the presence of a variable or a file. Their content is never read.

mod choose;
mod host;

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crate::harness::HarnessKind;

pub use choose::Choice;
pub use choose::NoHarness;
pub use host::HostEnvironment;

/// Longest time that a CLI may take to say its version.
const VERSION_LIMIT: Duration = Duration::from_secs(15);
/// Longest version that is kept, in characters.
const VERSION_LEN: usize = 80;

/// An operator's settings for one harness.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HarnessSettings {
    /// The program, if not the usual one.
    pub program: Option<PathBuf>,
    /// Variables to set.
    pub env: BTreeMap<String, String>,
    /// Variables of the worker's own environment to pass on.
    pub pass_env: Vec<String>,
    /// Where to reach the model.
    pub gateway_url: Option<String>,
    /// The variable that holds the gateway's key.
    pub gateway_key_env: Option<String>,
}

/// Whether a CLI can reach a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedIn {
    /// By this means.
    Yes(String),
    /// Not yet; this would help.
    No(String),
    /// It cannot be told.
    Unknown,
    /// It needs none.
    NotNeeded,
}

impl SignedIn {
    /// The word on the wire.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Yes(_) => "yes",
            Self::No(_) => "no",
            Self::Unknown => "unknown",
            Self::NotNeeded => "not_needed",
        }
    }
}

/// A harness that this host has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HarnessEntry {
    /// The name that requests use.
    pub name: String,
    /// The adapter.
    pub kind: HarnessKind,
    /// The program.
    pub program: PathBuf,
    /// The version that it reports.
    pub version: Option<String>,
    /// Whether it can reach a model.
    pub signed_in: SignedIn,
    /// The operator's settings.
    pub settings: HarnessSettings,
}

/// A harness that could be here and is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// What would help.
    pub hint: String,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Those that are here, best first.
    pub entries: Vec<HarnessEntry>,
    /// Those that are not.
    pub missing: Vec<Missing>,
}

impl Inventory {
    /// Looks at the host. `settings` names further harnesses, or changes the usual ones.
    pub async fn discover(host: &HostEnvironment, settings: &BTreeMap<String, (HarnessKind, HarnessSettings)>) -> Self {
        let mut wanted: Vec<(String, HarnessKind, PathBuf, HarnessSettings)> = Vec::new();
        for (name, kind, program) in
            [("claude", HarnessKind::ClaudeCode, "claude"), ("codex", HarnessKind::Codex, "codex")]
        {
            let settings = settings.get(name).map(|(_, settings)| settings.clone()).unwrap_or_default();
            let program = settings.program.clone().unwrap_or_else(|| PathBuf::from(program));
            wanted.push((name.to_owned(), kind, program, settings));
        }
        for (name, program) in host.mirror_variants() {
            let settings = settings.get(&name).map(|(_, settings)| settings.clone()).unwrap_or_default();
            wanted.push((name, HarnessKind::ClaudeCode, program, settings));
        }
        for (name, (kind, own)) in settings {
            if *kind != HarnessKind::Command && wanted.iter().all(|(known, ..)| known != name) {
                let program = own.program.clone().unwrap_or_else(|| PathBuf::from(name));
                wanted.push((name.clone(), *kind, program, own.clone()));
            }
        }
        let mut inventory = Self::default();
        for (name, kind, program, settings) in wanted {
            let Some(found) = host.find_program(&program) else {
                let hint = if host.is_usual(&name) {
                    install_hint(kind, &name)
                } else {
                    format!("its program {} is not there; mend `harness.{name}.program`", program.display())
                };
                inventory.missing.push(Missing { name, hint });
                continue;
            };
            let program = found;
            match version(host, &program).await {
                Ok(version) => {
                    let signed_in = host.signed_in(kind, &name, &settings);
                    inventory.entries.push(HarnessEntry {
                        name,
                        kind,
                        program,
                        version: Some(version),
                        signed_in,
                        settings,
                    });
                }
                Err(error) => {
                    let hint = format!("{} does not start ({error}); {}", program.display(), install_hint(kind, &name));
                    inventory.missing.push(Missing { name, hint });
                }
            }
        }
        let command = settings.get("command").map(|(_, settings)| settings.clone()).unwrap_or_default();
        inventory.entries.push(HarnessEntry {
            name: "command".to_owned(),
            kind: HarnessKind::Command,
            program: PathBuf::from("/bin/bash"),
            version: None,
            signed_in: SignedIn::NotNeeded,
            settings: command,
        });
        inventory
    }
}

fn install_hint(kind: HarnessKind, name: &str) -> String {
    match kind {
        HarnessKind::ClaudeCode if name == "claude" => {
            "npm install -g @anthropic-ai/claude-code, then run `claude` once to sign in, or set ANTHROPIC_API_KEY"
                .into()
        }
        HarnessKind::ClaudeCode => format!("create the variant with `npx cc-mirror quick --name {name}`"),
        HarnessKind::Codex => "npm install -g @openai/codex, then `codex login`, or set CODEX_API_KEY".into(),
        HarnessKind::Command => "install bash".into(),
    }
}

/// What a program says to `--version`, run with nothing but a home and a path.
async fn version(host: &HostEnvironment, program: &Path) -> Result<String, String> {
    let run = tokio::process::Command::new(program)
        .arg("--version")
        .env_clear()
        .envs(["PATH", "HOME"].into_iter().filter_map(|name| Some((name, host.var(name)?))))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(VERSION_LIMIT, run).await {
        Err(_) => return Err(format!("no answer to --version within {} s", VERSION_LIMIT.as_secs())),
        Ok(Err(error)) => return Err(error.to_string()),
        Ok(Ok(output)) => output,
    };
    if !output.status.success() {
        return Err(format!("--version ended with {}", output.status));
    }
    let text = crate::output::clean(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().chars().take(VERSION_LEN).collect())
}

#[cfg(test)]
mod tests;
