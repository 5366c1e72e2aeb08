//! What can go wrong in the store, with the operation that failed.

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

impl StoreError {
    /// Whether the database is away or overloaded, so that trying again later may help.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Query { source, .. } => match source {
                sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
                // 08 connection, 53 resources, 57 operator intervention, 40 serialisation and deadlock.
                sqlx::Error::Database(error) => error
                    .code()
                    .is_some_and(|code| ["08", "53", "57", "40"].iter().any(|class| code.starts_with(class))),
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
