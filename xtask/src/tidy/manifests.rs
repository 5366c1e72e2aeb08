//! Every crate takes its version, its terms and its lints from the workspace.

use toml::Table;
use toml::Value;

use super::Finding;
use crate::workspace::Crate;
use crate::workspace::File;

const CHECK: &str = "manifests";

/// The fields of `[package]` that are said once for all.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license", "publish"];

pub(super) fn check(crates: &[Crate], files: &[File]) -> Vec<Finding> {
    let manifests = files.iter().filter(|file| crates.iter().any(|krate| krate.manifest == file.path));
    manifests.flat_map(check_manifest).collect()
}

fn check_manifest(file: &File) -> Vec<Finding> {
    let error = |message: String| Finding::error(CHECK, &file.path, message);
    let manifest: Table = match toml::from_str(&file.text) {
        Ok(manifest) => manifest,
        Err(wrong) => return vec![error(wrong.message().to_owned())],
    };
    let package = manifest.get("package");
    let mut findings: Vec<Finding> = INHERITED
        .iter()
        .filter(|field| !inherits(package.and_then(|package| package.get(field))))
        .map(|field| error(format!("[package] needs `{field}.workspace = true`")))
        .collect();
    if !inherits(manifest.get("lints")) {
        findings.push(error("needs [lints] with `workspace = true`".to_owned()));
    }
    findings
}

fn inherits(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")) == Some(&Value::Boolean(true))
}

#[cfg(test)]
mod tests;
