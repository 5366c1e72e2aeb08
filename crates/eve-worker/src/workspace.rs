//! Git workspaces: where an agent's work begins, and how it comes back.
//!
//! ```text
//!            fetch                 borrow                 harvest            index-pack --strict     pack + ref
//! repository ─────► mirrors/<r>.git ─────► attempts/<a>/repo ─────► bundle ─────► results/<a>.git ─────► repository
//!                   one per repository     hostile from the         data          read by Eve only      a branch
//!                                          agent's first step on
//! ```
//!
//! - [`Workspaces::prepare`] brings the repository's mirror up to date and makes a private checkout of it.
//! - [`Workspaces::harvest_script`] describes the command that commits and packs up what the agent left. It reads the
//!   hostile checkout, so the supervisor runs it in the attempt's containment, with the agent's rights.
//! - [`Workspaces::collect`] takes the pack in on the clean side and makes a delivery of it.
//! - [`Workspaces::hand_over`] gives the branch to the user's repository or pushes it to the URL.
//! - [`Workspaces::cleanup`] and [`Workspaces::collect_leftovers`] remove what is no longer needed.
//!
//! What this rests on: after `prepare`, nothing on this side ever runs git in a checkout, or opens a file of an
//! attempt by following a link. A user's working tree, index and HEAD are never written. A repository's hooks and
//! configuration start nothing. An agent never sees credentials, nor the results of other attempts.
//!
//! Left to others: chowning and sandboxing the attempt's directories (supervisor and sandbox), merging (people and
//! forges), keeping tenants apart (a root directory for each, since attempts on the same repository share a mirror).
//! Submodules are not fetched and LFS files stay pointers. Git 2.36 or later, on Linux.

mod bundle;
mod collect;
mod error;
mod git;
mod hand_over;
mod harvest;
mod leftovers;
mod mirror;
mod patch;
mod prepare;
mod refname;
mod remove;
mod repository;

use std::ffi::OsString;
use std::fmt;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::path::PathBuf;

use eve_core::AttemptId;

pub use collect::CollectLimits;
pub use collect::CollectNote;
pub use collect::Collected;
pub use error::GitError;
pub use error::WorkspaceError;
pub use hand_over::HandedOver;
pub use harvest::HarvestCommand;
pub use leftovers::Leftovers;
pub use prepare::PrepareSpec;
pub use prepare::Prepared;
pub use refname::InvalidName;
pub use repository::InvalidRepository;
pub use repository::RepositoryUrl;

use git::Git;
use mirror::Mirrors;
use prepare::quoted;

/// What Eve's directories are made with: attempts, results and mirrors are nobody else's to read.
const PRIVATE: u32 = 0o700;
/// Least room on the disk, in bytes, for another attempt to begin.
const LOW_WATER: u64 = 16 * 1024 * 1024;

/// Whose name commits carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// The address. Branches whose commits carry it as committer are taken for Eve's own.
    pub email: String,
}

/// How workspaces are made.
#[derive(Clone)]
pub struct WorkspaceOptions {
    /// Whether repositories on the worker's own host may be used: everything that the worker can read.
    pub allow_local: bool,
    /// Where `git` and `ssh` are looked for.
    pub path: OsString,
    /// The home directory whose git configuration and credentials are used for URLs; none uses neither.
    pub remote_home: Option<PathBuf>,
    /// More variables for calls to URLs, such as `SSH_AUTH_SOCK` and `HTTPS_PROXY`. They may hold secrets and are
    /// never shown.
    pub remote_env: Vec<(OsString, OsString)>,
    /// Whose name commits carry.
    pub identity: Identity,
}

impl fmt::Debug for WorkspaceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&OsString> = self.remote_env.iter().map(|(name, _)| name).collect();
        f.debug_struct("WorkspaceOptions")
            .field("allow_local", &self.allow_local)
            .field("path", &self.path)
            .field("remote_home", &self.remote_home)
            .field("remote_env", &names)
            .field("identity", &self.identity)
            .finish()
    }
}

impl Default for WorkspaceOptions {
    fn default() -> Self {
        Self {
            allow_local: false,
            path: "/usr/local/bin:/usr/bin:/bin".into(),
            remote_home: None,
            remote_env: Vec::new(),
            identity: Identity { name: "Eve".to_owned(), email: "eve@localhost".to_owned() },
        }
    }
}

/// All workspaces below one directory.
pub struct Workspaces {
    root: PathBuf,
    options: WorkspaceOptions,
    git: Git,
    mirrors: Mirrors,
}

impl Workspaces {
    /// Makes the directories and Eve's own git configuration below `root`, unless they are there.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
    pub fn new(root: PathBuf, options: WorkspaceOptions) -> Result<Self, WorkspaceError> {
        make_dir(&root)?;
        let root = root.canonicalize().map_err(WorkspaceError::io("finding", &root))?;
        for name in ["mirrors", "attempts", "results", "trash", "githome"] {
            make_dir(&root.join(name))?;
        }
        let config = root.join("gitconfig");
        // In one step: another worker on this host may be reading it.
        let new = root.join(format!("gitconfig.{}", std::process::id()));
        std::fs::write(&new, git_config(&options.identity)).map_err(WorkspaceError::io("writing", &new))?;
        std::fs::rename(&new, &config).map_err(WorkspaceError::io("writing", &config))?;
        let git = Git {
            path: options.path.clone(),
            home: root.join("githome"),
            config,
            remote_home: options.remote_home.clone(),
            remote_env: options.remote_env.clone(),
        };
        let mirrors = Mirrors::new(root.join("mirrors"));
        Ok(Self { root, options, git, mirrors })
    }

    /// Whether the disk has room for another attempt. Where that cannot be found out, it has: the attempt will tell.
    pub(crate) fn has_room(&self) -> bool {
        let room = nix::sys::statvfs::statvfs(&self.root)
            .map(|disk| disk.blocks_available().saturating_mul(disk.fragment_size()));
        room.is_err() || room.is_ok_and(|room| room >= LOW_WATER)
    }

    fn attempt_dir(&self, attempt: AttemptId) -> PathBuf {
        self.root.join("attempts").join(attempt.to_string())
    }
}

fn make_dir(path: &Path) -> Result<(), WorkspaceError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(PRIVATE).create(path);
    made.map_err(WorkspaceError::io("creating", path))
}

/// What git's defaults should have been. What must win over a repository's own settings is said with every call.
fn git_config(identity: &Identity) -> String {
    format!(
        "# Written by Eve at every start.\n\
         [user]\n\tname = {}\n\temail = {}\n\
         [safe]\n\tdirectory = *\n\
         [core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n\tfilesRefLockTimeout = 10000\n\
         \tpackedRefsTimeout = 10000\n\
         [gc]\n\tauto = 0\n\
         [commit]\n\tgpgSign = false\n\
         [tag]\n\tgpgSign = false\n\
         [protocol \"ext\"]\n\tallow = never\n\
         [init]\n\tdefaultBranch = main\n\
         [credential]\n\thelper =\n\
         [advice]\n\tdetachedHead = false\n",
        quoted(&identity.name),
        quoted(&identity.email)
    )
}

#[cfg(test)]
mod tests;
