//! What the worker's own environment and home say about agent CLIs.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use super::HarnessSettings;
use super::SignedIn;
use crate::harness::HarnessKind;

/// Most variants of cc-mirror that are looked at.
const MAX_VARIANTS: usize = 50;

/// The worker's environment as it was at the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostEnvironment {
    vars: BTreeMap<String, String>,
}

impl HostEnvironment {
    /// An environment with these variables.
    pub fn new(vars: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { vars: vars.into_iter().collect() }
    }

    /// One variable; an empty one counts as absent.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The home directory.
    pub fn home(&self) -> Option<PathBuf> {
        self.var("HOME").map(PathBuf::from)
    }

    /// Where a program is: itself if it is a path, else the first of that name on PATH or in `~/.local/bin`.
    pub fn find_program(&self, program: &Path) -> Option<PathBuf> {
        if program.components().count() > 1 {
            return is_program(program).then(|| program.to_owned());
        }
        let local = self.home().map(|home| home.join(".local/bin"));
        std::env::split_paths(self.var("PATH").unwrap_or_default())
            .chain(local)
            .filter(|dir| dir.is_absolute())
            .map(|dir| dir.join(program))
            .find(|path| is_program(path))
    }

    /// Whether a harness is one that Eve looks for by itself.
    pub(super) fn is_usual(&self, name: &str) -> bool {
        name == "claude" || name == "codex" || self.mirror_variants().iter().any(|(variant, _)| variant == name)
    }

    /// The variants that cc-mirror made in this home, by name.
    pub(super) fn mirror_variants(&self) -> Vec<(String, PathBuf)> {
        let Some(home) = self.home() else { return Vec::new() };
        let Ok(entries) = std::fs::read_dir(home.join(".cc-mirror")) else { return Vec::new() };
        let mut variants: Vec<(String, PathBuf)> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.path().join("variant.json").is_file())
            .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
            .take(MAX_VARIANTS)
            .map(|(name, _)| (name.clone(), PathBuf::from(name)))
            .collect();
        variants.sort();
        variants
    }

    /// Whether a CLI can reach a model, by what is there and not by what is in it.
    pub(super) fn signed_in(&self, kind: HarnessKind, name: &str, settings: &HarnessSettings) -> SignedIn {
        if settings.gateway_url.is_some() {
            return SignedIn::Yes("gateway_url is set".into());
        }
        let set = |variable: &str| settings.env.contains_key(variable) || self.var(variable).is_some();
        let home = self.home().unwrap_or_default();
        let file = |directory: Option<&str>, default: &str, file: &str| {
            directory.map_or_else(|| home.join(default), PathBuf::from).join(file)
        };
        match kind {
            HarnessKind::Command => SignedIn::NotNeeded,
            HarnessKind::ClaudeCode if name != "claude" && home.join(".cc-mirror").join(name).is_dir() => {
                SignedIn::Yes("cc-mirror variant".into())
            }
            HarnessKind::ClaudeCode => {
                for variable in ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"] {
                    if set(variable) {
                        return SignedIn::Yes(format!("{variable} is set"));
                    }
                }
                let credentials = file(self.var("CLAUDE_CONFIG_DIR"), ".claude", ".credentials.json");
                if credentials.is_file() {
                    SignedIn::Yes("signed in by subscription".into())
                } else {
                    SignedIn::No("run `claude` once to sign in, or set ANTHROPIC_API_KEY".into())
                }
            }
            HarnessKind::Codex => {
                // Codex reads neither OPENAI_API_KEY nor OPENAI_BASE_URL by itself.
                if set("CODEX_API_KEY") {
                    return SignedIn::Yes("CODEX_API_KEY is set".into());
                }
                if file(self.var("CODEX_HOME"), ".codex", "auth.json").is_file() {
                    SignedIn::Yes("signed in by `codex login`".into())
                } else {
                    SignedIn::No("run `codex login`, or set CODEX_API_KEY".into())
                }
            }
        }
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
