//! An installation as users run it: `eve server` and `eve worker` as processes of their own, on a database of their own.

use std::collections::HashMap;
use std::fs;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use eve_testkit::bench;
use eve_testkit::database::TestDatabase;
use serde_json::Value;

/// Longest time that a process may take until it is ready, or to stop.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// Between two looks whether it is.
const READY_PAUSE: Duration = Duration::from_millis(50);
const KIB_PER_MIB: f64 = 1024.0;

/// A server on a database of its own, and perhaps a worker.
pub(super) struct Installation {
    pub(super) url: String,
    pub(super) key: String,
    program: PathBuf,
    dir: tempfile::TempDir,
    server: Process,
    worker: Option<Process>,
}

/// A process that ends with this value.
struct Process {
    child: Child,
    log: PathBuf,
}

impl Installation {
    /// Starts a server.
    pub(super) async fn start(program: Option<&Path>, database: &TestDatabase) -> Result<Self> {
        let program = match program {
            Some(program) => program.to_owned(),
            None => std::env::current_exe()?.with_file_name("eve"),
        };
        ensure!(program.is_file(), "there is no {}; `cargo build --release -p eve` makes it", program.display());
        let dir = tempfile::Builder::new().prefix("eve-bench-").tempdir_in("/tmp")?;
        let data = dir.path().join("data");
        let mut command = eve(&program, &data);
        command.args(["server", "--listen", "127.0.0.1:0"]);
        command.env("DATABASE_URL", database.url("eve_service"));
        command.env("EVE_SERVER__MIGRATE_DATABASE_URL", database.url("eve_owner"));
        let mut server = Process::start(command, dir.path().join("server.log"))?;
        let note = data.join("server.json");
        let url = server
            .until("ready", || {
                let note: Value = serde_json::from_str(&fs::read_to_string(&note).ok()?).ok()?;
                Some(note.get("url")?.as_str()?.to_owned())
            })
            .await?;
        let http = client()?;
        let begun = Instant::now();
        while !http.get(format!("{url}/readyz")).send().await.is_ok_and(|answer| answer.status().is_success()) {
            ensure!(begun.elapsed() < READY_LIMIT, "the server is not ready: {}", server.log());
            tokio::time::sleep(READY_PAUSE).await;
        }
        let key = fs::read_to_string(data.join("api-key"))?.trim().to_owned();
        Ok(Self { url, key, program, dir, server, worker: None })
    }

    /// Starts a worker with so many slots.
    pub(super) async fn start_worker(&mut self, slots: usize) -> Result<()> {
        let data = self.dir.path().join("worker");
        let mut command = eve(&self.program, &data);
        command.args([
            "worker",
            "--server",
            &self.url,
            "--slots",
            &slots.to_string(),
            "--worker-type",
            super::many::TYPE,
        ]);
        command.env("EVE_WORKER__KEY_FILE", self.dir.path().join("data").join("worker-key"));
        self.worker = Some(Process::start(command, self.dir.path().join("worker.log"))?);
        Ok(())
    }

    /// Ends the worker at once, with what it runs.
    pub(super) fn kill_worker(&mut self) {
        self.worker = None;
    }

    /// What the server uses.
    pub(super) fn server(&self) -> Result<Usage> {
        Usage::of(self.server.child.id(), false)
    }

    /// What the worker uses by itself, without its agents and their keepers.
    pub(super) fn worker(&self) -> Result<Usage> {
        Usage::of(self.worker.as_ref().context("no worker")?.child.id(), false)
    }

    /// What the worker's agents and their keepers use, the worker's own included.
    pub(super) fn worker_and_agents(&self) -> Result<Usage> {
        Usage::of(self.worker.as_ref().context("no worker")?.child.id(), true)
    }

    /// Fails if a process ended by itself.
    pub(super) fn check(&mut self) -> Result<()> {
        for process in [Some(&mut self.server), self.worker.as_mut()].into_iter().flatten() {
            if let Some(status) = process.child.try_wait()? {
                bail!("a process ended with {status}: {}", process.log());
            }
        }
        Ok(())
    }
}

/// A client that keeps as many connections as it needs.
pub(super) fn client() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().timeout(READY_LIMIT).build()?)
}

/// The program in a clean environment.
fn eve(program: &Path, data: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", data);
    command.env("EVE_DATA_DIR", data).stdin(Stdio::null());
    command
}

impl Process {
    fn start(mut command: Command, log: PathBuf) -> Result<Self> {
        let output = File::create(&log)?;
        command.stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
        Ok(Self { child, log })
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    async fn until<T>(&mut self, what: &str, look: impl Fn() -> Option<T>) -> Result<T> {
        let begun = Instant::now();
        loop {
            if let Some(found) = look() {
                return Ok(found);
            }
            let ended = self.child.try_wait()?.is_some();
            ensure!(!ended && begun.elapsed() < READY_LIMIT, "it did not get {what}: {}", self.log());
            tokio::time::sleep(READY_PAUSE).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its agents end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What processes use at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    pub(super) processes: usize,
    pub(super) resident_mib: f64,
    /// The same with what several share counted by its share; only of trees, since it costs a walk through all pages.
    pub(super) proportional_mib: f64,
    /// So far, of those that live and of their children that have ended.
    pub(super) cpu_seconds: f64,
}

impl Usage {
    /// Of one process, or of it and all that descend from it.
    fn of(pid: u32, descendants: bool) -> Result<Self> {
        let mut pids = vec![pid];
        if descendants {
            let children = children()?;
            let mut next = 0;
            while let Some(parent) = pids.get(next) {
                pids.extend(children.get(parent).into_iter().flatten());
                next += 1;
            }
        }
        let mut usage = Self::default();
        for pid in pids {
            // It may have ended since it was listed.
            let Some(ticks) = bench::ticks(&pid.to_string()) else { continue };
            let ended = if descendants { ticks.children } else { 0 };
            usage.processes += 1;
            usage.cpu_seconds += bench::seconds(ticks.own + ended);
            usage.resident_mib += memory_mib(pid, "status", "VmRSS:").unwrap_or(0.0);
            if descendants {
                usage.proportional_mib += memory_mib(pid, "smaps_rollup", "Pss:").unwrap_or(0.0);
            }
        }
        Ok(usage)
    }
}

fn children() -> Result<HashMap<u32, Vec<u32>>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc")?.filter_map(Result::ok) {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(ticks) = bench::ticks(&u32::to_string(&pid)) {
            children.entry(ticks.parent).or_default().push(pid);
        }
    }
    Ok(children)
}

fn memory_mib(pid: u32, file: &str, name: &str) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(bench::as_float(kib) / KIB_PER_MIB)
}
