//! One crypto provider: packages that bring another must not be built.
//!
//! With two providers in one program rustls panics when it starts, not when it is built. The lock file also names
//! packages that nothing builds (cargo locks the optional dependencies that a `crate?/feature` mentions), so for
//! what it names the dependency tree has the last word.

use anyhow::Context;
use anyhow::Result;
use toml::Table;
use toml::Value;

use super::Finding;
use crate::process;
use crate::workspace::File;
use crate::workspace::Workspace;

const CHECK: &str = "lock";
const LOCK_FILE: &str = "Cargo.lock";

/// The same names as in deny.toml.
const BANNED: &[(&str, &str)] = &[
    ("ring", "aws-lc-rs is the crypto provider"),
    ("native-tls", "rustls is the TLS library"),
    ("openssl-sys", "rustls is the TLS library"),
    ("rsa", "its private-key operations leak through timing"),
];

/// Checks what the lock file names; `users` gives the paths over which a package is built.
pub(super) fn check(files: &[File], users: impl Fn(&str) -> Result<Vec<String>>) -> Result<Vec<Finding>> {
    let Some(lock) = files.iter().find(|file| file.path == LOCK_FILE) else {
        return Ok(vec![Finding::error(CHECK, LOCK_FILE, "is not committed")]);
    };
    let locked = packages(&lock.text)?;
    let mut findings = Vec::new();
    for (name, reason) in BANNED.iter().filter(|(name, _)| locked.iter().any(|package| package == name)) {
        let users = users(name)?;
        if !users.is_empty() {
            let message = format!("`{name}` is built: {reason}; it comes through {}", users.join(" <- "));
            findings.push(Finding::error(CHECK, LOCK_FILE, message));
        }
    }
    Ok(findings)
}

fn packages(lock: &str) -> Result<Vec<String>> {
    let lock: Table = toml::from_str(lock).context("Cargo.lock is damaged")?;
    let packages = lock.get("package").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let names = packages.iter().filter_map(|package| package.get("name").and_then(Value::as_str));
    Ok(names.map(str::to_owned).collect())
}

/// The packages over which one gets into what is built for this machine, nearest first.
pub(super) fn users(workspace: &Workspace, name: &str) -> Result<Vec<String>> {
    let args =
        ["tree", "--workspace", "--offline", "--locked", "--edges=all", "--prefix=none", "--format={p}", "--invert"];
    let tree = process::capture(workspace.cargo(&args).arg(name))?;
    Ok(first_path(&tree))
}

/// The names in the inverted tree's lines from the package up; nothing when it is not built at all.
fn first_path(tree: &str) -> Vec<String> {
    let name = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let mut path: Vec<String> = tree.lines().filter(|line| !line.starts_with('[')).filter_map(name).collect();
    path.dedup();
    path.truncate(5);
    path
}

#[cfg(test)]
mod tests;
