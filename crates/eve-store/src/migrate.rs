//! Brings the schema up to date, forward only.

use eve_crash::Point;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::StoreError;
use crate::error::During;

/// Applies every migration that is missing, each in a transaction of its own. Safe to run from many processes at once: the migrator holds a lock.
///
/// # Errors
/// When the log-in may not create in the database, or the database is newer than this program.
pub async fn migrate(owner: &PgConnectOptions) -> Result<(), StoreError> {
    let mut conn = owner.clone().application_name("eve-migrate").connect().await.during("migrate_connect")?;
    let migrator = sqlx::migrate!("./migrations");
    for (index, migration) in migrator.iter().enumerate() {
        if index > 0 {
            eve_crash::pass(Point::MigrationNext);
        }
        let applied = migrator.run_to(migration.version, &mut conn).await;
        applied.map_err(|error| StoreError::Migrate(Box::new(error)))?;
    }
    eve_crash::pass(Point::MigrationDone);
    Ok(())
}

/// Makes the roles that the schema grants to, for a database that Eve did not create itself, and lets the serving
/// log-in take them.
///
/// The migrating log-in needs CREATEROLE, or the roles must be there already and granted to `service`.
///
/// # Errors
/// When a role is missing or not granted, and the log-in may not mend that.
pub async fn ensure_roles(owner: &PgConnectOptions, service: &PgConnectOptions) -> Result<(), StoreError> {
    let mut conn = service.clone().application_name("eve-migrate").connect().await.during("service_connect")?;
    let login: String =
        sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut conn).await.during("service_connect")?;
    drop(conn);
    let mut conn = owner.clone().application_name("eve-migrate").connect().await.during("migrate_connect")?;
    // A block of code takes no parameters, so the log-in's name travels in a setting.
    sqlx::query("SELECT set_config('eve.service_login', $1, false)")
        .bind(login)
        .execute(&mut conn)
        .await
        .during("roles_ensure")?;
    // Two processes may start at once, hence the lock; CREATE ROLE has no IF NOT EXISTS.
    sqlx::raw_sql(
        "DO $$
         DECLARE
             name text;
             login text := current_setting('eve.service_login');
         BEGIN
             PERFORM pg_advisory_xact_lock(7310421);
             FOREACH name IN ARRAY ARRAY['eve_service', 'eve_platform'] LOOP
                 IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
                     EXECUTE format('CREATE ROLE %I NOLOGIN', name);
                 END IF;
                 IF login <> name AND NOT pg_has_role(login, name, 'MEMBER') THEN
                     EXECUTE format('GRANT %I TO %I', name, login);
                 END IF;
             END LOOP;
             -- So that it can be told who holds back vacuum. Only some may give this away; without it less is seen.
             IF NOT pg_has_role('eve_platform', 'pg_read_all_stats', 'USAGE') THEN
                 BEGIN
                     GRANT pg_read_all_stats TO eve_platform;
                 EXCEPTION WHEN insufficient_privilege THEN
                     NULL;
                 END;
             END IF;
         END
         $$",
    )
    .execute(&mut conn)
    .await
    .during("roles_ensure")?;
    Ok(())
}
