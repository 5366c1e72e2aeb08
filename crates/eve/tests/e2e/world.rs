//! An Eve of its own: data directory, home, configuration, daemons, and ways to speak to it.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::fs::File;
use std::fs::Permissions;
use std::io;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::bail;
use anyhow::ensure;
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;

use crate::processes;
use crate::wait::SOON;
use crate::wait::until;

/// Making a database and starting everything takes three seconds on an idle machine.
const READY_LIMIT: Duration = Duration::from_secs(90);
/// Longest time that PostgreSQL and agents may take to notice that Eve was killed, when a world ends.
const END_LIMIT: Duration = Duration::from_secs(20);
/// A lease for tests in which workers are lost: short, so that takeovers come soon; long enough for a disk that stops for
/// seconds.
pub(crate) const SHORT_LEASE_SECONDS: u32 = 10;
/// How much of each daemon's log is shown when a test fails.
const LOG_TAIL: usize = 6000;

/// What a world is like.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Agents at once in `eve up`.
    pub(crate) slots: u32,
    /// `server.lease_seconds`.
    pub(crate) lease_seconds: u32,
    /// `[harness.*]` sections.
    pub(crate) harnesses: String,
    /// Further variables of the daemons.
    pub(crate) variables: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        // Eve's own: a disk that stops for seconds must not end agents where that is not what is tested.
        Self { slots: 4, lease_seconds: 30, harnesses: String::new(), variables: BTreeMap::new() }
    }
}

/// A process of the binary.
pub(crate) struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
    started_at: Instant,
}

/// How a run of the command line ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Standard output as JSON.
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("not JSON: {self:?}"))
    }
}

/// An Eve, with everything that belongs to it. Dropping it kills and removes all of that.
pub(crate) struct World {
    /// Data directory and what scripts write. Short, because sockets have short names.
    root: TempDir,
    /// Not in /tmp: Codex quietly runs no command if its home is in there.
    home: TempDir,
    settings: Settings,
    daemons: Vec<Daemon>,
    http: reqwest::Client,
    url: String,
    passed: bool,
}

impl World {
    /// Everything in one process: `eve up`.
    pub(crate) async fn up(settings: Settings) -> anyhow::Result<Self> {
        let mut world = Self::new(settings)?;
        world.start_up().await?;
        Ok(world)
    }

    /// A server without a worker: `eve server`. Workers are added with [`Self::start_worker`].
    pub(crate) async fn split(settings: Settings) -> anyhow::Result<Self> {
        let mut world = Self::new(settings)?;
        world.start("server", &["server", "--listen", "127.0.0.1:0"])?;
        world.ready().await?;
        Ok(world)
    }

    fn new(settings: Settings) -> anyhow::Result<Self> {
        let root = tempfile::Builder::new().prefix("eve-e2e-").tempdir_in("/tmp")?;
        // PostgreSQL runs as another user, who has to get through.
        fs::set_permissions(root.path(), Permissions::from_mode(0o755))?;
        for directory in ["runs", "ends"] {
            fs::create_dir(root.path().join(directory))?;
        }
        let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let config = home.path().join(".config/eve");
        fs::create_dir_all(&config)?;
        let lease_seconds = settings.lease_seconds;
        let text = format!(
            "[server]\nlease_seconds = {lease_seconds}\n[postgres]\n{}\n[worker]\nslots = {}\n{}",
            postgres()?,
            settings.slots,
            settings.harnesses
        );
        fs::write(config.join("config.toml"), text)?;
        let http = reqwest::Client::builder().no_proxy().timeout(SOON).build()?;
        Ok(Self { root, home, settings, daemons: Vec::new(), http, url: String::new(), passed: false })
    }

    /// Starts `eve up` (again) and waits until it is ready. Says how long that took.
    pub(crate) async fn start_up(&mut self) -> anyhow::Result<Duration> {
        self.start("up", &["up", "--listen", "127.0.0.1:0"])?;
        self.ready().await
    }

    /// Starts a worker that takes its work over HTTP, and waits until it is entered.
    pub(crate) async fn start_worker(&mut self, slots: u32) -> anyhow::Result<u32> {
        let (url, slots) = (self.url.clone(), slots.to_string());
        let pid = self.start("worker", &["worker", "--server", &url, "--slots", &slots])?;
        until("the worker is entered", SOON, async || Ok(self.worker(pid).await?)).await?;
        Ok(pid)
    }

    fn start(&mut self, name: &str, arguments: &[&str]) -> anyhow::Result<u32> {
        let name = format!("{name}-{}", self.daemons.len());
        let log = self.root.path().join(format!("{name}.log"));
        let child = self
            .command(arguments)
            .envs(&self.settings.variables)
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()?;
        let pid = child.id();
        self.daemons.push(Daemon { name, child, log, started_at: Instant::now() });
        Ok(pid)
    }

    /// The binary in a clean environment.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eve"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("EVE_DATA_DIR", self.data_dir())
            .current_dir(self.home.path())
            .stdin(Stdio::null());
        command
    }

    /// Waits until the server that was started last answers.
    async fn ready(&mut self) -> anyhow::Result<Duration> {
        let note = self.data_dir().join("server.json");
        let http = self.http.clone();
        let daemon = self.daemons.last_mut().context("nothing was started")?;
        let pid = daemon.child.id();
        self.url = until("the server is ready", READY_LIMIT, async || {
            if let Some(status) = daemon.child.try_wait()? {
                bail!("it ended with {status}: {}", fs::read_to_string(&daemon.log)?);
            }
            let Ok(text) = fs::read_to_string(&note) else { return Ok(None) };
            let note: Value = serde_json::from_str(&text)?;
            let Some(url) = note["url"].as_str().filter(|_| note["pid"] == pid) else { return Ok(None) };
            let ready = http.get(format!("{url}/readyz")).send().await?.status().is_success();
            Ok(ready.then(|| url.to_owned()))
        })
        .await?;
        Ok(self.daemon(pid)?.started_at.elapsed())
    }

    fn daemon(&mut self, pid: u32) -> anyhow::Result<&mut Daemon> {
        self.daemons.iter_mut().find(|daemon| daemon.child.id() == pid).context("no such daemon")
    }

    /// The process that was started last.
    pub(crate) fn last_pid(&self) -> u32 {
        self.daemons.last().map_or(0, |daemon| daemon.child.id())
    }

    /// Where Eve keeps its files.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.root.path().join("d")
    }

    /// Where the server answers.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A path in the world's own directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// What a daemon has logged.
    pub(crate) fn log_of(&self, pid: u32) -> anyhow::Result<String> {
        let daemon = self.daemons.iter().find(|daemon| daemon.child.id() == pid).context("no such daemon")?;
        Ok(fs::read_to_string(&daemon.log)?)
    }

    /// Kills a daemon and collects it.
    pub(crate) fn kill(&mut self, pid: u32) -> anyhow::Result<()> {
        let child = &mut self.daemon(pid)?.child;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Waits for a daemon's own end.
    pub(crate) async fn ended(&mut self, pid: u32, limit: Duration) -> anyhow::Result<ExitStatus> {
        let daemon = self.daemon(pid)?;
        until("the daemon ends", limit, async || Ok(daemon.child.try_wait()?)).await
    }

    /// Runs the command line against this Eve, with `-o json`.
    pub(crate) async fn eve(&self, arguments: &[&str]) -> anyhow::Result<Ended> {
        self.run(arguments, &["-o", "json"]).await
    }

    /// Runs the command line with nothing added.
    pub(crate) async fn eve_plain(&self, arguments: &[&str]) -> anyhow::Result<Ended> {
        self.run(arguments, &[]).await
    }

    async fn run(&self, arguments: &[&str], more: &[&str]) -> anyhow::Result<Ended> {
        let mut command = tokio::process::Command::from(self.command(&[arguments, more].concat()));
        let output = tokio::time::timeout(Duration::from_secs(90), command.kill_on_drop(true).output()).await??;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) })
    }

    fn key(&self, file: &str) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.data_dir().join(file))?.trim().to_owned())
    }

    /// The owner's API key.
    pub(crate) fn api_key(&self) -> anyhow::Result<String> {
        self.key("api-key")
    }

    /// Calls the server with a credential and hands over status and body.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        credential: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let mut request = self.http.request(method, format!("{}{path}", self.url)).bearer_auth(credential);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// Calls the API as its owner; anything but success is an error.
    pub(crate) async fn api(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let path = format!("/api/v1{path}");
        let (status, answer) = self.call(method, &path, &self.api_key()?, body).await?;
        ensure!((200..300).contains(&status), "{path} answered {status}: {answer}");
        Ok(answer)
    }

    /// Reads from the API as its owner.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.api(Method::GET, path, None).await
    }

    /// Calls the workers' API as a worker.
    pub(crate) async fn as_worker(&self, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        self.call(Method::POST, &format!("/api/v1/worker{path}"), &self.key("worker-key")?, Some(body)).await
    }

    /// The worker of this process as the API shows it, if it is entered.
    pub(crate) async fn worker(&self, pid: u32) -> anyhow::Result<Option<Value>> {
        let workers = self.get("/workers").await?;
        let name = format!(":{pid}");
        let found = items(&workers).iter().find(|worker| worker["name"].as_str().is_some_and(|n| n.ends_with(&name)));
        Ok(found.cloned())
    }

    /// Asks for something and hands over its id.
    pub(crate) async fn ask(&self, request: Value) -> anyhow::Result<String> {
        let created = self.api(Method::POST, "/requests", Some(&request)).await?;
        created["id"].as_str().map(str::to_owned).context("an id")
    }

    /// Asks for a script to be run.
    pub(crate) async fn ask_script(&self, script: &str) -> anyhow::Result<String> {
        self.ask(json!({"harness": "command", "prompt": script})).await
    }

    /// A script that tells that it runs, waits for a gate, and tells that it ended. See [`Self::runs`].
    pub(crate) fn gated(&self, gate: &str) -> String {
        let root = self.root.path().display();
        format!(
            "echo $EVE_ATTEMPT_ID >> {root}/runs/$EVE_REQUEST_ID\n\
             while [ ! -e {root}/{gate} ]; do sleep 0.2; done\n\
             echo $EVE_ATTEMPT_ID >> {root}/ends/$EVE_REQUEST_ID\n\
             echo through the gate\n"
        )
    }

    /// Opens a gate.
    pub(crate) fn open(&self, gate: &str) -> anyhow::Result<()> {
        Ok(fs::write(self.path(gate), "")?)
    }

    /// The attempts that began to run a gated script, and those that came to its end.
    pub(crate) fn runs(&self, id: &str) -> (Vec<String>, Vec<String>) {
        let lines = |directory: &str| {
            let text = fs::read_to_string(self.path(directory).join(id)).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        };
        (lines("runs"), lines("ends"))
    }

    /// Waits until the script of a request runs in its n-th attempt.
    pub(crate) async fn running(&self, id: &str, attempts: usize) -> anyhow::Result<()> {
        until(&format!("{id} runs"), SOON, async || Ok((self.runs(id).0.len() == attempts).then_some(()))).await
    }

    /// A request with its attempts.
    pub(crate) async fn request(&self, id: &str) -> anyhow::Result<Value> {
        self.get(&format!("/requests/{id}")).await
    }

    /// Waits until a request fulfils a condition.
    pub(crate) async fn request_until(
        &self,
        id: &str,
        limit: Duration,
        is_so: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let mut last = Value::Null;
        let found = until("the request is as wanted", limit, async || {
            last = self.request(id).await?;
            Ok(is_so(&last).then(|| last.clone()))
        })
        .await;
        found.map_err(|error| error.context(format!("{last:#}")))
    }

    /// Waits until a request is finished.
    pub(crate) async fn finished(&self, id: &str, limit: Duration) -> anyhow::Result<Value> {
        let ends = ["completed", "failed", "cancelled"];
        self.request_until(id, limit, |request| ends.iter().any(|end| request["status"] == *end)).await
    }

    /// What came of a request.
    pub(crate) async fn result(&self, id: &str) -> anyhow::Result<Value> {
        self.get(&format!("/results/{id}")).await
    }

    /// The whole log of a request.
    pub(crate) async fn log(&self, id: &str) -> anyhow::Result<Vec<Value>> {
        let mut entries = Vec::new();
        let mut after = "0-0".to_owned();
        loop {
            let page = self.get(&format!("/requests/{id}/log?limit=1000&after={after}")).await?;
            let Some(next) = page["next_cursor"].as_str() else { return Ok(entries) };
            after = next.to_owned();
            entries.extend_from_slice(items(&page));
        }
    }

    /// Lines of output in a request's log.
    pub(crate) async fn output_lines(&self, id: &str) -> anyhow::Result<Vec<String>> {
        Ok(output_of(&self.log(id).await?))
    }

    /// The kinds of all events, by request, in order.
    pub(crate) async fn events(&self) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
        let mut events: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut after = String::new();
        loop {
            let mut request = self.http.get(format!("{}/api/v1/events?limit=500{after}", self.url));
            request = request.bearer_auth(self.api_key()?).header("accept", "application/json");
            let page: Value = request.send().await?.error_for_status()?.json().await?;
            for event in items(&page) {
                if let (Some(id), Some(kind)) = (event["request_id"].as_str(), event["kind"].as_str()) {
                    events.entry(id.to_owned()).or_default().push(kind.to_owned());
                }
            }
            let Some(next) = page["next_cursor"].as_str() else { return Ok(events) };
            after = format!("&after={next}");
        }
    }

    /// Checks that requests completed once and no more: one run to the end, one result, one event that says so.
    pub(crate) async fn assert_completed_once(&self, ids: &[String]) -> anyhow::Result<()> {
        let events = self.events().await?;
        for id in ids {
            let request = self.request(id).await?;
            assert_eq!(request["status"], "completed", "{request:#}");
            let ends = self.runs(id).1;
            assert_eq!(ends.len(), 1, "{id} ended {ends:?}");
            let result = self.result(id).await?;
            assert_eq!(result["status"], "success", "{result:#}");
            assert_eq!(result["attempt_id"], ends.concat(), "the result is of the run that came to the end");
            let terminal = ["request:completed", "request:failed", "request:cancelled"];
            let kinds = events.get(id).map(Vec::as_slice).unwrap_or_default();
            let count = kinds.iter().filter(|kind| terminal.contains(&kind.as_str())).count();
            assert_eq!(count, 1, "{id}: {kinds:?}");
        }
        Ok(())
    }

    /// To be called at the end of a test: what the daemons logged is then of no interest.
    pub(crate) fn passed(mut self) {
        self.passed = true;
    }

    fn show_logs(&self) {
        for daemon in &self.daemons {
            let text = fs::read_to_string(&daemon.log).unwrap_or_default();
            let start = text.len().saturating_sub(LOG_TAIL);
            let tail = text.get(start..).unwrap_or(&text);
            // Nobody may be reading.
            let _ = writeln!(io::stderr(), "--- log of {}\n{tail}", daemon.name);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.passed {
            self.show_logs();
        }
        for daemon in &mut self.daemons {
            // One that has ended already is no error.
            let _ = daemon.child.kill();
            let _ = daemon.child.wait();
        }
        // PostgreSQL and agents end by themselves; what does not is no business of the next test.
        let marker = self.root.path().to_string_lossy().into_owned();
        let began = Instant::now();
        while !processes::with(&marker).is_empty() {
            if began.elapsed() > END_LIMIT {
                for process in processes::with(&marker) {
                    let _ = writeln!(io::stderr(), "had to be killed: {process:?}");
                    processes::signal(process.pid, Signal::SIGKILL);
                }
                break;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
    }
}

/// The entries of a page.
pub(crate) fn items(page: &Value) -> &[Value] {
    page["items"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Lines of output among entries of a log.
pub(crate) fn output_of(log: &[Value]) -> Vec<String> {
    let output = log.iter().filter(|entry| entry["event"]["type"] == "output");
    output.filter_map(|entry| entry["event"]["text"].as_str().map(str::to_owned)).collect()
}

/// The misbehaving program of the test kit, which is built next to the binary under test.
pub(crate) fn fake_agent() -> anyhow::Result<String> {
    let directory = Path::new(env!("CARGO_BIN_EXE_eve")).parent().context("a directory")?;
    let program = directory.join("fake-agent");
    ensure!(
        program.is_file(),
        "{} is missing: run the tests of the whole workspace, or `cargo build -p eve-testkit --bins`",
        program.display()
    );
    Ok(program.to_string_lossy().into_owned())
}

/// The line of the configuration that says which PostgreSQL to use, so that no test downloads one.
fn postgres() -> anyhow::Result<String> {
    if let Some(directory) = env::var_os("EVE_TEST_RUNTIME_DIR") {
        return Ok(format!("runtime_dir = {}", toml_string(Path::new(&directory))));
    }
    if let Some(directory) = env::var_os("EVE_TEST_PG_BIN") {
        return Ok(format!("bin_dir = {}", toml_string(Path::new(&directory))));
    }
    let newest = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|major| Path::new(&format!("/usr/lib/postgresql/{major}/bin/initdb")).is_file())
        .max()
        .context("a PostgreSQL 15 or later: apt-get install postgresql, or set EVE_TEST_RUNTIME_DIR")?;
    Ok(format!("bin_dir = \"/usr/lib/postgresql/{newest}/bin\""))
}

/// A path as a TOML string.
pub(crate) fn toml_string(path: &Path) -> String {
    toml::Value::String(path.to_string_lossy().into_owned()).to_string()
}
