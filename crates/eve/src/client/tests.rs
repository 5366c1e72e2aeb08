use eve_api_types::ProblemCode;

use super::problem::kind_of_code;
use super::resolve::whole_id;
use super::sse::Decoder;
use super::sse::SseEvent;

fn decode(pieces: &[&str]) -> Vec<SseEvent> {
    let mut decoder = Decoder::default();
    pieces.iter().flat_map(|piece| decoder.push(piece.as_bytes()).unwrap_or_default()).collect()
}

fn event(name: &str, id: Option<&str>, data: &str) -> SseEvent {
    SseEvent { name: name.to_owned(), id: id.map(str::to_owned), data: data.to_owned() }
}

#[test]
fn events_are_decoded_however_the_bytes_are_cut() {
    let stream =
        "\u{feff}: hello\nretry: 100\n\nid: 1\nevent: log\ndata: a\ndata:b\n\ndata: ünï\r\n\r\nevent: end\rdata\r\r";
    let expected = [event("log", Some("1"), "a\nb"), event("message", Some("1"), "ünï"), event("end", Some("1"), "")];
    assert_eq!(decode(&[stream]), expected);
    let mut decoder = Decoder::default();
    let bytewise: Vec<SseEvent> =
        stream.as_bytes().iter().flat_map(|byte| decoder.push(&[*byte]).unwrap_or_default()).collect();
    assert_eq!(bytewise, expected);
}

#[test]
fn an_event_without_an_end_is_not_told() {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.push(b"id: 7\ndata: x\n\nid: 8\ndata: half"), Ok(vec![event("message", Some("7"), "x")]));
    decoder.reset();
    assert_eq!(decoder.push(b"data: y\n\n"), Ok(vec![event("message", None, "y")]));
}

#[test]
fn every_code_has_an_exit_code() {
    let codes = [
        ProblemCode::InvalidRequest,
        ProblemCode::InvalidWorkerType,
        ProblemCode::Unauthenticated,
        ProblemCode::Forbidden,
        ProblemCode::NotFound,
        ProblemCode::Conflict,
        ProblemCode::IdempotencyConflict,
        ProblemCode::StaleFence,
        ProblemCode::MethodNotAllowed,
        ProblemCode::UnsupportedMediaType,
        ProblemCode::TooLarge,
        ProblemCode::RateLimited,
        ProblemCode::Unavailable,
        ProblemCode::Internal,
    ];
    let table: Vec<String> =
        codes.iter().map(|code| format!("{} {}", kind_of_code(*code).exit_code(), code.name())).collect();
    insta::assert_snapshot!(table.join("\n"), @"
    2 invalid_request
    2 invalid_worker_type
    4 unauthenticated
    4 forbidden
    5 not_found
    6 conflict
    6 idempotency_conflict
    6 stale_fence
    1 method_not_allowed
    1 unsupported_media_type
    1 too_large
    1 rate_limited
    3 unavailable
    1 internal
    ");
}

#[test]
fn what_can_be_an_id() {
    let whole = |text: &str| whole_id(text).map(|id| id.is_some()).map_err(|error| error.to_string());
    assert_eq!(whole("req_01h455vb4pex5vsknk084sn02q"), Ok(true));
    assert_eq!(whole("018bc8d5-8c96-7757-b9ea-b30213959057"), Ok(true));
    assert_eq!(whole("084sn02q"), Ok(false));
    assert_eq!(whole("02Q1"), Ok(false));
    assert_eq!(whole("02q"), Err("`02q` is not the id of a request".to_owned()));
    assert!(whole("../etc").is_err());
    assert!(whole("wrk_01h455vb4pex5vsknk084sn02q").is_err());
}
