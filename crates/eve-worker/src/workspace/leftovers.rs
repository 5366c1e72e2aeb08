//! Tidying up: right after an attempt, and later what a crash left behind.
//!
//! A candidate is an attempt's directory, result or pin whose attempt is not live and that has not been touched for
//! a while. Directories are first moved aside, in one step, and then emptied, so that no half-removed workspace is
//! ever found under an attempt's name. Mirrors stay: they are what makes the next attempt fast. They are packed
//! anew only when they have become untidy and nobody borrows from them.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use eve_core::AttemptId;

use super::Workspaces;
use super::error::GitError;
use super::error::WorkspaceError;
use super::git::Input;
use super::git::TRANSFER_LIMIT;
use super::mirror;
use super::remove::remove_tree;

/// Loose objects in a mirror beyond which it is packed anew.
const MAX_LOOSE_OBJECTS: u64 = 6_700;
/// Packs in a mirror beyond which it is packed anew.
const MAX_PACKS: u64 = 50;
/// Size of what interrupted fetches left in a mirror, in KiB, beyond which it is packed anew.
const MAX_GARBAGE: u64 = 100 << 10;
/// How old an unreachable object must be to be dropped from a mirror.
const PRUNE_AGE: &str = "--prune=2.days.ago";

/// What was collected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Attempts whose directories were removed.
    pub attempts: u64,
    /// Results that were removed.
    pub results: u64,
    /// Pins that were taken out of mirrors.
    pub pins: u64,
    /// Mirrors that were packed anew.
    pub packed: u64,
    /// What could not be removed, and why. The next collection tries again.
    pub failures: Vec<String>,
}

impl Workspaces {
    /// Removes an attempt's workspace. Its result stays until leftovers are collected.
    ///
    /// # Errors
    ///
    /// When something in it cannot be removed; it is out of the way all the same and tried again later.
    pub async fn cleanup(&self, attempt: AttemptId) -> Result<(), WorkspaceError> {
        self.discard(&self.attempt_dir(attempt)).await
    }

    /// Removes what no live attempt needs and nobody touched for this long, and tidies mirrors.
    ///
    /// # Errors
    ///
    /// When Eve's own directories cannot be listed. Everything else is reported in the answer.
    pub async fn collect_leftovers(
        &self,
        live: &HashSet<AttemptId>,
        older_than: Duration,
    ) -> Result<Leftovers, WorkspaceError> {
        let mut done = Leftovers::default();
        for (path, attempt) in entries(&self.root.join("attempts"), "").await? {
            if !live.contains(&attempt) && untouched(&path, older_than).await {
                count(self.discard(&path).await, &mut done.attempts, &mut done.failures);
            }
        }
        for (path, attempt) in entries(&self.root.join("results"), ".git").await? {
            if !live.contains(&attempt) && untouched(&path, older_than).await {
                count(self.discard(&path).await, &mut done.results, &mut done.failures);
            }
        }
        let trash = self.root.join("trash");
        let mut old = tokio::fs::read_dir(&trash).await.map_err(WorkspaceError::io("listing", &trash))?;
        while let Ok(Some(entry)) = old.next_entry().await {
            count(empty_out(entry.path()).await, &mut 0, &mut done.failures);
        }
        for mirror in self.mirrors.all().await? {
            if let Err(error) = self.tidy(&mirror, live, &mut done).await {
                done.failures.push(error.explain());
            }
        }
        Ok(done)
    }

    /// Moves a directory aside and removes it.
    pub(super) async fn discard(&self, path: &Path) -> Result<(), WorkspaceError> {
        let aside = self.root.join("trash").join(uuid::Uuid::new_v4().to_string());
        match tokio::fs::rename(path, &aside).await {
            Ok(()) => empty_out(aside).await,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(WorkspaceError::io("moving aside", path)(error)),
        }
    }

    async fn tidy(&self, mirror: &Path, live: &HashSet<AttemptId>, done: &mut Leftovers) -> Result<(), WorkspaceError> {
        let failed = |source| WorkspaceError::Tidy { mirror: mirror.to_owned(), source };
        // Whoever holds it is about to use it; there is a next time.
        let Some(_lock) = mirror::lock(mirror, Duration::ZERO).await? else { return Ok(()) };
        let pins = self
            .git
            .on(mirror, "for-each-ref")
            .args(["--format=%(refname)", "refs/eve"])
            .run()
            .await
            .map_err(failed)?;
        let (mut lent, mut loose) = (false, String::new());
        for pin in String::from_utf8_lossy(&pins).lines() {
            let attempt = pin.rsplit('/').next().and_then(|name| name.parse::<AttemptId>().ok());
            match attempt {
                Some(attempt) if self.in_use(attempt, live).await => lent = true,
                Some(_) | None => {
                    loose.push_str(&format!("delete {pin}\n"));
                    done.pins += 1;
                }
            }
        }
        if !loose.is_empty() {
            let input = Input::Bytes(loose.into_bytes());
            self.git.on(mirror, "update-ref").arg("--stdin").input(input).run().await.map_err(failed)?;
        }
        if !lent && self.is_untidy(mirror).await.map_err(failed)? {
            let call = self.git.on(mirror, "gc").args(["--quiet", PRUNE_AGE]).limit(TRANSFER_LIMIT);
            call.run().await.map_err(failed)?;
            done.packed += 1;
        }
        Ok(())
    }

    /// Whether an attempt's checkout or result still borrows objects.
    async fn in_use(&self, attempt: AttemptId, live: &HashSet<AttemptId>) -> bool {
        live.contains(&attempt)
            || tokio::fs::try_exists(self.attempt_dir(attempt)).await.unwrap_or(true)
            || tokio::fs::try_exists(self.result_dir(attempt)).await.unwrap_or(true)
    }

    async fn is_untidy(&self, mirror: &Path) -> Result<bool, GitError> {
        let counts = self.git.on(mirror, "count-objects").arg("-v").run().await?;
        let counts = String::from_utf8_lossy(&counts);
        let number = |name: &str| {
            let lines = counts.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse::<u64>().ok()).unwrap_or(0)
        };
        let garbage = number("size-garbage");
        Ok(number("count") > MAX_LOOSE_OBJECTS || number("packs") > MAX_PACKS || garbage > MAX_GARBAGE)
    }
}

/// The entries of a directory that are named after attempts.
async fn entries(dir: &Path, suffix: &str) -> Result<Vec<(PathBuf, AttemptId)>, WorkspaceError> {
    let mut found = Vec::new();
    let mut entries = tokio::fs::read_dir(dir).await.map_err(WorkspaceError::io("listing", dir))?;
    while let Some(entry) = entries.next_entry().await.map_err(WorkspaceError::io("listing", dir))? {
        let name = entry.file_name();
        let attempt = name.to_str().and_then(|name| name.strip_suffix(suffix)).and_then(|name| name.parse().ok());
        found.extend(attempt.map(|attempt| (entry.path(), attempt)));
    }
    found.sort();
    Ok(found)
}

async fn untouched(path: &Path, older_than: Duration) -> bool {
    let Ok(metadata) = tokio::fs::symlink_metadata(path).await else { return false };
    let Ok(modified) = metadata.modified() else { return false };
    SystemTime::now().duration_since(modified).is_ok_and(|age| age >= older_than)
}

async fn empty_out(path: PathBuf) -> Result<(), WorkspaceError> {
    let tree = path.clone();
    let removed = tokio::task::spawn_blocking(move || remove_tree(&tree)).await;
    removed.unwrap_or_else(|error| Err(error.into())).map_err(WorkspaceError::io("removing", path))
}

fn count(removed: Result<(), WorkspaceError>, counter: &mut u64, failures: &mut Vec<String>) {
    match removed {
        Ok(()) => *counter += 1,
        Err(error) => failures.push(error.explain()),
    }
}
