//! Which harness to take, and why: a pure choice that is shown to the asker.

use super::HarnessEntry;
use super::Inventory;
use super::SignedIn;
use crate::harness::HarnessKind;

/// A harness and the reason for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice<'a> {
    /// The harness.
    pub entry: &'a HarnessEntry,
    /// Why, as a sentence for the log.
    pub reason: String,
}

/// No harness can be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NoHarness {
    /// What is missing, and what would help.
    pub message: String,
}

impl Inventory {
    /// The harness of that name, or the best one when none is named.
    ///
    /// The best is the first that is signed in: Claude Code, then Codex, then variants and others by name. The
    /// harness `command` is never taken by itself, because it would run words as a script.
    ///
    /// # Errors
    /// When it is not here, or none is signed in.
    pub fn choose(&self, wanted: Option<&str>) -> Result<Choice<'_>, NoHarness> {
        match wanted {
            Some(name) => self.named(name),
            None => self.best(),
        }
    }

    fn named(&self, name: &str) -> Result<Choice<'_>, NoHarness> {
        let canonical = if name == "claude-code" { "claude" } else { name };
        if let Some(entry) = self.entries.iter().find(|entry| entry.name == canonical) {
            let version = entry.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
            let reason = match &entry.signed_in {
                SignedIn::No(hint) => {
                    format!("harness {name}{version}, as asked for; it does not look signed in: {hint}")
                }
                SignedIn::Yes(_) | SignedIn::Unknown | SignedIn::NotNeeded => {
                    format!("harness {name}{version}, as asked for")
                }
            };
            return Ok(Choice { entry, reason });
        }
        let message = match self.missing.iter().find(|missing| missing.name == canonical) {
            Some(missing) => format!("The harness {name} is not on this worker's host: {}.", missing.hint),
            None => format!("There is no harness {name} on this worker's host; there are: {}.", self.names()),
        };
        Err(NoHarness { message })
    }

    fn best(&self) -> Result<Choice<'_>, NoHarness> {
        let usable = |entry: &&HarnessEntry| {
            entry.kind != HarnessKind::Command && matches!(entry.signed_in, SignedIn::Yes(_) | SignedIn::Unknown)
        };
        if let Some(entry) = self.entries.iter().find(usable) {
            let how = match &entry.signed_in {
                SignedIn::Yes(how) => how.as_str(),
                SignedIn::No(_) | SignedIn::Unknown | SignedIn::NotNeeded => "perhaps signed in",
            };
            let passed: Vec<String> = self
                .entries
                .iter()
                .take_while(|other| other.name != entry.name)
                .map(|other| format!("{} is not signed in", other.name))
                .chain(self.missing.iter().map(|missing| format!("{} is not installed", missing.name)))
                .collect();
            let rest = if passed.is_empty() { String::new() } else { format!("; {}", passed.join(", ")) };
            let version = entry.version.as_deref().unwrap_or_default();
            let reason =
                format!("harness {} {version}: the best that is installed and signed in ({how}){rest}", entry.name);
            return Ok(Choice { entry, reason });
        }
        let mut hints: Vec<String> =
            self.missing.iter().map(|missing| format!("{}: {}", missing.name, missing.hint)).collect();
        for entry in &self.entries {
            if let SignedIn::No(hint) = &entry.signed_in {
                hints.push(format!("{}: {hint}", entry.name));
            }
        }
        Err(NoHarness {
            message: format!(
                "No agent CLI on this worker's host is installed and signed in ({}). Or run a script with `--harness command`.",
                hints.join("; ")
            ),
        })
    }

    fn names(&self) -> String {
        self.entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}
