//! What the server says of itself: workers, services, and with the modules beside this one database and queue.

use eve_api_types::ServiceStatus;

use super::Check;
use super::database;
use super::queue;
use crate::client::Client;
use crate::command::App;
use crate::error::CliError;

/// What helps who may not look.
const ADMIN: &str = "use the key of an owner or an admin";

pub(super) async fn checks(app: &App, deep: bool) -> Vec<Check> {
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
        Ok(found) => checks.extend(database::checks(&found)),
        Err(error) => checks.push(Check::warn("database", error.to_string(), ADMIN)),
    }
    match client.queue_health().await {
        Ok(found) => checks.extend(queue::checks(&found)),
        Err(error) => checks.push(Check::warn("queue", error.to_string(), ADMIN)),
    }
    checks.push(match queue::look_at_places(&client, deep).await {
        Ok(look) => look.check(),
        Err(error) => Check::warn("places", error.to_string(), ADMIN),
    });
    match client.services().await {
        Ok(page) => checks.extend(page.items.iter().map(service)),
        Err(error) => checks.push(Check::warn("services", error.to_string(), ADMIN)),
    }
    checks
}

fn unreachable(error: &CliError) -> Check {
    Check::warn("server", error.to_string(), "start it with `eve up`; what it would say of itself is not checked")
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
