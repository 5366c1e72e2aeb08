//! A process of the real binary, and what can be done to it.

use std::fs;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use anyhow::Context;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::clock;

/// A server or a worker.
pub(crate) struct Daemon {
    /// What the ledgers call it; never the name of two.
    pub(crate) name: String,
    pub(crate) pid: u32,
    child: Child,
    log: PathBuf,
    ended: Option<String>,
}

impl Daemon {
    /// Starts a program that the kernel kills when the harness is gone.
    ///
    /// It is the calling thread that must stay: not to be called from a thread that comes and goes.
    pub(crate) fn start(name: &str, command: &mut Command, directory: &Path) -> anyhow::Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let mut wrapped = Command::new("setpriv");
        wrapped.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
        wrapped.env_clear();
        for (variable, value) in command.get_envs() {
            wrapped.env(variable, value.unwrap_or_default());
        }
        let child = wrapped
            .current_dir(directory)
            .stdin(Stdio::null())
            // When the group that the harness is in loses its terminal's shell, the kernel wakes all that is stopped in it.
            .process_group(0)
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), pid: child.id(), child, log, ended: None })
    }

    /// Sends a signal; whoever is gone needs none.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.ended.is_none()
            && let Ok(pid) = i32::try_from(self.pid)
        {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Kills it and collects it. Says when that was.
    pub(crate) fn kill(&mut self) -> u64 {
        self.signal(Signal::SIGKILL);
        let at = clock::now_ms();
        if self.ended.is_none() {
            let status = self.child.wait();
            self.ended = Some(status.map_or_else(|error| error.to_string(), |status| status.to_string()));
        }
        at
    }

    /// How it ended, if it has.
    pub(crate) fn has_ended(&mut self) -> Option<&str> {
        if self.ended.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.ended = Some(status.to_string());
        }
        self.ended.as_deref()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}
