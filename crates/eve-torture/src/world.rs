//! A whole Eve to be broken: PostgreSQL, servers, workers, and the network between them.
//!
//! Everything is real: the debug build of the binary in processes of its own, PostgreSQL with durable settings, TCP.
//! Each server has an address that stays (a proxy), each worker a proxy of its own to it, and each server one to its
//! database, so that any of them can be cut off or die and come back at another port. What runs where, and what was done
//! to it, is kept for the checker.

use std::collections::BTreeMap;
use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use anyhow::bail;
use eve_crash::Point;
use eve_testkit::database::TestDatabase;
use serde_json::Value;

use crate::clock;
use crate::daemon::Daemon;
use crate::evidence::Death;
use crate::evidence::database::OWN;
use crate::proxy;
use crate::proxy::Proxy;
use crate::proxy::Target;
use crate::say::say;
use crate::wait::READY;
use crate::wait::until;

/// The shortest lease that Eve allows, in seconds: what takes a lease is what takes the harness its time.
pub(crate) const LEASE_SECONDS: u32 = 3;
/// Connections that PostgreSQL takes: two servers with all their pools.
const CONNECTIONS: u32 = 300;

/// What a world is like.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// How many servers share the database.
    pub(crate) servers: usize,
    /// Where the cluster is made; the usual place when nothing is said.
    pub(crate) cluster_in: Option<PathBuf>,
    /// Further settings of PostgreSQL.
    pub(crate) postgres: Vec<String>,
    /// Variables of the servers, such as those of libfaketime.
    pub(crate) variables: Vec<(String, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { servers: 1, cluster_in: None, postgres: Vec::new(), variables: Vec::new() }
    }
}

/// A server, wherever it listens now.
pub(crate) struct Server {
    pub(crate) daemon: Daemon,
    pub(crate) target: Target,
    /// Its address that stays.
    pub(crate) front: Proxy,
    /// Its way to the database.
    pub(crate) database: Proxy,
    data_dir: PathBuf,
    database_name: String,
    lives: u32,
}

/// A worker and its way to its server.
pub(crate) struct Worker {
    pub(crate) daemon: Daemon,
    pub(crate) network: Proxy,
}

/// What a worker is started with.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkerPlan {
    pub(crate) slots: u32,
    /// Which server it belongs to.
    pub(crate) server: usize,
    /// Where it is to die, and at which passing.
    pub(crate) crash: Option<(Point, u64)>,
    /// Further variables.
    pub(crate) variables: Vec<(String, String)>,
    /// Where it keeps its files instead of the usual place.
    pub(crate) data_dir: Option<PathBuf>,
}

/// A running Eve. Dropping it ends everything; its directory stays unless it [passed](World::passed).
pub(crate) struct World {
    pub(crate) servers: Vec<Server>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) database: TestDatabase,
    /// When workers died, by name.
    pub(crate) deaths: BTreeMap<String, Death>,
    root: PathBuf,
    settings: Settings,
    binary: PathBuf,
    postgres_port: u16,
    started: u32,
    keep: bool,
}

/// Where the binary under test is: beside this program.
pub(crate) fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.parent().context("this program is in no directory")?.join(name);
    if !path.is_file() {
        bail!("there is no {}: `cargo build --package eve --package eve-torture` makes it", path.display());
    }
    Ok(path)
}

/// A client for a look at a server.
fn http() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()
}

/// A port that nobody has right now.
fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl World {
    /// Starts PostgreSQL and the servers.
    pub(crate) async fn start(settings: Settings) -> anyhow::Result<Self> {
        let root = tempfile::Builder::new().prefix("eve-torture-").tempdir_in("/tmp")?.keep();
        // Repositories are written by others than root, too.
        fs::set_permissions(&root, Permissions::from_mode(0o755))?;
        for directory in ["home/.config/eve", "world/alive", "logs"] {
            fs::create_dir_all(root.join(directory))?;
        }
        fs::write(root.join("home/.config/eve/config.toml"), CONFIGURATION)?;
        let postgres_port = free_port()?;
        let mut postgres = vec!["listen_addresses=127.0.0.1".to_owned(), format!("max_connections={CONNECTIONS}")];
        postgres.extend(settings.postgres.iter().cloned());
        let parent = settings.cluster_in.clone().unwrap_or_else(|| "/tmp".into());
        let database = TestDatabase::start_durable_in(&parent, postgres_port, &postgres);
        let mut world = Self {
            servers: Vec::new(),
            workers: Vec::new(),
            database,
            deaths: BTreeMap::new(),
            root,
            binary: program("eve")?,
            postgres_port,
            started: 0,
            keep: true,
            settings,
        };
        for _ in 0..world.settings.servers {
            world.add_server().await?;
        }
        Ok(world)
    }

    /// Where the agents leave their traces.
    pub(crate) fn world_dir(&self) -> PathBuf {
        self.root.join("world")
    }

    /// A path in the world's own directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Nobody will want to look at its directory.
    pub(crate) const fn passed(&mut self) {
        self.keep = false;
    }

    async fn add_server(&mut self) -> anyhow::Result<()> {
        let index = self.servers.len();
        let data_dir = self.root.join(format!("s{index}"));
        fs::create_dir_all(&data_dir)?;
        if let Some(first) = self.servers.first() {
            // One installation has one pair of keys, whichever server is asked.
            for key in ["api-key", "worker-key"] {
                fs::copy(first.data_dir.join(key), data_dir.join(key))?;
            }
        }
        let target = Target::default();
        let postgres = Target::default();
        proxy::move_target(&postgres, ([127, 0, 0, 1], self.postgres_port).into());
        let (front, database) = (Proxy::start(target.clone()).await?, Proxy::start(postgres).await?);
        let daemon = self.spawn_server(index, 1, (&data_dir, database.port(), OWN), None)?;
        let database_name = OWN.to_owned();
        self.servers.push(Server { daemon, target, front, database, data_dir, database_name, lives: 1 });
        self.server_ready(index).await
    }

    fn spawn_server(
        &self,
        index: usize,
        life: u32,
        way: (&Path, u16, &str),
        crash: Option<(Point, u64)>,
    ) -> anyhow::Result<Daemon> {
        let name = format!("s{index}-{life}");
        let (data_dir, port, database) = way;
        let url = |role: &str| format!("postgres://{role}@127.0.0.1:{port}/{database}?sslmode=disable");
        let mut command = self.command(&name, crash);
        command
            .args(["server", "--listen", "127.0.0.1:0"])
            .env("EVE_DATA_DIR", data_dir)
            .env("DATABASE_URL", url("eve_service"))
            .env("EVE_SERVER__MIGRATE_DATABASE_URL", url("eve_owner"))
            .env("EVE_SERVER__LEASE_SECONDS", LEASE_SECONDS.to_string());
        command.envs(self.settings.variables.iter().map(|(name, value)| (name, value)));
        Daemon::start(&name, &mut command, &self.root.join("logs"))
    }

    /// The binary in a clean environment, where nothing but the usual programs are found.
    fn command(&self, name: &str, crash: Option<(Point, u64)>) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.root.join("home"))
            .env("TORTURE_WORKER", name)
            .env(eve_crash::LOG, self.root.join("logs").join(format!("{name}.crash")));
        if let Some((point, nth)) = crash {
            command.env(eve_crash::POINT, format!("{}:{nth}", point.name()));
        }
        command
    }

    /// Starts a server again after its end, wherever it is to die this time.
    pub(crate) fn restart_server(&mut self, index: usize, crash: Option<(Point, u64)>) -> anyhow::Result<()> {
        let server = self.servers.get(index).context("no such server")?;
        let (life, way) = (server.lives + 1, (&*server.data_dir, server.database.port(), &*server.database_name));
        let daemon = self.spawn_server(index, life, way, crash)?;
        let server = self.servers.get_mut(index).context("no such server")?;
        server.daemon = daemon;
        server.lives = life;
        Ok(())
    }

    /// Waits until a server answers, and sends everybody there.
    pub(crate) async fn server_ready(&mut self, index: usize) -> anyhow::Result<()> {
        self.server_ready_within(index, READY).await
    }

    /// The same, with another limit.
    pub(crate) async fn server_ready_within(&mut self, index: usize, limit: Duration) -> anyhow::Result<()> {
        let server = self.servers.get_mut(index).context("no such server")?;
        let note = server.data_dir.join("server.json");
        let http = http()?;
        let (daemon, target) = (&mut server.daemon, &server.target);
        until(&format!("{} is ready", daemon.name.clone()), limit, async || {
            if let Some(status) = daemon.has_ended().map(str::to_owned) {
                bail!("it ended with {status}: {}", daemon.log());
            }
            let Ok(text) = fs::read_to_string(&note) else { return Ok(None) };
            let note: Value = serde_json::from_str(&text)?;
            let Some(url) = note["url"].as_str().filter(|_| note["pid"] == daemon.pid) else { return Ok(None) };
            if let Some(address) = url.strip_prefix("http://") {
                proxy::move_target(target, address.parse()?);
            }
            let answer = http.get(format!("{url}/readyz")).send().await;
            Ok(answer.is_ok_and(|answer| answer.status().is_success()).then_some(()))
        })
        .await
    }

    /// Starts a worker, without waiting until it is entered. Its place in the list of workers.
    pub(crate) async fn add_worker(&mut self, plan: &WorkerPlan) -> anyhow::Result<usize> {
        let worker = self.spawn_worker(plan).await?;
        self.workers.push(worker);
        Ok(self.workers.len() - 1)
    }

    /// Puts a new worker in the place of one that has ended.
    pub(crate) async fn replace_worker(&mut self, index: usize, plan: &WorkerPlan) -> anyhow::Result<()> {
        let worker = self.spawn_worker(plan).await?;
        *self.workers.get_mut(index).context("no such worker")? = worker;
        Ok(())
    }

    async fn spawn_worker(&mut self, plan: &WorkerPlan) -> anyhow::Result<Worker> {
        self.started += 1;
        let name = format!("w{}", self.started);
        let server = self.servers.get(plan.server).context("no such server")?;
        let network = Proxy::start(server.target.clone()).await?;
        let data_dir = plan.data_dir.clone().unwrap_or_else(|| self.root.join("w"));
        let mut command = self.command(&name, plan.crash);
        command
            .args(["worker", "--server", &network.url(), "--slots", &plan.slots.max(1).to_string()])
            .env("EVE_DATA_DIR", data_dir)
            .env("EVE_WORKER__KEY_FILE", server.data_dir.join("worker-key"))
            .env("EVE_WORKER__ALLOW_LOCAL_REPOSITORIES", "true")
            .envs(plan.variables.iter().map(|(name, value)| (name, value)));
        let daemon = Daemon::start(&name, &mut command, &self.root.join("logs"))?;
        Ok(Worker { daemon, network })
    }

    /// Kills a worker. What it ran must be dead soon.
    pub(crate) fn kill_worker(&mut self, index: usize) {
        if let Some(worker) = self.workers.get_mut(index) {
            let at = worker.daemon.kill();
            self.deaths.insert(worker.daemon.name.clone(), Death { pid: worker.daemon.pid, at });
        }
    }

    /// Whether a server says that it can work.
    pub(crate) async fn server_says_ready(&self, index: usize) -> bool {
        let address = self.servers.get(index).and_then(|server| proxy::address_of(&server.target));
        let (Some(address), Ok(http)) = (address, http()) else { return false };
        let answer = http.get(format!("http://{address}/readyz")).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Gives a server another database from its next start on.
    pub(crate) fn use_database(&mut self, index: usize, name: &str) {
        if let Some(server) = self.servers.get_mut(index) {
            name.clone_into(&mut server.database_name);
        }
    }

    /// Kills a server.
    pub(crate) fn kill_server(&mut self, index: usize) {
        if let Some(server) = self.servers.get_mut(index) {
            server.daemon.kill();
        }
    }

    /// Whether a server runs.
    pub(crate) fn server_lives(&mut self, index: usize) -> bool {
        self.servers.get_mut(index).is_some_and(|server| server.daemon.has_ended().is_none())
    }

    /// Whether a worker runs.
    pub(crate) fn worker_lives(&mut self, index: usize) -> bool {
        self.workers.get_mut(index).is_some_and(|worker| worker.daemon.has_ended().is_none())
    }

    /// What the ledgers call this life of a server.
    pub(crate) fn server_name(&self, index: usize) -> String {
        self.servers.get(index).map(|server| server.daemon.name.clone()).unwrap_or_default()
    }

    /// What the ledgers call a worker.
    pub(crate) fn worker_name(&self, index: usize) -> String {
        self.workers.get(index).map(|worker| worker.daemon.name.clone()).unwrap_or_default()
    }

    /// Whether a process killed itself at a crash point.
    pub(crate) fn died_at(&self, name: &str, point: Point) -> bool {
        self.crash_notes(name).lines().any(|line| line.strip_prefix("killed ") == Some(point.name()))
    }

    /// Notes that a worker died by itself, and when at the latest.
    pub(crate) fn note_death(&mut self, index: usize) {
        if let Some(worker) = self.workers.get(index) {
            let death = Death { pid: worker.daemon.pid, at: clock::now_ms() };
            self.deaths.insert(worker.daemon.name.clone(), death);
        }
    }

    /// The owner's API key.
    pub(crate) fn api_key(&self) -> anyhow::Result<String> {
        self.key("api-key")
    }

    /// The workers' key.
    pub(crate) fn worker_key(&self) -> anyhow::Result<String> {
        self.key("worker-key")
    }

    fn key(&self, file: &str) -> anyhow::Result<String> {
        let server = self.servers.first().context("no server")?;
        Ok(fs::read_to_string(server.data_dir.join(file))?.trim().to_owned())
    }

    /// What processes noted about crash points: `passed NAME` and `killed NAME`.
    fn crash_notes(&self, name: &str) -> String {
        fs::read_to_string(self.root.join("logs").join(format!("{name}.crash"))).unwrap_or_default()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.workers.clear();
        self.servers.clear();
        if self.keep {
            say(&format!("kept: {}", self.root.display()));
        } else {
            // Keepers may still be clearing up; what they leave is in a directory for such things.
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

/// Every agent is told which worker runs it.
const CONFIGURATION: &str = "[harness.command]\nkind = \"command\"\npass_env = [\"TORTURE_WORKER\"]\n";
