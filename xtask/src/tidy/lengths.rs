//! File lengths: a long file usually holds a second noun.

use std::cmp::Reverse;

use super::Finding;
use crate::workspace::File;

const CHECK: &str = "lengths";

/// Above this, look for what could be a module of its own.
const LONG: usize = 500;
/// Above this, nothing more goes in.
const TOO_LONG: usize = 800;

/// In the first line of a file that a program writes.
const GENERATED: &str = "@generated";

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let mut long: Vec<(usize, &File)> =
        files.iter().filter(|file| counts(file)).map(|file| (length(&file.text), file)).collect();
    long.retain(|(lines, _)| *lines > LONG);
    long.sort_by_key(|(lines, file)| (Reverse(*lines), file.path.as_str()));
    long.into_iter().map(|(lines, file)| finding(lines, &file.path)).collect()
}

fn finding(lines: usize, path: &str) -> Finding {
    if lines > TOO_LONG {
        return Finding::error(CHECK, path, format!("{lines} lines without tests, more than {TOO_LONG}: split it"));
    }
    Finding::warning(
        CHECK,
        path,
        format!("{lines} lines without tests, more than {LONG}: is there a second noun in it?"),
    )
}

fn counts(file: &File) -> bool {
    let is_test = file.path.contains("/tests/") || file.path.ends_with("/tests.rs");
    let is_generated = file.text.lines().next().is_some_and(|line| line.contains(GENERATED));
    file.path.ends_with(".rs") && !is_test && !is_generated
}

/// Lines before the tests, which come last in a file.
fn length(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests"));
    tests.unwrap_or(lines.len())
}

#[cfg(test)]
mod tests;
