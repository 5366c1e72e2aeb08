//! Ledgers made by hand, each with one thing wrong in it. A checker that finds nothing is worth nothing.

use eve_core::AttemptId;
use eve_core::RequestId;
use uuid::Uuid;

use super::*;
use crate::evidence::Death;
use crate::evidence::client::Asked;
use crate::evidence::client::Call;
use crate::evidence::client::Cancel;
use crate::evidence::client::Expect;
use crate::evidence::database::AttemptRecord;
use crate::evidence::database::Record;
use crate::evidence::database::ResultRecord;
use crate::evidence::world;

fn request(number: u64) -> RequestId {
    RequestId::from_uuid(Uuid::from_u128(number.into()))
}

fn attempt(number: u64, fence: u64) -> AttemptId {
    AttemptId::from_uuid(Uuid::from_u128(u128::from(number) << 64 | u128::from(fence)))
}

/// Adds a line of the world ledger as an agent would write it.
fn line(evidence: &mut Evidence, what: &str, number: u64, fence: u64, at: u64, value: &str) {
    let (id, attempt) = (request(number), attempt(number, fence));
    let text = format!("{what} {id} {attempt} {fence} w{fence} 77 {at}{value}");
    evidence.lines.push(world::parse(&text).unwrap());
}

fn attempt_record(number: u64, fence: u64, state: &str, from: u64, to: u64) -> AttemptRecord {
    AttemptRecord {
        id: attempt(number, fence),
        request: request(number),
        fence,
        state: state.to_owned(),
        failure_class: None,
        worker_pid: Some(u32::try_from(fence).unwrap()),
        claimed_at: from,
        ended_at: to,
    }
}

fn asked(number: u64) -> Asked {
    let answer = |code| Call { at: number, answer: Ok((code, Some(request(number)))) };
    let unheard = Call { at: number, answer: Err("connection reset".to_owned()) };
    Asked {
        number,
        key: Some(format!("key-{number}")),
        calls: vec![unheard, answer(201), answer(200)],
        expect: Expect::Completed,
        cancels: Vec::new(),
    }
}

/// Two requests as they should be: the first ran twice, since the worker `w1` died, the second once.
fn sound() -> Evidence {
    let mut evidence = Evidence { asked: vec![asked(1), asked(2)], ..Evidence::default() };
    for (number, last) in [(1, 2), (2, 1)] {
        evidence.records.requests.push(Record {
            id: request(number),
            number,
            places: vec!["results".to_owned()],
            state: "completed".to_owned(),
            fence: last,
            burned: 0,
            result: Some(ResultRecord {
                state: "completed".to_owned(),
                attempt: Some(attempt(number, last)),
                fence: last,
                error_code: None,
                branch: None,
            }),
            events: ["request:created", "request:started", "request:completed"].map(str::to_owned).to_vec(),
        });
        evidence.records.keys.insert(format!("key-{number}"), request(number));
    }
    line(&mut evidence, "start", 1, 1, 1_000, "");
    line(&mut evidence, "step", 1, 1, 1_500, " 1");
    line(&mut evidence, "start", 1, 2, 5_100, "");
    line(&mut evidence, "step", 1, 2, 5_200, " 1");
    line(&mut evidence, "end", 1, 2, 5_300, " 0");
    line(&mut evidence, "start", 2, 1, 1_000, "");
    line(&mut evidence, "end", 2, 1, 1_400, " 0");
    evidence.records.attempts = vec![
        attempt_record(1, 1, "expired", 900, 4_900),
        attempt_record(1, 2, "settled", 5_000, 5_400),
        attempt_record(2, 1, "settled", 900, 1_450),
    ];
    evidence.deaths.insert("w1".to_owned(), Death { pid: 1, at: 1_600 });
    evidence
}

/// The kinds of violations after something was done to sound ledgers.
fn found(breaking: impl FnOnce(&mut Evidence)) -> Vec<&'static str> {
    let mut evidence = sound();
    breaking(&mut evidence);
    check(&evidence, 0).kinds().into_keys().collect()
}

fn result(evidence: &mut Evidence, index: usize) -> &mut ResultRecord {
    evidence.records.requests[index].result.as_mut().unwrap()
}

#[test]
fn sound_ledgers_are_sound_and_counted() {
    let verdict = check(&sound(), 2);
    assert_eq!(verdict.findings, []);
    assert!(verdict.is_good());
    let figures = verdict.figures;
    assert_eq!((figures.asked, figures.acknowledged, figures.completed, figures.unheard), (2, 2, 2, 2));
    assert_eq!((figures.expired, figures.expired_living, figures.overlap_ms), (1, 0, 0));
    assert_eq!(figures.takeovers_ms, [3_400], "from the death of w1 to the second claim");
}

#[test]
fn a_lease_that_was_taken_from_the_living() {
    let mut evidence = sound();
    // The number came again: that death was before the attempt.
    evidence.deaths.insert("w1".to_owned(), Death { pid: 1, at: 100 });
    evidence.lines.drain(..2);
    let figures = check(&evidence, 2).figures;
    assert_eq!((figures.expired, figures.expired_living, figures.takeovers_ms), (1, 1, Vec::new()));
}

#[test]
fn too_little_success_is_no_success() {
    let verdict = check(&sound(), 3);
    assert!(!verdict.is_good());
    assert!(verdict.too_few.is_some());
    assert!(!check(&Evidence::default(), 1).is_good(), "nothing at all agrees with itself");
}

#[test]
fn a_request_that_was_acknowledged_and_is_not_there() {
    assert_eq!(
        found(|evidence| {
            evidence.records.requests.remove(1);
            evidence.records.attempts.pop();
            evidence.lines.truncate(5);
        }),
        ["lost"]
    );
    // One that was not acknowledged may be there or not.
    let unheard = |evidence: &mut Evidence| evidence.asked[1].calls.truncate(1);
    assert_eq!(found(unheard), [""; 0]);
}

#[test]
fn one_call_that_made_two() {
    let twice = |evidence: &mut Evidence| {
        let mut second = evidence.records.requests[1].clone();
        second.id = request(3);
        evidence.records.attempts.push(AttemptRecord {
            request: request(3),
            id: attempt(3, 1),
            ..evidence.records.attempts[2].clone()
        });
        line(evidence, "start", 3, 1, 1_000, "");
        line(evidence, "end", 3, 1, 1_400, " 0");
        second.result.as_mut().unwrap().attempt = Some(attempt(3, 1));
        evidence.records.requests.push(second);
    };
    assert_eq!(found(twice), ["duplicated"]);
    // And one that nobody asked for.
    let unasked = |evidence: &mut Evidence| {
        evidence.asked.pop();
    };
    assert_eq!(found(unasked), ["duplicated"]);
}

#[test]
fn a_repetition_that_was_answered_with_another() {
    assert_eq!(found(|evidence| evidence.asked[0].calls[2].answer = Ok((200, Some(request(2))))), ["key mismatch"]);
    let key = |evidence: &mut Evidence| {
        evidence.records.keys.insert("key-1".to_owned(), request(2));
    };
    assert_eq!(found(key), ["key mismatch"]);
    let none = |evidence: &mut Evidence| evidence.records.keys.clear();
    assert_eq!(found(none), ["key mismatch"]);
}

#[test]
fn no_place_two_places_and_the_wrong_place() {
    assert_eq!(found(|evidence| evidence.records.requests[0].places.clear()), ["not in one place"]);
    let two = |evidence: &mut Evidence| evidence.records.requests[0].places.push("queue".to_owned());
    assert_eq!(found(two), ["not in one place"]);
    let stuck = |evidence: &mut Evidence| {
        let record = &mut evidence.records.requests[0];
        record.places = vec!["leases".to_owned()];
        record.state = "processing".to_owned();
        record.result = None;
    };
    assert_eq!(found(stuck), ["unfinished"]);
}

#[test]
fn finished_twice_never_or_otherwise() {
    let twice = |evidence: &mut Evidence| evidence.records.requests[0].events.push("request:completed".to_owned());
    assert_eq!(found(twice), ["not finished once"]);
    let never = |evidence: &mut Evidence| evidence.records.requests[0].events.truncate(2);
    assert_eq!(found(never), ["not finished once"]);
    let otherwise = |evidence: &mut Evidence| evidence.records.requests[0].events[2] = "request:failed".to_owned();
    assert_eq!(found(otherwise), ["not finished once"]);
    let shown = |evidence: &mut Evidence| evidence.records.requests[0].state = "pending".to_owned();
    assert_eq!(found(shown), ["shown otherwise"]);
}

#[test]
fn an_end_that_it_must_not_come_to() {
    let fail = |evidence: &mut Evidence, code: &str| {
        let record = &mut evidence.records.requests[1];
        record.state = "failed".to_owned();
        record.events[2] = "request:failed".to_owned();
        let result = record.result.as_mut().unwrap();
        (result.state, result.error_code) = ("failed".to_owned(), Some(code.to_owned()));
    };
    assert_eq!(found(|evidence| fail(evidence, "agent_failed")), ["unexpected end"]);
    let expected = |evidence: &mut Evidence| {
        fail(evidence, "agent_failed");
        evidence.asked[1].expect = Expect::Failed("agent_failed");
    };
    assert_eq!(found(expected), [""; 0]);
    assert_eq!(found(|evidence| fail(evidence, "quarantined")), ["quarantined without cause"]);
    let lost_often = |evidence: &mut Evidence| {
        fail(evidence, "quarantined");
        evidence.records.attempts.pop();
        evidence.records.attempts.extend((1..=5).map(|fence| attempt_record(2, fence, "expired", 0, 9_000)));
        result(evidence, 1).fence = 5;
    };
    assert_eq!(found(lost_often), [""; 0]);
}

#[test]
fn two_live_attempts() {
    let overlap = |evidence: &mut Evidence| line(evidence, "step", 1, 1, 5_150, " 2");
    assert_eq!(found(overlap), ["two live attempts", "undead"]);
    let mut evidence = sound();
    overlap(&mut evidence);
    assert_eq!(check(&evidence, 0).figures.overlap_ms, 50);
    // The kernel says so, although the first was silent; even if the second dies before it knows how long.
    assert_eq!(found(|evidence| line(evidence, "contact", 1, 2, 5_101, "")), ["two live attempts"]);
    let mut evidence = sound();
    line(&mut evidence, "overlap", 1, 2, 5_190, " 88");
    assert_eq!(check(&evidence, 0).figures.overlap_ms, 88);
}

#[test]
fn what_goes_on_after_its_time() {
    assert_eq!(found(|evidence| line(evidence, "child", 2, 1, 1_480, "")), ["undead"], "after its settlement");
    assert_eq!(found(|evidence| line(evidence, "step", 1, 1, 3_700, "")), ["undead"], "after its worker's death");
    assert_eq!(found(|evidence| line(evidence, "step", 1, 1, 3_500, "")), [""; 0], "killing takes moments");
}

#[test]
fn fences_that_do_not_count() {
    let gap = |evidence: &mut Evidence| {
        evidence.records.attempts.remove(0);
        evidence.lines.drain(..2);
    };
    assert_eq!(found(gap), ["fences"]);
    let again = |evidence: &mut Evidence| {
        let mut twin = evidence.records.attempts[1].clone();
        twin.id = attempt(9, 9);
        evidence.records.attempts.insert(2, twin);
    };
    assert_eq!(found(again), ["fences"]);
    assert_eq!(found(|evidence| result(evidence, 0).fence = 1), ["result of another fence"]);
}

#[test]
fn work_that_was_never_done() {
    assert_eq!(found(|evidence| drop(evidence.lines.pop())), ["never done"]);
    let other = |evidence: &mut Evidence| result(evidence, 0).attempt = Some(attempt(1, 1));
    assert_eq!(found(other), ["never done"]);
    let failed = |evidence: &mut Evidence| {
        evidence.lines.pop();
        line(evidence, "end", 2, 1, 1_400, " 3");
    };
    assert_eq!(found(failed), ["never done"], "an exit code is no success");
}

#[test]
fn agents_that_the_database_does_not_know() {
    assert_eq!(found(|evidence| line(evidence, "start", 2, 2, 2_000, "")), ["unknown attempt"]);
    let fence = |evidence: &mut Evidence| evidence.lines[5].fence = 7;
    assert_eq!(found(fence), ["unknown attempt"]);
}

#[test]
fn attempts_that_should_not_count() {
    assert_eq!(found(|evidence| evidence.records.requests[0].burned = 1), ["burned"]);
    let to_blame = |evidence: &mut Evidence| {
        evidence.records.requests[0].burned = 1;
        evidence.records.attempts[0].state = "settled".to_owned();
        evidence.records.attempts[0].failure_class = Some("no_result".to_owned());
    };
    assert_eq!(found(to_blame), [""; 0]);
}

#[test]
fn a_cancel_that_was_not_told_the_truth() {
    let told = |code: u16, status: &str, stopping: bool| {
        let cancel = Cancel { code, status: status.to_owned(), stopping };
        found(move |evidence| evidence.asked[1].cancels.push(cancel))
    };
    assert_eq!(told(200, "cancelled", false), ["cancel contradicted"], "but it completed");
    assert_eq!(told(200, "processing", false), ["cancel contradicted"], "neither done nor being done");
    assert_eq!(told(404, "", false), ["cancel contradicted"]);
    assert_eq!(told(200, "processing", true), [""; 0], "it was done before it stopped");
    assert_eq!(told(409, "", false), [""; 0]);
    let cancelled = |evidence: &mut Evidence| {
        let record = &mut evidence.records.requests[1];
        record.state = "cancelled".to_owned();
        record.events[2] = "request:cancelled".to_owned();
        record.result.as_mut().unwrap().state = "cancelled".to_owned();
        evidence.asked[1].expect = Expect::CompletedOrCancelled;
        evidence.asked[1].cancels.push(Cancel { code: 200, status: "cancelled".to_owned(), stopping: false });
    };
    assert_eq!(found(cancelled), [""; 0]);
}
