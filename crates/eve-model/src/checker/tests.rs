use super::*;

/// Counts up to seven in steps of one or three, and can fall into a hole.
struct Counter {
    hole: bool,
}

impl Model for Counter {
    type State = u8;
    type Action = &'static str;

    fn initial(&self) -> u8 {
        0
    }

    fn steps(&self, state: &u8) -> Vec<(&'static str, u8)> {
        match *state {
            100 => vec![],
            4 if self.hole => vec![("fall", 100), ("one", 5)],
            7.. => vec![("again", 0)],
            n => vec![("one", n + 1), ("three", n + 3)],
        }
    }
}

fn check(hole: bool, name: &'static str, kind: Kind<Counter>) -> Exploration {
    explore(&Counter { hole }, &[Property { name, kind }], 1000, |_| false)
}

#[test]
fn every_state_is_seen_once() {
    let found = check(false, "small", Kind::Always(|_, n| *n < 10));
    assert_eq!((found.states, found.complete, found.violations.len()), (10, true, 0));
    assert_eq!(found.steps, 7 * 2 + 3);
    assert_eq!(found.depth, 4);
}

#[test]
fn the_shortest_way_to_a_bad_state_is_told() {
    let found = check(false, "never four", Kind::Always(|_, n| *n != 4));
    assert_eq!(found.violation("never four").expect("found").path, ["one", "three"]);
}

#[test]
fn the_first_bad_step_is_told() {
    let found = check(false, "never back", Kind::EveryStep(|_, step| step.after > step.before));
    assert_eq!(found.violation("never back").expect("found").path, ["one", "three", "three", "again"]);
}

#[test]
fn what_happens_is_seen_and_what_does_not_is_not() {
    let found = check(true, "falls", Kind::Sometimes(|_, step| *step.action == "fall"));
    assert_eq!(found.seen[0].path, ["one", "three", "fall"]);
    let found = check(false, "falls", Kind::Sometimes(|_, step| *step.action == "fall"));
    assert!(!found.has_seen("falls"));
}

#[test]
fn what_gets_stuck_is_found() {
    let goal = || Kind::CanStill(|_: &Counter, n: &u8| *n == 7, |_, _| true);
    assert!(check(false, "seven", goal()).violations.is_empty());
    let found = check(true, "seven", goal());
    assert_eq!(found.violation("seven").expect("found").path, ["one", "three", "fall"]);
}

#[test]
fn what_goes_on_only_by_accident_is_stuck() {
    let lucky = Kind::CanStill(|_: &Counter, n: &u8| *n == 3, |_, step| *step.action != "again");
    assert_eq!(check(false, "three", lucky).violation("three").expect("found").path, ["one", "three"]);
}

#[test]
fn a_limit_makes_it_incomplete() {
    let found = explore(&Counter { hole: false }, &[], 3, |_| false);
    assert!(!found.complete);
}
