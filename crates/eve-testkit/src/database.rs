//! Throw-away PostgreSQL clusters, one for each test, with Eve's schema in them.
//!
//! The first test of a build makes a template: a cluster with roles, database and migrations, stopped. Every test
//! copies its files and starts a server on the copy, which takes a fraction of a second. Tests therefore share
//! nothing, may stop or break their server, and can run side by side. Durability is off, so tests say nothing about
//! speed; benchmarks start a [durable](TestDatabase::start_durable) one.

use std::fs::File;
use std::io;
use std::os::unix::fs::chown;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use eve_store::PgConnectOptions;
use eve_store::Store;
use eve_store::StoreOptions;

/// Longest time that a server may take to accept connections.
const START_LIMIT: Duration = Duration::from_secs(30);
/// The name in the socket's file; the server listens nowhere else unless it is told to.
const PORT: u16 = 5432;
/// What the template is made of; another content makes another template.
const MIGRATIONS: [&str; 3] = [
    include_str!("../../eve-store/migrations/0001_tenancy.sql"),
    include_str!("../../eve-store/migrations/0002_requests.sql"),
    include_str!("../../eve-store/migrations/0003_bulk.sql"),
];
const ROLES: &str = "CREATE ROLE eve_owner LOGIN;
CREATE ROLE eve_service LOGIN NOINHERIT;
CREATE ROLE eve_platform NOLOGIN;
GRANT eve_platform TO eve_service;
GRANT pg_read_all_stats TO eve_platform;
CREATE DATABASE eve OWNER eve_owner;";

/// Where clusters are made when nothing else is said: sockets need short paths.
const PARENT: &str = "/tmp";
/// What a server for tests is started with: quick, and gone with the power.
const FAST: [&str; 3] = ["fsync=off", "full_page_writes=off", "shared_buffers=32MB"];
/// What a server for benchmarks is started with: a commit is on the disk when it returns.
const DURABLE: [&str; 4] = ["fsync=on", "synchronous_commit=on", "full_page_writes=on", "shared_buffers=256MB"];

/// A running cluster that goes with this value.
#[derive(Debug)]
pub struct TestDatabase {
    server: Child,
    dir: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
    settings: Vec<String>,
}

impl TestDatabase {
    /// Starts a cluster with Eve's schema and no rows.
    ///
    /// # Panics
    /// When there is no PostgreSQL on this host, or it does not start: a test without a database proves nothing.
    pub fn start() -> Self {
        Self::start_with(&owned(&FAST), Path::new(PARENT), PORT)
    }

    /// The same with settings that a test needs beside, such as `max_prepared_transactions=2`.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_with_settings(settings: &[&str]) -> Self {
        Self::start_with(&owned(&[FAST.as_slice(), settings].concat()), Path::new(PARENT), PORT)
    }

    /// Starts one that keeps what it commits, as a deployment's does: for benchmarks.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_durable() -> Self {
        Self::start_with(&owned(&DURABLE), Path::new(PARENT), PORT)
    }

    /// Starts a durable one in a directory below `parent`, with further settings (`name=value`), such as addresses to
    /// listen at: for tests that break it. The path must be short enough for a socket, and open to PostgreSQL's user.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_durable_in(parent: &Path, port: u16, settings: &[String]) -> Self {
        Self::start_with(&[owned(&DURABLE), settings.to_vec()].concat(), parent, port)
    }

    #[expect(clippy::expect_used, reason = "a test that cannot have its database has failed")]
    fn start_with(settings: &[String], parent: &Path, port: u16) -> Self {
        let programs = programs().expect("a PostgreSQL 15 or later: apt-get install postgresql");
        let template = template(&programs).expect("the template cluster");
        let dir = directory(parent).expect("a directory");
        copy(&template, &dir.path().join("data")).expect("a copy of the template");
        let server = start(&programs, dir.path(), port, settings).expect("a running PostgreSQL");
        Self { server, dir, programs, port, settings: settings.to_vec() }
    }

    fn options(&self, role: &str, database: &str) -> PgConnectOptions {
        PgConnectOptions::new().socket(self.dir.path()).port(self.port).username(role).database(database)
    }

    /// Logs in as the owner of the schema.
    pub fn owner(&self) -> PgConnectOptions {
        self.options("eve_owner", "eve")
    }

    /// Logs in as the role that Eve runs as.
    pub fn service(&self) -> PgConnectOptions {
        self.options("eve_service", "eve")
    }

    /// Logs in as the superuser.
    pub fn admin(&self) -> PgConnectOptions {
        self.options("postgres", "eve")
    }

    /// The address for programs that want a URL.
    pub fn url(&self, role: &str) -> String {
        format!("postgres://{role}@localhost:{}/eve?host={}", self.port, self.dir.path().display())
    }

    /// Eve's own way in.
    pub fn store(&self) -> Store {
        Store::open(StoreOptions { connect: self.service(), tenant_connections: 8, platform_connections: 8 })
    }

    /// Stops the server at once, as a crash would, and starts it again on the same files.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn crash_and_restart(&mut self) -> io::Result<()> {
        self.stop_at_once();
        self.start_again()
    }

    /// Stops the server at once, as a crash would.
    pub fn stop_at_once(&mut self) {
        self.kill();
    }

    /// Starts a stopped server on the same files.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_again(&mut self) -> io::Result<()> {
        self.server = start(&self.programs, self.dir.path(), self.port, &self.settings)?;
        Ok(())
    }

    /// Whether the server runs; it stops by itself when it cannot keep what it commits.
    pub fn is_running(&mut self) -> bool {
        matches!(self.server.try_wait(), Ok(None))
    }

    fn kill(&mut self) {
        // SIGQUIT is PostgreSQL's immediate shutdown; SIGKILL would leave its children.
        let _ = Command::new("kill").args(["-QUIT", &self.server.id().to_string()]).status();
        let _ = self.server.wait();
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        self.kill();
    }
}

fn owned(settings: &[&str]) -> Vec<String> {
    settings.iter().map(|setting| (*setting).to_owned()).collect()
}

/// The PostgreSQL in the directory that `EVE_TEST_PG_BIN` names, else the newest of the system, else the one that Eve
/// provisioned.
fn programs() -> Option<PathBuf> {
    if let Some(dir) = std::env::var_os("EVE_TEST_PG_BIN") {
        return Some(dir.into());
    }
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(major, bin)| *major >= 15 && bin.join("postgres").is_file())
        .collect();
    found.sort();
    found.pop().map(|(_, bin)| bin)
}

/// A client program: of the same version if it is there, else the system's, which speaks to every server.
fn client(programs: &Path, name: &str) -> PathBuf {
    let own = programs.join(name);
    if own.is_file() { own } else { name.into() }
}

/// Whether programs have to be run as somebody else, because PostgreSQL refuses root.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
}

/// Ids of an unprivileged user from the password file.
fn other_user() -> io::Result<(u32, u32)> {
    let passwd = std::fs::read_to_string("/etc/passwd")?;
    let of = |name: &str| {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == name).then_some(())?;
            Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
        })
    };
    of("postgres").or_else(|| of("nobody")).ok_or_else(|| io::Error::other("no user postgres or nobody"))
}

/// A command as the unprivileged user, ended by the kernel when this test ends.
fn command(program: &Path) -> io::Result<Command> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if is_root() {
        let (uid, gid) = other_user()?;
        command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups");
    }
    command.arg(program).current_dir("/").env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
    command.stdin(Stdio::null());
    Ok(command)
}

fn run(mut command: Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

/// A directory that the server's user owns and can reach, with a path short enough for a socket.
fn directory(parent: &Path) -> io::Result<tempfile::TempDir> {
    let dir = tempfile::Builder::new().prefix("eve-pg-").tempdir_in(parent)?;
    give_away(dir.path())?;
    Ok(dir)
}

fn give_away(path: &Path) -> io::Result<()> {
    if is_root() {
        let (uid, gid) = other_user()?;
        chown(path, Some(uid), Some(gid))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut command = Command::new("cp");
    command.args(["--archive", "--reflink=auto"]).arg(from).arg(to);
    run(command)
}

fn start(programs: &Path, dir: &Path, port: u16, settings: &[String]) -> io::Result<Child> {
    let mut server = command(&programs.join("postgres"))?;
    server.arg("-D").arg(dir.join("data")).arg("-k").arg(dir).arg("-p").arg(port.to_string());
    // What comes later holds.
    for setting in owned(&["listen_addresses=", "max_connections=100", "timezone=UTC"]).iter().chain(settings) {
        server.args(["-c", setting]);
    }
    let log = File::create(dir.join("log"))?;
    let mut child = server.stdout(log.try_clone()?).stderr(log).spawn()?;
    let socket = dir.join(format!(".s.PGSQL.{port}"));
    let end = Instant::now() + START_LIMIT;
    while Instant::now() < end {
        let ready = Command::new(client(programs, "pg_isready"))
            .arg("-q")
            .arg("-h")
            .arg(dir)
            .arg("-p")
            .arg(port.to_string())
            .status()
            .is_ok_and(|status| status.success());
        if socket.exists() && ready {
            return Ok(child);
        }
        if let Some(status) = child.try_wait()? {
            let log = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
            return Err(io::Error::other(format!("postgres ended with {status}: {log}")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    Err(io::Error::other("postgres did not accept connections in time"))
}

/// A stopped cluster with roles, database and schema, made once for each content of the migrations.
fn template(programs: &Path) -> io::Result<PathBuf> {
    let root = std::env::temp_dir().join("eve-testkit");
    std::fs::create_dir_all(&root)?;
    give_away(&root)?;
    let key = fingerprint(programs);
    let done = root.join(format!("template-{key:016x}"));
    let lock = File::create(root.join("lock"))?;
    lock.lock()?;
    if done.is_dir() {
        return Ok(done);
    }
    let dir = directory(Path::new(PARENT))?;
    let mut init = command(&programs.join("initdb"))?;
    init.arg("-D").arg(dir.path().join("data"));
    init.args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"]);
    run(init)?;
    let mut server = start(programs, dir.path(), PORT, &owned(&FAST))?;
    let filled = fill(programs, dir.path());
    // A smart stop would wait for nobody; fast writes a checkpoint, which the copies need.
    let _ = Command::new("kill").args(["-INT", &server.id().to_string()]).status();
    server.wait()?;
    filled?;
    let unfinished = root.join(format!("unfinished-{}", std::process::id()));
    copy(&dir.path().join("data"), &unfinished)?;
    std::fs::rename(&unfinished, &done)?;
    Ok(done)
}

fn fill(programs: &Path, dir: &Path) -> io::Result<()> {
    let psql = |role: &str, database: &str, sql: &str| {
        let mut command = Command::new(client(programs, "psql"));
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", role, "-d", database, "-p", &PORT.to_string()]);
        command.arg("-h").arg(dir);
        command.args(["-c", sql]);
        run(command)
    };
    for statement in ROLES.lines() {
        psql("postgres", "postgres", statement)?;
    }
    // By the migrator itself, so that its own table is there too.
    let options = PgConnectOptions::new().socket(dir).port(PORT).username("eve_owner").database("eve");
    // On a thread of its own: the caller may be inside a runtime, where another can neither run nor be dropped.
    std::thread::scope(|scope| {
        let migrated = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(eve_store::migrate(&options)).map_err(io::Error::other)
        });
        migrated.join().map_err(|_| io::Error::other("the migrations panicked"))?
    })
}

/// FNV-1a over the migrations, the roles and the programs' path: no need for more.
fn fingerprint(programs: &Path) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let texts = MIGRATIONS.iter().chain([&ROLES]).map(|text| text.as_bytes());
    let texts = texts.chain([programs.as_os_str().as_encoded_bytes()]);
    for byte in texts.flatten() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}
