//! What the server says of itself: database, roles, services, workers.

use eve_api_types::DatabaseStatus;
use eve_api_types::ServiceStatus;

use super::Check;
use crate::client::Client;
use crate::command::App;
use crate::error::CliError;

/// Age of the oldest snapshot, in seconds, from which on it costs the queue its speed.
const OLD_SNAPSHOT: f64 = 600.0;

pub(super) async fn checks(app: &App) -> Vec<Check> {
    let client = match Client::new(&app.config) {
        Ok(client) => client,
        Err(error) => return vec![unreachable(&error)],
    };
    let status = match client.status().await {
        Ok(status) => status,
        Err(error) => return vec![unreachable(&error)],
    };
    let mut checks = vec![Check::ok(
        "server",
        format!("{} answers, version {}, up for {} s", app.config.api_url, status.version, status.uptime_seconds),
    )];
    checks.push(if status.workers_active > 0 {
        Check::ok("workers", format!("{} active with {} slots", status.workers_active, status.slots))
    } else {
        Check::fail("workers", "none is active", "start one with `eve worker`, or use `eve up`")
    });
    match client.database().await {
        Ok(database) => checks.extend(self::database(&database)),
        Err(error) => checks.push(Check::warn("database", error.to_string(), "use the key of an owner or an admin")),
    }
    match client.services().await {
        Ok(page) => checks.extend(page.items.iter().map(service)),
        Err(error) => checks.push(Check::warn("services", error.to_string(), "use the key of an owner or an admin")),
    }
    checks
}

fn unreachable(error: &CliError) -> Check {
    Check::warn("server", error.to_string(), "start it with `eve up`; what it would say of itself is not checked")
}

fn database(found: &DatabaseStatus) -> Vec<Check> {
    let mut checks = Vec::new();
    let durable = if found.durable { "durable" } else { "NOT durable" };
    let vector = if found.vector_available { ", pgvector available" } else { "" };
    let detail = format!("PostgreSQL {}, {durable}{vector}", found.server_version);
    checks.push(if found.durable {
        Check::ok("database", detail)
    } else {
        Check::fail("database", detail, "set fsync and synchronous_commit to on")
    });
    let role = &found.login_role;
    checks.push(if found.login_is_privileged {
        Check::fail(
            "database role",
            format!("{role} may pass row-level security"),
            "log in as a role without SUPERUSER and BYPASSRLS; name the owner in server.migrate_database_url",
        )
    } else if found.owned_tables > 0 {
        Check::warn(
            "database role",
            format!("{role} owns {} tables", found.owned_tables),
            "log in as a role that owns nothing; name the owner in server.migrate_database_url",
        )
    } else {
        Check::ok("database role", format!("{role} owns nothing and cannot pass row-level security"))
    });
    checks.push(if found.unprotected_tables.is_empty() {
        Check::ok("row-level security", "forced on every tenant table")
    } else {
        Check::fail(
            "row-level security",
            found.unprotected_tables.join(", "),
            "run the migrations of this version again",
        )
    });
    let age = found.oldest_snapshot_seconds;
    let detail = format!("oldest snapshot {age:.0} s, {} dead rows in the hot tables", found.dead_rows);
    checks.push(if age > OLD_SNAPSHOT {
        Check::warn("vacuum", detail, "find who holds it: SELECT * FROM pg_stat_activity ORDER BY backend_xmin")
    } else {
        Check::ok("vacuum", detail)
    });
    checks
}

fn service(found: &ServiceStatus) -> Check {
    let name = format!("service {}", found.name);
    let last = found.last_action.as_ref().map(|action| format!("; last: {action}")).unwrap_or_default();
    let detail = format!("{}; {} rounds, {} failed{last}", found.description, found.rounds, found.failures);
    match &found.last_error {
        None => Check::ok(name, detail),
        Some(error) => Check::warn(name, format!("{detail}; {error}"), "the server's log has the cause"),
    }
}
