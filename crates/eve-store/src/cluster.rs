//! The embedded PostgreSQL: found, initialised, started as an unprivileged user, supervised and stopped by Eve.
//!
//! It lives in Eve's data directory and listens on a private socket and a loopback port. The promise is that killing
//! Eve at any moment, with SIGKILL, and starting her again loses nothing that was committed and needs no repair by
//! hand. It rests on four things: the server commits to the disk; every step of setting up is whole or is repeated;
//! the server runs under a [guard](guard_main) that shuts it down when Eve is gone; and the next start waits for that.
//!
//! Parts: `binaries` finds PostgreSQL and `provision` downloads it; `account` chooses the user; `files` knows the
//! places; `credentials` keeps the passwords; `settings` is what the server is told; `server` initialises, starts
//! and stops; `earlier` deals with remains of an earlier life; `guard` is the process in between; `roles` makes
//! roles and database; `supervisor` restarts.
//!
//! Left to others: the lock on the data directory ([`DataDirLock`](crate::data_dir::DataDirLock)), which must be held
//! before [`Cluster::start`]; connection pools; migrations; backups; and moving data to another major version.

mod account;
mod binaries;
mod credentials;
mod earlier;
mod error;
mod files;
mod guard;
mod provision;
mod roles;
mod run;
mod server;
mod settings;
mod supervisor;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs;
use std::fs::DirBuilder;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;

use self::account::Account;
use self::credentials::Credentials;
use self::files::Layout;
use self::server::Port;
use self::server::Server;

pub use self::binaries::BinariesError;
pub use self::binaries::Installation;
pub use self::binaries::OLDEST_MAJOR;
pub use self::binaries::Plan;
pub use self::binaries::Progress;
pub use self::binaries::Source;
pub use self::binaries::Version;
pub use self::error::ClusterError;
pub use self::guard::guard_main;
pub use self::supervisor::ClusterState;

/// A socket's path has room for 107 bytes; `/.s.PGSQL.65535` takes 15 of them.
const SOCKET_DIR_LIMIT: usize = 107 - 15;

/// Everybody may pass: the server's user has to get to its directories, and no secrets lie in between.
const ROOT_MODE: u32 = 0o755;

/// Where the cluster is and what may be used to run it.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Eve's data directory; the cluster lives in `postgres` below it.
    pub data_dir: PathBuf,
    /// Where the product's own PostgreSQL is, or goes after a download.
    pub runtime_dir: PathBuf,
    /// The programs to use, instead of looking for them.
    pub pg_bin_dir: Option<PathBuf>,
    /// Whether PostgreSQL may be downloaded into `runtime_dir`.
    pub may_download: bool,
    /// Whom to run the server as, when Eve is root.
    pub user: Option<String>,
    /// The program that runs [`guard_main`], and the arguments that lead to it.
    pub guard: Vec<OsString>,
}

impl ClusterOptions {
    /// Options that look for PostgreSQL, may download it, and use `eve keeper postgres` of this program as the guard.
    #[must_use]
    pub fn new(data_dir: PathBuf, runtime_dir: PathBuf) -> Self {
        let guard = [guard::SELF_EXE, "keeper", "postgres"].map(OsString::from).to_vec();
        Self { data_dir, runtime_dir, pg_bin_dir: None, may_download: true, user: None, guard }
    }

    /// Says which PostgreSQL [`Cluster::start`] would use, for `eve doctor`. Changes nothing.
    ///
    /// # Errors
    /// When there is none, saying where Eve looked and what to do.
    pub async fn describe(&self) -> Result<Plan, ClusterError> {
        let layout = Layout::new(&self.data_dir);
        Ok(binaries::plan(&self.search(major(&layout)?)).await?)
    }

    /// The server starts in another directory than Eve.
    fn absolute(mut self) -> Result<Self, ClusterError> {
        for path in [&mut self.data_dir, &mut self.runtime_dir].into_iter().chain(self.pg_bin_dir.as_mut()) {
            *path = std::path::absolute(&*path).map_err(ClusterError::io(format!("resolve `{}`", path.display())))?;
        }
        Ok(self)
    }

    fn search(&self, data_major: Option<u32>) -> binaries::Search<'_> {
        binaries::Search {
            pg_bin_dir: self.pg_bin_dir.as_deref(),
            runtime_dir: &self.runtime_dir,
            system_root: Path::new(binaries::SYSTEM_ROOT),
            may_download: self.may_download,
            data_major,
        }
    }
}

/// Who to connect as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The superuser, for backup and repair; connects to the database `postgres`.
    Admin,
    /// Owns the database `eve` and its schema, and runs the migrations.
    Owner,
    /// Owns nothing; what the server and its services use.
    Service,
}

impl Role {
    /// The role's name in PostgreSQL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => settings::ADMIN_USER,
            Self::Owner => "eve_owner",
            Self::Service => "eve_service",
        }
    }
}

/// What a start remembers for the next one.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    port: Option<u16>,
    /// The socket's directory, when it is not in the data directory.
    socket_dir: Option<PathBuf>,
}

/// A running, supervised PostgreSQL. Dropping it stops the server too, but does not wait.
pub struct Cluster {
    server: Arc<Server>,
    port: u16,
    state: watch::Receiver<ClusterState>,
    stop: watch::Sender<bool>,
}

impl Cluster {
    /// Brings PostgreSQL up, from whatever state the data directory is in, and keeps it up from then on.
    ///
    /// The caller holds the lock on the data directory, and runs inside a Tokio runtime with I/O and time.
    ///
    /// # Errors
    /// When there is no PostgreSQL, no user to run it, no way for that user to its files, or when it does not start.
    pub async fn start(options: ClusterOptions, progress: Progress<'_>) -> Result<Self, ClusterError> {
        let options = options.absolute()?;
        let layout = Layout::new(&options.data_dir);
        make_root(&options.data_dir, &layout)?;
        let data_major = major(&layout)?;
        let installation = binaries::resolve(&options.search(data_major), progress).await?;
        let account = Account::choose(options.user.as_deref(), &layout.data)?;
        let mut record = read_record(&layout);
        let socket_dir = make_socket_dir(&layout, &account, &mut record)?;
        let credentials = Credentials::load_or_create(&layout, data_major.is_some())?;
        let server = Server { installation, account, layout, credentials, guard: options.guard, socket_dir };
        server.check_access().await?;
        server.remove_leftovers().await;
        if data_major.is_none() {
            progress(&format!("making the database ({})", server.installation));
            server.initialise().await?;
        } else {
            let data = &server.layout.data;
            server.account.take_tree(data).map_err(ClusterError::io(format!(
                "give `{}` to the user `{}`",
                data.display(),
                server.account.name
            )))?;
        }

        progress(&format!("starting {} as the user `{}`", server.installation, server.account.name));
        let (sender, state) = watch::channel(ClusterState::Starting);
        let running = Box::pin(server.launch(Port::Prefer(record.port), progress)).await?;
        let port = running.port;
        record.port = Some(port);
        if let Err(error) = prepare(&server, port, &record).await {
            // The first error is the one to tell.
            let _ = server.stop(running).await;
            return Err(error);
        }
        sender.send_replace(ClusterState::Running);

        let server = Arc::new(server);
        let (stop, stop_receiver) = watch::channel(false);
        tokio::spawn(supervisor::supervise(Arc::clone(&server), running, sender, stop_receiver));
        Ok(Self { server, port, state, stop })
    }

    /// How to connect, through the private socket. Stays valid across restarts.
    #[must_use]
    pub fn connect_options(&self, role: Role) -> PgConnectOptions {
        self.server.connect_options(role, self.port)
    }

    /// Follows what the supervisor is at.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<ClusterState> {
        self.state.clone()
    }

    /// The PostgreSQL in use.
    #[must_use]
    pub fn installation(&self) -> &Installation {
        &self.server.installation
    }

    /// The port on 127.0.0.1, which is also part of the socket's name.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the socket, as `psql -h` takes it.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.server.socket_dir
    }

    /// The server's log.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.server.layout.log
    }

    /// Stops the server in the fast way, ending open connections, and waits until nothing of it is left.
    ///
    /// # Errors
    /// When it cannot be stopped, or when the supervisor had given up before.
    pub async fn stop(&self) -> Result<(), ClusterError> {
        self.stop.send_replace(true);
        let mut state = self.state.clone();
        let ended = |state: &ClusterState| matches!(state, ClusterState::Stopped | ClusterState::Failed(_));
        let last = state.wait_for(ended).await.map(|last| last.clone());
        match last {
            Ok(ClusterState::Failed(reason)) => Err(ClusterError::Failed { reason }),
            Ok(_) => Ok(()),
            Err(_) => Err(ClusterError::Failed { reason: "its supervisor ended early".to_owned() }),
        }
    }
}

async fn prepare(server: &Server, port: u16, record: &Record) -> Result<(), ClusterError> {
    write_record(&server.layout, record)?;
    let admin = server.connect_options(Role::Admin, port);
    roles::prepare(admin, &server.credentials, server.installation.version.major).await
}

fn major(layout: &Layout) -> Result<Option<u32>, ClusterError> {
    layout.major().map_err(ClusterError::io(format!("read the version of `{}`", layout.data.display())))
}

fn make_root(data_dir: &Path, layout: &Layout) -> Result<(), ClusterError> {
    let doing = format!("make `{}`", layout.root.display());
    if layout.root.is_dir() {
        return Ok(());
    }
    crate::data_dir::create(data_dir).map_err(std::io::Error::other).map_err(ClusterError::io(doing.clone()))?;
    DirBuilder::new()
        .mode(ROOT_MODE)
        .create(&layout.root)
        .and_then(|()| fs::set_permissions(&layout.root, Permissions::from_mode(ROOT_MODE)))
        .map_err(ClusterError::io(doing))
}

/// Makes the directory of the socket, elsewhere if the data directory's path is too long for a socket.
fn make_socket_dir(layout: &Layout, account: &Account, record: &mut Record) -> Result<PathBuf, ClusterError> {
    let make =
        |path: &Path| account.make_private_dir(path).map_err(ClusterError::io(format!("make `{}`", path.display())));
    if fits_socket(&layout.run) {
        if !account.is_private_dir(&layout.run) {
            if layout.run.exists() {
                let doing = format!("replace `{}`", layout.run.display());
                fs::remove_dir_all(&layout.run).map_err(ClusterError::io(doing))?;
            }
            make(&layout.run)?;
        }
        record.socket_dir = None;
        return Ok(layout.run.clone());
    }
    if let Some(known) = record.socket_dir.as_ref().filter(|path| account.is_private_dir(path)) {
        return Ok(known.clone());
    }
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| !account.switch && path.is_dir());
    let name = format!("eve-pg-{}", credentials::random_hex(8)?);
    let path = own.map(|base| base.join(&name)).filter(|path| fits_socket(path));
    let path = path.unwrap_or_else(|| Path::new("/tmp").join(&name));
    make(&path)?;
    record.socket_dir = Some(path.clone());
    // At once: a directory that nobody remembers would stay for ever.
    write_record(layout, record)?;
    Ok(path)
}

fn fits_socket(path: &Path) -> bool {
    path.as_os_str().as_bytes().len() <= SOCKET_DIR_LIMIT
}

/// An unreadable record is as good as none: everything in it can be chosen again.
fn read_record(layout: &Layout) -> Record {
    fs::read(&layout.record).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn write_record(layout: &Layout, record: &Record) -> Result<(), ClusterError> {
    serde_json::to_vec_pretty(record)
        .map_err(std::io::Error::other)
        .and_then(|text| files::write_durably(&layout.record, &text, 0o644))
        .map_err(ClusterError::io(format!("write `{}`", layout.record.display())))
}
