mod hand_over;
mod hostile;
mod leftovers;
mod parsing;
mod prepare;
mod remote;

use std::process::Command;

use tempfile::TempDir;

use super::*;

const BRANCH: &str = "feature/req-12345678-do-it";

/// A host with a user's repository and a worker.
struct Host {
    dir: TempDir,
    workspaces: Workspaces,
}

impl Host {
    fn new() -> Self {
        Self::with(WorkspaceOptions { allow_local: true, ..WorkspaceOptions::default() })
    }

    fn with(options: WorkspaceOptions) -> Self {
        let dir = TempDir::new().unwrap();
        let workspaces = Workspaces::new(dir.path().join("eve"), options).unwrap();
        Self { dir, workspaces }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A repository of a user's with one commit, uncommitted work, and hooks that leave a mark.
    fn user_repository(&self) -> PathBuf {
        let repo = self.path("user");
        git(self.dir.path(), &["init", "--quiet", "--initial-branch=main", "user"]);
        std::fs::write(repo.join("a.txt"), "one\n").unwrap();
        std::fs::write(repo.join(".gitignore"), "ignored/\n").unwrap();
        git(&repo, &["add", "."]);
        git(&repo, &["commit", "--quiet", "-m", "first"]);
        std::fs::write(repo.join("a.txt"), "one\nnot committed\n").unwrap();
        std::fs::write(repo.join("new.txt"), "not added\n").unwrap();
        std::fs::write(repo.join("staged.txt"), "staged\n").unwrap();
        git(&repo, &["add", "staged.txt"]);
        let hooks = ["post-checkout", "post-merge", "reference-transaction", "pre-push", "post-index-change", "update"];
        for hook in hooks {
            script(&repo.join(".git/hooks").join(hook), &format!("touch '{}'", self.mark().display()));
        }
        let run = format!("touch '{}'; false", self.mark().display());
        for key in ["core.fsmonitor", "core.sshCommand", "uploadpack.packObjectsHook", "core.alternateRefsCommand"] {
            git(&repo, &["config", key, &run]);
        }
        repo
    }

    /// The file that exists once something ran that must not.
    fn mark(&self) -> PathBuf {
        self.path("it-ran")
    }

    async fn prepare(&self, repository: &Path) -> Prepared {
        self.try_prepare(repository.to_str().unwrap(), None).await.unwrap()
    }

    async fn try_prepare(&self, repository: &str, base_ref: Option<&str>) -> Result<Prepared, WorkspaceError> {
        let spec = PrepareSpec {
            attempt: attempt(),
            repository: Some(RepositoryUrl::parse(repository)?),
            base_ref: base_ref.map(str::to_owned),
            branch: BRANCH.to_owned(),
        };
        self.workspaces.prepare(spec).await
    }

    /// Runs the harvest as the supervisor would, and collects.
    async fn collect(&self, prepared: &Prepared) -> Result<Collected, WorkspaceError> {
        self.harvest(prepared);
        // What ran in the containment may have left marks there; from here on nothing may.
        let _ = std::fs::remove_file(self.mark());
        let collected = self.workspaces.collect(prepared, CollectLimits::default()).await;
        assert!(!self.mark().exists(), "something of the agent's ran on the clean side");
        collected
    }

    fn harvest(&self, prepared: &Prepared) {
        let command = self.workspaces.harvest_script(prepared, "Do it", "Request: req_1");
        let env = command.env.iter().map(|(key, value)| (key, value));
        let mut process = Command::new(&command.program);
        process.args(&command.args).env_clear().env("PATH", "/usr/bin:/bin").envs(env).current_dir(&command.dir);
        assert!(process.status().unwrap().success());
    }

    async fn hand_over(&self, prepared: &Prepared, delivery: &eve_core::Delivery) -> HandedOver {
        let handed = self.try_hand_over(prepared, delivery).await.unwrap();
        assert!(!self.mark().exists(), "something ran while handing over");
        handed
    }

    async fn try_hand_over(
        &self,
        prepared: &Prepared,
        delivery: &eve_core::Delivery,
    ) -> Result<HandedOver, WorkspaceError> {
        let repository = prepared.repository.as_ref().unwrap();
        let branch = delivery.branch.as_deref().unwrap();
        let commit = delivery.commit.as_deref().unwrap();
        self.workspaces.hand_over(repository, prepared.attempt, branch, commit).await
    }

    /// One attempt from start to end: the agent writes this into `a.txt`.
    async fn deliver(&self, repository: &Path, text: &str) -> HandedOver {
        let prepared = self.prepare(repository).await;
        std::fs::write(prepared.dir.join("a.txt"), text).unwrap();
        let collected = self.collect(&prepared).await.unwrap();
        self.hand_over(&prepared, &collected.delivery).await
    }
}

fn attempt() -> AttemptId {
    AttemptId::from_uuid(uuid::Uuid::now_v7())
}

/// Runs git as a user of the host would.
fn git(dir: &Path, args: &[&str]) -> String {
    let output = user_git(dir, args).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn user_git(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    // Hooks and monitors of the user's are not under test when the user runs git.
    command.args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"]);
    command.args(args).current_dir(dir).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "User").env(format!("GIT_{role}_EMAIL"), "user@example.com");
    }
    command
}

/// Runs what an agent might, in its checkout.
fn agent(prepared: &Prepared, commands: &str) {
    let mut command = Command::new("sh");
    command.args(["-e", "-c", commands]).current_dir(&prepared.dir).env_clear().env("PATH", "/usr/bin:/bin");
    command.env("HOME", &prepared.home).env("GIT_CONFIG_NOSYSTEM", "1");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{commands}: {}", String::from_utf8_lossy(&output.stderr));
}

fn script(path: &Path, commands: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, format!("#!/bin/sh\n{commands}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Everything about a repository that a user would notice: HEAD, status, and every file of the working tree.
fn appearance(repo: &Path) -> String {
    let mut files: Vec<String> = std::fs::read_dir(repo)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_file())
        .map(|entry| format!("{:?} {:?}", entry.file_name(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    let fetch_head = repo.join(".git/FETCH_HEAD").exists();
    format!(
        "{} {} {fetch_head}\n{}\n{}",
        git(repo, &["rev-parse", "HEAD"]),
        git(repo, &["symbolic-ref", "--quiet", "HEAD"]),
        git(repo, &["status", "--porcelain"]),
        files.join("\n")
    )
}
