//! The one place that runs git.
//!
//! Every call starts from an empty environment, reads Eve's own configuration instead of the host's, and sets
//! aside whatever in a repository's configuration could start a program: hooks, file system monitors, filters'
//! attributes, signing, helpers. It has no terminal, no input beyond what it is given, a process group of its own,
//! a time limit, and a bound on what is kept of its output. How much of the host it may see is an [`Access`].
//! Parsing what git answers is left to the callers.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::signal::killpg;
use nix::unistd::Pid;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::error::GitError;
use super::repository::RepositoryUrl;
use super::repository::mask_credentials;

/// Longest time for whatever crosses a network or copies a whole repository.
pub(super) const TRANSFER_LIMIT: Duration = Duration::from_secs(10 * 60);
/// Longest time for everything else.
pub(super) const COMMAND_LIMIT: Duration = Duration::from_secs(2 * 60);
/// Most that is kept of an answer, in bytes.
const OUTPUT_LIMIT: usize = 32 << 20;
/// How much of git's complaint is kept, in bytes and in lines: the last words say why.
const COMPLAINT_LIMIT: usize = 4096;
const COMPLAINT_LINES: usize = 12;
/// Largest single allocation while git reads what an agent made: a few kilobytes can claim to unpack to terabytes.
const HOSTILE_ALLOCATION: &str = "1g";
/// Files beyond this size are not held in memory while git reads what an agent made.
const HOSTILE_BIG_FILE: &str = "16m";

/// Settings that win over a repository's own configuration.
const OVERRIDES: [(&str, &str); 20] = [
    ("advice.fetchShowForcedUpdates", "false"),
    ("commit.gpgSign", "false"),
    ("core.alternateRefsCommand", "true"),
    ("core.attributesFile", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.pager", "cat"),
    ("core.useReplaceRefs", "false"),
    ("fetch.writeCommitGraph", "false"),
    ("gc.auto", "0"),
    ("gc.autoDetach", "false"),
    ("log.showSignature", "false"),
    ("maintenance.auto", "false"),
    ("protocol.ext.allow", "never"),
    ("push.gpgSign", "false"),
    // Repositories of any owner: nothing in them is run.
    ("safe.directory", "*"),
    ("submodule.recurse", "false"),
    ("tag.gpgSign", "false"),
    ("transfer.credentialsInUrl", "allow"),
    ("user.useConfigOnly", "false"),
];

/// Settings for calls that have no business with a password.
const NO_CREDENTIALS: [(&str, &str); 3] =
    [("core.askPass", "false"), ("core.sshCommand", "false"), ("credential.helper", "")];

/// What a call may see of the host.
#[derive(Debug, Clone, Copy)]
pub(super) enum Access<'a> {
    /// Local files and Eve's own configuration.
    Eve,
    /// The same, as another user, so that files made in that user's repository are that user's.
    Owner(Owner),
    /// That remote repository, with the operator's configuration and credentials. Never for what an agent touched.
    Remote(&'a RepositoryUrl),
}

/// A user of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// What git reads on standard input.
pub(super) enum Input {
    Nothing,
    Bytes(Vec<u8>),
    File(std::fs::File),
}

/// Where and how git is run on this host.
pub(super) struct Git {
    pub(super) path: OsString,
    pub(super) home: PathBuf,
    pub(super) config: PathBuf,
    pub(super) remote_home: Option<PathBuf>,
    pub(super) remote_env: Vec<(OsString, OsString)>,
}

/// One run of git, being put together.
pub(super) struct Call<'a> {
    git: &'a Git,
    operation: &'static str,
    global: Vec<OsString>,
    args: Vec<OsString>,
    access: Access<'a>,
    settings: Vec<(String, String)>,
    env: Vec<(OsString, OsString)>,
    input: Input,
    output: Option<std::fs::File>,
    limit: Duration,
}

impl Git {
    /// A call of this git command on the repository whose git directory this is.
    pub(super) fn on<'a>(&'a self, git_dir: &Path, operation: &'static str) -> Call<'a> {
        let mut call = self.anywhere(operation);
        call.global.push("--git-dir".into());
        call.global.push(git_dir.into());
        call
    }

    /// A call of this git command that needs no repository.
    pub(super) fn anywhere<'a>(&'a self, operation: &'static str) -> Call<'a> {
        Call {
            git: self,
            operation,
            global: Vec::new(),
            args: Vec::new(),
            access: Access::Eve,
            settings: Vec::new(),
            env: Vec::new(),
            input: Input::Nothing,
            output: None,
            limit: COMMAND_LIMIT,
        }
    }
}

impl<'a> Call<'a> {
    pub(super) fn global(mut self, flag: &str, value: impl Into<OsString>) -> Self {
        self.global.push(flag.into());
        self.global.push(value.into());
        self
    }

    pub(super) fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(super) fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub(super) fn access(mut self, access: Access<'a>) -> Self {
        self.access = access;
        self
    }

    pub(super) fn setting(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn env(mut self, key: &str, value: impl Into<OsString>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    pub(super) fn input(mut self, input: Input) -> Self {
        self.input = input;
        self
    }

    /// Writes the answer to a file instead of returning it.
    pub(super) fn output(mut self, file: std::fs::File) -> Self {
        self.output = Some(file);
        self
    }

    pub(super) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// For objects that an agent made: bounds what reading them may cost.
    pub(super) fn hostile(self) -> Self {
        self.env("GIT_ALLOC_LIMIT", HOSTILE_ALLOCATION).setting("core.bigFileThreshold", HOSTILE_BIG_FILE)
    }

    /// Runs it; an exit code other than zero is an error. Returns the answer.
    pub(super) async fn run(self) -> Result<Vec<u8>, GitError> {
        let operation = self.operation;
        let mut answer = Vec::new();
        let mut beyond = false;
        self.stream(&mut |chunk: &[u8]| {
            let room = OUTPUT_LIMIT.saturating_sub(answer.len()).min(chunk.len());
            answer.extend_from_slice(&chunk[..room]);
            beyond |= room < chunk.len();
        })
        .await?;
        // Half an answer is worse than none.
        if beyond { Err(GitError::Answer { operation: operation.to_owned() }) } else { Ok(answer) }
    }

    /// Runs it and returns the first line of the answer.
    pub(super) async fn line(self) -> Result<String, GitError> {
        let operation = self.operation;
        let answer = self.run().await?;
        let line = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
        String::from_utf8(line.to_vec()).map_err(|_| GitError::Answer { operation: operation.to_owned() })
    }

    /// Runs a question: yes is exit code 0, no is any other.
    pub(super) async fn holds(self) -> Result<bool, GitError> {
        match self.run().await {
            Ok(_) => Ok(true),
            Err(GitError::Failed { code: Some(_), .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Runs it and hands over the answer piece by piece.
    pub(super) async fn stream(mut self, sink: &mut (dyn FnMut(&[u8]) + Send)) -> Result<(), GitError> {
        let operation = self.operation.to_owned();
        let limit = self.limit;
        let pipe = |source| GitError::Pipe { operation: self.operation.to_owned(), source };
        let mut command = self.command();
        let input = match std::mem::replace(&mut self.input, Input::Nothing) {
            Input::Nothing => None,
            Input::Bytes(bytes) => {
                command.stdin(Stdio::piped());
                Some(bytes)
            }
            Input::File(file) => {
                command.stdin(Stdio::from(file));
                None
            }
        };
        if let Some(file) = self.output.take() {
            command.stdout(Stdio::from(file));
        }
        let mut child = command.spawn().map_err(|source| GitError::Spawn { source })?;
        // The command keeps its own copies of the files it was given.
        drop(command);
        let mut group = Group::of(&child);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let work = async {
            let mut complaint = Vec::new();
            let feed = async {
                if let (Some(mut stdin), Some(bytes)) = (stdin, input) {
                    // A git that stops reading says why on its standard error.
                    let _ = stdin.write_all(&bytes).await;
                }
                Ok(())
            };
            let mut keep_tail = |chunk: &[u8]| {
                complaint.extend_from_slice(chunk);
                let excess = complaint.len().saturating_sub(COMPLAINT_LIMIT);
                complaint.drain(..excess);
            };
            tokio::try_join!(feed, pump(stdout, sink), pump(stderr, &mut keep_tail)).map_err(&pipe)?;
            let status = child.wait().await.map_err(&pipe)?;
            Ok::<_, GitError>((status, complaint))
        };
        let (status, complaint) = tokio::time::timeout(limit, work)
            .await
            .map_err(|_| GitError::TimedOut { operation: operation.clone(), after: limit })??;
        group.ended();
        if status.success() {
            return Ok(());
        }
        Err(GitError::Failed { operation, code: status.code(), message: last_words(&complaint) })
    }

    fn command(&self) -> Command {
        let git = self.git;
        let mut command = Command::new("git");
        command.args(&self.global).arg(self.operation).args(&self.args);
        command.env_clear().current_dir("/").kill_on_drop(true).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut settings: Vec<(&str, &str)> = OVERRIDES.to_vec();
        let credentials;
        command.env("PATH", &git.path);
        match self.access {
            Access::Eve => {
                command.env("HOME", &git.home).env("GIT_CONFIG_GLOBAL", &git.config);
                confine(&mut command, &mut settings);
            }
            Access::Owner(owner) => {
                // Another user may not be able to read Eve's files; the overrides say all that matters.
                command.env("HOME", "/nonexistent").env("GIT_CONFIG_GLOBAL", "/dev/null");
                command.uid(owner.uid).gid(owner.gid);
                confine(&mut command, &mut settings);
            }
            Access::Remote(repository) => {
                command.env("GIT_ALLOW_PROTOCOL", "https:http:ssh");
                match &git.remote_home {
                    Some(home) => command.env("HOME", home),
                    None => command.env("HOME", &git.home).env("GIT_CONFIG_GLOBAL", &git.config),
                };
                // No terminal and nobody to ask: ssh is kept from `/dev/tty` without overriding the operator's
                // own `core.sshCommand`, which may name the key to use.
                command.env("SSH_ASKPASS", "false").env("SSH_ASKPASS_REQUIRE", "force");
                command.envs(git.remote_env.iter().map(|(key, value)| (key, value)));
                credentials = repository.credential_config();
                settings.extend(credentials.settings.iter().map(|(key, value)| (key.as_str(), value.as_str())));
                command.envs(credentials.env.iter().map(|(key, value)| (key, value)));
            }
        }
        settings.extend(self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (index, (key, value)) in settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{index}"), key).env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        command.env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0").env("GIT_ATTR_NOSYSTEM", "1");
        command.env("GIT_NO_REPLACE_OBJECTS", "1").env("GIT_NO_LAZY_FETCH", "1").env("GIT_OPTIONAL_LOCKS", "0");
        command.env("GIT_LFS_SKIP_SMUDGE", "1").env("GIT_PAGER", "cat").env("GIT_EDITOR", "false");
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command
    }
}

/// No network, no passwords, no configuration of the host.
fn confine<'s>(command: &mut Command, settings: &mut Vec<(&'s str, &'s str)>) {
    command.env("GIT_ALLOW_PROTOCOL", "file").env("GIT_CONFIG_NOSYSTEM", "1");
    command.env("GIT_ASKPASS", "false").env("GIT_SSH_COMMAND", "false");
    settings.extend(NO_CREDENTIALS);
}

async fn pump<R: AsyncRead + Unpin>(from: Option<R>, sink: &mut (dyn FnMut(&[u8]) + Send)) -> io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    let mut buffer = vec![0; 16 << 10];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        sink(&buffer[..count]);
    }
}

/// The end of a complaint as one line: what went wrong comes last, progress and hints before it.
fn last_words(complaint: &[u8]) -> String {
    let text = mask_credentials(&String::from_utf8_lossy(complaint));
    let lines: Vec<&str> =
        text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("hint:")).collect();
    let words = lines[lines.len().saturating_sub(COMPLAINT_LINES)..].join("; ");
    words.chars().filter(|letter| !letter.is_control()).collect()
}

/// Kills git and everything it started when it is given up half-way.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &tokio::process::Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    fn ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may be gone already.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}
