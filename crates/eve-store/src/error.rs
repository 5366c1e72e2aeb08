//! What can go wrong in the store, with the operation that failed.

use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;
use sqlx::postgres::PgSeverity;

/// A database operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A statement failed.
    #[error("database: {operation}")]
    Query {
        /// What was being done, as `noun_verb`.
        operation: &'static str,
        /// The driver's error.
        #[source]
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("database: migrations")]
    Migrate(#[source] Box<sqlx::migrate::MigrateError>),
    /// A row holds what no version of Eve writes.
    #[error("database: impossible row in {table}: {detail}")]
    Impossible {
        /// The table.
        table: &'static str,
        /// What is wrong with it.
        detail: String,
    },
}

/// Whether an error is of a class that passes: 08 connection, 53 resources, 57 operator intervention, 40 serialisation
/// and deadlock.
fn passes(code: Option<&str>) -> bool {
    code.is_some_and(|code| ["08", "53", "57", "40"].iter().any(|class| code.starts_with(class)))
}

/// Whether PostgreSQL refused or ended the whole session, which it does for many reasons, such as a full disk or a
/// database that is closed for now, under many codes.
fn ends_session(error: &dyn DatabaseError) -> bool {
    let error = error.try_downcast_ref::<PgDatabaseError>();
    error.is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

impl StoreError {
    /// Whether the database is away or overloaded, so that trying again later may help.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Query { source, .. } => match source {
                sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
                sqlx::Error::Database(error) => ends_session(error.as_ref()) || passes(error.code().as_deref()),
                _ => false,
            },
            Self::Migrate(_) | Self::Impossible { .. } => false,
        }
    }

    /// Whether the connection broke, so that it is not known whether the statement was carried out.
    pub fn is_disconnect(&self) -> bool {
        match self {
            Self::Query { source, .. } => crate::tx::is_broken(source),
            Self::Migrate(_) | Self::Impossible { .. } => false,
        }
    }

    /// Whether a key was there already.
    pub fn is_duplicate(&self) -> bool {
        match self {
            Self::Query { source: sqlx::Error::Database(error), .. } => error.is_unique_violation(),
            Self::Query { .. } | Self::Migrate(_) | Self::Impossible { .. } => false,
        }
    }

    /// The name of the constraint that a write broke, if that is what happened.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Query { source: sqlx::Error::Database(error), .. } => error.constraint(),
            Self::Query { .. } | Self::Migrate(_) | Self::Impossible { .. } => None,
        }
    }
}

/// Names the operation when a statement fails.
pub(crate) trait During<T> {
    fn during(self, operation: &'static str) -> Result<T, StoreError>;
}

impl<T> During<T> for Result<T, sqlx::Error> {
    fn during(self, operation: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Query { operation, source })
    }
}
