use eve_api_types::Limit;
use eve_api_types::QueueLane;
use eve_api_types::ServiceStatus;
use eve_api_types::Status;
use eve_api_types::Worker;
use eve_api_types::WorkerType;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::json;

use super::limits;
use super::queue;
use super::status;
use super::worker_types;
use super::workers;
use crate::output::Paint;
use crate::output::Table;

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn shown(table: &Table) -> String {
    table.render(Paint::OFF, None)
}

fn now() -> Timestamp {
    "2026-01-31T11:02:00Z".parse().unwrap()
}

fn some_workers() -> Vec<Worker> {
    read(json!([
        {
            "id": "wrk_01h455vb4pex5vsknk084sn02q", "name": "build-1", "version": "0.1.0", "state": "active",
            "worker_types": ["*"], "slots": 4, "running": 1, "started_at": "2026-01-30T11:02:00Z",
            "last_seen_at": "2026-01-31T11:01:58Z", "harnesses": [
                {"name": "claude", "kind": "claude-code", "version": "2.1.0", "signed_in": "yes"},
                {"name": "command", "kind": "command", "signed_in": "not_needed"},
            ],
        },
        {
            "id": "wrk_01h455vb4pfx5vsknk084sn02r", "name": "build-2", "version": "0.1.0", "state": "lost",
            "worker_types": ["general", "code-review"], "slots": 4, "running": 0, "harnesses": [],
            "started_at": "2026-01-30T11:02:00Z", "last_seen_at": "2026-01-31T10:02:00Z",
        },
    ]))
}

#[test]
fn the_status_names_every_part() {
    let status: Status = read(json!({
        "version": "0.1.0", "org": "acme", "database": "ok", "workers_active": 1, "workers_lost": 1, "slots": 4,
        "running": 1, "queue": [], "uptime_seconds": 60,
    }));
    let services: Vec<ServiceStatus> = read(json!([
        {"name": "reaper", "description": "", "period_seconds": 1.0, "rounds": 3, "failures": 0},
        {
            "name": "retention", "description": "", "period_seconds": 60.0, "rounds": 3, "failures": 1,
            "last_error": "the database is read-only",
        },
    ]));
    insta::assert_snapshot!(shown(&status::components(&status, &some_workers(), &services)), @"
    COMPONENT           STATUS  DETAILS
    API                 ok
    Database            ok
    Workers             warn    1 active worker, 1 of 4 slots busy, 1 lost today
    Workers (any type)  ok      1 active worker
    Service reaper      ok
    Service retention   warn    the database is read-only
    ");
}

#[test]
fn lanes_of_the_queue() {
    let lanes: Vec<QueueLane> = read(json!([
        {"worker_type": "general", "priority": "HIGH", "ready": 12, "delayed": 3, "oldest": "2026-01-31T10:59:00Z"},
        {"worker_type": "code-review", "priority": "LOW", "ready": 0, "delayed": 1},
    ]));
    insta::assert_snapshot!(shown(&queue::table(&lanes, now())), @"
    TYPE         PRIORITY  READY  LATER  OLDEST
    general      HIGH         12      3      3m
    code-review  LOW           0      1       -
    ");
}

#[test]
fn limits_and_what_runs_within_them() {
    let some: Vec<Limit> = read(json!([
        {"scope": "organization", "name": "", "max_running": 10, "running": 3, "installation": false},
        {"scope": "worker_type", "name": "general", "max_running": 2, "running": 2, "installation": false},
        {"scope": "account", "name": "team@example.com", "max_running": 4, "installation": true},
    ]));
    insta::assert_snapshot!(shown(&limits::table(&some)), @"
    SCOPE         RUNNING  LIMIT  SET BY        NAME
    organization        3     10  organization  -
    worker_type         2      2  organization  general
    account             -      4  installation  team@example.com
    ");
}

#[test]
fn workers_and_their_agents() {
    insta::assert_snapshot!(shown(&workers::table(&some_workers(), now())), @"
    ID        STATE   BUSY  SEEN  AGE  NAME     TYPES                 AGENTS
    084sn02q  active   1/4    2s   1d  build-1  *                     claude 2.1.0, command
    084sn02r  lost     0/4    1h   1d  build-2  general, code-review
    ");
}

#[test]
fn worker_types_and_what_they_are_for() {
    let types: Vec<WorkerType> = read(json!([
        {"name": "general", "title": "General", "description": "Anything."},
        {"name": "code-review", "title": "Code review", "harness": "claude", "model": "opus", "timeout_seconds": 600},
    ]));
    insta::assert_snapshot!(shown(&worker_types::table(&types)), @"
    NAME         AGENT   MODEL  TIMEOUT  TRIES  WHAT FOR
    general      -       -        1800s      3  Anything.
    code-review  claude  opus      600s      3  Code review
    ");
}
