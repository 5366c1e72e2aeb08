//! A user's git repository with a program, its tests, and work that is not committed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use anyhow::ensure;

/// Lists things, one a line.
const PROGRAM: &str = "#!/bin/sh\nfor item in apple pear; do\n  echo \"$item\"\ndone\n";
/// Judges the program; `--json` is what requests are to add.
const TESTS: &str = "#!/bin/sh\nset -eu\ncd \"$(dirname \"$0\")\"\n\
    [ \"$(sh list.sh)\" = \"$(printf 'apple\\npear')\" ] && echo 'ok: plain'\n\
    [ \"$(sh list.sh --json)\" = '[\"apple\",\"pear\"]' ] && echo 'ok: json'\n";

/// A repository on the branch `main` with one commit, a changed file and an untracked one.
pub(crate) struct Repository {
    pub(crate) path: PathBuf,
    /// Written by every hook that runs.
    hook_mark: PathBuf,
    before: State,
}

/// What a request must leave alone.
#[derive(Debug, PartialEq, Eq)]
struct State {
    head: String,
    branch: String,
    status: String,
    changed: String,
    untracked: String,
    stash: String,
    config: String,
}

impl Repository {
    /// Makes one in this directory, which must not be there yet.
    pub(crate) fn create(path: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&path)?;
        let hook_mark = path.with_extension("hooks-that-ran");
        fs::write(path.join("list.sh"), PROGRAM)?;
        fs::write(path.join("test.sh"), TESTS)?;
        fs::write(path.join("NOTES"), "as committed\n")?;
        git(&path, &["init", "--quiet", "--initial-branch=main"])?;
        git(&path, &["config", "user.name", "A User"])?;
        git(&path, &["config", "user.email", "user@example.com"])?;
        git(&path, &["add", "--all"])?;
        git(&path, &["commit", "--quiet", "--message=First"])?;
        for hook in ["post-checkout", "post-update", "pre-receive", "reference-transaction", "update"] {
            let file = path.join(".git/hooks").join(hook);
            fs::create_dir_all(path.join(".git/hooks"))?;
            fs::write(&file, format!("#!/bin/sh\necho {hook} >> '{}'\n", hook_mark.display()))?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        }
        fs::write(path.join("NOTES"), "changed and not committed\n")?;
        fs::write(path.join("DRAFT"), "never added\n")?;
        let before = State::of(&path)?;
        // Asking git for the state may have run a hook.
        let _ = fs::remove_file(&hook_mark);
        Ok(Self { path, hook_mark, before })
    }

    /// The path as an argument.
    pub(crate) fn arg(&self) -> anyhow::Result<&str> {
        self.path.to_str().context("the path is text")
    }

    /// Checks that working tree, HEAD, index, stash and settings are as they were, and that no hook ran.
    pub(crate) fn assert_untouched(&self) -> anyhow::Result<()> {
        assert!(!self.hook_mark.exists(), "hooks ran: {:?}", fs::read_to_string(&self.hook_mark));
        assert_eq!(State::of(&self.path)?, self.before);
        Ok(())
    }

    /// Runs git in it.
    pub(crate) fn git(&self, arguments: &[&str]) -> anyhow::Result<String> {
        git(&self.path, arguments)
    }

    /// The content of a file on a branch.
    pub(crate) fn show(&self, branch: &str, file: &str) -> anyhow::Result<String> {
        self.git(&["show", &format!("{branch}:{file}")])
    }

    /// Runs the repository's own tests on a branch, in a clone, and hands over what they print.
    pub(crate) fn test_branch(&self, branch: &str) -> anyhow::Result<String> {
        let clone = self.path.with_extension("clone");
        let target = clone.to_str().context("the path is text")?;
        git(&self.path, &["clone", "--quiet", "--branch", branch, "--single-branch", ".", target])?;
        let output = Command::new("sh").arg("test.sh").current_dir(&clone).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "the tests fail on {branch}: {text}");
        Ok(text)
    }
}

impl State {
    fn of(path: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            head: git(path, &["rev-parse", "HEAD"])?,
            branch: git(path, &["symbolic-ref", "HEAD"])?,
            status: git(path, &["status", "--porcelain"])?,
            changed: fs::read_to_string(path.join("NOTES"))?,
            untracked: fs::read_to_string(path.join("DRAFT"))?,
            stash: git(path, &["stash", "list"])?,
            config: fs::read_to_string(path.join(".git/config"))?,
        })
    }
}

/// Runs git with no settings but the repository's own.
fn git(directory: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {arguments:?} failed: {errors}");
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}
