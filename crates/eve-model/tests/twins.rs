//! Each rule of the protocol is needed: without it, something that was promised is not kept.
//!
//! A model that finds nothing wrong proves nothing until it finds what is wrong. So each rule is taken away in turn,
//! and the promise that it protects must be seen broken. With `--no-capture` the counterexamples are printed.

#![expect(clippy::print_stdout, reason = "tests, also where clippy does not see it")]

use eve_model::Bounds;
use eve_model::Protocol;
use eve_model::Twin;
use eve_model::explore;
use eve_model::properties;

/// The twin breaks these promises, and the exploration finds it out.
fn breaks(twin: Twin, bounds: Bounds, promises: &[&str]) {
    let protocol = Protocol { rules: twin.rules(), bounds };
    let found = explore(&protocol, &properties(), 5_000_000, |found| {
        promises.iter().all(|promise| found.violation(promise).is_some())
    });
    println!("{twin:?}: {} states", found.states);
    for promise in promises {
        let violation = found.violation(promise).unwrap_or_else(|| panic!("{twin:?} keeps the promise: {promise}"));
        println!("{promise}:\n  {}", violation.path.join("\n  "));
    }
}

const SMALL: Bounds = Bounds::SMALL;
const A_LOST_CALL: Bounds = Bounds { lost_calls: 1, sessions: 2, ..SMALL };

#[test]
fn without_a_fence_a_result_changes() {
    let promises = ["a stale write changes nothing", "one place", "one result", "a result stays"];
    breaks(Twin::NoFence, SMALL, &promises);
}

#[test]
fn a_state_is_no_fence() {
    breaks(Twin::StateGuard, SMALL, &["a stale write changes nothing", "an agent has the lease"]);
}

#[test]
fn a_fence_without_a_lease_counts_twice() {
    breaks(Twin::LastFenceGuard, A_LOST_CALL, &["one place", "one result"]);
    breaks(Twin::LastFenceGuard, Bounds { failures: 1, ..A_LOST_CALL }, &["only failures burn"]);
}

#[test]
fn time_counts_from_the_sending() {
    breaks(Twin::CountsFromAnswer, SMALL, &["one live agent"]);
}

#[test]
fn a_claim_wins_no_time() {
    breaks(Twin::CountsFromClaim, SMALL, &["one live agent"]);
}

#[test]
fn the_databases_clock_decides() {
    breaks(Twin::TrustsWorkersClock, SMALL, &["one live agent"]);
}

#[test]
fn the_margin_is_for_slow_clocks() {
    breaks(Twin::NoMargin, SMALL, &["one live agent"]);
}

#[test]
fn who_is_lost_stays_lost() {
    breaks(Twin::LostComesBack, SMALL, &["one live agent"]);
    breaks(Twin::LostComesBackUnharmed, SMALL, &["one live agent"]);
}

#[test]
fn who_is_lost_claims_nothing() {
    breaks(Twin::LostMayClaim, SMALL, &["every request can still end"]);
}

#[test]
fn an_old_heartbeat_says_nothing_about_a_started_attempt() {
    breaks(Twin::UnnamedEndsStarted, SMALL, &["one live agent"]);
}

#[test]
fn a_claim_whose_answer_was_lost_must_be_found() {
    breaks(Twin::UnnamedStays, A_LOST_CALL, &["every request can still end"]);
}

#[test]
fn a_start_is_awaited() {
    breaks(Twin::StartsUnasked, SMALL, &["one live agent"]);
}

#[test]
fn a_frozen_worker_needs_a_keeper() {
    breaks(Twin::NoKeeper, Bounds { freezes: 1, ..SMALL }, &["one live agent"]);
}

#[test]
fn a_keeper_is_told_when_and_not_how_long() {
    breaks(Twin::KeeperToldHowLong, SMALL, &["one live agent"]);
}

#[test]
fn what_was_killed_is_given_back() {
    breaks(Twin::KilledIsForgotten, SMALL, &["every request can still end"]);
}
