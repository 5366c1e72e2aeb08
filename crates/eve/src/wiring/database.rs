//! The database: one's own, supervised, or somebody else's.

use std::str::FromStr;

use eve_store::PgConnectOptions;
use eve_store::Store;
use eve_store::StoreOptions;
use eve_store::cluster::Cluster;
use eve_store::cluster::ClusterOptions;
use eve_store::cluster::Role;

use crate::config::Config;
use crate::config::Secret;
use crate::error::CliError;
use crate::error::ErrorKind;
use crate::output::Output;

/// Connections for tenants' transactions, and for queue and services.
const CONNECTIONS: (u32, u32) = (24, 24);

/// A migrated database.
pub(crate) struct Database {
    /// The pools.
    pub(crate) store: Store,
    cluster: Option<Cluster>,
}

impl Database {
    /// Starts the embedded cluster, or uses the database that the configuration names, and migrates it.
    pub(crate) async fn open(config: &Config, output: &Output) -> Result<Self, CliError> {
        let (cluster, owner, service) = match &config.server.database_url {
            None => {
                let cluster = embedded(config, output).await?;
                let owner = cluster.connect_options(Role::Owner);
                let service = cluster.connect_options(Role::Service);
                (Some(cluster), owner, service)
            }
            Some(url) => {
                let service = parse(url, "DATABASE_URL")?;
                let owner = match &config.server.migrate_database_url {
                    Some(url) => parse(url, "server.migrate_database_url")?,
                    None => service.clone(),
                };
                output.say("using the database of DATABASE_URL");
                eve_store::ensure_roles(&owner, &service).await.map_err(refused)?;
                (None, owner, service)
            }
        };
        let migrated = eve_store::migrate(&owner).await;
        if let Err(error) = migrated {
            if let Some(cluster) = cluster {
                // The first error is the one to tell.
                let _ = cluster.stop().await;
            }
            return Err(refused(error));
        }
        let (tenant_connections, platform_connections) = CONNECTIONS;
        let store = Store::open(StoreOptions { connect: service, tenant_connections, platform_connections });
        Ok(Self { store, cluster })
    }

    /// Closes the pools and stops the cluster.
    pub(crate) async fn close(self) -> Result<(), CliError> {
        self.store.close().await;
        match self.cluster {
            Some(cluster) => cluster
                .stop()
                .await
                .map_err(|error| CliError::caused(ErrorKind::Failed, "PostgreSQL did not stop as it should", error)),
            None => Ok(()),
        }
    }
}

/// What the configuration says about the embedded cluster.
pub(crate) fn cluster_options(config: &Config) -> ClusterOptions {
    let mut options = ClusterOptions::new(config.data_dir.clone(), config.postgres.runtime_dir.clone());
    options.pg_bin_dir.clone_from(&config.postgres.bin_dir);
    options.user.clone_from(&config.postgres.user);
    options
}

async fn embedded(config: &Config, output: &Output) -> Result<Cluster, CliError> {
    let progress = |step: &str| output.say(step);
    Cluster::start(cluster_options(config), &progress).await.map_err(|error| {
        CliError::caused(ErrorKind::Failed, "the embedded PostgreSQL could not be started", error)
            .hint("`eve doctor` looks at its parts; DATABASE_URL makes Eve use another PostgreSQL")
    })
}

fn parse(url: &Secret, name: &str) -> Result<PgConnectOptions, CliError> {
    PgConnectOptions::from_str(url.expose()).map_err(|error| {
        CliError::caused(ErrorKind::Usage, format!("{name} is not the address of a PostgreSQL database"), error)
            .hint("it looks like postgres://user:password@host:5432/database")
    })
}

fn refused(error: eve_store::StoreError) -> CliError {
    CliError::caused(ErrorKind::Failed, "the database could not be made ready", error).hint(
        "the migrating log-in must be able to create the schema `eve` and the roles eve_service and eve_platform; or \
         a superuser makes them: CREATE ROLE eve_service; CREATE ROLE eve_platform; GRANT eve_service, eve_platform TO \
         the serving log-in",
    )
}
