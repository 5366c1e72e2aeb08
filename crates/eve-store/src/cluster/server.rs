//! One cluster on the disk and the ways to act on it: initialise it, start its server, stop it.
//!
//! Who decides when is the start of [`Cluster`](super::Cluster) and, later, the supervisor.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;

use sqlx::Connection;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use sqlx::postgres::PgSslMode;
use tokio::process::Child;
use tokio::process::ChildStdin;
use tokio::process::Command;
use tokio::time::Instant;

use super::Role;
use super::account::Account;
use super::binaries::Installation;
use super::binaries::Progress;
use super::credentials;
use super::credentials::Credentials;
use super::earlier;
use super::error::ClusterError;
use super::files;
use super::files::Layout;
use super::guard;
use super::run;
use super::settings;
use super::settings::Listen;

/// What a database is called until `initdb` is done with it.
const UNFINISHED: &str = "data.new-";
const REMOVE_ATTEMPTS: u32 = 30;
const REMOVE_PAUSE: Duration = Duration::from_millis(100);

const INITDB_LIMIT: Duration = Duration::from_secs(180);
const PROBE_LIMIT: Duration = Duration::from_secs(20);

/// Generous, because the server may have to replay a lot of log after a crash, and must not be interrupted in it.
const READY_LIMIT: Duration = Duration::from_secs(600);
const READY_PAUSE: Duration = Duration::from_millis(20);
const READY_NEWS: Duration = Duration::from_secs(10);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A start that fails for a reason that passes is tried again.
const START_ATTEMPTS: u32 = 5;
const START_PAUSE: Duration = Duration::from_millis(300);

/// The guard needs at most its own two limits.
const STOP_LIMIT: Duration =
    guard::FAST_SHUTDOWN_LIMIT.saturating_add(guard::IMMEDIATE_SHUTDOWN_LIMIT).saturating_add(Duration::from_secs(2));

/// What the log says when the reason passes: children of a dead postmaster, a server that is about to go, a port
/// that somebody else was quicker to take.
const PASSING: [&str; 4] = [
    "pre-existing shared memory block",
    "lock file \"postmaster.pid\" already exists",
    "could not create any TCP/IP sockets",
    "the guard is gone",
];

/// `the database system is starting up`, or shutting down.
const CANNOT_CONNECT_NOW: &str = "57P03";
const WRONG_PASSWORD: &str = "28P01";

/// A cluster on the disk and everything that is needed to start its server.
pub(super) struct Server {
    pub(super) installation: Installation,
    pub(super) account: Account,
    pub(super) layout: Layout,
    pub(super) credentials: Credentials,
    /// The program of the guard and its leading arguments.
    pub(super) guard: Vec<OsString>,
    pub(super) socket_dir: PathBuf,
}

/// Which port to use.
#[derive(Debug, Clone, Copy)]
pub(super) enum Port {
    /// The one of the last time if it is free, else any.
    Prefer(Option<u16>),
    /// This one, since the connections of a pool name it.
    Keep(u16),
}

enum NotReady {
    Because(String),
    Is(ClusterError),
}

/// A server that accepts connections, and the pipe that keeps it alive.
pub(super) struct Running {
    guard: Child,
    pipe: ChildStdin,
    pub(super) port: u16,
}

impl Running {
    /// Waits for the guard to exit, which it should not.
    pub(super) async fn exit(&mut self) -> io::Result<ExitStatus> {
        self.guard.wait().await
    }
}

impl Server {
    /// Checks that the server's user reaches what it needs, by trying it as that user.
    pub(super) async fn check_access(&self) -> Result<(), ClusterError> {
        let paths = [&self.layout.root, &self.socket_dir, &self.installation.bin_dir].map(OsString::from);
        let mut probe = self.guarded(guard::PROBE.as_ref(), &paths)?;
        let output = run::output(&mut probe, PROBE_LIMIT).await.map_err(|source| self.guard_error(source))?;
        match output.status.code() {
            Some(0) => Ok(()),
            Some(guard::PROBE_REFUSED) => Err(ClusterError::Unreachable {
                user: self.account.name.clone(),
                directory: String::from_utf8_lossy(&output.stderr).into_owned().into(),
            }),
            _ => {
                let text = files::last_lines(&String::from_utf8_lossy(&output.stderr));
                Err(self.guard_error(io::Error::other(format!("it ended with {}: {text}", output.status))))
            }
        }
    }

    /// Removes what interrupted attempts to make the database have left. The `initdb` of an Eve that was killed just
    /// now may still be at it, so this is tried for a while, and what then remains is left to the next start.
    pub(super) async fn remove_leftovers(&self) {
        for attempt in 1.. {
            match remove_with_prefix(&self.layout.root, UNFINISHED) {
                Ok(()) => return,
                Err(error) if attempt == REMOVE_ATTEMPTS => {
                    let directory = self.layout.root.display();
                    tracing::warn!(%error, %directory, "cannot remove an unfinished database");
                    return;
                }
                Err(_) => tokio::time::sleep(REMOVE_PAUSE).await,
            }
        }
    }

    /// Makes the database, under another name until it is whole.
    pub(super) async fn initialise(&self) -> Result<(), ClusterError> {
        let root = &self.layout.root;
        let doing = || format!("make the database in `{}`", root.display());
        let name = format!("{UNFINISHED}{}", credentials::random_hex(8)?);
        let new = root.join(&name);
        self.account.make_private_dir(&new).map_err(ClusterError::io(doing()))?;
        let password_file = root.join(format!("{name}.password"));
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&password_file)
            .map_err(ClusterError::io(doing()))?;
        file.write_all(self.credentials.password(Role::Admin).as_bytes())
            .and_then(|()| self.account.take_file(&file))
            .map_err(ClusterError::io(doing()))?;
        let args = settings::initdb_args(&new, &password_file, self.installation.version);
        let mut initdb = self.guarded(self.installation.bin_dir.join("initdb").as_ref(), &args)?;
        let output = run::output(&mut initdb, INITDB_LIMIT).await;
        fs::remove_file(&password_file).map_err(ClusterError::io(doing()))?;

        let output = output.map_err(|error| ClusterError::Initdb { output: error.to_string() })?;
        if !output.status.success() {
            let text =
                format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            return Err(ClusterError::Initdb { output: files::last_lines(&text) });
        }
        fs::rename(&new, &self.layout.data)
            .and_then(|()| files::sync_directory(root))
            .map_err(ClusterError::io(doing()))
    }

    /// Starts the server and returns once it accepts connections.
    ///
    /// When somebody else has taken a port that must be kept, the server listens on its socket only.
    pub(super) async fn launch(&self, port: Port, progress: Progress<'_>) -> Result<Running, ClusterError> {
        let mut attempt = 1;
        loop {
            earlier::settle(&self.layout.data, progress).await?;
            let (number, tcp) = match port {
                Port::Keep(number) => (number, is_free(number)),
                Port::Prefer(Some(number)) if attempt == 1 && is_free(number) => (number, true),
                Port::Prefer(_) => (free_port().map_err(ClusterError::io("find a free port"))?, true),
            };
            if !tcp {
                tracing::warn!(port = number, "the port is taken; PostgreSQL listens on its socket only");
            }
            let error = match self.launch_once(number, tcp, progress).await {
                Ok(running) => return Ok(running),
                Err(error) => error,
            };
            let ClusterError::Start { tail, .. } = &error else { return Err(error) };
            if attempt == START_ATTEMPTS || !PASSING.iter().any(|text| tail.contains(text)) {
                return Err(error);
            }
            tracing::warn!(attempt, log = tail, "PostgreSQL did not start; trying again");
            attempt += 1;
            tokio::time::sleep(START_PAUSE).await;
        }
    }

    async fn launch_once(&self, port: u16, tcp: bool, progress: Progress<'_>) -> Result<Running, ClusterError> {
        let layout = &self.layout;
        for (path, text) in [(&layout.config, settings::config(layout)), (&layout.hba, settings::HBA.to_owned())] {
            files::write_durably(path, text.as_bytes(), 0o644)
                .map_err(ClusterError::io(format!("write `{}`", path.display())))?;
        }
        let (log, from) =
            files::open_log(&layout.log).map_err(ClusterError::io(format!("open `{}`", layout.log.display())))?;
        let stdout = log.try_clone().map_err(ClusterError::io("share the log of PostgreSQL"))?;
        let listen = Listen { socket_dir: &self.socket_dir, port, tcp };
        let args = settings::server_args(layout, &listen);
        let mut command = self.guarded(self.installation.bin_dir.join("postgres").as_ref(), &args)?;
        command.stdin(Stdio::piped()).stdout(stdout).stderr(log);
        let mut guard = command.spawn().map_err(|source| self.guard_error(source))?;
        let Some(pipe) = guard.stdin.take() else {
            return Err(self.guard_error(io::ErrorKind::BrokenPipe.into()));
        };
        match self.until_ready(&mut guard, port, progress).await {
            Ok(()) => Ok(Running { guard, pipe, port }),
            Err(NotReady::Is(error)) => Err(error),
            Err(NotReady::Because(reason)) => {
                let tail = files::log_tail(&layout.log, from);
                Err(ClusterError::Start { reason, log: layout.log.clone(), tail })
            }
        }
    }

    async fn until_ready(&self, guard: &mut Child, port: u16, progress: Progress<'_>) -> Result<(), NotReady> {
        let start = Instant::now();
        let mut news = READY_NEWS;
        let options = self.connect_options(Role::Admin, port);
        loop {
            match guard.try_wait() {
                Ok(Some(status)) => return Err(NotReady::Because(format!("it ended with {status}"))),
                Ok(None) => {}
                Err(error) => return Err(NotReady::Because(error.to_string())),
            }
            match tokio::time::timeout(CONNECT_LIMIT, Box::pin(PgConnection::connect_with(&options))).await {
                Ok(Ok(connection)) => {
                    let _ = connection.close().await;
                    return Ok(());
                }
                Ok(Err(sqlx::Error::Database(error))) => match error.code().as_deref() {
                    Some(CANNOT_CONNECT_NOW) => {}
                    Some(WRONG_PASSWORD) => {
                        return Err(NotReady::Is(ClusterError::Credentials {
                            path: self.layout.credentials.clone(),
                            problem: "has another password than the database".to_owned(),
                            data: self.layout.data.clone(),
                        }));
                    }
                    _ => return Err(NotReady::Because(error.to_string())),
                },
                Ok(Err(_)) | Err(_) => {}
            }
            if start.elapsed() > READY_LIMIT {
                return Err(NotReady::Because(format!("not ready after {} s", READY_LIMIT.as_secs())));
            }
            if start.elapsed() > news {
                progress(&format!("PostgreSQL is still recovering after {} s", start.elapsed().as_secs()));
                news += READY_NEWS;
            }
            tokio::time::sleep(READY_PAUSE).await;
        }
    }

    /// Shuts the server down and returns when nothing of it is left.
    pub(super) async fn stop(&self, running: Running) -> Result<(), ClusterError> {
        let Running { mut guard, pipe, .. } = running;
        drop(pipe);
        if tokio::time::timeout(STOP_LIMIT, guard.wait()).await.is_err() {
            // Not expected, but the kernel then tells the server, and the rest is as after any crash.
            let _ = guard.start_kill();
        }
        earlier::settle(&self.layout.data, &|_| {}).await
    }

    /// How to reach the server, always through the socket.
    pub(super) fn connect_options(&self, role: Role, port: u16) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.socket_dir)
            .port(port)
            .username(role.name())
            .password(self.credentials.password(role))
            .database(if role == Role::Admin { "postgres" } else { super::roles::DATABASE })
            .ssl_mode(PgSslMode::Disable)
            .application_name("eve")
    }

    /// A program under the guard, as the server's user.
    fn guarded(&self, program: &OsStr, args: &[OsString]) -> Result<Command, ClusterError> {
        let Some((guard, leading)) = self.guard.split_first() else {
            return Err(ClusterError::Failed { reason: "no guard is configured".to_owned() });
        };
        let mut command = std::process::Command::new(guard);
        if guard == guard::SELF_EXE {
            command.arg0("eve");
        }
        command
            .args(leading)
            .arg(guard::SEPARATOR)
            .arg(program)
            .args(args)
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .process_group(0);
        if self.account.switch {
            // As root, this also drops the supplementary groups.
            command.uid(self.account.uid).gid(self.account.gid);
        }
        Ok(command.into())
    }

    fn guard_error(&self, source: io::Error) -> ClusterError {
        let guard = self.guard.first().map(PathBuf::from).unwrap_or_default();
        ClusterError::Guard { guard, user: self.account.name.clone(), source }
    }
}

fn remove_with_prefix(directory: &Path, prefix: &str) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix)) {
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
