//! `cargo xtask tidy`: what the tree has to look like and no compiler checks.
//!
//! Each check is a module: a function from what it looks at to its findings, tried on made-up inputs in its tests.
//! What is allowed and forbidden is data at the top of the module, so that an exception is one line with its reason.

mod edges;
mod error_pages;
mod lengths;
mod lock;
mod manifests;
mod migrations;
mod names;
mod places;
mod words;

use std::fmt;
use std::io;
use std::io::Write;

use anyhow::Result;

use crate::workspace::Workspace;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// Printed.
    Warning,
    /// Printed, and the task fails.
    Error,
}

/// Something that a check does not like.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    level: Level,
    /// The check's name.
    check: &'static str,
    /// The file, relative to the root.
    path: String,
    line: Option<usize>,
    message: String,
}

impl Finding {
    fn error(check: &'static str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { level: Level::Error, check, path: path.into(), line: None, message: message.into() }
    }

    fn warning(check: &'static str, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::error(check, path, message) }
    }

    fn at(self, line: usize) -> Self {
        Self { line: Some(line), ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        let level = match self.level {
            Level::Warning => "warning",
            Level::Error => "error",
        };
        write!(f, ": {level}[{}]: {}", self.check, self.message)
    }
}

/// Runs all checks and prints what they found; false when there was an error.
pub(crate) fn run(workspace: &Workspace) -> Result<bool> {
    let files = workspace.files()?;
    let mut findings = edges::check(&workspace.crates);
    findings.extend(manifests::check(&workspace.crates, &files));
    findings.extend(names::check(&files));
    findings.extend(lengths::check(&files));
    findings.extend(migrations::check(&files, &migrations::released(workspace)?));
    findings.extend(places::check(&files));
    findings.extend(words::check(&files));
    findings.extend(error_pages::check(&files));
    findings.extend(lock::check(&files, |name| lock::users(workspace, name))?);

    let mut out = io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    let errors = findings.iter().filter(|finding| finding.level == Level::Error).count();
    let warnings = findings.len() - errors;
    writeln!(out, "tidy: {} files, {errors} errors, {warnings} warnings", files.len())?;
    Ok(errors == 0)
}
