use eve_api_types::ComponentHealth;
use serde_json::json;

use super::*;

fn found(holders: serde_json::Value) -> DatabaseStatus {
    serde_json::from_value(json!({
        "server_version": "15.1", "login_role": "eve_service", "login_is_privileged": false, "owned_tables": 0,
        "unprotected_tables": [], "oldest_snapshot_seconds": 2.0, "oldest_snapshot_transactions": 12,
        "holders": holders, "sees_others": true, "dead_rows": 7, "statement_timeout_ms": 30000,
        "idle_in_transaction_timeout_ms": 15000, "notification_queue": 0.0, "durable": true,
        "hot_tables": [{"name": "queue", "live_rows": 10, "dead_rows": 7, "bytes": 8192, "autovacuum": true}],
        "vector_available": false,
    }))
    .expect("a status")
}

fn connection(seconds: f64) -> serde_json::Value {
    json!({"kind": "connection", "pid": 4711, "name": "psql", "user": "ops", "state": "idle in transaction",
           "seconds": seconds, "transactions": 12, "command": "SELECT", "mend": "end it"})
}

#[test]
fn a_database_without_trouble_gets_no_warning() {
    let checks = checks(&found(json!([connection(2.0)])));
    assert!(checks.iter().all(|check| check.health == ComponentHealth::Ok), "{checks:#?}");
    assert!(checks.iter().any(|check| check.name == "oldest snapshot" && check.detail.contains("12 transactions")));
}

#[test]
fn whoever_holds_back_vacuum_is_named_with_what_helps() {
    let slot = json!({"kind": "replication_slot", "name": "lost", "state": "inactive", "transactions": 5,
                      "kept_log_bytes": 3_000_000, "mend": "drop it"});
    let prepared = json!({"kind": "prepared_transaction", "name": "gone", "seconds": 61.0, "transactions": 3,
                          "mend": "roll it back"});
    let checks = holders(&found(json!([connection(301.0), slot, prepared, connection(3.0)])));
    let told: Vec<_> = checks.iter().map(|check| (check.detail.as_str(), check.fix.as_deref())).collect();
    let [(connection, Some("end it")), (slot, Some("drop it")), (prepared, Some("roll it back"))] = told[..] else {
        panic!("{told:#?}");
    };
    for part in ["pid 4711", "`psql`", "user ops", "idle in transaction", "last statement SELECT", "5m"] {
        assert!(connection.contains(part), "{part} in {connection}");
    }
    assert!(slot.contains("`lost`") && slot.contains("keeps 3 MB of log"), "{slot}");
    assert!(prepared.contains("`gone`"), "{prepared}");
}

#[test]
fn a_slot_in_use_and_a_young_prepared_transaction_are_nothing_to_warn_of() {
    let slot = json!({"kind": "replication_slot", "pid": 9, "name": "used", "transactions": 5, "mend": ""});
    let young = json!({"kind": "prepared_transaction", "name": "now", "seconds": 1.0, "transactions": 1, "mend": ""});
    let checks = holders(&found(json!([slot, young])));
    assert_eq!(checks.len(), 1);
    assert_eq!(checks[0].health, ComponentHealth::Ok);
}

#[test]
fn vacuum_that_is_off_or_behind_is_a_warning() {
    let mut status = found(json!([]));
    status.hot_tables[0].autovacuum = false;
    let check = hot_tables(&status);
    assert!(check.detail.starts_with("queue are not vacuumed"), "{check:?}");
    status.hot_tables[0].autovacuum = true;
    status.hot_tables[0].dead_rows = DEAD_ROWS + 1;
    let check = hot_tables(&status);
    assert_eq!(check.health, ComponentHealth::Warn);
    assert!(check.fix.is_some_and(|fix| fix.contains("VACUUM eve.queue")));
}

#[test]
fn sessions_without_limits_are_a_warning() {
    let mut status = found(json!([]));
    assert_eq!(session_limits(&status).health, ComponentHealth::Ok);
    status.idle_in_transaction_timeout_ms = 0;
    assert_eq!(session_limits(&status).health, ComponentHealth::Warn);
}
