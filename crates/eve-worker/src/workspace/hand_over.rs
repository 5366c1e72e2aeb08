//! Giving a result to the repository that it was asked for.
//!
//! A local repository gets two things and nothing else: a pack of objects, and a branch that is set with a
//! compare-and-swap. Neither `fetch` nor `push` is run in it, because both read settings that can name programs and
//! addresses; `index-pack` and `update-ref` have no use for any of them, and working tree, index, HEAD and
//! FETCH_HEAD stay as they are. The pack is passed as an open file, so when Eve is root these run as the owner of
//! the repository, who need not be able to read Eve's directories. A URL is pushed to, with a lease.
//!
//! A branch that exists is replaced only when no work is lost that is not Eve's; otherwise the result goes beside it
//! under a numbered name. Which branch is merged into what is left to people and forges.

use std::collections::HashMap;
use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use eve_core::AttemptId;
use eve_crash::Point;

use super::Workspaces;
use super::error::GitError;
use super::error::WorkspaceError;
use super::git::Access;
use super::git::Input;
use super::git::Owner;
use super::git::TRANSFER_LIMIT;
use super::refname;
use super::refname::is_object_id;
use super::repository::RepositoryUrl;

/// How many names are tried: the branch itself, then `-2`, `-3`, … up to this number.
const MAX_NAMES: u32 = 20;
/// How often a hand-over starts anew because the repository changed under it.
const MAX_RACES: u32 = 3;
/// How many commits of an existing branch are looked at before it is taken for somebody's work.
const EXAMINED_COMMITS: usize = 1000;
/// How many of the repository's branches are used to find out what it already has.
const MAX_HAVES: usize = 4096;
/// Directory of a mirror that remembers which commit was handed over under which name.
const HANDED_DIR: &str = "eve-handed";

/// Where a result went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandedOver {
    /// The branch that holds it, which is not always the one that was asked for.
    pub branch: String,
    /// The repository, without credentials.
    pub to: String,
}

/// A repository that takes a result.
enum Target<'a> {
    Local { git_dir: PathBuf, access: Access<'static> },
    Remote { repository: &'a RepositoryUrl, mirror: PathBuf },
}

/// The branches that a repository has.
#[derive(Default)]
struct Branches {
    tips: HashMap<String, String>,
    checked_out: HashSet<String>,
    head: Option<String>,
}

/// The name that a result gets, and what the branch is now.
enum Choice {
    Is { name: String },
    Set { name: String, old: Option<String> },
}

impl Workspaces {
    /// Puts a collected result into its repository as a branch.
    ///
    /// Handing over the same commit twice changes nothing.
    ///
    /// # Errors
    ///
    /// When the repository is refused or does not take it, or the result is not kept here any more.
    pub async fn hand_over(
        &self,
        repository: &RepositoryUrl,
        attempt: AttemptId,
        branch: &str,
        commit: &str,
    ) -> Result<HandedOver, WorkspaceError> {
        refname::check(branch).map_err(|source| WorkspaceError::Name { name: branch.to_owned(), source })?;
        self.permit(repository).await?;
        let failed =
            |source| WorkspaceError::HandOver { repository: repository.to_string(), branch: branch.to_owned(), source };
        let store = self.result_dir(attempt);
        let kept = self.git.on(&store, "rev-parse").args(["--verify", "--quiet", super::collect::RESULT_REF]).line();
        if !is_object_id(commit) || kept.await.ok().as_deref() != Some(commit) {
            return Err(WorkspaceError::ResultGone { attempt: attempt.to_string() });
        }
        let mirror = self.mirrors.dir(&self.git, repository).await.map_err(failed)?;
        let target = match repository.local_path() {
            Some(path) => self.local_target(path).await.map_err(failed)?,
            None => Target::Remote { repository, mirror: mirror.clone() },
        };
        let mut races = 0;
        loop {
            let branches = self.branches(&target).await.map_err(failed)?;
            let choice = self.choose(&target, &mirror, &store, &branches, branch, commit).await.map_err(failed)?;
            let name = match choice {
                None => {
                    return Err(WorkspaceError::NoFreeBranch {
                        repository: repository.to_string(),
                        branch: branch.to_owned(),
                    });
                }
                Some(Choice::Is { name }) => name,
                Some(Choice::Set { name, old }) => {
                    match self.set(&target, &store, &branches, &name, old.as_deref(), commit).await {
                        Ok(()) => name,
                        Err(error) if races < MAX_RACES && is_race(&error) => {
                            races += 1;
                            continue;
                        }
                        Err(error) => return Err(failed(error)),
                    }
                }
            };
            eve_crash::pass(Point::HandedOver);
            remember(&mirror, &name, commit).await;
            return Ok(HandedOver { branch: name, to: repository.to_string() });
        }
    }

    /// Finds the directory that holds a local repository's branches, and whose it is.
    async fn local_target(&self, path: &Path) -> Result<Target<'static>, GitError> {
        let git_dir = self
            .git
            .anywhere("rev-parse")
            .global("-C", path)
            .args(["--path-format=absolute", "--git-common-dir"])
            // A path that is no repository must not mean the one around it.
            .env("GIT_CEILING_DIRECTORIES", path.parent().unwrap_or(path))
            .line()
            .await?;
        let git_dir = PathBuf::from(git_dir);
        let metadata = tokio::fs::metadata(&git_dir).await;
        let metadata = metadata.map_err(|source| GitError::Pipe { operation: "rev-parse".to_owned(), source })?;
        let access = if nix::unistd::geteuid().is_root() && metadata.uid() != 0 {
            Access::Owner(Owner { uid: metadata.uid(), gid: metadata.gid() })
        } else {
            Access::Eve
        };
        Ok(Target::Local { git_dir, access })
    }

    async fn branches(&self, target: &Target<'_>) -> Result<Branches, GitError> {
        let mut branches = Branches::default();
        match target {
            Target::Local { git_dir, access } => {
                let call = |operation| self.git.on(git_dir, operation).access(*access);
                let format = "--format=%(objectname)%09%(refname)";
                let listed = call("for-each-ref").args([format, "refs/heads"]).run().await?;
                branches.tips = read_tips(&listed);
                let worktrees = call("worktree").args(["list", "--porcelain"]).run().await?;
                let worktrees = String::from_utf8_lossy(&worktrees).into_owned();
                let checked_out = worktrees.lines().filter_map(|line| line.strip_prefix("branch refs/heads/"));
                branches.checked_out = checked_out.map(str::to_owned).collect();
                let head = call("rev-parse").args(["--verify", "--quiet", "HEAD^{commit}"]).line().await;
                branches.head = head.ok();
            }
            Target::Remote { repository, .. } => {
                let listed = self
                    .git
                    .anywhere("ls-remote")
                    .args(["--heads", "--"])
                    .arg(repository.address())
                    .access(Access::Remote(repository))
                    .limit(TRANSFER_LIMIT)
                    .run()
                    .await?;
                branches.tips = read_tips(&listed);
            }
        }
        Ok(branches)
    }

    /// Picks the first name that can be had without losing anybody's work.
    async fn choose(
        &self,
        target: &Target<'_>,
        mirror: &Path,
        store: &Path,
        branches: &Branches,
        branch: &str,
        commit: &str,
    ) -> Result<Option<Choice>, GitError> {
        for name in names(branch) {
            match branches.tips.get(&name) {
                Some(tip) if tip == commit => return Ok(Some(Choice::Is { name })),
                // Somebody sits on it: moving it would show as changes that nobody made.
                Some(_) if branches.checked_out.contains(&name) => {}
                Some(tip) => {
                    if self.replaceable(target, mirror, store, &name, tip, commit).await? {
                        return Ok(Some(Choice::Set { name, old: Some(tip.clone()) }));
                    }
                }
                None if branches.checked_out.contains(&name) => {}
                None if branches.tips.keys().any(|other| refname::collide(&name, other)) => {}
                None => return Ok(Some(Choice::Set { name, old: None })),
            }
        }
        Ok(None)
    }

    /// Whether nothing is lost with a branch's tip that Eve did not make.
    async fn replaceable(
        &self,
        target: &Target<'_>,
        mirror: &Path,
        store: &Path,
        name: &str,
        tip: &str,
        commit: &str,
    ) -> Result<bool, GitError> {
        if handed(mirror, name).await.as_deref() == Some(tip) {
            return Ok(true);
        }
        // The new commit contains it.
        if self.git.on(store, "merge-base").args(["--is-ancestor", tip, commit]).hostile().holds().await? {
            return Ok(true);
        }
        // Another worker may have made it: then every commit that only this branch has carries Eve's name.
        let (git_dir, access) = match target {
            Target::Local { git_dir, access } => (git_dir, *access),
            Target::Remote { mirror, .. } => (mirror, Access::Eve),
        };
        let listed = self
            .git
            .on(git_dir, "rev-list")
            .arg(format!("--max-count={}", EXAMINED_COMMITS + 1))
            .args(["--format=%ce", tip, "--not"])
            .arg(format!("--exclude={name}"))
            .arg("--branches")
            .access(access)
            .hostile()
            .run()
            .await;
        let listed = match listed {
            Ok(listed) => listed,
            // Not known here, so pushed by somebody after the last fetch.
            Err(GitError::Failed { code: Some(_), .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let listed = String::from_utf8_lossy(&listed);
        let mut emails = listed.lines().filter(|line| !line.starts_with("commit "));
        let known = emails.by_ref().take(EXAMINED_COMMITS).all(|email| email == self.options.identity.email);
        Ok(known && emails.next().is_none())
    }

    async fn set(
        &self,
        target: &Target<'_>,
        store: &Path,
        branches: &Branches,
        name: &str,
        old: Option<&str>,
        commit: &str,
    ) -> Result<(), GitError> {
        match target {
            Target::Local { git_dir, access } => {
                self.send_objects(git_dir, *access, store, branches, commit).await?;
                eve_crash::pass(Point::HandOverBegun);
                let nothing = "0".repeat(commit.len());
                self.git
                    .on(git_dir, "update-ref")
                    .args(["--no-deref", "-m", "eve: result"])
                    .arg(format!("refs/heads/{name}"))
                    .args([commit, old.unwrap_or(&nothing)])
                    .access(*access)
                    .run()
                    .await?;
            }
            Target::Remote { repository, .. } => {
                self.git
                    .on(store, "push")
                    .args(["--quiet", "--no-verify", "--no-signed", "--no-follow-tags", "--recurse-submodules=no"])
                    .arg(format!("--force-with-lease=refs/heads/{name}:{}", old.unwrap_or_default()))
                    .arg("--")
                    .arg(repository.address())
                    .arg(format!("{commit}:refs/heads/{name}"))
                    .access(Access::Remote(repository))
                    .limit(TRANSFER_LIMIT)
                    .hostile()
                    .run()
                    .await?;
            }
        }
        Ok(())
    }

    /// Copies what a local repository lacks of a commit.
    async fn send_objects(
        &self,
        git_dir: &Path,
        access: Access<'_>,
        store: &Path,
        branches: &Branches,
        commit: &str,
    ) -> Result<(), GitError> {
        let tips: HashSet<&String> = branches.tips.values().chain(&branches.head).take(MAX_HAVES).collect();
        let question: String = tips.iter().map(|tip| format!("{tip}\n")).collect();
        let known = self
            .git
            .on(store, "cat-file")
            .arg("--batch-check=%(objectname) %(objecttype)")
            .input(Input::Bytes(question.into_bytes()))
            .run()
            .await?;
        let known = String::from_utf8_lossy(&known);
        let shared = known.lines().filter_map(|line| line.strip_suffix(" commit"));
        let wanted: String = [commit, "--not"].into_iter().chain(shared).map(|line| format!("{line}\n")).collect();
        let path = store.join("handing-over.pack");
        let pipe = |source| GitError::Pipe { operation: "pack-objects".to_owned(), source };
        let pack = File::options().create(true).truncate(true).read(true).write(true).open(&path).map_err(pipe)?;
        // The name is not needed: whoever reads it next is given the open file.
        std::fs::remove_file(&path).map_err(pipe)?;
        self.git
            .on(store, "pack-objects")
            .args(["--revs", "--thin", "--stdout", "--delta-base-offset", "--quiet"])
            .input(Input::Bytes(wanted.into_bytes()))
            .output(pack.try_clone().map_err(pipe)?)
            .limit(TRANSFER_LIMIT)
            .hostile()
            .run()
            .await?;
        let mut pack = pack;
        std::io::Seek::rewind(&mut pack).map_err(pipe)?;
        let receive = self.git.on(git_dir, "index-pack").args(["--stdin", "--fix-thin"]);
        receive.access(access).input(Input::File(pack)).limit(TRANSFER_LIMIT).hostile().run().await?;
        Ok(())
    }
}

/// The names to try. Those without a slash are for a repository that has a branch `feature`.
fn names(branch: &str) -> impl Iterator<Item = String> {
    let numbered = |name: String| {
        let next = name.clone();
        std::iter::once(name).chain((2..=MAX_NAMES).map(move |number| format!("{next}-{number}")))
    };
    let flat = Some(branch.replace('/', "-")).filter(|flat| flat != branch);
    numbered(branch.to_owned()).chain(flat.into_iter().flat_map(numbered))
}

/// Reads lines of a commit, a tab and a branch.
fn read_tips(listed: &[u8]) -> HashMap<String, String> {
    let listed = String::from_utf8_lossy(listed);
    let lines = listed.lines().filter_map(|line| line.split_once('\t'));
    let tips = lines.filter_map(|(commit, name)| Some((name.strip_prefix("refs/heads/")?, commit)));
    tips.filter(|(_, commit)| is_object_id(commit)).map(|(name, commit)| (name.to_owned(), commit.to_owned())).collect()
}

/// Whether the branch is no longer what it was a moment ago.
fn is_race(error: &GitError) -> bool {
    ["but expected", "reference already exists", "stale info", "cannot lock ref"].iter().any(|words| error.says(words))
}

fn handed_file(mirror: &Path, branch: &str) -> PathBuf {
    // One level of directories whatever the name: a slash becomes a letter that no branch has.
    mirror.join(HANDED_DIR).join(branch.replace('/', ":"))
}

/// The commit that was last handed over under this name.
async fn handed(mirror: &Path, branch: &str) -> Option<String> {
    let text = tokio::fs::read_to_string(handed_file(mirror, branch)).await.ok()?;
    Some(text.trim().to_owned())
}

/// Notes what was handed over. Without the note the next result may get a numbered name, no more.
async fn remember(mirror: &Path, branch: &str, commit: &str) {
    let file = handed_file(mirror, branch);
    let noted = async {
        tokio::fs::create_dir_all(mirror.join(HANDED_DIR)).await?;
        tokio::fs::write(&file, format!("{commit}\n")).await
    };
    if let Err(error) = noted.await {
        tracing::warn!(file = %file.display(), %error, "what was handed over cannot be noted");
    }
}
