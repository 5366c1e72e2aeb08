//! What the database and the queue know about themselves.

use eve_api_types::DatabaseStatus;
use eve_api_types::HotTable;
use eve_api_types::LastDay;
use eve_api_types::ListenerStatus;
use eve_api_types::MisplacedRequest;
use eve_api_types::PlacesReport;
use eve_api_types::QueueAge;
use eve_api_types::QueueHealth;
use eve_api_types::SinceStart;
use eve_api_types::SnapshotHolder;
use eve_api_types::StaleWrites;
use eve_engine::DatabaseHealth;
use eve_engine::Holder;
use eve_engine::Misplaced;

/// What an operator wants to know about the database.
pub(crate) fn database(health: DatabaseHealth) -> DatabaseStatus {
    DatabaseStatus {
        server_version: health.server_version,
        login_role: health.login_role,
        login_is_privileged: health.login_is_privileged,
        owned_tables: health.owned_tables,
        unprotected_tables: health.unprotected_tables,
        oldest_snapshot_seconds: health.oldest_snapshot_seconds,
        oldest_snapshot_transactions: health.oldest_snapshot_transactions,
        holders: health.holders.into_iter().map(holder).collect(),
        sees_others: health.sees_others,
        dead_rows: health.dead_rows,
        hot_tables: health.hot_tables.into_iter().map(hot_table).collect(),
        statement_timeout_ms: health.statement_timeout_ms,
        idle_in_transaction_timeout_ms: health.idle_in_transaction_timeout_ms,
        notification_queue: health.notification_queue,
        durable: health.durable,
        vector_available: health.vector_available,
    }
}

fn holder(holder: Holder) -> SnapshotHolder {
    SnapshotHolder {
        kind: holder.kind.name().to_owned(),
        mend: holder.mend(),
        pid: holder.pid,
        name: holder.name,
        user: holder.user,
        database: holder.database,
        state: holder.state,
        since: holder.since,
        seconds: holder.seconds,
        transactions: holder.transactions,
        command: holder.command,
        kept_log_bytes: holder.kept_log_bytes,
    }
}

fn hot_table(table: eve_engine::HotTable) -> HotTable {
    HotTable {
        name: table.name,
        live_rows: table.live_rows,
        dead_rows: table.dead_rows,
        bytes: table.bytes,
        last_vacuum_at: table.last_vacuum_at,
        autovacuum: table.autovacuum,
    }
}

/// What the queue knows about itself.
pub(crate) fn queue_health(health: eve_engine::QueueHealth) -> QueueHealth {
    let stale = |(operation, count): (&'static str, u64)| StaleWrites { operation: operation.to_owned(), count };
    QueueHealth {
        oldest: health.oldest.into_iter().map(queue_age).collect(),
        others_seconds: health.others_seconds,
        last_day: LastDay {
            workers_lost: health.losses.workers_lost,
            attempts_expired: health.losses.attempts_expired,
            quarantined: health.losses.quarantined,
        },
        since_start: SinceStart {
            stale_writes: health.counted.stale_writes.into_iter().map(stale).collect(),
            takeovers: health.counted.takeovers,
            workers_lost: health.counted.workers_lost,
            quarantined: health.counted.quarantined,
        },
        listener: ListenerStatus {
            connected: health.listener.connected,
            reconnects: health.listener.reconnects,
            lag_seconds: health.listener.lag.map(|lag| lag.as_secs_f64()),
        },
    }
}

fn queue_age(age: eve_engine::QueueAge) -> QueueAge {
    QueueAge {
        org: age.org,
        worker_type: age.worker_type,
        priority: age.priority.name().to_owned(),
        request_id: age.request_id,
        since: age.since,
        seconds: age.seconds,
    }
}

/// Whether every request is in exactly one place.
pub(crate) fn places_report(report: eve_engine::PlacesReport) -> PlacesReport {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    PlacesReport {
        checked: number(report.checked),
        found: number(report.found),
        misplaced: report.misplaced.into_iter().map(misplaced).collect(),
        next: report.next,
    }
}

fn misplaced(one: Misplaced) -> MisplacedRequest {
    MisplacedRequest {
        problem: one.problem(),
        org_id: one.org_id,
        request_id: one.request_id,
        places: one.places.into_iter().map(str::to_owned).collect(),
    }
}
