//! Nothing in the tree depends on whose machine it was written on, or on which package registry that machine uses.
//!
//! Registries and proxies are the machine's configuration. The names below are kept in parts, so that this file does
//! not contain what it looks for.

use super::Finding;
use crate::workspace::File;

const CHECK: &str = "places";

/// Directories at the top of a file system that belong to one machine or person.
const MACHINE_DIRECTORIES: &[&str] = &["root", "home", "work"];

/// Hosts of package registries; their subdomains count too.
const REGISTRIES: &[(&str, &str)] = &[
    ("crates", "io"),
    ("docker", "io"),
    ("ghcr", "io"),
    ("golang", "org"),
    ("npmjs", "com"),
    ("npmjs", "org"),
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("quay", "io"),
    ("yarnpkg", "com"),
];

/// Files that may contain them, by the end of the path or a directory on it, and why.
const ALLOWED: &[(Where, &str)] = &[
    (Where::Ends("Cargo.lock"), "lock files record where a package came from"),
    (Where::Ends("package-lock.json"), "lock files record where a package came from"),
    (Where::Below("testdata/"), "recorded on some machine, and used as it was recorded"),
    (Where::Below("snapshots/"), "what the tests make of recordings and of documented examples"),
];

#[derive(Debug, Clone, Copy)]
enum Where {
    Ends(&'static str),
    Below(&'static str),
}

impl Where {
    fn is(self, path: &str) -> bool {
        match self {
            Self::Ends(end) => path == end || path.strip_suffix(end).is_some_and(|rest| rest.ends_with('/')),
            Self::Below(directory) => path.starts_with(directory) || path.contains(&format!("/{directory}")),
        }
    }
}

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let checked = files.iter().filter(|file| !ALLOWED.iter().any(|(place, _)| place.is(&file.path)));
    checked.flat_map(check_file).collect()
}

fn check_file(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for directory in MACHINE_DIRECTORIES.iter().map(|name| format!("/{name}/")) {
        let message = format!("a path below {directory} exists on one machine only");
        findings.extend(check_lines(file, &directory, has_path, &message));
    }
    for host in REGISTRIES.iter().map(|(name, domain)| format!("{name}.{domain}")) {
        let message = format!("{host} is the machine's choice: use its configured registry");
        findings.extend(check_lines(file, &host, has_host, &message));
    }
    findings
}

fn check_lines(file: &File, name: &str, has: fn(&str, &str) -> bool, message: &str) -> Vec<Finding> {
    // Nearly always the end of it, and much cheaper than line by line.
    if !file.text.contains(name) {
        return Vec::new();
    }
    let lines = file.text.lines().enumerate().filter(|(_, line)| has(line, name));
    lines.map(|(index, _)| Finding::error(CHECK, &file.path, message).at(index + 1)).collect()
}

/// Whether an absolute path begins with this directory, as opposed to a longer path that contains it.
fn has_path(line: &str, directory: &str) -> bool {
    let continues = |letter: char| letter.is_alphanumeric() || "._-~/}>)*".contains(letter);
    line.match_indices(directory).any(|(at, _)| !line[..at].ends_with(continues))
}

/// Whether the line names the host or one below it, as opposed to a word that ends or begins like it.
fn has_host(line: &str, host: &str) -> bool {
    let continues = |letter: char| letter.is_alphanumeric() || letter == '-' || letter == '_';
    line.match_indices(host).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + host.len()..]);
        !before.ends_with(continues) && !after.starts_with(continues)
    })
}

#[cfg(test)]
mod tests;
