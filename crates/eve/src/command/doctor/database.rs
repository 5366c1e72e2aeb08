//! What is checked of the server's database: durability, rights, and what holds back the removal of dead rows.

use eve_api_types::DatabaseStatus;
use eve_api_types::SnapshotHolder;

use super::Check;
use crate::output;

/// Age of a snapshot or transaction, in seconds, from which on it costs the queue its speed.
const OLD_SNAPSHOT: f64 = 300.0;
/// The same in transactions.
const OLD_SNAPSHOT_TRANSACTIONS: i64 = 1_000_000;
/// Age of a prepared transaction, in seconds, from which on it was forgotten: nothing of Eve's makes any.
const OLD_PREPARED: f64 = 60.0;
/// Log that a slot may keep, in bytes.
const KEPT_LOG: i64 = 1 << 30;
/// Dead rows of one table from which on vacuum is behind: many times what starts it.
const DEAD_ROWS: i64 = 200_000;
/// How full PostgreSQL's queue of notifications may be.
const NOTIFICATION_QUEUE: f64 = 0.5;
/// Most that hold back vacuum which are told of one by one.
const SHOWN: usize = 5;

/// What is checked of it.
pub(super) fn checks(found: &DatabaseStatus) -> Vec<Check> {
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
    checks.push(session_limits(found));
    checks.extend(holders(found));
    checks.push(hot_tables(found));
    if found.notification_queue > NOTIFICATION_QUEUE {
        checks.push(Check::warn(
            "notifications",
            format!("PostgreSQL's queue of notifications is {:.0} % full", found.notification_queue * 100.0),
            "a connection that listens is stuck in a transaction: end the oldest one above",
        ));
    }
    checks
}

/// Eve's connections end what takes too long by themselves, so that a stuck process holds nothing back.
fn session_limits(found: &DatabaseStatus) -> Check {
    const NAME: &str = "session limits";
    let (statement, idle) = (found.statement_timeout_ms, found.idle_in_transaction_timeout_ms);
    if statement > 0 && idle > 0 {
        let (statement, idle) = (output::span(statement), output::span(idle));
        return Check::ok(
            NAME,
            format!("a statement of Eve's ends after {statement}, an idle transaction after {idle}"),
        );
    }
    Check::warn(
        NAME,
        "statements or idle transactions of Eve's own have no limit",
        "something between Eve and PostgreSQL drops start-up options; set both for the log-in: ALTER ROLE … SET \
         statement_timeout = '30s'; ALTER ROLE … SET idle_in_transaction_session_timeout = '15s'",
    )
}

fn is_old(holder: &SnapshotHolder) -> bool {
    let seconds = holder.seconds.unwrap_or(0.0);
    match holder.kind.as_str() {
        "replication_slot" => {
            holder.pid.is_none() && holder.transactions.is_some()
                || holder.transactions.unwrap_or(0) > OLD_SNAPSHOT_TRANSACTIONS
                || holder.kept_log_bytes.unwrap_or(0) > KEPT_LOG
        }
        "prepared_transaction" => seconds > OLD_PREPARED,
        _ => seconds > OLD_SNAPSHOT || holder.transactions.unwrap_or(0) > OLD_SNAPSHOT_TRANSACTIONS,
    }
}

/// One line for each that holds back too much, or one that says that nobody does.
fn holders(found: &DatabaseStatus) -> Vec<Check> {
    const NAME: &str = "oldest snapshot";
    let hidden = if found.sees_others {
        ""
    } else {
        "; the state of other log-ins is hidden, GRANT pg_read_all_stats TO eve_platform shows it"
    };
    let old: Vec<&SnapshotHolder> = found.holders.iter().filter(|holder| is_old(holder)).collect();
    if old.is_empty() {
        let age = span(found.oldest_snapshot_seconds);
        let count = output::count(found.oldest_snapshot_transactions);
        return vec![Check::ok(NAME, format!("{age}, {count} transactions{hidden}"))];
    }
    let rest = old.len().saturating_sub(SHOWN);
    let mut checks: Vec<Check> = old
        .into_iter()
        .take(SHOWN)
        .map(|holder| {
            let what = match holder.kind.as_str() {
                "connection" | "prepared_transaction" => "vacuum, and events if it wrote,",
                "replication_slot" => "vacuum or the log",
                _ => "vacuum",
            };
            let detail = format!("{what} is held back by {}{hidden}", describe(holder));
            Check::warn(NAME, detail, &holder.mend)
        })
        .collect();
    if rest > 0 {
        checks.push(Check::warn(NAME, format!("and {rest} more"), "`eve doctor` again, after these are mended"));
    }
    checks
}

fn describe(holder: &SnapshotHolder) -> String {
    let mut parts = vec![holder.kind.replace('_', " ")];
    parts.extend(holder.pid.map(|pid| format!("pid {pid}")));
    parts.extend((!holder.name.is_empty()).then(|| format!("`{}`", holder.name)));
    parts.extend(holder.user.as_ref().map(|user| format!("user {user}")));
    parts.extend(holder.database.as_ref().map(|database| format!("database {database}")));
    parts.extend(holder.state.clone());
    parts.extend(holder.command.as_ref().map(|command| format!("last statement {command}")));
    parts.extend(holder.since.map(|since| format!("since {since:.0}")));
    parts.extend(holder.seconds.map(span));
    parts.extend(holder.transactions.map(|count| format!("{} transactions", output::count(count))));
    parts.extend(holder.kept_log_bytes.map(|bytes| format!("keeps {} MB of log", output::count(bytes / 1_000_000))));
    parts.join(", ")
}

fn hot_tables(found: &DatabaseStatus) -> Check {
    const NAME: &str = "dead rows";
    let off: Vec<&str> =
        found.hot_tables.iter().filter(|table| !table.autovacuum).map(|table| table.name.as_str()).collect();
    let all: Vec<String> = found
        .hot_tables
        .iter()
        .map(|table| {
            let vacuumed = match table.last_vacuum_at {
                Some(at) => format!(", vacuumed {at:.0}"),
                None => String::new(),
            };
            format!("{} {} of {}{vacuumed}", table.name, output::count(table.dead_rows), output::count(table.live_rows))
        })
        .collect();
    let detail = all.join("; ");
    if !off.is_empty() {
        let tables = off.join(", ");
        return Check::warn(
            NAME,
            format!("{tables} are not vacuumed by themselves; {detail}"),
            "set autovacuum and track_counts to on, and ALTER TABLE … RESET (autovacuum_enabled)",
        );
    }
    let behind = found.hot_tables.iter().find(|table| table.dead_rows > DEAD_ROWS && table.dead_rows > table.live_rows);
    match behind {
        Some(table) => Check::warn(
            NAME,
            detail,
            format!(
                "mend what holds back the oldest snapshot, then VACUUM eve.{}; it also needs free workers of autovacuum",
                table.name
            ),
        ),
        None => Check::ok(NAME, detail),
    }
}

fn span(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "ages are far below 2^63 milliseconds")]
    let milliseconds = (seconds * 1000.0) as i64;
    output::span(milliseconds)
}

#[cfg(test)]
mod tests;
