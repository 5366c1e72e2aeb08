//! One bare mirror per repository: fetched once for all attempts, lent to their checkouts.
//!
//! A mirror holds what its repository holds and nothing else: no result of any attempt, so attempts that share it
//! learn nothing of each other. `refs/eve/<attempt>` pins the commit that an attempt started from, for as long as
//! its checkout or result lives. Everything that writes to a mirror holds its lock file, so that workers on one
//! host can share a directory. Mirrors are never fetched from by agents and never run anything.

use std::collections::HashMap;
use std::fs::File;
use std::fs::TryLockError;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::PoisonError;
use std::time::Duration;

use eve_core::AttemptId;
use tokio::time::Instant;

use super::error::GitError;
use super::error::WorkspaceError;
use super::git::Access;
use super::git::Git;
use super::git::Input;
use super::git::TRANSFER_LIMIT;
use super::refname::is_object_id;
use super::repository::RepositoryUrl;

/// Where a detached HEAD of the source is kept.
pub(super) const SOURCE_HEAD_REF: &str = "refs/eve-source/HEAD";
/// Longest wait for others who use the same mirror: one slow transfer and a little.
const LOCK_WAIT: Duration = Duration::from_secs(11 * 60);
/// How often a held lock is asked for again.
const LOCK_POLL: Duration = Duration::from_millis(10);
/// The file that says that a mirror was made to the end.
const READY_FILE: &str = "eve-mirror";
/// How deep lock files of a killed git are looked for.
const STALE_LOCK_DEPTH: usize = 32;

/// All mirrors of this worker.
#[derive(Debug)]
pub(super) struct Mirrors {
    root: PathBuf,
    slots: std::sync::Mutex<HashMap<Vec<u8>, Arc<Slot>>>,
}

#[derive(Debug)]
struct Slot {
    dir: PathBuf,
    last: tokio::sync::Mutex<Option<Fetched>>,
}

/// A fetch that others, who asked before it began, need not repeat.
#[derive(Debug)]
struct Fetched {
    began: Instant,
    repository: RepositoryUrl,
    head: SourceHead,
}

/// What the source's HEAD says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SourceHead {
    pub(super) branch: Option<String>,
    pub(super) commit: Option<String>,
}

/// An exclusive hold on one mirror, across processes; let go when dropped.
#[derive(Debug)]
pub(super) struct MirrorLock(#[expect(dead_code, reason = "closing the file lets the lock go")] File);

/// A mirror that is up to date and held.
#[derive(Debug)]
pub(super) struct Mirror {
    pub(super) dir: PathBuf,
    pub(super) head: SourceHead,
    pub(super) _lock: MirrorLock,
}

impl Mirrors {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, slots: std::sync::Mutex::default() }
    }

    /// Where the mirror of a repository is, or would be.
    pub(super) async fn dir(&self, git: &Git, repository: &RepositoryUrl) -> Result<PathBuf, GitError> {
        Ok(self.slot(git, repository).await?.dir.clone())
    }

    /// Every mirror that exists.
    pub(super) async fn all(&self) -> Result<Vec<PathBuf>, WorkspaceError> {
        let io = || WorkspaceError::io("listing", &self.root);
        let mut entries = tokio::fs::read_dir(&self.root).await.map_err(io())?;
        let mut mirrors = Vec::new();
        while let Some(entry) = entries.next_entry().await.map_err(io())? {
            if entry.path().join(READY_FILE).is_file() {
                mirrors.push(entry.path());
            }
        }
        mirrors.sort();
        Ok(mirrors)
    }

    /// Brings the mirror up to date with its repository and holds it.
    pub(super) async fn update(&self, git: &Git, repository: &RepositoryUrl) -> Result<Mirror, WorkspaceError> {
        let fetch = |source| WorkspaceError::Fetch { repository: repository.to_string(), source };
        let busy = || WorkspaceError::MirrorBusy { repository: repository.to_string(), waited: LOCK_WAIT };
        let asked = Instant::now();
        let slot = self.slot(git, repository).await.map_err(fetch)?;
        // Within this process the queue is fair; the file keeps other processes out.
        let mut last = tokio::time::timeout(LOCK_WAIT, slot.last.lock()).await.map_err(|_| busy())?;
        let lock = lock(&slot.dir, LOCK_WAIT).await?.ok_or_else(busy)?;
        if let Some(fetched) = &*last
            && fetched.began >= asked
            && fetched.repository == *repository
        {
            return Ok(Mirror { dir: slot.dir.clone(), head: fetched.head.clone(), _lock: lock });
        }
        let began = Instant::now();
        let head = match fetch_all(git, &slot.dir, repository).await {
            Err(error) if error.says(".lock': File exists") => {
                // Only a git that was killed leaves a lock behind: whoever writes here holds the mirror.
                tracing::warn!(mirror = %slot.dir.display(), "removing the locks of a git that was killed");
                remove_stale_locks(&slot.dir, STALE_LOCK_DEPTH);
                fetch_all(git, &slot.dir, repository).await
            }
            fetched => fetched,
        }
        .map_err(fetch)?;
        *last = Some(Fetched { began, repository: repository.clone(), head: head.clone() });
        Ok(Mirror { dir: slot.dir.clone(), head, _lock: lock })
    }

    async fn slot(&self, git: &Git, repository: &RepositoryUrl) -> Result<Arc<Slot>, GitError> {
        let key = repository.key();
        if let Some(slot) = self.slots.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(slot));
        }
        // A hash that cannot be steered: two repositories in one mirror would see each other's objects.
        let hash = git.anywhere("hash-object").arg("--stdin").input(Input::Bytes(key.clone())).line().await?;
        let dir = self.root.join(format!("{}-{hash}.git", repository.nickname()));
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.entry(key).or_insert_with(|| Arc::new(Slot { dir, last: tokio::sync::Mutex::default() }));
        Ok(Arc::clone(slot))
    }
}

/// Holds a mirror; `None` when somebody else did until the end of the wait.
pub(super) async fn lock(mirror: &Path, wait: Duration) -> Result<Option<MirrorLock>, WorkspaceError> {
    let path = mirror.with_extension("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(WorkspaceError::io("opening", &path))?;
    let until = Instant::now() + wait;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(MirrorLock(file))),
            Err(TryLockError::Error(error)) => return Err(WorkspaceError::io("locking", path)(error)),
            Err(TryLockError::WouldBlock) if Instant::now() >= until => return Ok(None),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_POLL).await,
        }
    }
}

/// The ref that pins what an attempt started from.
pub(super) fn pin(attempt: AttemptId) -> String {
    format!("refs/eve/{attempt}")
}

/// Where the objects of a repository lie that others borrow from.
pub(super) fn objects(git_dir: &Path) -> PathBuf {
    git_dir.join("objects")
}

/// Makes a new repository borrow the objects of a mirror, and end where a shallow mirror ends.
pub(super) async fn borrow_objects(git_dir: &Path, mirror: &Path) -> Result<(), WorkspaceError> {
    let info = git_dir.join("objects").join("info");
    let alternates = info.join("alternates");
    let mut line = objects(mirror).into_os_string();
    line.push("\n");
    tokio::fs::create_dir_all(&info).await.map_err(WorkspaceError::io("creating", &info))?;
    tokio::fs::write(&alternates, line.as_encoded_bytes()).await.map_err(WorkspaceError::io("writing", &alternates))?;
    match tokio::fs::copy(mirror.join("shallow"), git_dir.join("shallow")).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(WorkspaceError::io("copying the end of history to", git_dir)(error))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

async fn fetch_all(git: &Git, dir: &Path, repository: &RepositoryUrl) -> Result<SourceHead, GitError> {
    let access = match repository.local_path() {
        Some(_) => Access::Eve,
        None => Access::Remote(repository),
    };
    let listed = git
        .anywhere("ls-remote")
        .args(["--symref", "--"])
        .arg(repository.address())
        .arg("HEAD")
        .access(access)
        .limit(TRANSFER_LIMIT)
        .run()
        .await?;
    let head = read_head(&String::from_utf8_lossy(&listed));
    make(git, dir, repository, &head).await?;
    let mut fetch = git
        .on(dir, "fetch")
        .args(["--quiet", "--prune", "--no-tags", "--update-shallow", "--no-write-fetch-head"])
        .args(["--no-auto-maintenance", "--no-recurse-submodules", "--no-show-forced-updates", "--"])
        .arg(repository.address())
        .args(["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]);
    if head.branch.is_none() && head.commit.is_some() {
        fetch = fetch.arg(format!("+HEAD:{SOURCE_HEAD_REF}"));
    }
    fetch.access(access).limit(TRANSFER_LIMIT).run().await?;
    Ok(head)
}

/// Makes the mirror unless it is there.
async fn make(git: &Git, dir: &Path, repository: &RepositoryUrl, head: &SourceHead) -> Result<(), GitError> {
    let ready = dir.join(READY_FILE);
    if tokio::fs::try_exists(&ready).await.unwrap_or(false) {
        return Ok(());
    }
    let format = object_format(head.commit.as_deref());
    git.anywhere("init")
        .args(["--quiet", "--bare", "--template="])
        .arg(format!("--object-format={format}"))
        .arg("--")
        .arg(dir)
        .run()
        .await?;
    let pipe = |source| GitError::Pipe { operation: "init".to_owned(), source };
    tokio::fs::write(&ready, format!("{repository}\n")).await.map_err(pipe)
}

/// Which hash a repository uses whose commits look like this.
pub(super) fn object_format(commit: Option<&str>) -> &'static str {
    match commit {
        Some(commit) if commit.len() == 64 => "sha256",
        Some(_) | None => "sha1",
    }
}

/// Reads `git ls-remote --symref … HEAD`.
fn read_head(listed: &str) -> SourceHead {
    let mut head = SourceHead::default();
    for what in listed.lines().filter_map(|line| line.strip_suffix("\tHEAD")) {
        match what.strip_prefix("ref: refs/heads/") {
            Some(branch) => head.branch = Some(branch.to_owned()),
            None if is_object_id(what) => head.commit = Some(what.to_owned()),
            None => {}
        }
    }
    head
}

/// Removes git's lock files below a directory; what cannot be removed shows when git fails again.
fn remove_stale_locks(dir: &Path, depth: usize) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 && entry.file_name() != "objects" => {
                remove_stale_locks(&path, depth - 1);
            }
            Ok(kind) if kind.is_file() && path.extension().is_some_and(|extension| extension == "lock") => {
                let _ = std::fs::remove_file(path);
            }
            Ok(_) | Err(_) => {}
        }
    }
}
