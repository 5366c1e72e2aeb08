use std::time::Duration;

use super::*;

const LANE: LaneId = LaneId(7);

fn id(n: u128) -> RequestId {
    RequestId::from_uuid(uuid::Uuid::from_u128(n))
}

fn took(book: &mut Book, last: Option<u128>, next: Option<u128>, version: u64) {
    book.took(&Taken { lane: LANE, priority: Priority::Medium, last: last.map(id), next: next.map(id) }, version);
}

fn cursor(book: &Book) -> Option<RequestId> {
    book.ready().next().map(|(_, _, after, _)| after)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[test]
fn a_claim_starts_behind_what_was_taken() {
    let mut book = Book::default();
    book.note(LANE, Priority::Medium, id(10));
    assert_eq!(cursor(&book), Some(id(9)));
    let version = book.version();
    took(&mut book, Some(14), Some(16), version);
    assert_eq!(cursor(&book), Some(id(14)), "there is more");
    took(&mut book, Some(16), None, version);
    assert_eq!(cursor(&book), None, "it is empty");
}

#[test]
fn what_comes_late_or_back_is_found() {
    let mut book = Book::default();
    book.note(LANE, Priority::Medium, id(10));
    let version = book.version();
    // While the claim runs, a request with a smaller id is committed.
    book.note(LANE, Priority::Medium, id(4));
    took(&mut book, Some(10), None, version);
    assert_eq!(cursor(&book), Some(id(3)));
    // And one that nobody told of is found by looking.
    let version = book.version();
    took(&mut book, None, None, version);
    book.looked(&[Head { lane: LANE, priority: Priority::Medium, id: id(2) }], version, soon());
    assert_eq!(cursor(&book), Some(id(1)));
}

#[test]
fn a_look_does_not_undo_what_was_noted_meanwhile() {
    let mut book = Book::default();
    let version = book.version();
    book.note(LANE, Priority::Medium, id(10));
    book.looked(&[], version, soon());
    assert_eq!(cursor(&book), Some(id(9)));
    // The next look knows better.
    let version = book.version();
    book.looked(&[], version, soon());
    assert_eq!(cursor(&book), None);
    assert!(book.is_fresh(Instant::now()));
    book.doubt();
    assert!(!book.is_fresh(Instant::now()));
}
