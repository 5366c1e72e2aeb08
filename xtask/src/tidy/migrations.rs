//! Migrations: numbered without a gap, and never changed once released.
//!
//! Installations remember a migration by its checksum, so a released one that changes stops them from starting. What
//! is not released yet may be edited.

use anyhow::Result;

use super::Finding;
use crate::workspace::File;
use crate::workspace::Workspace;

const CHECK: &str = "migrations";
const DIRECTORY: &str = "crates/eve-store/migrations/";
const RELEASE_TAGS: &str = "v[0-9]*";

/// The migrations as the last release before this commit has them; none before the first.
pub(super) fn released(workspace: &Workspace) -> Result<Vec<File>> {
    let tags = workspace.git(&["tag", "--list", RELEASE_TAGS, "--merged", "HEAD", "--sort=-version:refname"])?;
    let Some(tag) = tags.lines().next() else { return Ok(Vec::new()) };
    let list = workspace.git(&["ls-tree", "-r", "-z", "--name-only", tag, DIRECTORY])?;
    let text = |path: &str| workspace.git(&["show", &format!("{tag}:{path}")]);
    list.split_terminator('\0').map(|path| Ok(File { path: path.to_owned(), text: text(path)? })).collect()
}

pub(super) fn check(files: &[File], released: &[File]) -> Vec<Finding> {
    let migrations: Vec<&File> = files.iter().filter(|file| file.path.starts_with(DIRECTORY)).collect();
    let mut findings = Vec::new();
    for (index, file) in migrations.iter().enumerate() {
        let number = format!("{:04}", index + 1);
        if !file.path.strip_prefix(DIRECTORY).is_some_and(|name| is_named(name, &number)) {
            let message = format!("expected {number}_what_it_does.sql: four digits without a gap, then lower case");
            findings.push(Finding::error(CHECK, &file.path, message));
        }
    }
    for old in released {
        match migrations.iter().find(|file| file.path == old.path) {
            Some(file) if file.text == old.text => {}
            Some(_) => findings.push(Finding::error(CHECK, &old.path, "is released and must not change; add another")),
            None => findings.push(Finding::error(CHECK, &old.path, "is released and must not go away")),
        }
    }
    findings
}

fn is_named(name: &str, number: &str) -> bool {
    let words =
        name.strip_prefix(number).and_then(|rest| rest.strip_prefix('_')).and_then(|rest| rest.strip_suffix(".sql"));
    let is_word = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    words.is_some_and(|words| !words.is_empty() && words.chars().all(is_word))
}

#[cfg(test)]
mod tests;
