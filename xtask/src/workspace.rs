//! The workspace as cargo and git see it.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use anyhow::Result;
use serde_json::Value;

use crate::process;

/// The tree that this program works on.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The directory of the workspace's manifest.
    pub(crate) root: PathBuf,
    /// Where cargo puts what it builds.
    pub(crate) target: PathBuf,
    /// The workspace's own crates.
    pub(crate) crates: Vec<Crate>,
}

/// One of the workspace's crates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crate {
    pub(crate) name: String,
    /// Its manifest, relative to the root.
    pub(crate) manifest: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// What a crate's manifest asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Only for tests, examples and benchmarks.
    pub(crate) dev: bool,
}

/// A file that git tracks, or would with the next `git add`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// Relative to the root.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Workspace {
    /// Asks cargo, without the network and without touching the lock file.
    pub(crate) fn load() -> Result<Self> {
        let here = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let mut command = process::cargo();
        command.args(["metadata", "--no-deps", "--offline", "--format-version=1"]);
        if let Some(here) = here {
            command.current_dir(here);
        }
        let text = process::capture(&mut command)?;
        let metadata: Value = serde_json::from_str(&text).context("`cargo metadata` printed something unexpected")?;
        Self::from_metadata(&metadata).context("`cargo metadata` lacks a field")
    }

    fn from_metadata(metadata: &Value) -> Option<Self> {
        let root = PathBuf::from(metadata["workspace_root"].as_str()?);
        let target = PathBuf::from(metadata["target_directory"].as_str()?);
        let crates = metadata["packages"].as_array()?.iter().map(|package| Crate::from_metadata(package, &root));
        Some(Self { crates: crates.collect::<Option<_>>()?, root, target })
    }

    /// All text files, in order of their paths. Those that git ignores are not ours; binary ones have no lines.
    pub(crate) fn files(&self) -> Result<Vec<File>> {
        let list = self.git(&["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
        let mut paths: Vec<&str> = list.split_terminator('\0').collect();
        paths.sort_unstable();
        paths.dedup();
        let text = |path: &str| fs::read_to_string(self.root.join(path)).ok();
        Ok(paths.into_iter().filter_map(|path| Some(File { path: path.to_owned(), text: text(path)? })).collect())
    }

    /// What git prints.
    pub(crate) fn git(&self, args: &[&str]) -> Result<String> {
        process::capture(Command::new("git").arg("-C").arg(&self.root).args(args))
    }

    /// Runs cargo in the workspace.
    pub(crate) fn cargo(&self, args: &[&str]) -> Command {
        let mut command = process::cargo();
        command.current_dir(&self.root).args(args);
        command
    }
}

impl Crate {
    fn from_metadata(package: &Value, root: &Path) -> Option<Self> {
        let manifest = Path::new(package["manifest_path"].as_str()?);
        let dependencies = package["dependencies"].as_array()?.iter().map(|dependency| {
            Some(Dependency {
                name: dependency["name"].as_str()?.to_owned(),
                dev: dependency["kind"].as_str() == Some("dev"),
            })
        });
        Some(Self {
            name: package["name"].as_str()?.to_owned(),
            manifest: manifest.strip_prefix(root).unwrap_or(manifest).to_string_lossy().into_owned(),
            dependencies: dependencies.collect::<Option<_>>()?,
        })
    }
}
