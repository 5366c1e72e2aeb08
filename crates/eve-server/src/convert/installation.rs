//! The installation: callers, worker types, limits, services, queue, database.

use eve_api_types::ComponentHealth;
use eve_api_types::Limit;
use eve_api_types::QueueLane;
use eve_api_types::ServiceStatus;
use eve_api_types::Status;
use eve_api_types::Token;
use eve_api_types::WhoAmI;
use eve_api_types::WorkerType;
use eve_engine::IssuedToken;
use eve_engine::OpContext;
use eve_engine::Organization;
use eve_engine::QueueDepth;
use eve_engine::ServiceReport;
use eve_engine::StatusView;
use serde_json::Value;

use super::count;
use super::worker_type_name;
use crate::error::ApiError;

/// A token that was made.
pub(crate) fn token(issued: IssuedToken) -> Token {
    Token {
        token: issued.token,
        token_type: "Bearer".to_owned(),
        expires_in: u64::try_from(issued.expires_in.as_secs()).unwrap_or_default(),
    }
}

/// Who the caller is.
pub(crate) fn who_am_i(ctx: OpContext, organization: Organization) -> WhoAmI {
    WhoAmI {
        org_id: ctx.org_id,
        org: organization.slug,
        user_id: ctx.user_id,
        user: ctx.user_name,
        role: ctx.role.name().to_owned(),
        key_id: ctx.key_id,
    }
}

/// A worker type.
pub(crate) fn worker_type(row: eve_engine::WorkerType) -> WorkerType {
    WorkerType {
        name: row.name.into(),
        title: row.title,
        description: row.description,
        capabilities: row.capabilities,
        instructions: row.instructions,
        harness: row.harness,
        model: row.model,
        image: row.image,
        timeout_seconds: count(row.timeout_seconds),
        idle_timeout_seconds: count(row.idle_timeout_seconds),
        max_attempts: u16::try_from(row.max_attempts).unwrap_or_default(),
        config: match row.config {
            Value::Object(config) => config,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Default::default(),
        },
    }
}

/// A worker type as a caller wants it, under the name that the address says.
pub(crate) fn worker_type_row(name: &str, new: WorkerType) -> Result<eve_engine::WorkerType, ApiError> {
    if new.name != name {
        return Err(ApiError::invalid(format!("The address names `{name}`, the body `{}`.", new.name)));
    }
    let seconds = |field: &str, value: u32| {
        i32::try_from(value).map_err(|_| ApiError::invalid(format!("`{field}` is too large.")))
    };
    Ok(eve_engine::WorkerType {
        name: worker_type_name(name)?,
        title: new.title,
        description: new.description,
        capabilities: new.capabilities,
        instructions: new.instructions,
        harness: new.harness,
        model: new.model,
        image: new.image,
        timeout_seconds: seconds("timeout_seconds", new.timeout_seconds)?,
        idle_timeout_seconds: seconds("idle_timeout_seconds", new.idle_timeout_seconds)?,
        max_attempts: i32::from(new.max_attempts),
        config: Value::Object(new.config),
    })
}

/// A limit and what runs within it.
pub(crate) fn limit(row: eve_engine::Limit) -> Limit {
    Limit {
        scope: row.scope.name().to_owned(),
        name: row.name,
        max_running: row.max_running,
        running: row.running,
        installation: row.of_installation,
    }
}

/// What waits for one worker type at one priority.
pub(crate) fn queue_lane(row: QueueDepth) -> QueueLane {
    QueueLane {
        worker_type: row.worker_type,
        priority: row.priority.name().to_owned(),
        ready: row.ready,
        delayed: row.delayed,
        oldest: row.oldest,
    }
}

/// How a service fares.
pub(crate) fn service(report: ServiceReport) -> ServiceStatus {
    ServiceStatus {
        name: report.name.to_owned(),
        description: report.description.to_owned(),
        period_seconds: report.period.as_secs_f64(),
        rounds: report.rounds,
        failures: report.failures,
        last_round_at: report.last_round_at,
        last_action: report.last_action,
        last_error: report.last_error,
    }
}

/// How the installation stands. The view was read from the database, so the database is well.
pub(crate) fn status(view: StatusView) -> Status {
    let in_state = |state: &'static str| view.workers.iter().filter(move |worker| worker.state == state);
    let number = |workers: usize| i64::try_from(workers).unwrap_or(i64::MAX);
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        database: ComponentHealth::Ok,
        workers_active: number(in_state("active").count()),
        workers_lost: number(in_state("lost").count()),
        slots: in_state("active").map(|worker| i64::from(worker.slots)).sum(),
        org: view.organization.slug,
        running: view.running,
        queue: view.queue.into_iter().map(queue_lane).collect(),
        uptime_seconds: view.uptime_seconds,
    }
}
