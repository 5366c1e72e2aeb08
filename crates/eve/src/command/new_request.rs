//! What `eve run` and `eve request create` have in common: the arguments that become a new request.

use std::io::IsTerminal;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use eve_api_types::NewRequest;
use eve_core::Priority;
use eve_core::WorkerTypeName;
use jiff::SignedDuration;
use serde_json::Map;
use serde_json::Value;
use tokio::process::Command;

use crate::client::Client;
use crate::error::CliError;
use crate::error::ErrorKind;
use crate::output::Output;
use crate::output::plural;

/// Longest prompt that is read from a file or from standard input, in bytes: the server takes no longer one.
const PROMPT_LIMIT: u64 = 256 * 1024;

/// What to do, by whom, and where.
#[derive(Debug, Args)]
pub(crate) struct NewRequestArgs {
    /// What to do, in words; for the harness `command`, a script; `-` reads standard input
    #[arg(value_name = "PROMPT", required_unless_present = "file", conflicts_with = "file")]
    prompt: Option<String>,
    /// Read the prompt from this file
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The repository to work in: a directory on this host or an address
    #[arg(long, value_name = "PATH|URL")]
    repo: Option<String>,
    /// The branch, tag or commit to start from [default: the repository's own]
    #[arg(long, value_name = "REF")]
    branch: Option<String>,
    /// Who does it [default: general]
    #[arg(long, value_name = "TYPE")]
    worker_type: Option<WorkerTypeName>,
    /// The agent to use: `claude`, `codex`, `command`, or a name from the worker's configuration
    #[arg(long, value_name = "NAME")]
    harness: Option<String>,
    /// The model to use, as the agent names it
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// A line for lists and branch names [default: the start of the prompt]
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// How urgent it is: CRITICAL, HIGH, MEDIUM or LOW [default: MEDIUM]
    #[arg(long, value_name = "LEVEL")]
    priority: Option<Priority>,
    /// Longest run of an attempt, such as 90s, 30m or 2h [default: the worker type's]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// A variable for the agent: NAME=TEXT, or NAME:=JSON; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    context: Vec<(String, Value)>,
}

impl NewRequestArgs {
    /// Reads the prompt, looks at the repository, and makes the request.
    pub(crate) async fn resolve(self, client: &Client, output: &Output) -> Result<NewRequest, CliError> {
        let repository = match &self.repo {
            Some(text) => Some(repository(text, client, output).await?),
            None => None,
        };
        Ok(NewRequest {
            prompt: self.prompt().await?,
            repository,
            branch: self.branch,
            worker_type: self.worker_type.map(|name| name.as_str().to_owned()),
            harness: self.harness,
            model: self.model,
            title: self.title,
            priority: self.priority.map(|priority| priority.name().to_owned()),
            timeout_seconds: self.timeout.map(|time| u32::try_from(time.as_secs()).unwrap_or(u32::MAX).max(1)),
            context: self.context.into_iter().collect::<Map<_, _>>(),
            ..NewRequest::default()
        })
    }

    async fn prompt(&self) -> Result<String, CliError> {
        let (text, place) = match (&self.prompt, &self.file) {
            (Some(prompt), _) if prompt != "-" => (prompt.clone(), "the prompt".to_owned()),
            (_, Some(path)) if path != Path::new("-") => (read_file(path)?, path.display().to_string()),
            _ => (read_stdin().await?, "standard input".to_owned()),
        };
        if text.trim().is_empty() {
            return Err(CliError::usage(format!("{place} is empty")).hint("say what is to be done"));
        }
        Ok(text)
    }
}

fn read_file(path: &Path) -> Result<String, CliError> {
    let failed =
        |error| CliError::caused(ErrorKind::Usage, format!("cannot read the prompt from {}", path.display()), error);
    let file = std::fs::File::open(path).map_err(failed)?;
    read_limited(file).map_err(failed)
}

async fn read_stdin() -> Result<String, CliError> {
    if std::io::stdin().is_terminal() {
        crate::output::draw("Write the prompt, then press Ctrl-D.\n");
    }
    let read = tokio::task::spawn_blocking(|| read_limited(std::io::stdin().lock())).await;
    let text = read.map_err(|error| CliError::from(anyhow::Error::from(error)))?;
    text.map_err(|error| CliError::caused(ErrorKind::Usage, "cannot read the prompt from standard input", error))
}

fn read_limited(source: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    source.take(PROMPT_LIMIT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > PROMPT_LIMIT {
        return Err(std::io::Error::other(format!("it is longer than {PROMPT_LIMIT} bytes")));
    }
    Ok(text)
}

/// A length of time: `30m`, `1h 30m`, or a number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time: use a form such as 90s, 30m or 2h");
    let seconds = text.parse::<u64>().map(Duration::from_secs).ok();
    let friendly = || text.parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    seconds.or_else(friendly).filter(|time| !time.is_zero()).ok_or_else(wrong)
}

/// A variable: `NAME=TEXT` or `NAME:=JSON`.
pub(crate) fn variable(text: &str) -> Result<(String, Value), String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(format!("`{text}` has no `=`: use NAME=TEXT or NAME:=JSON"));
    };
    let (name, value) = match name.strip_suffix(':') {
        Some(name) => (name, serde_json::from_str(value).map_err(|error| format!("`{value}` is not JSON: {error}"))?),
        None => (name, Value::String(value.to_owned())),
    };
    if name.is_empty() { Err(format!("`{text}` has no name")) } else { Ok((name.to_owned(), value)) }
}

/// Whether a text is an address and not a path, as git tells them apart: a scheme, or a colon before any slash.
pub(crate) fn is_remote(text: &str) -> bool {
    if text.contains("://") {
        return true;
    }
    let before_colon = text.split_once(':').map(|(host, _)| host);
    before_colon.is_some_and(|host| !host.is_empty() && !host.contains('/')) && !Path::new(text).exists()
}

/// The repository as the worker is to find it. A path must be one of git's, and becomes absolute.
async fn repository(text: &str, client: &Client, output: &Output) -> Result<String, CliError> {
    if is_remote(text) {
        return Ok(text.to_owned());
    }
    let failed = |error| CliError::caused(ErrorKind::Usage, format!("there is no directory `{text}`"), error);
    let path = std::fs::canonicalize(text).map_err(failed)?;
    let not_git = || {
        CliError::usage(format!("`{}` is not a git repository", path.display()))
            .hint("make it one with `git init` and a first commit, or give another --repo")
    };
    let facts =
        git(&path, &["rev-parse", "--is-bare-repository", "--is-inside-work-tree"]).await?.ok_or_else(not_git)?;
    let mut facts = facts.lines().map(|fact| fact == "true");
    let root = match (facts.next(), facts.next()) {
        (Some(true), _) => git(&path, &["rev-parse", "--absolute-git-dir"]).await?,
        (_, Some(true)) => {
            warn_of_changes(&path, output).await?;
            git(&path, &["rev-parse", "--show-toplevel"]).await?
        }
        _ => None,
    };
    let root = root.ok_or_else(not_git)?;
    if git(&path, &["rev-parse", "--verify", "--quiet", "HEAD"]).await?.is_none() {
        return Err(CliError::usage(format!("`{root}` has no commit to start from")).hint("make a first commit"));
    }
    if !client.is_local() {
        output.warn(format!("the server is on another host: `{root}` must be there, too, for a worker to find it"));
    }
    Ok(root)
}

async fn warn_of_changes(path: &Path, output: &Output) -> Result<(), CliError> {
    let changes = git(path, &["status", "--porcelain"]).await?.unwrap_or_default().lines().count();
    if changes > 0 {
        let changes = plural(i64::try_from(changes).unwrap_or(i64::MAX), "uncommitted change");
        output.warn(format!("{changes}: the agent starts from the last commit and does not see them"));
    }
    Ok(())
}

/// What git says, without the end of line; nothing if it refuses.
async fn git(directory: &Path, arguments: &[&str]) -> Result<Option<String>, CliError> {
    let answer = Command::new("git").arg("-C").arg(directory).args(arguments).output().await.map_err(|error| {
        CliError::caused(ErrorKind::Failed, "cannot run git", error)
            .hint("install git, or give the address of a repository")
    })?;
    let text = String::from_utf8_lossy(&answer.stdout).trim_end().to_owned();
    Ok(answer.status.success().then_some(text))
}

#[cfg(test)]
mod tests;
