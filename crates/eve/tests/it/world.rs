//! A place to run the binary in that knows nothing of the host.

use std::path::PathBuf;
use std::process::Output;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;

/// A home, variables, and where the server is.
pub(crate) struct World {
    home: TempDir,
    variables: Vec<(String, String)>,
}

/// How a run of the binary ended.
#[must_use = "look at the code or take a snapshot"]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Everything in one text, for snapshots.
    pub(crate) fn all(&self) -> String {
        format!("exit code: {:?}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let home = TempDir::new().unwrap();
        Self { home, variables: Vec::new() }
    }

    /// With a server at this address and a key for it.
    pub(crate) fn with_server(url: &str) -> Self {
        Self::new().set("EVE_API_URL", url).set("EVE_API_KEY", "evk_test")
    }

    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eve"));
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("TZ", "UTC")
            .env("EVE_DATA_DIR", self.path("data"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Ended {
        let output = self.command(args).output().await.unwrap();
        self.ended(output)
    }

    pub(crate) fn ended(&self, output: Output) -> Ended {
        let home = self.home.path().to_string_lossy().into_owned();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&home, "[HOME]");
        Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}
