//! The clean half of the harvest: from a stranger's pack to a result.
//!
//! The pack goes into a repository of its own, `results/<attempt>.git`, which borrows the mirror's objects and is
//! read by nobody but Eve. `git index-pack --strict` refuses broken objects and trees that would harm whoever checks
//! them out (entries called `.git`, `..`, tricks with `.gitmodules`). From there on git reads only its own storage;
//! the checkout is never looked at from this side. The difference is computed without any attributes, so that a
//! `.gitattributes` of the agent's can neither hide a change nor name a program.

use std::path::Path;
use std::path::PathBuf;

use eve_core::AttemptId;
use eve_core::Delivery;

use super::Workspaces;
use super::bundle::Bundle;
use super::bundle::BundleError;
use super::bundle::State;
use super::bundle::open_bundle;
use super::bundle::read_status;
use super::error::GitError;
use super::error::WorkspaceError;
use super::git::Input;
use super::git::TRANSFER_LIMIT;
use super::mirror;
use super::patch::Patch;
use super::prepare::Prepared;

/// The ref that holds an attempt's result.
pub(super) const RESULT_REF: &str = "refs/heads/result";
/// Renames are only looked for among so many files: the search is quadratic.
const RENAME_LIMIT: &str = "-l200";
/// The tree without entries, which every repository knows without having it.
const EMPTY_TREE_SHA1: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
const EMPTY_TREE_SHA256: &str = "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321";

/// How much of a result is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectLimits {
    /// Largest bundle, in bytes.
    pub bundle_bytes: u64,
    /// Longest patch, in bytes. What is beyond is cut off; the branch has it all.
    pub patch_bytes: usize,
}

impl Default for CollectLimits {
    fn default() -> Self {
        Self { bundle_bytes: 1 << 30, patch_bytes: 512 << 10 }
    }
}

/// What came back from an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    /// The result. Its branch is the one that was asked for; a hand-over may choose another name.
    pub delivery: Delivery,
    /// What a person should know about it.
    pub notes: Vec<CollectNote>,
}

/// Something about a result that a person should know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CollectNote {
    /// No file differs from the start.
    #[error("nothing was changed")]
    NothingChanged,
    /// The checkout is no git repository any more.
    #[error("the agent removed the repository (`.git`) from its workspace, so there is nothing to deliver")]
    NoRepository,
    /// HEAD was moved to an older commit, with nothing on top.
    #[error("the agent went back to an older commit and added nothing, so there is nothing to deliver")]
    Rewound,
    /// The harvest did not come to an end.
    #[error("the result could not be committed: {detail}")]
    NotHarvested {
        /// What is known about it.
        detail: String,
    },
    /// The result's history does not contain the commit that it started from.
    #[error("the result does not descend from the commit that it started from")]
    OtherHistory,
    /// A merge was left unfinished.
    #[error("a merge was left unfinished; files may hold conflict markers")]
    Conflicts,
    /// There were repositories inside the checkout.
    #[error("repositories inside the workspace were delivered as plain files")]
    Embedded,
    /// Some files could not be read.
    #[error("some files could not be read and are not in the result")]
    Incomplete,
    /// The difference could not be computed in time.
    #[error("the patch could not be made: {detail}")]
    NoPatch {
        /// Why.
        detail: String,
    },
}

impl Workspaces {
    /// Takes in what the harvest left, without touching the checkout.
    ///
    /// Nothing changed, or nothing usable was left: a delivery without a branch, and a note that says why. Without a
    /// repository there is a commit and a patch but no branch, since nobody is there to hold one.
    ///
    /// # Errors
    ///
    /// When the result is refused (too large, broken, dangerous to check out) or cannot be stored.
    pub async fn collect(&self, prepared: &Prepared, limits: CollectLimits) -> Result<Collected, WorkspaceError> {
        let scratch = prepared.scratch.clone();
        let read = move || {
            let status = read_status(&scratch);
            let bundle = (status.state == State::Committed).then(|| open_bundle(&scratch, limits.bundle_bytes));
            (status, bundle)
        };
        let (status, bundle) = tokio::task::spawn_blocking(read)
            .await
            .map_err(|error| WorkspaceError::io("reading the result in", &prepared.scratch)(error.into()))?;
        let mut notes = Vec::new();
        let said = [
            (status.conflicts, CollectNote::Conflicts),
            (status.embedded, CollectNote::Embedded),
            (status.incomplete, CollectNote::Incomplete),
        ];
        notes.extend(said.into_iter().filter_map(|(is_so, note)| is_so.then_some(note)));
        let mut delivery = Delivery { base_commit: prepared.base_commit.clone(), ..Delivery::default() };
        let reason = match status.state {
            State::Committed => None,
            State::Nothing => Some(CollectNote::NothingChanged),
            State::Rewound => Some(CollectNote::Rewound),
            State::NoRepository => Some(CollectNote::NoRepository),
            State::Failed(detail) => Some(CollectNote::NotHarvested { detail }),
        };
        let bundle = match (reason, bundle) {
            (None, Some(bundle)) => bundle.map_err(|error| refused(&error, limits))?,
            (reason, _) => {
                notes.extend(reason);
                return Ok(Collected { delivery, notes });
            }
        };
        let tip = bundle.tip.clone();
        let store = self.take_in(prepared, bundle, limits).await?;
        let base = prepared.base_commit.as_deref();
        if let Some(base) = base
            && !self.descends(&store, &tip, base).await?
        {
            notes.push(CollectNote::OtherHistory);
        }
        delivery.files_changed = self.count_files(&store, base, &tip).await?;
        if delivery.files_changed == 0 {
            notes.push(CollectNote::NothingChanged);
            return Ok(Collected { delivery, notes });
        }
        match self.patch(&store, base, &tip, limits.patch_bytes).await {
            Ok(patch) => delivery.patch = Some(patch),
            Err(error @ GitError::TimedOut { .. }) | Err(error @ GitError::Failed { .. }) => {
                notes.push(CollectNote::NoPatch { detail: error.to_string() });
            }
            Err(source) => return Err(WorkspaceError::Collect { source }),
        }
        delivery.branch = prepared.repository.as_ref().map(|_| prepared.branch.clone());
        delivery.commit = Some(tip);
        Ok(Collected { delivery, notes })
    }

    /// Where an attempt's result is kept.
    pub(super) fn result_dir(&self, attempt: AttemptId) -> PathBuf {
        self.root.join("results").join(format!("{attempt}.git"))
    }

    /// Puts the pack into a repository of its own and checks it.
    async fn take_in(
        &self,
        prepared: &Prepared,
        bundle: Bundle,
        limits: CollectLimits,
    ) -> Result<PathBuf, WorkspaceError> {
        let failed = |source| WorkspaceError::Collect { source };
        let store = self.result_dir(prepared.attempt);
        self.discard(&store).await?;
        let format = mirror::object_format(Some(&bundle.tip));
        self.git
            .anywhere("init")
            .args(["--quiet", "--bare", "--template="])
            .arg(format!("--object-format={format}"))
            .arg("--")
            .arg(&store)
            .run()
            .await
            .map_err(failed)?;
        if let Some(mirror) = prepared.borrowed_objects.as_deref().and_then(Path::parent) {
            mirror::borrow_objects(&store, mirror).await?;
        }
        let refuse = |error| match error {
            GitError::Failed { message, code: Some(_), .. } if !is_full(&message) => {
                WorkspaceError::ResultRefused { reason: message }
            }
            source => WorkspaceError::Collect { source },
        };
        let checked = async {
            self.git
                .on(&store, "index-pack")
                .args(["--stdin", "--fix-thin", "--strict"])
                .arg(format!("--max-input-size={}", limits.bundle_bytes))
                .input(Input::File(bundle.pack))
                .limit(TRANSFER_LIMIT)
                .hostile()
                .run()
                .await?;
            let commit = format!("{}^{{commit}}", bundle.tip);
            let found = self.git.on(&store, "rev-parse").args(["--verify", "--quiet", &commit]).line().await?;
            if found != bundle.tip {
                return Err(GitError::Answer { operation: "rev-parse".to_owned() });
            }
            // Everything that the commit needs is here or in the mirror.
            let mut walk = self.git.on(&store, "rev-list").args(["--objects", "--quiet", &bundle.tip]);
            if let Some(base) = &prepared.base_commit {
                walk = walk.args(["--not", base]);
            }
            walk.hostile().run().await?;
            self.git.on(&store, "update-ref").args([RESULT_REF, &bundle.tip]).run().await
        };
        match checked.await {
            Ok(_) => Ok(store),
            Err(error) => {
                self.discard(&store).await?;
                Err(refuse(error))
            }
        }
    }

    async fn descends(&self, store: &Path, tip: &str, base: &str) -> Result<bool, WorkspaceError> {
        let question = self.git.on(store, "merge-base").args(["--is-ancestor", base, tip]).hostile();
        question.holds().await.map_err(|source| WorkspaceError::Collect { source })
    }

    async fn count_files(&self, store: &Path, base: Option<&str>, tip: &str) -> Result<u32, WorkspaceError> {
        let mut files: u32 = 0;
        let from = base.unwrap_or_else(|| empty_tree(tip));
        self.git
            .on(store, "diff-tree")
            .args(["-r", "-z", "--no-renames", "--name-only", from, tip, "--"])
            .hostile()
            .stream(&mut |chunk| {
                let names = chunk.iter().filter(|byte| **byte == 0).count();
                files = files.saturating_add(u32::try_from(names).unwrap_or(u32::MAX));
            })
            .await
            .map_err(|source| WorkspaceError::Collect { source })?;
        Ok(files)
    }

    async fn patch(&self, store: &Path, base: Option<&str>, tip: &str, limit: usize) -> Result<String, GitError> {
        let from = base.unwrap_or_else(|| empty_tree(tip));
        let call = self
            .git
            .on(store, "diff-tree")
            .args(["-r", "-p", "--find-renames", RENAME_LIMIT, "--no-ext-diff", "--no-textconv", "--no-color"])
            .args(["--submodule=short", "--src-prefix=a/", "--dst-prefix=b/", from, tip, "--"])
            .setting("attr.tree", empty_tree(tip))
            .hostile();
        let mut patch = Patch::new(limit);
        call.stream(&mut |chunk| patch.push(chunk)).await?;
        Ok(patch.finish())
    }
}

fn empty_tree(like: &str) -> &'static str {
    if like.len() == EMPTY_TREE_SHA256.len() { EMPTY_TREE_SHA256 } else { EMPTY_TREE_SHA1 }
}

fn is_full(message: &str) -> bool {
    super::error::NO_SPACE.iter().any(|words| message.contains(words))
}

fn refused(error: &BundleError, limits: CollectLimits) -> WorkspaceError {
    let reason = match error {
        BundleError::File(error) => format!("its bundle cannot be opened ({error})"),
        BundleError::Size { bytes } => {
            format!("its bundle has {bytes} bytes, more than the limit of {}", limits.bundle_bytes)
        }
        BundleError::Form => "its bundle is not one that a harvest writes".to_owned(),
    };
    WorkspaceError::ResultRefused { reason }
}
