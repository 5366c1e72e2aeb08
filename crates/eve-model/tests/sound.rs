//! The protocol keeps its promises, in every order of events within some bounds.
//!
//! One exploration with everything in it would be too large, so there are several, each with one kind of trouble. All
//! of them have time and slowness: messages, workers and the reaper may always take as long as they like.
//! `EVE_MODEL_DEPTH=1` makes each larger (three minutes in all), 2 larger still.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "tests, also where clippy does not see it")]

use eve_model::Bounds;
use eve_model::Protocol;
use eve_model::Rules;
use eve_model::explore;
use eve_model::properties;

/// States beyond which an exploration is given up, and fails.
const LIMIT: usize = 60_000_000;

/// Explores, and checks that nothing is wrong, that enough was seen, and that it was not for want of events.
fn holds(bounds: Bounds, grow: impl Fn(&mut Bounds), at_least: usize, sometimes: &[&str]) {
    let depth = std::env::var("EVE_MODEL_DEPTH").map_or(0, |depth| depth.parse().expect("EVE_MODEL_DEPTH is a number"));
    let mut bounds = bounds;
    (0..depth).for_each(|_: u8| grow(&mut bounds));
    let found =
        explore(&Protocol { rules: Rules::SOUND, bounds }, &properties(), LIMIT, |found| !found.violations.is_empty());
    println!("{} states, {} steps, depth {}", found.states, found.steps, found.depth);
    if let Some(violation) = found.violations.first() {
        panic!("not true: {}\n  {}", violation.property, violation.path.join("\n  "));
    }
    assert!(found.complete, "more than {LIMIT} states");
    assert!(found.states >= at_least, "only {} states", found.states);
    let usual = ["completed", "taken over and completed", "lost claim taken back", "late start refused"];
    for name in usual.iter().chain(sometimes) {
        assert!(found.has_seen(name), "never happened: {name}");
    }
}

#[test]
fn when_only_time_passes() {
    let bounds = Bounds { lease: 3, ..Bounds::SMALL };
    let sometimes = ["stale settlement refused", "lost worker refused", "quarantined"];
    holds(bounds, |bounds| (bounds.lease, bounds.claims) = (bounds.lease + 1, bounds.claims + 1), 400_000, &sometimes);
}

#[test]
fn when_calls_are_given_up() {
    let bounds = Bounds { lease: 3, lost_calls: 1, sessions: 2, ..Bounds::SMALL };
    holds(bounds, |bounds| bounds.lost_calls += 1, 800_000, &["settlement repeated", "stale settlement refused"]);
}

#[test]
fn when_both_workers_are_slow() {
    let bounds = Bounds { slow_workers: 2, sessions: 2, ..Bounds::SMALL };
    holds(bounds, |bounds| bounds.lease += 1, 1_900_000, &["stale settlement refused"]);
}

#[test]
fn when_a_worker_crashes() {
    let bounds = Bounds { crashes: 1, ..Bounds::SMALL };
    holds(bounds, |bounds| bounds.lost_calls += 1, 1_400_000, &["stale settlement refused", "quarantined"]);
}

#[test]
fn when_a_worker_freezes() {
    let bounds = Bounds { freezes: 1, sessions: 2, ..Bounds::SMALL };
    let grow = |bounds: &mut Bounds| (bounds.crashes, bounds.sessions) = (bounds.crashes + 1, bounds.sessions + 1);
    holds(bounds, grow, 110_000, &["agent of a frozen worker killed", "stale settlement refused"]);
}

#[test]
fn when_people_interfere_and_agents_fail() {
    let bounds = Bounds { cancels: 1, pauses: 1, drains: 1, failures: 2, sessions: 2, ..Bounds::SMALL };
    let sometimes = [
        "cancelled while running",
        "cancel lost to completion",
        "paused while running",
        "released by a drain",
        "failed and tried again",
        "out of attempts",
    ];
    holds(bounds, |bounds| bounds.claims += 1, 800_000, &sometimes);
}

#[test]
fn when_there_are_two_requests() {
    let bounds = Bounds { requests: 2, claims: 1, ..Bounds::SMALL };
    holds(bounds, |bounds| bounds.claims += 1, 600_000, &["lost worker refused"]);
}
