use eve_core::LaneId;
use eve_core::OrgId;
use eve_core::RequestId;

use super::EVENTS_OF_A_ROW;
use super::NewEvent;
use super::rows;

fn event(org: u128, request: u128, kind: &'static str, actor: &'static str) -> NewEvent<'static> {
    NewEvent {
        org: OrgId::from_uuid(uuid::Uuid::from_u128(org)),
        kind,
        request_id: RequestId::from_uuid(uuid::Uuid::from_u128(request)),
        attempt_id: None,
        lane: LaneId(1),
        actor,
    }
}

/// Rows as `kind:requests`.
fn shown(events: &[NewEvent<'_>]) -> Vec<String> {
    let shown = |row: Vec<&NewEvent<'_>>| {
        let requests: Vec<String> = row.iter().map(|event| event.request_id.uuid().as_u128().to_string()).collect();
        format!("{}:{}", row[0].kind, requests.join(","))
    };
    rows(events).into_iter().map(shown).collect()
}

#[test]
fn what_is_alike_shares_a_row() {
    let events = [event(1, 1, "a", "x"), event(1, 1, "b", "x"), event(1, 2, "a", "x"), event(1, 2, "b", "x")];
    assert_eq!(shown(&events), ["a:1,2", "b:1,2"]);
}

#[test]
fn organizations_and_actors_do_not_share_rows() {
    let events = [event(1, 1, "a", "x"), event(2, 2, "a", "x"), event(1, 3, "a", "y"), event(1, 4, "a", "x")];
    assert_eq!(shown(&events), ["a:1,4", "a:2", "a:3"]);
}

#[test]
fn what_happens_to_one_request_stays_in_order() {
    let events = [event(1, 1, "a", "x"), event(1, 1, "b", "x"), event(1, 1, "a", "x"), event(1, 2, "a", "x")];
    assert_eq!(shown(&events), ["a:1", "b:1", "a:1,2"]);
}

#[test]
fn a_row_holds_so_many_and_no_more() {
    let events: Vec<NewEvent<'_>> = (0..100).map(|number| event(1, number, "a", "x")).collect();
    let lengths: Vec<usize> = rows(&events).iter().map(Vec::len).collect();
    assert_eq!(lengths, [EVENTS_OF_A_ROW, EVENTS_OF_A_ROW, 100 - 2 * EVENTS_OF_A_ROW]);
}
