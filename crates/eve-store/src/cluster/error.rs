//! What can go wrong with the embedded cluster, and what to do about it.

use std::io;
use std::path::PathBuf;

use super::binaries::BinariesError;

/// Why the embedded PostgreSQL does not run. Every message ends with a next step where there is one.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No usable PostgreSQL on this machine.
    #[error(transparent)]
    Binaries(#[from] BinariesError),

    /// The file system said no.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was attempted, with the path.
        doing: String,
        /// What the system said.
        source: io::Error,
    },

    /// PostgreSQL refuses to run as root, and there is nobody else.
    #[error(
        "PostgreSQL must not run as root, and this system has none of the users {tried}; \
         next: `useradd --system eve`, or start Eve as an ordinary user, or set DATABASE_URL"
    )]
    NoUser {
        /// The names that were tried.
        tried: String,
    },

    /// The user asked for cannot run PostgreSQL.
    #[error("PostgreSQL cannot run as `{name}`: {reason}")]
    User {
        /// The user asked for.
        name: String,
        /// Why not, and the next step.
        reason: String,
    },

    /// The data belong to another user, and only root could change that.
    #[error(
        "`{}` belongs to user id {owner}, but Eve runs as user id {own}; start Eve as that user, or as root, or \
         choose another data directory", path.display()
    )]
    ForeignData {
        /// The data directory of the cluster.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who Eve is.
        own: u32,
    },

    /// The server's user cannot walk to a directory that it needs.
    #[error(
        "PostgreSQL runs as the user `{user}`, who may not enter `{}`; next: let others pass through it \
         (`chmod o+x '{}'`), or choose a place that everybody can reach, such as /var/lib/eve for the data \
         and /opt/eve for the programs", directory.display(), directory.display()
    )]
    Unreachable {
        /// The server's user.
        user: String,
        /// The directory that stops it.
        directory: PathBuf,
    },

    /// The guard, which is Eve's own program, did not start.
    #[error(
        "cannot start the guard of PostgreSQL (`{}`) as the user `{user}`: {source}; \
         everybody must be able to read and execute Eve's program (mode 755)", guard.display()
    )]
    Guard {
        /// The program.
        guard: PathBuf,
        /// The server's user.
        user: String,
        /// What the system said.
        source: io::Error,
    },

    /// The file with the passwords does not fit the cluster.
    #[error(
        "`{}` {problem}, but the database in `{}` needs it; put the file back from a backup of the same age",
        path.display(), data.display()
    )]
    Credentials {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// The data directory of the cluster.
        data: PathBuf,
    },

    /// `initdb` failed.
    #[error("initdb failed: {output}")]
    Initdb {
        /// Its last lines.
        output: String,
    },

    /// A server of an earlier life uses the data and cannot be stopped.
    #[error("processes {pids:?} still use the database in `{}` and do not stop; kill them", data.display())]
    EarlierServer {
        /// The processes.
        pids: Vec<i32>,
        /// The data directory of the cluster.
        data: PathBuf,
    },

    /// PostgreSQL did not come up.
    #[error("PostgreSQL did not start: {reason}\nThe end of its log (`{}`):\n{tail}", log.display())]
    Start {
        /// What was seen.
        reason: String,
        /// The log.
        log: PathBuf,
        /// Its last lines of this start.
        tail: String,
    },

    /// A statement of the preparation failed.
    #[error("cannot {doing}: {source}")]
    Sql {
        /// What was attempted.
        doing: &'static str,
        /// What the database said.
        source: Box<sqlx::Error>,
    },

    /// No random numbers.
    #[error("the system's random number generator failed")]
    Random,

    /// The supervisor has given up.
    #[error("PostgreSQL is down: {reason}")]
    Failed {
        /// The last error.
        reason: String,
    },
}

impl ClusterError {
    /// For `map_err`: names what was attempted.
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// For `map_err`: names what was attempted.
    pub(super) fn sql(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Sql { doing, source: Box::new(source) }
    }
}
