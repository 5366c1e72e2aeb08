//! Every code that a user may see has a section in the documentation, and every section has a code.

use super::Finding;
use crate::workspace::File;

const CHECK: &str = "error-pages";
const PAGE: &str = "docs/errors.md";

/// Codes of one kind: where they are given their names, and under which heading they are explained.
#[derive(Debug)]
struct Kind {
    source: &'static str,
    implementation: &'static str,
    function: &'static str,
    heading: &'static str,
}

const KINDS: [Kind; 2] = [
    Kind {
        source: "crates/eve-api-types/src/problem.rs",
        implementation: "impl ProblemCode {",
        function: "fn name(",
        heading: "## Problems of the API",
    },
    Kind {
        source: "crates/eve-core/src/failure.rs",
        implementation: "impl FailureClass {",
        function: "fn code(",
        heading: "## Failures of attempts",
    },
];

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    KINDS.iter().flat_map(|kind| check_kind(kind, files)).collect()
}

fn check_kind(kind: &Kind, files: &[File]) -> Vec<Finding> {
    let text = |path: &str| files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str());
    let codes = codes(kind, text(kind.source));
    if codes.is_empty() {
        let message = format!("found no codes after `{}` and `{}`", kind.implementation, kind.function);
        return vec![Finding::error(CHECK, kind.source, message)];
    }
    let sections = sections(kind.heading, text(PAGE));
    let missing = codes.iter().filter(|code| !sections.iter().any(|(_, section)| section == *code)).map(|code| {
        Finding::error(CHECK, PAGE, format!("needs a section \"### `{code}`\" below \"{}\"", kind.heading))
    });
    let unknown = sections.iter().filter(|(_, section)| !codes.contains(section)).map(|(line, section)| {
        Finding::error(CHECK, PAGE, format!("`{section}` is no code of {}", kind.source)).at(*line)
    });
    missing.chain(unknown).collect()
}

/// The strings that the function returns.
fn codes<'a>(kind: &Kind, source: &'a str) -> Vec<&'a str> {
    let function = source
        .split_once(kind.implementation)
        .and_then(|(_, rest)| rest.split_once(kind.function))
        .map_or("", |(_, rest)| rest);
    let body = function.lines().take_while(|line| *line != "    }");
    body.filter_map(|line| line.split_once("=> \"")?.1.split_once('"').map(|(code, _)| code)).collect()
}

/// The sections below a heading, with their lines.
fn sections<'a>(heading: &str, page: &'a str) -> Vec<(usize, &'a str)> {
    let lines = page.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines
        .skip_while(|(_, line)| *line != heading)
        .skip(1)
        .take_while(|(_, line)| !line.starts_with("## "))
        .filter_map(|(number, line)| Some((number, line.strip_prefix("### `")?.strip_suffix('`')?)))
        .collect()
}

#[cfg(test)]
mod tests;
