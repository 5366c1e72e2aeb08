//! What is checked of the queue: how long the oldest waits, what was lost, how news arrives, and whether every request is
//! in exactly one place.

use eve_api_types::MisplacedRequest;
use eve_api_types::PlacesReport;
use eve_api_types::QueueHealth;

use super::Check;
use crate::client::Client;
use crate::error::CliError;
use crate::output;

/// Waiting, in seconds, from which on somebody should look: longer than most agents run.
const LONG_WAIT: f64 = 3600.0;
/// Lanes that are told of one by one.
const LANES: usize = 3;
/// Time that a notification may take, in seconds; beyond it, waiters are woken by polling.
const SLOW_NEWS: f64 = 1.0;
/// Misplaced requests that are told of one by one.
const MISPLACED: usize = 5;

/// What is checked of it.
pub(super) fn checks(found: &QueueHealth) -> Vec<Check> {
    vec![waiting(found), losses(found), listener(found)]
}

fn waiting(found: &QueueHealth) -> Check {
    const NAME: &str = "oldest waiting";
    let mut lanes: Vec<String> = found
        .oldest
        .iter()
        .take(LANES)
        .map(|age| {
            let (org, worker_type, priority) = (&age.org, &age.worker_type, age.priority.to_lowercase());
            format!("{} for {worker_type} of {org}, {priority} ({})", span(age.seconds), age.request_id)
        })
        .collect();
    lanes.extend(found.others_seconds.map(|seconds| format!("{} for another organization", span(seconds))));
    if lanes.is_empty() {
        return Check::ok(NAME, "nothing waits");
    }
    let oldest = found.oldest.iter().map(|age| age.seconds).chain(found.others_seconds).fold(0.0, f64::max);
    let detail = lanes.join("; ");
    if oldest > LONG_WAIT {
        let fix =
            "see `eve workers` for slots and worker types, `eve limits` for what may run at once; start more workers";
        return Check::warn(NAME, detail, fix);
    }
    Check::ok(NAME, detail)
}

fn losses(found: &QueueHealth) -> Check {
    const NAME: &str = "losses";
    let (day, own) = (&found.last_day, &found.since_start);
    let stale: Vec<String> =
        own.stale_writes.iter().map(|writes| format!("{} {}", writes.count, writes.operation)).collect();
    let stale = if stale.is_empty() { "none".to_owned() } else { stale.join(", ") };
    let detail = format!(
        "in the last day {} lost, {} expired, {} quarantined; this server gave away {} since its start and refused \
         late writes: {stale}",
        output::plural(day.workers_lost, "worker"),
        output::plural(day.attempts_expired, "attempt"),
        output::plural(day.quarantined, "request"),
        output::plural(i64::try_from(own.takeovers).unwrap_or(i64::MAX), "lease"),
    );
    if day.quarantined > 0 {
        let fix = "a quarantined request lost its worker too often in a row: `eve request list --status failed`, read the \
                   logs of its attempts, then `eve replay ID`";
        return Check::warn(NAME, detail, fix);
    }
    if day.workers_lost > 0 {
        return Check::warn(
            NAME,
            detail,
            "`eve workers` names the lost ones; look there for a crash or a network that broke",
        );
    }
    Check::ok(NAME, detail)
}

fn listener(found: &QueueHealth) -> Check {
    const NAME: &str = "listener";
    let listener = &found.listener;
    let lag = match listener.lag_seconds {
        Some(seconds) => format!("a notification takes {:.1} ms", seconds * 1000.0),
        None => "no notification was timed yet".to_owned(),
    };
    let again = output::count(i64::try_from(listener.reconnects).unwrap_or(i64::MAX));
    let detail = format!("{lag}; connected again {again} times");
    if !listener.connected {
        return Check::warn(
            NAME,
            format!("not connected; {detail}"),
            "other servers' news comes late, by polling; is the database reachable, and has it connections left?",
        );
    }
    if listener.lag_seconds.is_some_and(|seconds| seconds > SLOW_NEWS) {
        return Check::warn(
            NAME,
            detail,
            "other servers' news comes late, by polling; look for slow commits and for a pooler that drops LISTEN",
        );
    }
    Check::ok(NAME, detail)
}

/// A look at the places, perhaps of many pages.
#[derive(Debug, Default)]
pub(super) struct Look {
    deep: bool,
    checked: u64,
    found: u64,
    misplaced: Vec<MisplacedRequest>,
}

impl Look {
    fn add(&mut self, page: PlacesReport) {
        self.checked += page.checked;
        self.found += page.found;
        for one in page.misplaced {
            // What is in two tables is come across in both.
            if self.misplaced.iter().all(|known| known.request_id != one.request_id) && self.misplaced.len() < MISPLACED
            {
                self.misplaced.push(one);
            }
        }
    }

    pub(super) fn check(&self) -> Check {
        const NAME: &str = "places";
        let which = if self.deep { "all" } else { "the newest; --deep looks at all" };
        let looked =
            format!("{} rows looked at ({which})", output::count(i64::try_from(self.checked).unwrap_or(i64::MAX)));
        if self.found == 0 {
            return Check::ok(NAME, format!("every request is in exactly one; {looked}"));
        }
        let named: Vec<String> =
            self.misplaced.iter().map(|one| format!("{}: {}", one.request_id, one.problem)).collect();
        Check::fail(
            NAME,
            format!("{} findings; {looked}; {}", self.found, named.join("; ")),
            "this is a fault in Eve or a database that was changed by hand: keep a copy of it, and report this with the \
             server's log; docs/operations.md says how to put such a request right",
        )
    }
}

/// Looks whether every request is in exactly one place.
pub(super) async fn look_at_places(client: &Client, deep: bool) -> Result<Look, CliError> {
    let mut look = Look { deep, ..Look::default() };
    if !deep {
        look.add(client.places().await?);
        return Ok(look);
    }
    let mut next: Option<String> = None;
    loop {
        let page = client.places_deep(next.as_deref()).await?;
        next = page.next.clone();
        look.add(page);
        if next.is_none() {
            return Ok(look);
        }
    }
}

fn span(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "ages are far below 2^63 milliseconds")]
    let milliseconds = (seconds * 1000.0) as i64;
    output::span(milliseconds)
}

#[cfg(test)]
mod tests;
