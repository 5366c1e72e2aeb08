//! The roles and the database, made after the first start and put right at every other.
//!
//! Each step looks before it acts or may be repeated, so a start that is cut off anywhere is healed by the next one.
//! The owner's role runs the migrations; the service's role owns nothing, and the platform's rights only count where
//! the service asks for them with SET ROLE. pgvector is made here when the installation has it, because only a
//! superuser can. Schema and rights inside the database are the migrations' business.

use sqlx::AssertSqlSafe;
use sqlx::ConnectOptions;
use sqlx::Connection;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;

use super::Role;
use super::credentials::Credentials;
use super::error::ClusterError;

/// The database that belongs to Eve, and the schema in it.
pub(super) const DATABASE: &str = "eve";
const SCHEMA: &str = "eve";

/// Rights beyond one tenant; nobody can log in as this role.
const PLATFORM_ROLE: &str = "eve_platform";

/// Attributes that none of Eve's roles but the superuser has.
const PLAIN: &str = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS";

/// Since this version, a membership says by itself whether its rights are inherited.
const GRANT_OPTIONS_MAJOR: u32 = 16;

/// Makes whatever is missing. `admin` leads to the superuser's database.
pub(super) async fn prepare(
    admin: PgConnectOptions,
    credentials: &Credentials,
    major: u32,
) -> Result<(), ClusterError> {
    // Statements with passwords must not reach Eve's own log.
    let admin = admin.disable_statement_logging();
    let mut connection = connect(&admin).await?;
    roles(&mut connection, credentials, major).await?;
    database(&mut connection).await?;
    close(connection).await?;

    let mut connection = connect(&admin.database(DATABASE)).await?;
    schema(&mut connection).await?;
    close(connection).await
}

async fn roles(connection: &mut PgConnection, credentials: &Credentials, major: u32) -> Result<(), ClusterError> {
    for role in [Role::Owner, Role::Service] {
        // Under 16, this is what keeps the platform's rights from being inherited.
        let inherit = if role == Role::Service { "NOINHERIT" } else { "INHERIT" };
        let password = credentials.password(role);
        make_role(connection, role.name(), &format!("LOGIN {inherit} PASSWORD '{password}'")).await?;
    }
    make_role(connection, PLATFORM_ROLE, "NOLOGIN").await?;
    // So that it can be told who holds back vacuum.
    run(connection, "grant a role", format!("GRANT pg_read_all_stats TO {PLATFORM_ROLE}")).await?;
    let options = if major >= GRANT_OPTIONS_MAJOR { " WITH INHERIT FALSE, SET TRUE" } else { "" };
    run(connection, "grant a role", format!("GRANT {PLATFORM_ROLE} TO {}{options}", Role::Service.name())).await
}

async fn make_role(connection: &mut PgConnection, name: &str, attributes: &str) -> Result<(), ClusterError> {
    // Looked up rather than tried: a statement that fails would be in the server's log at every start.
    let doing = "make a role";
    if !exists(connection, doing, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", name).await? {
        run(connection, doing, format!("CREATE ROLE {name}")).await?;
    }
    run(connection, "set up a role", format!("ALTER ROLE {name} WITH {PLAIN} {attributes}")).await
}

async fn database(connection: &mut PgConnection) -> Result<(), ClusterError> {
    let doing = "make the database `eve`";
    let owner = Role::Owner.name();
    if !exists(connection, doing, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", DATABASE).await? {
        run(connection, doing, format!("CREATE DATABASE {DATABASE} OWNER {owner}")).await?;
    }
    run(connection, doing, format!("ALTER DATABASE {DATABASE} OWNER TO {owner}")).await?;
    run(connection, doing, format!("REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC")).await?;
    run(connection, doing, format!("GRANT CONNECT ON DATABASE {DATABASE} TO {}", Role::Service.name())).await
}

async fn schema(connection: &mut PgConnection) -> Result<(), ClusterError> {
    let doing = "make the schema `eve`";
    let owner = Role::Owner.name();
    run(connection, doing, format!("CREATE SCHEMA IF NOT EXISTS {SCHEMA} AUTHORIZATION {owner}")).await?;
    run(connection, doing, format!("ALTER SCHEMA {SCHEMA} OWNER TO {owner}")).await?;
    let available = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = $1)";
    if exists(connection, "look for pgvector", available, "vector").await? {
        run(connection, "install pgvector", "CREATE EXTENSION IF NOT EXISTS vector SCHEMA public".to_owned()).await?;
    }
    Ok(())
}

async fn exists(
    connection: &mut PgConnection,
    doing: &'static str,
    query: &'static str,
    name: &str,
) -> Result<bool, ClusterError> {
    sqlx::query_scalar(query).bind(name).fetch_one(connection).await.map_err(ClusterError::sql(doing))
}

/// Runs a statement that is made of this module's names and of hexadecimal passwords, so of nothing to be quoted.
async fn run(connection: &mut PgConnection, doing: &'static str, statement: String) -> Result<(), ClusterError> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(|_| ()).map_err(ClusterError::sql(doing))
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, ClusterError> {
    let mut connection = Box::pin(PgConnection::connect_with(options))
        .await
        .map_err(ClusterError::sql("connect as the database's superuser"))?;
    // "already exists, skipping" is how these steps are meant to be.
    run(&mut connection, "quieten notices", "SET client_min_messages = warning".to_owned()).await?;
    Ok(connection)
}

async fn close(connection: PgConnection) -> Result<(), ClusterError> {
    connection.close().await.map_err(ClusterError::sql("close a connection"))
}
