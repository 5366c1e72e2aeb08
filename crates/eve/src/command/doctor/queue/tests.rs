use eve_api_types::ComponentHealth;
use serde_json::json;

use super::*;

const REQUEST: &str = "00000000-0000-7000-8000-000000000001";

fn found() -> QueueHealth {
    serde_json::from_value(json!({
        "oldest": [],
        "last_day": {"workers_lost": 0, "attempts_expired": 0, "quarantined": 0},
        "since_start": {"stale_writes": [], "takeovers": 0, "workers_lost": 0, "quarantined": 0},
        "listener": {"connected": true, "reconnects": 0, "lag_seconds": 0.0021},
    }))
    .expect("a health")
}

#[test]
fn a_queue_without_trouble_gets_no_warning() {
    let checks = checks(&found());
    assert!(checks.iter().all(|check| check.health == ComponentHealth::Ok), "{checks:#?}");
    assert!(checks.iter().any(|check| check.detail.contains("takes 2.1 ms")));
}

#[test]
fn who_waits_long_is_named_and_other_organizations_are_not() {
    let mut found = found();
    found.others_seconds = Some(30.0);
    assert_eq!(waiting(&found).detail, "30.0s for another organization");
    found.oldest = serde_json::from_value(json!([{"org": "acme", "worker_type": "general", "priority": "HIGH",
        "request_id": REQUEST, "since": "2026-01-01T00:00:00Z", "seconds": 3601.0}]))
    .expect("a lane");
    let check = waiting(&found);
    assert_eq!(check.health, ComponentHealth::Warn);
    assert!(check.detail.contains("for general of acme, high (req_"), "{}", check.detail);
}

#[test]
fn losses_say_where_to_look() {
    let mut found = found();
    found.last_day.workers_lost = 1;
    assert!(losses(&found).fix.is_some_and(|fix| fix.contains("eve workers")));
    found.last_day.quarantined = 2;
    assert!(losses(&found).fix.is_some_and(|fix| fix.contains("eve replay")));
}

#[test]
fn news_that_is_late_or_does_not_come_is_a_warning() {
    let mut found = found();
    found.listener.lag_seconds = Some(1.5);
    assert_eq!(listener(&found).health, ComponentHealth::Warn);
    found.listener.connected = false;
    assert!(listener(&found).detail.starts_with("not connected"));
}

#[test]
fn a_request_that_is_not_in_one_place_is_a_failure_that_names_it() {
    let page: PlacesReport = serde_json::from_value(json!({"checked": 5, "found": 1, "misplaced": [
        {"org_id": REQUEST, "request_id": REQUEST, "problem": "in queue and results at once", "places": ["queue", "results"]}
    ]}))
    .expect("a page");
    let mut look = Look { deep: true, ..Look::default() };
    assert_eq!(look.check().health, ComponentHealth::Ok);
    look.add(page.clone());
    look.add(page);
    let check = look.check();
    assert_eq!(check.health, ComponentHealth::Fail);
    assert_eq!(check.detail.matches("in queue and results at once").count(), 1, "{}", check.detail);
}
