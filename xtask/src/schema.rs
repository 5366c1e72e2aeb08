//! The golden schema: what all migrations together make, as one file that shows in a review.

use std::fmt::Write;

/// Statements that set up the session of whoever restores a dump, and differ between versions.
const SESSION: &[&str] = &["SET ", "SELECT pg_catalog.set_config(", "\\restrict ", "\\unrestrict "];

const HEADER: &str = "\
-- The whole schema, as all migrations make it. Written by `cargo xtask sqlx`; change a migration instead.
";

/// What of a dump is ours: no comments, no session, one empty line between statements.
pub(crate) fn normalise(dump: &str) -> String {
    let mut schema = HEADER.to_owned();
    let mut quoted = false;
    let mut gap = true;
    for line in dump.lines().map(str::trim_end) {
        if !quoted && line.is_empty() {
            gap = true;
            continue;
        }
        if !quoted && (line.starts_with("--") || SESSION.iter().any(|start| line.starts_with(start))) {
            continue;
        }
        if gap {
            schema.push('\n');
            gap = false;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(schema, "{line}");
        // The body of a function may hold anything, also what looks like a comment of the dump.
        quoted ^= line.matches("$$").count() % 2 == 1;
    }
    schema
}

#[cfg(test)]
mod tests;
