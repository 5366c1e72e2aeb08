//! File names: `foo.rs` beside `foo/`, and no module that is named after nothing.

use super::Finding;
use crate::workspace::File;

const CHECK: &str = "names";

/// Names that fit everything, so everything ends up there.
const MEANINGLESS: &[&str] = &["common", "helper", "helpers", "misc", "shared", "util", "utils"];

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    files.iter().filter_map(|file| Some(Finding::error(CHECK, &file.path, complaint(&file.path)?))).collect()
}

fn complaint(path: &str) -> Option<String> {
    let modules = path.strip_suffix(".rs")?;
    if modules.ends_with("/mod") {
        return Some("write `foo.rs` beside `foo/`, not `foo/mod.rs`".to_owned());
    }
    let name = modules.split('/').find(|part| MEANINGLESS.contains(part))?;
    Some(format!("name the module after what it is about; `{name}` is about nothing"))
}

#[cfg(test)]
mod tests;
