//! From a request's repository to a directory that an agent may do anything in.

use std::path::Path;
use std::path::PathBuf;

use eve_core::AttemptId;

use super::Workspaces;
use super::error::GitError;
use super::error::WorkspaceError;
use super::git::Git;
use super::git::Input;
use super::mirror;
use super::mirror::Mirror;
use super::mirror::SourceHead;
use super::refname;
use super::refname::is_object_id;
use super::repository::RepositoryUrl;

/// Files that Eve or a harness may put into a checkout and that are never part of a result, as ignore patterns.
pub(super) const OWN_FILES: &str = "/.eve/\n";
/// Branches that stand in for a HEAD that names none.
const USUAL_BRANCHES: [&str; 2] = ["main", "master"];

/// What an attempt needs.
#[derive(Debug, Clone)]
pub struct PrepareSpec {
    /// The attempt.
    pub attempt: AttemptId,
    /// The repository; without one the agent gets an empty directory.
    pub repository: Option<RepositoryUrl>,
    /// The branch, tag or full commit id to start from; without one the source's own HEAD.
    pub base_ref: Option<String>,
    /// The branch to work on, as `eve_core::branch_name` makes it.
    pub branch: String,
}

/// A workspace, ready for an agent.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The attempt.
    pub attempt: AttemptId,
    /// The repository that it came from.
    pub repository: Option<RepositoryUrl>,
    /// The checkout: the agent's working directory. Hostile from the agent's first step on.
    pub dir: PathBuf,
    /// A directory outside the checkout for prompts, logs and the result. Hostile too.
    pub scratch: PathBuf,
    /// An empty home directory.
    pub home: PathBuf,
    /// An empty directory for temporary files.
    pub tmp: PathBuf,
    /// Objects that the checkout borrows; a sandbox must show this directory, read-only, under the same path.
    pub borrowed_objects: Option<PathBuf>,
    /// The branch that is checked out.
    pub branch: String,
    /// The branch that it starts from, if it starts from one.
    pub base_branch: Option<String>,
    /// The commit that it starts from; none when the repository has no commits.
    pub base_commit: Option<String>,
}

/// Where work starts.
#[derive(Debug, Default)]
struct Base {
    branch: Option<String>,
    commit: Option<String>,
}

impl Workspaces {
    /// Fetches the repository and makes a private checkout of it for one attempt, on its own branch.
    ///
    /// An attempt that is prepared twice starts afresh.
    ///
    /// # Errors
    ///
    /// When the repository is refused or cannot be had, or the checkout cannot be written.
    pub async fn prepare(&self, spec: PrepareSpec) -> Result<Prepared, WorkspaceError> {
        let PrepareSpec { attempt, repository, base_ref, branch } = spec;
        for name in [Some(&branch), base_ref.as_ref()].into_iter().flatten() {
            refname::check(name).map_err(|source| WorkspaceError::Name { name: name.clone(), source })?;
        }
        if let Some(repository) = &repository {
            self.permit(repository).await?;
        }
        self.cleanup(attempt).await?;
        let made = self.make(attempt, repository, base_ref.as_deref(), branch).await;
        if made.is_err()
            && let Err(error) = self.cleanup(attempt).await
        {
            tracing::warn!(%attempt, error = error.explain(), "a half-made workspace stays for now");
        }
        made
    }

    async fn make(
        &self,
        attempt: AttemptId,
        repository: Option<RepositoryUrl>,
        base_ref: Option<&str>,
        branch: String,
    ) -> Result<Prepared, WorkspaceError> {
        let place = self.attempt_dir(attempt);
        let dir = |name| place.join(name);
        let mut prepared = Prepared {
            attempt,
            repository,
            dir: dir("repo"),
            scratch: dir("scratch"),
            home: dir("home"),
            tmp: dir("tmp"),
            borrowed_objects: None,
            branch,
            base_branch: None,
            base_commit: None,
        };
        for path in [&prepared.dir, &prepared.scratch, &prepared.home, &prepared.tmp] {
            tokio::fs::create_dir_all(path).await.map_err(WorkspaceError::io("creating", path))?;
        }
        let mirror = match &prepared.repository {
            Some(repository) => {
                let mirror = self.mirrors.update(&self.git, repository).await?;
                let base = find_base(&self.git, &mirror, repository, base_ref).await?;
                if let Some(commit) = &base.commit {
                    self.git
                        .on(&mirror.dir, "update-ref")
                        .args([&mirror::pin(attempt), commit])
                        .run()
                        .await
                        .map_err(|source| WorkspaceError::Checkout { source })?;
                }
                (prepared.base_branch, prepared.base_commit) = (base.branch, base.commit);
                prepared.borrowed_objects = Some(mirror::objects(&mirror.dir));
                // From here on the pin keeps the objects; others may use the mirror.
                Some(mirror.dir)
            }
            None => None,
        };
        self.check_out(&prepared, mirror.as_deref()).await?;
        Ok(prepared)
    }

    /// Refuses what this worker may not touch.
    pub(super) async fn permit(&self, repository: &RepositoryUrl) -> Result<(), WorkspaceError> {
        let Some(path) = repository.local_path() else { return Ok(()) };
        if !self.options.allow_local {
            return Err(WorkspaceError::LocalRefused { repository: repository.to_string() });
        }
        // Through whatever links: the mirrors and results of others lie in there.
        if let Ok(real) = tokio::fs::canonicalize(path).await
            && real.starts_with(&self.root)
        {
            return Err(WorkspaceError::OwnDirectory { repository: repository.to_string() });
        }
        Ok(())
    }

    async fn check_out(&self, prepared: &Prepared, mirror: Option<&Path>) -> Result<(), WorkspaceError> {
        let failed = |source| WorkspaceError::Checkout { source };
        let format = mirror::object_format(prepared.base_commit.as_deref());
        self.git
            .anywhere("init")
            .args(["--quiet", "--template="])
            .arg(format!("--object-format={format}"))
            .arg(format!("--initial-branch={}", prepared.branch))
            .arg("--")
            .arg(&prepared.dir)
            .run()
            .await
            .map_err(failed)?;
        let git_dir = prepared.dir.join(".git");
        self.configure(&git_dir).await?;
        if let Some(mirror) = mirror {
            mirror::borrow_objects(&git_dir, mirror).await?;
        }
        let Some(commit) = &prepared.base_commit else { return Ok(()) };
        let mut refs = format!("create refs/heads/{} {commit}\n", prepared.branch);
        // So that `git diff main` means something to the agent.
        if let Some(base) = &prepared.base_branch
            && *base != prepared.branch
            && !refname::collide(base, &prepared.branch)
        {
            refs.push_str(&format!("create refs/heads/{base} {commit}\n"));
        }
        let input = Input::Bytes(refs.into_bytes());
        self.git.on(&git_dir, "update-ref").arg("--stdin").input(input).run().await.map_err(failed)?;
        self.git
            .on(&git_dir, "read-tree")
            .global("--work-tree", &prepared.dir)
            .args(["-m", "-u", "HEAD"])
            .run()
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Gives commits in the checkout Eve's name, and keeps Eve's own files out of them.
    async fn configure(&self, git_dir: &Path) -> Result<(), WorkspaceError> {
        let config = git_dir.join("config");
        let mut text = tokio::fs::read_to_string(&config).await.map_err(WorkspaceError::io("reading", &config))?;
        let identity = &self.options.identity;
        text.push_str(&format!(
            "[user]\n\tname = {}\n\temail = {}\n[gc]\n\tauto = 0\n[advice]\n\tdetachedHead = false\n",
            quoted(&identity.name),
            quoted(&identity.email)
        ));
        tokio::fs::write(&config, text).await.map_err(WorkspaceError::io("writing", &config))?;
        let info = git_dir.join("info");
        tokio::fs::create_dir_all(&info).await.map_err(WorkspaceError::io("creating", &info))?;
        let exclude = info.join("exclude");
        tokio::fs::write(&exclude, OWN_FILES).await.map_err(WorkspaceError::io("writing", &exclude))
    }
}

/// A value as git's configuration files quote it.
pub(super) fn quoted(value: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in value.chars().filter(|letter| !letter.is_control()) {
        if matches!(letter, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push('"');
    quoted
}

async fn find_base(
    git: &Git,
    mirror: &Mirror,
    repository: &RepositoryUrl,
    wanted: Option<&str>,
) -> Result<Base, WorkspaceError> {
    let failed = |source| WorkspaceError::Fetch { repository: repository.to_string(), source };
    let wanted = wanted.filter(|name| *name != "HEAD");
    let found = match wanted {
        Some(name) => find_named(git, &mirror.dir, name).await.map_err(failed)?,
        None => find_default(git, &mirror.dir, &mirror.head).await.map_err(failed)?,
    };
    if let Some(base) = found {
        return Ok(base);
    }
    if let Some(name) = wanted {
        return Err(WorkspaceError::BaseNotFound { repository: repository.to_string(), base: name.to_owned() });
    }
    let any = git.on(&mirror.dir, "for-each-ref").args(["--count=1", "refs/heads"]).line().await.map_err(failed)?;
    if any.is_empty() { Ok(Base::default()) } else { Err(no_default(repository)) }
}

fn no_default(repository: &RepositoryUrl) -> WorkspaceError {
    WorkspaceError::NoDefaultBranch { repository: repository.to_string() }
}

async fn find_named(git: &Git, mirror: &Path, name: &str) -> Result<Option<Base>, GitError> {
    let short = name.strip_prefix("refs/heads/").unwrap_or(name);
    if let Some(commit) = resolve(git, mirror, &format!("refs/heads/{short}")).await? {
        return Ok(Some(Base { branch: Some(short.to_owned()), commit: Some(commit) }));
    }
    let tag = name.strip_prefix("refs/tags/").unwrap_or(name);
    if let Some(commit) = resolve(git, mirror, &format!("refs/tags/{tag}")).await? {
        return Ok(Some(Base { branch: None, commit: Some(commit) }));
    }
    if is_object_id(name)
        && let Some(commit) = resolve(git, mirror, name).await?
        && commit == name
    {
        // The mirror may still hold what the repository dropped, perhaps for a reason.
        let reachable = git
            .on(mirror, "for-each-ref")
            .args(["--count=1", "--contains", name, "refs/heads", "refs/tags", "refs/eve-source"])
            .line()
            .await?;
        if !reachable.is_empty() {
            return Ok(Some(Base { branch: None, commit: Some(commit) }));
        }
    }
    Ok(None)
}

async fn find_default(git: &Git, mirror: &Path, head: &SourceHead) -> Result<Option<Base>, GitError> {
    match (&head.branch, &head.commit) {
        (Some(branch), _) => {
            let commit = resolve(git, mirror, &format!("refs/heads/{branch}")).await?;
            Ok(commit.map(|commit| Base { branch: Some(branch.clone()), commit: Some(commit) }))
        }
        (None, Some(_)) => {
            // What was fetched counts, not what was listed a moment before.
            let commit = resolve(git, mirror, mirror::SOURCE_HEAD_REF).await?;
            Ok(commit.map(|commit| Base { branch: None, commit: Some(commit) }))
        }
        (None, None) => {
            for branch in USUAL_BRANCHES {
                if let Some(commit) = resolve(git, mirror, &format!("refs/heads/{branch}")).await? {
                    return Ok(Some(Base { branch: Some(branch.to_owned()), commit: Some(commit) }));
                }
            }
            Ok(None)
        }
    }
}

async fn resolve(git: &Git, mirror: &Path, name: &str) -> Result<Option<String>, GitError> {
    let call = git.on(mirror, "rev-parse").args(["--verify", "--quiet"]).arg(format!("{name}^{{commit}}"));
    match call.line().await {
        Ok(commit) => Ok(Some(commit).filter(|commit| is_object_id(commit))),
        Err(GitError::Failed { code: Some(_), .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
